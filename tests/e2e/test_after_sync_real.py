"""An upload with the real `wandb sync` at the target, against a server on loopback that stands in for wandb's."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import FLAT_SWEEP as SWEEP
from tests.e2e.wandb_server import WandbServer, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project

WANDB = Path(sys.executable).with_name("wandb")


@pytest.fixture
def server() -> Iterator[WandbServer]:
    """Return a server that is served while the test runs."""
    with serve() as state:
        yield state


def choose_runs(project: Project) -> list[Path]:
    """Two runs of the sweep that have ended, and one that was killed."""
    report = json.loads(project.hsm("sync", "report", SWEEP, "--json").stdout)
    by_state = {state: [run for run in report["runs"] if run["state"] == state] for state in ("finished", "running")}
    chosen = [*by_state["finished"][:2], *by_state["running"][:1]]
    return [project.folder / "wandb" / Path(folder).name for run in chosen for folder in run["folders"]]


@pytest.mark.slow
def test_the_real_wandb_uploads_the_runs_that_have_ended(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], server: WandbServer
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": "a" * 40,
        "WANDB_ERROR_REPORTING": "false",
    }
    project = make_project(start_sshd(environment=environment), real=True)
    chosen = choose_runs(project)
    for run in (project.folder / "wandb").glob("offline-run-*"):
        if run not in chosen:
            shutil.rmtree(run)
    config = project.read_config()
    config["sync_targets"]["desktop"]["paths"]["project_root"] = str(project.target_root)
    config["sync_targets"]["desktop"]["after_sync"] = [{"wandb_sync": True, "wandb_path": str(WANDB)}]
    project.write_config(config)

    done = project.hsm("sync", "to", SWEEP, "--json", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (step,) = json.loads(done.stdout)["sweeps"][0]["targets"][0]["after_sync"]
    ids = sorted(name.rpartition("-")[2] for name in step["runs"])
    assert ids == sorted(run.name.rpartition("-")[2] for run in chosen[:2])
    assert sorted(server.runs) == ids
    assert server.ended == dict.fromkeys(ids, 0), "each is complete at the server, with its exit code"
    assert all(len(server.history[run]) == 30 for run in ids), "every step arrived"
    kept = {
        path.relative_to(run / "files").as_posix() for run in chosen[:2] for path in run.rglob("files/media/**/*.*")
    }
    assert kept
    assert kept <= set(server.files), "all versions of all media were announced"
    marks = sorted(path.parent.name.rpartition("-")[2] for path in (project.target_root / "wandb").rglob("*.synced"))
    assert marks == ids

    server.runs.clear()
    again = project.hsm("sync", "to", SWEEP, "--json")
    assert again.returncode == 0
    assert server.runs == [], "no run is uploaded twice"
