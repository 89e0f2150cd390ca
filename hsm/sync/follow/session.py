"""The session of a call with many passes: connections, folders as they were read, targets that have everything."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from hsm.endpoint import Endpoint
from hsm.errors import ExitCode
from hsm.model import SweepInventory
from hsm.remote.local import LocalEndpoint
from hsm.remote.shell import RemoteShell
from hsm.sync.bring.session import Session
from hsm.sync.follow.folder_memory import FolderMemory
from hsm.sync.reports import StepState, TargetReport
from hsm.targets.contract import Connection


class LastingSession(Session):
    """Session that keeps connections open, remembers folders, and does not ask a target that has everything.

    Such a target is asked again once something has changed here, or after `forget`. The connections stay open from the
    first pass to the last, since a login may have needed a person. Close it at the end.
    """

    asks_early = False

    def __init__(self) -> None:
        self.folders = FolderMemory()
        self._source = LocalEndpoint(scan=self.folders.scan)
        self._open: dict[str, tuple[Connection, AbstractContextManager[None]]] = {}
        self._settled: dict[tuple[str, str], tuple[SweepInventory, TargetReport]] = {}
        self._owed: dict[tuple[str, str], frozenset[str]] = {}
        self._lock = threading.Lock()

    @property
    def source(self) -> Endpoint:
        """See `Session.source`."""
        return self._source

    @contextlib.contextmanager
    def use(self, name: str, make: Callable[[], Connection]) -> Iterator[Connection]:
        """See `Session.use`; it stays open afterwards too."""
        with self._lock:
            found = self._open.get(name)
        if found is None:
            connection = make()
            keeping = connection.keep_open()
            keeping.__enter__()  # left in `drop`, passes later
            found = connection, keeping
            with self._lock:
                self._open[name] = found
        yield found[0]

    def find_unchanged(self, name: str, inventory: SweepInventory) -> TargetReport | None:
        """See `Session.find_unchanged`."""
        # The same inventory, with sizes and times: nothing here has changed since all of it was verified there.
        # A guess all the same, since somebody may have changed the target: `forget` ends it once an hour.
        known, report = self._settled.get((name, inventory.sweep), (None, None))
        return report if known == inventory else None

    def find_owed(self, name: str, sweep: str) -> frozenset[str]:
        """See `Session.find_owed`."""
        return self._owed.get((name, sweep), frozenset())

    def note(self, name: str, inventory: SweepInventory, report: TargetReport) -> None:
        """See `Session.note`."""
        key = name, inventory.sweep
        failed = frozenset(step.command for step in report.after if step.state is StepState.FAILED and step.command)
        # A pass that took no steps, since nothing arrived, leaves the debt of the one before.
        self._owed[key] = failed if report.after else self.find_owed(*key)
        if report.exit_code is ExitCode.DONE and report.plan is not None:
            self._settled[key] = inventory, report
        else:
            self._settled.pop(key, None)

    def get_shell(self, name: str) -> RemoteShell | None:
        """Return the shell of a target whose connection is open; None where no command may run."""
        with self._lock:
            found = self._open.get(name)
        return found[0].shell if found is not None else None

    def forget(self) -> None:
        """Look at everything anew in the next pass, here and at the targets. The connections stay."""
        self.folders.forget()
        self._settled.clear()

    def drop(self, name: str) -> None:
        """Close the connection to a target; the next use makes a new one."""
        with self._lock:
            found = self._open.pop(name, None)
        if found is not None:
            found[1].__exit__(None, None, None)

    def close(self) -> None:
        """Close all connections. May be called twice."""
        for name in list(self._open):
            self.drop(name)
