"""Reconciliation of what the queue, the accounting and a task's own file say of it. Pure.

The rules, with their reasons, stand in `docs/design/jobs.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hsm.jobs.model import ElementRecord, InfoStatus, Sighting, SourceState, TaskEnd, TaskInfo, TaskStatus
from hsm.jobs.states import ACTIVE, FINAL, TaskState

LOST_SECONDS = 600.0
"""From the last sign of a task until it is lost: accounting lags, 24 s were seen on an idle cluster."""

TIME_LIMIT = "time limit"
"""The reason that a job script gives for an end at its limit."""

_FIRST_SIGNAL_CODE = 128  # a shell's exit status for a signal is this plus its number
_MAY_COME_BACK = frozenset({TaskState.NODE_LOST, TaskState.PREEMPTED})
_NO_SIGNAL_WORDS = ("", "0", "None")


@dataclass(frozen=True, slots=True)
class Sources:
    """Evidence of one task, from each source.

    Attributes:
        queue: Of its element.
        accounting: Of its element.
        info: Its own file; None where there is none yet.
        first_attempt: The attempt that its element was submitted as; each requeue is one more.
        is_packed: Its element runs several tasks, so that an element that runs says nothing of one of them.
    """

    queue: Sighting
    accounting: Sighting
    info: TaskInfo | None = None
    first_attempt: int = 1
    is_packed: bool = False


def reconcile(known: TaskStatus, sources: Sources, *, now: float) -> TaskStatus:
    """Return what a task's state is now, and why.

    A final state stays until there is a newer attempt. A task's own end beats the queue, which sees its job end later;
    an active record in the queue beats accounting, which after a requeue still has the earlier attempt.

    Args:
        known: From before; a task that was never submitted stays as it is.
        sources: What they say now.
        now: The time.
    """
    if not known.attempt:
        return known
    attempt = _find_attempt(known, sources)
    if attempt > known.attempt and known.state is not TaskState.COMPLETED:
        known = TaskStatus(TaskState.PENDING, attempt=attempt, seen_at=now)
    if known.state in FINAL:
        return known
    info = sources.info if sources.info and sources.info.attempt == known.attempt else None
    sources = replace(sources, info=info)
    return (
        _judge_info(known, sources, now)
        or _judge_queue(known, sources, now)
        or _judge_end(known, sources, sources.accounting.record, now)
        or _judge_silence(known, sources, now)
    )


def _find_attempt(known: TaskStatus, sources: Sources) -> int:
    """Return the newest attempt of which there is a sign."""
    found = known.attempt
    record = sources.queue.record
    if record is not None and record.state in ACTIVE:
        found = max(found, sources.first_attempt + record.n_restarts)
    return max(found, sources.info.attempt) if sources.info else found


def _judge_info(known: TaskStatus, sources: Sources, now: float) -> TaskStatus | None:
    """Judge by the task's own file; None until it holds an end."""
    info = sources.info
    if info is None or info.status in (InfoStatus.STARTED, InfoStatus.REQUEUED):
        return None
    if info.status is InfoStatus.COMPLETED:
        return _decide(known, sources, None, TaskState.COMPLETED, "", now)
    record = _find_end(known, sources)
    if not (info.signal or (info.exit_code or 0) >= _FIRST_SIGNAL_CODE):
        is_memory = record is not None and record.state is TaskState.OUT_OF_MEMORY
        state = TaskState.OUT_OF_MEMORY if is_memory else TaskState.FAILED
        return _decide(known, sources, record, state, _describe_code(info.exit_code), now)
    return _judge_signal(known, sources, record, info, now)


def _judge_signal(
    known: TaskStatus, sources: Sources, record: ElementRecord | None, info: TaskInfo, now: float
) -> TaskStatus:
    """Judge an end by a signal, whose sender only the scheduler knows."""
    if record is not None and record.state not in (TaskState.COMPLETED, TaskState.FAILED):
        return _decide(known, sources, record, record.state, _describe(record), now)
    if known.is_cancelled:
        return _decide(known, sources, record, TaskState.CANCELLED, "cancelled by `hsm sweep cancel`", now)
    if info.reason == TIME_LIMIT:
        return _decide(known, sources, record, TaskState.TIMED_OUT, TIME_LIMIT, now)
    is_answer_due = sources.accounting.source is not SourceState.ABSENT and record is None
    if is_answer_due and now - max(known.seen_at, 0.0) < LOST_SECONDS:
        reason = "it was ended by a signal, and accounting does not say yet whose"
        return replace(known, state=TaskState.UNKNOWN, reason=reason, end=_make_end(known, sources, None))
    return _decide(known, sources, record, TaskState.FAILED, _describe_code(info.exit_code), now)


