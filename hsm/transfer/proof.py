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


def find_changed(source: Endpoint, files: Sequence[SourceFile]) -> set[str]:
    """Look at the source again.

    Returns:
        Destination paths of files whose size, time or inode is no longer the planned one, or that are gone.
    """
    by_prefix = sorted(files, key=lambda file: file.prefix)
    groups = {prefix: list(members) for prefix, members in groupby(by_prefix, key=lambda file: file.prefix)}
    if not groups:
        return set()
    trees = [
        Tree(prefix, tuple(file.path for file in members), max_depth=0, follow=True)
        for prefix, members in groups.items()
    ]
    changed: set[str] = set()
    survey = source.survey(trees)
    for members, listing in zip(groups.values(), survey.listings, strict=True):
        entries = {entry.path: entry for entry in listing.entries}
        changed.update(file.path for file in members if not _is_unchanged(file, entries.get(file.path)))
    return changed


def find_arrived(destination: Endpoint, roots: Mapping[Root, str], files: Sequence[SourceFile]) -> set[str]:
    """Look at the destination.

    Returns:
        Paths under which a file of the planned size and time lies there.
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
    return {file.path for file in files if _has_arrived(file, there.get((file.root, file.path)))}


def _is_unchanged(file: SourceFile, entry: Entry | None) -> bool:
    if entry is not None and file.is_link:
        entry = entry.followed
    if entry is None or entry.kind is not EntryKind.FILE:
        return False
    return (entry.size, entry.mtime_ns, entry.inode) == (file.size, file.mtime_ns, file.inode)


def _has_arrived(file: SourceFile, entry: Entry | None) -> bool:
    if entry is None or entry.kind is not EntryKind.FILE:
        return False
    return entry.size == file.size and is_same_time(file.mtime_ns, entry.mtime_ns)
