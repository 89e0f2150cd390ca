"""Choice of what shows the progress of a sync: bars in a terminal, lines in a pipe, nothing with `-q`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from hsm.cli.render.sync.progress.lines import LineReporter
from hsm.cli.render.terminal import can_draw
from hsm.progress import Reporter, SilentReporter


def make_reporter(*, is_quiet: bool, targets: Sequence[str]) -> AbstractContextManager[Reporter]:
    """Make what shows progress on stderr while the context lasts.

    In a terminal it draws bars, which are gone at the end. Until every target has passed its login nothing is
    drawn, because ssh may be asking for a password there.

    Args:
        is_quiet: Show nothing.
        targets: Names of all targets, in the order of their rows.
    """
    if is_quiet:
        return nullcontext(SilentReporter())
    if can_draw(sys.stderr):
        from hsm.cli.render.sync.progress.bars import BarReporter

        return BarReporter(targets)
    return nullcontext(LineReporter(sys.stderr))
