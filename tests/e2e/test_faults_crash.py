"""kill -9 at random moments: no half file, records that can be read, and the next call brings the rest."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.records.receipt import parse_receipt
from tests.e2e.aftermath import (
    SWEEP,
    add_file,
    assert_all_arrived,
    assert_end,
    list_arrived,
    list_expected,
    list_runs,
    sync,
)
from tests.e2e.kills import Killer, find_master, put_proxy_between
from tests.e2e.synthetic import write_project
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project
    from tests.e2e.proxy import LinkProxy

MB = 1_000_000
SECONDS = 100
N_SEEDS = 50 if os.environ.get("HSM_SOAK") == "1" else 5
VICTIMS = ("hsm", "worker", "far side", "master", "hsm")
"""By seed: of five in a row, hsm dies twice."""
SIZES = (5 * MB, 8 * MB, 17 * MB)
LINK_BYTES_PER_SECOND = 20 * MB


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project(real=True, options={"latest_only": False, "parallel_transfers": 2})


def sync_and_kill(project: Project, proxy: LinkProxy, killer: Killer, *, at_bytes: int, after_seconds: float) -> int:
    """Start a sync and kill at a moment; return its exit code."""
    argv = [sys.executable, "-m", "hsm", "sync", "to", SWEEP, "--json"]
    with subprocess.Popen(
        argv, cwd=project.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        timer = threading.Timer(after_seconds, killer.kill, (process.pid,))
        if at_bytes:
            proxy.at_bytes(at_bytes, lambda: killer.kill(process.pid))
        else:
            timer.start()
        try:
            stdout, stderr = process.communicate(timeout=SECONDS)
        finally:
            timer.cancel()
            process.kill()
    if process.returncode >= 0:
        assert json.loads(stdout)["exit_code"] == process.returncode, stderr
    return process.returncode


def write_older_versions(project: Project, paths: list[Path]) -> dict[str, bytes]:
    """Put older versions of files at the target, as an earlier sync would have left them."""
    older: dict[str, bytes] = {}
    for path in paths:
        name = f"wandb/{path.relative_to(project.folder / 'wandb')}"
        older[name] = path.read_bytes()[: path.stat().st_size // 2]
        there = project.target_root / name
        there.parent.mkdir(parents=True)
        there.write_bytes(older[name])
        os.utime(there, (1_600_000_000, 1_600_000_000))
    return older


def assert_each_is_whole(project: Project, older: dict[str, bytes]) -> None:
    """Whatever has a final name at the target is the source's file or its older version."""
    expected = list_expected(project)
    for name, path in list_arrived(project).items():
        if any(part.startswith(".hsm-") for part in name.split("/")):
            continue
        content = path.read_bytes()
        assert content in (expected[name].read_bytes(), older.get(name)), f"{name} is not whole"


def assert_records_can_be_read(project: Project) -> None:
    for path in (project.folder / ".hsm").rglob("*.json"):
        assert isinstance(json.loads(path.read_bytes()), dict)
    for path in project.target_root.rglob("receipt-*"):
        assert path.suffix == ".json"
        parse_receipt(path.read_bytes())


def crash_and_go_on(project: Project, seed: int) -> str:
    """Kill once at a moment that the seed decides, sync again, and return what was killed."""
    chance = random.Random(seed)
    files = [add_file(list_runs(project)[index], "big.bin", size) for index, size in enumerate(SIZES)]
    older = write_older_versions(project, files[:2])
    with put_proxy_between(project, bytes_per_second=LINK_BYTES_PER_SECOND) as proxy:
        killer = Killer(VICTIMS[seed % len(VICTIMS)], chance, project.sshd, find_master(project))
        n_bytes = chance.randrange(1, 20 * MB)
        by_bytes = chance.random() < 0.7
        at_bytes, seconds = (n_bytes, 0.0) if by_bytes else (0, chance.uniform(0.1, 4))
        code = sync_and_kill(project, proxy, killer, at_bytes=at_bytes, after_seconds=seconds)
        print(f"seed {seed}: {killer.killed or 'nothing'} at {at_bytes or seconds}: exit code {code}")
        assert_each_is_whole(project, older)
        assert_records_can_be_read(project)
        assert (code == -signal.SIGKILL) == killer.killed.startswith("hsm"), "only hsm's own death is a death of hsm"
        if not killer.killed:
            assert code == 0
        proxy.bytes_per_second = None
        again, third = sync(project), sync(project)
    assert again.end in (("done", 0), ("nothing_to_do", 0)), again.why
    assert_each_is_whole(project, {})
    assert_all_arrived(project)
    assert_nothing_waits_here(project)
    assert_end(third, "nothing_to_do", 0)
    return killer.killed


