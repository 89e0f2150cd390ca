"""Comparison of a unit here with the copy that one target has of it, and the count of places. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hsm.model import EntryKind, SourceFile
from hsm.plan.planner import is_same_time
from hsm.sync.clean.names import is_hsm_path, is_wandb_folder
from hsm.sync.clean.values import CleanOptions, Copy, Lack, Unit
from hsm.sync.status.standing import is_proven


def iter_lacks(unit: Unit, copy: Copy, options: CleanOptions, waived: frozenset[str]) -> Iterator[Lack]:
    """Yield what of a unit one target does not have, or not certainly.

    Args:
        unit: As it lies here, with its checksums.
        copy: The target's copy of it.
        options: Conditions that the user sets.
        waived: Paths that need not be there.
    """
    paths = _list_paths(unit)
    found = [lack for path in paths if path not in waived for lack in _judge_file(unit, copy, path, options)]
    if unit.recorded is None:
        yield from _judge_record(unit, copy, options, is_all_there=not found)
        yield from _judge_empty_folders(unit, copy)
    yield from found
    if paths and _is_unit_itself(unit, copy, paths):
        yield Lack("", "its files there are the very files here, not a copy")


def count_places(copies: Sequence[Copy], unit: Unit) -> int:
    """Count the different places in which copies of a unit lie; several names of one place count once."""
    places: list[list[Copy]] = []
    for copy in copies:
        same = [place for place in places if any(_is_one_place(copy, other, unit) for other in place)]
        for place in same:  # a copy may join two places that were taken for different ones
            places.remove(place)
        places.append([copy, *(other for place in same for other in place)])
    return len(places)


def _is_one_place(one: Copy, other: Copy, unit: Unit) -> bool:
    """Tell whether two targets are one place, or all files of the unit are the same ones at both (hard links)."""
    if one.place == other.place:
        return True
    paths = [path for path in unit.files if path in one.entries and path in other.entries]
    # Inodes of two machines may be equal by chance, but not those of all files of a run; 0 is an inode not known.
    return bool(paths) and all(
        one.entries[path].inode == other.entries[path].inode != 0
        and one.devices.get(path, -1) in (other.devices.get(path, -1), -1)
        for path in paths
    )


def _list_paths(unit: Unit) -> list[str]:
    """List what must be at a target."""
    if unit.recorded is not None:
        return sorted(path for path in unit.entries if path in unit.recorded.files)
    return sorted(unit.files)


def _judge_file(unit: Unit, copy: Copy, path: str, options: CleanOptions) -> Iterator[Lack]:
    there = copy.entries.get(path)
    if there is None:
        yield Lack(path, copy.left.get(path) or ("superseded" if path in unit.superseded else "is not there"))
        return
    size, mtime_ns = _get_content(unit, path)
    if there.kind is not EntryKind.FILE:
        yield Lack(path, "is no file there")
    elif there.size != size:
        yield Lack(path, "differs there")
    elif options.is_quick:
        if not is_same_time(mtime_ns, there.mtime_ns):
            yield Lack(path, "has another time there")
    # SHA-256 of both ends, not rsync's comparison: the record needs the sum itself, for when the source is gone.
    elif not unit.checksums.get(path) or copy.checksums.get(path) != unit.checksums[path]:
        yield Lack(path, "differs there" if copy.checksums.get(path) else "cannot be read there")


def _get_content(unit: Unit, path: str) -> tuple[int, int]:
    """Return size and time that a file must have."""
    if unit.recorded is not None:
        known = unit.recorded.files[path]
        return known.size, known.mtime_ns
    return unit.files[path].size, unit.files[path].mtime_ns


def _judge_record(unit: Unit, copy: Copy, options: CleanOptions, *, is_all_there: bool) -> Iterator[Lack]:
    """Yield what the journal does not say; a digest that differs is worth telling only where all files are there."""
    record = copy.record
    if record is None or not record.is_complete:
        yield Lack("", "the journal does not know it as complete there; sync it first")
        return
    left = set(record.left) - ({"superseded"} if options.allows_superseded else set())
    if left:
        yield Lack("", f"the last sync left something out ({', '.join(sorted(left))})")
    elif is_all_there and not any(is_proven(record, files) for files in _iter_choices(unit)):
        yield Lack("", "it has changed here since it was synced; sync it again")


def _iter_choices(unit: Unit) -> Iterator[list[SourceFile]]:
    yield list(unit.files.values())
    if unit.superseded:  # as a sync with `latest_only` verified it
        yield [file for path, file in unit.files.items() if path not in unit.superseded]


def _judge_empty_folders(unit: Unit, copy: Copy) -> Iterator[Lack]:
    """Yield the empty folders that are not there: a sync sends none, and only wandb's own hold nothing to miss."""
    parents = {path.rpartition("/")[0] for path in unit.entries}
    for path, seen in sorted(unit.entries.items()):
        if seen.kind is not EntryKind.FOLDER or path in parents or is_hsm_path(path):
            continue
        there = copy.entries.get(path)
        is_there = there is not None and there.kind is EntryKind.FOLDER
        if not is_there and not is_wandb_folder(path, is_run=bool(unit.name)):
            yield Lack(path, "is an empty folder, which is not sent")


def _is_unit_itself(unit: Unit, copy: Copy, paths: Sequence[str]) -> bool:
    """Tell whether what lies there is what lies here, by inodes.

    One file is enough where file systems can be compared, since an inode is unique in its own; else all must agree.
    """
    pairs = [(unit.entries[path], path) for path in paths if path in unit.entries and path in copy.entries]
    files = [(seen, path) for seen, path in pairs if seen.kind is EntryKind.FILE]
    same = [copy.entries[path].inode == seen.inode != 0 for seen, path in files]
    known = [copy.devices.get(path) == seen.device for seen, path in files if path in copy.devices]
    if len(known) == len(files):
        return any(is_inode and is_device for is_inode, is_device in zip(same, known, strict=True))
    return bool(same) and all(same)
