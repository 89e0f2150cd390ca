"""Proving what arrived: a fresh look at the source, and after a failure one at the destination.

rsync names a file before the receiver has it, so a name proves nothing. A file is sent when the engine vouches for
it, or the destination shows it under its final name with the planned size and time (which are set before the
rename), and when the source did not change meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from hsm.endpoint import Endpoint, Tree
from hsm.model import Entry, EntryKind, Root, SourceFile
from hsm.plan.planner import is_same_time
from hsm.transfer.outcome import Key


def refresh(source: Endpoint, files: Sequence[SourceFile]) -> dict[Key, SourceFile | None]:
    """Look at the source again.

    Returns:
        Every file as it is now, equal to what was given where size, time and inode are the same; None for one
        that is gone or no file any more.
    """
    groups = {prefix: list(members) for prefix, members in groupby(sorted(files, key=_get_prefix), key=_get_prefix)}
    if not groups:
        return {}
    trees = [
        Tree(prefix, tuple(file.path for file in members), max_depth=0, follow=True)
        for prefix, members in groups.items()
    ]
    now: dict[Key, SourceFile | None] = {}
    survey = source.survey(trees)
    for members, listing in zip(groups.values(), survey.listings, strict=True):
        entries = {entry.path: entry for entry in listing.entries}
        now.update(((file.root, file.path), _renew(file, entries.get(file.path))) for file in members)
    return now


def find_arrived(destination: Endpoint, roots: Mapping[Root, str], files: Sequence[SourceFile]) -> set[Key]:
    """Look at the destination.

    Returns:
        The files that lie there with the planned size and time.
    """
    trees = {
        root: Tree(roots[root], tuple(file.path for file in members), max_depth=0)
        for root, members in groupby(sorted(files), key=lambda file: file.root)
    }
    if not trees:
        return set()
    survey = destination.survey(list(trees.values()))
    there = {
        (root, entry.path): entry
        for root, listing in zip(trees, survey.listings, strict=True)
        for entry in listing.entries
    }
    return {(file.root, file.path) for file in files if _has_arrived(file, there.get((file.root, file.path)))}


def _get_prefix(file: SourceFile) -> str:
    return file.prefix


def _renew(file: SourceFile, entry: Entry | None) -> SourceFile | None:
    is_link = entry is not None and entry.kind is EntryKind.SYMLINK
    content = entry.followed if entry is not None and is_link else entry
    if content is None or content.kind is not EntryKind.FILE:
        return None
    return file._replace(size=content.size, mtime_ns=content.mtime_ns, inode=content.inode, is_link=is_link)


def _has_arrived(file: SourceFile, entry: Entry | None) -> bool:
    if entry is None or entry.kind is not EntryKind.FILE:
        return False
    return entry.size == file.size and is_same_time(file.mtime_ns, entry.mtime_ns)
