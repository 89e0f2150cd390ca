"""`hsm sync` over SFTP, end to end: without ssh and rsync here, without rsync or commands there, and when asked for."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import FLAT_SWEEP, NESTED_SWEEP
from tests.e2e.pull_project import make_desktop
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm
    from tests.e2e.conftest import MakeProject, Project
    from tests.e2e.pull_project import Desktop

SFTP_ONLY = {"settings": {"ForceCommand": "internal-sftp"}}
SMALL_PROGRAMS = (
    *("find", "xargs", "uname", "date", "df", "tail", "head", "base64", "cksum", "tr", "cat", "mkdir", "rmdir"),
    *("rm", "mv", "ln", "wc", "grep", "cmp", "sync", "sh", "sha256sum"),
)


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


def make_path(folder: Path, *names: str) -> str:
    """A PATH on which these programs lie alone."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return str(folder)


def sync(project: Project, sweep: str, *args: str, env: dict[str, str] | None = None) -> tuple[dict[str, Any], str]:
    """Bring a sweep; what is said of the target, and what the terminal saw."""
    completed = project.hsm("sync", "to", sweep, "--all-versions", "--json", *args, env=env)
    document = json.loads(completed.stdout)
    (report,) = document["sweeps"]
    (target,) = report["targets"]
    assert completed.returncode == document["exit_code"]
    return target, completed.stderr


def read_notice(target: dict[str, Any]) -> str:
    """The report's line that says why SFTP is used; it is there once, and no failure."""
    (notice,) = [problem for problem in target["problems"] if problem["kind"] == "by_sftp"]
    assert (notice["severity"], notice["path"]) == ("notice", "")
    message: str = notice["message"]
    return message


def assert_arrived(project: Project, *, n_runs: int) -> None:
    """Every run is there as it is here, and nothing of HSM's own beside the receipts."""
    there = project.target_wandb
    runs = {path.name: path for path in (project.folder / "wandb").rglob("offline-run-*") if path.is_dir()}
    arrived = [path for path in there.rglob("*") if path.is_file()]
    assert len({path.relative_to(there).parts[0] for path in arrived}) == n_runs
    for path in arrived:
        run, *rest = path.relative_to(there).parts
        source = runs[run].joinpath(*rest)
        assert path.read_bytes() == source.read_bytes(), path
        assert path.stat().st_mtime_ns // 10**9 == source.stat().st_mtime_ns // 10**9, path
    for run in {path.relative_to(there).parts[0] for path in arrived}:
        expected = {
            path.relative_to(runs[run]) for path in runs[run].rglob("*") if path.is_file() and not path.is_symlink()
        }
        assert {path.relative_to(there / run) for path in (there / run).rglob("*") if path.is_file()} == expected
    assert not [path for path in project.target_root.rglob(".hsm-*") if path.name != ".hsm-sync"]


@pytest.mark.slow
def test_without_ssh_and_rsync_thirty_runs_come_home(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(real=True)
    hidden = {"PATH": make_path(tmp_path / "bin")}
    states = [sync(project, sweep, env=hidden) for sweep in (FLAT_SWEEP, NESTED_SWEEP)]
    assert [target["state"] for target, _ in states] == ["done", "done"]
    assert "There is no ssh on this machine: SFTP does everything." in states[0][1]
    assert {read_notice(target) for target, _ in states} == {"There is no ssh on this machine: SFTP does everything."}
    assert_arrived(project, n_runs=33)
    again = [sync(project, sweep, env=hidden)[0] for sweep in (FLAT_SWEEP, NESTED_SWEEP)]
    assert [(target["state"], target["files"]["sent"]) for target in again] == [("nothing_to_do", 0)] * 2


def test_a_target_that_serves_sftp_alone_is_found_out(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd]
) -> None:
    project = make_project(start_sshd(**SFTP_ONLY), real=True)
    target, said = sync(project, FLAT_SWEEP)
    assert (target["state"], target["runs"]["complete"]) == ("done", 15)
    assert said.count("The target runs no commands: SFTP does everything.") == 1
    assert read_notice(target) == "The target runs no commands: SFTP does everything."
    assert_arrived(project, n_runs=18)
    assert list((project.target_sweeps / "outputs" / FLAT_SWEEP / ".hsm-sync").glob("receipt-*.json"))
    assert sync(project, FLAT_SWEEP)[0]["state"] == "nothing_to_do"


@pytest.mark.slow
def test_a_target_without_rsync_gets_its_files_by_sftp(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], tmp_path: Path
) -> None:
    sshd = start_sshd(environment={"PATH": make_path(tmp_path / "bin", *SMALL_PROGRAMS)})
    project = make_project(sshd, real=True)
    target, said = sync(project, FLAT_SWEEP)
    assert target["state"] == "done"
    assert said.count("There is no rsync at desktop. SFTP carries the files.") == 1
    assert read_notice(target) == "There is no rsync at desktop. SFTP carries the files."
    assert_arrived(project, n_runs=18)
    assert sync(project, FLAT_SWEEP)[0]["state"] == "nothing_to_do"


