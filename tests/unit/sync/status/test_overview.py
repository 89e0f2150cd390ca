"""The sweeps of a place, each in a line: whose runs count, and which files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.errors import ExitCode, TargetError
from hsm.model import Problem, Root, RunState
from hsm.process.runner import Runner
from hsm.sync.status.overview import (
    HERE,
    PlaceOverview,
    SweepOverview,
    format_time,
    list_sweeps_at,
    list_sweeps_here,
    make_overview_document,
)
from tests.e2e.synthetic import T, write_file, write_run, write_sweep_folder
from tests.unit.wandb_log import log_writer as w

ONE, TWO = "sweep_20260101_000000", "sweep_20260202_000000"
N_OWN = 1
"""Files of a sweep's folder as `write_sweep_folder` writes it."""
N_RUN = 3
"""Files of a run as `write_run` writes it."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with two sweeps' folders and no run, and one target that does not exist yet."""
    project = tmp_path / "project"
    for sweep in (ONE, TWO):
        write_sweep_folder(project, sweep)
    paths = {root.value: str(tmp_path / "nas" / root.value) for root in Root}
    write_file(project / ".hsm/sync_config.yaml", json.dumps({"sync_targets": {"nas": {"paths": paths}}}).encode())
    return project


def load(project: Path) -> LoadedConfig:
    return load_project_config(project, environment={})


def count(project: Path) -> dict[str, SweepOverview]:
    return {sweep.id: sweep for sweep in list_sweeps_here(load(project)).sweeps}


PLACES = {
    "all runs together": "wandb",
    "a folder of the sweep's in the wandb folder": f"wandb/{ONE}",
    "in the sweep's folder": f"sweeps/outputs/{ONE}/wandb",
    "in a task's folder": f"sweeps/outputs/{ONE}/tasks/1/wandb",
}


@pytest.mark.parametrize("place", PLACES)
def test_runs_are_counted_where_they_lie(project: Path, place: str) -> None:
    write_run(project / PLACES[place], "a", sweep=ONE)
    found = count(project)
    assert found[ONE].states == {RunState.FINISHED: 1}
    assert found[ONE].n_files == N_OWN + N_RUN
    assert found[ONE].newest_ns == T
    assert (found[TWO].states, found[TWO].n_files) == ({}, N_OWN)


def test_a_run_that_lies_with_another_sweep_is_its_own_logs(project: Path) -> None:
    write_run(project / "sweeps/outputs" / ONE / "wandb", "a", sweep=TWO)
    found = count(project)
    assert (found[ONE].states, found[TWO].states) == ({}, {})
    assert found[ONE].n_files == N_OWN, "files of a run that belongs to nobody here are no files of the folder"


def test_a_run_in_two_places_counts_once(project: Path) -> None:
    write_run(project / "wandb", "a", sweep=ONE)
    write_run(project / "wandb" / ONE, "a", sweep=ONE)
    found = count(project)[ONE]
    assert (found.states, found.n_files) == ({RunState.FINISHED: 1}, N_OWN + N_RUN)


def test_states_are_those_of_the_logs(project: Path) -> None:
    wandb = project / "wandb"
    write_run(wandb, "finished", sweep=ONE)
    for name, records in {"failed": [w.exit_code(3), w.FOOTER], "dead": []}.items():
        log = w.frame([w.run(name, group=ONE), w.history({"loss": 0.5}, 1), *records])
        write_file(write_run(wandb, name, sweep=ONE) / f"run-{name}.wandb", log)
    assert count(project)[ONE].states == {RunState.FINISHED: 1, RunState.FAILED: 1, RunState.UNKNOWN: 1}


def test_what_is_hsms_own_or_lies_in_a_wandb_folder_is_no_result(project: Path) -> None:
    folder = project / "sweeps/outputs" / ONE
    write_file(folder / ".hsm-sync/receipt-0123456789abcdef.json", b"{}", mtime_ns=T + 1)
    write_file(folder / "wandb/latest.log", b"x", mtime_ns=T + 1)
    write_file(folder / "deep/er/plot.png", b"12345", mtime_ns=T + 2)
    found = count(project)[ONE]
    assert (found.n_files, found.newest_ns) == (N_OWN + 1, T + 2)
    assert found.n_bytes == len(b"grid: {}\n") + 5


def test_a_folder_of_the_users_may_have_a_runs_name(project: Path) -> None:
    write_run(project / "sweeps/outputs" / ONE / "plots", "a", sweep=ONE)
    found = count(project)[ONE]
    assert (found.states, found.n_files) == ({}, N_OWN + N_RUN)


