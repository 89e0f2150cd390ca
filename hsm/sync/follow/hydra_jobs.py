"""Jobs of a Hydra sweep that is followed: how many there will be, and those that have no run to tell when they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hsm.discover.kinds.expected_jobs import count_expected_jobs
from hsm.discover.kinds.hydra import HYDRA_FOLDER, MOST_YAML_BYTES, MULTIRUN_FILE
from hsm.discover.kinds.hydra_jobs import find_job_of, read_jobs
from hsm.model import Root, Run, RunState, SyncPlan
from hsm.remote.local import LocalEndpoint
from hsm.sync.follow.judgement import RunView

_MARK = f"/{HYDRA_FOLDER}/"


def find_job_times(plan: SyncPlan) -> dict[str, int]:
    """Find the jobs of a Hydra sweep in a plan, each with the time of its last change. Pure."""
    start = len(plan.place) + 1
    paths = {item.file.path[start:]: item.file.mtime_ns for item in plan.items if item.file.root is Root.SWEEPS}
    times = dict.fromkeys((path.partition(_MARK)[0] for path in paths if _MARK in path), 0)
    for path, mtime_ns in paths.items():
        parts = path.split("/")
        for job in {"/".join(parts[:count]) for count in range(1, len(parts))}.intersection(times):
            times[job] = max(times[job], mtime_ns)
    return times


def make_job_views(
    plan: SyncPlan, target: str, project: str, *, now_ns: int, settle_seconds: float
) -> Sequence[RunView]:
    """Make the views of the jobs without a run, which has ended by submitit's log, or as nothing of it changes.

    Args:
        plan: Of the sweep.
        target: Whose plan it is.
        project: The project's folder here, in which the sweep lies, or has landed.
        now_ns: The clock's time.
        settle_seconds: Time without a change after which a job has ended of which nothing else tells.
    """
    times = find_job_times(plan)
    sources = {item.file.prefix for item in plan.items if item.file.root is Root.SWEEPS}
    folders = [f"{prefix}/{plan.place}" for prefix in sources]
    with_runs = {find_job_of(run, folder, times) for run in plan.runs for folder in folders}
    # At a target runs lie together, apart from the jobs; where there are as many, they tell of all.
    are_apart = with_runs <= {""} and len(plan.runs) >= len(times)
    alone = [] if are_apart else [job for job in times if job not in with_runs]
    folder = f"{project}/{plan.place}"
    states = {job.path: job.state for job in read_jobs(LocalEndpoint(), folder, alone)}
    views = []
    for job in alone:
        is_quiet = now_ns - times[job] >= settle_seconds * 1e9
        state = states.get(job, RunState.UNKNOWN)
        if state is RunState.UNKNOWN:
            state = RunState.FINISHED if is_quiet else RunState.RUNNING
        views.append(RunView(Run(job, folder, state=state), times[job], target))
    return views


def read_expected_jobs(project: str, place: str, jobs: Mapping[str, int]) -> int | None:
    """Read how many jobs a sweep will have; None where nothing says so.

    Args:
        project: The project's folder here.
        place: The sweep's folder in it.
        jobs: Those that have begun.
    """
    names = [MULTIRUN_FILE, *(f"{job}/{HYDRA_FOLDER}/hydra.yaml" for job in sorted(jobs)[:1])]
    paths = [f"{project}/{place}/{name}" for name in names]
    for ends in LocalEndpoint().read_ends(paths, n_blocks=0, head_bytes=MOST_YAML_BYTES):
        count = count_expected_jobs(ends.head) if ends.size <= MOST_YAML_BYTES else None
        if count is not None:
            return count
    return None
