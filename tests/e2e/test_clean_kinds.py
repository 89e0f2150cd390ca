"""`hsm sync clean` of every kind of sweep, end to end: what goes comes back, and counts as gone in all its sweeps."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.conftest import run_hsm
from tests.e2e.clean_project import Cleaned, make_folder_target, parse, read_tree
from tests.e2e.conftest import Project
from tests.e2e.synthetic import T, write_file, write_run
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import MakeProject

ID_ONE, ID_TWO = "aaaa1111", "bbbb2222"
ONE, TWO = (f"run-20251020_212836-{run_id}" for run_id in (ID_ONE, ID_TWO))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project without any result, with a target that is a folder."""
    folder = tmp_path / "source/project"
    folder.mkdir(parents=True)
    project = Project(folder, cast("Any", None), "nas", tmp_path / "nas", run_hsm)
    project.write_config({"default_target": "nas", "sync_targets": {"nas": make_folder_target(tmp_path / "nas")}})
    return project


def call(project: Project, *args: str, code: int = 0) -> str:
    completed = project.hsm("sync", *args)
    assert completed.returncode == code, completed.stdout + completed.stderr
    return completed.stdout + completed.stderr


def clean(project: Project, *args: str) -> Cleaned:
    return parse(project.hsm("sync", "clean", "--json", "--yes", *args))


def list_runs(project: Project) -> set[str]:
    """The names of the runs that are here, wherever they lie, each with its log."""
    return {path.parent.name for path in project.folder.rglob("run-*.wandb")}


def read_status(project: Project, sweep: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.hsm("sync", "status", sweep, "--json").stdout)["sweeps"][0]
    return found


def write_agent_file(folder: Path, run_id: str) -> None:
    write_file(folder / f"wandb/sweep-exp1/config-{run_id}.yaml", b"")


PLACES: dict[str, Callable[[Path], object]] = {
    "outputs": lambda folder: [write_run(folder / "outputs/exp1/wandb", each, sweep="") for each in (ID_ONE, ID_TWO)],
    "wandb": lambda folder: [write_run(folder / "wandb/exp1", each, sweep="") for each in (ID_ONE, ID_TWO)],
    "tasks": lambda folder: [
        write_run(folder / f"sweeps/outputs/exp1/tasks/{each}/wandb", each, sweep="") for each in (ID_ONE, ID_TWO)
    ],
    "agents' files": lambda folder: [
        (write_run(folder / "wandb", each, sweep=""), write_agent_file(folder, each)) for each in (ID_ONE, ID_TWO)
    ],
    "group": lambda folder: [write_run(folder / "train/wandb", each, sweep="exp1") for each in (ID_ONE, ID_TWO)],
}


@parametrize("place", PLACES, quick=["outputs", "agents' files"])
@parametrize("is_empty", [False, True], quick=[True], ids=["here", "into an empty project"])
def test_what_went_comes_back(project: Project, tmp_path: Path, place: str, is_empty: bool) -> None:
    PLACES[place](project.folder)
    call(project, "to", "exp1")
    before = {path.rpartition(f"{ONE}/")[2] for path in read_tree(project.folder) if ONE in path}
    done = clean(project, "exp1", "--wandb-only")
    assert (done.code, done.removed, list_runs(project)) == (0, {ONE, TWO}, set())
    assert sorted(read_status(project, "exp1")["cleaned"]["runs"]) == [ONE, TWO]
    assert "8 files are equal" not in call(project, "verify", "exp1")  # 6, of what the records name
    call(project, "to", "exp1")

    if is_empty:
        config = project.read_config()
        project = Project(tmp_path / "empty", cast("Any", None), "nas", tmp_path / "nas", run_hsm)
        project.folder.mkdir()
        project.write_config(config)
    call(project, "from", "exp1", "-t", "nas")
    assert list_runs(project) == {ONE, TWO}
    assert {path.rpartition(f"{ONE}/")[2] for path in read_tree(project.folder) if ONE in path} == before
    assert read_status(project, "exp1")["cleaned"] is None


def test_loose_runs_go_by_their_age_or_one_by_one(project: Project) -> None:
    write_run(project.folder / "wandb", ID_ONE, sweep="")
    write_run(project.folder / "train/wandb", ID_TWO, sweep="")
    call(project, "to", "loose")
    refused = project.hsm("sync", "clean", "--json", "--yes", "loose", "--project", "p")
    assert (refused.returncode, json.loads(refused.stdout)["error"]["kind"]) == (2, "loose_unbounded")
    assert list_runs(project) == {ONE, TWO}
    done = clean(project, "loose", "--run", ID_ONE)
    assert (done.code, done.removed, list_runs(project)) == (0, {ONE}, {TWO})
    assert done.document["sweeps"][0]["others"] == 1
    assert clean(project, "loose", "--older-than", "30d").removed == {TWO}
    assert list_runs(project) == set()
    call(project, "verify", "loose")
    assert read_status(project, "loose")["cleaned"]["runs"] == [ONE, TWO]
    call(project, "from", "loose", "-t", "nas")
    assert list_runs(project) == {ONE, TWO}


