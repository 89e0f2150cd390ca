"""Comparison of a unit here with the copy that one target has of it, and the count of places. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from hsm.config.settings import SyncOptions
from hsm.model import EntryKind, Reason, SourceFile, SweepInventory
from hsm.plan.disk.times import is_same_time
from hsm.plan.selection import Selection
from hsm.sync.clean.names import is_hsm_path, is_needless_folder
from hsm.sync.clean.values import HERE, CleanOptions, Copy, Lack, Unit
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
    if unit.needs_receipt and not copy.is_listed:
        yield Lack("", "no receipt there lists it, so `hsm sync from` would not find it; sync it again")
    for path, words in sorted(copy.unflushed.items()):
        yield Lack(path, f"cannot be written to the disk there: {words}")
    yield from _judge_place(unit, copy, paths)


def find_unsent(unit: Unit, inventory: SweepInventory, options: SyncOptions) -> dict[str, str]:
    """Find the files of a unit that a sync does not send, with the reason in words, by path relative to it. Pure."""
    files = list(unit.files.values())
    if not files:
        return {}
    # Old versions are known of the unit already; the target's own choice of versions adds nothing.
    selection = Selection(latest_only=False, exclude=options.exclude, secret_patterns=options.secret_patterns)
    items = selection.find_left(files, inventory, unit.run)
    by_path = {file.path: path for path, file in unit.files.items()}
    found = {by_path[path]: f"is not sent there: {item.reason.value}" for path, item in items.items()}
    if unit.is_sweep and options.max_depth is not None and not inventory.place:
        deep = (path for path in unit.files if path.count("/") >= options.max_depth)
        found |= dict.fromkeys(deep, "is not sent there: deeper than max_depth")
    superseded = dict.fromkeys(unit.superseded, f"is not sent there: {Reason.SUPERSEDED.value}")
    return {**superseded, **found}


def count_places(copies: Sequence[Copy], unit: Unit) -> int:
    """Count the different places in which copies of a unit lie; several names of one place count once."""
    # Host and path do not tell places apart: aliases, bind mounts, one NFS from two machines. A mark of a random name
    # does, since a name that nobody asked for before is in no cache.
    places: list[list[Copy]] = []
    for copy in copies:
        same = [place for place in places if any(_may_be_one_place(copy, other, unit) for other in place)]
        for place in same:  # a copy may join two places that were taken for different ones
            places.remove(place)
        places.append([copy, *(other for place in same for other in place)])
    return len(places)


def find_twins(inodes: Mapping[str, int], devices: Mapping[str, int], copy: Copy) -> list[str]:
    """Find the files of a copy that may be the very files of another place, by their inodes; 0 is one not known.

    Args:
        inodes: Of the other place, by path.
        devices: Of these files, as far as their file system is known; one that is not known may be any.
        copy: The copy.
    """
    return [
        path
        for path, inode in inodes.items()
        if path in copy.entries
        and inode == copy.entries[path].inode != 0
        and (path not in devices or path not in copy.devices or devices[path] == copy.devices[path])
    ]


def list_twins(unit: Unit, copies: Sequence[Copy], target: str) -> list[str]:
    """List the files of one target's copy that may be the very files here, or those of another target."""
    found: dict[str, None] = {}
    for copy in copies:
        if copy.target == target:
            here = {path: seen.inode for path, seen in unit.entries.items() if seen.kind is EntryKind.FILE}
            found |= dict.fromkeys(find_twins(here, {}, copy))
            for other in copies:
                there = {path: entry.inode for path, entry in other.entries.items() if entry.kind is EntryKind.FILE}
                found |= dict.fromkeys(find_twins(there, other.devices, copy) if other is not copy else ())
    return list(found)


def has_inodes(copy: Copy) -> bool:
    """Tell whether the target shows inodes; SFTP alone shows none."""
    return all(entry.inode for entry in copy.entries.values() if entry.kind is EntryKind.FILE)


def find_unclear(copies: Sequence[Copy], unit: Unit) -> list[tuple[str, str]]:
    """Find the pairs of targets, by name, that count as one place because nothing shows that they are two."""
    return [
        (one.target, other.target)
        for one, other in combinations(copies, 2)
        if not _is_one_place(one, other, unit) and _is_unclear(one, other, unit)
    ]


def _may_be_one_place(one: Copy, other: Copy, unit: Unit) -> bool:
    return _is_one_place(one, other, unit) or _is_unclear(one, other, unit)


def _is_unclear(one: Copy, other: Copy, unit: Unit) -> bool:
    """Tell whether files of two targets may be hard links of each other: on one machine, without inodes to tell."""
    if one.machine and other.machine and one.machine.isdisjoint(other.machine):
        return False
    paths = [path for path in unit.sizes_there if path in one.entries and path in other.entries]
    return any(not one.entries[path].inode or not other.entries[path].inode for path in paths)


def _is_one_place(one: Copy, other: Copy, unit: Unit) -> bool:
    """Tell whether two targets are one place: by name, by a mark, or by a hard link that they share."""
    if one.place == other.place or one.target in other.shared or other.target in one.shared:
        return True
    inodes = {path: one.entries[path].inode for path in unit.sizes_there if path in one.entries}
    twins = find_twins(inodes, one.devices, other)
    # Some inodes of two machines are equal by chance: not those of all files of a run, nor of files that have a second
    # name on both.
    n_common = sum(path in other.entries for path in inodes)
    return 0 < n_common == len(twins) or any(
        (path in one.devices and path in other.devices) or (path in one.linked and path in other.linked)
        for path in twins
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
        if not is_same_time(mtime_ns, there.mtime_ns, copy.file_system):
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
    # Its record is of all jobs, of which others may go on; what a job has is compared file by file.
    if unit.job and record is not None and record.n_files:
        return
    if record is None or not record.is_complete:
        yield Lack("", "the journal does not know it as complete there; sync it first")
        return
    left = set(record.left) - ({"superseded"} if options.allows_superseded else set())
    if left:
        yield Lack("", f"the last sync left something out ({', '.join(sorted(left))})")
    elif is_all_there and not any(is_proven(record, files) for files in _iter_choices(unit)):
        yield Lack("", "it has changed here since it was synced; sync it again")


def _iter_choices(unit: Unit) -> Iterator[list[SourceFile]]:
    yield from map(list, unit.choices or (unit.files.values(),))
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
        if not is_there and not is_needless_folder(path, is_run=bool(unit.name)):
            yield Lack(path, "is an empty folder, which is not sent")


def _judge_place(unit: Unit, copy: Copy, paths: Sequence[str]) -> Iterator[Lack]:
    """Yield why a copy may lie nowhere else than here."""
    if HERE in copy.shared or (paths and _is_unit_itself(unit, copy, paths)):
        yield Lack("", "its files there are the very files here, not a copy")
    elif copy.unmarked:
        yield Lack("", f"no mark can be made there, so it may be the very folder here: {copy.unmarked}")


def _is_unit_itself(unit: Unit, copy: Copy, paths: Sequence[str]) -> bool:
    """Tell whether what lies there is what lies here, by inodes.

    One file is enough where file systems can be compared, since an inode is unique in its own, and where it has a
    second name there; else all must agree.
    """
    files = {path: unit.entries[path] for path in paths if path in unit.entries and path in copy.entries}
    files = {path: seen for path, seen in files.items() if seen.kind is EntryKind.FILE}
    inodes = {path: seen.inode for path, seen in files.items()}
    twins = find_twins(inodes, {path: seen.device for path, seen in files.items() if path in copy.devices}, copy)
    return 0 < len(files) == len(twins) or any(path in copy.devices or path in copy.linked for path in twins)
