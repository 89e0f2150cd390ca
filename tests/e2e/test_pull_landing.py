"""Where `hsm sync from` lands, end to end: a sweep and its runs get no second place here (real sshd, real rsync)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.pull_project import Desktop, make_desktop
from tests.e2e.synthetic import T, write_file, write_project, write_run

if TYPE_CHECKING:
    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm

RUN = "run-20251020_212836-r{:04}"


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def desktop(tmp_path: Path, sshd: PrivateSshd, hsm: RunHsm) -> Desktop:
    """Return a project whose sweep of four runs was synced, and that has one file more at the far side."""
    desktop = make_desktop(tmp_path, sshd, hsm)
    (desktop.far / "sweeps").mkdir(parents=True)
    (desktop.far / "wandb").mkdir()
    write_project(desktop.here, n_runs=4)
    (desktop.here / "outputs").mkdir()
    (desktop.sweeps / "outputs" / SWEEP).rename(desktop.here / "outputs" / SWEEP)
    shutil.rmtree(desktop.sweeps)
    return desktop


def find(project: Path, name: str) -> list[str]:
    """The folders that hold something of this name."""
    return sorted(
        str(Path(folder).relative_to(project))
        for folder, folders, files in os.walk(project)
        if name in (*folders, *files) and ".hsm" not in folder
    )


TASK = f"outputs/{SWEEP}/tasks/0/wandb"
PLACES = {RUN.format(0): "wandb", RUN.format(1): f"wandb/{SWEEP}", RUN.format(2): TASK, RUN.format(3): TASK}


def pull_into_places(desktop: Desktop) -> None:
    """Pull what the far side has more of: one file of the sweep, and one of each run."""
    for name, place in PLACES.items():
        (desktop.here / place).mkdir(parents=True, exist_ok=True)
        (desktop.here / "wandb" / name).rename(desktop.here / place / name)
    assert desktop.hsm("sync", "to", SWEEP).returncode == 0
    assert desktop.pull(SWEEP)["state"] == "nothing_to_do"  # what lies there is what is here
    write_file(desktop.far / "sweeps/outputs" / SWEEP / "table.csv", b"of the far side\n")
    for name in PLACES:
        write_file(desktop.far / "wandb" / name / "files/output.log", b"done\n" * 60, mtime_ns=T + 10**12)
    result = desktop.pull(SWEEP)
    assert (result["state"], result["files"]["sent"], result["runs"]["total"]) == ("done", 5, 4)


def test_what_comes_lands_where_it_lies(desktop: Desktop) -> None:
    pull_into_places(desktop)
    assert find(desktop.here, "table.csv") == [f"outputs/{SWEEP}"]
    assert {name: find(desktop.here, name) for name in PLACES} == {name: [place] for name, place in PLACES.items()}
    for name, place in PLACES.items():
        assert (desktop.here / place / name / "files/output.log").read_bytes() == b"done\n" * 60
    assert not desktop.sweeps.exists()
    assert not list(desktop.here.rglob(".hsm-tmp"))


@pytest.mark.slow
def test_every_later_command_works(desktop: Desktop) -> None:
    pull_into_places(desktop)
    assert desktop.pull(SWEEP)["state"] == "nothing_to_do"
    document = desktop.read("sync", "to", SWEEP)
    assert (document["exit_code"], document["sweeps"][0]["targets"][0]["files"]["planned"]) == (0, 0)
    assert desktop.hsm("sync", "report", SWEEP).returncode == 0
    assert desktop.hsm("sync", "verify", SWEEP).returncode == 0
    (received,) = desktop.read("sync", "status", SWEEP)["sweeps"][0]["received"]
    assert (received["runs"]["total"], received["runs"]["complete"], received["missing"]) == (4, 4, [])
    assert received["exact"] == 4 + 1


def test_a_run_that_lies_twice_is_told_and_left(desktop: Desktop) -> None:
    assert desktop.hsm("sync", "to", SWEEP).returncode == 0
    write_run(desktop.here / "wandb/wandb", "r0001")
    write_file(desktop.far / "wandb" / RUN.format(1) / "files/new.txt", b"new\n")
    write_file(desktop.far / "wandb" / RUN.format(2) / "files/new.txt", b"new\n")
    result = desktop.pull(SWEEP)
    failures = [problem["kind"] for problem in result["problems"] if problem["severity"] == "failure"]
    assert (result["exit_code"], failures) == (1, ["double_run"])
    assert find(desktop.here, "new.txt") == [f"wandb/{RUN.format(2)}/files"]


def test_a_common_pull_needs_no_further_session(desktop: Desktop) -> None:
    """Neither does one whose runs lie elsewhere, where nothing comes."""
    assert desktop.hsm("sync", "to", SWEEP).returncode == 0
    assert desktop.pull(SWEEP)["state"] == "nothing_to_do"
    desktop.sshd.clear_log()
    desktop.pull(SWEEP)
    n_commands = len(desktop.sshd.read_commands())
    (desktop.here / "wandb/wandb").mkdir()
    (desktop.here / "wandb" / RUN.format(1)).rename(desktop.here / "wandb/wandb" / RUN.format(1))
    desktop.sshd.clear_log()
    assert desktop.pull(SWEEP)["state"] == "nothing_to_do"
    assert len(desktop.sshd.read_commands()) == n_commands
