"""The session of a call, which its passes share. This one, of a call with one pass, keeps nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from hsm.endpoint import Endpoint
from hsm.model import SweepInventory
from hsm.remote.local import LocalEndpoint
from hsm.sync.reports import TargetReport
from hsm.targets.contract import Connection


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
