"""The life of a task: what follows from the queue, the accounting and the task's own file."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.jobs.model import (
    ElementRecord,
    InfoStatus,
    Sighting,
    SourceState,
    TaskEnd,
    TaskInfo,
    TaskStatus,
)
from hsm.jobs.reconcile import LOST_SECONDS, TIME_LIMIT, Sources, reconcile
from hsm.jobs.states import ACTIVE, FINAL, TaskState

NOW = 1_000_000.0
SILENT = Sighting(SourceState.SILENT, fault="squeue did not answer")
NOTHING = Sighting(SourceState.ANSWERED)
ABSENT = Sighting(SourceState.ABSENT)
PENDING = TaskStatus(TaskState.PENDING, attempt=1, seen_at=NOW - 30)
RUNNING = TaskStatus(TaskState.RUNNING, attempt=1, seen_at=NOW - 30)
UNKNOWN = TaskStatus(TaskState.UNKNOWN, attempt=1, seen_at=NOW - 30)
LOST = TaskStatus(TaskState.LOST, attempt=1, seen_at=NOW - 9999)
S = TaskState


def says(state: TaskState, word: str = "", **fields: object) -> Sighting:
    return Sighting(SourceState.ANSWERED, ElementRecord(state, word or state.name, **fields))  # type: ignore[arg-type]


def info(status: str = "", **fields: object) -> TaskInfo:
    return TaskInfo(status=InfoStatus(status), **fields)  # type: ignore[arg-type]


TABLE = [
    # what it was, queue, accounting, file -> state, reason
    ("waits", PENDING, says(S.PENDING, reason="Priority"), NOTHING, None, S.PENDING, "Priority"),
    ("waits without a reason", PENDING, says(S.PENDING, reason="None"), NOTHING, None, S.PENDING, ""),
    ("runs", PENDING, says(S.RUNNING), NOTHING, None, S.RUNNING, ""),
    (
        "active beats accounting after a requeue",
        RUNNING,
        says(S.PENDING),
        says(S.PENDING, "REQUEUED"),
        None,
        S.PENDING,
        "",
    ),
    ("active beats an ended accounting", RUNNING, says(S.RUNNING), says(S.NODE_LOST), None, S.RUNNING, ""),
    ("completes by its file", RUNNING, says(S.RUNNING), NOTHING, info("COMPLETED", exit_code=0), S.COMPLETED, ""),
    ("fails by its file", RUNNING, NOTHING, NOTHING, info("FAILED", exit_code=3), S.FAILED, "exit code 3"),
    ("completes by accounting", RUNNING, NOTHING, says(S.COMPLETED), None, S.COMPLETED, ""),
    ("completes by accounting alone", RUNNING, SILENT, says(S.COMPLETED), None, S.COMPLETED, ""),
    (
        "fails by accounting",
        RUNNING,
        NOTHING,
        says(S.FAILED, reason="NonZeroExitCode", exit_code=2),
        info(),
        S.FAILED,
        "exit code 2",
    ),
    ("times out by accounting", RUNNING, NOTHING, says(S.TIMED_OUT), info(), S.TIMED_OUT, ""),
    (
        "times out, told by a late squeue",
        RUNNING,
        says(S.TIMED_OUT, reason="TimeLimit"),
        ABSENT,
        info(),
        S.TIMED_OUT,
        "TimeLimit",
    ),
    ("its node goes", RUNNING, NOTHING, says(S.NODE_LOST), info(), S.NODE_LOST, ""),
    (
        "its node goes and it may come back",
        RUNNING,
        SILENT,
        says(S.NODE_LOST),
        info(),
        S.UNKNOWN,
        "could not ask: squeue did not answer",
    ),
    (
        "preempted and it may come back",
        RUNNING,
        SILENT,
        says(S.PREEMPTED),
        info(),
        S.UNKNOWN,
        "could not ask: squeue did not answer",
    ),
    ("could not ask", RUNNING, SILENT, NOTHING, info(), S.UNKNOWN, "could not ask: squeue did not answer"),
    (
        "could not ask, accounting as of then",
        RUNNING,
        SILENT,
        says(S.RUNNING),
        info(),
        S.UNKNOWN,
        "could not ask: squeue did not answer",
    ),
    ("could not ask accounting", RUNNING, NOTHING, SILENT, info(), S.UNKNOWN, "could not ask: squeue did not answer"),
    (
        "could never ask",
        replace(RUNNING, seen_at=1.0),
        SILENT,
        SILENT,
        None,
        S.UNKNOWN,
        "could not ask: squeue did not answer",
    ),
    (
        "accounting lags",
        RUNNING,
        NOTHING,
        NOTHING,
        info(),
        S.UNKNOWN,
        "it is in no queue any more; its end is not known yet",
    ),
    (
        "accounting lags with an old row",
        RUNNING,
        NOTHING,
        says(S.RUNNING),
        info(),
        S.UNKNOWN,
        "it is in no queue any more; its end is not known yet",
    ),
    ("an unknown one runs after all", UNKNOWN, says(S.RUNNING), NOTHING, None, S.RUNNING, ""),
    (
        "lost after ten minutes",
        replace(UNKNOWN, seen_at=NOW - LOST_SECONDS),
        NOTHING,
        NOTHING,
        info(),
        S.LOST,
        "it is in no queue any more, and nothing says how it ended",
    ),
    (
        "lost where there is no accounting",
        replace(UNKNOWN, seen_at=NOW - LOST_SECONDS),
        NOTHING,
        ABSENT,
        info(),
        S.LOST,
        "it is in no queue any more, and nothing says how it ended",
    ),
    (
        "a lost one stays so",
        LOST,
        NOTHING,
        NOTHING,
        None,
        S.LOST,
        "it is in no queue any more, and nothing says how it ended",
    ),
    ("a lost one has completed after all", LOST, NOTHING, NOTHING, info("COMPLETED", exit_code=0), S.COMPLETED, ""),
    (
        "a word that HSM does not know",
        RUNNING,
        says(S.UNKNOWN, "HIBERNATING"),
        NOTHING,
        None,
        S.UNKNOWN,
        "the scheduler says HIBERNATING",
    ),
    (
        "such a word of accounting",
        RUNNING,
        NOTHING,
        says(S.UNKNOWN, "HIBERNATED"),
        None,
        S.UNKNOWN,
        "accounting says HIBERNATED",
    ),
    (
        "no accounting, file and queue suffice",
        RUNNING,
        NOTHING,
        ABSENT,
        info("FAILED", exit_code=1),
        S.FAILED,
        "exit code 1",
    ),
    (
        "cancelled by somebody else",
        RUNNING,
        NOTHING,
        says(S.CANCELLED),
        info("FAILED", exit_code=143, signal="TERM"),
        S.CANCELLED,
        "",
    ),
    (
        "cancelled by HSM, no accounting",
        replace(RUNNING, is_cancelled=True),
        NOTHING,
        ABSENT,
        info("FAILED", exit_code=143, signal="TERM"),
        S.CANCELLED,
        "cancelled by `hsm sweep cancel`",
    ),
    (
        "cancelled while it waited, no accounting",
        replace(PENDING, is_cancelled=True),
        NOTHING,
        ABSENT,
        None,
        S.CANCELLED,
        "cancelled by `hsm sweep cancel`",
    ),
    (
        "cancelled too late",
        replace(RUNNING, is_cancelled=True),
        NOTHING,
        NOTHING,
        info("COMPLETED", exit_code=0),
        S.COMPLETED,
        "",
    ),
    (
        "still there although cancelled",
        replace(RUNNING, is_cancelled=True),
        says(S.RUNNING),
        NOTHING,
        None,
        S.RUNNING,
        "",
    ),
    (
        "ended by a signal, accounting lags",
        RUNNING,
        NOTHING,
        NOTHING,
        info("FAILED", exit_code=143, signal="TERM"),
        S.UNKNOWN,
        "it was ended by a signal, and accounting does not say yet whose",
    ),
    (
        "ended by a signal that nobody explains",
        RUNNING,
        NOTHING,
        ABSENT,
        info("FAILED", exit_code=137),
        S.FAILED,
        "exit code 137",
    ),
    (
        "ended at its limit, no accounting",
        RUNNING,
        NOTHING,
        ABSENT,
        info("FAILED", exit_code=143, signal="TERM", reason=TIME_LIMIT),
        S.TIMED_OUT,
        TIME_LIMIT,
    ),
    (
        "ended at its limit, says accounting",
        RUNNING,
        NOTHING,
        says(S.TIMED_OUT),
        info("FAILED", exit_code=143, signal="TERM"),
        S.TIMED_OUT,
        "",
    ),
    (
        "killed for its memory",
        RUNNING,
        NOTHING,
        says(S.OUT_OF_MEMORY),
        info("FAILED", exit_code=137),
        S.OUT_OF_MEMORY,
        "",
    ),
    (
        "killed in part for its memory",
        RUNNING,
        NOTHING,
        says(S.OUT_OF_MEMORY),
        info("FAILED", exit_code=1),
        S.OUT_OF_MEMORY,
        "exit code 1",
    ),
    (
        "segfault",
        RUNNING,
        NOTHING,
        says(S.FAILED, exit_code=139),
        info("FAILED", exit_code=139),
        S.FAILED,
        "exit code 139",
    ),
    ("requeued by itself, queue lags", RUNNING, says(S.RUNNING), NOTHING, info("REQUEUED"), S.RUNNING, ""),
    (
        "requeued by itself",
        RUNNING,
        says(S.PENDING, reason="BeginTime", n_restarts=1),
        says(S.PENDING, "REQUEUED"),
        info("REQUEUED"),
        S.PENDING,
        "BeginTime",
    ),
    ("never submitted", TaskStatus(), says(S.RUNNING), says(S.FAILED), info("FAILED"), S.PREPARED, ""),
]


@pytest.mark.parametrize(
    ("known", "queue", "accounting", "file", "state", "reason"), [pytest.param(*row[1:], id=row[0]) for row in TABLE]
)
def test_life(
    known: TaskStatus, queue: Sighting, accounting: Sighting, file: TaskInfo | None, state: TaskState, reason: str
) -> None:
    found = reconcile(known, Sources(queue, accounting, file), now=NOW)
    assert (found.state, found.reason) == (state, reason)


def test_names_of_the_table_are_their_own() -> None:
    assert len({row[0] for row in TABLE}) == len(TABLE)


def test_evidence_of_an_end() -> None:
    record = says(S.FAILED, job_id="7_3", node="n1", exit_code=2, started=NOW - 60, ended=NOW - 5)
    found = reconcile(RUNNING, Sources(NOTHING, record), now=NOW)
    assert found.end == TaskEnd("7_3", "n1", 2, "", NOW - 60, NOW - 5)
    assert found.decided_at == NOW


def test_evidence_of_the_file_counts_first() -> None:
    record = says(S.FAILED, job_id="7_3", node="n[1-2]", exit_code=1, started=NOW - 60, ended=NOW - 5)
    file = info("FAILED", node="n2", exit_code=9, started=NOW - 58, ended=NOW - 6)
    found = reconcile(RUNNING, Sources(NOTHING, record, file), now=NOW)
    assert found.end == TaskEnd("7_3", "n2", 9, "", NOW - 60, NOW - 6)


def test_what_was_known_of_a_running_task_stays_when_it_cannot_be_asked() -> None:
    known = replace(RUNNING, end=TaskEnd("7_3", "n1", started=NOW - 60))
    found = reconcile(known, Sources(SILENT, SILENT), now=NOW)
    assert (found.end, found.seen_at) == (known.end, known.seen_at)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_file_of_an_earlier_attempt_says_nothing(attempt: int) -> None:
    known = replace(PENDING, attempt=2)
    file = info("FAILED", attempt=attempt, exit_code=1)
    found = reconcile(known, Sources(says(S.PENDING), NOTHING, file, first_attempt=2), now=NOW)
    assert found.state is (S.FAILED if attempt == 2 else S.PENDING)


def test_a_requeue_begins_a_new_attempt() -> None:
    known = TaskStatus(S.NODE_LOST, attempt=1, seen_at=NOW - 200, decided_at=NOW - 200, end=TaskEnd("7_1", "n1"))
    found = reconcile(known, Sources(says(S.PENDING, n_restarts=1, job_id="7_1"), NOTHING), now=NOW)
    assert (found.state, found.attempt, found.end) == (S.PENDING, 2, TaskEnd("7_1"))


def test_the_end_before_a_requeue_is_not_taken_for_the_one_after() -> None:
    known = TaskStatus(S.RUNNING, attempt=2, seen_at=NOW - 20, end=TaskEnd("7_1", "n2", started=NOW - 100))
    old = says(S.NODE_LOST, started=NOW - 500, ended=NOW - 300)
    assert reconcile(known, Sources(NOTHING, old), now=NOW).state is S.UNKNOWN
    new = says(S.FAILED, started=NOW - 100, ended=NOW - 10)
    assert reconcile(known, Sources(NOTHING, new), now=NOW).state is S.FAILED


def test_a_clock_that_is_off_hides_no_end() -> None:
    known = replace(RUNNING, end=TaskEnd(started=NOW + 3600))
    assert reconcile(known, Sources(NOTHING, says(S.TIMED_OUT, ended=NOW - 5)), now=NOW).state is S.TIMED_OUT


def test_a_task_of_a_packed_element_waits_for_its_turn() -> None:
    running = says(S.RUNNING)
    assert reconcile(PENDING, Sources(running, NOTHING, None, is_packed=True), now=NOW).state is S.PENDING
    assert reconcile(PENDING, Sources(running, NOTHING, info(), is_packed=True), now=NOW).state is S.RUNNING
    failed = info("FAILED", exit_code=1)
    assert reconcile(PENDING, Sources(running, NOTHING, failed, is_packed=True), now=NOW).state is S.FAILED


def test_a_queue_that_does_not_exist_leaves_accounting_to_say() -> None:
    assert reconcile(PENDING, Sources(ABSENT, says(S.RUNNING)), now=NOW).state is S.RUNNING


times = st.floats(0, 2 * NOW, allow_nan=False)
records = st.builds(
    ElementRecord,
    state=st.sampled_from(TaskState),
    word=st.text(max_size=8),
    reason=st.text(max_size=8),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.integers(0, 64),
    started=times,
    ended=times,
    n_restarts=st.integers(0, 3),
)
sightings = st.builds(Sighting, source=st.just(SourceState.ANSWERED), record=st.none() | records) | st.sampled_from(
    [SILENT, ABSENT, NOTHING]
)
infos = st.none() | st.builds(
    TaskInfo,
    attempt=st.integers(1, 4),
    status=st.sampled_from(InfoStatus),
    exit_code=st.none() | st.integers(0, 255),
    signal=st.sampled_from(["", "TERM"]),
    reason=st.sampled_from(["", TIME_LIMIT]),
    started=times,
    ended=times,
)
sources = st.builds(
    Sources, queue=sightings, accounting=sightings, info=infos, first_attempt=st.integers(1, 3), is_packed=st.booleans()
)
statuses = st.builds(
    TaskStatus,
    state=st.sampled_from(sorted(set(TaskState) - {TaskState.PREPARED})),
    attempt=st.integers(1, 3),
    seen_at=times,
    decided_at=times,
    is_cancelled=st.booleans(),
)


def has_newer_attempt(known: TaskStatus, given_sources: Sources) -> bool:
    record, file = given_sources.queue.record, given_sources.info
    is_requeued = (
        record is not None
        and record.state in ACTIVE
        and given_sources.first_attempt + record.n_restarts > known.attempt
    )
    return is_requeued or (file is not None and file.attempt > known.attempt)


@given(statuses, sources)
def test_a_final_state_changes_by_a_newer_attempt_alone(known: TaskStatus, given_sources: Sources) -> None:
    found = reconcile(known, given_sources, now=NOW)
    if known.state in FINAL and found != known:
        assert found.attempt > known.attempt
        assert has_newer_attempt(known, given_sources)
    if known.state is TaskState.COMPLETED:
        assert found == known


@given(statuses, sources)
def test_looking_twice_says_the_same(known: TaskStatus, given_sources: Sources) -> None:
    once = reconcile(known, given_sources, now=NOW)
    twice = reconcile(once, given_sources, now=NOW)
    assert (twice.state, twice.attempt) == (once.state, once.attempt)


@given(statuses, sources)
def test_attempts_never_go_down(known: TaskStatus, given_sources: Sources) -> None:
    assert reconcile(known, given_sources, now=NOW).attempt >= known.attempt


@given(statuses, sources)
def test_what_could_not_be_asked_is_never_gone(known: TaskStatus, given_sources: Sources) -> None:
    silent = replace(given_sources, queue=SILENT, accounting=SILENT)
    found = reconcile(known, silent, now=NOW)
    if known.state is not TaskState.LOST:
        assert found.state is not TaskState.LOST


@given(statuses, records.filter(lambda record: record.state in ACTIVE), sightings)
def test_an_active_record_beats_accounting(known: TaskStatus, record: ElementRecord, accounting: Sighting) -> None:
    if known.state in FINAL:
        return
    seen = Sources(Sighting(SourceState.ANSWERED, record), accounting)
    assert reconcile(known, seen, now=NOW).state is record.state


@given(statuses, sources)
def test_no_success_without_a_source_that_says_so(known: TaskStatus, given_sources: Sources) -> None:
    found = reconcile(known, given_sources, now=NOW)
    if found.state is TaskState.COMPLETED and known.state is not TaskState.COMPLETED:
        said = [s.record.state for s in (given_sources.queue, given_sources.accounting) if s.record]
        file = given_sources.info
        assert TaskState.COMPLETED in said or (file is not None and file.status is InfoStatus.COMPLETED)


@given(sources)
def test_a_prepared_task_stays_so(given_sources: Sources) -> None:
    assert reconcile(TaskStatus(), given_sources, now=NOW) == TaskStatus()
