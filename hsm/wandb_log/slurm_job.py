"""Slurm job of a run, as its own log names it.

wandb writes the variables `SLURM_JOB_ID`, `SLURM_ARRAY_JOB_ID` and `SLURM_ARRAY_TASK_ID` into the environment record
of the log (field 27, a map; seen with 0.31.0), unless it was told to record nothing of the machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hsm.wandb_log.format import FILE_HEADER, iter_fields, parse_records
from hsm.wandb_log.records import ENVIRONMENT, decode_text

HEAD_BYTES = 2 * 32768
"""Bytes of a log that are read for it; the record is one of its first."""

_SLURM = 27
_KEY, _VALUE = 1, 2
# Digits alone, since these become arguments of squeue, and a log is what somebody wrote.
_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """Job of Slurm. All are digits, since they become arguments of a command.

    Attributes:
        id: Of the job, which each task of an array has for itself.
        array_id: Of the whole array; empty for a job that is none.
        task_id: Of the task in the array; empty likewise.
    """

    id: str
    array_id: str = ""
    task_id: str = ""

    @property
    def name(self) -> str:
        """The name that `squeue` shows, as `4200_3` for a task of an array; tasks that wait have no id of their own."""
        return f"{self.array_id}_{self.task_id}" if self.array_id and self.task_id else self.id


def parse_slurm_job(head: bytes) -> SlurmJob | None:
    """Parse the Slurm job in the head of a log; None where it names none. Pure."""
    if len(head) <= len(FILE_HEADER):
        return None
    found: dict[str, str] = {}
    for payload in parse_records(head).payloads:
        for number, message in iter_fields(payload):
            if number == ENVIRONMENT and isinstance(message, bytes):
                found.update(_parse_map(message))
    job = found.get("job_id", "")
    array, task = found.get("array_job_id", ""), found.get("array_task_id", "")
    # A task's number alone means nothing: `squeue` names a task by its array.
    return SlurmJob(job, array, task if array else "") if job else None


def _parse_map(environment: bytes) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for number, entry in iter_fields(environment):
        if number == _SLURM and isinstance(entry, bytes):
            pair = {field: decode_text(value) for field, value in iter_fields(entry)}
            if _NUMBER.fullmatch(pair.get(_VALUE, "")):
                found[pair.get(_KEY, "")] = pair[_VALUE]
    return found
