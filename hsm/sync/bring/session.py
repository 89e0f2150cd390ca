"""The targets of a call: the session that its passes share, and the service of one target after its login.

The session here, of a call with one pass, keeps nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TypeVar

from hsm.config.loaded import LoadedConfig
from hsm.discover.sweeps import Layout
from hsm.endpoint import Endpoint
from hsm.errors import HsmError
from hsm.model import SweepInventory
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter, TargetEnded
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.ending import make_failed_report, make_interrupted_report
from hsm.sync.observer import Observer, Stopwatch
from hsm.sync.reports import TargetReport
from hsm.sync.request import SyncRequest
from hsm.targets.connect import connect
from hsm.targets.contract import Connection

_Answer = TypeVar("_Answer")


class Session:
    """A call with one pass: each connection is closed after its use.

    Attributes:
        asks_early: A target may be asked before it is known whether anything has changed here.
    """

    asks_early = True

    @property
    def source(self) -> Endpoint:
        """This machine, where it is the source."""
        return LocalEndpoint()

    @contextlib.contextmanager
    def use(self, name: str, make: Callable[[], Connection]) -> Iterator[Connection]:  # noqa: ARG002 - of the other
        """Use the connection to a target, which stays open while inside.

        Args:
            name: The target's.
            make: Makes the connection; starts nothing.
        """
        connection = make()
        with connection.keep_open():
            yield connection

    def find_unchanged(self, name: str, inventory: SweepInventory) -> TargetReport | None:  # noqa: ARG002 - of the other
        """The report of a target that has all of this inventory already, as the last pass proved; None elsewhere.

        Args:
            name: The target's.
            inventory: What the source has of a sweep.
        """
        return None

    def find_owed(self, name: str, sweep: str) -> frozenset[str]:  # noqa: ARG002 - of the other
        """The commands of `after_sync` that failed at a target in the last pass, and so are run again in this one."""
        return frozenset()

    def note(self, name: str, inventory: SweepInventory, report: TargetReport) -> None:
        """Remember how an inventory fared at a target."""


class TargetService:
    """Connections to the targets of one call, and the ends of the work there. Each target has a thread of its own.

    Args:
        loaded: The configuration.
        request: What is wanted.
        runner: Starts the processes.
        reporter: Told what happens.
        session: What the passes of the call share.
    """

    def __init__(
        self, loaded: LoadedConfig, request: SyncRequest, runner: Runner, reporter: Reporter, session: Session
    ) -> None:
        self._loaded = loaded
        self._request = request
        self._runner = runner
        self._reporter = reporter
        self._session = session

    def serve(
        self,
        name: str,
        layout: Layout,
        work: Callable[[Connection, Stopwatch], _Answer],
        end: Callable[[TargetReport], _Answer],
    ) -> _Answer:
        """Log in to a target and work there.

        Args:
            name: The target's.
            layout: The folders of this project, which no target may be.
            work: Done once the login is made.
            end: Makes the answer where the work could not begin or was stopped.
        """
        stopwatch = self.start_stopwatch(name)
        try:
            with self._session.use(name, lambda: self._connect(name, layout)) as connection:
                with stopwatch.step("login"):
                    connection.login(may_ask=self._request.may_ask)
                return work(connection, stopwatch)
        except HsmError as error:
            return end(make_failed_report(name, error, stopwatch.seconds))
        except CommandStoppedError:
            return end(make_interrupted_report(name))

    def start_stopwatch(self, name: str) -> Stopwatch:
        """Make a stopwatch for the work on one sweep at a target."""
        return Stopwatch(name, self._reporter)

    def observe(self, stopwatch: Stopwatch) -> Observer:
        """Make what watches the work at a target, and can stop it."""
        return Observer(self._reporter, stopwatch, self._runner.sleep)

    def tell_end(self, report: TargetReport) -> TargetReport:
        """Tell that the work on a sweep at a target has ended, and return the report of it."""
        self._reporter.report(TargetEnded(report.name, report.state.value))
        return report

    def _connect(self, name: str, layout: Layout) -> Connection:
        request = self._request
        return connect(
            name,
            request.targets[name],
            self._runner,
            self._reporter,
            layout=layout,
            config=self._loaded.path,
            pauses_seconds=request.pauses_seconds,
            allowed=request.allowed,
        )
