"""Targets with odd shells, old programs and full disks: what `hsm sync to` says, and what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import (
    N_RUNS,
    SWEEP,
    add_file,
    assert_all_arrived,
    assert_end,
    assert_no_half_file,
    assert_nothing_left,
    count_complete,
    list_expected,
    list_runs,
    sync,
)
from tests.e2e.archive import OLD_RSYNC, get_from_archive
from tests.e2e.disks import SmallDisk, check_can_mount
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import Project

    StartSshd = Callable[..., PrivateSshd]
    MountDisk = Callable[..., SmallDisk]

MISSING_BYTES = re.compile(r"At least (\d+) bytes are missing")
MB = 1_000_000
SECOND_NS = 10**9


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[MountDisk]:
    """Return a function that mounts a small tmpfs on a folder; all are taken away at the end."""
    check_can_mount(tmp_path / "probe")
    with contextlib.ExitStack() as stack:

        def mount(folder: Path, options: str) -> SmallDisk:
            disk = SmallDisk(folder, options=options)
            stack.callback(disk.unmount)
            return disk

        yield mount


@pytest.fixture(scope="session")
def old_rsync(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return rsync 3.2.7."""
    return get_from_archive(OLD_RSYNC, tmp_path_factory)


def make_protocol_29(folder: Path) -> Path:
    """Make a stand-in for an rsync that speaks no more than protocol 29, as macOS's does."""
    program = folder / "rsync-29"
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = --version ]; then echo "rsync  version 3.1.0  protocol version 29"; exit; fi\n'
        'exec rsync --protocol=29 "$@"\n'
    )
    program.chmod(0o755)
    return program


def pin_time(path: Path, mtime_ns: int) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns))


def rewrite_within_the_second(path: Path) -> None:
    """Other content of the same size, other digits of the same second."""
    state = path.stat()
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    second = state.st_mtime_ns // SECOND_NS * SECOND_NS
    pin_time(path, second + (state.st_mtime_ns - second + SECOND_NS // 2) % SECOND_NS)
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns // SECOND_NS) == (state.st_size, state.st_mtime_ns // SECOND_NS)
    assert now.st_mtime_ns != state.st_mtime_ns


def test_a_shell_that_prints_is_named_and_works_once_it_is_silent(
    start_sshd: StartSshd, make: Callable[..., Project]
) -> None:
    sshd = start_sshd(shell="bash")
    (sshd.home / ".bashrc").write_text("echo Welcome to the cluster\n")
    project = make(sshd)
    said = sync(project)
    assert_end(said, "failed", 1, "noisy_shell")
    assert "Welcome to the cluster" in said.text
    assert "~/.bashrc" in said.text
    assert set(list_arrived_results(project)) == set()
    assert_nothing_left(project)
    (sshd.home / ".bashrc").write_text("echo Welcome >&2\n")
    assert_end(sync(project), "done", 0)
    assert sshd.count_logins() == 1
    assert_all_arrived(project)


def list_arrived_results(project: Project) -> set[str]:
    return {name for name in list_expected(project) if (project.target_root / name).exists()}


@pytest.mark.slow
def test_a_slow_shell_is_waited_for(start_sshd: StartSshd, make: Callable[..., Project]) -> None:
    sshd = start_sshd(shell="bash")
    (sshd.home / ".bashrc").write_text("sleep 3\n")
    project = make(sshd, options={"parallel_transfers": 2})
    assert_end(sync(project), "done", 0)
    assert sshd.count_logins() == 1
    assert_all_arrived(project)


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["tcsh", "fish"])
def test_a_shell_that_is_no_sh_does(
    shell: str, start_sshd: StartSshd, make: Callable[..., Project], require_program: Any
) -> None:
    require_program(shell)
    sshd = start_sshd(shell=shell)
    project = make(sshd)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)
    assert sync(project).n_planned == 0
    assert not (sshd.home / "1").exists()


def test_settings_of_the_user_for_work_in_a_terminal_do_no_harm(make: Callable[..., Project]) -> None:
    project = make(style="alias")
    with socket.create_server((project.sshd.host, 0)) as taken, project.sshd.ssh_config.open("a") as stream:
        lines = (
            "RemoteCommand tmux new -A",
            "RequestTTY force",
            f"LocalForward {taken.getsockname()[1]} 127.0.0.1:9",
            "ExitOnForwardFailure yes",
        )
        stream.writelines(f"    {line}\n" for line in lines)
        stream.flush()
        assert_end(sync(project), "done", 0)
    assert project.sshd.count_logins() == 1
    assert not any("tmux" in command for command in project.sshd.read_commands())
    assert_all_arrived(project)


