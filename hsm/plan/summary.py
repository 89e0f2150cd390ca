"""Summary of a plan in numbers: by run for tables, in total for reports. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from hsm.model import PlanItem, Reason, Run, RunState, SyncPlan


class Change(str, Enum):
    """Change that a plan makes to a run at the destination; NOT_CHOSEN would be sent if the call had chosen it."""

    NEW = "new"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    NOT_CHOSEN = "not chosen"


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One run of a plan, or the sweep folder.

    Attributes:
        run: None for the sweep folder.
        change: Of the run as a whole: new when nothing of it is there.
        n_files: To send.
        n_bytes: To send.
        left: How many files are left out, by reason; those that are the same do not count.
        n_same: How many are there already.
        n_overwrites: How many of those to send replace something newer.
    """

    run: Run | None
    change: Change
    n_files: int
    n_bytes: int
    left: Mapping[Reason, int]
    n_same: int
    n_overwrites: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """A plan that had nothing to send, in numbers.

    Attributes:
        files: By the words of the JSON document's `files`.
        runs: By the words of the JSON document's `runs`.
        deeper: As in the plan.
        max_depth: As in the plan.
    """

    files: Mapping[str, int]
    runs: Mapping[str, int]
    deeper: Mapping[str, int]
    max_depth: int | None


def make_rows(plan: SyncPlan) -> tuple[SummaryRow, ...]:
    """Make one row for the sweep folder, where the plan has files of it, and one for each run, by name."""
    by_run: dict[str, list[PlanItem]] = {run.name: [] for run in plan.runs}
    for item in plan.items:
        by_run.setdefault(item.file.run, []).append(item)
    runs = {run.name: run for run in plan.runs}
    return tuple(_make_row(runs.get(name), by_run[name]) for name in sorted(by_run))


def count_reasons(items: Iterable[PlanItem]) -> Counter[Reason]:
    """Count items by reason."""
    return Counter(item.reason for item in items)


def count_states(runs: Iterable[Run]) -> Counter[RunState]:
    """Count runs by state."""
    return Counter(run.state for run in runs)


def count_sent_bytes(plan: SyncPlan) -> int:
    """Add up the bytes that the plan sends."""
    return sum(file.size for file in plan.sends)


def _make_row(run: Run | None, items: list[PlanItem]) -> SummaryRow:
    counts = count_reasons(items)
    sends = [item for item in items if item.reason.is_send]
    n_same = counts.pop(Reason.SAME, 0) + counts.pop(Reason.THERE, 0)
    left = {reason: counts[reason] for reason in Reason if counts[reason] and not reason.is_send}
    n_new = counts[Reason.NEW]
    if not sends:
        change = Change.NOT_CHOSEN if Reason.NOT_CHOSEN in left else Change.UNCHANGED
    elif n_new == len(sends) and not n_same:
        change = Change.NEW
    else:
        change = Change.UPDATED
    return SummaryRow(
        run, change, len(sends), sum(item.file.size for item in sends), left, n_same, counts[Reason.OVERWRITE]
    )
