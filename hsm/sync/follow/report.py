"""Report of sweeps that were followed, as values, and what `--json` adds for it (docs/SYNC.md, "Follow a sweep")."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hsm.errors import ExitCode
from hsm.sync.counts import find_complete_runs
from hsm.sync.follow.judgement import Awaited
from hsm.sync.reports import SyncReport, TargetReport, make_document, make_error_document


class FollowState(str, Enum):
    """State of a target."""

    FOLLOWED = "followed"
    COMPLETE = "complete"
    OPEN_ENDS = "open_ends"
    FAILING = "failing"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class FollowedTarget:
    """State of a target and its runs.

    Attributes:
        name: Its name.
        standing: The state.
        report: Of its worst sweep in the last pass; None before the first.
        n_failures: Failures in a row.
        next_seconds: Until it is tried again; None where it is not.
        complete: Number of runs that are complete there.
        pending: Number of those that have ended and are not.
    """

    name: str
    standing: FollowState
    report: TargetReport | None = None
    n_failures: int = 0
    next_seconds: float | None = None
    complete: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True)
class FollowStatus:
    """State of everything between two passes.

    Attributes:
        sweeps: Progress of each sweep.
        targets: In the order asked for.
        n_passes: Passes that are over.
        next_seconds: Until the next pass; 0 while one is under way.
    """

    sweeps: dict[str, Awaited]
    targets: tuple[FollowedTarget, ...]
    n_passes: int = 0
    next_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FollowReport:
    """A whole call that followed.

    Attributes:
        report: For each sweep and target, its last pass.
        status: The state of everything at the end.
        seconds: Its duration.
        n_files: Files verified to have arrived, over all passes.
        n_bytes: Of these files.
        is_interrupted: It was ended by the user.
    """

    report: SyncReport
    status: FollowStatus
    seconds: float
    n_files: int = 0
    n_bytes: int = 0
    is_interrupted: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """130 when it was interrupted; else that of the last passes.

        And 1 where runs that are expected never began, or runs that have ended are not complete at a target, as when
        a choice leaves some of their files.
        """
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        code = self.report.exit_code
        is_short = any(awaited.missing for awaited in self.status.sweeps.values())
        is_short = is_short or any(target.pending for target in self.status.targets)
        return ExitCode.PARTIAL if code is ExitCode.DONE and is_short else code


def count_runs_there(report: TargetReport, awaited: Awaited) -> tuple[int, int]:
    """Count the runs that are complete at a target, and those that have ended and are not. Pure."""
    if report.plan is None:
        return 0, len(awaited.ended)
    complete = find_complete_runs(report.plan, report.result.outcomes if report.result is not None else {})
    ended = {run.name for run in report.plan.runs if run.name in awaited.ended}
    return len(complete & ended), len(ended - complete)


def make_follow_document(followed: FollowReport, *, with_plan: bool) -> dict[str, object]:
    """Make the document as JSON values: that of a single sync, with `follow` beside it."""
    status = followed.status
    return {
        **make_document(followed.report, with_plan=with_plan),
        "exit_code": int(followed.exit_code),
        "follow": {
            "interrupted": followed.is_interrupted,
            "passes": status.n_passes,
            "seconds": round(followed.seconds, 3),
            "files": followed.n_files,
            "bytes": followed.n_bytes,
            "sweeps": [_make_sweep_document(sweep, awaited) for sweep, awaited in status.sweeps.items()],
            "targets": [_make_target_document(target) for target in status.targets],
        },
    }


def _make_sweep_document(sweep: str, awaited: Awaited) -> dict[str, object]:
    return {
        "sweep": sweep,
        "over": awaited.is_over,
        "expected": {"source": awaited.expected.source.value, "runs": awaited.expected.count},
        "ended": len(awaited.ended),
        "open": list(awaited.open),
        "died": [{"run": run, "why": why} for run, why in awaited.died.items()],
        "missing": awaited.missing,
    }


def _make_target_document(target: FollowedTarget) -> dict[str, object]:
    return {
        "name": target.name,
        "standing": target.standing.value,
        "failures": target.n_failures,
        "complete": target.complete,
        "pending": target.pending,
        "error": make_error_document(target.report.error if target.report is not None else None),
    }
