"""Sweep that has arrived at a target: everything that the steps after a sync are about."""

from __future__ import annotations

from dataclasses import dataclass

from hsm.config.settings import TargetSettings
from hsm.endpoint import Endpoint
from hsm.targets.contract import Connection


@dataclass(frozen=True, slots=True)
class Arrival:
    """A sweep at a target, and where it came from.

    Attributes:
        sweep: Its id.
        connection: To the target; a login has been made.
        settings: The target's, for this sweep.
        source: The end that it came from, where logs can be read and files of artifacts wait.
        source_id: That project's, by which the receipt at the target is named.
    """

    sweep: str
    connection: Connection
    settings: TargetSettings
    source: Endpoint
    source_id: str
