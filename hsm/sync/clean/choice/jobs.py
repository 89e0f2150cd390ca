"""Hydra's jobs that words of a clean mean: to a sync the folder of a job means its sweep, to a clean this job alone."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace

from hsm.model import SweepInventory
from hsm.records.cleaned import CleanedUnit
from hsm.sync.clean.choice.runs import AskedRuns
from hsm.sync.clean.folders.jobs import CleanedJobs
from hsm.sync.source import ProjectSource


def find_asked_jobs(source: ProjectSource, words: Sequence[str], inventory: SweepInventory) -> frozenset[str]:
    """Find the jobs of a source's one sweep whose folders words name; none where no word names one.

    Where one does, a further word that means the whole sweep counts for nothing: rather too little goes than too much.
    """
    (sweep,) = source.sweeps
    if not inventory.jobs or not sweep.path:
        return frozenset()
    folder = os.path.realpath(sweep.path)
    paths = (os.path.realpath(word) for word in words if "/" in word)
    return frozenset(path.removeprefix(f"{folder}/") for path in paths).intersection(inventory.jobs)


def choose_jobs(
    source: ProjectSource, inventory: SweepInventory, leftovers: Sequence[CleanedUnit], jobs: Collection[str]
) -> AskedRuns:
    """Choose what lies in the folders of jobs: their runs, and what an interrupted clean left of these.

    Args:
        source: The project here, with one sweep.
        inventory: Everything here of the sweep.
        leftovers: From `hsm.sync.clean.units.find_leftovers`.
        jobs: Those that are asked for.
    """
    (sweep,) = source.sweeps
    folder = os.path.realpath(sweep.path)
    starts = tuple(f"{folder}/{job}/" for job in jobs)
    runs = tuple(run for run in inventory.runs if f"{os.path.realpath(run.prefix)}/".startswith(starts))
    rest = tuple(left for left in leftovers if left.job in jobs or f"{left.folder}/".startswith(starts))
    return AskedRuns(replace(inventory, runs=runs), rest, len(inventory.runs) - len(runs))


def leave_other_jobs(found: CleanedJobs, jobs: Collection[str]) -> CleanedJobs:
    """Leave the other jobs, and the sweep's own files, out of what is asked for."""
    return replace(found, reasons={job: found.reasons[job] for job in jobs}, wants_folder=False)
