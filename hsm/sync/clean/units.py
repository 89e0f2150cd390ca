"""Units of a sweep: everything that lies here of it, cut into runs, the sweep's folder, and leftovers."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.membership import Candidate, iter_sweep_names, make_ids
from hsm.discover.run_logs import read_facts
from hsm.discover.sweeps import Layout, Sweep
from hsm.model import EntryKind, Root, Run, SourceFile, SweepInventory, SweepKind
from hsm.plan.versions import find_superseded
from hsm.records.cleaned import CleanedUnit, load_cleanings
from hsm.records.record import SWEEP_FOLDER
from hsm.sync.clean.folders.jobs import CleanedJobs
from hsm.sync.clean.folders.look import iter_folders, list_blocks, look_at
from hsm.sync.clean.removal import put_back
from hsm.sync.clean.values import Unit
from hsm.sync.clean.walk import UnitPlace, walk_folder
from hsm.sync.source import ProjectSource
from hsm.targets.contents.checksums import read_checksum


@dataclass(frozen=True, slots=True)
class Units:
    """All units of a sweep that are asked for.

    Attributes:
        units: The sweep's folder last.
        places: The place of each, by its absolute path.
        n_others: The number of runs of the sweep that are not asked for.
        place: Of a Hydra sweep: its folder, relative to the project.
    """

    units: tuple[Unit, ...]
    places: Mapping[str, UnitPlace]
    n_others: int = 0
    place: str = ""


def read_everything(source: ProjectSource) -> tuple[SweepInventory, frozenset[str]]:
    """Read all that lies here of a source's one sweep, to every depth.

    Returns:
        The inventory, and the names of its runs whose logs do not name the sweep: their place gives them to it, or an
        agent's file, or no sweep has them. At a target runs lie side by side in one folder, where nothing but a log or
        a receipt says whose they are.
    """
    index = RunIndex()  # from the logs themselves: nothing is removed on the word of a cache
    inventory = read_inventory(
        source.endpoint,
        source.layout,
        source.sweeps[0],
        max_depth=None,
        index=index,
        known_sweeps=frozenset(sweep.id for sweep in source.known),
        folders=source.folders,
    )
    logs = {file.path: file for file in inventory.files if file.root is Root.WANDB}
    candidates = [
        Candidate(run.name, run.prefix, run.log, log.size, log.mtime_ns) if log else Candidate(run.name, run.prefix)
        for run in inventory.runs
        for log in [logs.get(f"{run.name}/{run.log}")]
    ]
    facts = read_facts(source.endpoint, candidates, index=index)
    own = (inventory.sweep,) if inventory.kind is SweepKind.FOLDER else ()
    return inventory, frozenset(
        candidate.name
        for candidate in candidates
        if inventory.sweep not in make_ids(iter_sweep_names(facts[candidate.path]), own)
    )


def list_own_folders(layout: Layout, units: Units) -> set[str]:
    """List the folders in which results of this project lie: its roots, and those between them and each unit."""
    own = {layout.project, layout.sweeps, layout.wandb, *layout.shared, *layout.inner}
    return own | {parent for place in units.places.values() for parent in _list_parents(place.folder, own)}


def _list_parents(folder: str, own: Collection[str]) -> list[str]:
    """List a folder and those above it, up to one of the project's own."""
    found = [folder]
    for parent in map(str, Path(folder).parents):
        if parent in own or parent == "/":
            break
        found.append(parent)
    return found


def find_leftovers(project: Path, sweep: str, *, puts_back: bool) -> tuple[CleanedUnit, ...]:
    """Find the folders that an interrupted clean set aside.

    A folder that still has everything that was recorded gets its name back, since nothing of it had been removed yet
    and it may have changed after the last look. One that has not cannot be a run again.

    Args:
        project: Holds the records.
        sweep: Its id.
        puts_back: Give names back; otherwise such a unit is among the answer.

    Raises:
        ConfigError: A record cannot be read.
    """
    found: dict[str, CleanedUnit] = {}
    for unit in (unit for cleaning in load_cleanings(project, sweep) for unit in cleaning.units):
        # A clean that was to end another one and was interrupted too has recorded the same folder once more.
        if unit.aside_path in found or not _is_plain_folder(unit.aside_path):
            continue
        walk = walk_folder(unit.aside_path)
        recorded = {*unit.files, *unit.links, *unit.superseded, *unit.own}
        is_intact = recorded <= walk.entries.keys()
        if not (is_intact and puts_back and put_back(unit.folder, unit.aside, unit.base)):
            found[unit.aside_path] = unit
    return tuple(found.values())


