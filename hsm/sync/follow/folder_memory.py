"""Memory of the folders that earlier passes read, so that a file system is not asked again for what has not changed.

A folder's time changes when a name comes, goes or is replaced in it, not when a file in it grows. So names are read
again only where the time changed, and files are looked at again but in runs at rest: those that have ended, and those
of other sweeps in which nothing has moved for an hour.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hsm.discover.sweeps import is_run_name
from hsm.tree import Child, Scan, scan_folder

SETTLED_NS = 10 * 10**9
"""A folder whose time is younger than this may change once more within the same tick of its clock."""

QUIET_NS = 3600 * 10**9
"""A run of another sweep in which nothing has moved for so long is not looked at again until `forget`."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    """Implements `hsm.tree.Child`; a folder has no `status`."""

    name: str
    path: str
    number: int
    is_folder: bool
    status: os.stat_result | None

    def inode(self) -> int:
        return self.number

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self.is_folder or (follow_symlinks and os.path.isdir(self.path))  # noqa: PTH112 - as it is

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISREG(self.stat(follow_symlinks=follow_symlinks).st_mode)

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        if self.status is not None and not follow_symlinks:
            return self.status
        return os.stat(self.path, follow_symlinks=follow_symlinks)  # noqa: PTH116 - hot


@dataclass(frozen=True, slots=True)
class _Folder:
    stamp: tuple[int, int, int]
    children: tuple[_Remembered, ...]
    newest_ns: int


class FolderMemory:
    """Reader of folders like `hsm.tree.scan_folder` that remembers them; threads may share it, each has its folders.

    Args:
        clock: Nanoseconds since the epoch.
        read: Reads the names in a folder.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns, read: Scan = scan_folder) -> None:
        self._clock = clock
        self._read = read
        self._folders: dict[str, _Folder] = {}
        self._ended: frozenset[str] = frozenset()
        self._open: frozenset[str] = frozenset()

    def begin_pass(self, *, ended: Iterable[str], going: Iterable[str]) -> None:
        """Take the runs that have ended and those that go on, by their folders' real paths, before the next look."""
        self._ended, self._open = frozenset(ended), frozenset(going)

    def forget(self) -> None:
        """Look at everything anew from here on."""
        self._folders.clear()

    def scan(self, folder: str) -> Sequence[Child]:
        """See `hsm.tree.Scan`."""
        now = self._clock()
        status = os.stat(folder)  # noqa: PTH116 - hot
        stamp = (status.st_dev, status.st_ino, status.st_mtime_ns)
        known = self._folders.get(folder)
        is_known = known is not None and known.stamp == stamp
        if known is not None and is_known and self._is_quiet(folder, now):
            return known.children
        read = _look_again(known.children) if known is not None and is_known else _look(self._read(folder))
        self._folders.pop(folder, None)
        # Its time was read before its names, so a name that came in between shows at the next look.
        if status.st_mtime_ns < now - SETTLED_NS:
            self._folders[folder] = _Folder(stamp, read, max((_get_time(child) for child in read), default=0))
        return read

    def _is_quiet(self, folder: str, now: int) -> bool:
        run = _find_run(folder)
        if run is None or run in self._open:
            return False  # a file that grows does not change its folder's time
        known = self._folders.get(run)
        return run in self._ended or (known is not None and known.newest_ns < now - QUIET_NS)


def _look(children: Iterable[Child]) -> tuple[_Remembered, ...]:
    found = []
    for child in children:
        is_folder = child.is_dir(follow_symlinks=False)
        try:
            status = None if is_folder else child.stat(follow_symlinks=False)
        except OSError:
            continue
        found.append(_Remembered(child.name, child.path, child.inode(), is_folder, status))
    return tuple(found)


def _look_again(children: Iterable[_Remembered]) -> tuple[_Remembered, ...]:
    """Look at the files of a folder as they are at this moment; those that are gone are left out."""
    found = []
    for child in children:
        try:
            status = None if child.is_folder else os.lstat(child.path)
        except OSError:
            continue
        found.append(_Remembered(child.name, child.path, child.number, child.is_folder, status))
    return tuple(found)


def _get_time(child: _Remembered) -> int:
    return child.status.st_mtime_ns if child.status is not None and stat.S_ISREG(child.status.st_mode) else 0


def _find_run(folder: str) -> str | None:
    """Find the run folder that a folder is or lies in: the outermost that has such a name."""
    parts = folder.split("/")
    for index, part in enumerate(parts):
        if is_run_name(part):
            return "/".join(parts[: index + 1])
    return None
