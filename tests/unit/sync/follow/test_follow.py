"""What a followed sweep waits for: the rules, without a look at anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.discover.combinations import parse_combinations
from hsm.errors import UsageError
from hsm.model import PlanItem, Reason, Root, Run, RunState, SourceFile, SyncPlan
from hsm.plan.choice import RunChoice
from hsm.process.runner import Completed
from hsm.sync.follow.follow import FollowOptions, check_has_end
from hsm.sync.follow.judgement import (
    Awaited,
    CountSource,
    Expected,
    FollowLimits,
    Queue,
    RunView,
    choose_expected,
    judge,
    make_views,
)
from hsm.sync.follow.scheduler import parse_queue
from hsm.sync.follow.targets import make_pause
from hsm.sync.request import SyncRequest
from hsm.wandb_log.slurm_job import SlurmJob, parse_slurm_job
from tests.unit.wandb_log import log_writer as w

NOW = 2_000_000 * 10**9
MINUTE, HOUR = 60, 3600
TASK = SlurmJob("4242", "4200", "3")
N = Expected(CountSource.COMBINATIONS, 2)


def make_view(
    name: str,
    state: RunState = RunState.FINISHED,
    *,
    at_rest: bool = True,
    age: float = HOUR,
    job: SlurmJob | None = None,
    id: str = "",  # noqa: A002 - wandb calls it so
) -> RunView:
    run = Run(name, "/p/wandb", f"run-{id or name}.wandb", state, at_rest=at_rest)
    return RunView(run, NOW - int(age * 1e9), "hpc", job)


def look(
    *views: RunView, expected: Expected = N, queue: Queue | None = None, quiet: float = HOUR, **patience: Any
) -> Awaited:
    return judge(
        {view.run.name: view for view in views},
        expected=expected,
        patience=FollowLimits(**patience),
        queues={"hpc": queue} if queue is not None else {},
        now_ns=NOW,
        begun_ns=NOW - int(quiet * 1e9),
        changed_ns=NOW - int(quiet * 1e9),
    )


UNKNOWN, RUNNING, FAILED = RunState.UNKNOWN, RunState.RUNNING, RunState.FAILED
SCHEDULER = Expected(CountSource.SCHEDULER)
GONE = Queue(frozenset({"4242", "4200"}))
ALIVE = Queue(frozenset({"4242", "4200"}), frozenset({"4200", "4242", "4200_3"}))
OTHER_TASK = Queue(frozenset({"4242", "4200"}), frozenset({"4200", "4243", "4200_4"}))


@pytest.mark.parametrize(
    ("found", "is_over", "counts"),
    [
        pytest.param(look(make_view("a"), make_view("b", FAILED)), True, (2, 0, 0, 0), id="all-ended"),
        pytest.param(look(make_view("a"), make_view("b", at_rest=False)), False, (1, 1, 0, 0), id="moments-ago"),
        pytest.param(look(make_view("a"), make_view("b", RUNNING)), False, (1, 1, 0, 0), id="running"),
        pytest.param(look(make_view("a"), make_view("b", UNKNOWN)), False, (1, 1, 0, 0), id="silent-not-stale"),
        pytest.param(look(make_view("a"), make_view("b", UNKNOWN, age=6 * HOUR)), True, (1, 0, 1, 0), id="stale"),
        pytest.param(
            look(make_view("a"), make_view("b", UNKNOWN, age=30), stale_seconds=20), True, (1, 0, 1, 0), id="stale-20s"
        ),
        pytest.param(look(make_view("a")), False, (1, 0, 0, 1), id="one-to-come"),
        pytest.param(look(make_view("a"), quiet=6 * HOUR), True, (1, 0, 0, 1), id="never-began"),
        pytest.param(look(make_view("a"), make_view("b"), make_view("c")), True, (3, 0, 0, 0), id="more-than-expected"),
        pytest.param(
            look(make_view("run-1-x", UNKNOWN, id="x"), make_view("offline-run-2-x", id="x"), make_view("b")),
            True,
            (2, 0, 0, 0),
            id="resumed-in-a-later-folder",
        ),
        pytest.param(
            look(make_view("run-2-x", UNKNOWN, id="x"), make_view("run-1-x", id="x"), make_view("b")),
            False,
            (2, 1, 0, 0),
            id="an-earlier-folder-does-not-count",
        ),
        pytest.param(look(expected=Expected(), quiet=29 * MINUTE), False, (0, 0, 0, 0), id="not-settled"),
        pytest.param(look(expected=Expected(), quiet=30 * MINUTE), True, (0, 0, 0, 0), id="settled"),
        pytest.param(
            look(make_view("a", RUNNING), expected=Expected(), quiet=HOUR),
            False,
            (0, 1, 0, 0),
            id="settled-but-running",
        ),
        pytest.param(
            look(make_view("a", UNKNOWN, job=TASK), expected=SCHEDULER, queue=GONE), True, (0, 0, 1, 0), id="job-gone"
        ),
        pytest.param(
            look(make_view("a", UNKNOWN, job=TASK), expected=SCHEDULER, queue=ALIVE),
            False,
            (0, 1, 0, 0),
            id="job-alive",
        ),
        pytest.param(
            look(make_view("a", UNKNOWN, job=TASK), expected=SCHEDULER, queue=OTHER_TASK),
            False,
            (0, 0, 1, 0),
            id="task-gone-array-not",
        ),
        pytest.param(
            look(make_view("a", RUNNING, job=TASK), expected=SCHEDULER, queue=GONE),
            False,
            (0, 1, 0, 0),
            id="job-gone-but-its-log-moves",
        ),
        pytest.param(
            look(make_view("a", UNKNOWN, job=TASK), expected=SCHEDULER, queue=Queue()),
            False,
            (0, 1, 0, 0),
            id="slurm-does-not-answer",
        ),
        pytest.param(look(make_view("a", job=TASK), queue=GONE), True, (1, 0, 0, 1), id="none-comes-the-array-is-gone"),
        pytest.param(look(make_view("a", job=TASK), queue=GONE, quiet=59), False, (1, 0, 0, 1), id="file-systems-lag"),
        pytest.param(look(make_view("a", job=TASK), queue=ALIVE), False, (1, 0, 0, 1), id="the-array-has-more"),
    ],
)
def test_what_is_waited_for(found: Awaited, is_over: bool, counts: tuple[int, ...]) -> None:
    assert (len(found.ended), len(found.open), len(found.died), found.missing) == counts
    assert found.is_over is is_over


def test_what_never_comes_is_waited_for_from_the_beginning_of_the_call() -> None:
    found = judge(
        {},
        expected=Expected(),
        patience=FollowLimits(),
        queues={},
        now_ns=NOW,
        begun_ns=NOW - 60 * 10**9,
        changed_ns=NOW - 10**15,
    )
    assert (found.is_over, found.settles_in) == (False, 29 * 60)


def test_the_command_line_says_more_than_the_list_and_that_more_than_slurm() -> None:
    views = {"a": make_view("a", job=TASK)}
    assert choose_expected(FollowLimits(expect=7), 3, views) == Expected(CountSource.OPTION, 7)
    assert choose_expected(FollowLimits(), 3, views) == Expected(CountSource.COMBINATIONS, 3)
    assert choose_expected(FollowLimits(), None, views) == Expected(CountSource.SCHEDULER)
    assert choose_expected(FollowLimits(), None, {"a": make_view("a", job=SlurmJob("5"))}) == Expected()


def test_the_newest_file_of_a_run_tells_when_it_changed() -> None:
    run = Run("r", "/p/wandb", "run-r.wandb")
    files = [SourceFile(Root.WANDB, f"r/{name}", "/p/wandb", 1, time, 1, "r") for name, time in (("a", 5), ("b", 9))]
    (view,) = make_views(SyncPlan("s", (run,), tuple(PlanItem(file, Reason.SAME) for file in files)), "t").values()
    assert (view.newest_ns, view.target, view.run) == (9, "t", run)


@pytest.mark.parametrize(
    ("content", "n"),
    [
        ([{"task": 1}, {"task": 2}], 2),
        ([{"index": 1, "params": {}}], 1),
        ({"combinations": [1, 2, 3], "n": 3}, 3),
        ({"parameter_combinations": [1, 2]}, 2),
        ({"learning_rate": [1, 2]}, None),
        ([], None),
        (3, None),
    ],
)
def test_combinations_are_counted(content: object, n: int | None) -> None:
    assert parse_combinations(json.dumps(content).encode()) == n


@given(st.binary())
def test_any_file_of_combinations_is_read_without_an_error(content: bytes) -> None:
    found = parse_combinations(content)
    assert found is None or found > 0


@pytest.mark.parametrize(
    ("completed", "expected"),
    [
        (Completed(0, b"4242 4200 3\n4200 4200 5\n", b""), {"4242", "4200", "4200_3", "4200_5"}),
        (Completed(0, b"17 17 N/A\n", b""), {"17", "17_N/A"}),
        (Completed(0, b"", b""), set()),
        (Completed(1, b"", b"slurm_load_jobs error: Invalid job id specified\n"), set()),
        (Completed(1, b"", b"slurm_load_jobs error: Unable to contact slurm controller\n"), None),
        (Completed(127, b"", b"sh: squeue: not found"), None),
    ],
)
def test_the_queue_is_read(completed: Completed, expected: set[str] | None) -> None:
    asked = frozenset({"4200"})
    queue = Queue() if expected is None else Queue(asked, frozenset(expected))
    assert parse_queue(completed, asked) == queue


def write_log(**ids: str) -> bytes:
    environment = b"".join(w.field(27, w.field(1, key) + w.field(2, value)) for key, value in ids.items())
    return w.frame([w.run("r"), w.record(26, environment), w.record(26, w.field(16, 2)), w.history({"a": 1}, 1)])


@pytest.mark.parametrize(
    ("ids", "job"),
    [
        ({"job_id": "5", "job_name": "train"}, SlurmJob("5")),
        ({"job_id": "5", "array_job_id": "4", "array_task_id": "3"}, SlurmJob("5", "4", "3")),
        ({"job_id": "5", "array_task_id": "3"}, SlurmJob("5")),
        ({"job_id": "5;rm -rf /"}, None),
        ({"array_job_id": "4"}, None),
        ({}, None),
    ],
)
def test_the_job_of_a_run_is_read(ids: dict[str, str], job: SlurmJob | None) -> None:
    assert parse_slurm_job(write_log(**ids)) == job


@given(st.binary(), st.integers(0, 400))
def test_any_log_is_read_without_an_error(noise: bytes, n: int) -> None:
    job = parse_slurm_job(write_log(job_id="5", array_job_id="4")[:n] + noise)
    assert job is None or job.id.isdigit()


def test_pauses_grow_and_end_at_half_an_hour() -> None:
    assert [make_pause(60, n) for n in (0, 1, 2, 3)] == [60, 60, 120, 240]
    assert make_pause(60, 1000) == 1800
    assert make_pause(7200, 5) == 7200


@pytest.mark.parametrize("word", ["loose", "@loose", "--all"])
def test_loose_runs_are_followed_only_to_a_number_or_by_name(word: str) -> None:
    request = SyncRequest((word,), {})
    with pytest.raises(UsageError, match="no end to wait for"):
        check_has_end(request, FollowOptions())
    check_has_end(request, FollowOptions(patience=FollowLimits(expect=3)))
    check_has_end(SyncRequest((word,), {}, choice=RunChoice(names=frozenset({"a"}))), FollowOptions())
    check_has_end(SyncRequest(("exp1",), {}), FollowOptions())
