"""The request that push, pull, verify and status share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hsm.config.settings import TargetSettings
from hsm.model import Root
from hsm.plan.choice import RunChoice
from hsm.remote.retry import PAUSES_SECONDS


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """A request to copy sweeps to targets, or from them.

    Attributes:
        sweeps: As typed: ids, unambiguous prefixes, `latest`.
        targets: By name, in the order asked for; without what the file says of single sweeps.
        is_dry_run: Plan only.
        roots: Which of the two folders (`--sweep-only`, `--wandb-only`).
        all_versions: Send superseded versions too.
        overwrite: Send what is newer at the target too.
        choice: Which runs, and which files of them.
        only: The names of the runs that alone are meant, by the sweep's id, beside what the words say.
        allowed: Safety checks that are waived.
        may_ask: ssh may ask in this terminal.
        breaks_lock: Take the locks of a sweep whoever holds them.
        does_after_sync: Do what the targets' `after_sync` says.
        lists_files: The report will name single files.
        pauses_seconds: Before each further try after a dropped connection.
    """

    sweeps: tuple[str, ...]
    targets: Mapping[str, TargetSettings]
    is_dry_run: bool = False
    roots: tuple[Root, ...] = tuple(Root)
    all_versions: bool = False
    overwrite: bool = False
    choice: RunChoice = field(default_factory=RunChoice)
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    allowed: frozenset[str] = field(default_factory=frozenset)
    may_ask: bool = False
    breaks_lock: bool = False
    does_after_sync: bool = True
    lists_files: bool = False
    pauses_seconds: tuple[float, ...] = PAUSES_SECONDS
