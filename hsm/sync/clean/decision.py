"""What `hsm sync clean` may remove here: the decision for one run, or the sweep's folder. Pure.

It errs to one side alone: whatever is not proven keeps its run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hsm.discover.results import is_own
from hsm.model import EntryKind, SourceFile
from hsm.plan.digest import make_digest
from hsm.plan.planner import is_same_time
from hsm.records.cleaned import CleanedUnit
from hsm.records.record import SWEEP_FOLDER, RunRecord
from hsm.sweep_folder import RECEIPT_FOLDER
from hsm.sync.clean.values import CleanOptions, Copy, Lack, Seen, Unit, UnitVerdict

REST_NS = 10 * 10**9
"""What has been written to within this time may still be written to."""

_WANDB_FOLDERS = frozenset({"files", "logs", "tmp", "tmp/code"})
"""Folders that wandb makes in every run and may leave empty."""

_WANDB_NAMES = frozenset({"wandb", ".wandb"})
WANDB_LINKS = frozenset({"latest-run", "debug.log", "debug-internal.log", "debug-core.log", "debug-cli.log"})


def decide(unit: Unit, copies: Sequence[Copy], options: CleanOptions, *, now_ns: int) -> UnitVerdict:
    """Decide whether a unit may be removed here.

    Args:
        unit: As it lies here.
        copies: What each target that could be looked at has of it.
        options: What the user asks.
        now_ns: The clock of this machine.
    """
    waived = _find_waived(unit, options)
    waiting = tuple(_iter_waiting(unit, options, now_ns))
    if waiting or unit.blocks:
        return UnitVerdict(unit, goes=False, reasons=(*waiting, *unit.blocks), is_open=bool(waiting))
    own = tuple(f"{lack.path}: {lack.why}" for lack in _iter_own_lacks(unit))
    lacks = {copy.target: tuple(_iter_lacks(unit, copy, options, waived)) for copy in copies}
    proven = [copy for copy in copies if not lacks[copy.target]]
    n_places = count_places(proven, unit)
    reasons = own
    if n_places < options.n_copies:
        reasons += (_describe_copies(proven, n_places, options.n_copies),)
    return UnitVerdict(
        unit=unit,
        goes=not reasons,
        copies=tuple(copy.target for copy in proven),
        reasons=reasons,
        lacks={target: found for target, found in lacks.items() if found},
        waived=waived,
    )


def is_too_early(unit: Unit, options: CleanOptions, *, now_ns: int) -> bool:
    """Whether a unit stays whatever the targets have, so that nothing of it need be read."""
    return bool(unit.blocks) or any(True for _ in _iter_waiting(unit, options, now_ns))


def keep_folder(folder: UnitVerdict, runs: Sequence[UnitVerdict], *, removes_runs: bool) -> UnitVerdict:
    """Let the sweep's folder stay while anything of the sweep goes on, or lies in it.

    Args:
        folder: The decision for the folder alone.
        runs: Those for all runs of the sweep that are here.
        removes_runs: Runs are removed in this call too.
    """
    staying = [verdict for verdict in runs if not (removes_runs and verdict.goes)]
    inside = [verdict for verdict in staying if verdict.unit.path.startswith(f"{folder.unit.path}/")]
    is_over = all(verdict.unit.run is not None and verdict.unit.run.has_exit_record for verdict in staying)
    if not staying or (not removes_runs and not inside and is_over):
        return folder
    what = "1 run of the sweep stays" if len(staying) == 1 else f"{len(staying)} runs of the sweep stay"
    return UnitVerdict(
        unit=folder.unit,
        goes=False,
        copies=folder.copies,
        reasons=(what, *folder.reasons),
        lacks=folder.lacks,
        is_open=folder.is_open or (folder.goes and all(verdict.is_open for verdict in staying)),
    )


def count_places(copies: Sequence[Copy], unit: Unit) -> int:
    """In how many different places copies lie; several names of one place count once."""
    places: list[list[Copy]] = []
    for copy in copies:
        same = [place for place in places if any(_is_one_place(copy, other, unit) for other in place)]
        for place in same:
            places.remove(place)
        places.append([copy, *(other for place in same for other in place)])
    return len(places)


def _is_one_place(one: Copy, other: Copy, unit: Unit) -> bool:
    """Whether two targets are one place, or all files of the unit are the same ones at both (hard links)."""
    if one.place == other.place:
        return True
    paths = [path for path in unit.files if path in one.entries and path in other.entries]
    return bool(paths) and all(
        one.entries[path].inode == other.entries[path].inode != 0
        and one.devices.get(path, -1) in (other.devices.get(path, -1), -1)
        for path in paths
    )


def _find_waived(unit: Unit, options: CleanOptions) -> frozenset[str]:
    return unit.superseded if options.allows_superseded else frozenset()


def _iter_waiting(unit: Unit, options: CleanOptions, now_ns: int) -> Iterator[str]:
    """Why it is too early."""
    if unit.recorded is None and unit.name and (unit.run is None or not unit.run.has_exit_record):
        yield f"it has not ended ({unit.run.state.value if unit.run else 'unknown'})"
    elif unit.run is not None and not unit.run.at_rest:
        yield "its log has been written to within the last 10 seconds"
    times = [
        seen.mtime_ns
        for path, seen in unit.entries.items()
        if seen.kind is EntryKind.FILE and not is_receipt(path, is_folder=unit.name == SWEEP_FOLDER)
    ]
    age_ns = now_ns - max(times, default=0)
    if unit.recorded is not None:
        return
    if age_ns < REST_NS:
        yield "it has been written to within the last 10 seconds"
    elif age_ns < options.older_than_ns:
        yield "it has been written to more recently than --older-than asks"


def _iter_own_lacks(unit: Unit) -> Iterator[Lack]:
    """What here no target can stand for."""
    parents = {path.rpartition("/")[0] for path in unit.entries}
    for path, seen in sorted(unit.entries.items()):
        if unit.recorded is not None:
            yield from _iter_unrecorded(unit.recorded, path, seen, unit.checksums.get(path, ""))
        elif path in unit.files:
            yield from _iter_changed(unit.files[path], path, seen, unit.checksums.get(path, ""))
        elif seen.kind is EntryKind.FILE and not is_receipt(path, is_folder=unit.name == SWEEP_FOLDER):
            yield Lack(path, "is never sent, so it is nowhere else")
        elif seen.kind is EntryKind.SYMLINK and not _is_wandb_link(path, is_run=bool(unit.name)):
            yield Lack(path, "is a symlink that is not sent")
        elif seen.kind is EntryKind.OTHER:
            yield Lack(path, "is a socket, a device or a pipe")
        elif seen.kind is EntryKind.FOLDER and path not in parents and is_foreign(path):
            yield Lack(path, "is a folder of HSM's own that is in use")
    if unit.recorded is None:
        yield from (Lack(path, "is no longer here") for path in sorted(unit.files) if path not in unit.entries)


def _iter_changed(file: SourceFile, path: str, seen: Seen, checksum: str) -> Iterator[Lack]:
    is_link = seen.kind is EntryKind.SYMLINK
    is_same = is_link or (seen.kind, seen.size, seen.mtime_ns) == (EntryKind.FILE, file.size, file.mtime_ns)
    if is_link != file.is_link or not is_same:
        yield Lack(path, "changes while it is looked at")
    elif not checksum:
        yield Lack(path, "cannot be read")


def _iter_unrecorded(recorded: CleanedUnit, path: str, seen: Seen, checksum: str) -> Iterator[Lack]:
    """What an interrupted clean left must be what it had recorded, to the last byte."""
    if seen.kind is EntryKind.FOLDER:
        return
    if seen.kind is EntryKind.SYMLINK:
        if recorded.links.get(path) != seen.link_target:
            yield Lack(path, "is not what was recorded before an interrupted clean")
        return
    known = recorded.files.get(path) or recorded.superseded.get(path) or recorded.own.get(path)
    if known is None or (known.size, known.mtime_ns, known.sha256) != (seen.size, seen.mtime_ns, checksum):
        yield Lack(path, "is not what was recorded before an interrupted clean")


def _iter_lacks(unit: Unit, copy: Copy, options: CleanOptions, waived: frozenset[str]) -> Iterator[Lack]:
    """What of a unit one target does not have, or not certainly."""
    paths = _list_paths(unit)
    found = [lack for path in paths if path not in waived for lack in _judge_file(unit, copy, path, options)]
    if unit.recorded is None:
        yield from _judge_record(unit, copy, options, is_all_there=not found)
        yield from _judge_empty(unit, copy)
    yield from found
    if paths and _is_source(unit, copy, paths):
        yield Lack("", "its files there are the very files here, not a copy")


def _list_paths(unit: Unit) -> list[str]:
    """What must be at a target."""
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
    elif not unit.checksums.get(path) or copy.checksums.get(path) != unit.checksums[path]:
        yield Lack(path, "differs there" if copy.checksums.get(path) else "cannot be read there")


def _get_content(unit: Unit, path: str) -> tuple[int, int]:
    if unit.recorded is not None:
        known = unit.recorded.files[path]
        return known.size, known.mtime_ns
    return unit.files[path].size, unit.files[path].mtime_ns


def _judge_record(unit: Unit, copy: Copy, options: CleanOptions, *, is_all_there: bool) -> Iterator[Lack]:
    """What the journal says; only where all is there is it worth telling that it does not know."""
    record = copy.record
    if record is None or not record.is_complete:
        yield Lack("", "the journal does not know it as complete there; sync it first")
        return
    left = set(record.left) - ({"superseded"} if options.allows_superseded else set())
    if left:
        yield Lack("", f"the last sync left something out ({', '.join(sorted(left))})")
    elif is_all_there and not any(is_digest_of(record, files) for files in _iter_choices(unit)):
        yield Lack("", "it has changed here since it was synced; sync it again")


def is_digest_of(record: RunRecord, files: Iterable[SourceFile]) -> bool:
    """Whether files are exactly those that a record proves, by path, size and time."""
    found = list(files)
    return record.n_files == len(found) and record.digest == make_digest(found)


def _iter_choices(unit: Unit) -> Iterator[list[SourceFile]]:
    yield list(unit.files.values())
    if unit.superseded:
        yield [file for path, file in unit.files.items() if path not in unit.superseded]


def _judge_empty(unit: Unit, copy: Copy) -> Iterator[Lack]:
    """Empty folders are not sent; those that wandb leaves in every run hold nothing that is missed."""
    parents = {path.rpartition("/")[0] for path in unit.entries}
    for path, seen in sorted(unit.entries.items()):
        if seen.kind is not EntryKind.FOLDER or path in parents or is_foreign(path):
            continue
        there = copy.entries.get(path)
        is_wandbs = path in _WANDB_FOLDERS if unit.name else path.rpartition("/")[2] in _WANDB_NAMES
        if not is_wandbs and (there is None or there.kind is not EntryKind.FOLDER):
            yield Lack(path, "is an empty folder, which is not sent")


def _is_source(unit: Unit, copy: Copy, paths: Sequence[str]) -> bool:
    """Whether what lies there is what lies here: some file where file systems can be compared, else all."""
    pairs = [(unit.entries[path], path) for path in paths if path in unit.entries and path in copy.entries]
    files = [(seen, path) for seen, path in pairs if seen.kind is EntryKind.FILE]
    same = [copy.entries[path].inode == seen.inode != 0 for seen, path in files]
    known = [copy.devices.get(path) == seen.device for seen, path in files if path in copy.devices]
    if len(known) == len(files):
        return any(is_inode and is_device for is_inode, is_device in zip(same, known, strict=True))
    return bool(same) and all(same)


def _describe_copies(proven: Sequence[Copy], n_places: int, wanted: int) -> str:
    if len(proven) > n_places:
        names = ", ".join(copy.target for copy in proven)
        return f"{n_places} of {wanted} copies are proven: {names} are not all different places"
    names = f" ({', '.join(copy.target for copy in proven)})" if proven else ""
    return f"{n_places} of {wanted} {'copy is' if wanted == 1 else 'copies are'} proven{names}"


def is_foreign(path: str) -> bool:
    """Whether a path is HSM's own, at any level."""
    return is_own(path.split("/"))


def is_receipt(path: str, *, is_folder: bool) -> bool:
    """Whether a path in the sweep's folder is a receipt of what was received here, which goes with it."""
    folder, _, name = path.rpartition("/")
    is_named = name.startswith("receipt-") and name.endswith((".json", ".json.damaged"))
    return is_folder and folder == RECEIPT_FOLDER and is_named


def _is_wandb_link(path: str, *, is_run: bool) -> bool:
    """Whether wandb made a symlink itself: to a log of this machine, or beside its runs to the last of them."""
    folder, _, name = path.rpartition("/")
    if is_run:
        return folder == "logs" and name.startswith("debug") and name.endswith(".log")
    return folder.rpartition("/")[2] in _WANDB_NAMES and name in WANDB_LINKS
