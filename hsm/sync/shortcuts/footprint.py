"""Footprint of a source: what a look found in each folder, in a few bytes, to see whether the next would find the same.

That needs no value for each file, and so takes a third of the time that reading the source takes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence

from hsm.targets.contents.marks import MARK_PREFIX
from hsm.tree import Child, iter_parts, scan_folder

_DIGEST_BYTES = 16
# In the folders of one part, as far as it matters for whether their file system is slow.
_FEW_ENTRIES = 256

# Of a chain of symlinks: Linux follows no more.
_MOST_HOPS = 40


class Footprint:
    """Reads folders as `hsm.tree.scan_folder` does, and notes what is in them. Threads may share it.

    Attributes:
        folders: A digest of each folder that was read, by its path.
        is_whole: False once something could not be read, or held something else when it was read again: of that, the
            digests do not tell whether it will be read the same again.
    """

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}
        self.is_whole = True

    def scan(self, folder: str) -> Sequence[Child]:
        """See `hsm.tree.Scan`."""
        try:
            children = scan_folder(folder)
        except OSError:
            self.is_whole = False
            raise
        digest = _make_digest(children)
        if self.folders.setdefault(folder, digest) != digest:
            self.is_whole = False
        return children


def is_unchanged(folders: Mapping[str, str]) -> bool:
    """Tell whether folders hold what they held when a footprint was taken. Changes nothing.

    As much is compared as a plan compares: names, kinds, sizes, times and inodes, and of a symlink hop by hop what it
    leads to.

    Args:
        folders: Of the footprint.
    """
    return all(iter_parts(list(folders), lambda paths: _are_unchanged(paths, folders), count=lambda _: _FEW_ENTRIES))


def _are_unchanged(paths: Sequence[str], folders: Mapping[str, str]) -> bool:
    for path in paths:
        try:
            if _make_digest(scan_folder(path)) != folders[path]:
                return False
        except (OSError, ValueError):  # a name that can be none
            return False
    return True


def _make_digest(children: Sequence[Child]) -> str:
    rows: list[tuple[object, ...]] = []
    for child in children:
        if child.name.startswith(MARK_PREFIX):  # lies there while a target is looked at
            continue
        try:
            if child.is_dir(follow_symlinks=False):
                rows.append((child.name, child.inode()))
                continue
            status = child.stat(follow_symlinks=False)
            is_file = child.is_file(follow_symlinks=False)
        except OSError as error:
            rows.append((child.name, error.errno))
            continue
        leads_to = () if is_file else _follow(child.path, status)
        rows.append((child.name, status.st_size, status.st_mtime_ns, status.st_ino, *leads_to))
    rows.sort(key=lambda row: str(row[0]))
    content = repr(rows).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()


def _follow(path: str, status: os.stat_result) -> tuple[object, ...]:
    """Say of what is no file what it is, and of a symlink where it leads."""
    hops: list[str] = []
    place = path
    with contextlib.suppress(OSError):  # of the last one, which is no symlink
        for _ in range(_MOST_HOPS):
            hops.append(os.readlink(place))  # noqa: PTH115 - as the bytes are
            place = os.path.join(os.path.dirname(place), hops[-1])  # noqa: PTH118, PTH120 - hot
    try:
        end = os.stat(path)  # noqa: PTH116 - hot
    except OSError as error:
        return status.st_mode, *hops, error.errno
    return *hops, end.st_mode, end.st_size, end.st_mtime_ns, end.st_ino
