"""Report of `hsm sync status`, as values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hsm.errors import ExitCode, HsmError
from hsm.model import Problem
from hsm.records.receipt import Sender
from hsm.sync.reports import State
from hsm.sync.status.standing import SyncState, SyncTally


class Question(NamedTuple):
    """A sweep's id, a target's name, and `push` or `pull`."""

    sweep: str
    target: str
    direction: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Answer of a target to `--check`.

    Attributes:
        state: The end of the look, as a dry run reports it.
        n_files: Files that a sync would send.
        n_bytes: Of those.
        n_complete: Runs that have ended and are equal there.
        is_complete: Nothing is to be sent, and every run here is among those.
        error: The reason why it could not be told; None otherwise.
        problems: Of single paths, with those that lie here.
    """

    state: str
    n_files: int = 0
    n_bytes: int = 0
    n_complete: int = 0
    is_complete: bool = False
    error: HsmError | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """Status of one sweep at one target.

    Attributes:
        name: The target's.
        direction: `push` or `pull`.
        tally: The comparison of what is verified with what is here.
        updated_ns: The time of the last sync, nanoseconds since the epoch; 0 for never.
        last_error: The last sync's error; empty when there was none.
        problems: Everything that stands in the way here.
        asked: The target's own answer; None where it was not asked.
    """

    name: str
    direction: str
    tally: SyncTally
    updated_ns: int = 0
    last_error: str = ""
    problems: tuple[Problem, ...] = ()
    asked: Asked | None = None

    @property
    def is_complete(self) -> bool:
        """True where everything is there; the target's own answer counts first."""
        if any(problem.is_failure for problem in self.problems):
            return False
        return self.asked.is_complete if self.asked is not None else self.tally.is_complete

    @property
    def is_whole(self) -> bool:
        """True where it is complete and nothing was left out for any reason."""
        return self.is_complete and self.tally.is_whole


@dataclass(frozen=True, slots=True)
class ReceivedStatus:
    """Claims of one receipt about a sweep that lies here, if it is valid.

    Attributes:
        receipt: The file, absolute.
        source: The project and machine that the files came from; None where the receipt cannot be used.
        written_at: By the source's clock, ISO 8601 in UTC.
        runs: State of each run, as the receipt has it.
        sweep_folder: The same of the sweep's folder; None where it was not synced.
        whole: Runs of which nothing was left out, the sweep's folder under its empty name.
        missing: Runs of which fewer files or bytes lie here than were verified; the sweep's folder likewise.
        exact: Runs that lie here file by file as verified, by path, size and time; likewise.
        n_files: Verified files.
        n_bytes: Of the verified files.
        left: The number of files that were left out, by reason.
        scope: What was missing of the sweep as a whole, by reason (`hsm.records.scope`).
        problems: The reason why the receipt cannot be used.
    """

    receipt: str
    source: Sender | None = None
    written_at: str = ""
    runs: Mapping[str, SyncState] = field(default_factory=dict)
    sweep_folder: SyncState | None = None
    whole: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    exact: frozenset[str] = frozenset()
    n_files: int = 0
    n_bytes: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    scope: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def is_complete(self) -> bool:
        """True where the receipt is valid, says that everything is complete, and none of it is missing here."""
        return self.source is not None and self._tally.is_complete and not self.missing

    @property
    def is_whole(self) -> bool:
        """True where it is complete and nothing was left out for any reason."""
        return self.is_complete and self._tally.is_whole

    @property
    def _tally(self) -> SyncTally:
        return SyncTally(self.runs, self.sweep_folder, self.whole, scope=self.scope)


@dataclass(frozen=True, slots=True)
class CleanedStatus:
    """Removed runs of a sweep that have not come back.

    Attributes:
        runs: Names of run folders.
        sweep_folder: The sweep's own folder was removed.
        n_files: Files that are at the targets.
        n_bytes: Of those.
        copies: By target, the number of these runs and folders that were verified there.
        left: Folders that an interrupted clean has not removed yet, absolute paths.
        jobs: Folders of Hydra's jobs, relative to the sweep's.
    """

    runs: tuple[str, ...]
    sweep_folder: bool
    n_files: int
    n_bytes: int
    copies: Mapping[str, int]
    left: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """Status of one sweep: at the targets, and here as it was received.

    Attributes:
        sweep: Its id.
        targets: Those that it goes to or comes from.
        received: One for each receipt that lies here.
        problems: The reasons why nothing can be told.
        cleaned: Runs that `hsm sync clean` removed here; None where it removed nothing.
    """

    sweep: str
    targets: tuple[TargetStatus, ...] = ()
    received: tuple[ReceivedStatus, ...] = ()
    problems: tuple[Problem, ...] = ()
    cleaned: CleanedStatus | None = None

    @property
    def is_complete(self) -> bool:
        """True where there is something to tell and all of it is complete."""
        parts: list[TargetStatus | ReceivedStatus] = [*self.targets, *self.received]
        return bool(parts) and not self.problems and all(part.is_complete for part in parts)


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A whole call.

    Attributes:
        sweeps: In their order, oldest first where none was named.
        said: How words were understood, a line each.
    """

    sweeps: tuple[SweepStatus, ...]
    said: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """0 when there is a sweep and all are complete, else 1; 130 when asking was interrupted."""
        states = {row.asked.state for sweep in self.sweeps for row in sweep.targets if row.asked is not None}
        if State.INTERRUPTED.value in states:
            return ExitCode.INTERRUPTED
        is_complete = bool(self.sweeps) and all(sweep.is_complete for sweep in self.sweeps)
        return ExitCode.DONE if is_complete else ExitCode.PARTIAL


def count_standings(runs: Mapping[str, SyncState]) -> dict[str, int]:
    """Count runs, in all and by standing."""
    found = Counter(runs.values())
    return {"total": len(runs), **{standing.value: found[standing] for standing in SyncState}}
