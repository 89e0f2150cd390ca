"""Glance at a project, for `hsm` alone: from journals and names of folders here, however many runs there are.

No log and no run's folder is looked into: `hsm sync status` compares what is here, and takes seconds for 10,000 runs.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hsm.config.loaded import LoadedConfig
from hsm.discover.sweeps import is_run_name, look_for_sweeps, parse_timestamp
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Journal, list_journals
from hsm.records.record import SWEEP_FOLDER
from hsm.remote.local import LocalEndpoint
from hsm.sync.places import make_layout
from hsm.sync.status.direction import find_direction


@dataclass(frozen=True, slots=True)
class TargetGlance:
    """One sweep at one target, as its journal has it.

    Attributes:
        name: The target's.
        n_runs: Runs that the last syncs met.
        n_complete: Those of them that have ended and are verified.
        states: Their number in each state, when they were synced last.
        updated_ns: Of the last sync.
        is_failed: It ended with an error.
    """

    name: str
    n_runs: int
    n_complete: int
    states: Mapping[str, int]
    updated_ns: int
    is_failed: bool = False

    @property
    def is_complete(self) -> bool:
        """True where no run is known that is not complete."""
        return self.n_runs == self.n_complete and not self.is_failed


@dataclass(frozen=True, slots=True)
class SweepGlance:
    """One sweep.

    Attributes:
        sweep: Its id.
        targets: Those that it was synced with, in the order of the configuration.
    """

    sweep: str
    targets: tuple[TargetGlance, ...] = ()

    @property
    def age_key(self) -> str:
        """Digits that compare like times: of the name, else of the last sync."""
        newest = max((target.updated_ns for target in self.targets), default=0)
        return parse_timestamp(self.sweep) or str(newest // 10**9)


@dataclass(frozen=True, slots=True)
class ProjectGlance:
    """A project.

    Attributes:
        direction: `to` or `from`.
        targets: Those of a call that names none.
        sweeps: Newest first.
        new: For each target the number of run folders here that no sync with it has met; none where sweeps are pulled.
    """

    direction: str
    targets: tuple[str, ...]
    sweeps: tuple[SweepGlance, ...]
    new: Mapping[str, int] = field(default_factory=dict)

    @property
    def updated_ns(self) -> int:
        """Time of the last sync, nanoseconds since the epoch; 0 for never."""
        return max((target.updated_ns for sweep in self.sweeps for target in sweep.targets), default=0)


def read_glance(loaded: LoadedConfig) -> ProjectGlance:
    """Read what this machine's records say of a project. Asks nobody, and changes nothing."""
    layout = make_layout(loaded)
    targets = tuple(loaded.config.sync_targets)
    ids = {sweep.id for sweep in look_for_sweeps(LocalEndpoint(), layout).sweeps}
    found: dict[str, list[TargetGlance]] = {sweep: [] for sweep in ids}
    known: dict[str, set[str]] = {}
    folder = ProjectFolder(loaded.project)
    for target in targets:
        known[target] = set()
        for sweep in folder.list_journals(target):
            for journal in list_journals(loaded.project, target, sweep):
                found.setdefault(sweep, []).append(_make_target(target, journal))
                known[target].update(journal.runs)
    direction = find_direction(loaded)
    here = _list_runs((layout.wandb, *(f"{layout.wandb}/{sweep}" for sweep in ids))) if direction == "to" else set()
    sweeps = sorted(
        (SweepGlance(sweep, tuple(rows)) for sweep, rows in found.items()),
        key=lambda sweep: sweep.age_key,
        reverse=True,
    )
    default = loaded.config.default_target or targets
    new = {target: len(here - known[target]) for target in default if target in known} if here else {}
    return ProjectGlance(direction, tuple(default), tuple(sweeps), {name: n for name, n in new.items() if n})


def _make_target(target: str, journal: Journal) -> TargetGlance:
    runs = [record for name, record in journal.runs.items() if name != SWEEP_FOLDER]
    return TargetGlance(
        target,
        len(runs),
        sum(record.is_complete for record in runs),
        Counter(record.state for record in runs if record.state),
        journal.updated_ns,
        is_failed=bool(journal.last_error),
    )


def _list_runs(folders: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            found.update(name for name in os.listdir(folder) if is_run_name(name))  # noqa: PTH208 - any bytes
    return found
