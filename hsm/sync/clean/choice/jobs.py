"""Hydra's jobs of a sweep that is cleaned: which of them have ended."""

from __future__ import annotations

import os

from hsm.discover.kinds.hydra_jobs import find_job_of, read_jobs
from hsm.model import Run, RunState, SweepInventory
from hsm.records.cleaned import find_cleaned
from hsm.sweep_folder import receipt_folder
from hsm.sync.source import ProjectSource


def find_job_ends(source: ProjectSource, inventory: SweepInventory) -> dict[str, bool]:
    """Tell of each of Hydra's jobs whether it has ended.

    By the exit records of the runs in its folder, those included that were removed before; else by submitit's log.
    Where the sweep has as many runs as jobs and no job has one of its own, all of them tell of all.

    Args:
        source: The project here.
        inventory: Everything here of the sweep.
    """
    if not inventory.jobs:
        return {}
    (sweep,) = source.sweeps
    folder = os.path.realpath(f"{source.layout.project}/{inventory.place}" if inventory.place else sweep.path)
    gone = [unit for unit in find_cleaned(source.project, inventory.sweep).values() if unit.name]
    runs = [*inventory.runs, *(Run(unit.name, unit.folder, state=RunState(unit.state)) for unit in gone if unit.state)]
    inside: dict[str, list[Run]] = {}
    for run in runs:
        inside.setdefault(find_job_of(run, folder, inventory.jobs), []).append(run)
    if len(runs) >= len(inventory.jobs) and len(inside) == 1:
        return dict.fromkeys(inventory.jobs, all(run.has_exit_record for run in runs))
    jobs = read_jobs(source.endpoint, folder, inventory.jobs)
    return {
        job.path: all(run.has_exit_record for run in inside[job.path])
        if job.path in inside
        else job.state is not RunState.UNKNOWN
        for job in jobs
    }


def find_pull(source: ProjectSource) -> tuple[str, ...]:
    """Say that a Hydra sweep is being brought here; the lock of a pull lies with its receipts, not in its folder."""
    (sweep,) = source.sweeps
    lock = f"{source.layout.sweeps}/{receipt_folder(sweep.id)}/lock"
    if not sweep.place or not os.path.lexists(lock):
        return ()
    return (f"somebody brings the sweep here at this moment, or died doing so ({lock})",)
