"""Table of a sweep's runs in the terminal: as many columns as there is room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hsm.cli.render.printer import Part, Printer, TextColumn
from hsm.cli.render.words import escape_text, format_count, format_seconds, list_some, name_sweep
from hsm.model import RunState
from hsm.report.plots import describe_strength
from hsm.report.report import Report
from hsm.report.runs import ReportRun
from hsm.report.table import Column as RunColumn
from hsm.report.table import ColumnKind
from hsm.report.values import Value, as_finite, as_number, format_short

_STYLES = {
    RunState.FINISHED.value: "green",
    RunState.FAILED.value: "bold red",
    RunState.RUNNING.value: "bold",
    RunState.UNKNOWN.value: "bold yellow",
}
_GAP = 2
_MOST_CHARACTERS = 40
_MOST_NAMES = 8
_MOST_PARAMETERS = 5


def show_sweep_table(report: Report, *, verbosity: int) -> None:
    """Print the table on stdout, then what is best, what it depends on, and what went wrong.

    In a terminal, columns for which there is no room are left out and named; in a pipe all are there.

    Args:
        report: The runs.
        verbosity: 1 adds the last lines of runs that ended badly.
    """
    printer = Printer()
    states = Counter(run.state.value for run in report.table.runs)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    of_all = f" of {report.n_runs}" if len(report.table.runs) != report.n_runs else ""
    printer.print_name(
        (name_sweep(report.sweep), "bold"),
        f": {len(report.table.runs)}{of_all} {report.table.noun}{f' ({counts})' * bool(counts)}",
    )
    if not report.table.runs:
        return
    left_out = _print_rows(printer, report)
    if left_out:
        names = list_some([column.name for column in left_out], _MOST_NAMES, "column")
        printer.print(f"No room for {names}. Choose with --columns; --csv and --html have all.", hang=2)
    _print_best(printer, report)
    _print_failed(printer, report, verbosity=verbosity)


def _print_rows(printer: Printer, report: Report) -> list[RunColumn]:
    """Print the rows, and return the columns that were left out."""
    columns = report.table.columns
    rows = [[_make_cell(column, value) for column, value in zip(columns, row, strict=True)] for row in _rows(report)]
    headers = [_shorten(_get_header(column)) for column in columns]
    widths = [
        max([len(headers[index]), *(len(_get_text(row[index])) for row in rows)]) + _GAP
        for index in range(len(columns))
    ]
    kept = _choose_columns(report, widths, printer.width - _GAP)
    heads = [
        TextColumn(headers[index], any(as_number(column.read(run)) is not None for run in report.table.runs))
        for index, column in enumerate(columns)
    ]
    # The printer's last column is for words; an empty one keeps numbers to the right.
    printer.print_table(
        [*(heads[index] for index in kept), TextColumn("")], ([*(row[i] for i in kept), ""] for row in rows)
    )
    return [column for index, column in enumerate(columns) if index not in kept]


def _choose_columns(report: Report, widths: Sequence[int], room: int) -> list[int]:
    """Choose the columns that there is room for, the parameters and the metric before other metrics; in their order."""
    metric = report.metric.column if report.metric is not None else None
    columns = report.table.columns
    kept: list[int] = []
    for index in sorted(
        range(len(columns)), key=lambda n: columns[n].kind is ColumnKind.SUMMARY and columns[n] != metric
    ):
        if widths[index] <= room:
            kept.append(index)
            room -= widths[index]
    return sorted(kept)


def _rows(report: Report) -> Sequence[Sequence[Value]]:
    return list(report.table.iter_rows())


def _get_header(column: RunColumn) -> str:
    return "duration" if column.kind is ColumnKind.RUN and column.key == ("duration_seconds",) else column.name


def _make_cell(column: RunColumn, value: Value) -> Part:
    if column.kind is ColumnKind.RUN and column.key == ("duration_seconds",):
        seconds = as_finite(value)
        return "" if seconds is None else format_seconds(seconds)
    text = _shorten(format_short(value))
    if column.kind is ColumnKind.RUN and column.key == ("state",):
        return text, _STYLES.get(text, "")
    return text


def _shorten(text: str) -> str:
    shown = escape_text(text)
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[: _MOST_CHARACTERS - 3]}..."


def _get_text(part: Part) -> str:
    return part if isinstance(part, str) else part[0]


def _print_best(printer: Printer, report: Report) -> None:
    metric = report.metric
    if metric is None:
        return
    values = [(number, run) for run in report.table.runs if (number := as_finite(metric.column.read(run))) is not None]
    if not values:
        return
    choose = max if metric.is_higher_better else min
    number, run = choose(values, key=lambda pair: pair[0])
    good = "high" if metric.is_higher_better else "low"
    printer.print(f"Best: {run.name}, {metric.column.name} {format_short(number)} ({good} is good).", hang=2)
    strong = [f"{one.column.name} {describe_strength(one)}" for one in report.importance[:_MOST_PARAMETERS]]
    if strong:
        printer.print(f"Rank correlation with {metric.column.name}: {', '.join(strong)}.", hang=2)


def _print_failed(printer: Printer, report: Report, *, verbosity: int) -> None:
    failed = [run for run in report.table.runs if run.has_ended_badly]
    if not failed:
        return
    if not verbosity:
        names = list_some([run.name for run in failed], _MOST_NAMES, "run")
        printer.print(
            f"{format_count(len(failed), 'run')} failed or killed: {names}. -v shows their last lines.", hang=2
        )
        return
    for run in failed:
        printer.print()
        printer.print_name((run.name, "bold"), _describe_end(run))
        lines = report.last_lines.get(run.id, ())
        printer.print_many(f"    {line}" for line in lines or ["(it left no output)"])


def _describe_end(run: ReportRun) -> str:
    code = f", exit code {run.exit_code}" if run.exit_code is not None else ""
    return f" ({run.id}): {run.state.value}{code}"
