"""Reports of a sync, as values, and the JSON document that `--json` prints (docs/SYNC.md, "The JSON document")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from hsm.errors import ExitCode, HsmError
from hsm.model import PlanItem, Problem, Reason, Root, SyncPlan
from hsm.plan.summary import Counts
from hsm.sync.counts import count_bytes, count_files, count_runs, get_outcomes
from hsm.transfer.outcome import Outcome, Streams, TransferResult

SCHEMA = 1


class State(str, Enum):
    """End of one sweep at one target."""

    DONE = "done"
    NOTHING_TO_DO = "nothing_to_do"
    PLANNED = "planned"
    PARTIAL = "partial"
    FAILED = "failed"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    LOCKED = "locked"
    INTERRUPTED = "interrupted"


class StepState(str, Enum):
    """End of one step of `after_sync`."""

    PLANNED = "planned"
    DONE = "done"
    NOTHING_TO_DO = "nothing_to_do"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AfterStep:
    """One step of `after_sync`.

    Attributes:
        step: `wandb_sync` or `run`.
        state: Its end; planned in a dry run.
        command: Of a `run`.
        runs: Those that were uploaded, or would be.
        exit_code: Of the last command; None where none was run, or where it gave none.
        output: Everything that was printed, up to 64 KiB of each command.
        staged_files: Of a `wandb_sync`: number of waiting files of artifacts that were copied first, or would be.
        staged_bytes: Of these files.
    """

    step: str
    state: StepState
    command: str = ""
    runs: tuple[str, ...] = ()
    exit_code: int | None = None
    output: str = ""
    staged_files: int = 0
    staged_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TargetReport:
    """One sweep at one target.

    Attributes:
        name: The target's.
        state: Its end.
        exit_code: The program's, were this target alone.
        error: The reason why it could not go on; None otherwise.
        plan: None when it did not come to a plan.
        result: The transfer's; None when nothing was transferred.
        problems: Of single paths, the plan's and the transfer's.
        seconds: Duration of each step.
        after: Steps that were taken there afterwards.
        counts: Of an earlier plan, where nothing has changed since and so none was made.
    """

    name: str
    state: State
    exit_code: ExitCode
    error: HsmError | None = None
    plan: SyncPlan | None = None
    result: TransferResult | None = None
    problems: tuple[Problem, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    after: tuple[AfterStep, ...] = ()
    counts: Counts | None = None


@dataclass(frozen=True, slots=True)
class SweepReport:
    """One sweep at all its targets, in the order asked for.

    Attributes:
        sweep: Its id.
        targets: What became of it at each.
        only: The names of its runs that alone were meant; empty for all.
    """

    sweep: str
    targets: tuple[TargetReport, ...]
    only: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SyncReport:
    """A whole call.

    Attributes:
        command: As typed, without arguments, for example `sync to`.
        direction: `push` or `pull`.
        is_dry_run: Nothing was touched.
        sweeps: In the order asked for.
        error: The reason why the whole call could not go on; None otherwise.
    """

    command: str
    direction: str
    is_dry_run: bool
    sweeps: tuple[SweepReport, ...] = ()
    error: HsmError | None = None

    @property
    def exit_code(self) -> ExitCode:
        """130 if anything was interrupted, else the common code if all agree, else 1."""
        if self.error is not None:
            return self.error.exit_code
        return merge_exit_codes(target.exit_code for sweep in self.sweeps for target in sweep.targets)

    def make_document(self, *, with_plan: bool = False) -> dict[str, object]:
        """Make the document that `--json` prints; see the function `make_document`."""
        return make_document(self, with_plan=with_plan)


def merge_exit_codes(codes: Iterable[ExitCode]) -> ExitCode:
    """Merge exit codes of targets or sweeps: 130 if interrupted, else the common one if all agree, else 1."""
    found = set(codes)
    if ExitCode.INTERRUPTED in found:
        return ExitCode.INTERRUPTED
    return found.pop() if len(found) == 1 else ExitCode.PARTIAL if found else ExitCode.DONE


def make_document(report: SyncReport, *, with_plan: bool) -> dict[str, object]:
    """Make the document as JSON values.

    Args:
        report: The report.
        with_plan: Add `plan` to every target: each file that is not the same, and its end.
    """
    return {
        "schema": SCHEMA,
        "command": report.command,
        "direction": report.direction,
        "dry_run": report.is_dry_run,
        "exit_code": int(report.exit_code),
        "error": make_error_document(report.error),
        "sweeps": [
            {
                "sweep": sweep.sweep,
                "targets": [_make_target_document(target, with_plan=with_plan) for target in sweep.targets],
            }
            for sweep in report.sweeps
        ],
    }


def make_error_document(error: HsmError | None) -> dict[str, str] | None:
    """Make JSON values of an error."""
    if error is None:
        return None
    return {"kind": error.kind, "message": error.message, "hint": error.hint}


def _make_target_document(report: TargetReport, *, with_plan: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "name": report.name,
        "state": report.state.value,
        "exit_code": int(report.exit_code),
        "error": make_error_document(report.error),
        "files": count_files(report),
        "bytes": count_bytes(report),
        "runs": count_runs(report),
        "problems": [make_problem_document(problem) for problem in report.problems],
        "after_sync": [_make_step_document(step) for step in report.after],
        "streams": _make_streams(report.result.streams if report.result else None),
        "seconds": {step: round(seconds, 3) for step, seconds in report.seconds.items()},
    }
    if with_plan and report.plan is not None:
        document["plan"] = list(_iter_item_documents(report.plan.items, get_outcomes(report)))
    return document


def _iter_item_documents(
    items: Iterable[PlanItem], outcomes: Mapping[tuple[Root, str], Outcome]
) -> Iterable[dict[str, object]]:
    for item in items:
        if item.reason in (Reason.SAME, Reason.THERE):
            continue
        outcome = outcomes.get(item.file.key)
        yield {
            "root": item.file.root.value,
            "path": item.file.path,
            "bytes": item.file.size,
            "action": "send" if item.reason.is_send else "leave",
            "reason": item.reason.value,
            "detail": item.detail,
            "outcome": outcome.value if outcome is not None else None,
        }


def make_problem_document(problem: Problem) -> dict[str, object]:
    """Make JSON values of a problem."""
    return {
        "path": problem.path,
        "kind": problem.kind,
        "message": problem.message,
        "hint": problem.hint,
        "severity": "failure" if problem.is_failure else "notice",
    }


def _make_step_document(step: AfterStep) -> dict[str, object]:
    return {
        "step": step.step,
        "state": step.state.value,
        "command": step.command,
        "runs": list(step.runs),
        "exit_code": step.exit_code,
        "output": step.output,
        "staged_files": step.staged_files,
        "staged_bytes": step.staged_bytes,
    }


def _make_streams(streams: Streams | None) -> dict[str, object] | None:
    if streams is None:
        return None
    trip = streams.round_trip_seconds
    return {
        "engine": streams.engine,
        "count": streams.n_streams,
        "round_trip_seconds": None if trip is None else round(trip, 4),
        "compression": streams.compression or None,
    }
