"""Rows of Hydra's jobs."""

from __future__ import annotations

from hsm.discover.kinds.hydra_jobs import HydraJob
from hsm.model import Run, RunState
from hsm.report.jobs import join_jobs
from hsm.report.runs import ReportRun, RunPart
from hsm.report.table import make_table
from hsm.wandb_log.history import RunLog

FOLDER = "/p/m"
JOBS = tuple(HydraJob(name, values={("lr",): number}) for number, name in enumerate(("10", "0", "9")))


def make_run(run_id: str, *places: str) -> ReportRun:
    parts = tuple(RunPart(Run(f"run-{run_id}", f"{place}/wandb"), RunLog()) for place in places)
    config = {("lr",): 99, ("seed",): 1}
    return ReportRun(run_id, run_id, parts, RunState.FINISHED, config=config, summary={("loss",): 0.5})


def test_jobs_and_runs_that_are_one_to_one_are_one_row() -> None:
    runs = [make_run("a", "/p/m/0"), make_run("b", "/p/m/9"), make_run("c", "/p/m/10"), make_run("d", "/p")]
    rows = join_jobs(runs, JOBS, FOLDER)
    assert [(row.name, row.id, row.state, row.is_job) for row in rows] == [
        ("0", "a", RunState.FINISHED, True),
        ("9", "b", RunState.FINISHED, True),
        ("10", "c", RunState.FINISHED, True),
        ("d", "d", RunState.FINISHED, False),
    ]
    assert rows[0].config == {("lr",): 1, ("seed",): 1}


def test_otherwise_both_are_rows_of_their_own() -> None:
    for places in (
        [("/p/m/0",), ("/p/m/0",), ("/p/m/0",)],  # wandb keeps the folder of its first run
        [("/p/m/0",), ("/p/m/9",)],
        [("/p/m/0",), ("/p/m/9",), ("/p/m/10",), ("/p/m/10",)],
        [("/p/m/0", "/p/m/9"), ("/p/m/9",), ("/p/m/10",)],  # went on in another job's folder
        [("/p",), ("/p",), ("/p",)],
    ):
        runs = [make_run(f"r{number}", *each) for number, each in enumerate(places)]
        rows = join_jobs(runs, JOBS, FOLDER)
        assert [row.name for row in rows] == ["0", "9", "10", *(run.name for run in runs)]
        assert {row.state for row in rows[:3]} == {RunState.UNKNOWN}
        assert not any(row.has_ended_badly for row in rows)  # nobody says how they ended
        assert not any(row.summary for row in rows[:3])


def test_columns_are_those_that_vary_among_jobs_or_among_runs() -> None:
    jobs = tuple(HydraJob(name, values={("lr",): name, ("model",): "m"}) for name in ("0", "1"))
    table = make_table(join_jobs([make_run("a", "/p")], jobs, FOLDER))
    assert [column.name for column in table.parameters] == ["lr"]
    assert table.noun == "jobs and runs"
