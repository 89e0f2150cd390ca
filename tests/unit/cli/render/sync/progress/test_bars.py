"""When bars are drawn, and what is written above them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hsm.cli.render import make_reporter, show_note
from hsm.model import Problem
from hsm.progress import ProblemFound, StepStarted, TargetEnded, TransferMoved, TransferStarted
from tests.unit.cli.render.conftest import HOSTILE, HOSTILE_SHOWN, Terminal


def wait_for(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen")


def test_bars_are_drawn_once_every_login_is_over(terminal: Callable[[int], Terminal]) -> None:
    stream = terminal(100)
    with make_reporter(is_quiet=False, targets=["d", "e"]) as reporter:
        reporter.report(StepStarted("d", "login"))
        reporter.report(StepStarted("e", "login"))
        reporter.report(StepStarted("d", "check"))
        reporter.report(TransferStarted("d", 10, 1000, 2))
        threading.Event().wait(0.3)
        assert stream.getvalue().splitlines() == [
            "d: logging in",
            "e: logging in",
            "d: checking what is there",
            "d: transfer started: 2 runs, 10 files, 1.0 kB",
        ]
        reporter.report(TargetEnded("e", "unreachable"))
        wait_for(lambda: "0/10 files" in stream.getvalue())
        reporter.report(ProblemFound("d", Problem(HOSTILE, "failed", "It did not arrive.")))
        wait_for(lambda: HOSTILE_SHOWN in stream.getvalue())
        reporter.report(StepStarted("d", "login"))
        before = len(stream.getvalue())
        threading.Event().wait(0.3)
        assert len(stream.getvalue()) == before
    assert "\x1b[?25h" in stream.getvalue()


def test_many_events_are_drawn_seldom(terminal: Callable[[int], Terminal]) -> None:
    stream = terminal(100)
    with make_reporter(is_quiet=False, targets=["d"]) as reporter:
        reporter.report(TransferStarted("d", 100_000, 100_000, 2))
        for n in range(20_000):
            reporter.report(TransferMoved("d", n, n, 0))
        wait_for(lambda: "19,999/100,000 files" in stream.getvalue())
    assert stream.getvalue().count("/100,000 files") < 100


def test_a_note_goes_above_the_bars(terminal: Callable[[int], Terminal]) -> None:
    stream = terminal(100)
    with make_reporter(is_quiet=False, targets=["d"]) as reporter:
        reporter.report(TransferStarted("d", 10, 1000, 2))
        wait_for(lambda: "0/10 files" in stream.getvalue())
        show_note("worth knowing")
        before, after = stream.getvalue().split("worth knowing")
        assert before.endswith("\x1b[2K")  # the bar's line is emptied first
        assert "0/10 files" in after  # and drawn again below
