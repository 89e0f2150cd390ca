"""Terminals that are none, and a name that must not reach one as it is."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

HOSTILE = "run-a\x1b[2J\n\u202e[bold red]x[/bold red]\udcff"
HOSTILE_SHOWN = r"run-a\x1b[2J\n\u202e[bold red]x[/bold red]\xff"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    """Return a function that makes stdout and stderr one terminal of a width."""

    def make(width: int) -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("LINES", "40")
        monkeypatch.setenv("TERM", "xterm-256color")
        return stream

    return make
