"""What did not come, end to end: neither end calls it whole or complete, nothing uploads it, and exit codes say so."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.conftest import Project
from tests.e2e.permissions import locked_up
from tests.e2e.synthetic import write_file, write_project, write_run
from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.conftest import RunHsm

FOLDER = f"sweeps/outputs/{SWEEP}"
RUN = "run-20251020_212836-r0000"


@pytest.fixture
def project(tmp_path: Path, hsm: RunHsm) -> Project:
    """Return a project with two runs, whose target is a folder that HSM copies to by itself."""
    root = tmp_path / "nas"
    made = Project(tmp_path / "project", cast("Any", None), "nas", root, hsm)
    write_project(made.folder, n_runs=2)
    paths = {"sweeps": str(root / "sweeps"), "wandb": str(root / "wandb")}
    target = {"paths": paths, "engine": "copy", "options": {"latest_only": False, "max_depth": None}}
    made.write_config({"default_target": "nas", "sync_targets": {"nas": target}})
    return made


def sync(project: Project, *options: str) -> dict[str, Any]:
    """Sync, and return what is said of the target."""
    said = project.hsm("sync", "to", SWEEP, "--json", *options)
    document = json.loads(said.stdout)
    found: dict[str, Any] = document["sweeps"][0]["targets"][0]
    assert said.returncode == document["exit_code"] == found["exit_code"], said.stderr
    return found


def status(project: Project, folder: Path) -> tuple[int, dict[str, Any]]:
    """Ask for the status in a folder, and return the exit code and what is said of the sweep."""
    said = project.run_hsm("sync", "status", SWEEP, "--json", cwd=folder)
    sweep: dict[str, Any] = json.loads(said.stdout)["sweeps"][0]
    return said.returncode, sweep


def both(project: Project) -> tuple[int, int]:
    """The exit codes of `status` at the source and at the receiver."""
    return status(project, project.folder)[0], status(project, project.target_root)[0]


def read_receipt(project: Project) -> dict[str, Any]:
    (path,) = (project.target_sweeps / f"outputs/{SWEEP}/.hsm-sync").glob("receipt-*.json")
    receipt: dict[str, Any] = json.loads(path.read_text())
    return receipt


def test_everything_is_whole_at_both_ends(project: Project) -> None:
    assert sync(project)["state"] == "done"
    assert both(project) == (0, 0)
    assert status(project, project.target_root)[1]["received"][0]["whole"]
    assert read_receipt(project)["left"] == {}


UNREADABLE = {
    "the log": (f"wandb/{RUN}/run-r0000.wandb", 0),
    "the run": (f"wandb/{RUN}", 0),
    "a folder in it": (f"wandb/{RUN}/files", 0),
    "a folder in it that may be read and not searched": (f"wandb/{RUN}/files", 0o400),
    "a file in it": (f"wandb/{RUN}/files/config.yaml", 0),
    "a folder of the sweep that may be read and not searched": (f"{FOLDER}/tasks", 0o400),
}


@pytest.mark.usefixtures("as_a_user")
@parametrize("what", UNREADABLE, quick=["the log", "a folder in it that may be read and not searched"])
def test_what_may_not_be_read_is_not_called_complete(project: Project, what: str) -> None:
    path, mode = UNREADABLE[what]
    write_file(project.folder / FOLDER / "tasks/1/info.txt", b"task 1\n")
    with locked_up(project.folder / path, mode):
        said = sync(project)
        assert (said["exit_code"], said["state"]) == (1, "partial")
        assert said["runs"]["complete"] == (2 if "tasks" in path else 1)
        assert both(project) == (1, 1)
        whole = {name for name, run in read_receipt(project)["runs"].items() if run["is_whole"]}
        assert RUN in whole if "tasks" in path else whole == {"run-20251020_212836-r0001"}
    assert sync(project)["exit_code"] == 0
    assert both(project) == (0, 0)


@parametrize("choice", ["--sweep-only", "--wandb-only", "--newest 1", "--exclude *.log"], quick=["--wandb-only"])
def test_a_part_of_a_sweep_is_not_called_complete(project: Project, choice: str) -> None:
    options = choice.split()
    sync(project, *options)
    assert both(project) == (1, 1)
    sync(project)
    assert both(project) == (0, 0)
    sync(project, *options)
    assert both(project) == (0, 0)


@pytest.mark.slow
def test_what_the_configuration_switches_off_is_complete_and_not_whole(project: Project) -> None:
    project.set_options(sync_wandb_runs=False)
    sync(project)
    assert both(project) == (0, 0)
    assert not status(project, project.target_root)[1]["received"][0]["whole"]
    assert not status(project, project.folder)[1]["targets"][0]["whole"]


@pytest.mark.slow
def test_a_run_with_checkpoints_behind_a_symlink_comes_by_choice(project: Project, tmp_path: Path) -> None:
    write_file(tmp_path / "scratch/ckpt/best.ckpt", b"weights")
    (project.folder / "wandb" / RUN / "files/ckpt").symlink_to(tmp_path / "scratch/ckpt")
    assert sync(project)["exit_code"] == 0
    assert read_receipt(project)["runs"][RUN]["left"] == {"symlinked folder": 1}
    assert not read_receipt(project)["runs"][RUN]["is_whole"]
    project.set_options(folder_links="follow")
    assert sync(project)["exit_code"] == 1  # the disk is not in the project
    assert both(project) == (1, 1)
    project.set_options(folder_links=[str(tmp_path / "scratch")])
    assert sync(project)["state"] == "done"
    arrived = project.target_wandb / RUN / "files/ckpt/best.ckpt"
    assert (arrived.read_bytes(), (arrived.parent).is_symlink()) == (b"weights", False)
    assert read_receipt(project)["runs"][RUN]["is_whole"]
    assert both(project) == (0, 0)
    assert sync(project)["state"] == "nothing_to_do"
    assert project.hsm("sync", "verify", SWEEP).returncode == 0


@parametrize("engine", ["rsync", "copy"], quick=["rsync"])
def test_every_engine_brings_what_lies_behind_symlinks(
    project: Project, tmp_path: Path, engine: str, require_program: Callable[..., None]
) -> None:
    if engine == "rsync":
        require_program("rsync")
    project.set_target(engine=engine)
    project.set_options(folder_links=[str(tmp_path / "scratch")])
    moved = tmp_path / "scratch" / RUN
    moved.parent.mkdir()
    shutil.move(project.folder / "wandb" / RUN, moved)
    (project.folder / "wandb" / RUN).symlink_to(moved)
    write_file(tmp_path / "scratch/plots/a.png", b"plot")
    (project.folder / FOLDER / "plots").symlink_to(tmp_path / "scratch/plots")
    assert sync(project)["runs"]["complete"] == 2
    assert (project.target_sweeps / f"outputs/{SWEEP}/plots/a.png").read_bytes() == b"plot"
    assert (project.target_wandb / RUN / "run-r0000.wandb").read_bytes() == (moved / "run-r0000.wandb").read_bytes()
    assert both(project) == (0, 0)


def test_a_run_that_is_not_whole_is_not_uploaded(project: Project, tmp_path: Path) -> None:
    program = write_file(
        tmp_path / "wandb", b'#!/bin/sh\nshift\nfor log in "$1"/*.wandb; do touch "$log.synced"; done\n'
    )
    program.chmod(0o755)
    project.set_target(after_sync=[{"wandb_sync": True, "wandb_path": str(program)}])
    for name in ("b", "c"):
        write_run(project.folder / "wandb", name, name=f"offline-run-20251020_212836-{name}")
    os.mkfifo(project.folder / "wandb/offline-run-20251020_212836-b/files/pipe")
    said = sync(project)
    assert said["after_sync"][0]["runs"] == ["offline-run-20251020_212836-c"]
    assert "upload_not_whole" in {problem["kind"] for problem in said["problems"]}


def test_no_result_is_counted_and_missed_by_nobody(project: Project) -> None:
    write_file(project.folder / "wandb" / RUN / "files/.nfs000000000012ab3400000001", b"x")
    write_file(project.folder / "wandb" / RUN / "files/core.0.weights.npy", b"\x7fELF and more of it")
    assert sync(project)["files"]["no_result"] == 1
    record = read_receipt(project)["runs"][RUN]
    assert (record["is_whole"], record["left"]) == (True, {"no result": 1})
    assert (project.target_wandb / RUN / "files/core.0.weights.npy").is_file()
    assert not (project.target_wandb / RUN / "files/.nfs000000000012ab3400000001").exists()
    assert both(project) == (0, 0)
    assert ".nfs000000000012ab3400000001" in project.hsm("sync", "clean", SWEEP, "--dry-run").stdout


@pytest.mark.slow
def test_what_an_earlier_sync_brought_is_not_left_out(project: Project) -> None:
    write_file(project.folder / "wandb" / RUN / "files/model.ckpt", b"weights")
    sync(project)
    project.set_options(exclude=["*.ckpt"])
    said = sync(project)
    assert (said["files"]["excluded"], said["files"]["planned"]) == (0, 0)
    assert read_receipt(project)["runs"][RUN]["left"] == {}
    assert both(project) == (0, 0)
    assert project.hsm("sync", "verify", SWEEP).returncode == 0
    (project.target_wandb / RUN / "files/model.ckpt").unlink()
    assert sync(project)["files"]["excluded"] == 1
    assert read_receipt(project)["runs"][RUN]["left"] == {"excluded": 1}


def test_a_sweep_that_should_have_runs_and_has_none_is_open(project: Project) -> None:
    shutil.rmtree(project.folder / "wandb")
    (project.folder / "wandb").mkdir()
    assert sync(project)["exit_code"] == 0
    write_file(project.folder / FOLDER / "parameter_combinations.json", b'[{"lr": 0.1}, {"lr": 0.2}]')
    said = sync(project)
    assert [(problem["kind"], said["exit_code"]) for problem in said["problems"]] == [("no_runs", 1)]
    assert "source.wandb" in said["problems"][0]["hint"]
    assert both(project) == (1, 1)
    project.set_options(sync_wandb_runs=False)
    assert sync(project)["exit_code"] == 0
    assert both(project) == (0, 0)


@pytest.mark.slow
def test_a_second_target_learns_from_the_journal_of_the_first_that_runs_are_missing(project: Project) -> None:
    sync(project)
    first = project.read_config()["sync_targets"]["nas"]
    paths = {root: f"{project.target_root}-2/{root}" for root in ("sweeps", "wandb")}
    second = {**first, "paths": paths}
    project.write_config({"default_target": "second", "sync_targets": {"nas": first, "second": second}})
    shutil.rmtree(project.folder / "wandb")
    (project.folder / "wandb").mkdir()
    said = sync(project)
    assert ([problem["kind"] for problem in said["problems"]], said["exit_code"]) == (["no_runs"], 1)


def test_a_sweep_folder_that_is_gone_here_was_not_compared(project: Project) -> None:
    sync(project)
    shutil.rmtree(project.folder / FOLDER)
    said = project.hsm("sync", "verify", SWEEP, "--json")
    (target,) = json.loads(said.stdout)["sweeps"][0]["targets"]
    assert said.returncode == 1
    assert ("gone_here", f"outputs/{SWEEP}") in {(p["kind"], p["path"]) for p in target["problems"]}


@pytest.mark.usefixtures("as_a_user")
@parametrize("place", ["", "wandb", f"wandb/{RUN}/files", f"sweeps/outputs/{SWEEP}"], quick=[f"wandb/{RUN}/files"])
def test_a_dry_run_refuses_what_the_sync_would(project: Project, place: str) -> None:
    sync(project)
    for path in (f"wandb/{RUN}/files/new.txt", f"{FOLDER}/new.txt"):
        write_file(project.folder / path, b"new")
    if not place:
        shutil.rmtree(project.target_root / "wandb")
        (project.folder / "wandb" / RUN / "files/new.txt").unlink()
    with locked_up(project.target_root / place, 0o555):
        planned = sync(project, "--dry-run", "--allow", "destination-gone")
        done = sync(project, "--allow", "destination-gone")
        assert planned["exit_code"] == done["exit_code"] == 1
        assert str(project.target_root / place).rstrip("/") in planned["error"]["message"]
    assert sync(project, "--dry-run", "--allow", "destination-gone")["exit_code"] == 0
