"""Target of a clean: its copies of units, looked at now."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from hsm.config.settings import TargetSettings
from hsm.discover.kinds.receipts import read_receipt
from hsm.endpoint import Endpoint, Tree
from hsm.errors import TargetError
from hsm.model import Entry, EntryKind, Root, SweepInventory
from hsm.records.cleaned import CleanedPlace
from hsm.records.file_systems import KnownFileSystems
from hsm.records.record import SWEEP_FOLDER, RunRecord
from hsm.remote.cksum import make_checksum
from hsm.remote.machine import find_machine
from hsm.sweep_folder import sweep_folder
from hsm.sync.bring.survey import DestinationState, survey_destination
from hsm.sync.clean.comparison import find_unsent
from hsm.sync.clean.names import is_hsm_path
from hsm.sync.clean.values import ROOTS, Copy, Unit
from hsm.targets.contents.contract import Contents
from hsm.targets.contract import Connection, check_project_root, get_roots
from hsm.targets.lock import TargetLock, take_target_lock


class UnitLook(NamedTuple):
    """Answer to a look at one unit.

    Attributes:
        has_mark: A mark was seen in its folder.
        lock: The file of the lock; None where there is none.
        receipts: The checksums of the receipts, by file name.
    """

    has_mark: bool
    lock: Entry | None
    receipts: Mapping[str, str]


class CleanTarget:
    """A target at which copies may lie. Making it looks at what is there. Used by one thread.

    Args:
        connection: Reaches it; a login has been made.
        settings: The target's, for this sweep.
        inventory: Everything here, with the runs of which an interrupted clean left something.
        records: Of the journal, by run.
        disks: What is known of its file systems.

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
        disks: KnownFileSystems | None = None,
    ) -> None:
        self.name = connection.name
        self._connection = connection
        self._settings = settings
        self._inventory = inventory
        self._records = records
        self._disks = disks or KnownFileSystems()
        self._state: DestinationState
        self._entries: dict[tuple[str, str], dict[str, Entry]]
        self._shared: dict[str, set[str]] = {}
        self._unmarked: dict[str, str] = {}
        self._unflushed: Mapping[str, str] = {}
        self.look()
        self.place = f"{settings.host.lower()}:{':'.join(self._state.roots[root] for root in Root)}"

    def look(self) -> None:
        """Look at what is there now.

        Raises:
            HsmError: It cannot be done, or nothing of the sweep is there.
        """
        sweep, place = self._inventory.sweep, self._inventory.place
        check_project_root(self.name, self._settings, self._inventory.kind, place)
        roots = get_roots(self._settings, self._inventory.kind)
        self._connection.check_roots(roots)
        endpoint = self._connection.endpoint
        # To every depth and both folders, whatever a sync sends: a file that lies there counts, however it came.
        own = self._settings.paths.sweeps
        state = survey_destination(endpoint, roots, self._inventory, roots=tuple(Root), max_depth=None, own=own)
        folder = state.destination[Root.SWEEPS].entries.get(sweep_folder(sweep, place))
        if folder is None or folder.kind is not EntryKind.FOLDER:
            raise TargetError(
                f"There is no folder of {self._inventory.sweep} at {self.name}.",
                hint=f"Bring it there first: `hsm sync to {self._inventory.sweep} --target {self.name}`.",
                kind="nothing_there",
            )
        self._state = state
        self._entries = _group_entries(state, sweep_folder(sweep, place), self._inventory.jobs)

    def look_at(self, unit: Unit, mark: str) -> UnitLook:
        """Look at one unit alone, at the lock and at the receipts. One round trip.

        Raises:
            HsmError: It cannot be done.
        """
        root, base = self._state.roots[unit.root], self.get_name(unit)
        trees = [Tree(root, (base, f"{base}/{mark}")), self._make_lock_tree()]
        survey = self._connection.endpoint.survey(trees, receipts=self._state.places.folder)
        listing, locks = survey.listings
        found = {entry.path[len(base) + 1 :]: entry for entry in listing.entries if entry.path.startswith(f"{base}/")}
        self._entries[_get_key(unit)] = {path: entry for path, entry in found.items() if not is_hsm_path(path)}
        return UnitLook(mark in found, next(iter(locks.entries), None), survey.receipts)

    def look_at_lock(self) -> Entry | None:
        """Look at the file of the lock.

        Raises:
            HsmError: It cannot be done.
        """
        (listing,) = self._connection.endpoint.survey([self._make_lock_tree()]).listings
        return next(iter(listing.entries), None)

    def _make_lock_tree(self) -> Tree:
        return Tree(self._state.places.folder, ("lock",), 0)

    def take_lock(self, source_id: str, others: Mapping[str, str]) -> TargetLock:
        """Take the lock there.

        Args:
            source_id: This project's.
            others: The targets whose locks this call holds already, by nonce.

        Raises:
            LockedError: A process that may be alive holds it.
            HsmError: One of `others` is the same place; or it cannot be done.
        """
        return take_target_lock(
            self._connection.make_guard,
            self._state.places,
            source_id=source_id,
            sweep=self._inventory.sweep,
            target=self.name,
            others=others,
        )

    def note_shared(self, units: Iterable[str], other: str) -> None:
        """Note the units, and `ROOTS`, that were seen to be the same at another place."""
        for unit in units:
            self._shared.setdefault(unit, set()).add(other)

    def note_unmarked(self, failures: Mapping[str, str]) -> None:
        """Note the units that cannot be marked, here or there, with the reasons."""
        self._unmarked.update(failures)

    def check_flush(self) -> None:
        """Make sure, as far as can be known in advance, that `flush` can be done.

        Raises:
            HsmError: It cannot.
        """
        self.contents.check_flush()

    def flush(self, units: Sequence[Unit], receipt: str = "") -> None:
        """Have everything there that counts written to its disk, and look again; what cannot be is noted.

        A sync does not do that: it would take minutes for 100,000 files. A removal here that follows must.

        Args:
            units: Those that may go.
            receipt: The name of this project's receipt, where one of them is found by it alone.

        Raises:
            HsmError: It cannot be done.
        """
        files = [f"{self.get_base(unit)}/{path}" for unit in units for path, _, _ in self._iter_files(unit)]
        if receipt in self._state.receipts:
            files.append(f"{self._state.places.folder}/{receipt}")
        if files:
            # A sync does not do that for 100,000 files: it takes minutes. What is deleted here must be on the disk
            # there.
            self._unflushed = self.contents.flush(files, _list_above(files, [*self.roots.values()]))
        self.look()

    def read_copies(self, units: Sequence[Unit], *, reads: bool, receipt: str = "") -> dict[str, Copy]:
        """Read the copies of units, by the units' absolute paths here.

        Args:
            units: With their checksums.
            reads: Take checksums there of the files that have the right size.
            receipt: As of `flush`.

        Raises:
            HsmError: It cannot be done.
        """
        wanted = {
            f"{self.get_base(unit)}/{path}": there.size
            for unit in (units if reads else ())
            for path, there, size in self._iter_files(unit)
            if there.size == size
        }
        checksums = self.contents.read_checksums(wanted) if wanted else {}
        listed = self._read_listed(receipt, reads=reads) if receipt else frozenset()
        return {unit.path: self._make_copy(unit, checksums, is_listed=unit.name in listed) for unit in units}

    def _read_listed(self, receipt: str, *, reads: bool) -> frozenset[str]:
        """Read the runs that this project's receipt lists there; none where it is not as it was looked at."""
        folder = self._state.places.folder
        content, listed = read_receipt(self.endpoint, folder, receipt, self._inventory.sweep)
        path = f"{folder}/{receipt}"
        seen = self._state.receipts.get(receipt, "").replace("-", " ")
        if make_checksum(content) != seen or path in self._unflushed:
            return frozenset()
        # What was read may be in memory alone, as of a file of a run; the checksum is of the disk.
        expected = {path: hashlib.sha256(content).hexdigest()}
        is_on_disk = not reads or self.contents.read_checksums({path: len(content)}) == expected
        return listed if is_on_disk else frozenset()

    def find_linked(self, units: Mapping[str, Unit], paths: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
        """Find which of some files have a second name there, by the paths of their units.

        Raises:
            HsmError: It cannot be looked at.
        """
        wanted = {path: [f"{self.get_base(units[path])}/{each}" for each in found] for path, found in paths.items()}
        linked = self.contents.find_linked([place for found in wanted.values() for place in found])
        return {
            path: frozenset(each for each, place in zip(paths[path], places, strict=True) if place in linked)
            for path, places in wanted.items()
        }

    def find_machine(self) -> frozenset[str]:
        """Find what its machine is known by; a name is looked up."""
        return find_machine(self._connection.find_host())

    @property
    def roots(self) -> dict[Root, str]:
        """The real paths of its folders that are there."""
        found = self._state.destination.items()
        return {root: there.path for root, there in found if there.kind is EntryKind.FOLDER}

    @property
    def endpoint(self) -> Endpoint:
        """Its end."""
        return self._connection.endpoint

    @property
    def contents(self) -> Contents:
        """Access to whole files there."""
        return self._connection.contents()

    def get_entries(self, unit: Unit) -> dict[str, Entry]:
        """Return the entries of a unit as of the last look, by path relative to it."""
        return self._entries.get(_get_key(unit), {})

    def make_cleaned_place(self) -> CleanedPlace:
        """Make the record of its address and folders."""
        settings, roots = self._settings, self._state.roots
        return CleanedPlace(settings.host, settings.user, settings.port, roots[Root.SWEEPS], roots[Root.WANDB])

    def _make_copy(self, unit: Unit, checksums: Mapping[str, str], *, is_listed: bool) -> Copy:
        base, entries = self.get_base(unit), self.get_entries(unit)
        return Copy(
            target=self.name,
            place=self.place,
            record=self._records.get(unit.name),
            entries=entries,
            checksums={path: checksums[f"{base}/{path}"] for path in entries if f"{base}/{path}" in checksums},
            left=find_unsent(unit, self._inventory, self._settings.options),
            devices=_read_devices(base, entries) if self._connection.is_folder else {},
            shared=frozenset(self._shared.get(ROOTS, set()) | self._shared.get(unit.path, set())),
            unmarked=self._unmarked.get(unit.path, ""),
            unflushed=self._list_unflushed(unit, base),
            is_listed=is_listed,
            file_system=self._disks.find(self._state.destination).get(unit.root),
        )

    def _list_unflushed(self, unit: Unit, base: str) -> dict[str, str]:
        """List what of a unit could not be flushed; a folder above it counts for all that lie in it."""
        found = {}
        for path, words in self._unflushed.items():
            if path.startswith(f"{base}/") and self.get_entries(unit).get(path[len(base) + 1 :]) is not None:
                found[path[len(base) + 1 :]] = words
            elif f"{base}/".startswith(f"{path}/"):
                found[""] = f"{path}: {words}"
        return found

    def _iter_files(self, unit: Unit) -> Iterator[tuple[str, Entry, int]]:
        """Yield the plain files there that stand for something here: path in the unit, entry, and the size to have."""
        sizes = unit.sizes_there
        for path, entry in self.get_entries(unit).items():
            if entry.kind is EntryKind.FILE and path in sizes:
                yield path, entry, sizes[path]

    def get_name(self, unit: Unit) -> str:
        """Return the path of a unit below its root there."""
        folder = sweep_folder(self._inventory.sweep, self._inventory.place)
        return unit.name or (f"{folder}/{unit.job}" if unit.job else folder)

    def get_base(self, unit: Unit) -> str:
        """Return the absolute path of a unit there."""
        return f"{self._state.roots[unit.root].rstrip('/')}/{self.get_name(unit)}"


def _get_key(unit: Unit) -> tuple[str, str]:
    return unit.name, unit.job


def _group_entries(
    state: DestinationState, folder: str, jobs: Collection[str]
) -> dict[tuple[str, str], dict[str, Entry]]:
    """Group what lies there by run and by job, all of the sweep's folder under no name; by path relative to them."""
    own: dict[str, Entry] = {}
    found: dict[tuple[str, str], dict[str, Entry]] = {(SWEEP_FOLDER, ""): own}
    found |= {(SWEEP_FOLDER, job): {} for job in jobs}
    prefix = f"{folder}/"
    for path, entry in state.destination[Root.SWEEPS].entries.items():
        if path.startswith(prefix):
            own[path[len(prefix) :]] = entry
    for path, entry in own.items():
        parts = path.split("/")
        for count in range(1, len(parts)):
            inner = found.get((SWEEP_FOLDER, "/".join(parts[:count])))
            if inner is not None:
                inner["/".join(parts[count:])] = entry
    for path, entry in state.destination[Root.WANDB].entries.items():
        run, _, rest = path.partition("/")
        if rest:
            found.setdefault((run, ""), {})[rest] = entry
    return found


def _list_above(files: Iterable[str], tops: Collection[str]) -> list[str]:
    """List the folders above files, each once, up to the target's own: a file is there once all these names are."""
    found: dict[str, None] = {}
    for file in files:
        folder = file
        while folder and folder not in tops:
            folder = folder.rpartition("/")[0]
            if folder in found:
                break
            found[folder or "/"] = None
    return list(found)


def _read_devices(base: str, entries: Mapping[str, Entry]) -> dict[str, int]:
    """Read the file systems of files of this machine."""
    devices = {}
    for path, entry in entries.items():
        if entry.kind is EntryKind.FILE:
            with contextlib.suppress(OSError):
                devices[path] = os.lstat(f"{base}/{path}").st_dev
    return devices
