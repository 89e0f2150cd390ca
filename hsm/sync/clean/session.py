"""Session of a clean: the locks of both sides, and the targets whose copies count."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from hsm.config.schema import TargetSettings
from hsm.errors import HsmError, TargetError
from hsm.model import SweepInventory
from hsm.progress import Reporter, StepStarted, TargetEnded
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import CleanedPlace
from hsm.records.journal import load_journal, make_route
from hsm.records.lock import hold_local_lock
from hsm.records.source_id import load_source_id
from hsm.sync.clean.marked_lock import MarkedLock
from hsm.sync.clean.target import CleanTarget
from hsm.sync.clean.values import Copy, Unit, UnitVerdict
from hsm.sync.source import ProjectSource
from hsm.targets.contract import Connection

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
        self._sweep = source.sweeps[0].id
        self._connect = connect
        self._reporter = reporter
        self._stack = stack
        self._targets: dict[str, CleanTarget] = {}
        self._locks: dict[str, MarkedLock] = {}

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
            path = folder.lock(name, self._sweep)
            self._stack.enter_context(hold_local_lock(path, sweep=self._sweep, target=name, breaks=False))

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

    def lock_targets(self, here: Collection[str]) -> None:
        """Take the lock of each target, which leaves a mark in its folders, and look where else it is to be seen.

        Args:
            here: Folders in which the project's own results lie; a target whose mark is seen there holds no copy.
        """
        source_id = load_source_id(self._source.project)
        for target in list(self._targets.values()):
            self._reporter.report(StepStarted(target.name, "lock"))
            try:
                self._lock_target(target, source_id, here)
            except HsmError as error:
                self._fail(target.name, error)

    def read_copies(self, units: Sequence[Unit], *, flushes: bool, reads: bool) -> dict[str, list[Copy]]:
        """Read the copies of units at each target, by the units' paths here.

        Args:
            units: With their checksums.
            flushes: Have the targets write to their disks first; otherwise only make sure that they can.
            reads: Take checksums there.
        """
        found: dict[str, list[Copy]] = {}
        for target in list(self._targets.values()) if units else ():
            self._reporter.report(StepStarted(target.name, "verify"))
            try:
                if flushes:  # a copy that is only in the target's memory is lost with its power
                    target.flush(units)
                else:
                    target.check_flush()
                copies = target.read_copies(units, reads=reads)
            except HsmError as error:
                self._fail(target.name, error)
                continue
            self._reporter.report(TargetEnded(target.name, "verified"))
            for path, copy in copies.items():
                found.setdefault(path, []).append(copy)
        return found

    def find_changed(self, going: Sequence[UnitVerdict], copies: Mapping[str, Sequence[Copy]]) -> dict[str, str]:
        """Find the units that are no longer at the targets as they were read. Called right before anything is removed.

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
        for name in self._list_needed(going):
            self._locks[name].confirm()
            target = self._targets[name]
            target.look()
            for verdict in going:
                path = verdict.unit.path
                seen = [copy.entries for copy in copies[path] if copy.target == name]
                if name in verdict.copies and seen != [target.get_entries(verdict.unit)]:
                    kept[path] = f"it has changed at {name} since it was read there"
        return kept

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
        return CleanTarget(connection, settings, inventory, journal.runs)

    def _lock_target(self, target: CleanTarget, source_id: str, here: Collection[str]) -> None:
        for (
            name,
            other,
        ) in self._locks.items():  # before its own lock is taken, which empties the temporary folder there
            if target.shows(other.mark):
                target.place = self._targets[name].place
        lock = target.take_lock(source_id, {other.nonce: name for name, other in self._locks.items()})
        self._stack.callback(lock.give_back)
        if any(os.path.lexists(f"{folder}/{lock.mark}") for folder in here):
            raise TargetError(
                f"Target {target.name} is this project itself, by another name: what lies there is no copy.",
                hint="Name a target in another place with --target.",
                kind="same_place",
            )
        self._locks[target.name] = lock

    def _fail(self, name: str, error: HsmError) -> None:
        self.errors[name] = error
        self._targets.pop(name, None)
        self._reporter.report(TargetEnded(name, "failed"))


@contextmanager
def _open(connection: Connection, *, may_ask: bool) -> Iterator[None]:
    """Log in, and keep open what questions go over while inside.

    Raises:
        HsmError: The target is out of reach.
    """
    with connection.keep_open():
        connection.login(may_ask=may_ask)
        yield
