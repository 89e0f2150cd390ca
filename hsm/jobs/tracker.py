"""Tracker of a submitted sweep: asks its executors once, and records what follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from hsm.jobs.base import Executor, FoundJobs, JobMachine, JobSightings, SubmittedJob
from hsm.jobs.logs import TAIL_BYTES, get_log, parse_log_ends
from hsm.jobs.model import SourceState, TaskInfo
from hsm.jobs.reconcile import Sources, reconcile
from hsm.jobs.state.store import StateStore
from hsm.jobs.state.values import ExecutorKind, Owner, Submission, SubmissionState, SweepState
from hsm.jobs.states import ENDED_BADLY, FINAL
from hsm.jobs.task_files import MOST_INFO_BYTES, parse_task_info
from hsm.prepared_sweep.folder import PreparedFolder

SECOND_LOOK_SECONDS = 60.0
"""Between two good answers that do not know a job, until it may be submitted again: sbatch has ended by then."""


@dataclass(frozen=True, slots=True)
class TrackedSweep:
    """Sweep whose tasks are tracked.

    Attributes:
        folder: Its folder, here.
        store: Its state.
        machine: Where its executors' programs run, and its files are read.
        executors: By kind.
    """

    folder: PreparedFolder
    store: StateStore
    machine: JobMachine
    executors: Mapping[ExecutorKind, Executor]


@dataclass(frozen=True, slots=True)
class Look:
    """All that was asked in one look.

    Attributes:
        found: Answers about jobs whose id was not known, by executor.
        jobs: Those that were asked for, by key, with what is known of them.
        infos: The tasks' own files, by number.
    """

    found: Mapping[ExecutorKind, FoundJobs]
    jobs: Mapping[str, JobSightings]
    infos: Mapping[int, TaskInfo]


def observe_tasks(tracked: TrackedSweep, *, clock: Callable[[], float] = time.time) -> tuple[SweepState, list[str]]:
    """Ask for all that is not final, and record what follows.

    Nothing is asked, and nothing written, where all is final. The lock is held only while it is recorded, so that a
    scheduler that does not answer keeps no other call waiting.

    Returns:
        The state, and why something could not be asked.
    """
    state = tracked.store.load()
    now = clock()
    lost = [submission for submission in state.submissions if submission.state is SubmissionState.ASKED]
    asked = _list_active(state)
    if not lost and not asked:
        return state, []
    found = {
        kind: tracked.executors[kind].find([submission.job for submission in lost if submission.executor is kind])
        for kind in {submission.executor for submission in lost}
    }
    jobs = _observe(tracked, asked)
    answers = Look(found, jobs, _read_infos(tracked, state, {submission.key for submission in asked}))
    with tracked.store.change() as state:
        _record(tracked, state, answers, now)
    return state, sorted(_list_faults(answers))


def _list_active(state: SweepState) -> list[Submission]:
    """List the accepted submissions of which a task has not ended."""
    owners = state.find_owners()
    keys = {owner.submission.key for number, owner in owners.items() if state.get_status(number).state not in FINAL}
    return [s for s in state.submissions if s.key in keys and s.state is SubmissionState.ACCEPTED]


def _observe(tracked: TrackedSweep, asked: Iterable[Submission]) -> Mapping[str, JobSightings]:
    by_kind: dict[ExecutorKind, list[SubmittedJob]] = {}
    for submission in asked:
        by_kind.setdefault(submission.executor, []).append(submission.job)
    found: dict[str, JobSightings] = {}
    for kind, jobs in by_kind.items():
        sightings = tracked.executors[kind].observe(jobs)
        found.update(dict.fromkeys((job.chunk.key for job in jobs), sightings))
    return found


def _read_infos(tracked: TrackedSweep, state: SweepState, keys: set[str]) -> Mapping[int, TaskInfo]:
    """Read the files of tasks that have not ended; after the queue, which is the older knowledge then."""
    owners = state.find_owners()
    wanted = {
        str(tracked.folder.task_info(number)): number
        for number, owner in owners.items()
        if owner.submission.key in keys and state.get_status(number).state not in FINAL
    }
    heads = tracked.machine.read_heads(list(wanted), most_bytes=MOST_INFO_BYTES)
    infos = {wanted[path]: parse_task_info(head) for path, head in heads.items()}
    return {number: info for number, info in infos.items() if info is not None}


def _record(tracked: TrackedSweep, state: SweepState, answers: Look, now: float) -> None:
    _resolve(state, answers.found, now)
    badly: list[int] = []
    for number, owner in state.find_owners().items():
        sightings = answers.jobs.get(owner.submission.key)
        if sightings is None:
            continue
        known = state.get_status(number)
        status = reconcile(known, _make_sources(owner, sightings, answers.infos.get(number)), now=now)
        if status != known:
            state.set_status(number, status)
            if status.state in ENDED_BADLY and known.state is not status.state:
                badly.append(number)
    _add_last_lines(tracked, state, badly)
    state.asked_at = now


def _make_sources(owner: Owner, sightings: JobSightings, info: TaskInfo | None) -> Sources:
    queue, accounting = sightings.queue.find(owner.element), sightings.accounting.find(owner.element)
    is_packed = owner.submission.job.chunk.per_job > 1
    return Sources(queue, accounting, info, owner.first_attempt, is_packed)


def _resolve(state: SweepState, found: Mapping[ExecutorKind, FoundJobs], now: float) -> None:
    """Decide about submissions whose answer was lost: taken up where found, given up after two good answers."""
    for submission in list(state.submissions):
        answer = found.get(submission.executor)
        if submission.state is not SubmissionState.ASKED or answer is None:
            continue
        if submission.key in answer.job_ids:
            state.accept(submission.key, answer.job_ids[submission.key], now)
        elif answer.source is not SourceState.ANSWERED:
            continue
        elif not submission.missed_at:
            state.miss(submission.key, now)
        elif now - submission.missed_at >= SECOND_LOOK_SECONDS:
            state.withdraw(submission.key, SubmissionState.ABANDONED)


def _add_last_lines(tracked: TrackedSweep, state: SweepState, numbers: Iterable[int]) -> None:
    """Add the last lines of the logs of tasks that ended badly to their evidence."""
    paths = {
        get_log(str(tracked.folder.folder), number, state.get_status(number).attempt, errors=is_error): number
        for number in numbers
        for is_error in (True, False)
    }
    tails = tracked.machine.read_tails(list(paths), most_bytes=TAIL_BYTES)
    for path, number in paths.items():
        status = state.get_status(number)
        lines = parse_log_ends(tails.get(path, b""))
        if lines and not status.end.last_lines:  # the standard error comes first
            state.set_status(number, replace(status, end=replace(status.end, last_lines=lines)))


def _list_faults(answers: Look) -> set[str]:
    faults = {found.fault for found in answers.found.values() if found.source is SourceState.SILENT}
    for sightings in answers.jobs.values():
        for answer in (sightings.queue, sightings.accounting):
            if answer.source is SourceState.SILENT:
                faults.add(answer.fault)
    return faults
