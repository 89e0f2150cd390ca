"""Slurm's words for the state of a job, as squeue and sacct print them. Pure.

Sources: `JOB STATE CODES` of squeue(1) and sacct(1), 22.05 and 24.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hsm.jobs.states import TaskState

SLURM_STATES: Mapping[str, TaskState] = MappingProxyType(
    {
        "BOOT_FAIL": TaskState.NODE_LOST,
        "CANCELLED": TaskState.CANCELLED,
        "COMPLETED": TaskState.COMPLETED,
        "COMPLETING": TaskState.RUNNING,  # the epilog runs, or processes hang; how it ended is not said yet
        "CONFIGURING": TaskState.PENDING,  # nodes boot for it
        "DEADLINE": TaskState.TIMED_OUT,
        "EXPEDITING": TaskState.PENDING,
        "FAILED": TaskState.FAILED,
        "LAUNCH_FAILED": TaskState.NODE_LOST,
        "NODE_FAIL": TaskState.NODE_LOST,
        "OUT_OF_MEMORY": TaskState.OUT_OF_MEMORY,
        "PENDING": TaskState.PENDING,
        "POWER_UP_NODE": TaskState.PENDING,
        "PREEMPTED": TaskState.PREEMPTED,
        "RECONFIG_FAIL": TaskState.NODE_LOST,
        "REQUEUED": TaskState.PENDING,
        "REQUEUE_FED": TaskState.PENDING,
        "REQUEUE_HOLD": TaskState.PENDING,
        "RESIZING": TaskState.RUNNING,
        "RESV_DEL_HOLD": TaskState.PENDING,
        "REVOKED": TaskState.UNKNOWN,  # another cluster of a federation runs it
        "RUNNING": TaskState.RUNNING,
        "SIGNALING": TaskState.RUNNING,
        "SPECIAL_EXIT": TaskState.PENDING,  # requeued and held, with a mark
        "STAGE_OUT": TaskState.RUNNING,
        "STOPPED": TaskState.RUNNING,
        "SUSPENDED": TaskState.RUNNING,
        "TIMEOUT": TaskState.TIMED_OUT,
        "UPDATE_DB": TaskState.RUNNING,
    }
)


def parse_slurm_state(text: str) -> TaskState:
    """Return the state of a word; of one that is not in the table `unknown`.

    Args:
        text: As printed: `CANCELLED by 1000` in accounting, a `+` behind what was cut.
    """
    return SLURM_STATES.get(text.split(" ", 1)[0].rstrip("+"), TaskState.UNKNOWN)
