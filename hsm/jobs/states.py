"""States of a task, and the words for them in what HSM shares, serves and counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple


class TaskState(str, Enum):
    """State of a task."""

    PREPARED = "prepared"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    NODE_LOST = "node_lost"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    UNKNOWN = "unknown"
    LOST = "lost"


class TaskCount(str, Enum):
    """Count that a task falls into."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class StateWords(NamedTuple):
    """Words for a state.

    Attributes:
        shared: In the file that clusters share (`hsm state`): Slurm's own, where it has one.
        served: In the API of jobs (`hsm jobs`).
        counts_as: The count it falls into.
    """

    shared: str
    served: str
    counts_as: TaskCount


STATE_WORDS: Mapping[TaskState, StateWords] = MappingProxyType(
    {
        TaskState.PREPARED: StateWords("PENDING", "pending", TaskCount.PENDING),
        TaskState.PENDING: StateWords("PENDING", "queued", TaskCount.PENDING),
        TaskState.RUNNING: StateWords("RUNNING", "running", TaskCount.RUNNING),
        TaskState.COMPLETED: StateWords("COMPLETED", "succeeded", TaskCount.COMPLETED),
        TaskState.FAILED: StateWords("FAILED", "failed", TaskCount.FAILED),
        TaskState.TIMED_OUT: StateWords("TIMEOUT", "timeout", TaskCount.FAILED),
        TaskState.OUT_OF_MEMORY: StateWords("OUT_OF_MEMORY", "failed", TaskCount.FAILED),
        TaskState.NODE_LOST: StateWords("NODE_FAIL", "failed", TaskCount.FAILED),
        TaskState.CANCELLED: StateWords("CANCELLED", "cancelled", TaskCount.CANCELLED),
        TaskState.PREEMPTED: StateWords("PREEMPTED", "failed", TaskCount.FAILED),
        TaskState.UNKNOWN: StateWords("UNKNOWN", "unknown", TaskCount.UNKNOWN),
        TaskState.LOST: StateWords("FAILED", "failed", TaskCount.FAILED),
    }
)

ACTIVE = frozenset({TaskState.PENDING, TaskState.RUNNING})
"""A queue holds the task."""

FINAL = frozenset(
    {
        TaskState.COMPLETED,
        TaskState.FAILED,
        TaskState.TIMED_OUT,
        TaskState.OUT_OF_MEMORY,
        TaskState.NODE_LOST,
        TaskState.CANCELLED,
        TaskState.PREEMPTED,
    }
)
"""The end was seen, and stays. A lost task is not among them: its end may still be found."""

SETTLED = FINAL | {TaskState.LOST}
"""Nothing more is waited for."""

ENDED_BADLY = SETTLED - {TaskState.COMPLETED}
"""A new attempt may be made."""


def count_tasks(states: Iterable[TaskState]) -> dict[TaskCount, int]:
    """Count tasks; every count is there."""
    found = dict.fromkeys(TaskCount, 0)
    for state in states:
        found[STATE_WORDS[state].counts_as] += 1
    return found
