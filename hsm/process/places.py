"""Places: folders that this process works in, whose file system may stop answering (a hung mount or FUSE daemon).

A call that waits for such a file system cannot be ended from within, so it is asked beside the work.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable

_noted: dict[str, None] = {}


def note_place(path: str | os.PathLike[str]) -> None:
    """Remember a folder that this process works in; one that is missing does no harm."""
    _noted[os.fspath(path)] = None


def list_places() -> list[str]:
    """List the folders that were noted."""
    return list(_noted)


def find_silent(paths: Iterable[str], *, seconds: float) -> list[str]:
    """Find the paths whose file system does not answer in time, all asked at once.

    What does not answer keeps a thread, which ends with the process.

    Args:
        paths: Absolute; one that does not exist is an answer.
        seconds: For all of them.
    """
    threads = [(path, _ask(path)) for path in dict.fromkeys(paths)]
    deadline = time.monotonic() + seconds
    for _, thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [path for path, thread in threads if thread.is_alive()]


def _ask(path: str) -> threading.Thread:
    def ask() -> None:
        try:
            os.statvfs(path)  # stat(2) may be answered from a cache here, statfs(2) goes to the server or daemon
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=ask, name="hsm-place", daemon=True)
    thread.start()
    return thread
