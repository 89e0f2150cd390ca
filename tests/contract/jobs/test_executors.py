"""The contract of executors: what is submitted runs once, is said as it is, and ends when it is cancelled."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from hsm.jobs.base import JobRefusedError, SubmittedJob
from hsm.jobs.chunk import TaskAttempt, make_chunk
from hsm.jobs.model import SourceState
from hsm.jobs.state.values import ExecutorKind, SubmissionState
from hsm.jobs.states import ACTIVE, TaskState
from tests.contract.jobs.conftest import Bench

S = TaskState


def sh(text: str, *words: str) -> list[str]:
    return ["/bin/sh", "-c", text, "task", *words]


def test_tasks_run_once_and_end_as_they_end(bench: Bench) -> None:
    bench.prepare([sh(f"echo run; echo oops {n} >&2; exit {n % 3}") for n in range(1, 7)])
    submitted = bench.submit(range(1, 7), parallel=3)
    assert (submitted.error, submitted.n_tasks, len(submitted.jobs)) == (None, 6, 1)
    found = bench.wait_for_end()
    for number, status in found.items():
        assert status.state is (S.FAILED if number % 3 else S.COMPLETED)
        assert status.end.exit_code == number % 3
        assert status.end.node
        assert status.end.job_id
        assert status.end.last_lines == ((f"oops {number}",) if number % 3 else ())
        assert (bench.folder.logs / f"task_{number}.1.out").read_text() == "run\n"


def test_any_choice_of_tasks_is_a_new_attempt(bench: Bench) -> None:
    bench.prepare([sh('echo "$HSM_TASK $HSM_ATTEMPT"; test $HSM_ATTEMPT = 2')] * 5)
    bench.submit([2, 4, 5], parallel=4)
    bench.wait(lambda found: all(found[n].state is S.FAILED for n in (2, 4, 5)))
    submitted = bench.submit([1, 2, 5], parallel=4)
    assert [job.chunk.tasks for job in submitted.jobs] == [(TaskAttempt(1, 1), TaskAttempt(2, 2), TaskAttempt(5, 2))]
    found = bench.wait(lambda found: all(found[n].state in (S.FAILED, S.COMPLETED) for n in (1, 2, 4, 5)))
    assert {n: status.state for n, status in found.items()} == {
        1: S.FAILED, 2: S.COMPLETED, 3: S.PREPARED, 4: S.FAILED, 5: S.COMPLETED,
    }  # fmt: skip
    assert (bench.folder.logs / "task_5.2.out").read_text() == "5 2\n"
    assert bench.store.load().tasks[5].earlier[0].state is S.FAILED


def test_what_is_active_is_said_and_not_submitted_again(bench: Bench) -> None:
    bench.prepare([sh("sleep 300")] * 3)
    bench.submit([1, 2], parallel=1)
    found = bench.wait(lambda found: found[1].state is S.RUNNING)
    assert found[2].state is S.PENDING
    assert bench.submit([1, 2]).skipped == (1, 2)
    job = bench.store.load().submissions[0].job
    sightings = bench.executor.observe([job])
    assert sightings.queue.source is SourceState.ANSWERED
    assert {record.state for record in sightings.queue.records.values()} <= ACTIVE
    bench.executor.cancel([job], [element for _, element in job.chunk.iter_elements()])


def test_cancel(bench: Bench) -> None:
    bench.prepare([sh("sleep 300"), sh("sleep 300"), sh("true")])
    bench.submit([1, 2, 3], parallel=1)
    bench.wait(lambda found: found[1].state is S.RUNNING)
    with bench.store.change() as state:
        for number in (1, 2):
            state.set_status(number, replace(state.get_status(number), is_cancelled=True))
    (bench.folder.own / "cancelled").write_text("1 1\n2 1\n")
    job = bench.store.load().submissions[0].job
    elements = [element for task, element in job.chunk.iter_elements() if task.number in (1, 2)]
    for _ in range(2):
        bench.executor.cancel([job], elements)
    found = bench.wait_for_end()
    assert {n: status.state for n, status in found.items()} == {1: S.CANCELLED, 2: S.CANCELLED, 3: S.COMPLETED}
    bench.executor.cancel([job], elements)


def test_find_knows_what_was_submitted_and_nothing_else(bench: Bench) -> None:
    bench.prepare([sh("sleep 300")] * 2)
    bench.submit([1])
    submitted = bench.store.load().submissions[0].job
    other = SubmittedJob(make_chunk(bench.sweep.sweep, 9, [TaskAttempt(2, 1)]), submitted.folder, time.time())
    twin = SubmittedJob(replace(submitted.chunk, key="f" * 16), submitted.folder + "2", time.time())
    jobs = [replace(submitted, job_id=""), other]
    found = bench.executor.find(jobs)
    assert found.source is SourceState.ANSWERED
    assert found.job_ids == {submitted.chunk.key: submitted.job_id}
    assert bench.executor.find([twin]).job_ids == {}
    bench.executor.cancel([submitted], [element for _, element in submitted.chunk.iter_elements()])


def test_a_job_whose_answer_was_lost_is_taken_up(bench: Bench) -> None:
    bench.prepare([sh("echo run")])
    bench.submit([1])
    with bench.store.change() as state:
        forgotten = replace(state.submissions[0], state=SubmissionState.ASKED)
        state.submissions[0] = replace(forgotten, job=replace(forgotten.job, job_id=""))
        state.set_status(1, replace(state.get_status(1), state=S.UNKNOWN))
    assert bench.submit([1]).skipped == (1,)
    assert bench.wait_for_end()[1].state is S.COMPLETED
    assert (bench.folder.logs / "task_1.1.out").read_text() == "run\n"
    assert bench.store.load().submissions[0].job.job_id


def test_a_chunk_that_was_never_submitted_is_given_up_after_two_good_answers(bench: Bench) -> None:
    from hsm.jobs.state.values import Submission
    from hsm.jobs.tracker import observe_tasks

    bench.prepare([sh("true")])
    now = time.time()
    with bench.store.change() as state:
        chunk = make_chunk(state.sweep, 1, state.make_attempts([1]))
        state.begin(Submission(SubmittedJob(chunk, str(bench.folder.folder), now), bench.kind), now)
    assert bench.observe_tasks()[1].state is S.UNKNOWN
    state, _ = observe_tasks(bench.tracked, clock=lambda: now + 30)
    assert state.get_status(1).state is S.UNKNOWN
    state, _ = observe_tasks(bench.tracked, clock=lambda: now + 130)
    assert state.get_status(1).state is S.PREPARED
    assert bench.submit([1]).error is None
    assert bench.wait_for_end()[1].state is S.COMPLETED


def test_a_refused_chunk_leaves_its_tasks_as_they_were(bench: Bench) -> None:
    bench.prepare([sh("true")])
    wrong = {"gpus": 999} if bench.kind is ExecutorKind.LOCAL else {"partition": "nowhere"}
    submitted = bench.submit([1], resources=wrong)
    assert isinstance(submitted.error, JobRefusedError)
    assert submitted.error.hint
    assert bench.observe_tasks()[1].state is S.PREPARED
    assert bench.executor.find([bench.store.load().submissions[0].job]).job_ids == {}


def test_words_arrive_as_they_are(bench: Bench) -> None:
    words = ["a b", "it's", 'say "hi"', "$(id)", "%j %a", "", "tab\tnew\nline", "*", "-n", "ü", "a,b", "\\", "[1, [2]]"]
    bench.prepare([sh('printf "%s|" "$@"', *words)])
    bench.submit([1])
    assert bench.wait_for_end()[1].state is S.COMPLETED
    assert (bench.folder.logs / "task_1.1.out").read_text() == "".join(f"{word}|" for word in words)


def test_tasks_have_the_surroundings_of_the_caller(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("WANDB_API_KEY", "secret-of-the-test")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "77")
    monkeypatch.setenv("SBATCH_ARRAY_INX", "5-9")
    bench.prepare([sh('echo "$LC_ALL $WANDB_API_KEY $HSM_TASK"')] * 2)
    bench.submit([1, 2])
    bench.wait_for_end()
    assert (bench.folder.logs / "task_2.1.out").read_text() == "C.UTF-8 secret-of-the-test 2\n"
    written = [path for path in bench.folder.folder.rglob("*") if path.is_file() and path.suffix != ".out"]
    assert [path for path in written if b"secret-of-the-test" in path.read_bytes()] == []
