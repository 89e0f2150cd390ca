"""What lies here of a sweep, cut into what a clean decides about: runs, the sweep's folder, leftovers."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hsm.discover.sweeps import SweepFolder
from hsm.discover.wandb_runs import MEMBERSHIP_UNKNOWN
from hsm.model import EntryKind, Run, SourceFile, SweepInventory
from hsm.plan.versions import find_superseded
from hsm.records.cleaned import CleanedFile, CleanedUnit, load_cleanings
from hsm.records.record import SWEEP_FOLDER
from hsm.sweep_folder import RECEIPT_FOLDER, sweep_folder
from hsm.sync.clean.decision import is_receipt
from hsm.sync.clean.removal import put_back
from hsm.sync.clean.values import Unit, UnitVerdict
from hsm.sync.clean.walk import Walk, walk_folder
from hsm.targets.contents.checksums import read_checksum


@dataclass(frozen=True, slots=True)
class UnitPlace:
    """Where a unit lies here.

    Attributes:
        folder: Absolute real path of the folder that holds it.
        base: Its name there.
        walk: What was seen of it.
    """

    folder: str
    base: str
    walk: Walk


@dataclass(frozen=True, slots=True)
class Units:
    """All units of a sweep, the sweep's folder last, and where each lies; by their absolute paths."""

    units: tuple[Unit, ...]
    places: Mapping[str, UnitPlace]


def find_leftovers(project: Path, sweep: str, *, puts_back: bool) -> tuple[CleanedUnit, ...]:
    """Find what an interrupted clean set aside.

    What still has everything that was recorded gets its name back, since nothing of it had been removed yet.

    Args:
        project: Holds the records.
        sweep: Its id.
        puts_back: Do so; otherwise such a unit is among the answer.

    Raises:
        ConfigError: A record cannot be read.
    """
    found = []
    for unit in (unit for cleaning in load_cleanings(project, sweep) for unit in cleaning.units):
        if not _is_plain_folder(unit.aside_path):
            continue
        walk = walk_folder(unit.aside_path)
        recorded = {*unit.files, *unit.links, *unit.superseded, *unit.own}
        is_intact = recorded <= walk.entries.keys()
        if not (is_intact and puts_back and put_back(unit.folder, unit.aside, unit.base)):
            found.append(unit)
    return tuple(found)


def make_units(
    inventory: SweepInventory, sweep: SweepFolder, leftovers: Iterable[CleanedUnit], *, wants_folder: bool
) -> Units:
    """Look at everything that lies here of a sweep.

    Args:
        inventory: All of it, to every depth.
        sweep: Its folder.
        leftovers: From `find_leftovers`.
        wants_folder: Look at the sweep's folder too.
    """
    by_unit: dict[str, list[SourceFile]] = {run.name: [] for run in inventory.runs}
    for file in inventory.files:
        by_unit.setdefault(file.run, []).append(file)
    units: list[Unit] = []
    places: dict[str, UnitPlace] = {}
    for run in inventory.runs:
        place = _make_place(f"{run.prefix}/{run.name}")
        units.append(_make_run_unit(run, place, by_unit[run.name], inventory))
        places[units[-1].path] = place
    for left in leftovers:
        place = UnitPlace(left.folder, left.aside, walk_folder(left.aside_path))
        unit = Unit(left.name, left.aside_path, entries=place.walk.entries, blocks=place.walk.problems, recorded=left)
        units.append(unit)
        places[unit.path] = place
    if wants_folder and sweep.path:
        place = _make_place(sweep.path, without=frozenset(unit.path for unit in units))
        units.append(_make_folder_unit(inventory, place, by_unit.get(SWEEP_FOLDER, [])))
        places[units[-1].path] = place
    return Units(tuple(units), places)


def add_checksums(unit: Unit, check: Callable[[], None]) -> Unit:
    """Read every file of a unit, and what its symlinks bring.

    Args:
        unit: Without checksums.
        check: Called now and then; may raise.
    """
    checksums = {}
    for path, seen in unit.entries.items():
        is_link = seen.kind is EntryKind.SYMLINK
        if seen.kind is EntryKind.FILE or (is_link and path in unit.files):
            checksums[path] = read_checksum(f"{unit.path}/{path}", follows=is_link, check=check)
    return replace(unit, checksums=checksums)


