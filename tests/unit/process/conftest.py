"""Programs that are started by tests, watched from outside; none of them may be left."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from private_sshd import list_processes

LONG = 60
"""Seconds that nothing here takes; a program that sleeps so long was not ended."""


def wait_until(is_true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    return any(process.pid == pid for process in list_processes())


def read_pid(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def list_open_files() -> set[str]:
    return {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists()}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No test leaves a child of this process, not even a dead one, nor a file that is closed by chance."""
    yield
    gc.collect()
    with suppress(ChildProcessError):
        left = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        assert left is None, f"a dead child was not collected: {left}"
