"""Two at once: one sweep is brought to one target by one process at a time, and nobody waits for the dead."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.records.lock import Holder, make_holder, make_lock_content, parse_holder
from hsm.records.receipt import parse_receipt
from tests.e2e.aftermath import (
    SWEEP,
    Said,
    assert_all_arrived,
    assert_end,
    assert_no_half_file,
    assert_nothing_left,
    list_arrived,
    list_runs,
    sync,
)
from tests.e2e.proxy import LinkProxy
from tests.e2e.synthetic import T, write_file, write_project, write_run
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project

MB = 1_000_000
WAIT_SECONDS = 30
OLD = (1_600_000_000, 1_600_000_000)
SINCE = "2025-10-20T21:28:36+00:00"


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    made = make_project(options={"latest_only": False})
    write_project(made.folder)
    return made


@contextlib.contextmanager
def frozen_sync(project: Project) -> Iterator[tuple[LinkProxy, Future[Said]]]:
    """A sync that has begun to send and stands still, until the link thaws."""
    write_file(list_runs(project)[0] / "files/model.bin", os.urandom(4 * MB))
    config = project.config_path.read_text()
    with LinkProxy(project.sshd.port) as proxy, ThreadPoolExecutor(1) as executor:
        ssh = project.read_config()["sync_targets"][project.target]["ssh"]
        options = {**ssh["options"], "HostKeyAlias": f"[{project.sshd.host}]:{project.sshd.port}"}
        project.set_target(port=proxy.port, ssh={**ssh, "options": options})
        proxy.at_bytes(2 * MB, proxy.freeze)
        future = executor.submit(sync, project, timeout=60)
        wait_until(lambda: lies_in(project, "lock") and proxy.n_bytes > MB, future)
        project.config_path.write_text(config)
        try:
            yield proxy, future
        finally:
            proxy.thaw()


def wait_until(is_so: Callable[[], bool], future: Future[Said]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert not future.done(), future.result().why
        assert time.monotonic() < deadline
        time.sleep(0.02)


def get_guard_folder(project: Project) -> Path:
    return project.target_sweeps / "outputs" / SWEEP / ".hsm-sync"


def lies_in(project: Project, name: str) -> bool:
    return (get_guard_folder(project) / name).exists()


def put_lock(project: Project, holder: Holder, *, times: tuple[int, int] | None = None) -> Path:
    path = get_guard_folder(project) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_lock_content(holder))
    if times:
        os.utime(path, times)
    return path


def elsewhere() -> Holder:
    return replace(make_holder("f" * 16, SINCE), host="login2.example.org", pid=4711)


def find_dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def copy_to_other_machine(project: Project, tmp_path: Path) -> Project:
    """The same project in another place, with another id, and the same target."""
    folder = tmp_path / "another machine" / project.folder.name
    shutil.copytree(project.folder, folder, symlinks=True)
    for name in ("project.json", "sync", "cache"):
        path = folder / ".hsm" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return replace(project, folder=folder)


def test_a_second_sync_of_a_project_is_told_who_is_at_it(project: Project) -> None:
    with frozen_sync(project) as (proxy, first):
        lock = next((project.folder / ".hsm/sync/desktop").glob("*.lock"))
        pid = lock.read_text().split()[0]
        second = sync(project)
        assert_end(second, "locked", 11, "locked")
        assert f"process {pid} on {socket.gethostname()}" in second.text
        assert "--break-lock" in second.text
        plain = project.hsm("sync", "to", SWEEP)
        assert plain.returncode == 11
        assert f"process {pid}" in plain.stdout + plain.stderr
        assert sync(project, "--dry-run").end == ("planned", 0)
        proxy.thaw()
        assert_end(first.result(60), "done", 0)
    assert_all_arrived(project)


@pytest.mark.slow
def test_another_machine_is_told_who_is_at_it_since_when_and_goes_on_afterwards(
    project: Project, tmp_path: Path
) -> None:
    other = copy_to_other_machine(project, tmp_path)
    with frozen_sync(project) as (proxy, first):
        holder = parse_holder((get_guard_folder(project) / "lock").read_bytes())
        assert holder is not None
        second = sync(other)
        assert_end(second, "locked", 11, "locked")
        assert f"process {holder.pid} on {holder.host} since {holder.since}" in second.text
        proxy.thaw()
        assert_end(first.result(60), "done", 0)
    third = sync(other)
    assert third.target["state"] == "nothing_to_do"
    receipts = [parse_receipt(path.read_bytes()) for path in get_guard_folder(project).glob("receipt-*.json")]
    sources = {receipt.source.id: receipt for receipt in receipts}
    assert {receipt.source.path for receipt in receipts} == {str(project.folder), str(other.folder)}
    assert {json.loads((side.folder / ".hsm/project.json").read_bytes())["source_id"] for side in (project, other)} == {
        *sources
    }
    assert all(set(receipt.runs) == {"", *(run.name for run in list_runs(project))} for receipt in receipts)
    assert sync(project).end == sync(other).end == ("nothing_to_do", 0)
    assert {path.name for path in get_guard_folder(project).iterdir()} == {f"receipt-{id_}.json" for id_ in sources}


@pytest.mark.slow
def test_whose_lock_is_broken_says_so_and_leaves_no_receipt(project: Project, tmp_path: Path) -> None:
    other = copy_to_other_machine(project, tmp_path)
    with frozen_sync(project) as (proxy, first):
        second = sync(other, "--break-lock")
        assert_end(second, "done", 0)
        proxy.thaw()
        said = first.result(60)
    assert_end(said, "locked", 11, "lock_lost")
    (receipt,) = get_guard_folder(project).glob("receipt-*.json")
    assert parse_receipt(receipt.read_bytes()).source.path == str(other.folder)
    assert_no_half_file(project)
    again = sync(project)
    assert again.target["exit_code"] == 0, again.why
    assert_no_half_file(project)
    assert not list(project.target_root.rglob(".hsm-tmp"))
    assert not lies_in(project, "lock")


@parametrize("sign", ["lock", "temporary file"], quick=["temporary file"])
def test_a_lock_of_another_machine_is_kept_while_there_is_a_sign_of_life(project: Project, sign: str) -> None:
    content = make_lock_content(elsewhere())
    path = put_lock(project, elsewhere(), times=None if sign == "lock" else OLD)
    path.write_bytes(content)
    if sign == "temporary file":
        os.utime(path, OLD)
        write_file(project.target_wandb / ".hsm-tmp" / SWEEP / "model.bin.x1Yz9q", b"half", mtime_ns=time.time_ns())
    said = sync(project)
    assert_end(said, "locked", 11, "locked")
    assert f"process 4711 on login2.example.org since {SINCE}" in said.text
    assert "15 minutes" in said.text
    assert path.read_bytes() == content
    assert [beside.name for beside in path.parent.iterdir()] == ["lock"]
    assert not list(project.target_root.rglob("*.wandb"))
    assert sync(project, "--dry-run").end == ("planned", 0)
    assert path.read_bytes() == content


def test_a_lock_of_another_machine_without_a_sign_of_life_is_taken_over(project: Project) -> None:
    put_lock(project, elsewhere(), times=OLD)
    left = write_file(project.target_wandb / ".hsm-tmp" / SWEEP / "model.bin.x1Yz9q", b"half")
    for folder in (left.parent, left.parent.parent):
        os.utime(folder, OLD)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


@pytest.mark.slow
def test_a_lock_of_another_machine_can_be_broken(project: Project) -> None:
    put_lock(project, elsewhere())
    assert_end(sync(project, "--break-lock"), "done", 0)
    assert_all_arrived(project)


def test_a_dead_lock_of_this_machine_is_taken_over_at_once(project: Project) -> None:
    put_lock(project, replace(make_holder("f" * 16, SINCE), pid=find_dead_pid()))
    write_file(project.target_wandb / ".hsm-tmp" / SWEEP / "x", b"half", mtime_ns=time.time_ns())
    local = project.folder / ".hsm/sync/desktop" / f"{SWEEP}.lock"
    local.parent.mkdir(parents=True)
    local.write_text(f"{find_dead_pid()}\n{socket.gethostname()}\n")
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


@pytest.mark.slow
def test_a_living_process_of_this_machine_keeps_its_lock_until_it_is_old(project: Project) -> None:
    path = put_lock(project, make_holder("f" * 16, SINCE))
    said = sync(project)
    assert_end(said, "locked", 11, "locked")
    assert f"process {os.getpid()} on {socket.gethostname()}" in said.text
    os.utime(path, OLD)
    assert_end(sync(project), "done", 0)


@parametrize("content", [b"", b"\x1b[31mno JSON\n\xff"], quick=[b"\x1b[31mno JSON\n\xff"])
def test_a_damaged_lock_is_somebodys_until_it_is_old(project: Project, content: bytes) -> None:
    path = put_lock(project, elsewhere())
    path.write_bytes(content)
    plain = project.hsm("sync", "to", SWEEP)
    assert plain.returncode == 11
    assert "somebody unknown" in plain.stdout
    assert "\x1b" not in plain.stdout + plain.stderr
    os.utime(path, OLD)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


# Between the check and the lock. The stand-in for `ln`, which takes the lock, is the other machine.


def start_with_visitor(start_sshd: Callable[..., PrivateSshd], tmp_path: Path, visit: str) -> PrivateSshd:
    """A target at which somebody else is quicker: `visit` runs just before each lock is taken, in its folder."""
    tools = tmp_path / "tools"
    tools.mkdir()
    program = tools / "ln"
    program.write_text(f'#!/bin/sh\ncd "${{2%/*}}" || exit\n{visit}\nexec {shutil.which("ln")} "$@"\n')
    program.chmod(0o755)
    return start_sshd(environment={"PATH": f"{tools}:{os.environ['PATH']}"})


def make_project_with_visitor(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], tmp_path: Path, visit: str
) -> Project:
    project = make_project(start_with_visitor(start_sshd, tmp_path, visit), options={"latest_only": False})
    write_project(project.folder)
    return project


def test_a_receipt_written_between_check_and_lock_makes_it_check_again(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], tmp_path: Path
) -> None:
    run, newer = "run-20251020_212836-r0000", tmp_path / "newer"
    newer.write_text("what the other machine brought")
    theirs = f"../../../../wandb/{run}/files/config.yaml"
    visit = (
        f"[ -e receipt-{'f' * 16}.json ] || {{ echo {{}} >receipt-{'f' * 16}.json; "
        f'mkdir -p "$(dirname {theirs})"; cp {newer} {theirs}; }}'
    )
    project = make_project_with_visitor(make_project, start_sshd, tmp_path, visit)
    said = sync(project)
    assert_end(said, "partial", 1)
    assert [(problem["kind"], problem["path"]) for problem in said.target["problems"]] == [
        ("conflict", f"{run}/files/config.yaml")
    ]
    assert (project.target_wandb / run / "files/config.yaml").read_text() == "what the other machine brought"
    assert said.n_sent == len(list_arrived(project)) - 1
    assert not lies_in(project, "lock")


def test_who_never_gets_to_hold_what_was_checked_gives_up(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], tmp_path: Path
) -> None:
    visit = f"echo >>receipt-{'f' * 16}.json"
    project = make_project_with_visitor(make_project, start_sshd, tmp_path, visit)
    said = sync(project)
    assert_end(said, "locked", 11, "locked")
    assert "somebody else" in said.text
    assert not list(project.target_root.rglob("*.wandb"))
    assert not lies_in(project, "lock")
    assert not list(project.target_root.rglob(".hsm-tmp"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [b"", b"[" * 100_000],
    ids=["empty", "deep"],
)
def test_a_damaged_receipt_is_set_aside_and_written_anew(project: Project, damage: bytes) -> None:
    sync(project)
    (receipt,) = get_guard_folder(project).glob("receipt-*.json")
    receipt.write_bytes(damage)
    said = sync(project)
    assert_end(said, "nothing_to_do", 0)
    assert [(problem["kind"], problem["severity"]) for problem in said.target["problems"]] == [
        ("damaged_receipt", "notice")
    ]
    assert set(parse_receipt(receipt.read_bytes()).runs) == {"", *(run.name for run in list_runs(project))}
    assert receipt.with_name(f"{receipt.name}.damaged").read_bytes() == damage
    assert_end(sync(project), "nothing_to_do", 0)


def test_a_receipt_that_is_gone_is_written_anew(project: Project) -> None:
    sync(project)
    shutil.rmtree(get_guard_folder(project))
    assert_end(sync(project), "nothing_to_do", 0)
    assert_nothing_left(project)
    (receipt,) = get_guard_folder(project).glob("receipt-*.json")
    assert parse_receipt(receipt.read_bytes()).generation == 2


@pytest.mark.slow
def test_a_journal_that_is_gone_is_written_anew_and_the_generation_goes_on(project: Project) -> None:
    sync(project)
    shutil.rmtree(project.folder / ".hsm/sync")
    assert_end(sync(project), "nothing_to_do", 0)
    (receipt,) = get_guard_folder(project).glob("receipt-*.json")
    assert parse_receipt(receipt.read_bytes()).generation == 2
    assert_nothing_left(project)


@pytest.mark.slow
def test_two_sweeps_at_the_same_time_do_not_disturb_each_other(project: Project) -> None:
    other = "sweep_20251022_000000"
    write_project(project.folder, n_runs=0, sweep=other)
    write_run(project.folder / "wandb", "zz", sweep=other)
    with frozen_sync(project) as (proxy, first):
        completed = project.hsm("sync", "to", other, "--json")
        assert completed.returncode == 0, completed.stdout
        assert len(list((project.target_wandb / ".hsm-tmp").iterdir())) == 1
        proxy.thaw()
        assert_end(first.result(60), "done", 0)
    assert (project.target_wandb / "run-20251020_212836-zz/run-zz.wandb").stat().st_mtime_ns == T
    assert not list(project.target_root.rglob(".hsm-tmp"))
