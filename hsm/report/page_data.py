"""Data of the page, as the JSON that its script reads. Pure."""

from __future__ import annotations

from collections import Counter

from hsm._version import __version__
from hsm.report.importance import FEWEST_RUNS
from hsm.report.metric import Metric
from hsm.report.plots import Dimension, describe_strength, is_spread, join_curves, make_parallel
from hsm.report.report import Report
from hsm.report.runs import ReportRun
from hsm.report.table import ColumnKind, format_moment
from hsm.report.values import Value, as_finite, format_exact, format_short, join_key

MOST_FAILED = 100
_MOST_TEXT = 500
# The largest number up to which JavaScript holds every whole one.
_EXACT_IN_SCRIPTS = 2**53


def make_page_data(report: Report, *, now: float) -> dict[str, object]:
    """Make the page's data.

    Args:
        report: Read with its curves.
        now: Seconds since 1970.
    """
    columns = report.table.columns
    states = [column.kind is ColumnKind.RUN and column.key == ("state",) for column in columns]
    metric = report.metric
    return {
        "title": report.sweep,
        "states": _describe_runs(report),
        "columns": [column.name for column in columns],
        "rows": [
            {"state": run.state.value, "values": [_make_cell(column.read(run)) for column in columns]}
            for run in report.table.runs
        ],
        "state": states.index(True) if True in states else -1,
        "chosen": columns.index(metric.column) if metric is not None and metric.column in columns else -1,
        "filter_note": "Words filter by any cell; NAME<NUMBER, >, <=, >=, = and != by one column. "
        "All must hold. Click on a column's name to sort.",
        "metric": metric.column.name if metric is not None else "",
        "parallel": _make_parallel_data(report, metric) if metric is not None else None,
        **_make_curves_data(report, metric),
        "importance": [
            {
                "name": one.column.name,
                "strength": one.strength,
                "sign": 0 if one.correlation is None else one.correlation,
                "text": describe_strength(one),
            }
            for one in report.importance
        ],
        "importance_note": f"Spearman's rank correlation over runs that have both values (at least {FEWEST_RUNS}); "
        "for texts, how far the groups' ranks lie apart. It shows what goes together, not what causes it.",
        **_make_failed_data(report),
        "made": f"Made by HSM {__version__} on {format_moment(now)}. All values are as wandb recorded them.",
    }


def _describe_runs(report: Report) -> str:
    states = Counter(run.state.value for run in report.table.runs)
    n_shown = len(report.table.runs)
    of_all = f" of {report.n_runs}" if n_shown != report.n_runs else ""
    parts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{n_shown}{of_all} {report.table.noun}{f': {parts}' if parts else ''}"


def _make_cell(value: Value) -> Value:
    """Make a number that the page's script can hold, else text; None of None."""
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    number = as_finite(value) if is_number else None
    if number is not None and (isinstance(value, float) or abs(number) <= _EXACT_IN_SCRIPTS):
        return value
    return format_exact(value)[:_MOST_TEXT]


def _make_parallel_data(report: Report, metric: Metric) -> dict[str, object] | None:
    parallel = make_parallel(report, metric)
    if parallel is None:
        return None
    *_, last = parallel.dimensions
    names = ", ".join(column.name for column in parallel.left_out[:5])
    more = f" and {len(parallel.left_out) - 5} more" if len(parallel.left_out) > 5 else ""
    left_out = f" Without {names}{more}." if names else ""
    return {
        "rows": parallel.rows,
        "color": last.values,
        "range": [min(last.values), max(last.values)],
        "is_reversed": not metric.is_higher_better,
        "dimensions": [_make_dimension_data(dimension) for dimension in parallel.dimensions],
        "note": f"Bright lines are good ({'high' if metric.is_higher_better else 'low'} {metric.column.name}). "
        f"Drag along an axis to pick runs.{left_out}",
    }


def _make_dimension_data(dimension: Dimension) -> dict[str, object]:
    places = [*dimension.values, *(place for place, _ in dimension.ticks)]
    low, high = min(places), max(places)
    margin = 0.0 if high > low else 0.5  # an axis of one value would have no length
    return {
        "label": dimension.column.name,
        "values": dimension.values,
        "tickvals": [place for place, _ in dimension.ticks],
        "ticktext": [name for _, name in dimension.ticks],
        "range": [low - margin, high + margin],
    }


def _make_curves_data(report: Report, metric: Metric | None) -> dict[str, object]:
    curves: list[dict[str, object]] = []
    finite: list[float] = []
    n_empty, is_thinned = 0, False
    names = Counter(best.run.name for best in report.best)
    for best in report.best:
        steps, values, thinned = join_curves(best)
        is_thinned = is_thinned or thinned
        if steps:
            name = best.run.name if names[best.run.name] == 1 else f"{best.run.name} ({best.run.id})"
            curves.append({"name": name[:_MOST_TEXT], "steps": steps, "values": values})
            finite.extend(value for value in values if value is not None)
        else:
            n_empty += 1
    notes = ["A gap is a value that is no finite number, or the start of a resumed run's next folder."]
    if is_thinned:
        notes.append("Long curves are drawn by the lowest and the highest point of each stretch.")
    if n_empty:
        notes.append(f"{n_empty} of the best have it in their summary alone.")
    is_log = metric is not None and not metric.is_higher_better and is_spread(finite)
    curve = join_key(metric.curve) if metric is not None else ""
    return {"curves": curves, "curve": curve, "is_log": is_log, "curves_note": " ".join(notes)}


def _make_failed_data(report: Report) -> dict[str, object]:
    failed = [run for run in report.table.runs if run.id in report.last_lines]
    shown = failed[:MOST_FAILED]
    notes = ["The last lines of what they printed. A run whose log rests without an end is taken for killed."]
    if len(shown) < len(failed):
        notes.append(f"The first {len(shown)} of {len(failed)}.")
    return {
        "failed": [{"title": _describe_end(run), "lines": report.last_lines[run.id]} for run in shown],
        "failed_note": " ".join(notes),
    }


def _describe_end(run: ReportRun) -> str:
    code = f", exit code {run.exit_code}" if run.exit_code is not None else ""
    after = f" after {format_short(float(run.duration_seconds))} s" if run.duration_seconds is not None else ""
    host = f" on {run.host}" if run.host else ""
    return f"{run.name} ({run.id}): {run.state.value}{code}{after}{host}"[:_MOST_TEXT]
