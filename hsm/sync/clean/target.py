"""Target of a clean: its copies of units, looked at now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hsm.config.schema import TargetSettings
from hsm.config.target_sections import SyncOptions
from hsm.endpoint import Tree
from hsm.errors import TargetError
from hsm.model import Entry, EntryKind, Reason, Root, Run, SweepInventory
from hsm.plan.selection import Selection
from hsm.records.cleaned import CleanedPlace
from hsm.records.record import SWEEP_FOLDER, RunRecord
from hsm.sweep_folder import sweep_folder
from hsm.sync.bring.survey import DestinationState, survey_destination
from hsm.sync.clean.marked_lock import MarkedLock, take_marked_lock
from hsm.sync.clean.values import Copy, Unit
from hsm.targets.contract import Connection, get_roots


class CleanTarget:
    """A target at which copies may lie. Making it looks at what is there. Used by one thread.

    Args:
        connection: Reaches it; a login has been made.
        settings: The target's, for this sweep.
        inventory: Everything here, with the runs of which an interrupted clean left something.
        records: Of the journal, by run.

    Attributes:
        name: Its name.
        place: A word that targets of one place share.

    Raises:
        HsmError: It cannot be looked at, or nothing of the sweep is there.
    """

    def __init__(
        self,
        connection: Connection,
        settings: TargetSettings,
        inventory: SweepInventory,
        records: Mapping[str, RunRecord],
    ) -> None:
        self.name = connection.name
        self._connection = connection
        self._settings = settings
        self._inventory = inventory
        self._records = records
        self._state: DestinationState
        self._entries: dict[str, dict[str, Entry]]
        self.look()
        self.place = f"{settings.host.lower()}:{':'.join(self._state.roots[root] for root in Root)}"

    def look(self) -> None:
        """Look at what is there now.

        Raises:
            HsmError: It cannot be done, or nothing of the sweep is there.
        """
        roots = get_roots(self._settings)
        self._connection.check_roots(roots)
        endpoint = self._connection.endpoint
        # To every depth and both folders, whatever a sync sends: a file that lies there counts, however it came.
        state = survey_destination(endpoint, roots, self._inventory, roots=tuple(Root), max_depth=None)
        folder = state.destination[Root.SWEEPS].entries.get(sweep_folder(self._inventory.sweep))
        if folder is None or folder.kind is not EntryKind.FOLDER:
            raise TargetError(
                f"There is no folder of {self._inventory.sweep} at {self.name}.",
                hint=f"Bring it there first: `hsm sync to {self._inventory.sweep} --target {self.name}`.",
                kind="nothing_there",
            )
        self._state = state
        self._entries = _group_entries(state, self._inventory.sweep)

    def take_lock(self, source_id: str, others: Mapping[str, str]) -> MarkedLock:
        """Take the lock there, with a mark in each of the target's folders.

        Args:
            source_id: This project's.
            others: The targets whose locks this call holds already, by nonce.

        Raises:
            LockedError: A process that may be alive holds it.
            HsmError: One of `others` is the same place; or it cannot be done.
        """
        return take_marked_lock(
            self._connection.make_guard,
            self._state.places,
            [root.path for root in self._state.destination.values() if root.kind is EntryKind.FOLDER],
            source_id=source_id,
            sweep=self._inventory.sweep,
            target=self.name,
            others=others,
        )

    def shows(self, mark: str) -> bool:
        """Tell whether the mark of another target is to be seen in the folders of this one.

        Raises:
            HsmError: It cannot be looked at.
        """
        trees = [Tree(path, (mark,), 0) for path in self._state.roots.values()]
        return any(listing.entries for listing in self._connection.endpoint.survey(trees).listings)

    def check_flush(self) -> None:
        """Make sure, as far as can be known in advance, that `flush` can be done.

        Raises:
            HsmError: It cannot.
        """
        self._connection.contents().check_flush()

    def flush(self, units: Sequence[Unit]) -> None:
        """Have everything there that counts written to its disk, and look again.

        A sync does not do that: it would take minutes for 100,000 files. A removal here that follows must.

        Raises:
            HsmError: It cannot be done.
        """
        paths = [f"{self._get_base(unit)}/{path}" for unit in units for path, _, _ in self._iter_files(unit)]
        if paths:
            self._connection.contents().flush(paths)
        self.look()

    def read_copies(self, units: Sequence[Unit], *, reads: bool) -> dict[str, Copy]:
        """Read the copies of units, by the units' absolute paths here.

        Args:
            units: With their checksums.
            reads: Take checksums there of the files that have the right size.

        Raises:
            HsmError: It cannot be done.
        """
        wanted = {
            f"{self._get_base(unit)}/{path}": there.size
            for unit in (units if reads else ())
            for path, there, size in self._iter_files(unit)
            if there.size == size
        }
        contents = self._connection.contents()
        checksums = contents.read_checksums(wanted) if wanted else {}
        return {unit.path: self._make_copy(unit, checksums) for unit in units}

    def get_entries(self, unit: Unit) -> dict[str, Entry]:
        """Return the entries of a unit as of the last look, by path relative to it."""
        return self._entries.get(unit.name, {})

    def make_cleaned_place(self) -> CleanedPlace:
        """Make the record of its address and folders."""
        settings, roots = self._settings, self._state.roots
        return CleanedPlace(settings.host, settings.user, settings.port, roots[Root.SWEEPS], roots[Root.WANDB])

    def _make_copy(self, unit: Unit, checksums: Mapping[str, str]) -> Copy:
        base, entries = self._get_base(unit), self.get_entries(unit)
        return Copy(
            target=self.name,
            place=self.place,
            record=self._records.get(unit.name),
            entries=entries,
            checksums={path: checksums[f"{base}/{path}"] for path in entries if f"{base}/{path}" in checksums},
            left=find_unsent(unit, self._inventory, self._settings.options),
            devices=_read_devices(base, entries) if self._connection.is_folder else {},
        )

    def _iter_files(self, unit: Unit) -> Iterator[tuple[str, Entry, int]]:
        """Yield the plain files there that stand for something here: path in the unit, entry, and the size to have."""
        sizes = unit.sizes_there
        for path, entry in self.get_entries(unit).items():
            if entry.kind is EntryKind.FILE and path in sizes:
                yield path, entry, sizes[path]

    def _get_base(self, unit: Unit) -> str:
        """Return the absolute path of a unit there."""
        return f"{self._state.roots[unit.root].rstrip('/')}/{unit.name or sweep_folder(self._inventory.sweep)}"


def find_unsent(unit: Unit, inventory: SweepInventory, options: SyncOptions) -> dict[str, str]:
    """Find the files of a unit that a sync does not send, with the reason in words, by path relative to it. Pure."""
    files = list(unit.files.values())
    if not files:
        return {}
    # Old versions are known of the unit already; the target's own choice of versions adds nothing.
    selection = Selection(latest_only=False, exclude=options.exclude, secret_patterns=options.secret_patterns)
    items = selection.find_left(files, inventory, unit.run)
    by_path = {file.path: path for path, file in unit.files.items()}
    found = {by_path[path]: f"is not sent there: {item.reason.value}" for path, item in items.items()}
    if unit.name == SWEEP_FOLDER and options.max_depth is not None:
        deep = (path for path in unit.files if path.count("/") >= options.max_depth)
        found |= dict.fromkeys(deep, "is not sent there: deeper than max_depth")
    superseded = dict.fromkeys(unit.superseded, f"is not sent there: {Reason.SUPERSEDED.value}")
    return {**superseded, **found}


def add_runs(inventory: SweepInventory, names: Sequence[str]) -> SweepInventory:
    """Add runs of which something lies here under another name, so that targets are asked for them too. Pure."""
    known = {run.name for run in inventory.runs}
    more = [Run(name, "") for name in dict.fromkeys(names) if name and name not in known]
    return replace(inventory, runs=(*inventory.runs, *more))


def _group_entries(state: DestinationState, sweep: str) -> dict[str, dict[str, Entry]]:
    """Group what lies there by run, the sweep's folder under its empty name; by path relative to them."""
    found: dict[str, dict[str, Entry]] = {SWEEP_FOLDER: {}}
    prefix = f"{sweep_folder(sweep)}/"
    for path, entry in state.destination[Root.SWEEPS].entries.items():
        if path.startswith(prefix):
            found[SWEEP_FOLDER][path[len(prefix) :]] = entry
    for path, entry in state.destination[Root.WANDB].entries.items():
        run, _, rest = path.partition("/")
        if rest:
            found.setdefault(run, {})[rest] = entry
    return found


def _read_devices(base: str, entries: Mapping[str, Entry]) -> dict[str, int]:
    """Read the file systems of files of this machine."""
    devices = {}
    for path, entry in entries.items():
        if entry.kind is EntryKind.FILE:
            with contextlib.suppress(OSError):
                devices[path] = os.lstat(f"{base}/{path}").st_dev
    return devices
