"""Counts of what a sync did at one target: files, bytes and runs, by their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hsm.model import Reason, Root, RunState, SyncPlan
from hsm.plan.summary import Change, Counts, count_reasons, count_sent_bytes, count_states, make_rows
from hsm.transfer.outcome import Outcome, TransferResult

_PROVEN = frozenset({Outcome.SENT, Outcome.UNCHANGED})


class CountedReport(Protocol):
    """Report that is counted: `hsm.sync.reports.TargetReport`."""

    @property
    def plan(self) -> SyncPlan | None:
        """Plan; None where it did not come to that."""

    @property
    def result(self) -> TransferResult | None:
        """Result of the transfer; None where nothing was sent."""

    @property
    def counts(self) -> Counts | None:
        """Counts of a sync that looked at no single file; None otherwise."""


def count_files(report: CountedReport) -> dict[str, int]:
    """Count files by their end; `docs/SYNC.md` explains the words."""
    if report.counts is not None:
        return dict(report.counts.files)
    plan, outcomes = report.plan or SyncPlan(""), get_outcomes(report)
    reasons = count_reasons(plan.items)
    ends = list(outcomes.values())
    return {
        "planned": len(plan.sends),
        "sent": ends.count(Outcome.SENT),
        "unchanged": reasons[Reason.SAME] + reasons[Reason.THERE] + ends.count(Outcome.UNCHANGED),
        "superseded": reasons[Reason.SUPERSEDED],
        "excluded": reasons[Reason.EXCLUDED] + reasons[Reason.UNFINISHED],
        "deeper": sum(plan.deeper.values()),
        "secret": reasons[Reason.SECRET],
        "conflict": reasons[Reason.CONFLICT] + ends.count(Outcome.SKIPPED),
        "not_chosen": reasons[Reason.NOT_CHOSEN],
        "no_result": reasons[Reason.NO_RESULT],
        "unsettled": ends.count(Outcome.UNSETTLED),
        "failed": ends.count(Outcome.FAILED),
    }


def count_bytes(report: CountedReport) -> dict[str, int]:
    """Count the bytes that were planned, and those that are verified to have arrived."""
    if report.plan is None:
        return {"planned": 0, "sent": 0}
    outcomes, proven = get_outcomes(report), report.result.files if report.result is not None else {}
    sent = sum(file.size for key, file in proven.items() if outcomes.get(key) is Outcome.SENT)
    return {"planned": count_sent_bytes(report.plan), "sent": sent}


def count_runs(report: CountedReport) -> dict[str, int]:
    """Count runs by change and by state; `complete` are those that have ended and are verified as a whole."""
    if report.counts is not None:
        return dict(report.counts.runs)
    rows = [row for row in make_rows(report.plan or SyncPlan("")) if row.run is not None]
    states = count_run_states(report)
    return {
        "total": states.pop("total"),
        **{change.value.replace(" ", "_"): sum(row.change is change for row in rows) for change in Change},
        **states,
    }


def count_run_states(report: CountedReport) -> dict[str, int]:
    """Count `total`, `complete` and the states of `count_runs`, in less time."""
    if report.counts is not None:
        return dict(report.counts.runs)
    plan = report.plan or SyncPlan("")
    states = count_states(plan.runs)
    n_complete = len(find_complete_runs(plan, get_outcomes(report)))
    return {"total": len(plan.runs), **{state.value: states[state] for state in RunState}, "complete": n_complete}


def find_complete_runs(plan: SyncPlan, outcomes: Mapping[tuple[Root, str], Outcome]) -> set[str]:
    """Find the runs that have ended and of which every file that counts is verified at the destination."""
    complete = {run.name for run in plan.runs if run.has_exit_record and run.at_rest}
    complete -= {gap.run for gap in plan.gaps if gap.reason.is_open}
    for item in plan.items:
        is_open = item.reason in (Reason.CONFLICT, Reason.NOT_CHOSEN) or (
            item.reason.is_send and outcomes.get(item.file.key) not in _PROVEN
        )
        if is_open:
            complete.discard(item.file.run)
    return complete


def get_outcomes(report: CountedReport) -> Mapping[tuple[Root, str], Outcome]:
    """Return the end of each file that was sent, or was to be."""
    return report.result.outcomes if report.result is not None else {}