def make_units(
    inventory: SweepInventory,
    sweep: Sweep,
    leftovers: Iterable[CleanedUnit],
    *,
    wants_folder: bool,
    by_place: Collection[str] = (),
    jobs: CleanedJobs | None = None,
) -> Units:
    """Look at everything that lies here of a sweep.

    Args:
        inventory: All of it, to every depth.
        sweep: Its folder.
        leftovers: From `find_leftovers`.
        wants_folder: Look at the sweep's folder too, and at those of its jobs.
        by_place: The names of the runs whose logs do not name the sweep.
        jobs: Its jobs; None for none.
    """
    files: dict[str, list[SourceFile]] = {run.name: [] for run in inventory.runs}
    for file in inventory.files:
        files.setdefault(file.run, []).append(file)
    found = [
        _look_at_run(run, files[run.name], inventory, needs_receipt=run.name in by_place) for run in inventory.runs
    ]
    found += [_look_at_leftover(left) for left in leftovers]
    # Of another kind there may be a folder that holds the receipts of what came here, which say whose its runs are.
    if wants_folder and sweep.path and (sweep.place or inventory.kind is SweepKind.FOLDER):
        inner = [unit.path for unit, _ in found]
        found += iter_folders(sweep.path, files.get(SWEEP_FOLDER, []), inventory, jobs or CleanedJobs(), inner)
    return Units(tuple(unit for unit, _ in found), {unit.path: place for unit, place in found}, place=inventory.place)


def add_leftovers(inventory: SweepInventory, leftovers: Sequence[CleanedUnit]) -> SweepInventory:
    """Add runs and jobs of which something lies here under another name, so that targets are asked for them too. Pure.

    Args:
        inventory: Everything here.
        leftovers: From `find_leftovers`.
    """
    known = {run.name for run in inventory.runs}
    names = dict.fromkeys(left.name for left in leftovers if left.name)
    more = [Run(name, "") for name in names if name not in known]
    jobs = dict.fromkeys((*inventory.jobs, *(left.job for left in leftovers if left.job)))
    return replace(inventory, runs=(*inventory.runs, *more), jobs=tuple(jobs))


def add_checksums(unit: Unit, check: Callable[[], None]) -> Unit:
    """Read every file of a unit, and the files that come by its symlinks.

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


def _look_at_run(
    run: Run, files: Sequence[SourceFile], inventory: SweepInventory, *, needs_receipt: bool
) -> tuple[Unit, UnitPlace]:
    place = look_at(f"{run.prefix}/{run.name}")
    by_path = {file.path.partition("/")[2]: file for file in files}
    versions = inventory.versions.get(run.name)
    superseded = frozenset(find_superseded(by_path, versions)) if versions is not None else frozenset()
    unit = Unit(
        name=run.name,
        path=place.path,
        run=run,
        entries=place.walk.entries,
        files=by_path,
        superseded=superseded,
        blocks=list_blocks(place.walk),
        needs_receipt=needs_receipt,
    )
    return unit, place


def _look_at_leftover(left: CleanedUnit) -> tuple[Unit, UnitPlace]:
    place = UnitPlace(left.folder, left.aside, walk_folder(left.aside_path))
    entries, blocks = place.walk.entries, place.walk.problems
    unit = Unit(left.name, place.path, entries=entries, blocks=blocks, recorded=left, job=left.job)
    # What is left of its log may say nothing any more.
    return replace(unit, needs_receipt=bool(left.name)), place


def _is_plain_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
