"""Looks at the folder of a sweep, and at those of Hydra's jobs in it: each is a unit, without the units in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from hsm.discover.untold_runs import MEMBERSHIP_UNKNOWN
from hsm.model import SourceFile, SweepInventory
from hsm.records.record import SWEEP_FOLDER
from hsm.sweep_folder import RECEIPT_FOLDER, sweep_folder
from hsm.sync.clean.folders.jobs import CleanedJobs, split_files
from hsm.sync.clean.values import Unit
from hsm.sync.clean.walk import UnitPlace, Walk, walk_folder


def look_at(path: str, *, without: frozenset[str] = frozenset()) -> UnitPlace:
    """Look at a folder; what is above it may be reached through symlinks, it itself may not be one."""
    folder, base = _split(path)
    return UnitPlace(folder, base, walk_folder(f"{folder}/{base}", without=without))


def list_blocks(walk: Walk) -> tuple[str, ...]:
    """List what keeps a folder at any number of copies, as a walk of it shows."""
    return walk.problems if walk.identity is not None else (*walk.problems, "it is not there")


def iter_folders(
    path: str, files: Sequence[SourceFile], inventory: SweepInventory, jobs: CleanedJobs, inner: Iterable[str]
) -> Iterator[tuple[Unit, UnitPlace]]:
    """Look at the folders of the jobs, the innermost first, and at the sweep's last.

    Args:
        path: The sweep's.
        files: All that a sync sends of it.
        inventory: Everything here of the sweep.
        jobs: Its jobs.
        inner: The paths of further units, which may lie in any of these.
    """
    folder = sweep_folder(inventory.sweep, inventory.place)
    by_job = split_files(files, folder, jobs.reasons)
    own = "/".join(_split(path))
    places = {job: f"{own}/{job}" for job in jobs.reasons}
    within: dict[str, set[str]] = {own: set(), **{place: set() for place in places.values()}}
    for unit in (*inner, *places.values()):
        for parent in map(str, Path(unit).parents):
            if parent in within:
                within[parent].add(unit)
    for job in sorted(places, key=lambda job: (-job.count("/"), job)):
        place = look_at(places[job], without=frozenset(within[places[job]]))
        yield _make_job(job, place, by_job.get(job, []), len(f"{folder}/{job}/"), jobs), place
    if jobs.wants_folder:
        place = look_at(path, without=frozenset(within[own]))
        yield _make_folder(place, files, by_job.get("", []), inventory, jobs), place


def _make_job(job: str, place: UnitPlace, files: Sequence[SourceFile], start: int, jobs: CleanedJobs) -> Unit:
    reason = jobs.reasons[job]
    return Unit(
        name=SWEEP_FOLDER,
        path=place.path,
        entries=place.walk.entries,
        files={file.path[start:]: file for file in files},
        blocks=list_blocks(place.walk),
        waits=(*([reason] if reason else []), *jobs.waits),
        job=job,
    )


def _make_folder(
    place: UnitPlace,
    everything: Sequence[SourceFile],
    files: Sequence[SourceFile],
    inventory: SweepInventory,
    jobs: CleanedJobs,
) -> Unit:
    blocks = list(list_blocks(place.walk))
    blocks += [
        f"not all of the sweep can be told: {problem.message.rstrip('.')}"
        for problem in inventory.problems
        if problem.is_failure or problem.kind == MEMBERSHIP_UNKNOWN
    ]
    # A pull holds the lock in the sweep's folder here, which the locks of pushes do not meet.
    if f"{RECEIPT_FOLDER}/lock" in place.walk.entries:
        blocks.append("somebody brings the sweep here at this moment, or died doing so (.hsm-sync/lock)")
    start = len(sweep_folder(inventory.sweep, inventory.place)) + 1
    return Unit(
        name=SWEEP_FOLDER,
        path=place.path,
        entries=place.walk.entries,
        files={file.path[start:]: file for file in files},
        blocks=tuple(dict.fromkeys(blocks)),
        waits=tuple(jobs.waits),
        choices=tuple(jobs.iter_choices(everything, inventory)),
    )


def _split(path: str) -> tuple[str, str]:
    folder, _, base = path.rpartition("/")
    return os.path.realpath(folder), base