def keep_what_links_need(verdicts: Sequence[UnitVerdict]) -> list[UnitVerdict]:
    """Let a run stay into which a symlink of another one leads that stays."""
    found = list(verdicts)
    while True:
        needed = {file.real for verdict in found if not verdict.goes for file in verdict.unit.files.values()} - {""}
        kept = [_keep_if_needed(verdict, needed) for verdict in found]
        if kept == found:
            return found
        found = kept


def make_cleaned_unit(verdict: UnitVerdict, place: UnitPlace, aside: str) -> CleanedUnit:
    """What is recorded of a unit before it is removed."""
    unit = verdict.unit
    if unit.recorded is not None:
        return unit.recorded
    parents = {path.rpartition("/")[0] for path in unit.entries}
    empty = [path for path, seen in unit.entries.items() if seen.kind is EntryKind.FOLDER and path not in parents]
    own = [path for path in unit.entries if is_receipt(path, is_folder=unit.name == SWEEP_FOLDER)]
    at_targets = [path for path in unit.files if path not in verdict.waived]
    return CleanedUnit(
        name=unit.name,
        folder=place.folder,
        base=place.base,
        aside=aside,
        state=unit.run.state.value if unit.run is not None else "",
        exit_code=unit.run.exit_code if unit.run is not None else None,
        copies=verdict.copies,
        files=dict(_iter_files(unit, at_targets)),
        links={path: seen.link_target for path, seen in unit.entries.items() if seen.kind is EntryKind.SYMLINK},
        folders=tuple(empty),
        superseded=dict(_iter_files(unit, sorted(verdict.waived))),
        own=dict(_iter_files(unit, own)),
    )


def _iter_files(unit: Unit, paths: Iterable[str]) -> Iterator[tuple[str, CleanedFile]]:
    for path in paths:
        known = unit.files.get(path) or unit.entries[path]
        yield path, CleanedFile(known.size, known.mtime_ns, unit.checksums[path])


def _keep_if_needed(verdict: UnitVerdict, needed: Iterable[str]) -> UnitVerdict:
    if not verdict.goes or not any(path.startswith(f"{verdict.unit.path}/") for path in needed):
        return verdict
    return replace(verdict, goes=False, reasons=("a symlink of what stays leads into it",))


def _make_place(path: str, *, without: frozenset[str] = frozenset()) -> UnitPlace:
    """Where something lies; what is above it may be reached through symlinks, it itself may not."""
    folder, _, base = path.rpartition("/")
    folder = os.path.realpath(folder)
    return UnitPlace(folder, base, walk_folder(f"{folder}/{base}", without=without))


def _make_run_unit(run: Run, place: UnitPlace, files: Sequence[SourceFile], inventory: SweepInventory) -> Unit:
    by_path = {file.path.partition("/")[2]: file for file in files}
    versions = inventory.versions.get(run.name)
    superseded = frozenset(find_superseded(by_path, versions)) if versions is not None else frozenset()
    return Unit(
        name=run.name,
        path=f"{place.folder}/{place.base}",
        run=run,
        entries=place.walk.entries,
        files=by_path,
        superseded=superseded,
        blocks=_list_blocks(place.walk),
    )


def _make_folder_unit(inventory: SweepInventory, place: UnitPlace, files: Sequence[SourceFile]) -> Unit:
    start = len(sweep_folder(inventory.sweep)) + 1
    blocks = list(_list_blocks(place.walk))
    blocks += [
        f"not all of the sweep can be told: {problem.message.rstrip('.')}"
        for problem in inventory.problems
        if problem.is_failure or problem.kind == MEMBERSHIP_UNKNOWN
    ]
    if f"{RECEIPT_FOLDER}/lock" in place.walk.entries:
        blocks.append("somebody brings the sweep here at this moment, or died doing so (.hsm-sync/lock)")
    return Unit(
        name=SWEEP_FOLDER,
        path=f"{place.folder}/{place.base}",
        entries=place.walk.entries,
        files={file.path[start:]: file for file in files},
        blocks=tuple(dict.fromkeys(blocks)),
    )


def _list_blocks(walk: Walk) -> tuple[str, ...]:
    return walk.problems if walk.identity is not None else (*walk.problems, "it is not there")


def _is_plain_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
