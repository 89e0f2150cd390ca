"""How sweeps stand, as values, and the JSON document of `hsm sync status` (docs/SYNC.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hsm.errors import ExitCode, HsmError
from hsm.model import Problem
from hsm.records.receipt import Sender
from hsm.sync.reports import State, make_error_document, make_problem_document
from hsm.sync.status.standing import SyncState, SyncTally

SCHEMA = 1


class Question(NamedTuple):
    """A sweep's id, a target's name, and `push` or `pull`."""

    sweep: str
    target: str
    direction: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a target answered to `--check`.

    Attributes:
        state: How the look ended, as a dry run reports it.
        n_files: That a sync would send.
        n_bytes: Of those.
        n_complete: Runs that have ended and are equal there.
        is_complete: Nothing is to be sent, and every run here is among those.
        error: Why it could not be told; None otherwise.
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
    """How one sweep stands at one target.

    Attributes:
        name: The target's.
        direction: `push` or `pull`.
        tally: What is proven, compared with what is here.
        updated_ns: When the target was last brought up to date, nanoseconds since the epoch; 0 for never.
        last_error: What went wrong the last time; empty when nothing did.
        problems: What stands in the way here.
        asked: What the target says; None where it was not asked.
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
        """Whether everything is there; what the target itself says counts first."""
        if any(problem.is_failure for problem in self.problems):
            return False
        return self.asked.is_complete if self.asked is not None else self.tally.is_complete

    @property
    def is_whole(self) -> bool:
        """Whether it is complete, and nothing was left out for any reason."""
        return self.is_complete and self.tally.is_whole


@dataclass(frozen=True, slots=True)
class ReceivedStatus:
    """What one receipt says of a sweep that lies here, as far as it is valid.

    Attributes:
        receipt: The file, absolute.
        source: Where the files came from; None where the receipt cannot be used.
        written_at: By the source's clock, ISO 8601 in UTC.
        runs: By run, what the receipt says.
        sweep_folder: The same of the sweep's folder; None where it was not brought.
        whole: Runs of which nothing was left out, the sweep's folder under its empty name.
        missing: Runs of which fewer files or bytes lie here than were proven; the sweep's folder under its empty name.
        exact: Runs that lie here file by file as proven, by path, size and time; likewise.
        n_files: Proven files.
        n_bytes: Of the proven files.
        left: How many files were left out, by reason.
        problems: Why the receipt cannot be used.
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
    problems: tuple[Problem, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the receipt is valid, says that everything is complete, and none of it is missing here."""
        tally = SyncTally(self.runs, self.sweep_folder, self.whole)
        return self.source is not None and tally.is_complete and not self.missing

    @property
    def is_whole(self) -> bool:
        """Whether it is complete, and nothing was left out for any reason."""
        return self.is_complete and SyncTally(self.runs, self.sweep_folder, self.whole).is_whole


