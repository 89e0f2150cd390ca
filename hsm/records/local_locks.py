"""Locks of this side that one call holds with several targets, and that may be broken meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from hsm.records.lock import hold_local_lock


class LocalLocks:
    """Holds locks of one sweep until the end of a stack.

    Args:
        stack: Gives them back.
        sweep: For messages.
    """

    def __init__(self, stack: ExitStack, sweep: str) -> None:
        self._stack = stack
        self._sweep = sweep
        self._found: dict[Path, _LockFile | None] = {}

    def take(self, path: Path, *, target: str) -> None:
        """Take one more.

        Raises:
            LockedError: Another process holds it.
            TargetError: It cannot be made.
        """
        self._stack.enter_context(hold_local_lock(path, sweep=self._sweep, target=target, breaks=False))
        self._found[path] = _look(path)

    def are_intact(self) -> bool:
        """Tell whether nobody has broken one of them (`--break-lock`)."""
        return all(_look(path) == found for path, found in self._found.items())


class _LockFile(NamedTuple):
    inode: int
    device: int
    content: bytes  # names the holder; an inode is used again once its file is gone


def _look(path: Path) -> _LockFile | None:
    try:
        status = path.lstat()
        return _LockFile(status.st_ino, status.st_dev, path.read_bytes())
    except OSError:
        return None
