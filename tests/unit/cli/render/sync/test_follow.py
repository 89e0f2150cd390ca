"""What is said while a sweep is followed, and how often."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from hsm.cli.render.sync.follow import LONGEST_SILENCE_SECONDS, LineWatcher, describe_status
from hsm.errors import ExitCode, UnreachableError
from hsm.model import Problem
from hsm.progress import ProblemFound, StepStarted, TargetEnded, TransferStarted
from hsm.sync.follow.judgement import Awaited, CountSource, Expected
from hsm.sync.follow.report import FollowedTarget, FollowReport, FollowState, FollowStatus, make_follow_document
from hsm.sync.reports import State, SyncReport, TargetReport

AWAY = TargetReport("hpc", State.UNREACHABLE, ExitCode.UNREACHABLE, UnreachableError("away", kind="x"))
HPC = FollowedTarget("hpc", FollowState.FOLLOWED, complete=2, pending=1)
RUNNING = Awaited(Expected(CountSource.COMBINATIONS, 9), ("a", "b", "c"), ("d", "e"), {"f": "why"}, missing=3)


def make_status(awaited: Awaited = RUNNING, target: FollowedTarget = HPC, *, seconds: float = 42.0) -> FollowStatus:
    return FollowStatus({"sweep_1": awaited}, (target,), 7, seconds)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (make_status(), "sweep_1: 3 of 9 runs ended, 2 going on, 1 died, 3 to come; hpc: 2 complete, 1 pending"),
        (
            make_status(Awaited(ended=("a",), settles_in=700)),
            "sweep_1: 1 of 1 run ended, waiting whether another begins; hpc: 2 complete, 1 pending",
        ),
        (
            make_status(Awaited(Expected(CountSource.SCHEDULER), ("a",))),
            "sweep_1: 1 of 1 run ended, Slurm has more; hpc: 2 complete, 1 pending",
        ),
        (
            make_status(Awaited(RUNNING.expected, ("a",), missing=1, is_over=True)),
            "sweep_1: 1 of 2 runs ended, 1 never began; hpc: 2 complete, 1 pending",
        ),
        (
            make_status(target=FollowedTarget("hpc", FollowState.FAILING, AWAY, 2, 240.0)),
            "sweep_1: 3 of 9 runs ended, 2 going on, 1 died, 3 to come; hpc: 0 complete, unreachable",
        ),
    ],
)
def test_what_it_waits_for_is_said(status: FollowStatus, words: str) -> None:
    assert describe_status(status, with_times=False) == words


def test_a_terminal_counts_down() -> None:
    target = FollowedTarget("hpc", FollowState.FAILING, AWAY, 2, 240.0)
    words = describe_status(make_status(Awaited(ended=("a",), settles_in=700), target), with_times=True)
    assert words == (
        "next look in 42 s; sweep_1: 1 of 1 run ended, waiting for 11 min 40 s more whether another begins; "
        "hpc: 0 complete, unreachable, next try in 4 min 00 s"
    )


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_when_something_changes_and_now_and_then() -> None:
    stream, clock = io.StringIO(), Clock()
    watcher = LineWatcher(stream, clock=clock)
    for seconds in (0.0, 60.0, LONGEST_SILENCE_SECONDS - 1):
        clock.now = seconds
        watcher.show(make_status(seconds=seconds))
    assert stream.getvalue().count("\n") == 1
    clock.now = LONGEST_SILENCE_SECONDS
    watcher.show(make_status())
    assert stream.getvalue().count("\n") == 2
    watcher.show(make_status(Awaited(ended=("a",))))
    assert stream.getvalue().count("\n") == 3


def test_a_pass_without_news_says_nothing() -> None:
    stream = io.StringIO()
    watcher = LineWatcher(stream)
    for _ in range(3):
        for name in ("login", "scan", "check", "plan"):
            watcher.report(StepStarted("hpc", name))
        watcher.report(ProblemFound("hpc", Problem("a", "kind", "is bad")))
        watcher.report(TargetEnded("hpc", "partial"))
    watcher.report(TransferStarted("hpc", 1, 5, 1))
    assert stream.getvalue().splitlines() == [
        "hpc: logging in",
        "hpc: a: is bad",
        "hpc: transfer started: 1 run, 1 file, 5 B",
    ]


def test_names_are_escaped() -> None:
    stream = io.StringIO()
    LineWatcher(stream).show(FollowStatus({"s\x1b[2J": Awaited()}, (HPC,)))
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("missing", "pending", "is_interrupted", "code"),
    [
        pytest.param(0, 0, False, ExitCode.DONE, id="all there"),
        pytest.param(1, 0, False, ExitCode.PARTIAL, id="one never began"),
        pytest.param(0, 1, False, ExitCode.PARTIAL, id="one is not complete there"),
        pytest.param(1, 1, True, ExitCode.INTERRUPTED, id="interrupted"),
    ],
)
def test_the_document_has_the_code_of_the_whole(
    missing: int, pending: int, is_interrupted: bool, code: ExitCode
) -> None:
    status = make_status(Awaited(died={"f": "why"}, missing=missing))
    status = replace(status, targets=tuple(replace(target, pending=pending) for target in status.targets))
    report = FollowReport(SyncReport("sync to", "push", is_dry_run=False), status, 1.0, is_interrupted=is_interrupted)
    document = make_follow_document(report, with_plan=False)
    assert (document["exit_code"], document["command"]) == (int(code), "sync to")
    follow = document["follow"]
    assert isinstance(follow, dict)
    assert follow["sweeps"][0]["died"] == [{"run": "f", "why": "why"}]