@pytest.mark.slow
@pytest.mark.parametrize("keys", [{"engine": "sftp"}, {"ssh": {"client": "paramiko"}}], ids=["engine", "client"])
@pytest.mark.parametrize("options", [{}, SFTP_ONLY], ids=["shell", "sftp-only"])
def test_sftp_can_be_asked_for(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], keys: dict[str, Any], options: dict[str, Any]
) -> None:
    project = make_project(start_sshd(**options), real=True)
    ssh = project.read_config()["sync_targets"]["desktop"]["ssh"]
    project.set_target(**{**keys, "ssh": {**ssh, **keys.get("ssh", {})}})
    target, _ = sync(project, FLAT_SWEEP)
    assert target["state"] == "done"
    assert not [problem for problem in target["problems"] if problem["kind"] == "by_sftp"]
    assert_arrived(project, n_runs=18)
    assert project.sshd.count_logins() == 1
    found = project.hsm("sync", "verify", FLAT_SWEEP, "--json")
    assert found.returncode == 0, found.stdout
    damaged = next(path for path in project.target_wandb.rglob("*.wandb"))
    status = damaged.stat()
    damaged.write_bytes(b"x" * status.st_size)
    os.utime(damaged, ns=(status.st_mtime_ns, status.st_mtime_ns))
    found = project.hsm("sync", "verify", FLAT_SWEEP, "--json")
    assert found.returncode == 1
    assert damaged.name in found.stdout


def test_rsync_that_is_asked_for_is_not_replaced(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd]
) -> None:
    project = make_project(start_sshd(**SFTP_ONLY), real=True)
    project.set_target(engine="rsync")
    target, _ = sync(project, FLAT_SWEEP)
    assert (target["state"], target["error"]["kind"]) == ("failed", "noisy_shell")
    assert not project.target_root.exists()


def test_an_unknown_host_key_is_refused_without_ssh(make_project: MakeProject, tmp_path: Path) -> None:
    project = make_project(real=True)
    project.sshd.known_hosts.write_text("")
    target, _ = sync(project, FLAT_SWEEP, env={"PATH": make_path(tmp_path / "bin")})
    assert target["error"]["kind"] == "host_key_unknown"
    assert f">> {project.sshd.known_hosts}" in target["error"]["hint"]
    assert project.sshd.count_logins() == 0


def make_puller(tmp_path: Path, sshd: PrivateSshd, hsm: RunHsm, copy_project: Callable[[Path], Path]) -> Desktop:
    """An empty project here; the far one holds the real runs."""
    desktop = make_desktop(tmp_path, sshd, hsm)
    copy_project(desktop.far)
    return desktop


@parametrize("way", ["found", "asked", "without ssh"], quick=["found"])
def test_a_sweep_is_pulled_from_where_sftp_alone_is_served(
    way: str,
    start_sshd: Callable[..., PrivateSshd],
    tmp_path: Path,
    hsm: RunHsm,
    copy_project: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desktop = make_puller(tmp_path, start_sshd(**SFTP_ONLY), hsm, copy_project)
    if way == "asked":
        desktop.targets["hpc"]["engine"] = "sftp"
        desktop.write_config()
    elif way == "without ssh":
        monkeypatch.setenv("PATH", make_path(tmp_path / "bin", *SMALL_PROGRAMS))
    (place,) = desktop.read("sync", "list", "--sweeps", "-t", "hpc")["places"]
    assert {FLAT_SWEEP, NESTED_SWEEP} <= {sweep["sweep"] for sweep in place["sweeps"]}
    result = desktop.pull(FLAT_SWEEP, "--all-versions")
    assert result["error"] is None
    assert (result["state"], result["runs"]["total"], result["runs"]["complete"]) == ("done", 18, 15)
    notices = [problem for problem in result["problems"] if problem["kind"] == "by_sftp"]
    assert len(notices) == (way != "asked")
    assert desktop.pull("latest", "--dry-run")["state"] == "planned"
    arrived = [path for path in desktop.wandb.rglob("*") if path.is_file()]
    assert {path.relative_to(desktop.wandb).parts[0] for path in arrived} == {
        path.name for path in (desktop.far / "wandb").glob("offline-run-*")
    }
    for path in arrived:
        source = desktop.far / "wandb" / path.relative_to(desktop.wandb)
        assert path.read_bytes() == source.read_bytes(), path
        assert path.stat().st_mtime_ns // 10**9 == source.stat().st_mtime_ns // 10**9, path
    again = desktop.pull(FLAT_SWEEP, "--all-versions")
    assert (again["state"], again["files"]["sent"]) == ("nothing_to_do", 0)
    assert not list(desktop.here.rglob(".hsm-tmp"))
