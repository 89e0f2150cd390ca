"""Ends what a killed test run leaves behind: a private sshd and a shared login outlive whoever began them.

    python watchdog.py FOLDER

It runs beside a test process, whose tests write everything below FOLDER and which holds the other end of its standard
input. When that ends, however it came, every process that has its HOME below FOLDER goes, and every ssh, sshd and
rsync whose command line names a path there. At its own beginning it ends the servers of earlier runs that are
orphans: their watchdog was killed too.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "demo"))

from private_sshd import Process, list_descendants, list_processes

TRIES = 50
PAUSE_SECONDS = 0.1


def main() -> None:
    """Wait for the end of the test process, and clear up after it."""
    folder = Path(sys.argv[1])
    runs = next((place for place in folder.parents if place.name.startswith("pytest-of-")), None)
    if runs is not None:
        kill(process for process in list_processes() if is_orphan(process, runs))
    sys.stdin.read()
    for _ in range(TRIES):
        found = [process for process in list_processes() if is_of_tests(process, folder)]
        if not found:
            return
        kill(found)
        time.sleep(PAUSE_SECONDS)


def is_orphan(process: Process, runs: Path) -> bool:
    """Whether a process is a private sshd whose test process, always its parent, is gone."""
    argv = read_words(process.pid, "cmdline")
    is_ours = is_program(argv, "sshd") and names(argv, runs)
    return is_ours and not is_program(read_words(process.parent, "cmdline"), "python|pypy")


def is_of_tests(process: Process, folder: Path) -> bool:
    """Whether the tests that write below a folder have begun a process."""
    if process.pid == os.getpid():
        return False
    if any(word.startswith(f"HOME={folder}/") for word in read_words(process.pid, "environ")):
        return True
    argv = read_words(process.pid, "cmdline")
    return is_program(argv, "rsync|sshd?") and names(argv, folder)


def names(argv: list[str], folder: Path) -> bool:
    """Whether a command line names a path below a folder."""
    return any(f"{folder}/" in word for word in argv)


def is_program(argv: list[str], pattern: str) -> bool:
    """Whether a command line is of a program; sshd writes more than its name into the first word."""
    return bool(re.match(rf"(\S*/)?({pattern})[\d.]*(:|$)", argv[0]))


def read_words(pid: int, name: str) -> list[str]:
    """Read a process's `cmdline` or `environ`; one empty word where the system does not tell."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/{name}").read_bytes()).split("\0")
    except OSError:
        return [""]


def kill(processes: Iterable[Process]) -> None:
    """Kill processes and all that they have begun."""
    found = {process.pid for process in processes}
    below = {process.pid for pid in found for process in list_descendants(pid)}
    for pid in found | (below - {os.getpid()}):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
