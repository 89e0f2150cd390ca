"""One target of a clean: its lock, and what it has of each unit, looked at now."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hsm.config.schema import TargetSettings
from hsm.endpoint import Tree
from hsm.errors import LockedError, TargetError
from hsm.model import Entry, EntryKind, Reason, Root, Run, SweepInventory
from hsm.plan.selection import Selection
from hsm.process.runner import Runner
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import CleanedPlace
from hsm.records.journal import Journal, load_journal, make_route
from hsm.records.lock import STALE_MINUTES, Holder, make_lock_content
from hsm.records.record import SWEEP_FOLDER
from hsm.remote.shell_programs.guard import GuardPlaces, Held
from hsm.sweep_folder import sweep_folder
from hsm.sync.bring.survey import DestinationState, survey_destination
from hsm.sync.clean.values import Copy, Unit
from hsm.targets.contract import Connection, get_roots
from hsm.targets.lock import TargetLock, give_lock_back, take_target_lock
from hsm.transfer.base import TEMPORARY_FOLDER, get_temporary_folder

PathsByUnit = Mapping[str, Mapping[str, Entry]]
"""By a unit's absolute path here, what a target has of it."""


class CleanTarget:
    """A target at which copies may lie. Used by one thread.

    Args:
        connection: Reaches it; a login has been made.
        settings: The target's, for this sweep.
        project: This project.
        inventory: What lies here, with the runs of which something was left by an interrupted clean.
        runner: Interrupts what runs.
    """

    def __init__(
        self, connection: Connection, settings: TargetSettings, project: Path, inventory: SweepInventory, runner: Runner
    ) -> None:
        self.name = connection.name
        self.place = ""
        self._connection = connection
        self._settings = settings
        self._inventory = inventory
        self._runner = runner
        self._lock: TargetLock | None = None
        path = ProjectFolder(project).journal(self.name, inventory.sweep)
        self._journal, _ = load_journal(path, make_route(settings, direction="push"), sets_aside=False)
        self._check: DestinationState | None = None
        self._entries: dict[str, dict[str, Entry]] = {}

    @property
    def journal(self) -> Journal:
        """What is proven there; empty where nothing was brought there by this address and these paths."""
        return self._journal

    @property
    def probe(self) -> str:
        """A name below each of the target's folders that is there from taking the lock on, and nowhere else.

        It lies in the sweep's temporary folder, which whoever takes the lock next empties.
        """
        if self._lock is None:
            return ""
        return f"{TEMPORARY_FOLDER}/{self._inventory.sweep}/probe-{self._lock.holder.nonce}"

    @property
    def nonce(self) -> str:
        """Of the lock; empty without one."""
        return self._lock.holder.nonce if self._lock is not None else ""

    @property
    def roots(self) -> Mapping[Root, str]:
        """The real paths of its folders, as the last look found them."""
        return self._check.roots if self._check is not None else {}

    def look(self) -> None:
        """Look at what is there.

        Raises:
            HsmError: It cannot be done, or nothing of the sweep is there.
        """
        roots = get_roots(self._settings)
        self._connection.check_roots(roots)
        endpoint = self._connection.endpoint
        check = survey_destination(endpoint, roots, self._inventory, roots=tuple(Root), max_depth=None)
        folder = check.destination[Root.SWEEPS].entries.get(sweep_folder(self._inventory.sweep))
        if folder is None or folder.kind is not EntryKind.FOLDER:
            raise TargetError(
                f"There is no folder of {self._inventory.sweep} at {self.name}.",
                hint=f"Bring it there first: `hsm sync to {self._inventory.sweep} --target {self.name}`.",
                kind="nothing_there",
            )
        self._check = check
        self._entries = _group(check, self._inventory.sweep)
        if not self.place:
            self.place = f"{self._settings.host.lower()}:{':'.join(check.roots[root] for root in Root)}"

    def take_lock(self, source_id: str, own_nonces: Mapping[str, str]) -> None:
        """Take the lock there, with a mark in each of the target's folders.

        Args:
            source_id: This project's.
            own_nonces: The targets whose locks this call holds, by nonce.

        Raises:
            LockedError: Somebody holds it who may be alive; or this call, since the place has another name.
            HsmError: It cannot be done.
        """

        def check_holder(found: Holder) -> None:
            if found.nonce in own_nonces:
                raise self._make_same_error(own_nonces[found.nonce])

        self._lock = take_target_lock(
            self._connection.make_guard,
            self._make_places,
            source_id=source_id,
            sweep=self._inventory.sweep,
            target=self.name,
            check_holder=check_holder,
        )

    def confirm_lock(self) -> None:
        """Make sure that the lock has been ours all the time, and that nobody has recorded anything there.

        Raises:
            LockedError: It has not.
            HsmError: The target is out of reach.
        """
        if self._lock is None:
            raise AssertionError("confirm_lock() follows take_lock()")
        answer = self._lock.guard.take(make_lock_content(self._lock.holder), minutes=STALE_MINUTES)
        if isinstance(answer, Held) or answer.receipts != self._lock.receipts:
            raise LockedError(
                f"Somebody broke the lock of {self._inventory.sweep} at {self.name} meanwhile.",
                hint="Run the same command again when nobody else does.",
                kind="lock_lost",
            )

    def give_lock_back(self) -> None:
        """Give the lock back, if it is held; a target out of reach keeps it, dead."""
        lock, self._lock = self._lock, None
        if lock is not None:
            give_lock_back(lock.guard)

    def shows(self, probe: str) -> bool:
        """Whether the mark of another target is to be seen in the folders of this one."""
        trees = [Tree(path, (probe,), 0) for path in self.roots.values()]
        return bool(probe) and any(listing.entries for listing in self._connection.endpoint.survey(trees).listings)

    def check_flush(self) -> None:
        """Make sure, as far as can be known in advance, that `flush` can be done.

        Raises:
            HsmError: It cannot.
        """
        self._connection.contents().check_flush()

    def flush(self, units: Sequence[Unit]) -> None:
        """Have everything there that counts written to its disk, and look again.

        Raises:
            HsmError: It cannot be done.
        """
        paths = [path for unit in units for path, _ in self._iter_files(unit)]
        if paths:
            self._connection.contents().flush(paths)
        self.look()

    def read_copies(self, units: Sequence[Unit], *, reads: bool) -> dict[str, Copy]:
        """Say what is there of units, by their absolute paths here.

        Args:
            units: With their checksums.
            reads: Take checksums there of what has the right size.

        Raises:
            HsmError: It cannot be done.
        """
        wanted: dict[str, int] = {}
        for unit in units if reads else ():
            sizes = _list_sizes(unit)
            for path, entry in self._iter_files(unit):
                if entry.size == sizes.get(self._strip(unit, path)):
                    wanted[path] = entry.size
        contents = self._connection.contents()
        checksums = contents.read_checksums(wanted) if wanted else {}
        return {unit.path: self._make_copy(unit, checksums) for unit in units}

    def read_entries(self, unit: Unit) -> dict[str, Entry]:
        """What the last look found of a unit, by path relative to it."""
        return self._entries.get(unit.name, {})

    def make_cleaned_place(self) -> CleanedPlace:
        """Where it is, for the record."""
        settings = self._settings
        sweeps, wandb = (self.roots[root] for root in (Root.SWEEPS, Root.WANDB))
        return CleanedPlace(settings.host, settings.user, settings.port, sweeps, wandb)

    def _make_copy(self, unit: Unit, checksums: Mapping[str, str]) -> Copy:
        base = self._get_base(unit)
        entries = self.read_entries(unit)
        found = {path: checksums[f"{base}{path}"] for path in entries if f"{base}{path}" in checksums}
        return Copy(
            target=self.name,
            place=self.place,
            record=self._journal.runs.get(unit.name),
            entries=entries,
            checksums=found,
            left=self._find_left(unit),
            devices=_read_devices(base, entries) if self._connection.is_folder else {},
        )

    def _find_left(self, unit: Unit) -> dict[str, str]:
        """Why files of a unit are not sent there, in words, by path relative to it."""
        options = self._settings.options
        files = list(unit.files.values())
        if not files:
            return {}
        selection = Selection(latest_only=False, exclude=options.exclude, secret_patterns=options.secret_patterns)
        items = selection.find_left(files, self._inventory, unit.run)
        by_path = {file.path: path for path, file in unit.files.items()}
        found = {by_path[path]: f"is not sent there: {item.reason.value}" for path, item in items.items()}
        if unit.name == SWEEP_FOLDER and options.max_depth is not None:
            deep = (path for path in unit.files if path.count("/") >= options.max_depth)
            found |= dict.fromkeys(deep, "is not sent there: deeper than max_depth")
        superseded = dict.fromkeys(unit.superseded, f"is not sent there: {Reason.SUPERSEDED.value}")
        return {**superseded, **found}

    def _iter_files(self, unit: Unit) -> Iterator[tuple[str, Entry]]:
        """The plain files there that stand for something here, by absolute path there."""
        sizes = _list_sizes(unit)
        base = self._get_base(unit)
        for path, entry in self.read_entries(unit).items():
            if entry.kind is EntryKind.FILE and path in sizes:
                yield f"{base}{path}", entry

    def _strip(self, unit: Unit, path: str) -> str:
        return path.removeprefix(self._get_base(unit))

    def _get_prefix(self, unit: Unit) -> str:
        return f"{unit.name or sweep_folder(self._inventory.sweep)}/"

    def _get_base(self, unit: Unit) -> str:
        return f"{self.roots[unit.root].rstrip('/')}/{self._get_prefix(unit)}"

    def _make_places(self, nonce: str) -> GuardPlaces:
        if self._check is None:
            raise AssertionError("take_lock() follows look()")
        there = [root.path for root in self._check.destination.values() if root.kind is EntryKind.FOLDER]
        own = {get_temporary_folder(path, self._inventory.sweep) for path in there}
        probes = {f"{path}/probe-{nonce}" for path in own}
        return replace(self._check.places, temporary=tuple(sorted(own | probes)))

    def _make_same_error(self, other: str) -> TargetError:
        return TargetError(
            f"{self.name} is the same place as {other}, so it is no further copy.",
            hint="Name targets in different places with --target.",
            kind="same_place",
        )


