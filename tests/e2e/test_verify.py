"""`hsm sync verify`: checksums of both ends, and what they find."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.synthetic import write_project

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


def verify(project: Project, sweep: str) -> dict[str, Any]:
    completed = project.hsm("sync", "verify", sweep, "--json")
    document = json.loads(completed.stdout)
    assert document["exit_code"] == completed.returncode
    result: dict[str, Any] = document["sweeps"][0]["targets"][0]
    return result


def test_what_is_equal_different_missing_and_foreign_is_told(project: Project) -> None:
    sweep = sorted(path.name for path in (project.folder / "sweeps/outputs").iterdir())[0]
    before = verify(project, sweep)
    assert (before["exit_code"], before["equal"], len(before["missing"]) > 10) == (1, 0, True)
    assert project.hsm("sync", "to", sweep).returncode == 0
    equal = verify(project, sweep)
    assert (equal["exit_code"], equal["different"], equal["missing"], equal["only_there"]) == (0, [], [], [])
    assert equal["equal"] == len(before["missing"])

    runs = sorted(path for path in project.target_wandb.iterdir() if path.name.startswith("offline-run-"))
    log = next(runs[0].glob("*.wandb"))
    times = (log.stat().st_atime_ns, log.stat().st_mtime_ns)
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(content)
    os.utime(log, ns=times)
    gone = next(runs[1].glob("*.wandb"))
    gone.unlink()
    (runs[2] / "notes.txt").write_text("written at the target")
    found = verify(project, sweep)
    assert found["exit_code"] == 1
    assert found["different"] == [f"{runs[0].name}/{log.name}"]
    assert found["missing"] == [f"{runs[1].name}/{gone.name}"]
    assert found["only_there"] == [f"{runs[2].name}/notes.txt"]
    shown = project.hsm("sync", "verify", sweep, "-q")
    assert shown.returncode == 1
    assert f"{log.name} differs" in shown.stdout
    assert list(project.target_root.rglob(".hsm-tmp")) == []


@pytest.mark.slow
def test_a_target_out_of_reach_is_not_equal(project: Project) -> None:
    sweep = sorted(path.name for path in (project.folder / "sweeps/outputs").iterdir())[0]
    project.set_target(port=1)
    found = verify(project, sweep)
    assert (found["exit_code"], found["error"]["kind"]) == (10, "connection_refused")


@pytest.mark.parametrize("n_sessions", [1, 4])
def test_a_server_with_few_sessions_is_verified_all_the_same(
    n_sessions: int, start_sshd: Callable[..., PrivateSshd], make_project: MakeProject
) -> None:
    """The open shell gives its place to the comparing rsync, as it does to one that sends."""
    sshd = start_sshd(settings={"MaxSessions": str(n_sessions)})
    project = make_project(sshd, options={"parallel_transfers": n_sessions})
    write_project(project.folder)
    assert project.hsm("sync", "to", SWEEP).returncode == 0
    found = verify(project, SWEEP)
    assert (found["exit_code"], found["error"], found["equal"]) == (0, None, 10)
