"""Session of a clean: the locks of both sides, and the targets whose copies count."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from hsm.config.settings import TargetSettings
from hsm.errors import HsmError, TargetError
from hsm.model import Entry, SweepInventory
from hsm.progress import Reporter, StepStarted, TargetEnded
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import CleanedPlace
from hsm.records.file_systems import load_file_systems
from hsm.records.journal import load_journal, make_route
from hsm.records.local_locks import LocalLocks
from hsm.records.receipt import get_receipt_name
from hsm.records.source_id import load_source_id
from hsm.sync.clean.comparison import has_inodes, list_twins
from hsm.sync.clean.marks import PlaceComparison, mark_here
from hsm.sync.clean.removal import LookError
from hsm.sync.clean.target import CleanTarget, UnitLook
from hsm.sync.clean.values import Copy, Unit, UnitVerdict
from hsm.sync.source import ProjectSource
from hsm.targets.contents.marks import make_mark_name
from hsm.targets.contract import Connection
from hsm.targets.lock import TargetLock, give_lock_back, make_lock_lost_error

ConnectTarget = Callable[[str, TargetSettings], Connection]
"""Makes the connection to a target; starts nothing."""


class CleanSession:
    """Everything that one clean holds open until its end. Used by one thread.

    A target at which something fails counts for nothing from then on, and the clean goes on without it; its lock is
    held to the end like the others.

    Args:
        source: The project here, with one sweep.
        connect: Makes the connections.
        reporter: Told of each step.
        stack: Gives everything back: the targets' locks first, then connections, the locks here last.

    Attributes:
        errors: Errors of targets that could not be asked, by name.
    """

    def __init__(self, source: ProjectSource, connect: ConnectTarget, reporter: Reporter, stack: ExitStack) -> None:
        self.errors: dict[str, HsmError] = {}
        self._source = source
        self._connect = connect
        self._reporter = reporter
        self._stack = stack
        self._targets: dict[str, CleanTarget] = {}
        self._locks: dict[str, TargetLock] = {}
        self._lock_files: dict[str, Entry | None] = {}
        self._locks_here = LocalLocks(stack, source.sweeps[0].id)

    @property
    def _sweep(self) -> str:
        return self._source.sweeps[0].id

    def lock_here(self, names: Iterable[str]) -> None:
        """Hold the locks here of all targets, so that no sync of the sweep reads or writes it meanwhile.

        Args:
            names: Those of the configuration, not only those that count: a sync to another one reads the same files.

        Raises:
            LockedError: A sync holds one of them.
            HsmError: One cannot be made.
        """
        folder = ProjectFolder(self._source.project)
        for name in sorted({*names, *folder.list_targets()}):
            self._locks_here.take(folder.lock(name, self._sweep), target=name)

    def lock_pulled(self, target: str, sweep: str) -> None:
        """Hold the lock here of another sweep too, whose record of pulls at a target is about to be changed.

        Raises:
            LockedError: A sync holds it.
            HsmError: It cannot be made.
        """
        folder = ProjectFolder(self._source.project)
        path = folder.lock(target, sweep)
        if path != folder.lock(target, self._sweep):  # that one is held from the beginning
            LocalLocks(self._stack, sweep).take(path, target=target)

    def open_targets(self, settings: Mapping[str, TargetSettings], inventory: SweepInventory, *, may_ask: bool) -> None:
        """Log in to targets and look at what is there.

        Args:
            settings: Of the targets, for this sweep, by name.
            inventory: Everything here, with the runs of which an interrupted clean left something.
            may_ask: ssh may ask in this terminal.
        """
        for name, found in settings.items():
            self._reporter.report(StepStarted(name, "login"))
            try:
                self._targets[name] = self._open_target(name, found, inventory, may_ask=may_ask)
            except HsmError as error:
                self._fail(name, error)

    def lock_targets(self) -> None:
        """Take the lock of each target."""
        source_id = load_source_id(self._source.project)
        for target in list(self._targets.values()):
            self._reporter.report(StepStarted(target.name, "lock"))
            try:
                held = {lock.holder.nonce: name for name, lock in self._locks.items()}
                lock = target.take_lock(source_id, held)
                self._stack.callback(give_lock_back, lock.guard)
                self._locks[target.name] = lock
            except HsmError as error:
                self._fail(target.name, error)

    def compare_places(self, units: Sequence[Unit], own: Collection[str]) -> None:
        """Find out by marks what lies at two ends and is the same; needs the locks.

        A target whose folders are the project's counts for nothing; of a unit that targets share, or have from here,
        the copies will say so.

        Args:
            units: Those whose copies count.
            own: Folders in which the project's results lie.
        """
        PlaceComparison(self._sweep, self._targets, self._fail, own).run(units)

    def read_copies(self, units: Sequence[Unit], *, flushes: bool, reads: bool) -> dict[str, list[Copy]]:
        """Read the copies of units at each target, by the units' paths here.

        Args:
            units: With their checksums.
            flushes: Have the targets write to their disks first; otherwise only make sure that they can.
            reads: Take checksums there.
        """
        found: dict[str, list[Copy]] = {}
        receipt = ""
        if any(unit.needs_receipt for unit in units):
            receipt = get_receipt_name(load_source_id(self._source.project))
        for target in list(self._targets.values()) if units else ():
            self._reporter.report(StepStarted(target.name, "verify"))
            try:
                if flushes:  # a copy that is only in the target's memory is lost with its power
                    target.flush(units, receipt)
                else:
                    target.check_flush()
                copies = target.read_copies(units, reads=reads, receipt=receipt)
            except HsmError as error:
                self._fail(target.name, error)
                continue
            self._reporter.report(TargetEnded(target.name, "verified"))
            for path, copy in copies.items():
                found.setdefault(path, []).append(copy)
        found = self._add_machines(found)
        return self._add_linked(units, found) if reads else found

    def _add_machines(self, copies: Mapping[str, list[Copy]]) -> dict[str, list[Copy]]:
        """Add what the targets' machines are known by, where inodes do not tell copies apart (SFTP alone)."""
        if not any(len(mine) > 1 and not all(map(has_inodes, mine)) for mine in copies.values()):
            return dict(copies)
        machines = {name: target.find_machine() for name, target in self._targets.items()}
        return {
            path: [replace(copy, machine=machines.get(copy.target, frozenset())) for copy in mine]
            for path, mine in copies.items()
        }

    def _add_linked(self, units: Sequence[Unit], copies: Mapping[str, list[Copy]]) -> dict[str, list[Copy]]:
        """Ask targets about the files whose inodes are equal to those of another place. Mostly there are none."""
        by_path = {unit.path: unit for unit in units}
        found = dict(copies)
        for target in list(self._targets.values()):
            twins = {path: list_twins(by_path[path], mine, target.name) for path, mine in found.items()}
            try:
                linked = target.find_linked(by_path, twins) if any(twins.values()) else {}
            except HsmError as error:
                self._fail(target.name, error)
                continue
            for path, names in linked.items():
                found[path] = [
                    replace(copy, linked=names) if copy.target == target.name else copy for copy in found[path]
                ]
        return {path: [copy for copy in mine if copy.target in self._targets] for path, mine in found.items()}

    def find_changed(self, going: Sequence[UnitVerdict], copies: Mapping[str, Sequence[Copy]]) -> dict[str, str]:
        """Find the units that are no longer at the targets as they were read. Called before anything is removed.

        Args:
            going: Verdicts of the units that are to be removed.
            copies: As they were read.

        Returns:
            The reasons why units stay after all, by path.

        Raises:
            LockedError: A lock was lost.
            HsmError: A target is out of reach.
        """
        kept: dict[str, str] = {}
        self._confirm_here()
        for name in self._list_needed(going):
            target = self._targets[name]
            target.look()
            self._lock_files[name] = target.look_at_lock()
            self._confirm(name)  # last: so what was seen of the lock's file was ours
            for verdict in going:
                if name in verdict.copies and not _is_as_read(copies, verdict, target):
                    kept[verdict.unit.path] = f"it has changed at {name} since it was read there"
        return kept

    def look_again(self, verdict: UnitVerdict, copies: Mapping[str, Sequence[Copy]], place: str) -> None:
        """Look at one unit at the targets once more, and at all locks. One round trip for each target, two over SFTP.

        A fresh mark tells whether a target has become this project meanwhile.

        Args:
            verdict: Of the unit.
            copies: As they were read.
            place: Its folder here at this moment.

        Raises:
            LookError: Something is not as it was.
            HsmError: A lock was lost, or a target is out of reach.
        """
        mark = make_mark_name(self._sweep)
        names = self._list_needed([verdict])
        with mark_here((), {place: [""]}, mark) as failures:
            if failures:
                raise LookError(f"no mark can be made in it any more: {failures[place]}")
            for name in names:
                seen = self._targets[name].look_at(verdict.unit, mark)
                if seen.has_mark:
                    raise LookError(f"{name} has become this project itself")
                if not _is_as_read(copies, verdict, self._targets[name]):
                    raise LookError(f"it has changed at {name} since it was read there")
                self._confirm_seen(name, seen)
        self._confirm_here()

    def _confirm(self, name: str) -> None:
        """Make sure that a target's lock has been ours all the time, and that nobody has recorded anything there."""
        if not self._locks[name].is_intact():
            raise make_lock_lost_error(self._sweep, name)

    def _confirm_seen(self, name: str, seen: UnitLook) -> None:
        """Make sure of the same by what a look saw of the lock's file; where that has no inode its content is asked."""
        file = self._lock_files.get(name)
        if file is None or not file.inode:
            self._confirm(name)
        elif seen.lock != file or seen.receipts != self._locks[name].receipts:
            raise make_lock_lost_error(self._sweep, name)

    def _confirm_here(self) -> None:
        if not self._locks_here.are_intact():
            raise make_lock_lost_error(self._sweep, "this project")

    def make_places(self, going: Sequence[UnitVerdict]) -> dict[str, CleanedPlace]:
        """Make the records of the targets that have what goes, by name: their addresses and folders."""
        return {name: self._targets[name].make_cleaned_place() for name in self._list_needed(going)}

    def _list_needed(self, going: Sequence[UnitVerdict]) -> list[str]:
        needed = {name for verdict in going for name in verdict.copies}
        return [name for name in self._targets if name in needed]

    def _open_target(
        self, name: str, settings: TargetSettings, inventory: SweepInventory, *, may_ask: bool
    ) -> CleanTarget:
        connection = self._connect(name, settings)
        path = ProjectFolder(self._source.project).journal(name, self._sweep)
        journal, _ = load_journal(path, make_route(settings, direction="push"), sets_aside=False)
        # Asked before the login: a target that cannot count is not bothered.
        if not any(record.is_complete for record in journal.runs.values()):
            raise TargetError(
                f"Nothing of {self._sweep} is known to be complete at {name}.",
                hint=f"Bring it there first: `hsm sync to {self._sweep} --target {name}`.",
                kind="nothing_there",
            )
        self._stack.enter_context(_open(connection, may_ask=may_ask))
        self._reporter.report(StepStarted(name, "check"))
        disks = load_file_systems(ProjectFolder(self._source.project).file_systems(name))
        return CleanTarget(connection, settings, inventory, journal.runs, disks)

    def _fail(self, name: str, error: HsmError) -> None:
        self.errors[name] = error
        self._targets.pop(name, None)
        self._reporter.report(TargetEnded(name, "failed"))


def _is_as_read(copies: Mapping[str, Sequence[Copy]], verdict: UnitVerdict, target: CleanTarget) -> bool:
    read = [copy.entries for copy in copies[verdict.unit.path] if copy.target == target.name]
    return read == [target.get_entries(verdict.unit)]


@contextmanager
def _open(connection: Connection, *, may_ask: bool) -> Iterator[None]:
    """Log in, and keep open what questions go over while inside.

    Raises:
        HsmError: The target is out of reach.
    """
    with connection.keep_open():
        connection.login(may_ask=may_ask)
        yield