@parametrize("word", ["id", "folder", "path", "run:", "--run"], quick=["path"])
def test_a_word_of_a_single_run_cleans_this_alone(project: Project, word: str) -> None:
    for run_id in (ID_ONE, ID_TWO):
        write_run(project.folder / "wandb", run_id, sweep="")
    call(project, "to", "loose")
    words = {"id": [ID_ONE], "folder": [ONE], "path": [f"wandb/{ONE}"], "run:": [f"run:{ID_ONE}"]}
    done = clean(project, *words.get(word, ["--run", ID_ONE]))
    assert (done.code, done.removed, list_runs(project)) == (0, {ONE}, {TWO})


def test_a_clean_of_a_single_run_that_was_killed_is_ended_by_the_same_word(project: Project) -> None:
    write_run(project.folder / "wandb", ID_ONE, sweep="")
    call(project, "to", "loose")
    clean(project, ID_ONE)
    (record,) = (project.folder / ".hsm/cleaned/@loose").iterdir()
    (unit,) = json.loads(record.read_text())["units"]
    rest = project.folder / "wandb" / unit["aside"] / "files/config.yaml"
    rest.parent.mkdir(parents=True)
    shutil.copy2(project.target_wandb / ONE / "files/config.yaml", rest)
    done = clean(project, ID_ONE)
    assert (done.code, done.removed) == (0, {ONE})
    assert not rest.exists()
    call(project, "from", "loose", "-t", "nas")
    assert list_runs(project) == {ONE}


def test_a_choice_of_runs_leaves_the_sweeps_folder(project: Project) -> None:
    config = write_file(project.folder / "sweeps/outputs/exp1/config.yaml", b"x: 1\n")
    for run_id in (ID_ONE, ID_TWO):
        write_run(project.folder / "wandb", run_id, sweep="exp1")
    call(project, "to", "exp1")
    assert clean(project, "exp1", "--run", ID_ONE).removed == {ONE}
    assert clean(project, "exp1", "--project", "another").removed == set()
    assert clean(project, "exp1", "--project", "p").removed in ({TWO}, set())
    assert config.is_file()
    clean(project, "exp1")
    assert not config.exists()


@pytest.fixture
def shared(project: Project) -> Project:
    """Return a project of which both runs are of a sweep with a folder and of a group, brought as both."""
    for run_id in (ID_ONE, ID_TWO):
        write_run(project.folder / "outputs/exp1/wandb", run_id, sweep="dev")
    for sweep in ("exp1", "dev"):
        call(project, "to", sweep)
    return project


@pytest.mark.parametrize(("cleaned", "other"), [("dev", "exp1"), pytest.param("exp1", "dev", marks=pytest.mark.slow)])
def test_what_went_through_one_sweep_has_gone_in_all(shared: Project, cleaned: str, other: str) -> None:
    assert clean(shared, cleaned, "--wandb-only").removed == {ONE, TWO}
    assert list_runs(shared) == set()
    for sweep in (cleaned, other):
        call(shared, "to", sweep)
        assert "6 files are equal" in call(shared, "verify", sweep)
        assert sorted(read_status(shared, sweep)["cleaned"]["runs"]) == [ONE, TWO]
    call(shared, "from", other, "-t", "nas")
    assert list_runs(shared) == {ONE, TWO}
    for sweep in (cleaned, other):
        assert read_status(shared, sweep)["cleaned"] is None


@pytest.mark.slow
def test_a_run_that_came_back_as_one_sweeps_may_go_as_anothers(shared: Project) -> None:
    clean(shared, "dev", "--wandb-only")
    call(shared, "from", "exp1", "-t", "nas")
    call(shared, "to", "dev")
    assert clean(shared, "dev").removed == {ONE, TWO}
    call(shared, "from", "dev", "-t", "nas")
    assert list_runs(shared) == {ONE, TWO}


def test_what_is_made_anew_is_a_conflict_in_every_sweep(shared: Project) -> None:
    """The target has the only copy of what a clean removed as another sweep's."""
    call(shared, "from", "exp1", "-t", "nas")  # came by a pull, which a clean through the other sweep must forget
    call(shared, "to", "exp1")
    clean(shared, "dev", "--wandb-only")
    there = shared.target_wandb / ONE / "files/config.yaml"
    assert there.read_bytes() == b"a: 1\n"
    run = write_run(shared.folder / "outputs/exp1/wandb", ID_ONE, sweep="dev")
    write_file(run / "files/config.yaml", b"b: 2, another\n", mtime_ns=T + 10**12)
    completed = shared.hsm("sync", "to", "exp1", "--json")
    assert completed.returncode == 1, completed.stdout
    assert "conflict" in completed.stdout
    assert there.read_bytes() == b"a: 1\n"


@parametrize("kind", ["by its place", "loose"], quick=["by its place"])
def test_over_ssh(make_project: MakeProject, require_program: Any, kind: str) -> None:
    require_program("rsync")
    project = make_project(options={"latest_only": False, "max_depth": None})
    folder = project.folder / ("outputs/exp1/wandb" if kind == "by its place" else "wandb")
    for run_id in (ID_ONE, ID_TWO):
        write_run(folder, run_id, sweep="")
    sweep, more = ("exp1", ["--wandb-only"]) if kind == "by its place" else ("loose", ["--older-than", "1d"])
    call(project, "to", sweep)
    done = clean(project, sweep, *more)
    assert (done.code, done.removed, list_runs(project)) == (0, {ONE, TWO}, set())
    call(project, "from", sweep, "-t", "desktop")
    assert list_runs(project) == {ONE, TWO}
