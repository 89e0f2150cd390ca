"""Output of `--continuous`: one line that says what it waits for, and the report at its end."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import TextIO

from rich.live import Live
from rich.text import Text

from hsm.cli.render.printer import Printer, make_console
from hsm.cli.render.sync.progress.bars import BarReporter
from hsm.cli.render.sync.progress.lines import LineReporter, write_line
from hsm.cli.render.sync.report import show_report
from hsm.cli.render.terminal import can_draw, never_raise
from hsm.cli.render.words import escape_text, format_count, format_seconds, list_some, name_sweep
from hsm.errors import ExitCode
from hsm.progress import Event, ProblemFound, SilentReporter, StepStarted, TargetEnded, WordUnderstood
from hsm.sync.follow.follow import Watcher
from hsm.sync.follow.judgement import Awaited, CountSource
from hsm.sync.follow.report import FollowedTarget, FollowReport, FollowState, FollowStatus
from hsm.units import format_bytes

LONGEST_SILENCE_SECONDS = 600.0
"""Longest time without a line where there is no terminal."""

_MOST_NAMES = 5
_WHY = {
    CountSource.OPTION: "as --expect says",
    CountSource.COMBINATIONS: "as parameter_combinations.json says",
    CountSource.HYDRA: "as Hydra's own files say",
    CountSource.SCHEDULER: "none of its Slurm jobs is left",
    CountSource.NONE: "no new run came",
}


def make_watcher(*, is_quiet: bool) -> AbstractContextManager[Watcher]:
    """Make what shows on stderr how sweeps are followed.

    In a terminal that is a bar for each target while a pass has something to send, and one line between passes.
    Elsewhere it is a line when something has changed, and at least every ten minutes.

    Args:
        is_quiet: Show nothing.
    """
    if is_quiet:
        return contextlib.nullcontext(_SilentWatcher())
    if can_draw(sys.stderr):
        return _TerminalWatcher()
    return contextlib.nullcontext(LineWatcher(sys.stderr))


class _SilentWatcher(SilentReporter):
    def begin_pass(self, targets: Sequence[str]) -> None:
        """Implements `Watcher`."""

    def show(self, status: FollowStatus) -> None:
        """Implements `Watcher`."""


class _News:
    """Filter of events that were told in an earlier pass."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()
        self._logged_in: set[str] = set()

    def is_news(self, event: Event) -> bool:
        if isinstance(event, ProblemFound):
            key = (event.target, event.problem.kind, event.problem.path)
            is_new = key not in self._told
            self._told.add(key)
            return is_new
        if isinstance(event, StepStarted) and event.name == "login":
            is_first = event.target not in self._logged_in
            self._logged_in.add(event.target)
            return is_first
        if isinstance(event, WordUnderstood):
            key = ("", "", event.said)
            is_new = key not in self._told
            self._told.add(key)
            return is_new
        return True


