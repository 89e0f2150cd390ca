"""Values that the page's plots are drawn from. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hsm.report.importance import Importance
from hsm.report.metric import Metric
from hsm.report.report import BestRun, Report
from hsm.report.runs import ReportRun
from hsm.report.table import Column
from hsm.report.values import Value, as_finite, format_exact, format_short
from hsm.wandb_log.curve import Curve

MOST_DIMENSIONS = 12
MOST_CATEGORIES = 30
MOST_POINTS = 2000
_MOST_GRID_VALUES = 8
_LOG_RATIO = 100
_MISSING = "(none)"
_MOST_LABEL_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Dimension:
    """One axis of the parallel coordinates: a place for each run, and the names of places."""

    column: Column
    values: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Parallel:
    """The parallel coordinates.

    Attributes:
        rows: Indexes of the runs that are drawn.
        dimensions: The parameters, the strongest first, and the metric last.
        left_out: Parameters that have no axis: too many texts, or beyond the most that a page has room for.
    """

    rows: tuple[int, ...]
    dimensions: tuple[Dimension, ...]
    left_out: tuple[Column, ...]


def make_parallel(report: Report, metric: Metric) -> Parallel | None:
    """Make the parallel coordinates; None where there are no two runs or no parameter to draw.

    Runs are drawn whose metric, and whose numbers among the parameters, are finite.
    """
    runs = report.table.runs
    rows = [index for index, run in enumerate(runs) if as_finite(metric.column.read(run)) is not None]
    order = {one.column: place for place, one in enumerate(report.importance)}
    ordered = sorted(report.parameters, key=lambda column: order.get(column, len(order)))
    drawable = [column for column in ordered if _is_drawable([column.read(runs[row]) for row in rows])]
    drawn = drawable[:MOST_DIMENSIONS]
    numeric = [column for column in drawn if _is_numeric([column.read(runs[row]) for row in rows])]
    rows = [row for row in rows if all(as_finite(column.read(runs[row])) is not None for column in numeric)]
    if len(rows) < 2 or not drawn:
        return None
    chosen = [runs[row] for row in rows]
    dimensions = [
        _make_dimension(column, chosen, is_metric=column == metric.column) for column in (*drawn, metric.column)
    ]
    return Parallel(tuple(rows), tuple(dimensions), tuple(column for column in ordered if column not in drawn))


def _is_numeric(values: Sequence[Value]) -> bool:
    """Tell whether these are numbers; a missing one is no reason against it, since then the run is left out."""
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present)


def _is_drawable(values: Sequence[Value]) -> bool:
    return _is_numeric(values) or len({format_exact(value) for value in values}) <= MOST_CATEGORIES


def _make_dimension(column: Column, runs: Sequence[ReportRun], *, is_metric: bool) -> Dimension:
    """Place runs on an axis; the few values of a grid stand at even distances, so that 0 and 0.0001 lie apart."""
    values = [column.read(run) for run in runs]
    if not _is_numeric(values):
        names = [_MISSING if value is None else format_exact(value) for value in values]
        by_name = {name: float(place) for place, name in enumerate(sorted(set(names)))}
        ticks = tuple((place, name[:_MOST_LABEL_CHARACTERS]) for name, place in by_name.items())
        return Dimension(column, tuple(by_name[name] for name in names), ticks)
    numbers = [number for value in values if (number := as_finite(value)) is not None]
    distinct = sorted(set(numbers))
    if not is_metric and len(distinct) <= _MOST_GRID_VALUES:
        places = {number: float(place) for place, number in enumerate(distinct)}
        ticks = tuple((place, format_short(number)) for number, place in places.items())
        return Dimension(column, tuple(places[number] for number in numbers), ticks)
    if is_spread(numbers):
        return Dimension(column, tuple(map(math.log10, numbers)), _make_ticks(numbers, is_log=True))
    return Dimension(column, tuple(numbers), _make_ticks(numbers, is_log=False))


def is_spread(numbers: Sequence[float]) -> bool:
    """Tell whether numbers spread so far that their logarithms show them better."""
    return bool(numbers) and min(numbers) > 0 and max(numbers) / min(numbers) >= _LOG_RATIO


def _make_ticks(numbers: Sequence[float], *, is_log: bool) -> tuple[tuple[float, str], ...]:
    """Name six places between the ends."""
    low, high = min(numbers), max(numbers)
    if is_log:
        low, high = math.log10(low), math.log10(high)
    steps = sorted({low + (high - low) * place / 5 for place in range(6)})  # a set: where all is equal there is one
    return tuple((step, f"{10**step if is_log else step:.3g}") for step in steps)


def join_curves(best: BestRun) -> tuple[list[float | None], list[float | None], bool]:
    """Join the curves of a run's folders, with a gap between them.

    Returns:
        Steps, values (None where there is a gap, or no finite number), and whether some points were left out.
    """
    steps: list[float | None] = []
    values: list[float | None] = []
    is_thinned = False
    for curve in best.curves:
        thin = thin_curve(curve)
        is_thinned = is_thinned or len(thin.steps) < len(curve.steps)
        if steps and thin.steps:
            steps.append(None)
            values.append(None)
        steps.extend(as_finite(step) for step in thin.steps)
        values.extend(as_finite(value) for value in thin.values)
    return steps, values, is_thinned


def thin_curve(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """Leave out points of a long curve; both ends stay, and the lowest and the highest point of each stretch."""
    n = len(curve.steps)
    if n <= most:
        return curve
    width = math.ceil(n / ((most - 2) // 2))
    kept = {0, n - 1}
    for start in range(0, n, width):
        stretch = [index for index in range(start, min(start + width, n)) if math.isfinite(curve.values[index])]
        if stretch:
            kept.update((min(stretch, key=curve.values.__getitem__), max(stretch, key=curve.values.__getitem__)))
    order = sorted(kept)
    return Curve(tuple(curve.steps[index] for index in order), tuple(curve.values[index] for index in order))


def describe_strength(one: Importance) -> str:
    """Describe a bar of the importance in words."""
    if one.correlation is None:
        return f"{one.strength:.2f} (groups)"
    return f"{one.correlation:+.2f}"
