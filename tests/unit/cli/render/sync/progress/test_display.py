"""Rows of bars in terminals of several widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hsm.cli.render.sync.progress.display import BarDisplay, BarRow, lay_out, make_row
from hsm.cli.render.sync.progress.milestones import TargetProgress
from hsm.progress import Event, StepStarted, TargetEnded, TransferMoved, TransferStarted


def take(*events: Event) -> TargetProgress:
    progress = TargetProgress()
    for event in events:
        progress.take(event)
    return progress


def make_moving(*names: str) -> list[BarRow]:
    progress = take(TransferStarted("d", 1500, 1_200_000_000, 100), TransferMoved("d", 750, 600_000_000, 0))
    return [make_row(name, progress, speed=50e6, seconds_left=12.0) for name in names]


def make_resting(name: str, step: str) -> BarRow:
    return make_row(name, take(StepStarted(name, step)))


def draw(rows: list[BarRow], width: int, *, encoding: str = "utf-8") -> list[str]:
    """Return the lines as they stand in a terminal without colours, where only what is full of a bar is drawn."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    console = Console(file=stream, width=width, height=25, force_terminal=True, color_system=None)
    display = BarDisplay(console, rows)
    lines = console.render_lines(display.get_renderable(), pad=False)
    return ["".join(segment.text for segment in line) for line in lines if line]


ROWS = {
    "82 columns": (82, "desktop  ━━╸    0.6 of 1.2 GB    750/1,500 files   50.0 MB/s   0:12 left  100 runs"),
    "80 columns": (80, "desktop  ━━━━━━╸        0.6 of 1.2 GB    750/1,500 files   50.0 MB/s   0:12 left"),
    "160 columns": (
        160,
        f"desktop  {'━' * 20}{' ' * 20}  0.6 of 1.2 GB    750/1,500 files   50.0 MB/s   0:12 left  100 runs",
    ),
    "50 columns": (50, "desktop  ━━━╸     0.6 of 1.2 GB    750/1,500 files"),
}


@pytest.mark.parametrize(("width", "expected"), ROWS.values(), ids=ROWS)
def test_rows(width: int, expected: str) -> None:
    assert draw([*make_moving("desktop"), make_resting("b", "check")], width) == [
        expected,
        "b        checking what is there",
    ]
    assert len(expected) <= width


def test_rows_keep_their_order_whatever_they_are_in() -> None:
    rows = [make_resting("a", "check"), *make_moving("b"), make_row("c", take(TargetEnded("c", "done")))]
    assert [line[0] for line in draw(rows, 80)] == ["a", "b", "c"]
    assert draw(rows, 80)[2] == "c  done"


def test_a_terminal_that_shows_no_more_than_ascii() -> None:
    (line,) = draw(make_moving("desktop"), 80, encoding="ascii")
    assert line.startswith("desktop  ------")
    assert line.isascii()


@pytest.mark.parametrize("width", [1, 10, 20, 30, 40, 60, 79, 100])
def test_bars_never_pass_the_edge(width: int) -> None:
    rows = [*make_moving("a-target-with-a-long-name", "b"), make_resting("c", "check")]
    lines = draw(rows, width)
    assert len(lines) == 3
    assert max(map(len, lines)) <= width


def test_markup_in_a_name_is_text() -> None:
    assert draw(make_moving("[red]x[/]"), 120)[0].startswith("[red]x[/]  ")


def test_columns_stand_still_while_numbers_grow() -> None:
    layouts, places = set(), set()
    for n_files, n_bytes in ((0, 0), (7, 900), (70, 12_345), (1500, 1_200_000_000)):
        progress = take(TransferStarted("d", 1500, 1_200_000_000, 100), TransferMoved("d", n_files, n_bytes, 0))
        row = make_row("d", progress, speed=5e6, seconds_left=n_files)
        layouts.add(str(lay_out([row], 100)))
        line = draw([row], 100)[0]
        places.add((line.index("/1,500"), line.index("MB/s")))
    assert (len(layouts), len(places)) == (1, 1), layouts


def test_a_target_that_comes_later_has_its_row() -> None:
    console = Console(file=io.StringIO(), width=80, height=25, force_terminal=True, color_system=None)
    display = BarDisplay(console, make_moving("a"))
    display.show([*make_moving("a"), make_resting("b", "check")])
    lines = console.render_lines(display.get_renderable(), pad=False)
    assert ["".join(segment.text for segment in line)[0] for line in lines if line] == ["a", "b"]