def test_a_sweep_without_a_folder_is_known_by_its_runs_place(project: Path) -> None:
    three = "sweep_20260303_000000"
    write_run(project / "wandb" / three, "a", sweep=three)
    assert count(project)[three].n_files == N_RUN


def test_what_was_read_of_logs_is_read_once(project: Path) -> None:
    run = write_run(project / "wandb", "a", sweep=ONE)
    before = count(project)
    log = run / "run-a.wandb"
    status = log.stat()
    write_file(log, b"\0" * status.st_size, mtime_ns=status.st_mtime_ns)
    assert count(project) == before
    (project / ".hsm/cache/runs.json").unlink()
    assert count(project) != before


def test_a_target_is_looked_at_with_a_cache_of_its_own(project: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "nas/wandb", "a", sweep=ONE)
    write_sweep_folder(tmp_path / "nas", ONE)
    loaded = load(project)
    (place,) = list_sweeps_at(loaded, loaded.config.sync_targets, runner=Runner(), may_ask=False)
    assert (place.name, place.error) == ("nas", None)
    assert [(sweep.id, sweep.states, sweep.n_files) for sweep in place.sweeps] == [
        (ONE, {RunState.FINISHED: 1}, N_OWN + N_RUN)
    ]
    assert sorted(path.name for path in (project / ".hsm/cache").iterdir()) == ["runs-nas.json"]


def test_a_target_without_either_folder_is_an_error(project: Path) -> None:
    loaded = load(project)
    (place,) = list_sweeps_at(loaded, loaded.config.sync_targets, runner=Runner(), may_ask=False)
    assert place.error is not None
    assert place.error.kind == "source_missing"
    assert list_sweeps_here(load(project)).error is None


def test_a_project_without_any_sweep_is_none(tmp_path: Path) -> None:
    config = {"nas": {"paths": {root.value: f"/nas/{root.value}" for root in Root}}}
    write_file(tmp_path / ".hsm/sync_config.yaml", json.dumps({"sync_targets": config}).encode())
    assert list_sweeps_here(load(tmp_path)) == PlaceOverview(HERE)


def test_the_document_has_every_state_and_the_common_code() -> None:
    error = TargetError("away", hint="wait", kind="gone")
    sweep = SweepOverview(
        ONE, {RunState.FINISHED: 2, RunState.RUNNING: 1}, 7, 8, 1_700_000_000 * 10**9 + 5, place=f"sweeps/outputs/{ONE}"
    )
    problem = Problem("cache", "odd", "Odd.", is_failure=False)
    places = [PlaceOverview(HERE, (sweep, SweepOverview(TWO)), problems=(problem,)), PlaceOverview("nas", error=error)]
    document = make_overview_document(places)
    assert document["exit_code"] == int(ExitCode.PARTIAL)
    assert make_overview_document(places[1:])["exit_code"] == int(error.exit_code)
    assert make_overview_document(places[:1])["exit_code"] == 0
    here, there = document["places"]  # type: ignore[misc]
    states = {"finished": 2, "failed": 0, "running": 1, "unknown": 0}
    assert here["sweeps"][0] == {
        "sweep": ONE,
        "kind": "folder",
        "place": f"sweeps/outputs/{ONE}",
        "runs": {"total": 3, **states},
        "files": 7,
        "bytes": 8,
        "newest": "2023-11-14T22:13:20+00:00",
    }
    assert (here["sweeps"][1]["newest"], here["sweeps"][1]["place"]) == (None, None)
    assert [each["kind"] for each in here["problems"]] == ["odd"]
    assert there == {
        "name": "nas",
        "error": {"kind": "gone", "message": "away", "hint": "wait"},
        "sweeps": [],
        "problems": [],
    }
    assert format_time(0) == ""


def test_a_data_folder_is_named_unless_the_wandb_folders_are(project: Path) -> None:
    (project / "data/images").mkdir(parents=True)
    for number in range(5001):
        (project / f"data/images/{number}.png").touch()
    write_run(project / "train/wandb", "aaaa1111", sweep="trained")
    write_run(project / "elsewhere/runs", "bbbb2222", sweep="named")
    found = list_sweeps_here(load(project))
    (note,) = found.problems
    assert (note.path, note.kind, note.is_failure) == ("data/images", "search_cut", False)
    assert "data/images (more than 5,000 entries)" in note.message
    assert {sweep.id for sweep in found.sweeps} == {ONE, TWO, "trained"}
    config = project / ".hsm/sync_config.yaml"
    config.write_text(json.dumps({**json.loads(config.read_text()), "source": {"wandb_folders": ["elsewhere/runs"]}}))
    named = list_sweeps_here(load(project))
    assert (named.problems, {sweep.id for sweep in named.sweeps}) == ((), {ONE, TWO, "named"})
