"""Pulls out of folders with very many runs: exactly the sweep's come, in few sessions, and known logs stay closed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.pull_project import Desktop, make_desktop
from tests.e2e.synthetic import write_file, write_project, write_sweep_folder
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm

OTHER = "sweep_20251101_000000"
N_RUNS = 10_000
N_MEMBERS = 50


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def desktop(tmp_path: Path, sshd: PrivateSshd, hsm: RunHsm) -> Desktop:
    """Return an empty project here, and an empty one at the far side."""
    return make_desktop(tmp_path, sshd, hsm)


def write_logs(wandb: Path, n_runs: int, *, sweep: str) -> None:
    """Write runs that are nothing but their logs."""
    for number in range(n_runs):
        run_id = f"x{number:05}"
        log = w.frame([w.run(run_id, group=sweep), w.exit_code(0)])
        write_file(wandb / f"run-20251101_000000-{run_id}" / f"run-{run_id}.wandb", log)


def count_sessions(desktop: Desktop, *args: str) -> tuple[dict[str, Any], int]:
    desktop.sshd.clear_log()
    return desktop.pull(*args), desktop.sshd.count_sessions()


@pytest.mark.slow
def test_ten_thousand_runs_cost_the_sessions_of_ten_and_are_known_the_second_time(desktop: Desktop) -> None:
    write_project(desktop.far, n_runs=N_MEMBERS)
    write_sweep_folder(desktop.far, OTHER)
    write_logs(desktop.far / "wandb", 10, sweep=OTHER)
    few, n_few = count_sessions(desktop, SWEEP)
    shutil.rmtree(desktop.here / ".hsm/cache")
    for folder in ("sweeps", "wandb", ".hsm/sync"):
        shutil.rmtree(desktop.here / folder)
    write_logs(desktop.far / "wandb", N_RUNS - N_MEMBERS, sweep=OTHER)
    many, n_many = count_sessions(desktop, SWEEP)
    assert (many["state"], many["runs"]["total"]) == (few["state"], few["runs"]["total"]) == ("done", N_MEMBERS)
    assert {path.name[:9] for path in desktop.wandb.iterdir()} == {"run-20251"}
    assert len(list(desktop.wandb.iterdir())) == N_MEMBERS
    assert n_many <= n_few + 1
    for log in (desktop.far / "wandb").glob("*/*.wandb"):
        state = log.stat()
        log.write_bytes(b"x" * state.st_size)
        os.utime(log, ns=(state.st_atime_ns, state.st_mtime_ns))
    again, n_again = count_sessions(desktop, SWEEP)
    assert (again["state"], again["runs"]["total"]) == ("nothing_to_do", N_MEMBERS)
    assert n_again < n_many


def write_real_sweeps(project: Path, *, n_members: int, n_others: int) -> None:
    from write_sweep import write_sweep

    write_sweep(project, OTHER, n_others)
    write_sweep(project, SWEEP, n_members)


def assert_exactly_the_members_come(desktop: Desktop, *, n_members: int, n_others: int) -> None:
    there = {path.name for path in (desktop.far / "wandb").glob("offline-run-*")}
    assert len(there) == n_members + n_others
    result = desktop.pull(SWEEP)
    here = {path.name for path in desktop.wandb.iterdir()}
    members = {name for name in there if SWEEP in read_groups(desktop.far / "wandb" / name)}
    assert result["state"] == "done"
    assert here == members
    assert len(members) == n_members
    assert desktop.pull(SWEEP)["files"]["planned"] == 0


def read_groups(run: Path) -> str:
    """The text of a run's log; a sweep's id is in it where it is the run's group."""
    return next(run.glob("*.wandb")).read_bytes().decode("latin-1")


@pytest.mark.slow
def test_of_real_runs_in_one_folder_exactly_the_sweeps_come(desktop: Desktop) -> None:
    write_real_sweeps(desktop.far, n_members=4, n_others=16)
    assert_exactly_the_members_come(desktop, n_members=4, n_others=16)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.skipif(os.environ.get("HSM_SOAK") != "1", reason="HSM_SOAK=1 asks for it")
def test_of_a_thousand_real_runs_exactly_fifty_come(desktop: Desktop) -> None:
    write_real_sweeps(desktop.far, n_members=50, n_others=950)
    assert_exactly_the_members_come(desktop, n_members=50, n_others=950)
