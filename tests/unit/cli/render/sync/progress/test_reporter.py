"""What shows progress, and that it never ends the work."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from hsm.cli.render import make_reporter
from hsm.cli.render.sync.progress.bars import BarReporter
from hsm.cli.render.sync.progress.lines import LineReporter
from hsm.progress import SilentReporter, StepStarted, TargetEnded, TransferMoved
from tests.unit.cli.render.conftest import Terminal


def test_reporters_by_stream(monkeypatch: pytest.MonkeyPatch, terminal: Callable[[int], Terminal]) -> None:
    with make_reporter(is_quiet=False, targets=["d"]) as reporter:
        assert isinstance(reporter, LineReporter)
    terminal(80)
    with make_reporter(is_quiet=True, targets=["d"]) as reporter:
        assert isinstance(reporter, SilentReporter)
    with make_reporter(is_quiet=False, targets=["d"]) as reporter:
        assert isinstance(reporter, BarReporter)
    monkeypatch.setenv("TERM", "dumb")
    with make_reporter(is_quiet=False, targets=["d"]) as reporter:
        assert isinstance(reporter, LineReporter)


class Closed(Terminal):
    """A terminal that has gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise OSError


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_reporter_never_raises(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Closed())
    monkeypatch.setenv("TERM", term)
    with make_reporter(is_quiet=False, targets=["d"]) as reporter:
        for event in (
            StepStarted("d", "login"),
            StepStarted("other", "check"),
            TransferMoved("d", 9, 9, 0),
            TargetEnded("d", "done"),
        ):
            reporter.report(event)