@parametrize("path", ["/nonexistent/rsync", "~/no such/rsync"], quick=["/nonexistent/rsync"])
def test_an_rsync_that_is_not_there_is_found_before_anything_is_made(path: str, make: Callable[..., Project]) -> None:
    project = make()
    project.set_target(rsync_path=path, engine="rsync")  # else SFTP carries the files
    for args in (("--dry-run",), ()):
        said = sync(project, *args)
        assert_end(said, "failed", 1, "rsync_missing")
        assert "`rsync_path`" in said.text
    assert not project.target_root.exists()
    assert_nothing_left(project)
    project.set_target(rsync_path="rsync")
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


def check_two_calls_and_a_change(project: Project, *, unit_ns: int) -> None:
    """All arrives, the second call sends nothing, and what changed within the second goes alone."""
    run = list_runs(project)[0]
    path = add_file(run, "model.bin", 100_000)
    pin_time(path, path.stat().st_mtime_ns // SECOND_NS * SECOND_NS + 123_456_789)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project, unit_ns=unit_ns)
    assert_end(sync(project), "nothing_to_do", 0)
    rewrite_within_the_second(path)
    changed = sync(project)
    assert_end(changed, "done", 0)
    assert changed.n_sent == changed.n_planned > 0
    assert unit_ns > 1 or changed.n_sent == 1  # cut times prove a run as a whole, so all of it goes
    assert_all_arrived(project, unit_ns=unit_ns)
    assert_end(sync(project), "nothing_to_do", 0)


@pytest.mark.slow
def test_rsync_3_2_7_there_gets_all(old_rsync: Path, make: Callable[..., Project]) -> None:
    project = make()
    project.set_target(rsync_path=str(old_rsync))
    check_two_calls_and_a_change(project, unit_ns=1)
    assert any(str(old_rsync) in command for command in project.sshd.read_commands())


@pytest.mark.slow
def test_rsync_3_2_7_there_leaves_a_symlinked_folder_alone(
    old_rsync: Path, make: Callable[..., Project], tmp_path: Path
) -> None:
    project = make()
    project.set_target(rsync_path=str(old_rsync))
    outside = tmp_path / "outside"
    outside.mkdir()
    run = list_runs(project)[0].name
    project.target_wandb.mkdir(parents=True)
    (project.target_wandb / run).symlink_to(outside)
    said = sync(project)
    assert said.end == ("partial", 1)
    assert [problem["kind"] for problem in said.target["problems"]] == ["type_conflict"]
    assert list(outside.iterdir()) == []
    assert count_complete(project) == 14


@pytest.mark.slow
def test_protocol_29_there_keeps_whole_seconds_and_misses_no_change(
    make: Callable[..., Project], tmp_path: Path
) -> None:
    project = make()
    project.set_target(rsync_path=str(make_protocol_29(tmp_path)))
    check_two_calls_and_a_change(project, unit_ns=SECOND_NS)


@pytest.mark.slow
def test_a_change_within_the_second_is_sent(make: Callable[..., Project]) -> None:
    project = make()
    check_two_calls_and_a_change(project, unit_ns=1)


@pytest.mark.slow
def test_missing_parents_are_made_as_the_dry_run_says(make: Callable[..., Project]) -> None:
    project = make()
    deep = {"sweeps": str(project.target_root / "a/b/sweeps"), "wandb": str(project.target_root / "c/d/e/wandb")}
    project.set_target(paths=deep)
    planned = sync(project, "--dry-run")
    assert_end(planned, "planned", 0)
    assert not project.target_root.exists()
    sent = sync(project)
    assert_end(sent, "done", 0)
    assert planned.n_planned == sent.n_sent == len(list_expected(project))
    again = sync(project, "--dry-run")
    assert (again.end, again.n_planned) == (("planned", 0), 0)
    assert (project.target_root / f"a/b/sweeps/outputs/{SWEEP}").is_dir()
    assert len([path for path in (project.target_root / "c/d/e/wandb").iterdir() if path.is_dir()]) == N_RUNS


@pytest.mark.slow
def test_a_file_in_the_way_of_a_parent_is_refused_by_the_dry_run_too(make: Callable[..., Project]) -> None:
    project = make()
    project.target_root.mkdir(parents=True)
    (project.target_root / "a").write_text("mine")
    project.set_target(paths={"sweeps": str(project.target_sweeps), "wandb": str(project.target_root / "a/b/wandb")})
    for args in (("--dry-run",), ()):
        assert_end(sync(project, *args), "refused", 12, "destination-type")
    assert (project.target_root / "a").read_text() == "mine"
    assert not project.target_sweeps.exists()
    assert_nothing_left(project)


def test_too_little_space_is_refused_before_anything_is_sent(
    make: Callable[..., Project], mount_disk: MountDisk
) -> None:
    project = make()
    mount_disk(project.target_root, "size=20m")
    add_file(list_runs(project)[0], "big.bin", 30 * MB)
    for args in (("--dry-run",), ()):
        said = sync(project, *args)
        assert_end(said, "refused", 12, "space")
        assert "bytes, " in said.text
        assert "are missing" in said.text
    assert list(project.target_root.iterdir()) == []
    assert_nothing_left(project)


@pytest.mark.slow
@parametrize("n_workers", [1, 4], quick=[4])
def test_a_disk_that_fills_up_stops_all_workers_and_is_gone_on_with(
    n_workers: int, make: Callable[..., Project], mount_disk: MountDisk
) -> None:
    project = make(options={"parallel_transfers": n_workers})
    disk = mount_disk(project.target_root, "size=20m")
    runs = list_runs(project)
    for run in runs[:4]:
        add_file(run, "big.bin", 16 * MB)
    said = sync(project, "--allow", "space")
    assert said.target["exit_code"] == 1
    assert said.kind == "no_space", said.why
    assert "is full" in said.text
    assert int(MISSING_BYTES.findall(said.text)[0]) > 40 * MB
    assert_no_half_file(project)
    assert_nothing_left(project)
    assert count_complete(project) < N_RUNS
    (journal,) = (project.folder / ".hsm/sync/desktop").glob("*.json")
    assert "is full" in json.loads(journal.read_text())["last_error"]
    disk.remount("size=120m")
    assert_end(sync(project), "done", 0)
    assert json.loads(journal.read_text())["last_error"] == ""
    assert_all_arrived(project)
    assert sync(project).n_planned == 0


@pytest.mark.slow
def test_a_disk_that_others_fill_meanwhile_is_told(
    make: Callable[..., Project], mount_disk: MountDisk, tmp_path: Path
) -> None:
    """The check saw enough room; when rsync starts there, it is gone."""
    stand_in = tmp_path / "rsync"
    project = make(options={"parallel_transfers": 4})
    disk = mount_disk(project.target_root, "size=20m")
    filler = project.target_root / "theirs"
    stand_in.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = --server ]; then head -c 20000000 /dev/zero >"{filler}" 2>/dev/null; fi\n'
        'exec rsync "$@"\n'
    )
    stand_in.chmod(0o755)
    project.set_target(rsync_path=str(stand_in))
    add_file(list_runs(project)[0], "big.bin", 10 * MB)
    said = sync(project)
    assert said.target["exit_code"] == 1
    assert said.kind == "no_space", said.why
    filler.unlink()
    assert disk.free_bytes > 10 * MB
    assert_no_half_file(project)
    assert_nothing_left(project)
    project.set_target(rsync_path="rsync")
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


