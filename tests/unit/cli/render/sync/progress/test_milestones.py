"""What is told of a sync in a pipe, and what of it is known at each moment."""

from __future__ import annotations

import io

import pytest

from hsm.cli.render.sync.progress.lines import LineReporter
from hsm.cli.render.sync.progress.milestones import TargetProgress
from hsm.model import Problem
from hsm.progress import Event, ProblemFound, StepStarted, TargetEnded, TransferMoved, TransferStarted
from tests.unit.cli.render.conftest import HOSTILE, HOSTILE_SHOWN


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def transfer(*moves: tuple[float, int]) -> list[tuple[float, Event]]:
    """A transfer of 10 files and 1,000 bytes: seconds that pass, and the bytes moved by then."""
    started = TransferStarted("d", 10, 1000, 2)
    return [
        (0.0, started),
        *((seconds, TransferMoved("d", n_bytes // 100, n_bytes, 0)) for seconds, n_bytes in moves),
    ]


STARTED = "d: transfer started: 2 runs, 10 files, 1.0 kB"
MILESTONES = {
    "the steps": (
        [(0.0, StepStarted("d", name)) for name in ("login", "scan", "check", "plan", "transfer", "record")]
        + [(0.0, TargetEnded("d", "nothing_to_do"))],
        ["d: logging in", "d: checking what is there", "d: checked", "d: nothing to do"],
    ),
    "a quick transfer tells its beginning alone": (transfer(*[(0.1, n) for n in range(0, 1001, 50)]), [STARTED]),
    "a tenth each": (
        transfer((5.0, 50), (5.0, 100), (5.0, 150), (5.0, 250)),
        [
            STARTED,
            "d: 10 %: 1 of 10 files, 0.1 of 1.0 kB, 10 B/s, 1:30 left",
            "d: 25 %: 2 of 10 files, 0.2 of 1.0 kB, 15 B/s, 0:50 left",
        ],
    ),
    "half a minute without a tenth": (
        transfer((29.0, 10), (1.0, 20), (29.0, 30)),
        [STARTED, "d: 2 %: 0 of 10 files, 0.0 of 1.0 kB, 1 B/s, 24:30 left"],
    ),
    "the end is told by the target's end": (
        [*transfer((60.0, 1000)), (0.0, TargetEnded("d", "done"))],
        [STARTED, "d: 100 %: 10 of 10 files, 1.0 of 1.0 kB, 17 B/s, 0:00 left", "d: done"],
    ),
    "a problem": (
        [(0.0, ProblemFound("d", Problem(HOSTILE, "failed", "It did not arrive.")))],
        [f"d: {HOSTILE_SHOWN}: It did not arrive."],
    ),
    "many problems": (
        [(0.0, ProblemFound("d", Problem(str(i), "failed", "no"))) for i in range(50)],
        [*[f"d: {i}: no" for i in range(20)], "d: there are more problems; the report has them all"],
    ),
}


@pytest.mark.parametrize(("events", "expected"), MILESTONES.values(), ids=MILESTONES)
def test_milestones(events: list[tuple[float, Event]], expected: list[str]) -> None:
    clock, stream = Clock(), io.StringIO()
    reporter = LineReporter(stream, clock=clock)
    for seconds, event in events:
        clock.now += seconds
        reporter.report(event)
    assert stream.getvalue().splitlines() == expected


def take(*events: Event) -> TargetProgress:
    progress = TargetProgress()
    for event in events:
        progress.take(event)
    return progress


def test_what_has_moved_never_goes_back() -> None:
    progress = take(TransferStarted("d", 10, 1000, 2))
    seen = []
    moves = (500, 300, 5000)
    for n_bytes in moves:
        progress.take(TransferMoved("d", n_bytes // 100, n_bytes, 0))
        seen.append((progress.n_bytes, progress.n_files))
    assert seen == [(500, 5), (500, 5), (1000, 10)]


def test_a_second_sweep_adds_to_the_first() -> None:
    progress = take(
        TransferStarted("d", 10, 1000, 2),
        TransferMoved("d", 6, 600, 0),
        TargetEnded("d", "partial"),
        TransferStarted("d", 5, 400, 1),
        TransferMoved("d", 1, 100, 0),
    )
    assert (progress.n_bytes, progress.total_bytes) == (700, 1000)
    assert (progress.n_files, progress.total_files, progress.total_runs) == (7, 11, 3)
    assert progress.fraction == 0.25
