"""Values of the life of a task: what the sources say, and what follows. Frozen.

Times are seconds since the epoch; 0 where they are not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hsm.jobs.states import TaskState


@dataclass(frozen=True, slots=True, order=True)
class Element:
    """Part of a job that ends for itself: a task of an array, a pod of an indexed job, a task of the local pool.

    Attributes:
        job: The key of the chunk that was submitted.
        index: From 1.
    """

    job: str
    index: int


@dataclass(frozen=True, slots=True)
class ElementRecord:
    """Element as a scheduler shows it.

    Attributes:
        state: What its word means; unknown for a word that HSM does not know.
        word: The scheduler's own.
        job_id: As a person would name it to the scheduler: `4711_3`.
        reason: Why it waits or ended, in the scheduler's words.
        node: The node or nodes.
        exit_code: None where it is not known.
        signal: That ended it; 0 for none.
        started: Of the newest start.
        ended: Of the newest end.
        n_restarts: How often it was requeued.
    """

    state: TaskState
    word: str = ""
    job_id: str = ""
    reason: str = ""
    node: str = ""
    exit_code: int | None = None
    signal: int = 0
    started: float = 0.0
    ended: float = 0.0
    n_restarts: int = 0


class SourceState(Enum):
    """Success of a question."""

    ANSWERED = "answered"
    SILENT = "could not ask"
    ABSENT = "there is no such source"


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """Answer of a queue, or of an accounting.

    Attributes:
        source: An error, a time-out, or an empty answer after an error is silence, and never says that a job is gone.
        records: The elements that it knows.
        fault: Why it is silent.
        asked_at: When the question began.
    """

    source: SourceState
    records: Mapping[Element, ElementRecord] = field(default_factory=dict)
    fault: str = ""
    asked_at: float = 0.0

    def find(self, element: Element) -> Sighting:
        """Return what it says of one element."""
        return Sighting(self.source, self.records.get(element), self.fault, self.asked_at)


@dataclass(frozen=True, slots=True)
class Sighting:
    """Part of an answer that concerns one element.

    Attributes:
        source: As of the answer.
        record: None where it does not know the element.
        fault: As of the answer.
        asked_at: As of the answer.
    """

    source: SourceState = SourceState.ABSENT
    record: ElementRecord | None = None
    fault: str = ""
    asked_at: float = 0.0

    @property
    def is_silent(self) -> bool:
        """Tell whether it could not be asked."""
        return self.source is SourceState.SILENT


class InfoStatus(str, Enum):
    """Status in a task's own file."""

    STARTED = ""
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REQUEUED = "REQUEUED"


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """Task's own file, `task_info.txt`.

    Attributes:
        attempt: That wrote it; 1 where it does not say.
        status: How far it came.
        node: That it ran on.
        job_id: As `ElementRecord.job_id`.
        exit_code: None until it has ended.
        signal: The name of the signal that its job script got while it ran: `TERM`.
        reason: What the job script knows of its end: `time limit`.
        started: By the node's clock.
        ended: Likewise.
    """

    attempt: int = 1
    status: InfoStatus = InfoStatus.STARTED
    node: str = ""
    job_id: str = ""
    exit_code: int | None = None
    signal: str = ""
    reason: str = ""
    started: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """Evidence of how an attempt went.

    Attributes:
        job_id: As a person would name it to the scheduler.
        node: That it ran on.
        exit_code: None where it is not known.
        signal: Its name or number; empty for none.
        started: Of this attempt.
        ended: Likewise.
        last_lines: Of its log, where it ended badly.
    """

    job_id: str = ""
    node: str = ""
    exit_code: int | None = None
    signal: str = ""
    started: float = 0.0
    ended: float = 0.0
    last_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """Knowledge of a task.

    Attributes:
        state: Its state.
        reason: Why, in a few words; empty where the state says all.
        attempt: The newest one, from 1; 0 before the first.
        end: The evidence of that attempt.
        seen_at: When a source last had a sign of it.
        decided_at: When its final state was decided.
        is_cancelled: A person had HSM cancel this attempt.
    """

    state: TaskState = TaskState.PREPARED
    reason: str = ""
    attempt: int = 0
    end: TaskEnd = field(default_factory=TaskEnd)
    seen_at: float = 0.0
    decided_at: float = 0.0
    is_cancelled: bool = False