def test_too_few_inodes_are_refused_before_anything_is_sent(
    make: Callable[..., Project], mount_disk: MountDisk
) -> None:
    project = make()
    mount_disk(project.target_root, "size=20m,nr_inodes=60")
    said = sync(project)
    assert_end(said, "refused", 12, "inodes")
    assert "new files" in said.text
    assert "are missing" in said.text
    assert list(project.target_root.iterdir()) == []


@pytest.mark.slow
def test_a_file_system_without_inodes_is_told_from_a_full_one_and_gone_on_with(
    make: Callable[..., Project], mount_disk: MountDisk
) -> None:
    project = make()
    disk = mount_disk(project.target_root, "size=20m,nr_inodes=60")
    said = sync(project, "--allow", "inodes")
    assert said.target["exit_code"] == 1
    assert said.kind == "no_inodes", said.why
    assert "no free inodes" in said.text
    assert re.search(r"At least \d+ free inodes are missing", said.text)
    assert_no_half_file(project)
    assert_nothing_left(project)
    disk.remount("nr_inodes=2000")
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


@pytest.mark.slow
def test_a_file_system_that_is_mounted_read_only_is_told(make: Callable[..., Project], mount_disk: MountDisk) -> None:
    project = make()
    disk = mount_disk(project.target_root, "size=20m")
    disk.remount("ro")
    said = sync(project)
    assert said.target["exit_code"] == 1
    assert said.kind in ("read_only", "cannot_make_folder"), said.why
    assert "Read-only file system" in said.text or "read-only" in said.text
    disk.remount("rw")
    assert_nothing_left(project)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)
