"""Setup of one exchange: its two ends, what is copied between them, and how."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from hsm.endpoint import Endpoint
from hsm.model import Root, SweepInventory
from hsm.plan.disk.times import find_source_time
from hsm.remote.guard import MakeGuard
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.options import ExchangeOptions
from hsm.sync.bring.survey import DestinationState
from hsm.sync.observer import Observer
from hsm.targets.contract import Connection
from hsm.transfer.base import Engine


@dataclass(frozen=True, slots=True)
class Direction:
    """The two ends of an exchange, of which one is the target and one is here.

    Attributes:
        source: Where files come from.
        destination: Where they go.
        roots: The destination's folders as configured.
        make_guard: Makes what keeps lock and receipt at the destination.
        is_pull: The target is the source.
        own: The destination's folder of sweeps, in which lock and receipts lie, where that is none of the roots.
    """

    source: Endpoint
    destination: Endpoint
    roots: Mapping[Root, str]
    make_guard: MakeGuard
    is_pull: bool = False
    own: str = ""


@dataclass(frozen=True, slots=True)
class ExchangeSetup:
    """Everything that the steps of one exchange share.

    Attributes:
        connection: To the target; a login has been made.
        direction: From where to where.
        inventory: What is copied, as `hsm.sync.bring.options.select_wanted` leaves it, or a part of that.
        options: How it is copied.
        ledger: Of the sweep at the target.
        observer: Told what happens.
    """

    connection: Connection
    direction: Direction
    inventory: SweepInventory
    options: ExchangeOptions
    ledger: Ledger
    observer: Observer

    @property
    def destination(self) -> Endpoint:
        """The end to which files go."""
        return self.direction.destination

    @property
    def update_only(self) -> bool:
        """True where the engine leaves what is newer there.

        With `check_remote_first: false` the plan has compared nothing, so rsync's own comparison must keep what is
        newer; a plan that has compared names only what is to be replaced.
        """
        return not (self.options.plan.is_checked or self.options.plan.overwrite)

    def make_engine(self, there: DestinationState) -> Engine:
        """Make the engine between the two ends.

        Raises:
            HsmError: None can work.
        """
        return self.connection.make_engine(
            there.roots,
            workspace=self.ledger.holding.workspace,
            update_only=self.update_only,
            pulls=self.direction.is_pull,
        )

    def find_source_time(self) -> int:
        """Find the time by the source's clock, or one before it."""
        now_ns = time.time_ns()
        if not self.direction.is_pull:
            return now_ns
        return find_source_time((file.mtime_ns for file in self.inventory.files), now_ns)
