"""Values that the plots are drawn from."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hsm.report.importance import rank_parameters
from hsm.report.metric import make_metric
from hsm.report.plots import (
    MOST_CATEGORIES,
    MOST_DIMENSIONS,
    MOST_POINTS,
    Parallel,
    join_curves,
    make_parallel,
    thin_curve,
)
from hsm.report.report import BestRun, Report
from hsm.report.table import find_column, make_table
from hsm.wandb_log.curve import Curve
from tests.unit.report.make_runs import make_run


def draw(rows: list[dict[str, Any]]) -> Parallel | None:
    """Draw runs whose value `m` is the metric."""
    runs = [
        make_run(f"r{place}", {key: value for key, value in row.items() if key != "m"}, {"m": row.get("m")})
        for place, row in enumerate(rows)
    ]
    table = make_table(runs)
    metric = make_metric(table, find_column(table, "m"))
    importance = rank_parameters(table.runs, table.parameters, metric.column)
    return make_parallel(Report("s", len(runs), table, table.parameters, metric, importance), metric)


def test_numbers_have_their_place_and_texts_are_in_order() -> None:
    drawn = draw([{"lr": 0.1, "opt": "sgd", "m": 1}, {"lr": 0.2, "opt": "adam", "m": 2}, {"lr": 0.3, "m": 3}])
    assert drawn is not None
    by_name = {dimension.column.name: dimension for dimension in drawn.dimensions}
    assert by_name["lr"].values == (0, 1, 2)
    assert by_name["lr"].ticks == ((0, "0.1"), (1, "0.2"), (2, "0.3"))
    assert by_name["opt"].ticks == ((0, "(none)"), (1, "adam"), (2, "sgd"))
    assert by_name["opt"].values == (2, 1, 0)
    assert drawn.dimensions[-1].column.name == "m"


def test_a_wide_range_is_drawn_by_its_logarithms_and_named_by_its_values() -> None:
    drawn = draw([{"lr": 10.0**-n, "wide": 10.0 * n, "m": n} for n in range(11)])
    assert drawn is not None
    by_name = {dimension.column.name: dimension for dimension in drawn.dimensions}
    assert by_name["lr"].values == pytest.approx([-n for n in range(11)])
    assert [name for _, name in by_name["lr"].ticks] == ["1e-10", "1e-08", "1e-06", "0.0001", "0.01", "1"]
    assert [name for _, name in by_name["wide"].ticks] == ["0", "20", "40", "60", "80", "100"]
    assert by_name["m"].values == tuple(range(11))


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        pytest.param([{"p": 1, "m": 1}, {"p": 2, "m": math.nan}, {"p": 3, "m": 2}], (0, 2), id="no finite metric"),
        pytest.param([{"p": 1, "m": 1}, {"m": 3}, {"p": 3, "m": 2}], (0, 2), id="a number is missing"),
        pytest.param([{"p": 1, "m": 1}, {"p": math.inf, "m": 3}, {"p": 3, "m": 2}], (0, 2), id="an infinite number"),
        pytest.param([{"p": 1, "m": 1}, {"p": 2, "m": None}], None, id="one run alone"),
        pytest.param([{"m": 1}, {"m": 2}], None, id="nothing varies"),
    ],
)
def test_runs_that_cannot_be_drawn_are_left_out(rows: list[dict[str, Any]], wanted: tuple[int, ...] | None) -> None:
    drawn = draw(rows)
    assert (drawn.rows if drawn else None) == wanted


def test_too_many_axes_and_too_many_texts_are_left_out_by_name() -> None:
    n = MOST_CATEGORIES + 1
    rows = [{**{f"p{k:02d}": (row * (k + 1)) % 17 for k in range(15)}, "tag": f"t{row}", "m": row} for row in range(n)]
    drawn = draw(rows)
    assert drawn is not None
    assert len(drawn.dimensions) == MOST_DIMENSIONS + 1
    assert "tag" in [column.name for column in drawn.left_out]
    assert len(drawn.left_out) == 16 - MOST_DIMENSIONS


def test_a_resumed_runs_folders_are_joined_with_a_gap() -> None:
    best = BestRun(make_run("r"), (Curve((0, 1), (5.0, math.nan)), Curve(), Curve((0,), (math.inf,))))
    assert join_curves(best) == ([0, 1, None, 0], [5.0, None, None, None], False)


def test_a_long_curve_keeps_its_ends_and_its_peaks() -> None:
    n = 50 * MOST_POINTS
    values = [math.sin(step / 1000) for step in range(n)]
    values[12_345], values[23_456], values[34_567] = 9.0, -9.0, math.nan
    thin = thin_curve(Curve(tuple(map(float, range(n))), tuple(values)))
    assert len(thin.steps) <= MOST_POINTS
    points = dict(zip(thin.steps, thin.values, strict=True))
    assert (points[0], points[n - 1]) == (values[0], values[-1])
    assert (points[12_345], points[23_456]) == (9.0, -9.0)
    assert list(thin.steps) == sorted(thin.steps)
    short = Curve((0.0, 1.0), (1.0, 2.0))
    assert thin_curve(short) is short
