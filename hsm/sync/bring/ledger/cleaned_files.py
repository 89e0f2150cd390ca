"""Files that came into being here where a clean removed one: what a target has of them is the only copy.

A tool that writes its configuration, its logs or a table anew makes the same names again. Their newer times would let a
push take them for updates.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from hsm.model import EntryKind, FileKey, SourceFile, SweepInventory
from hsm.plan.destination import Destination
from hsm.plan.disk.times import TimeMatch, match_times
from hsm.records.cleaned import CleanedFile, iter_cleaned_files
from hsm.records.cleaned_runs import iter_all_cleanings
from hsm.records.origins import iter_all_origins
from hsm.sync.bring.ledger.found_origins import FoundOrigins
from hsm.targets.contents.checksums import read_checksum


def find_cleaned_files(
    project: Path, inventory: SweepInventory, destination: Destination, *, rereads: bool = True
) -> FoundOrigins:
    """Find the files here that differ from what a clean removed under their names and a target still has.

    A clean through whichever sweep, as a run may be in several. Where no file here differs from what is there, no
    record is read.

    What a pull brought back since is no such file: a clean forgets which files came by pulls when it removes them. Nor
    is one whose copy there is no more what was removed, since somebody has sent another version.

    Args:
        project: Holds the records.
        inventory: What is here.
        destination: What the target has.
        rereads: Files of the same size are read, since one that was made anew may have the old content.

    Raises:
        ConfigError: A record of a clean cannot be read.
    """
    differing = [file for file in inventory.files if _differs(file, destination)]
    known = _read_known(project, frozenset(file.key for file in differing)) if differing else {}
    if not known:
        return FoundOrigins()
    restored = _find_restored(project, known)
    foreign: dict[FileKey, str] = {}
    equal: set[FileKey] = set()
    for file in differing:
        kept = _find_only_copy(file, known, destination) if file.key not in restored else None
        if kept is None or (file.size == kept.size and file.mtime_ns == kept.mtime_ns):
            continue
        if rereads and file.size == kept.size and _read_checksum(file) == kept.sha256:
            equal.add(file.key)
        else:
            foreign[file.key] = "`hsm sync clean` removed this file here, and what is there is the copy of it"
    return FoundOrigins(foreign, frozenset(equal))


def _differs(file: SourceFile, destination: Destination) -> bool:
    """Tell whether another file of its name is there, as far as sizes and times tell."""
    there = destination[file.root].entries.get(file.path) if file.root in destination else None
    return there is not None and (there.size, there.mtime_ns) != (file.size, file.mtime_ns)


def _read_known(project: Path, keys: Collection[FileKey]) -> dict[FileKey, list[CleanedFile]]:
    """Read what was removed under the names of files; of a sweep's folder the sweep is part of the name."""
    known: dict[FileKey, list[CleanedFile]] = {}
    for cleaning in iter_all_cleanings(project):
        for unit in cleaning.units:
            for key, found in iter_cleaned_files(cleaning.sweep, unit, cleaning.place):
                if key in keys:
                    known.setdefault(key, []).append(found)
    return known


def _find_only_copy(
    file: SourceFile, known: Mapping[FileKey, list[CleanedFile]], destination: Destination
) -> CleanedFile | None:
    """Find what was removed under a file's name and is what the destination has."""
    removed = known.get(file.key)
    there = destination[file.root].entries.get(file.path) if removed and file.root in destination else None
    if removed is None or there is None or there.kind is not EntryKind.FILE:
        return None
    return next((each for each in removed if _may_be(each, there.size, there.mtime_ns)), None)


def _find_restored(project: Path, known: Mapping[FileKey, list[CleanedFile]]) -> set[FileKey]:
    """Find the files that a pull brought back, as part of whichever sweep."""
    return {
        key
        for _, _, origins in iter_all_origins(project)
        for key, mark in origins.files.items()
        if any(_may_be(each, *mark) for each in known.get(key, ()))
    }


def _may_be(removed: CleanedFile, size: int, mtime_ns: int) -> bool:
    """Tell whether a file may be what was removed, as far as times are kept anywhere."""
    return removed.size == size and match_times(removed.mtime_ns, mtime_ns, None) is not TimeMatch.OTHER


def _read_checksum(file: SourceFile) -> str:
    path = os.path.join(file.prefix, file.path)  # noqa: PTH118 - as the bytes are
    return read_checksum(path, follows=file.is_link, check=lambda: None)
