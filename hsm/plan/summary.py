"""Summary of a plan in numbers: by run for tables, in total for reports. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from hsm.model import PlanItem, Reason, Run, RunState, SyncPlan
from hsm.sweep_folder import sweep_folder


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
        run: None for the sweep folder, and for a job of Hydra's without a run of its own.
        change: Of the run as a whole: new when nothing of it is there.
        n_files: To send.
        n_bytes: To send.
        left: How many files are left out, by reason; those that are the same do not count.
        n_same: How many are there already.
        n_overwrites: How many of those to send replace something newer.
        job: The job's folder, relative to the sweep's; empty for all else.
        state: Of the run, else of the job; None for the sweep folder.
    """

    run: Run | None
    change: Change
    n_files: int
    n_bytes: int
    left: Mapping[Reason, int]
    n_same: int
    n_overwrites: int = 0
    job: str = ""
    state: RunState | None = None

    @property
    def name(self) -> str:
        """The job's folder, or the run's; empty for the sweep folder."""
        return self.job or (self.run.name if self.run is not None else "")


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


def make_job_rows(plan: SyncPlan) -> tuple[SummaryRow, ...]:
    """Make the rows of `make_rows`, with one for each of Hydra's jobs in the sweep folder.

    A job's run is in its row where each job has exactly one in its folder; else jobs and runs are rows of their own.
    """
    if not plan.jobs:
        return make_rows(plan)
    folder = sweep_folder(plan.sweep, plan.place)
    runs = {job: [run for run in plan.runs if f"/{folder}/{job}/" in f"{run.prefix}/"] for job in plan.jobs}
    own = {job: found[0] for job, found in runs.items()} if all(len(found) == 1 for found in runs.values()) else {}
    by_name = {run.name: job for job, run in own.items()}
    groups: dict[tuple[str, str], list[PlanItem]] = {("", ""): [], **{(job, ""): [] for job in plan.jobs}}
    groups |= {("", run.name): [] for run in plan.runs if run.name not in by_name}
    for item in plan.items:
        name = item.file.run
        job = by_name.get(name, "") if name else _find_job(item.file.path[len(folder) + 1 :], plan.jobs)
        groups.setdefault((job, "" if job else name), []).append(item)
    known = {run.name: run for run in plan.runs}
    rows = [
        replace(_make_row(own.get(job) if job else known.get(name), items), job=job)
        for (job, name), items in sorted(groups.items(), key=_make_order)
        if job or name or items
    ]
    return tuple(replace(row, state=plan.jobs[row.job]) if row.job and row.run is None else row for row in rows)


def _make_order(group: tuple[tuple[str, str], list[PlanItem]]) -> tuple[bool, int, str, str]:
    """Jobs before runs; numbers as people count."""
    (job, name), _ = group
    return (bool(name), len(job), job, name)


def _find_job(path: str, jobs: Collection[str]) -> str:
    parts = path.split("/")
    return next((job for count in range(len(parts) - 1, 0, -1) if (job := "/".join(parts[:count])) in jobs), "")


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
        run,
        change,
        len(sends),
        sum(item.file.size for item in sends),
        left,
        n_same,
        counts[Reason.OVERWRITE],
        state=run.state if run is not None else None,
    )
