"""Rows of a preview: runs, and Hydra's jobs."""

from __future__ import annotations

import pytest

from hsm.model import PlanItem, Reason, Root, Run, RunState, SourceFile, SweepKind, SyncPlan
from hsm.plan.summary import make_job_rows

PLACE = "multirun/d/t"


def make_plan(*runs: tuple[str, str]) -> SyncPlan:
    """Make the plan of two jobs with two files each, and of runs, each with a file, by name and folder."""
    paths = [f"{PLACE}/{name}" for name in ("multirun.yaml", "2/a", "2/.hydra/b", "10/a", "10/c/d/e")]
    files = [SourceFile(Root.SWEEPS, path, "/p", 1, 0, 0) for path in paths]
    files += [SourceFile(Root.WANDB, f"{name}/x", folder, 10, 0, 0, name) for name, folder in runs]
    return SyncPlan(
        "multirun_d_t",
        tuple(Run(name, folder, state=RunState.FINISHED) for name, folder in runs),
        tuple(PlanItem(file, Reason.NEW) for file in files),
        kind=SweepKind.HYDRA,
        place=PLACE,
        jobs={"10": RunState.FAILED, "2": RunState.UNKNOWN},
    )


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], [("", None, 1), ("2", RunState.UNKNOWN, 2), ("10", RunState.FAILED, 2)]),
        (
            [("run-a", f"/real/p/{PLACE}/2/wandb"), ("run-b", f"/real/p/{PLACE}/10/wandb")],
            [("", None, 1), ("2", RunState.FINISHED, 3), ("10", RunState.FINISHED, 3)],
        ),
        (
            [("run-a", f"/p/{PLACE}/2/wandb"), ("run-b", f"/p/{PLACE}/2/wandb")],
            [
                ("", None, 1),
                ("2", RunState.UNKNOWN, 2),
                ("10", RunState.FAILED, 2),
                ("run-a", RunState.FINISHED, 1),
                ("run-b", RunState.FINISHED, 1),
            ],
        ),
    ],
    ids=["no runs", "one to one", "all in one"],
)
def test_jobs_are_rows_with_their_runs(
    runs: list[tuple[str, str]], expected: list[tuple[str, RunState | None, int]]
) -> None:
    assert [(row.name, row.state, row.n_files) for row in make_job_rows(make_plan(*runs))] == expected
