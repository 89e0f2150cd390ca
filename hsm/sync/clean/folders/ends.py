"""Hydra's jobs of a sweep that is cleaned: which of them have ended."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hsm.discover.kinds.hydra import HYDRA_FOLDER
from hsm.discover.kinds.hydra_jobs import HydraJob, find_job_of, read_jobs
from hsm.model import Root, Run, RunState, SweepInventory
from hsm.records.cleaned import CleanedUnit, find_cleaned
from hsm.sweep_folder import receipt_folder
from hsm.sync.clean.folders.jobs import CleanedJobs
from hsm.sync.cleaned_jobs import find_cleaned_jobs
from hsm.sync.source import ProjectSource

_NOTHING_SAYS = "nothing says that it has ended: no run, and no submitit"


@dataclass(frozen=True, slots=True)
class _TimedRun:
    """A run, and the time of its last change, in nanoseconds."""

    run: Run
    newest_ns: int


def find_job_folders(source: ProjectSource, inventory: SweepInventory) -> CleanedJobs:
    """Find Hydra's jobs of a sweep, and why each has not ended, as far as anything tells.

    One has by the exit records of the runs in its folder, those included that were removed before; else by submitit's
    log. Where that is there and has no end, nothing else counts: a job may go on for long after its run.

    Args:
        source: The project here.
        inventory: Everything here of the sweep.
    """
    (sweep,) = source.sweeps
    gone = find_cleaned_jobs(source.project, inventory.sweep)
    waits = _find_pull(source)
    if not inventory.jobs:
        return CleanedJobs(gone=gone, waits=waits)
    folder = os.path.realpath(f"{source.layout.project}/{inventory.place}" if inventory.place else sweep.path)
    known = (*inventory.jobs, *(unit.job for unit in gone))
    inside: dict[str, list[_TimedRun]] = {}
    for timed in _list_runs(source, inventory):
        inside.setdefault(find_job_of(timed.run, folder, known), []).append(timed)
    of_all = _find_runs_of_all(inside, _find_begins(inventory, sweep.folder, gone))
    jobs = read_jobs(source.endpoint, folder, inventory.jobs)
    reasons = {job.path: _find_reason(job, [timed.run for timed in inside.get(job.path, ())], of_all) for job in jobs}
    return CleanedJobs(reasons, gone, waits)


def _find_reason(job: HydraJob, inside: Sequence[Run], of_all: Sequence[Run]) -> str:
    if job.has_log and job.state is RunState.UNKNOWN:
        return "submitit's log does not say that it has ended"
    runs = of_all or inside
    if not runs:
        return "" if job.state is not RunState.UNKNOWN else _NOTHING_SAYS
    going = next((run.name for run in runs if not run.has_exit_record), "")
    return f"its run {going} has not ended" if going else ""


def _list_runs(source: ProjectSource, inventory: SweepInventory) -> list[_TimedRun]:
    """List the runs here, and those that cleans removed."""
    newest: dict[str, int] = {}
    for file in inventory.files:
        if file.root is Root.WANDB:
            newest[file.run] = max(newest.get(file.run, 0), file.mtime_ns)
    found = [_TimedRun(run, newest.get(run.name, 0)) for run in inventory.runs]
    for unit in find_cleaned(source.project, inventory.sweep).values():
        if unit.name and unit.state:
            run = Run(unit.name, unit.folder, state=RunState(unit.state))
            found.append(_TimedRun(run, max((file.mtime_ns for file in unit.files.values()), default=0)))
    return found


def _find_begins(inventory: SweepInventory, folder: str, gone: Iterable[CleanedUnit]) -> list[int]:
    """Find when each job wrote what Hydra makes before it begins, in order; in nanoseconds."""
    times = [(file.path[len(folder) + 1 :], file.mtime_ns) for file in inventory.files if file.root is Root.SWEEPS]
    times += [(f"{unit.job}/{path}", file.mtime_ns) for unit in gone for path, file in unit.files.items()]
    begins = dict.fromkeys((*inventory.jobs, *(unit.job for unit in gone)), 0)
    for path, mtime_ns in times:
        job, mark, _ = path.rpartition(f"/{HYDRA_FOLDER}/")
        if mark and job in begins:
            begins[job] = max(begins[job], mtime_ns)
    return sorted(begins.values())


def _find_runs_of_all(inside: Mapping[str, Collection[_TimedRun]], begins: Sequence[int]) -> list[Run]:
    """Find the runs that tell of all jobs, where none tells of its own: they lie together, and are as many.

    With Hydra's basic launcher they all lie in the folder of the first job. A script that makes two runs in each job
    has as many once half of the jobs have begun: so each job needs one that was written to after it began.
    """
    together = [timed for found in inside.values() for timed in found] if len(inside) == 1 else []
    written = sorted((timed.newest_ns for timed in together), reverse=True)[: len(begins)]
    is_of_each = len(written) == len(begins) and all(
        newest >= begin for newest, begin in zip(sorted(written), begins, strict=True)
    )
    return [timed.run for timed in together] if is_of_each and len(begins) > 1 else []


def _find_pull(source: ProjectSource) -> tuple[str, ...]:
    """Say that a Hydra sweep is being brought here; the lock of a pull lies with its receipts, not in its folder."""
    (sweep,) = source.sweeps
    lock = f"{source.layout.sweeps}/{receipt_folder(sweep.id)}/lock"
    if not sweep.place or not os.path.lexists(lock):
        return ()
    return (f"somebody brings the sweep here at this moment, or died doing so ({lock})",)
