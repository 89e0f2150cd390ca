"""Lister of folders of this machine, with the same entries that a remote listing gives."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from hsm.endpoint import Listing, Space, Tree
from hsm.model import FOLDER_UNREADABLE, Entry, EntryKind, Problem

# Names in the first part, which shows how fast the file system is, and in each of the parts of a slow one.
_N_PROBED = 16

N_READERS = 8

LARGE_BYTES = 1024 * 1024
"""Smaller files are not asked for holes, which would save less than asking costs."""

BLOCK_BYTES = 512
"""The unit of `st_blocks`, whatever the file system's own blocks are: stat(2)."""

SLOW_SECONDS = 0.0001
"""For an entry: ten times what a file system takes whose answers lie in memory."""


class Child(Protocol):
    """An entry of a folder, as `os.DirEntry` is one."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def path(self) -> str:
        """The folder's path and its name."""

    def inode(self) -> int:
        """Its inode."""

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a folder."""

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a regular file."""

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Its status."""


Scan = Callable[[str], Sequence[Child]]
"""Reads a folder; raises OSError as `os.scandir` does."""


def scan_folder(folder: str) -> Sequence[Child]:
    """Read a folder."""
    with os.scandir(folder) as found:
        return list(found)


def list_tree(tree: Tree, *, scan: Scan = scan_folder) -> Listing:
    """List a tree of this machine. Changes nothing; entries that vanish meanwhile are absent.

    Only files and symlinks cost a `stat`: on a parallel file system each is a round trip to its servers, so several
    threads list there (`iter_parts`).

    Args:
        tree: The folder, and which names in it.
        scan: Reads each folder; may be called by several threads at once.
    """
    base = os.path.expanduser(tree.base)  # noqa: PTH111 - pathlib would drop bytes that are no UTF-8 on errors
    problems: list[Problem] = []
    kind = _kind_of_base(base, problems)
    nearest_folder = _find_nearest_folder(base)
    space = _read_space(nearest_folder)
    if kind is not EntryKind.FOLDER:
        nearest = kind or _kind_of(nearest_folder, follow=True)
        device = _find_device(nearest_folder)
        return Listing(base, kind, problems=tuple(problems), space=space, nearest=nearest, device=device)
    base = os.path.realpath(base)
    entries: list[Entry] = []
    parts = iter_parts(
        tree.names, lambda names: _list_starts(base, names, tree=tree, scan=scan), count=lambda found: len(found[0])
    )
    for found, wrong in parts:
        entries += found
        problems += wrong
    return Listing(base, kind, tuple(entries), tuple(problems), space, device=_find_device(base))


_Found = tuple[list[Entry], list[Problem]]
_Answer = TypeVar("_Answer")


def iter_parts(
    names: Sequence[str], read: Callable[[Sequence[str]], _Answer], *, count: Callable[[_Answer], int]
) -> Iterator[_Answer]:
    """Read many names part by part, on a slow file system by several threads.

    There each of them waits for the servers by itself. The first part shows whether it is slow; on a fast one threads
    would only wait for Python. Parts that nobody waits for any more are not begun.

    Args:
        names: All of them.
        read: Reads a part; may be called by several threads at once.
        count: Counts the entries that were looked at for an answer.

    Yields:
        The answers, in the order of the names.
    """
    begin = time.monotonic()
    first = read(names[:_N_PROBED])
    is_slow = time.monotonic() - begin > SLOW_SECONDS * max(count(first), 1)
    yield first
    rest = names[_N_PROBED:]
    if not rest:
        return
    if not is_slow:
        yield read(rest)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - for slow file systems

    executor = ThreadPoolExecutor(N_READERS, thread_name_prefix="hsm-list")
    try:
        yield from executor.map(read, [rest[start : start + _N_PROBED] for start in range(0, len(rest), _N_PROBED)])
    finally:
        executor.shutdown(cancel_futures=True)  # whoever stopped asking waits for the parts under way alone


def _list_starts(base: str, names: Sequence[str], *, tree: Tree, scan: Scan) -> _Found:
    entries: list[Entry] = []
    problems: list[Problem] = []
    for name in names:
        entries.extend(_iter_start(base, name, tree=tree, problems=problems, scan=scan))
    return entries, problems


def _iter_start(base: str, name: str, *, tree: Tree, problems: list[Problem], scan: Scan) -> Iterator[Entry]:
    path = os.path.join(base, name) if name else base  # noqa: PTH118 - hot, and pathlib would normalise
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        problems.append(_make_unreadable(name, error))
        return
    entry = _make_entry(path, name, status, follow=tree.follow)
    yield entry
    if entry.kind is EntryKind.FOLDER and tree.max_depth != 0:
        yield from _iter_below(path, name, tree=tree, problems=problems, scan=scan)


def _iter_below(path: str, name: str, *, tree: Tree, problems: list[Problem], scan: Scan) -> Iterator[Entry]:
    pending = [(path, name, 1)]  # no calls of itself: folders may lie deeper than Python's stack
    while pending:
        folder, prefix, depth = pending.pop()
        try:
            children = scan(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(_make_unreadable(prefix, error))
            continue
        for child in children:
            child_name = f"{prefix}/{child.name}" if prefix else child.name
            try:
                if child.is_dir(follow_symlinks=False):  # known from reading the folder: a folder costs no stat
                    yield Entry(child_name, EntryKind.FOLDER, 0, 0, child.inode())
                    if tree.max_depth is None or depth < tree.max_depth:
                        pending.append((child.path, child_name, depth + 1))
                    continue
                status = child.stat(follow_symlinks=False)
            except FileNotFoundError:  # it has vanished
                continue
            except OSError as error:  # a folder that may be read and not searched, a path that is too long
                problems.append(_make_unreadable(child_name, error))
                continue
            if child.is_file(follow_symlinks=False):  # nearly all are, and a call less counts
                entry = Entry(child_name, EntryKind.FILE, status.st_size, status.st_mtime_ns, status.st_ino)
                yield entry if status.st_size < LARGE_BYTES else _add_disk_bytes(entry, child.path, status)
            else:
                yield _make_entry(child.path, child_name, status, follow=tree.follow)


def _make_unreadable(name: str, error: OSError) -> Problem:
    message = f"It cannot be read: {error.strerror}"
    hint = "Shorten the names above it." if error.errno == errno.ENAMETOOLONG else "Check its permissions."
    return Problem(name, FOLDER_UNREADABLE, message, hint)


def _kind_of_base(base: str, problems: list[Problem]) -> EntryKind | None:
    """Tell what a base leads to; one that may not be looked at is not one that is missing."""
    try:
        return _kind_of_mode(os.stat(base).st_mode)  # noqa: PTH116 - one way here
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        problems.append(_make_unreadable("", error))
        return None


def _make_entry(path: str, name: str, status: os.stat_result, *, follow: bool) -> Entry:
    kind = _kind_of_mode(status.st_mode)
    if kind is EntryKind.FOLDER:
        return Entry(name, kind, 0, 0, status.st_ino)
    if kind is EntryKind.SYMLINK:
        return _make_symlink(path, name, status, follow=follow)
    if kind is not EntryKind.FILE:
        return Entry(name, kind, 0, status.st_mtime_ns, status.st_ino)
    entry = Entry(name, kind, status.st_size, status.st_mtime_ns, status.st_ino)
    return entry if status.st_size < LARGE_BYTES else _add_disk_bytes(entry, path, status)


def _add_disk_bytes(entry: Entry, path: str, status: os.stat_result) -> Entry:
    """Add the room that a file occupies, if it has holes."""
    n_bytes = status.st_blocks * BLOCK_BYTES
    if n_bytes >= status.st_size:
        return entry
    # Fewer blocks may as well mean that the disk compresses, or that a file system tells no blocks.
    return entry._replace(disk_bytes=n_bytes) if _has_hole(path) or 0 < n_bytes <= status.st_size // 2 else entry


def _has_hole(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE) < os.fstat(descriptor).st_size
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _make_symlink(path: str, name: str, status: os.stat_result, *, follow: bool) -> Entry:
    try:
        link_target = os.readlink(path)  # noqa: PTH115 - as the bytes are
    except OSError:
        link_target = ""
    followed = None
    if follow:
        try:
            followed = _make_entry(path, name, os.stat(path), follow=False)  # noqa: PTH116 - hot
        except OSError:
            followed = None
    return Entry(name, EntryKind.SYMLINK, 0, status.st_mtime_ns, status.st_ino, link_target, followed)


def _kind_of(path: str, *, follow: bool) -> EntryKind | None:
    try:
        return _kind_of_mode(os.stat(path, follow_symlinks=follow).st_mode)  # noqa: PTH116 - one way here
    except OSError:
        return None


def _kind_of_mode(mode: int) -> EntryKind:
    if stat.S_ISREG(mode):
        return EntryKind.FILE
    if stat.S_ISDIR(mode):
        return EntryKind.FOLDER
    return EntryKind.SYMLINK if stat.S_ISLNK(mode) else EntryKind.OTHER


def _find_nearest_folder(path: str) -> str:
    while path != "/" and _kind_of(path, follow=True) is None:
        path = os.path.dirname(path) or "/"  # noqa: PTH120 - one way here
    return path


def _find_device(path: str) -> str:
    """Name the file system that holds a folder: its number, and where it is mounted."""
    place = os.path.realpath(path)
    try:
        device = os.stat(place).st_dev  # noqa: PTH116 - one way here
        while place != "/" and os.stat(os.path.dirname(place)).st_dev == device:  # noqa: PTH116, PTH120 - as above
            place = os.path.dirname(place)  # noqa: PTH120 - as above
    except OSError:
        return ""
    return f"{device} on {place}"


def _read_space(path: str) -> Space:
    try:
        found = os.statvfs(path)
    except OSError:
        return Space()
    return Space(
        free_bytes=found.f_bavail * found.f_frsize if found.f_blocks else None,
        free_inodes=found.f_favail if found.f_files else None,  # btrfs reports a total of 0: unknown, not full
    )