def _judge_queue(known: TaskStatus, sources: Sources, now: float) -> TaskStatus | None:
    """Judge by the queue; None where it does not know the task."""
    queue, accounting = sources.queue, sources.accounting
    record = queue.record
    if record is None and queue.source is SourceState.ABSENT:
        record = accounting.record if accounting.record and accounting.record.state not in FINAL else None
    if record is None:
        return None
    if record.state in FINAL:  # squeue shows jobs for some minutes after their end
        return _judge_end(known, sources, record, now)
    state, reason = record.state, _clean_reason(record.reason)
    if state is TaskState.UNKNOWN:
        reason = f"the scheduler says {record.word}"
    elif state is TaskState.RUNNING:
        has_begun = sources.info is not None or not sources.is_packed
        state, reason = (TaskState.RUNNING, "") if has_begun else (TaskState.PENDING, "its turn in its job will come")
    end = _make_end(known, sources, record) if state is not TaskState.PENDING else TaskEnd(job_id=record.job_id)
    return replace(known, state=state, reason=reason, end=end, seen_at=now)


def _judge_end(known: TaskStatus, sources: Sources, record: ElementRecord | None, now: float) -> TaskStatus | None:
    """Judge by the record of an element that has ended; None where it does not hold."""
    if record is None or not _is_of_attempt(record, known, sources):
        return None
    if record.state is TaskState.UNKNOWN:
        return replace(known, state=TaskState.UNKNOWN, reason=f"accounting says {record.word}", seen_at=now)
    if record.state not in FINAL:
        return None  # accounting lags behind the queue
    if sources.queue.is_silent and record.state in _MAY_COME_BACK:
        return None  # the scheduler may have put it into the queue again
    state = record.state
    if known.is_cancelled and state is not TaskState.COMPLETED:
        state = TaskState.CANCELLED
    return _decide(known, sources, record, state, _describe(record), now)


def _judge_silence(known: TaskStatus, sources: Sources, now: float) -> TaskStatus:
    """Judge a task that no source knows: it is gone only where all could be asked, and after a while."""
    for sighting in (sources.queue, sources.accounting):
        if sighting.is_silent:
            return replace(known, state=TaskState.UNKNOWN, reason=f"could not ask: {sighting.fault or 'no answer'}")
    if known.is_cancelled:
        return _decide(known, sources, None, TaskState.CANCELLED, "cancelled by `hsm sweep cancel`", now)
    if known.state is TaskState.LOST or now - known.seen_at >= LOST_SECONDS:
        return replace(known, state=TaskState.LOST, reason="it is in no queue any more, and nothing says how it ended")
    return replace(known, state=TaskState.UNKNOWN, reason="it is in no queue any more; its end is not known yet")


def _find_end(known: TaskStatus, sources: Sources) -> ElementRecord | None:
    """Find the record of the element's end."""
    for sighting in (sources.accounting, sources.queue):
        record = sighting.record
        if record is not None and record.state in FINAL and _is_of_attempt(record, known, sources):
            return record
    return None


def _is_of_attempt(record: ElementRecord, known: TaskStatus, sources: Sources) -> bool:
    """Tell whether an end is of the newest attempt: accounting may still have the one before its requeue."""
    if known.attempt == sources.first_attempt:  # there was none, and the clocks of nodes may differ
        return True
    return not (record.ended and known.end.started and record.ended < known.end.started)


def _decide(
    known: TaskStatus, sources: Sources, record: ElementRecord | None, state: TaskState, reason: str, now: float
) -> TaskStatus:
    end = _make_end(known, sources, record)
    return replace(known, state=state, reason=reason, end=end, seen_at=now, decided_at=now)


def _make_end(known: TaskStatus, sources: Sources, record: ElementRecord | None) -> TaskEnd:
    """Collect the evidence: the task's own file first, then the scheduler, then what was known."""
    old, info = known.end, sources.info or TaskInfo()
    record = record or ElementRecord(TaskState.UNKNOWN)
    signal = info.signal or (str(record.signal) if record.signal else "") or old.signal
    codes = (info.exit_code, record.exit_code if record.state in FINAL else None, old.exit_code)
    return TaskEnd(
        job_id=record.job_id or info.job_id or old.job_id,
        node=info.node or record.node or old.node,
        exit_code=next((code for code in codes if code is not None), None),
        signal=signal,
        started=record.started or info.started or old.started,
        ended=info.ended or (record.ended if record.state in FINAL else 0.0) or old.ended,
        last_lines=old.last_lines,
    )


def _describe(record: ElementRecord) -> str:
    """Describe an end in the scheduler's words, where its state alone does not say all."""
    reason = _clean_reason(record.reason)
    if record.state is TaskState.FAILED:
        return reason if reason and reason != "NonZeroExitCode" else _describe_code(record.exit_code)
    return reason


def _describe_code(exit_code: int | None) -> str:
    return "" if exit_code is None else f"exit code {exit_code}"


def _clean_reason(reason: str) -> str:
    return "" if reason in _NO_SIGNAL_WORDS else reason
