"""Judgement of a sweep that is followed: the runs that it still waits for, and those that are to come. Pure.

A run has ended when its log has an exit record and is at rest. One without an exit record has died when nothing of it
has changed for long, or when its Slurm job is gone. A folder whose run went on in a later folder is neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from hsm.model import Run, RunState, SyncPlan
from hsm.wandb_log.slurm_job import SlurmJob

SETTLE_SECONDS = 30 * 60.0
"""Without a new run for so long, a sweep of which nothing tells the number of runs is taken to be over."""

STALE_SECONDS = 6 * 3600.0
"""Without a change for so long, a run has died, and one that never began will not come."""

LAG_SECONDS = 60.0
"""A network file system may show a folder this late."""


class CountSource(str, Enum):
    """Source of the number of runs that there will be, the first that is there."""

    OPTION = "expect"
    COMBINATIONS = "parameter_combinations"
    HYDRA = "hydra"
    SCHEDULER = "scheduler"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Expected:
    """Number of runs that a sweep will have.

    Attributes:
        source: The source of the number.
        count: None where only the scheduler knows when there are no more, or nothing tells.
    """

    source: CountSource = CountSource.NONE
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """Answer of Slurm about the jobs that were asked for.

    Attributes:
        asked: Their ids; empty when Slurm did not answer.
        left: Those of them that wait or run, by job id and by array job id.
    """

    asked: frozenset[str] = frozenset()
    left: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as the last pass saw it.

    Attributes:
        run: From the plan.
        newest_ns: Time of its last change.
        target: The target whose plan it is from.
        job: The Slurm job that its log names.
    """

    run: Run
    newest_ns: int = 0
    target: str = ""
    job: SlurmJob | None = None

    @property
    def id(self) -> str:
        """Its id, which a resumed run keeps in its next folder; the folder's name where there is no log yet."""
        # Not of the folder's name, which gets a suffix where two runs begin in one second.
        return self.run.log.removeprefix("run-").removesuffix(".wandb") or self.run.name

    @property
    def has_ended(self) -> bool:
        """True where nothing more comes of it."""
        return self.run.has_exit_record and self.run.at_rest


@dataclass(frozen=True, slots=True)
class FollowLimits:
    """Limits of waiting for what may never come.

    Attributes:
        expect: Runs that `--expect` asks for.
        settle_seconds: Without a new run, where nothing tells how many there will be.
        stale_seconds: Without a change, after which a run has died, and a run that never began will not come.
    """

    expect: int | None = None
    settle_seconds: float = SETTLE_SECONDS
    stale_seconds: float = STALE_SECONDS


@dataclass(frozen=True, slots=True)
class Awaited:
    """Progress of a sweep.

    Attributes:
        expected: The number of runs that there will be.
        ended: Names of the runs that have ended.
        open: Names of the runs that go on, or ended moments ago.
        died: The reason for each run that died, by its name.
        missing: Number of runs that are expected and have not begun.
        is_over: Nothing more is waited for.
        settles_in: Seconds after which, without a new run, it is taken to be over; None where that is not the question.
    """

    expected: Expected = field(default_factory=Expected)
    ended: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    died: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    is_over: bool = False
    settles_in: float | None = None


def make_views(plan: SyncPlan, target: str) -> dict[str, RunView]:
    """Take the state of each run from a target's plan, by name."""
    newest: dict[str, int] = {}
    for item in plan.items:
        file = item.file
        if file.run and file.mtime_ns > newest.get(file.run, 0):
            newest[file.run] = file.mtime_ns
    return {run.name: RunView(run, newest.get(run.name, 0), target) for run in plan.runs}


def choose_expected(
    patience: FollowLimits, combinations: int | None, views: Mapping[str, RunView], *, jobs: int | None = None
) -> Expected:
    """Choose the source of the number of runs: the command line, the sweep's own list, Hydra's files, an array job."""
    if patience.expect is not None:
        return Expected(CountSource.OPTION, patience.expect)
    if combinations is not None:
        return Expected(CountSource.COMBINATIONS, combinations)
    if jobs is not None:
        return Expected(CountSource.HYDRA, jobs)
    if find_array_jobs(views):
        return Expected(CountSource.SCHEDULER)
    return Expected()


def find_array_jobs(views: Mapping[str, RunView]) -> frozenset[tuple[str, str]]:
    """Find the array jobs that the runs' logs name: the target whose runs these are, and the id."""
    jobs = ((view.target, view.job) for view in views.values())
    return frozenset((target, job.array_id) for target, job in jobs if job is not None and job.array_id)


