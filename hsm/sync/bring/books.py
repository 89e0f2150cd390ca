"""Facts that the ledgers of all sweeps at one target share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hsm.records.journal import Route
from hsm.records.receipt import Sender


@dataclass(frozen=True, slots=True)
class Books:
    """Facts of one target.

    Attributes:
        project: The project's folder on this machine, which holds `.hsm/`.
        target: The target's name.
        route: Between which places files travel.
        source: Named in receipts.
        breaks_lock: Take locks whoever holds them.
    """

    project: Path
    target: str
    route: Route
    source: Sender
    breaks_lock: bool = False
