"""Display of bars: one row for each target, made of rich's own progress columns."""

from __future__ import annotations

import locale
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.segment import Segment, Segments
from rich.table import Column
from rich.text import Text

from hsm.cli.render.sync.progress.milestones import TargetProgress, describe_time_left
from hsm.cli.render.words import escape_text, format_count, format_part
from hsm.units import format_bytes

_GAP = 2
_SHORTEST_BAR, _LONGEST_BAR = 5, 40
_LEAST_WIDTHS = {"speed": len("999.9 MB/s"), "time_left": len("59:59 left")}
_LEFT_OUT_FIRST = ("runs", "speed", "time_left", "files")


class BarRow(NamedTuple):
    """One target's row.

    Attributes:
        name: The target's.
        words: The step; empty while a transfer is under way.
        fraction: How much of the bar is full.
        cells: What stands behind the bar, by column; empty where there is nothing to say.
    """

    name: str
    words: str
    fraction: float
    cells: dict[str, str]


def make_row(name: str, progress: TargetProgress, *, speed: float = 0.0, seconds_left: float | None = None) -> BarRow:
    """Make the row of a target as it stands.

    Args:
        name: The target's.
        progress: What the events told.
        speed: Bytes a second; 0 while it is not known.
        seconds_left: None while it is not known.
    """
    if not progress.is_moving:
        return BarRow(escape_text(name), escape_text(progress.words), 0.0, {})
    total = progress.total_bytes
    n_digits = len(f"{progress.total_files:,}")
    # Numbers are as wide as they will be at the end, so that nothing moves but what they say.
    cells = {
        "bytes": format_part(progress.n_bytes, total).rjust(len(format_part(total, total))),
        "files": f"{progress.n_files:>{n_digits},}/{format_count(progress.total_files, 'file')}",
        "speed": f"{format_bytes(speed)}/s" if speed > 0 else "",
        "time_left": "".join(describe_time_left(seconds_left)),
        "runs": format_count(progress.total_runs, "run") if progress.total_runs else "",
    }
    return BarRow(escape_text(name), "", progress.n_bytes / total if total else progress.fraction, cells)


class BarDisplay(Progress):
    """Draws rows until it is stopped, when they are gone.

    Args:
        console: Of the terminal.
        rows: Those of all targets, to begin with.
    """

    def __init__(self, console: Console, rows: Sequence[BarRow]) -> None:
        self._terminal = console
        self._is_ascii = _is_ascii(console.encoding)
        self._rows: dict[TaskID, BarRow] = {}
        # The caller refreshes it: an error in rich's own thread would be written across the terminal.
        super().__init__(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self.show(rows)

    def show(self, rows: Sequence[BarRow]) -> None:
        """Draw the rows of all targets, in the same order each time; further ones may come."""
        for row in rows[len(self._rows) :]:
            self._rows[self.add_task(row.name, total=1.0)] = row
        self._rows = dict(zip(self._rows, rows, strict=True))
        for task, row in self._rows.items():
            self.update(task, completed=row.fraction, cells=row.cells)
        self.refresh()

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yield the rows; rich asks for them at each refresh, and once while it is made."""
        layout = lay_out(list(self._rows.values()), self._terminal.width)
        self.columns = tuple(_make_columns(layout))
        options = self._terminal.options
        if self._is_ascii:
            options.encoding = "ascii"
        table = self.make_tasks_table([task for task in self.tasks if not self._rows[task.id].words])
        bars = iter(self._terminal.render_lines(table, options, pad=False))
        for row in self._rows.values():
            if row.words:
                name = (set_cell_size(row.name, layout.name_width), "bold")
                yield Text.assemble(name, " " * _GAP, row.words, no_wrap=True, overflow="crop")
            else:
                yield Segments([*next(bars), Segment.line()])


@dataclass(frozen=True, slots=True)
class BarLayout:
    """Widths of a display's columns.

    Attributes:
        name_width: Of the targets' names.
        bar_width: Of the bars.
        widths: Of the columns behind the bar that are shown.
    """

    name_width: int
    bar_width: int
    widths: dict[str, int]


def lay_out(rows: Sequence[BarRow], width: int) -> BarLayout:
    """Choose the columns for which a terminal has room; the bar takes what is left of it. Pure."""
    name_width = min(max((cell_len(row.name) for row in rows), default=0), max(8, width // 4))
    cells = [row.cells for row in rows if row.cells]
    widths = {
        column: max(_LEAST_WIDTHS.get(column, 0), *(cell_len(each[column]) for each in cells))
        for column in (cells[0] if cells else ())
    }
    room = width - name_width - _GAP
    for column in _LEFT_OUT_FIRST:
        if _add_up(widths) + _SHORTEST_BAR > room:
            widths.pop(column, None)
    shown = {column: found for column, found in widths.items() if found}
    return BarLayout(name_width, max(1, min(room - _add_up(shown), _LONGEST_BAR)), shown)


def _add_up(widths: Mapping[str, int]) -> int:
    return sum(_GAP + width for width in widths.values() if width)


def _make_columns(layout: BarLayout) -> Iterator[ProgressColumn]:
    # rich puts one blank between columns; the rest of the gap is part of a column's width.
    rest = _GAP - 1
    name = Column(no_wrap=True, width=layout.name_width + rest)
    yield TextColumn("{task.description}", style="bold", markup=False, table_column=name)
    yield BarColumn(layout.bar_width, complete_style="green", finished_style="green")
    for column, width in layout.widths.items():
        placed = Column(no_wrap=True, width=width + rest)
        yield TextColumn(f"{{task.fields[cells][{column}]}}", justify="right", markup=False, table_column=placed)


def _is_ascii(encoding: str) -> bool:
    """Tell whether the terminal may not show more; Python itself writes UTF-8 even under LC_ALL=C."""
    codeset = locale.nl_langinfo(locale.CODESET)
    return not encoding.lower().startswith("utf") or codeset.lower().replace("-", "") != "utf8"