def make_runs_to_look_for(inventory: SweepInventory, names: Sequence[str]) -> SweepInventory:
    """Add runs of which something lies here under another name, so that targets are asked for them too. Pure."""
    known = {run.name for run in inventory.runs}
    more = [Run(name, "") for name in dict.fromkeys(names) if name and name not in known]
    return replace(inventory, runs=(*inventory.runs, *more))


def _group(check: DestinationState, sweep: str) -> dict[str, dict[str, Entry]]:
    """What lies there by run, and of the sweep's folder under its empty name; by path relative to them."""
    found: dict[str, dict[str, Entry]] = {SWEEP_FOLDER: {}}
    prefix = f"{sweep_folder(sweep)}/"
    for path, entry in check.destination[Root.SWEEPS].entries.items():
        if path.startswith(prefix):
            found[SWEEP_FOLDER][path[len(prefix) :]] = entry
    for path, entry in check.destination[Root.WANDB].entries.items():
        run, _, rest = path.partition("/")
        if rest:
            found.setdefault(run, {})[rest] = entry
    return found


def _list_sizes(unit: Unit) -> dict[str, int]:
    """What must be at a target, by path relative to the unit, and its size."""
    if unit.recorded is not None:
        return {path: file.size for path, file in unit.recorded.files.items()}
    return {path: file.size for path, file in unit.files.items()}


def _read_devices(base: str, entries: Mapping[str, Entry]) -> dict[str, int]:
    """The file systems of files of this machine."""
    devices = {}
    for path, entry in entries.items():
        if entry.kind is EntryKind.FILE:
            with contextlib.suppress(OSError):
                devices[path] = os.lstat(f"{base}{path}").st_dev
    return devices


@contextmanager
def open_connection(connection: Connection, *, may_ask: bool) -> Iterator[None]:
    """Log in, and keep open what questions go over while inside.

    Raises:
        HsmError: The target is out of reach.
    """
    with connection.keep_open():
        connection.login(may_ask=may_ask)
        yield
