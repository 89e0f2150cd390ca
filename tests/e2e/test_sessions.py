"""How little is asked of a server: one login, and few sessions over it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import assert_end, sync
from tests.e2e.proxy import LinkProxy
from tests.e2e.synthetic import write_file, write_project
from tests.marks import parametrize

if TYPE_CHECKING:
    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project

N_RUNS = 200
MB = 1_000_000


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


def count_contacts(sshd: PrivateSshd) -> int:
    return sshd.log_text().count("Connection from ")


def list_files(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file() and ".hsm-sync" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def assert_arrived(project: Project) -> None:
    for place in ("sweeps", "wandb"):
        assert list_files(project.folder / place) == list_files(project.target_root / place)


def most_sessions(n_workers: int) -> int:
    """One for questions, one for a long receipt; even a single worker has two folders to fill."""
    return max(n_workers, 2) + 2


@parametrize("n_workers", [1, 2, 4], quick=[4])
@parametrize("delay_seconds", [0.0, 0.02], quick=[0.02])
def test_a_sync_of_many_runs_is_one_login_and_few_sessions(
    n_workers: int, delay_seconds: float, make_project: MakeProject
) -> None:
    project = make_project(options={"latest_only": False, "parallel_transfers": n_workers})
    runs = write_project(project.folder, n_runs=N_RUNS)
    for run in runs[:8]:
        write_file(run / "files/media.bin", os.urandom(2 * MB))
    sshd = project.sshd
    with LinkProxy(sshd.port, delay_seconds=delay_seconds) as proxy:
        ssh = project.read_config()["sync_targets"][project.target]["ssh"]
        known = {**ssh["options"], "HostKeyAlias": f"[{sshd.host}]:{sshd.port}"}
        project.set_target(port=proxy.port, ssh={**ssh, "options": known})
        said = sync(project)
        assert_end(said, "done", 0)
        assert said.n_sent == said.n_planned == 3 * N_RUNS + 8 + 1
        assert (sshd.count_logins(), count_contacts(sshd)) == (1, 1)
        assert 2 <= sshd.count_sessions() <= most_sessions(n_workers)
        sshd.clear_log()
        assert_end(sync(project), "nothing_to_do", 0)
        assert (count_contacts(sshd), sshd.count_sessions()) == (0, 1)
        assert not any("rsync" in command for command in sshd.read_commands())
        sshd.clear_log()
        for run in runs[::20]:
            write_file(run / "files/output.log", b"more\n" * 60, mtime_ns=run.stat().st_mtime_ns)
        assert_end(sync(project), "done", 0)
        assert count_contacts(sshd) == 0
        assert 2 <= sshd.count_sessions() <= most_sessions(n_workers)
    assert_arrived(project)


@pytest.mark.slow
def test_a_cold_sync_with_nothing_to_send_is_one_login_and_one_session(make_project: MakeProject) -> None:
    project = make_project()
    write_project(project.folder, n_runs=N_RUNS)
    assert_end(sync(project), "done", 0)
    assert project.hsm("sync", "logout").returncode == 0
    project.sshd.wait_no_connections()
    project.sshd.clear_log()
    assert_end(sync(project), "nothing_to_do", 0)
    sshd = project.sshd
    assert (sshd.count_logins(), count_contacts(sshd), sshd.count_sessions()) == (1, 1, 1)


def test_a_dry_run_is_one_session(make_project: MakeProject) -> None:
    project = make_project()
    write_project(project.folder, n_runs=N_RUNS)
    assert_end(sync(project, "--dry-run"), "planned", 0)
    assert (project.sshd.count_logins(), project.sshd.count_sessions()) == (1, 1)
    assert not project.target_root.exists()
