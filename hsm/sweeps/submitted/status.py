"""Status of a sweep: its tasks, their counts, and the errors of those that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hsm.jobs.faults import find_bad_nodes, is_quick_failure
from hsm.jobs.logs import fold_line, get_log
from hsm.jobs.model import TaskStatus
from hsm.jobs.state.values import SweepState
from hsm.jobs.states import ENDED_BADLY, SETTLED, TaskCount, TaskState, count_tasks
from hsm.jobs.tracker import observe_tasks
from hsm.sweeps.submitted.open_sweep import OpenSweep


@dataclass(frozen=True, slots=True)
class SubmittedStatus:
    """Status of a submitted sweep.

    Attributes:
        sweep: Its id.
        tasks: Every task by number, newest attempt.
        faults: Why something could not be asked.
        bad_nodes: Nodes that failed tasks at once, while others complete theirs.
        asked_at: When the schedulers were last asked.
    """

    sweep: str
    tasks: Mapping[int, TaskStatus]
    faults: tuple[str, ...]
    bad_nodes: frozenset[str]
    asked_at: float

    @property
    def counts(self) -> Mapping[TaskCount, int]:
        """The number of tasks in each count."""
        return count_tasks(status.state for status in self.tasks.values())

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more is waited for, prepared tasks left aside."""
        return all(status.state in SETTLED or status.state is TaskState.PREPARED for status in self.tasks.values())

    @property
    def is_completed(self) -> bool:
        """Tell whether every task is completed."""
        return all(status.state is TaskState.COMPLETED for status in self.tasks.values())

    @property
    def has_failed(self) -> bool:
        """Tell whether a task failed, was lost or could not be asked for."""
        return any(status.state in ENDED_BADLY | {TaskState.UNKNOWN} for status in self.tasks.values())

    def is_nodes_fault(self, status: TaskStatus) -> bool:
        """Tell whether a failure is the node's."""
        return status.end.node in self.bad_nodes and is_quick_failure(status)


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Tasks that ended in the same way.

    Attributes:
        line: The last line of the log of one of them, or how it ended.
        numbers: Of the tasks.
        states: Of the tasks, each once.
        nodes: On which.
        log: Of one of them.
        bad_nodes: Nodes whose fault it seems to be.
    """

    line: str
    numbers: tuple[int, ...]
    states: tuple[TaskState, ...]
    nodes: tuple[str, ...]
    log: str
    bad_nodes: tuple[str, ...]


def read_status(opened: OpenSweep) -> SubmittedStatus:
    """Ask for what is not final, and return all that is known."""
    state, faults = observe_tasks(opened.tracked)
    return make_status(opened, state, faults)


def make_status(opened: OpenSweep, state: SweepState, faults: Sequence[str]) -> SubmittedStatus:
    """Make the status of a state."""
    tasks = dict(state.iter_states(opened.prepared.n_tasks))
    return SubmittedStatus(opened.name, tasks, tuple(faults), find_bad_nodes(tasks.values()), state.asked_at)


def group_errors(opened: OpenSweep, status: SubmittedStatus) -> list[ErrorGroup]:
    """Group the tasks that ended badly by the last line of their log, numbers and paths folded; the largest first."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for number, task in status.tasks.items():
        if task.state in ENDED_BADLY and task.state is not TaskState.CANCELLED:
            key = fold_line(_describe(task)), status.is_nodes_fault(task)
            groups.setdefault(key, []).append(number)
    found = [_make_group(opened, status, numbers) for numbers in groups.values()]
    return sorted(found, key=lambda group: (-len(group.numbers), group.numbers))


def _make_group(opened: OpenSweep, status: SubmittedStatus, numbers: Sequence[int]) -> ErrorGroup:
    tasks = [status.tasks[number] for number in numbers]
    first = tasks[0]
    log = get_log(str(opened.folder.folder), numbers[0], first.attempt, errors=True)
    bad = {task.end.node for task in tasks if status.is_nodes_fault(task)}
    return ErrorGroup(
        _describe(first),
        tuple(numbers),
        tuple(dict.fromkeys(task.state for task in tasks)),
        tuple(sorted({task.end.node for task in tasks if task.end.node})),
        log,
        tuple(sorted(bad)),
    )


def _describe(task: TaskStatus) -> str:
    if task.state in (TaskState.FAILED, TaskState.OUT_OF_MEMORY) and task.end.last_lines:
        return task.end.last_lines[-1]
    return task.reason or task.state.value