@dataclass(frozen=True, slots=True)
class CleanedStatus:
    """What was removed here of a sweep and has not come back.

    Attributes:
        runs: Names of run folders.
        sweep_folder: The sweep's own folder was removed.
        n_files: Files that are at the targets.
        n_bytes: Of those.
        copies: By target, how many of these runs, the sweep's folder among them, were proven there.
        left: What a clean that was interrupted has not removed yet, absolute paths.
    """

    runs: tuple[str, ...]
    sweep_folder: bool
    n_files: int
    n_bytes: int
    copies: Mapping[str, int]
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """How one sweep stands: at the targets, and here as it was received.

    Attributes:
        sweep: Its id.
        targets: That it is brought to or comes from.
        received: One for each receipt that lies here.
        problems: Why nothing can be told.
        cleaned: What `hsm sync clean` removed here; None where it removed nothing.
    """

    sweep: str
    targets: tuple[TargetStatus, ...] = ()
    received: tuple[ReceivedStatus, ...] = ()
    problems: tuple[Problem, ...] = ()
    cleaned: CleanedStatus | None = None

    @property
    def is_complete(self) -> bool:
        """Whether there is something to tell, and all of it is complete."""
        parts: list[TargetStatus | ReceivedStatus] = [*self.targets, *self.received]
        return bool(parts) and not self.problems and all(part.is_complete for part in parts)


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A whole call: the sweeps in their order, oldest first where none was named."""

    sweeps: tuple[SweepStatus, ...]

    @property
    def exit_code(self) -> ExitCode:
        """0 when there is a sweep and all are complete, else 1; 130 when asking was interrupted."""
        states = {row.asked.state for sweep in self.sweeps for row in sweep.targets if row.asked is not None}
        if State.INTERRUPTED.value in states:
            return ExitCode.INTERRUPTED
        is_complete = bool(self.sweeps) and all(sweep.is_complete for sweep in self.sweeps)
        return ExitCode.DONE if is_complete else ExitCode.PARTIAL


def count_standings(runs: Mapping[str, SyncState]) -> dict[str, int]:
    """How many runs there are, in all and by standing."""
    found = Counter(runs.values())
    return {"total": len(runs), **{standing.value: found[standing] for standing in SyncState}}


def make_status_document(report: StatusReport) -> dict[str, object]:
    """The report as JSON values."""
    return {
        "schema": SCHEMA,
        "command": "sync status",
        "exit_code": int(report.exit_code),
        "error": None,
        "sweeps": [
            {
                "sweep": sweep.sweep,
                "complete": sweep.is_complete,
                "targets": [_make_target_document(target) for target in sweep.targets],
                "received": [_make_received_document(received) for received in sweep.received],
                "cleaned": sweep.cleaned and _make_cleaned_document(sweep.cleaned),
                "problems": [make_problem_document(problem) for problem in sweep.problems],
            }
            for sweep in report.sweeps
        ],
    }


def _make_target_document(target: TargetStatus) -> dict[str, object]:
    tally, asked = target.tally, target.asked
    return {
        "name": target.name,
        "direction": target.direction,
        "complete": target.is_complete,
        "whole": target.is_whole,
        "runs": count_standings(tally.runs),
        "sweep_folder": tally.sweep_folder.value if tally.sweep_folder else None,
        "files": tally.n_files,
        "bytes": {"proven": tally.n_bytes, "pending": tally.pending_bytes},
        "left": dict(tally.left),
        "updated_ns": target.updated_ns,
        "last_error": target.last_error,
        "problems": [make_problem_document(problem) for problem in target.problems],
        "asked": asked
        and {
            "state": asked.state,
            "files": asked.n_files,
            "bytes": asked.n_bytes,
            "runs_complete": asked.n_complete,
            "error": make_error_document(asked.error),
            "problems": [make_problem_document(problem) for problem in asked.problems],
        },
    }


def _make_cleaned_document(cleaned: CleanedStatus) -> dict[str, object]:
    return {
        "runs": list(cleaned.runs),
        "sweep_folder": cleaned.sweep_folder,
        "files": cleaned.n_files,
        "bytes": cleaned.n_bytes,
        "copies": dict(cleaned.copies),
        "left": list(cleaned.left),
    }


def _make_received_document(received: ReceivedStatus) -> dict[str, object]:
    source = received.source
    return {
        "receipt": received.receipt,
        "source": source and {"id": source.id, "host": source.host, "path": source.path},
        "written_at": received.written_at,
        "complete": received.is_complete,
        "whole": received.is_whole,
        "runs": count_standings(received.runs),
        "sweep_folder": received.sweep_folder.value if received.sweep_folder else None,
        "missing": list(received.missing),
        "exact": len(received.exact),
        "files": received.n_files,
        "bytes": received.n_bytes,
        "left": dict(received.left),
        "problems": [make_problem_document(problem) for problem in received.problems],
    }
