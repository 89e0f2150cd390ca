"""Reports of a pull put together: of a sweep that came in several parts, and of all targets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hsm.errors import ExitCode, LockLostError, UsageError
from hsm.model import Problem, SyncPlan
from hsm.sync.reports import State, SweepReport, TargetReport
from hsm.transfer.outcome import Outcome, TransferResult

_IDLE = frozenset({State.NOTHING_TO_DO, State.PLANNED})


NamedReport = tuple[str, TargetReport]
"""The id of a sweep, or the word that means none, and what became of it at one target."""


def join_reports(reports: Sequence[TargetReport], problems: Sequence[Problem] = ()) -> TargetReport:
    """Add up the reports of the parts of one sweep at one target.

    Args:
        reports: At least one, in their order. After one that could not go on there is no other.
        problems: Of the sweep as a whole, which the last part tells; it may be that it was not reached.
    """
    if len(reports) == 1 and not problems:
        return reports[0]
    last = reports[-1]
    plans = [report.plan for report in reports if report.plan is not None]
    results = [report.result for report in reports if report.result is not None]
    state, code = _end(reports)
    return replace(
        last,
        state=state,
        exit_code=code,
        plan=_join_plans(plans) if plans else None,
        result=_join_results(results) if results else None,
        problems=tuple(dict.fromkeys([*problems, *(each for report in reports for each in report.problems)])),
    )


def join_sweeps(
    targets: Iterable[str], reports: Mapping[str, Sequence[NamedReport]], only: Mapping[str, frozenset[str]]
) -> tuple[SweepReport, ...]:
    """Put together by sweep what each target answered.

    Args:
        targets: Their names.
        reports: By target.
        only: The names of the runs that alone are meant, by sweep.

    Raises:
        UsageError: A word means a sweep at no target.
    """
    by_sweep: dict[str, dict[str, TargetReport]] = {}
    for name in targets:
        for sweep, report in reports[name]:
            by_sweep.setdefault(sweep, {})[name] = report
    for found in by_sweep.values():
        errors = [report.error for report in found.values()]
        if isinstance(errors[0], UsageError) and all(isinstance(error, UsageError) for error in errors):
            raise errors[0]
    return tuple(
        SweepReport(sweep, tuple(found.values()), only.get(sweep, frozenset())) for sweep, found in by_sweep.items()
    )


def _end(reports: Sequence[TargetReport]) -> tuple[State, ExitCode]:
    last = reports[-1]
    states = {report.state for report in reports}
    code = ExitCode.DONE if all(report.exit_code is ExitCode.DONE for report in reports) else ExitCode.PARTIAL
    if last.state is State.INTERRUPTED or isinstance(last.error, LockLostError):
        return last.state, last.exit_code
    if last.error is not None and not any(map(_has_sent, reports)):
        return last.state, last.exit_code
    if states <= _IDLE:
        return last.state, code
    if states <= _IDLE | {State.DONE}:
        return State.DONE, code
    return State.PARTIAL, ExitCode.PARTIAL


def _has_sent(report: TargetReport) -> bool:
    return report.result is not None and Outcome.SENT in report.result.outcomes.values()


def _join_plans(plans: Sequence[SyncPlan]) -> SyncPlan:
    return replace(
        plans[-1],
        runs=tuple(sorted((run for plan in plans for run in plan.runs), key=lambda run: run.name)),
        items=tuple(sorted((item for plan in plans for item in plan.items), key=lambda item: item.file)),
        deeper={folder: count for plan in plans for folder, count in plan.deeper.items()},
        problems=tuple(dict.fromkeys(problem for plan in plans for problem in plan.problems)),
        gaps=tuple(gap for plan in plans for gap in plan.gaps),
        doubts=tuple(file for plan in plans for file in plan.doubts),
        asks_file_system=any(plan.asks_file_system for plan in plans),
    )


def _join_results(results: Sequence[TransferResult]) -> TransferResult:
    last = results[-1]
    streams = [result.streams for result in results if result.streams is not None]
    return TransferResult(
        outcomes={key: outcome for result in results for key, outcome in result.outcomes.items()},
        files={key: file for result in results for key, file in result.files.items()},
        problems=tuple(problem for result in results for problem in result.problems),
        error=last.error,
        is_interrupted=last.is_interrupted,
        streams=streams[-1] if streams else None,
        unsettled={key: file for result in results for key, file in result.unsettled.items()},
        strangers=frozenset().union(*(result.strangers for result in results)),
    )
