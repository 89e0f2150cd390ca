"""Submission of tasks, each exactly once: what is about to be submitted is on disk before anyone is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from hsm.errors import HsmError, TargetError, UsageError
from hsm.file_errors import explain_os_error
from hsm.jobs.base import Executor, JobOrder, JobRefusedError, SubmittedJob
from hsm.jobs.chunk import Chunk, TaskAttempt, cut_tasks, make_chunk
from hsm.jobs.model import TaskStatus
from hsm.jobs.state.store import StateStore
from hsm.jobs.state.values import ExecutorKind, Submission, SubmissionState, SweepState
from hsm.jobs.states import ENDED_BADLY, TaskState

_MAY_BEGIN = ENDED_BADLY | {TaskState.PREPARED}


@dataclass(frozen=True, slots=True)
class SubmitPlan:
    """Plan of a submission: its tasks, and how they run.

    Attributes:
        order: A pattern: its chunk is replaced by each that is made.
        executor: That submits.
        kind: Of the executor.
        most_elements: Of one job.
        machine: Where, as the configuration names it; empty for this one.
    """

    order: JobOrder
    executor: Executor
    kind: ExecutorKind
    most_elements: int
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """Outcome of a submission.

    Attributes:
        jobs: Chunks with their ids.
        skipped: Numbers of tasks that were left, since they wait, run, are completed or unknown.
        error: Why it stopped before all were submitted.
    """

    jobs: tuple[SubmittedJob, ...] = ()
    skipped: tuple[int, ...] = ()
    error: HsmError | None = None

    @property
    def n_tasks(self) -> int:
        """The number of tasks that were submitted."""
        return sum(len(job.chunk.tasks) for job in self.jobs)


def may_begin(status: TaskStatus) -> bool:
    """Tell whether a new attempt may be submitted: never of a task that waits, runs, is completed or unknown."""
    return status.state in _MAY_BEGIN


def submit_tasks(
    store: StateStore, plan: SubmitPlan, numbers: Iterable[int], *, clock: Callable[[], float] = time.time
) -> Submitted:
    """Submit tasks as the next attempt of each.

    A job that a killed call has left without an id is to be looked for before (`hsm.jobs.tracker.look`): its tasks are
    unknown, and are left.

    Args:
        store: Of the sweep.
        plan: How.
        numbers: The tasks.
        clock: Gives the time.
    """
    wanted = sorted(set(numbers))
    state = store.load()
    ready = [number for number in wanted if may_begin(state.get_status(number))]
    skipped = [number for number in wanted if number not in set(ready)]
    jobs: list[SubmittedJob] = []
    per_job = plan.order.chunk.per_job
    for part in cut_tasks(state.make_attempts(ready), plan.most_elements, per_job):
        submission = _begin(store, plan, part, clock)
        if submission is None:
            skipped += [task.number for task in part]
            continue
        try:
            jobs.append(_submit(store, plan, submission, clock))
        except HsmError as error:
            return Submitted(tuple(jobs), tuple(sorted(skipped)), error)
    return Submitted(tuple(jobs), tuple(sorted(skipped)))


def _begin(
    store: StateStore, plan: SubmitPlan, part: Sequence[TaskAttempt], clock: Callable[[], float]
) -> Submission | None:
    """Record a chunk as about to be submitted; None where another call was faster with all of it."""
    with store.change() as state:
        tasks = [task for task in part if _is_next(state, task)]
        if not tasks:
            return None
        chunk = make_chunk(state.sweep, state.next_chunk, tasks, per_job=plan.order.chunk.per_job)
        now = clock()
        submission = Submission(SubmittedJob(chunk, plan.order.places.folder, now), plan.kind, plan.machine)
        state.begin(submission, now)
    return submission


def _is_next(state: SweepState, task: TaskAttempt) -> bool:
    status = state.get_status(task.number)
    return may_begin(status) and status.attempt + 1 == task.attempt


def _submit(store: StateStore, plan: SubmitPlan, submission: Submission, clock: Callable[[], float]) -> SubmittedJob:
    """Submit a chunk and record what came of it.

    After any other error nobody knows, and what is recorded has the job looked for.

    Raises:
        HsmError: It was not submitted, or nobody knows.
    """
    try:
        job_id = plan.executor.submit(replace(plan.order, chunk=submission.job.chunk))
    except (JobRefusedError, UsageError):
        _withdraw(store, submission)
        raise
    except OSError as error:  # of the script, or of starting a program
        _withdraw(store, submission)
        reason, hint = explain_os_error(error)
        raise TargetError(f"{submission.job.chunk.name} cannot be submitted: {reason}", hint=hint) from error
    with store.change() as state:
        state.accept(submission.key, job_id, clock())
    return replace(submission.job, job_id=job_id)


def _withdraw(store: StateStore, submission: Submission) -> None:
    with store.change() as state:
        state.withdraw(submission.key, SubmissionState.REFUSED)


def make_pattern(tasks_per_job: int) -> Chunk:
    """Make the chunk of a pattern, which says only how many tasks share a job."""
    return Chunk("", "", (), tasks_per_job)
