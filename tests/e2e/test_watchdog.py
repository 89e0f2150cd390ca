"""The tests' own watchdog: of a run that is killed nothing stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from private_sshd import list_processes

from tests.conftest import WATCHDOG, read_argv

if TYPE_CHECKING:
    from collections.abc import Iterator

# A test process with a private sshd and a shared login, which is killed.
KILLED_RUN = """
import os, signal, subprocess, sys
from pathlib import Path
from private_sshd import PrivateSshd
folder = Path(sys.argv[1])
sshd = PrivateSshd(folder / "sshd")
sshd.start()
argv = ["ssh", "-F", sshd.ssh_config, "-o", "ControlPath=control", "-o", "ControlPersist=600", "-MNf", sshd.alias]
subprocess.run(argv, cwd=folder, check=True, stderr=subprocess.DEVNULL)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("ssh", "ssh-keygen", "sshd")
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("which processes are the tests' own is told by /proc")


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """The folder of a run that was killed."""
    folder = tmp_path / "pytest-of-me/pytest-1/popen-gw0"
    folder.mkdir(parents=True)
    path = os.pathsep.join(filter(None, sys.path))
    subprocess.run([sys.executable, "-c", KILLED_RUN, folder], env={**os.environ, "PYTHONPATH": path}, check=False)
    assert {Path(argv[0].split(":")[0]).name for argv in list_left(folder)} == {"ssh", "sshd"}
    yield folder
    watch(folder)


def list_left(folder: Path) -> list[list[str]]:
    """The living processes whose command line names a path below a folder."""
    found = [read_argv(process.pid) for process in list_processes()]
    return [argv for argv in found if any(f"{folder}/" in word for word in argv)]


def watch(folder: Path) -> None:
    """Be a test process that ends at once."""
    subprocess.run([sys.executable, WATCHDOG, folder], stdin=subprocess.DEVNULL, check=True, timeout=60)


def assert_nothing_stays(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while left := list_left(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_its_server_and_its_login_end_with_the_run(killed: Path) -> None:
    watch(killed)
    assert_nothing_stays(killed)


def test_a_server_without_a_watchdog_is_ended_by_the_next_run(killed: Path) -> None:
    watch(killed.parents[1] / "pytest-2/popen-gw0")
    assert_nothing_stays(killed)


def test_a_server_of_a_run_that_goes_on_stays(tmp_path: Path, start_sshd: Any) -> None:
    folder = tmp_path / "pytest-of-me/pytest-1"
    sshd = start_sshd(folder=folder / "popen-gw0/sshd")
    watch(folder.with_name("pytest-2") / "popen-gw0")
    assert sshd.is_running