def judge(
    views: Mapping[str, RunView],
    *,
    expected: Expected,
    patience: FollowLimits,
    queues: Mapping[str, Queue],
    now_ns: int,
    begun_ns: int,
    changed_ns: int,
    n_begun: int | None = None,
) -> Awaited:
    """Judge what a sweep still waits for.

    Args:
        views: Its runs, by name.
        expected: The number that there will be.
        patience: Limits of waiting for what may never come.
        queues: The last answers of Slurm, by the target whose runs were asked for.
        now_ns: The clock's time.
        begun_ns: Begin of following the sweep; what may never come is waited for at least from then on.
        changed_ns: Time at which a run changed last, or was seen to be new.
        n_begun: The number that has begun of what is expected, where that is not runs.
    """
    ended = [name for name, view in views.items() if view.has_ended]
    died, going = _sort_open(views, patience, queues, now_ns)
    # By id: a run that went on in a later folder is one run.
    begun = {views[name].id for name in (*ended, *died, *going)}
    missing = max(0, (expected.count or 0) - (len(begun) if n_begun is None else n_begun))
    arrays = find_array_jobs(views)
    are_gone = (_is_gone(array, array, queues.get(target, Queue())) for target, array in arrays)
    # A folder that a task made in its last second may be seen late, so the queue alone does not end a sweep.
    is_gone = bool(arrays) and now_ns - changed_ns >= LAG_SECONDS * 1e9 and all(are_gone)
    quiet_seconds = (now_ns - max(begun_ns, changed_ns)) / 1e9
    is_over, settles_in = _find_end(expected, missing, patience, is_gone=is_gone, quiet_seconds=quiet_seconds)
    return Awaited(
        expected=expected,
        ended=tuple(sorted(ended)),
        open=tuple(sorted(going)),
        died=dict(sorted(died.items())),
        missing=missing,
        is_over=is_over and not going,
        settles_in=None if going else settles_in,
    )


def _sort_open(
    views: Mapping[str, RunView], patience: FollowLimits, queues: Mapping[str, Queue], now_ns: int
) -> tuple[dict[str, str], list[str]]:
    """Sort the runs that have not ended: the reason for each that died, by name, and those that go on."""
    resumed = _find_resumed(list(views.values()))
    died: dict[str, str] = {}
    going: list[str] = []
    for name, view in views.items():
        if view.has_ended or name in resumed:
            continue
        why = _find_death(view, patience, queues.get(view.target, Queue()), now_ns)
        if why:
            died[name] = why
        else:
            going.append(name)
    return died, going


def _find_resumed(views: Sequence[RunView]) -> set[str]:
    """Find the folders of runs that went on in a later folder."""
    last = {view.id: view.run.name for view in sorted(views, key=lambda view: _get_start(view.run.name))}
    return {view.run.name for view in views if not view.run.has_exit_record and last[view.id] != view.run.name}


def _get_start(name: str) -> str:
    return name.removeprefix("offline-")


def _find_death(view: RunView, patience: FollowLimits, queue: Queue, now_ns: int) -> str:
    """Find the reason why a run that has not ended will not; empty where it may."""
    if view.run.has_exit_record:
        return ""
    job = view.job
    # A job that is gone is not enough: a copy of a run may lie where another Slurm is, so it must be quiet as well.
    is_quiet = view.run.state is RunState.UNKNOWN
    if job is not None and is_quiet and _is_gone(job.id, job.name, queue):
        return f"its Slurm job {job.name} is gone"
    rest_seconds = (now_ns - view.newest_ns) / 1e9
    if rest_seconds >= patience.stale_seconds:
        return "it has no exit record, and nothing of it has changed for long"
    return ""


def _is_gone(asked: str, name: str, queue: Queue) -> bool:
    return asked in queue.asked and name not in queue.left


def _find_end(
    expected: Expected, missing: int, patience: FollowLimits, *, is_gone: bool, quiet_seconds: float
) -> tuple[bool, float | None]:
    """Tell whether no further run comes, and after how many quiet seconds that will be taken for certain."""
    if expected.source is CountSource.SCHEDULER:
        return is_gone, None
    if expected.source is CountSource.NONE:
        return quiet_seconds >= patience.settle_seconds, max(0.0, patience.settle_seconds - quiet_seconds)
    if not missing or is_gone:
        return True, None
    return quiet_seconds >= patience.stale_seconds, max(0.0, patience.stale_seconds - quiet_seconds)