def assert_nothing_waits_here(project: Project) -> None:
    left = [path.name for path in (project.folder / ".hsm").rglob("*") if path.name.startswith(".hsm-")]
    assert left == []


@parametrize("seed", range(5), quick=[0])
def test_after_a_kill_the_next_call_ends_with_equal_trees(project: Project, seed: int) -> None:
    crash_and_go_on(project, seed)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.skipif(N_SEEDS == 5, reason="HSM_SOAK=1 asks for it")
@pytest.mark.parametrize("seed", range(5, N_SEEDS))
def test_after_many_kills_the_next_call_ends_with_equal_trees(project: Project, seed: int) -> None:
    crash_and_go_on(project, seed)


def test_what_rsync_kept_of_a_cut_file_is_not_sent_again(project: Project) -> None:
    add_file(list_runs(project)[0], "big.bin", 20 * MB)
    with put_proxy_between(project, bytes_per_second=LINK_BYTES_PER_SECOND) as proxy:
        proxy.at_bytes(15 * MB, proxy.cut)
        said = sync(project)
        assert_end(said, "done", 0)
        assert proxy.n_connections == 2
        assert 20 * MB < proxy.n_bytes < 29 * MB
    assert_all_arrived(project)


# The session that takes the lock, or gives it back, dies at each of its steps.

DEATHS = [
    *((step, moment, "both ends") for step in ("ln", "mv") for moment in ("before", "after")),
    *((step, "before", "both ends") for step in ("rm", "sync", "rmdir")),
    ("mv", "after", "the far end"),
]


@parametrize(("step", "moment", "who"), DEATHS, quick=[("mv", "before", "both ends"), ("mv", "after", "the far end")])
def test_a_session_that_dies_at_the_lock_leaves_nothing_that_stays(
    make_project: MakeProject, start_sshd: Callable[..., PrivateSshd], tmp_path: Path, step: str, moment: str, who: str
) -> None:
    """A stand-in for a program that the session runs kills the session, once, before or after it did its work."""
    tools, died, pid = tmp_path / "tools", tmp_path / "died", tmp_path / "pid"
    tools.mkdir()
    program = tools / step
    die = f'[ -e "{died}" ] || {{ : >"{died}"; [ -e "{pid}" ] && kill -9 "$(cat "{pid}")"; kill -9 0; }}'
    real = shutil.which(step)
    lines = [f'"{real}" "$@" || exit', die] if moment == "after" else [die, f'exec "{real}" "$@"']
    program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    program.chmod(0o755)
    project = make_project(start_sshd(environment={"PATH": f"{tools}:{os.environ['PATH']}"}))
    project.set_options(latest_only=False)
    write_project(project.folder)
    argv = [sys.executable, "-m", "hsm", "sync", "to", SWEEP, "--json"]
    with subprocess.Popen(argv, cwd=project.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        if who == "both ends":
            pid.write_text(str(process.pid))
        process.communicate(timeout=SECONDS)
    assert died.exists()
    assert process.returncode == (-signal.SIGKILL if who == "both ends" else 0)
    assert_each_is_whole(project, {})
    assert_records_can_be_read(project)
    again = sync(project)
    assert again.end in (("done", 0), ("nothing_to_do", 0)), again.why
    assert [problem for problem in again.target["problems"] if problem["kind"] != "damaged_receipt"] == []
    assert_all_arrived(project)
    assert_nothing_waits_here(project)
    assert_end(sync(project), "nothing_to_do", 0)
