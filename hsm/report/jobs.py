"""Rows of Hydra's jobs in a report: with what the run of each recorded, where jobs and runs are one to one. Pure.

With chdir and Hydra's basic launcher all runs of a sweep lie in the folder of its first job, since wandb keeps the
folder of its first run; at a target they lie together. So a place alone does not say whose a run is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hsm.discover.kinds.hydra_jobs import HydraJob, find_job_of
from hsm.report.runs import ReportRun

_NUMBERS = re.compile(r"([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class SweepJobs:
    """Jobs of one sweep of Hydra's.

    Attributes:
        jobs: The jobs.
        folder: The sweep's, absolute.
    """

    jobs: tuple[HydraJob, ...] = ()
    folder: str = ""


def join_jobs(runs: Sequence[ReportRun], jobs: Sequence[HydraJob], folder: str) -> tuple[ReportRun, ...]:
    """Join jobs and runs, if each job has exactly one run; else jobs and runs are rows of their own, jobs first.

    Args:
        runs: Of the sweep.
        jobs: Of the sweep.
        folder: The sweep's, absolute.
    """
    rows = sorted(jobs, key=lambda job: _make_key(job.path))
    paths = [job.path for job in jobs]
    inside: dict[str, list[ReportRun]] = {path: [] for path in paths}
    for run in runs:
        places = {find_job_of(part.run, folder, paths) for part in run.parts}
        if len(places) == 1 and (place := places.pop()):
            inside[place].append(run)
    if not all(len(found) == 1 for found in inside.values()):
        return (*map(_make_row, rows), *runs)
    joined = {path: found[0] for path, found in inside.items()}
    taken = {run.id for run in joined.values()}
    rest = (run for run in runs if run.id not in taken)
    return (*(_join(joined[job.path], job) for job in rows), *rest)


def _make_row(job: HydraJob) -> ReportRun:
    return ReportRun(job.path, job.path, (), job.state, config=job.values, is_job=True)


def _join(run: ReportRun, job: HydraJob) -> ReportRun:
    return replace(run, name=job.path, config={**run.config, **job.values}, is_job=True)


def _make_key(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(_NUMBERS.split(path))]
