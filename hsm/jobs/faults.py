"""Faults of nodes: tasks that fail at once where others succeed elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hsm.jobs.model import TaskStatus
from hsm.jobs.states import TaskState

QUICK_SECONDS = 10.0
"""A task that fails so soon after its start has hardly done anything."""

_NODES_FAULTS = frozenset({TaskState.FAILED, TaskState.NODE_LOST})


def find_bad_nodes(statuses: Iterable[TaskStatus]) -> frozenset[str]:
    """Find nodes on which tasks failed at once and none completed, while others completed elsewhere."""
    found = list(statuses)
    good = {status.end.node for status in found if status.state is TaskState.COMPLETED and status.end.node}
    bad = {status.end.node for status in found if is_quick_failure(status)}
    return frozenset(bad - good) if good else frozenset()


def is_quick_failure(status: TaskStatus) -> bool:
    """Tell whether a task failed within seconds of its start."""
    end = status.end
    is_quick = bool(end.started and end.ended) and end.ended - end.started <= QUICK_SECONDS
    return bool(end.node) and (status.state is TaskState.NODE_LOST or (status.state in _NODES_FAULTS and is_quick))
