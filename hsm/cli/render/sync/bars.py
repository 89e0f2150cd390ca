"""The progress display of a terminal: one row for each target, redrawn ten times a second at most."""

from __future__ import annotations

import locale
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.live import Live
from rich.text import Text

from hsm.cli.render.printer import Part, Printer, lend_console, make_console, take_console_back
from hsm.cli.render.sync.pace import Estimate, Rate
from hsm.cli.render.sync.progress import Milestones, TargetProgress, describe_time_left
from hsm.cli.render.words import escape_text, format_count, format_part
from hsm.progress import Event, ProblemFound, StepStarted, TransferStarted, Waiting
from hsm.units import format_bytes

_REDRAW_SECONDS = 0.1
_GAP = 2
_SHORTEST_BAR, _LONGEST_BAR = 5, 40
_LEAST_WIDTHS = (0, 0, len("999.9 MB/s"), len("59:59 left"), 0)
_LEFT_OUT_FIRST = (4, 2, 3, 1)


class BarRow(NamedTuple):
    """One target's row, ready to be laid out.

    Attributes:
        name: The target's.
        words: The step; empty while a transfer is under way.
        fraction: How much of the bar is full.
        cells: Bytes, files, rate, time left, runs; empty where there is nothing to say.
    """

    name: str
    words: str
    fraction: float = 0.0
    cells: tuple[str, ...] = ()


@dataclass(slots=True)
class TargetRow:
    """What is known of one target's row.

    Attributes:
        progress: What the events told.
        milestones: Makes lines of them.
        rate: Of the present transfer.
        estimate: Of the present transfer.
    """

    progress: TargetProgress = field(default_factory=TargetProgress)
    milestones: Milestones = field(default_factory=Milestones)
    rate: Rate = field(default_factory=Rate)
    estimate: Estimate = field(default_factory=Estimate)

    def take(self, event: Event) -> None:
        """Take one event of this target; a transfer has its own rate, whatever was before."""
        self.progress.take(event)
        if isinstance(event, TransferStarted):
            self.rate, self.estimate = Rate(), Estimate()

    def look(self, now: float) -> None:
        """Note how much has moved by now."""
        if self.progress.is_moving:
            self.rate.add(now, self.progress.n_bytes)
            self.estimate.take(now, self.rate, self.progress.total_bytes - self.progress.n_bytes)


def make_row(name: str, progress: TargetProgress, *, speed: float = 0.0, seconds_left: float | None = None) -> BarRow:
    """Make the row of a target as it stands.

    Numbers are as wide as they will be at the end, so that nothing moves but what they say.

    Args:
        name: The target's.
        progress: What the events told.
        speed: Bytes a second; 0 while it is not known.
        seconds_left: None while it is not known.
    """
    if not progress.is_moving:
        return BarRow(escape_text(name), escape_text(progress.words))
    total = progress.total_bytes
    cells = (
        format_part(progress.n_bytes, total).rjust(len(format_part(total, total))),
        f"{progress.n_files:>{len(f'{progress.total_files:,}')},}/{format_count(progress.total_files, 'file')}",
        f"{format_bytes(speed)}/s" if speed > 0 else "",
        "".join(describe_time_left(seconds_left)),
        format_count(progress.total_runs, "run") if progress.total_runs else "",
    )
    whole = progress.n_bytes / progress.total_bytes if progress.total_bytes else progress.fraction
    return BarRow(escape_text(name), "", whole, cells)


