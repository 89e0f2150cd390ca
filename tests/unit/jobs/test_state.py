"""The state of a sweep: what is recorded of submissions and attempts, and the file it is kept in."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import HsmError
from hsm.jobs.base import SubmittedJob
from hsm.jobs.chunk import Chunk, TaskAttempt, cut_tasks, format_indices, make_chunk, make_job_name, parse_indices
from hsm.jobs.model import Element, TaskEnd, TaskStatus
from hsm.jobs.state.document import make_state_document, parse_state_document
from hsm.jobs.state.store import BadStateError, StateStore
from hsm.jobs.state.values import ExecutorKind, Submission, SubmissionState, SweepState
from hsm.jobs.states import TaskState
from hsm.prepared_sweep.folder import PreparedFolder

NOW = 1_000_000.0
FAILED = TaskStatus(TaskState.FAILED, "exit code 1", 1, TaskEnd("7_1", "n1", 1, last_lines=("oops",)), NOW, NOW)


def make_submission(*tasks: tuple[int, int], chunk: int = 1, per_job: int = 1) -> Submission:
    made = make_chunk("s", chunk, [TaskAttempt(*task) for task in tasks], per_job=per_job)
    return Submission(SubmittedJob(made, "/p/sweeps/outputs/s", NOW), ExecutorKind.SLURM)


def test_a_submission_is_unknown_until_its_answer() -> None:
    state = SweepState("s")
    submission = make_submission((1, 1), (2, 1))
    state.begin(submission, NOW)
    assert [status.state for _, status in state.iter_states(3)] == [S.UNKNOWN, S.UNKNOWN, S.PREPARED]
    state.accept(submission.key, "7", NOW)
    assert [status.state for _, status in state.iter_states(3)] == [S.PENDING, S.PENDING, S.PREPARED]
    assert state.submissions[0].job.job_id == "7"


S = TaskState


def test_what_was_not_submitted_is_as_before() -> None:
    state = SweepState("s")
    first = make_submission((1, 1))
    state.begin(first, NOW)
    state.accept(first.key, "7", NOW)
    state.set_status(1, FAILED)
    second = make_submission((1, 2), (2, 1), chunk=2)
    state.begin(second, NOW)
    state.withdraw(second.key, SubmissionState.REFUSED)
    assert state.get_status(1) == FAILED
    assert state.get_status(2) == TaskStatus()
    assert state.find_owners()[1].submission.key == first.key
    assert state.next_chunk == 3


def test_attempts_add_up() -> None:
    state = SweepState("s")
    for attempt in (1, 2, 3):
        submission = make_submission((4, attempt), chunk=attempt)
        assert state.make_attempts([4]) == [TaskAttempt(4, attempt)]
        state.begin(submission, NOW)
        state.accept(submission.key, str(attempt), NOW)
        state.set_status(4, replace(FAILED, attempt=attempt))
    assert [status.attempt for status in state.tasks[4].earlier] == [1, 2]
    assert state.get_status(4).attempt == 3
    assert state.find_owners()[4].first_attempt == 3


def test_a_requeue_keeps_the_attempt_before() -> None:
    state = SweepState("s")
    state.begin(make_submission((1, 1)), NOW)
    state.set_status(1, FAILED)
    state.set_status(1, TaskStatus(S.PENDING, attempt=2))
    assert state.tasks[1].earlier == (FAILED,)
    state.set_status(1, TaskStatus(S.RUNNING, attempt=2))
    assert state.tasks[1].earlier == (FAILED,)


def test_elements_of_a_packed_chunk() -> None:
    chunk = make_chunk("s", 1, [TaskAttempt(n, 1) for n in (3, 5, 8)], per_job=2)
    assert [element for _, element in chunk.iter_elements()] == [Element(chunk.key, i) for i in (1, 1, 2)]
    assert chunk.n_elements == 2


def test_document_keeps_everything() -> None:
    state = SweepState("s", "k" * 16, asked_at=NOW)
    state.begin(make_submission((1, 1), (2, 1), per_job=2), NOW)
    state.accept(state.submissions[0].key, "7", NOW)
    state.set_status(1, FAILED)
    state.set_status(1, replace(FAILED, attempt=2, is_cancelled=True, end=TaskEnd(signal="TERM", started=1.5)))
    assert parse_state_document(json.loads(json.dumps(make_state_document(state)))) == state


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"tasks": {"x": {}}}, id="a task without a number"),
        pytest.param({"tasks": {"1": {"state": "sleeping", "attempt": 1}}}, id="a state that does not exist"),
        pytest.param({"tasks": {"1": {"state": "failed", "attempt": True}}}, id="an attempt that is no number"),
        pytest.param({"tasks": [1]}, id="a list"),
        pytest.param({"submissions": [{}]}, id="a submission without anything"),
        pytest.param({"sweep": None}, id="no name"),
    ],
)
def test_a_damaged_state_is_said(tmp_path: Path, damage: dict[str, object]) -> None:
    store = make_store(tmp_path)
    with store.change() as state:
        state.begin(make_submission((1, 1)), NOW)
    path = PreparedFolder(tmp_path).state
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(BadStateError, match="is damaged"):
        store.load()


def make_store(folder: Path) -> StateStore:
    return StateStore(PreparedFolder(folder), "s", "k")


def test_store(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert store.load() == SweepState("s", "k")
    with store.change() as state:
        state.begin(make_submission((1, 1)), NOW)
    assert store.load().get_status(1).state is S.UNKNOWN
    with pytest.raises(HsmError):
        clear_and_fail(store)
    assert store.load().get_status(1).state is S.UNKNOWN


def clear_and_fail(store: StateStore) -> None:
    with store.change() as state:
        state.tasks.clear()
        raise HsmError("no")


def test_a_state_of_another_sweep_of_that_name_is_refused(tmp_path: Path) -> None:
    with make_store(tmp_path).change():
        pass
    with pytest.raises(BadStateError, match="another sweep"):
        StateStore(PreparedFolder(tmp_path), "s", "other").load()


def test_a_state_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with make_store(tmp_path).change():
        pass
    path = PreparedFolder(tmp_path).state
    path.write_text(path.read_text().replace('"schema":1', '"schema":2'))
    with pytest.raises(BadStateError, match="newer than 1"):
        make_store(tmp_path).load()


def add_tasks(folder: str, first: int) -> None:
    for number in range(first, first + 10):
        with make_store(Path(folder)).change() as state:
            state.begin(make_submission((number, 1), chunk=number), NOW)


def test_two_calls_lose_nothing_of_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add_tasks, args=(str(tmp_path), first)) for first in (1, 11)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(make_store(tmp_path).load().tasks) == list(range(1, 21))


@pytest.mark.parametrize(
    ("sweep", "name"),
    [
        ("sweep_20261130_041000", "sweep_20261130_041000.2.1"),
        ("lr,bs 1", "lr_bs_1-"),
        ("../x|y", "_x_y-"),
        ("-rf", "rf-"),
        ("ü" * 300, "_" * 128 + "-"),
        (".", "_-"),
    ],
)
def test_job_names_are_plain_and_short(sweep: str, name: str) -> None:
    made = make_job_name(sweep, 2, 1)
    assert made.startswith(name)
    assert made.endswith(".2.1")
    assert len(made) < 160
    assert not set(made) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def test_names_of_unlike_sweeps_are_unlike() -> None:
    assert len({make_job_name(sweep, 1, 1) for sweep in ("a b", "a,b", "a_b", "a|b")}) == 4


def test_cut() -> None:
    tasks = [TaskAttempt(n, 1) for n in range(1, 8)]
    assert [len(part) for part in cut_tasks(tasks, 3, 1)] == [3, 3, 1]
    assert [len(part) for part in cut_tasks(tasks, 2, 2)] == [4, 3]
    assert cut_tasks([], 3, 1) == []


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60))
def test_indices_come_back(indices: list[int]) -> None:
    assert parse_indices(format_indices(indices)) == sorted(set(indices))


@pytest.mark.parametrize(
    ("text", "indices"), [("3-5%2", [3, 4, 5]), ("0-8:4", [0, 4, 8]), ("7", [7]), ("1-2,9%1", [1, 2, 9])]
)
def test_indices_as_slurm_writes_them(text: str, indices: list[int]) -> None:
    assert parse_indices(text) == indices


@pytest.mark.parametrize("text", ["", "N/A", "1-", "-1", "1-99999999999", "5-3", "1,...", "0x1"])
def test_other_texts_are_no_indices(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int's own
        parse_indices(text)


def test_a_chunk_has_a_key_of_its_own() -> None:
    one, two = make_chunk("s", 1, []), make_chunk("s", 1, [])
    assert one.key != two.key
    assert isinstance(one, Chunk)
