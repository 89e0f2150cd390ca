"""Values of a sweep's state: submissions, and the attempts of each task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from hsm.jobs.base import SubmittedJob
from hsm.jobs.chunk import TaskAttempt
from hsm.jobs.model import Element, TaskStatus
from hsm.jobs.states import TaskState

_MOST_CHUNKS = 10**6


class ExecutorKind(str, Enum):
    """Kind of executor."""

    LOCAL = "local"
    SLURM = "slurm"


class SubmissionState(str, Enum):
    """State of a submission."""

    ASKED = "asked"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Submission:
    """A chunk that was handed to an executor, or was about to be.

    Attributes:
        job: The chunk, when, and the job's id once it is known.
        executor: The kind.
        machine: Where, as the configuration names it; empty for this one.
        state: `asked` until the executor's answer is known.
        missed_at: When a good answer first did not know a job whose answer was lost; 0 before.
    """

    job: SubmittedJob
    executor: ExecutorKind
    machine: str = ""
    state: SubmissionState = SubmissionState.ASKED
    missed_at: float = 0.0

    @property
    def key(self) -> str:
        """The key of its chunk."""
        return self.job.chunk.key


@dataclass(frozen=True, slots=True)
class TaskHistory:
    """Life of a task.

    Attributes:
        status: Of the newest attempt.
        earlier: Of those before, oldest first.
    """

    status: TaskStatus = field(default_factory=TaskStatus)
    earlier: tuple[TaskStatus, ...] = ()


class Owner(NamedTuple):
    """Submission that holds the newest attempt of a task.

    Attributes:
        submission: It.
        element: The part of its job.
        first_attempt: The attempt that it was submitted as.
    """

    submission: Submission
    element: Element
    first_attempt: int


@dataclass(slots=True)
class SweepState:
    """State of a sweep. Changed in place, under the lock of its store.

    Attributes:
        sweep: Its id.
        key: Of the prepared sweep that it belongs to.
        submissions: In the order in which they were made.
        tasks: By number; one that was never submitted is not there.
        asked_at: When the executors were last asked.
    """

    sweep: str
    key: str = ""
    submissions: list[Submission] = field(default_factory=list)
    tasks: dict[int, TaskHistory] = field(default_factory=dict)
    asked_at: float = 0.0

    def get_status(self, number: int) -> TaskStatus:
        """Return the newest attempt of a task."""
        history = self.tasks.get(number)
        return history.status if history else TaskStatus()

    def iter_states(self, n_tasks: int) -> Iterator[tuple[int, TaskStatus]]:
        """Yield every task of a sweep with its newest attempt."""
        for number in range(1, n_tasks + 1):
            yield number, self.get_status(number)

    @property
    def next_chunk(self) -> int:
        """The number of the next chunk, counted over the sweep's whole life."""
        found = (_parse_chunk_number(submission.job.chunk.name) for submission in self.submissions)
        return 1 + max(found, default=0)

    def find_owners(self) -> Mapping[int, Owner]:
        """Find the submission of each task's newest attempt."""
        found: dict[int, Owner] = {}
        for submission in self.submissions:
            if submission.state in (SubmissionState.ASKED, SubmissionState.ACCEPTED):
                for task, element in submission.job.chunk.iter_elements():
                    found[task.number] = Owner(submission, element, task.attempt)
        return found

    def make_attempts(self, numbers: Iterable[int]) -> list[TaskAttempt]:
        """Make the next attempts of tasks."""
        return [TaskAttempt(number, self.get_status(number).attempt + 1) for number in numbers]

    def begin(self, submission: Submission, now: float) -> None:
        """Record that a chunk is about to be handed over: each of its tasks begins a new attempt."""
        self.submissions.append(submission)
        for task in submission.job.chunk.tasks:
            history = self.tasks.get(task.number, TaskHistory())
            earlier = (*history.earlier, history.status) if history.status.attempt else history.earlier
            status = TaskStatus(TaskState.UNKNOWN, "it is being submitted", attempt=task.attempt, seen_at=now)
            self.tasks[task.number] = TaskHistory(status, earlier)

    def accept(self, key: str, job_id: str, now: float) -> None:
        """Record the id of a job."""
        submission = self._find(key)
        job = replace(submission.job, job_id=job_id)
        self._replace(replace(submission, job=job, state=SubmissionState.ACCEPTED))
        for task in job.chunk.tasks:
            if self.get_status(task.number).state is TaskState.UNKNOWN:
                self.set_status(task.number, TaskStatus(TaskState.PENDING, attempt=task.attempt, seen_at=now))

    def miss(self, key: str, now: float) -> None:
        """Record that a good answer did not know a job."""
        self._replace(replace(self._find(key), missed_at=now))

    def withdraw(self, key: str, state: SubmissionState) -> None:
        """Record that a chunk was certainly not submitted: its tasks are as before it."""
        submission = self._find(key)
        self._replace(replace(submission, state=state))
        for task in submission.job.chunk.tasks:
            history = self.tasks[task.number]
            if history.status.attempt != task.attempt:
                continue
            if history.earlier:
                self.tasks[task.number] = TaskHistory(history.earlier[-1], history.earlier[:-1])
            else:
                del self.tasks[task.number]

    def set_status(self, number: int, status: TaskStatus) -> None:
        """Set a task's status; the end of an earlier attempt is kept where this is one of a newer."""
        history = self.tasks.get(number, TaskHistory())
        former = history.status
        is_newer = status.attempt > former.attempt > 0
        self.tasks[number] = TaskHistory(status, (*history.earlier, former) if is_newer else history.earlier)

    def _find(self, key: str) -> Submission:
        return next(submission for submission in self.submissions if submission.key == key)

    def _replace(self, new: Submission) -> None:
        self.submissions = [new if submission.key == new.key else submission for submission in self.submissions]


def _parse_chunk_number(name: str) -> int:
    word = name.rsplit(".", 2)[-2] if name.count(".") >= 2 else ""
    return min(int(word), _MOST_CHUNKS) if word.isascii() and word.isdigit() else 0
