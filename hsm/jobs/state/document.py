"""JSON form of a sweep's state. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from hsm.jobs.base import SubmittedJob
from hsm.jobs.chunk import Chunk, TaskAttempt
from hsm.jobs.model import TaskEnd, TaskStatus
from hsm.jobs.state.values import ExecutorKind, Submission, SubmissionState, SweepState, TaskHistory
from hsm.jobs.states import TaskState

SCHEMA = 1

_Plain = TypeVar("_Plain", str, int)

_NO_STATUS, _NO_END = TaskStatus(), TaskEnd()


def make_state_document(state: SweepState) -> dict[str, object]:
    """Make JSON values of a state."""
    return {
        "sweep": state.sweep,
        "key": state.key,
        "asked_at": state.asked_at,
        "submissions": [_make_submission(submission) for submission in state.submissions],
        "tasks": {str(number): _make_history(state.tasks[number]) for number in sorted(state.tasks)},
    }


def parse_state_document(data: Mapping[str, Any]) -> SweepState:
    """Read what `make_state_document` made.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: It is no such document.
    """
    return SweepState(
        sweep=_check(data["sweep"], str),
        key=_check(data["key"], str),
        submissions=[_parse_submission(entry) for entry in data["submissions"]],
        tasks={int(number): _parse_history(entry) for number, entry in data["tasks"].items()},
        asked_at=float(data["asked_at"]),
    )


def _make_submission(submission: Submission) -> dict[str, object]:
    job = submission.job
    return {
        "name": job.chunk.name,
        "key": job.chunk.key,
        "executor": submission.executor.value,
        "machine": submission.machine,
        "folder": job.folder,
        "state": submission.state.value,
        "job_id": job.job_id,
        "asked_at": job.asked_at,
        "missed_at": submission.missed_at,
        "per_job": job.chunk.per_job,
        "tasks": [list(task) for task in job.chunk.tasks],
    }


def _parse_submission(entry: Mapping[str, Any]) -> Submission:
    tasks = tuple(TaskAttempt(_check(number, int), _check(attempt, int)) for number, attempt in entry["tasks"])
    per_job = _check(entry["per_job"], int)
    if per_job < 1 or not tasks:
        raise ValueError("a submission without tasks")
    chunk = Chunk(_check(entry["name"], str), _check(entry["key"], str), tasks, per_job)
    job = SubmittedJob(chunk, _check(entry["folder"], str), float(entry["asked_at"]), _check(entry["job_id"], str))
    return Submission(
        job,
        ExecutorKind(entry["executor"]),
        _check(entry["machine"], str),
        SubmissionState(entry["state"]),
        float(entry["missed_at"]),
    )


def _make_history(history: TaskHistory) -> dict[str, object]:
    found = _make_status(history.status)
    if history.earlier:
        found["earlier"] = [_make_status(status) for status in history.earlier]
    return found


def _parse_history(entry: Mapping[str, Any]) -> TaskHistory:
    return TaskHistory(_parse_status(entry), tuple(_parse_status(earlier) for earlier in entry.get("earlier", ())))


def _make_status(status: TaskStatus) -> dict[str, object]:
    found: dict[str, object] = {"state": status.state.value, "attempt": status.attempt}
    for name in ("reason", "seen_at", "decided_at", "is_cancelled"):
        value = getattr(status, name)
        if value != getattr(_NO_STATUS, name):
            found[name] = value
    for field in fields(TaskEnd):
        value = getattr(status.end, field.name)
        if value != getattr(_NO_END, field.name):
            found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def _parse_status(entry: Mapping[str, Any]) -> TaskStatus:
    code = entry.get("exit_code")
    end = TaskEnd(
        job_id=_check(entry.get("job_id", ""), str),
        node=_check(entry.get("node", ""), str),
        exit_code=None if code is None else _check(code, int),
        signal=_check(entry.get("signal", ""), str),
        started=float(entry.get("started", 0.0)),
        ended=float(entry.get("ended", 0.0)),
        last_lines=tuple(_check(line, str) for line in entry.get("last_lines", ())),
    )
    return TaskStatus(
        state=TaskState(entry["state"]),
        reason=_check(entry.get("reason", ""), str),
        attempt=_check(entry["attempt"], int),
        end=end,
        seen_at=float(entry.get("seen_at", 0.0)),
        decided_at=float(entry.get("decided_at", 0.0)),
        is_cancelled=bool(entry.get("is_cancelled", False)),
    )


def _check(value: object, kind: type[_Plain]) -> _Plain:
    if type(value) is not kind:  # a truth value is an int too
        raise TypeError(f"{value!a:.80} is no {kind.__name__}")
    return value
