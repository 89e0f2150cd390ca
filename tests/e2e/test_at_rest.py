"""A large sweep in which nothing has changed is not looked at file by file; whatever changes is seen all the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.sync.shortcuts import LEAST_RUNS
from hsm.wandb_log.format import FILE_HEADER
from tests.e2e.aftermath import SWEEP
from tests.e2e.synthetic import write_file, write_project, write_run

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeProject, Project

RUN = "run-20251020_212836-r0007"


@pytest.fixture
def project(make_project: MakeProject, require_program: Any) -> Project:
    """Return a project of which all has arrived, and of which the target was looked at again since."""
    require_program("rsync", "ssh", "sshd")
    project = make_project(options={"max_depth": None})
    write_project(project.folder, n_runs=LEAST_RUNS)
    assert sync(project)["state"] == "done"
    assert sync(project)["state"] == "nothing_to_do"
    return project


def sync(project: Project, *words: str, code: int = 0, env: dict[str, str] | None = None) -> dict[str, Any]:
    done = project.hsm("sync", "to", SWEEP, "--json", *words, env=env)
    assert done.returncode == code, done.stderr
    target: dict[str, Any] = json.loads(done.stdout)["sweeps"][0]["targets"][0]
    return target


def looks_at_files(report: dict[str, Any]) -> bool:
    return "plan" in report["seconds"]


def assert_rests(project: Project) -> None:
    report = sync(project)
    assert (report["state"], looks_at_files(report)) == ("nothing_to_do", False)


def test_nothing_is_looked_at_twice_and_the_report_is_the_same(project: Project) -> None:
    (project.folder / ".hsm/sync/desktop" / f"{SWEEP}.rest").unlink()
    looked, rested = sync(project), sync(project)
    assert (looks_at_files(looked), looks_at_files(rested)) == (True, False)
    for report in (looked, rested):
        del report["seconds"]
    assert rested == looked
    assert rested["runs"]["complete"] == LEAST_RUNS
    said = project.hsm("sync", "to", SWEEP).stdout
    assert f"nothing to do: {LEAST_RUNS} runs are there already" in said


@pytest.mark.slow
def test_a_call_that_asks_for_more_looks(project: Project) -> None:
    assert_rests(project)
    for words in (["--dry-run"], ["--verbose"], ["--runs", "finished"], ["--all-versions"], ["--break-lock"]):
        assert looks_at_files(sync(project, *words)), words


def _forget_receipts(project: Project) -> None:
    shutil.rmtree(project.target_sweeps / "outputs" / SWEEP / ".hsm-sync")


CHANGES: dict[str, tuple[Callable[[Project], object], int]] = {
    "a log grew here": (lambda p: _grow(p.folder / "wandb" / RUN / "run-r0007.wandb"), 1),
    "a new run here": (lambda p: write_run(p.folder / "wandb", "new"), 3),
    "the sweep's folder here": (lambda p: write_file(p.folder / "sweeps/outputs" / SWEEP / "a/b/c.txt", b"c"), 1),
    "a file is gone there": (lambda p: (p.target_wandb / RUN / "files/output.log").unlink(), 1),
    "a run is gone there": (lambda p: shutil.rmtree(p.target_wandb / RUN), 3),
    "a file is older there": (lambda p: write_file(p.target_wandb / RUN / "files/output.log", b"x", mtime_ns=1), 1),
    "the receipt is gone there": (_forget_receipts, 0),
    "the journal is gone here": (lambda p: (p.folder / ".hsm/sync/desktop" / f"{SWEEP}.json").unlink(), 0),
    "an empty log here": (lambda p: _write_late_run(_get_late_run(p)), 0),
    "whose it is, beside the log": (
        lambda p: write_file(_get_late_run(p) / "files/wandb-metadata.json", _make_metadata()),
        3,
    ),
    "another setting": (lambda p: p.set_options(exclude=["output.log"]), 0),
}


def _get_late_run(project: Project) -> Path:
    return project.folder / "wandb/run-20251020_230000-late"


def _write_late_run(folder: Path) -> None:
    write_file(folder / "run-late.wandb", FILE_HEADER)
    write_file(folder / "files/output.log", b"starting\n")


def _make_metadata() -> bytes:
    return json.dumps({"args": [f"wandb.group={SWEEP}"]}).encode()


def _grow(path: Path) -> None:
    write_file(path, path.read_bytes() + b"\0" * 32_768, mtime_ns=path.stat().st_mtime_ns + 1)


@pytest.mark.slow
def test_every_change_is_seen_and_then_it_rests_again(project: Project) -> None:
    assert_rests(project)
    for name, (change, n_files) in CHANGES.items():
        change(project)
        report = sync(project)
        assert looks_at_files(report), name
        assert report["files"]["sent"] == n_files, name
        looked = 0
        while looks_at_files(report) and looked < 4:
            report, looked = sync(project), looked + 1
        assert not looks_at_files(report), name
        assert report["state"] == "nothing_to_do", name


@pytest.mark.slow
def test_a_sweep_whose_runs_go_on_is_looked_at(project: Project) -> None:
    log = project.folder / "wandb" / RUN / "run-r0007.wandb"
    log.touch()
    sync(project)
    assert looks_at_files(sync(project))
    assert looks_at_files(sync(project))


@pytest.mark.slow
def test_two_targets_rest_together_or_not_at_all(project: Project) -> None:
    config = project.read_config()
    second = project.target_root.parent / "second"
    config["sync_targets"]["second"] = {
        **config["sync_targets"]["desktop"],
        "paths": {name: str(second / name) for name in ("sweeps", "wandb")},
    }
    project.write_config(config)
    both = ["sync", "to", SWEEP, "-t", "desktop", "-t", "second", "--json"]
    states = []
    for _ in range(3):
        done = project.hsm(*both)
        targets = json.loads(done.stdout)["sweeps"][0]["targets"]
        states.append([(target["state"], looks_at_files(target)) for target in targets])
    assert states == [
        [("nothing_to_do", True), ("done", True)],
        [("nothing_to_do", True), ("nothing_to_do", True)],
        [("nothing_to_do", False), ("nothing_to_do", False)],
    ]
    (second / "wandb" / RUN / "files/output.log").unlink()
    targets = json.loads(project.hsm(*both).stdout)["sweeps"][0]["targets"]
    assert [target["files"]["sent"] for target in targets] == [0, 1]


@pytest.mark.slow
def test_a_target_out_of_reach_is_told_as_such(project: Project) -> None:
    project.hsm("sync", "logout", "desktop")
    project.sshd.stop()
    report = sync(project, code=10)
    assert report["state"] == "unreachable"


HSM = Path(__file__).parents[2] / "hsm"


def make_bare(folder: Path) -> dict[str, str]:
    """Make a copy of HSM without its shortcuts, and return the environment in which it runs."""
    shutil.copytree(HSM, folder / "hsm", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(folder / "hsm/sync/shortcuts")
    push = folder / "hsm/sync/bring/push.py"
    lines = push.read_text().splitlines(keepends=True)
    left = [line for line in lines if not line.startswith("import hsm.sync.shortcuts")]
    assert len(left) == len(lines) - 1
    push.write_text("".join(left))
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.slow
def test_without_the_shortcuts_hsm_is_right_and_only_slower(project: Project, tmp_path: Path) -> None:
    """The folder and the one line that imports it are deleted; every answer stays what it was."""
    bare = make_bare(tmp_path / "bare")
    where = [sys.executable, "-c", "import hsm; print(hsm.__file__)"]
    found = subprocess.run(where, cwd=project.folder, env={**os.environ, **bare}, capture_output=True, check=True)
    assert found.stdout.decode().startswith(str(tmp_path / "bare"))
    answers = [sync(project), sync(project, env=bare)]
    assert [looks_at_files(answer) for answer in answers] == [False, True]
    for answer in answers:
        del answer["seconds"]
    assert answers[0] == answers[1]
    write_run(project.folder / "wandb", "new")
    assert sync(project, env=bare)["files"]["sent"] == 3
    assert looks_at_files(sync(project))
    assert_rests(project)