def lay_out(rows: Sequence[BarRow], width: int, *, is_ascii: bool) -> Text:
    """Put rows into lines that are at most `width` columns wide, their columns aligned."""
    name_width = min(max((cell_len(row.name) for row in rows), default=0), max(8, width // 4))
    columns = list(zip(*(row.cells for row in rows if row.cells), strict=True))
    widths = [max(least, *map(cell_len, column)) for least, column in zip(_LEAST_WIDTHS, columns, strict=False)]
    room = width - name_width - _GAP
    for index in _LEFT_OUT_FIRST if widths else ():
        if _add_up(widths) + _SHORTEST_BAR > room:
            widths[index] = 0
    bar_width = max(0, min(room - _add_up(widths), _LONGEST_BAR))
    lines = [_make_line(row, name_width, widths, bar_width, is_ascii=is_ascii) for row in rows]
    for line in lines:
        line.truncate(width, overflow="crop")
    return Text("\n").join(lines)


def _add_up(widths: Sequence[int]) -> int:
    return sum(_GAP + width for width in widths if width)


def _make_line(row: BarRow, name_width: int, widths: Sequence[int], bar_width: int, *, is_ascii: bool) -> Text:
    line = Text().append(set_cell_size(row.name, name_width), "bold").append(" " * _GAP)
    if row.words:
        return line.append(row.words)
    full, empty = ("#", "-") if is_ascii else ("━", "─")
    n_full = int(row.fraction * bar_width)
    line.append(full * n_full, "green").append(empty * (bar_width - n_full))
    for cell, cell_width in zip(row.cells, widths, strict=False):
        if cell_width:
            line.append(" " * (_GAP + cell_width - cell_len(cell)) + cell)
    return line


class BarReporter:
    """Draws a bar for each target while its context lasts.

    Events only change numbers; a thread of its own draws them. Until every target has passed its login nothing
    is drawn, and milestones are written as lines: ssh may be asking for a password in the same terminal.

    Args:
        targets: Names, in the order of the rows.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._console = make_console(is_error=True)
        self._is_ascii = _is_ascii(self._console.encoding)
        self._state_lock = threading.Lock()
        self._screen_lock = threading.Lock()  # taken before the state's, never while that is held
        self._targets = {name: TargetRow() for name in targets}
        self._above: list[Part] = []
        self._live: Live | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._draw_until_over, name="hsm-progress", daemon=True)

    def __enter__(self) -> BarReporter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        with _never_raise(), self._screen_lock:
            self._hide()
            self._print_above()

    def report(self, event: Event) -> None:
        """See `hsm.progress.Reporter.report`."""
        with _never_raise():
            is_login = isinstance(event, StepStarted) and event.name == "login"
            with self._state_lock:
                is_told = self._take(event)
            if is_told or is_login:
                with self._screen_lock:
                    if is_login:
                        self._hide()
                    self._print_above()

    def _take(self, event: Event) -> bool:
        """Take an event; whether there is a line to print at once."""
        row = self._targets.setdefault(event.target, TargetRow())
        row.take(event)
        line = row.milestones.make_line(event, row.progress, time.monotonic())
        is_told = not self._may_draw()
        if line is None or not (is_told or isinstance(event, ProblemFound | Waiting)):
            return False
        is_bad = isinstance(event, ProblemFound) and event.problem.is_failure
        self._above.append((line, "red" if is_bad else ""))
        return is_told

    def _may_draw(self) -> bool:
        return all(row.progress.is_past_login for row in self._targets.values())

    def _draw_until_over(self) -> None:
        with _never_raise():
            while not self._is_over.wait(_REDRAW_SECONDS):
                with self._screen_lock:
                    self._draw()

    def _draw(self) -> None:
        with self._state_lock:
            may_draw = self._may_draw()
            rows = list(self._iter_rows())
        if not may_draw:
            return
        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
            lend_console(self._console)
        self._print_above()
        self._live.update(lay_out(rows, self._console.width, is_ascii=self._is_ascii), refresh=True)

    def _iter_rows(self) -> Iterator[BarRow]:
        now = time.monotonic()
        for name, row in self._targets.items():
            row.look(now)
            yield make_row(name, row.progress, speed=row.rate.bytes_per_second, seconds_left=row.estimate.seconds)

    def _hide(self) -> None:
        if self._live is not None:
            take_console_back(self._console)
            self._live.stop()
            self._live = None

    def _print_above(self) -> None:
        with self._state_lock:
            lines, self._above = self._above, []
        if lines:
            printer = Printer(is_error=True)
            for line in lines:
                printer.print(line, hang=2)


@contextmanager
def _never_raise() -> Iterator[None]:
    """Let nothing out: progress that cannot be shown must not end the work it is about."""
    try:
        yield
    except (Exception, SystemExit):  # rich ends the program where the stream is a closed pipe
        return


def _is_ascii(encoding: str) -> bool:
    """Whether the terminal may not show more; Python itself writes UTF-8 even under LC_ALL=C."""
    codeset = locale.nl_langinfo(locale.CODESET)
    return not encoding.lower().startswith("utf") or codeset.lower().replace("-", "") != "utf8"