class LineWatcher:
    """Watcher that writes lines: for log files and pipes, under nohup and in a Slurm job.

    Args:
        stream: Where to.
        clock: Seconds that never go back.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lines = LineReporter(stream, clock=clock)
        self._news = _News()
        self._told = ""
        self._told_at = float("-inf")

    def report(self, event: Event) -> None:
        """See `hsm.progress.Reporter.report`."""
        is_step = isinstance(event, StepStarted) and event.name != "login"
        if not is_step and not isinstance(event, TargetEnded) and self._news.is_news(event):
            self._lines.report(event)

    def begin_pass(self, targets: Sequence[str]) -> None:
        """See `hsm.sync.follow.follow.Watcher.begin_pass`."""

    def show(self, status: FollowStatus) -> None:
        """See `hsm.sync.follow.follow.Watcher.show`."""
        words = describe_status(status, with_times=False)
        now = self._clock()
        if words == self._told and now - self._told_at < LONGEST_SILENCE_SECONDS:
            return
        self._told, self._told_at = words, now
        # A log file on a full disk must not end what is followed.
        with contextlib.suppress(OSError, ValueError):
            write_line(self._stream, f"{time.strftime('%H:%M:%S')} {words}")


class _TerminalWatcher:
    """Watcher that draws bars in a pass, and one line between passes."""

    def __init__(self) -> None:
        self._console = make_console(is_error=True)
        self._news = _News()
        self._stack = ExitStack()
        self._bars: BarReporter | None = None
        self._live: Live | None = None

    def __enter__(self) -> _TerminalWatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with never_raise():
            self._stop()

    def report(self, event: Event) -> None:
        bars = self._bars
        if bars is not None and self._news.is_news(event):
            bars.report(event)

    def begin_pass(self, targets: Sequence[str]) -> None:
        with never_raise():
            self._stop()
            self._bars = self._stack.enter_context(BarReporter(targets))

    def show(self, status: FollowStatus) -> None:
        with never_raise():
            if self._live is None:
                self._stop()
                self._live = Live(
                    console=self._console,
                    auto_refresh=False,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()
            line = Text(escape_text(describe_status(status, with_times=True)))
            line.truncate(max(1, self._console.width - 1), overflow="ellipsis")
            self._live.update(line, refresh=True)

    def _stop(self) -> None:
        live, self._live, self._bars = self._live, None, None
        if live is not None:
            live.stop()
        self._stack.close()


def describe_status(status: FollowStatus, *, with_times: bool) -> str:
    """Return what is waited for, in one line.

    Args:
        status: How everything stands.
        with_times: Also what counts down.
    """
    look = f"next look in {format_seconds(status.next_seconds)}" if with_times and status.next_seconds else ""
    sweeps = [
        f"{name_sweep(sweep)}: {_describe_sweep(awaited, with_times=with_times)}"
        for sweep, awaited in status.sweeps.items()
    ]
    targets = [f"{target.name}: {_describe_target(target, with_times=with_times)}" for target in status.targets]
    return "; ".join(filter(None, [look, *sweeps, *targets]))


def _describe_sweep(awaited: Awaited, *, with_times: bool) -> str:
    n_begun = len(awaited.ended) + len(awaited.open) + len(awaited.died)
    parts = [f"{len(awaited.ended):,} of {format_count(n_begun + awaited.missing, 'run')} ended"]
    if awaited.open:
        parts.append(f"{len(awaited.open):,} going on")
    if awaited.died:
        parts.append(f"{len(awaited.died):,} died")
    if awaited.missing:
        parts.append(f"{awaited.missing:,} {'never began' if awaited.is_over else 'to come'}")
    if not awaited.is_over and awaited.settles_in is not None and not awaited.missing:
        left = f" for {format_seconds(awaited.settles_in)} more" if with_times else ""
        parts.append(f"waiting{left} whether another begins")
    elif not awaited.is_over and not awaited.open and not awaited.missing:
        parts.append("Slurm has more")
    return ", ".join(parts)


def _describe_target(target: FollowedTarget, *, with_times: bool) -> str:
    counts = [f"{target.complete:,} complete", f"{target.pending:,} pending" if target.pending else ""]
    words = ", ".join(filter(None, counts))
    if target.standing in (FollowState.FAILING, FollowState.GIVEN_UP):
        state = target.report.state.value.replace("_", " ") if target.report is not None else "failed"
        again = f", next try in {format_seconds(target.next_seconds)}" if with_times and target.next_seconds else ""
        given_up = ", given up" if target.standing is FollowState.GIVEN_UP else ""
        return f"{words}, {state}{again}{given_up}"
    return words


def show_follow_report(followed: FollowReport, *, verbosity: int, is_quiet: bool) -> None:
    """Print the report at the end on stdout: the last pass at each target, and what all passes came to.

    Args:
        followed: What happened.
        verbosity: As for `show_report`.
        is_quiet: Only what did not end with exit code 0.
    """
    show_report(followed.report, verbosity=verbosity, is_quiet=is_quiet)
    if is_quiet and followed.exit_code is ExitCode.DONE:
        return
    printer = Printer()
    if followed.report.sweeps:
        printer.print()
    passes = format_count(followed.status.n_passes, "pass", "passes")
    sent = f"{format_count(followed.n_files, 'file')}, {format_bytes(followed.n_bytes)}"
    how = "Interrupted after" if followed.is_interrupted else "Followed for"
    printer.print(f"{how} {format_seconds(followed.seconds)}, {passes}: {sent}")
    for sweep, awaited in followed.status.sweeps.items():
        for line in _iter_sweep_lines(awaited):
            printer.print(f"{name_sweep(sweep)}: {line}", indent=2, hang=2)
    for target in followed.status.targets:
        if target.pending or target.standing is FollowState.GIVEN_UP:
            printer.print(f"{target.name}: {_describe_target(target, with_times=False)}", indent=2, hang=2)
    if followed.is_interrupted:
        printer.print_hint("run the same command again: it goes on from there.")


def _iter_sweep_lines(awaited: Awaited) -> Iterator[str]:
    n_begun = len(awaited.ended) + len(awaited.open) + len(awaited.died)
    over = f" ({_WHY[awaited.expected.source]})" if awaited.is_over else ""
    yield f"{len(awaited.ended):,} of {format_count(n_begun + awaited.missing, 'run')} ended{over}"
    for run, why in awaited.died.items():
        yield f"{run} died: {why}"
    if awaited.open:
        yield f"going on: {list_some(list(awaited.open), _MOST_NAMES, 'run')}"
    if awaited.missing:
        yield (
            f"{format_count(awaited.missing, 'run')} never began"
            if awaited.is_over
            else (f"{format_count(awaited.missing, 'run')} still to come")
        )
