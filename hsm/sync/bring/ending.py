"""Ending of an exchange: its state and exit code. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from hsm.errors import ExitCode, HsmError, LockLostError
from hsm.model import SyncPlan
from hsm.sync.reports import State, TargetReport
from hsm.transfer.outcome import Outcome, TransferResult


class Ending(NamedTuple):
    """The end of the work at one target.

    Attributes:
        state: In a word.
        exit_code: Of the program.
        error: The reason why it could not go on; None where it has.
    """

    state: State
    exit_code: ExitCode
    error: HsmError | None = None


INTERRUPTED = Ending(State.INTERRUPTED, ExitCode.INTERRUPTED)

_FAILURE_STATES: Mapping[ExitCode, State] = {
    ExitCode.UNREACHABLE: State.UNREACHABLE,
    ExitCode.LOCKED: State.LOCKED,
    ExitCode.REFUSED: State.REFUSED,
    ExitCode.INTERRUPTED: State.INTERRUPTED,
}


def end_failed(error: HsmError) -> Ending:
    """Make the ending of work that could not go on."""
    return Ending(_FAILURE_STATES.get(error.exit_code, State.FAILED), error.exit_code, error)


def end_idle(plan: SyncPlan, result: TransferResult | None, *, is_dry_run: bool) -> Ending:
    """Make the ending of an exchange in which nothing was sent."""
    has_failed = _has_failed(plan, result)
    code = ExitCode.PARTIAL if has_failed else ExitCode.DONE
    if is_dry_run:
        return Ending(State.PLANNED, code)
    return Ending(State.PARTIAL if has_failed else State.NOTHING_TO_DO, code, result.error if result else None)


def end_transfer(plan: SyncPlan, result: TransferResult) -> Ending:
    """Make the ending of an exchange in which something was to be sent."""
    ends = Counter(result.outcomes.values())
    if result.is_interrupted:
        return INTERRUPTED._replace(error=result.error)
    if isinstance(result.error, LockLostError):
        return end_failed(result.error)
    if ends[Outcome.SENT] + ends[Outcome.UNCHANGED] == len(plan.sends) and not _has_failed(plan, result):
        return Ending(State.DONE if ends[Outcome.SENT] else State.NOTHING_TO_DO, ExitCode.DONE, result.error)
    if result.error is not None and not ends[Outcome.SENT]:
        return end_failed(result.error)
    return Ending(State.PARTIAL, ExitCode.PARTIAL, result.error)


def _has_failed(plan: SyncPlan, result: TransferResult | None) -> bool:
    return any(problem.is_failure for problem in (*plan.problems, *(result.problems if result else ())))


def make_failed_report(name: str, error: HsmError, seconds: Mapping[str, float]) -> TargetReport:
    """Make the report of a target at which the work could not begin."""
    return TargetReport(name, *end_failed(error), seconds=dict(seconds))


def make_interrupted_report(name: str) -> TargetReport:
    """Make the report of a target at which the user stopped the work before it began."""
    return TargetReport(name, INTERRUPTED.state, INTERRUPTED.exit_code)
