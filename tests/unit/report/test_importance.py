"""Importance of parameters for a metric."""

from __future__ import annotations

import math
import statistics
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.report.importance import Importance, rank, rank_parameters
from hsm.report.table import find_column, make_table
from tests.unit.report.make_runs import make_run


def measure(parameter: list[Any], metric: list[Any]) -> Importance | None:
    pairs = zip(parameter, metric, strict=True)
    runs = [make_run(f"r{place}", {"p": value}, {"m": result}) for place, (value, result) in enumerate(pairs)]
    table = make_table(runs)
    found = rank_parameters(table.runs, [find_column(table, "p")], find_column(table, "m"))
    return found[0] if found else None


@pytest.mark.parametrize(
    ("values", "ranks"),
    [
        pytest.param([3.0, 1.0, 2.0], [3, 1, 2], id="all different"),
        pytest.param([1.0, 2.0, 2.0, 3.0], [1, 2.5, 2.5, 4], id="two are equal"),
        pytest.param([5.0, 5.0, 5.0], [2, 2, 2], id="all are equal"),
        pytest.param([math.inf, -math.inf, 0.0], [3, 1, 2], id="infinities have a place"),
        pytest.param([], [], id="none"),
    ],
)
def test_equal_values_share_their_ranks(values: list[float], ranks: list[float]) -> None:
    assert rank(values) == ranks


# By hand, from the textbook's formula: the correlation of the ranks.
@pytest.mark.parametrize(
    ("parameter", "metric", "correlation", "n_runs"),
    [
        pytest.param([1, 2, 3, 4], [1, 8, 27, 64], 1.0, 4, id="rising"),
        pytest.param([0.1, 0.01, 0.001], [1, 2, 3], -1.0, 3, id="falling, whatever the scale"),
        pytest.param([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8, 5, id="1 - 6 * 4 / 120"),
        pytest.param([1, 1, 2, 2, 3], [1, 2, 3, 4, 4], 8.25 / math.sqrt(9 * 9.5), 5, id="ties"),
        pytest.param([False, True, False, True], [1, 2, 3, 4], 0.4472135954999579, 4, id="truth values"),
        pytest.param([1, 2, 3, 4], [1, 2, 3, math.nan], 1.0, 3, id="without NaN"),
        pytest.param([1, 2, 3, None], [1, 2, 3, 0], 1.0, 3, id="without the parameter"),
    ],
)
def test_rank_correlation(parameter: list[Any], metric: list[Any], correlation: float, n_runs: int) -> None:
    found = measure(parameter, metric)
    assert found is not None
    assert found.correlation == pytest.approx(correlation)
    assert (found.strength, found.n_runs) == (pytest.approx(abs(correlation)), n_runs)


@pytest.mark.parametrize(
    ("parameter", "metric", "strength"),
    [
        pytest.param(list("aabb"), [1, 2, 10, 11], math.sqrt(1 - (1 / 2) / (5 / 3)), id="groups lie apart"),
        pytest.param(list("abab"), [1, 1, 2, 2], 0.0, id="groups are alike"),
        pytest.param([*"aab", 1], [1, 1, 2, 2], 1.0, id="a number among texts"),
    ],
)
def test_texts_are_groups(parameter: list[Any], metric: list[Any], strength: float) -> None:
    found = measure(parameter, metric)
    assert found is not None
    assert found.correlation is None
    assert found.strength == pytest.approx(strength)


@pytest.mark.parametrize(
    ("parameter", "metric"),
    [
        pytest.param([1, 2], [1, 2], id="two runs"),
        pytest.param([1, 1, 1], [1, 2, 3], id="the parameter never varies"),
        pytest.param([1, 2, 3], [1, 1, 1], id="the metric never varies"),
        pytest.param(list("aabb"), [1, 1, 1, 1], id="the metric never varies between groups"),
        pytest.param(list("abcd"), [1, 2, 3, 4], id="a text of its own in every run"),
        pytest.param([1, 2, 3], ["x", None, math.inf], id="no finite metric"),
    ],
)
def test_what_cannot_be_told_is_left_out(parameter: list[Any], metric: list[Any]) -> None:
    assert measure(parameter, metric) is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="statistics has ranks since 3.12")
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=3, max_size=20))
def test_it_agrees_with_the_standard_library(pairs: list[tuple[int, int]]) -> None:
    left, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = measure(left, right)
    if found is None:
        assert len(set(left)) == 1 or len(set(right)) == 1
        return
    assert found.correlation == pytest.approx(statistics.correlation(left, right, method="ranked"))  # type: ignore[call-arg]


def test_the_strongest_comes_first() -> None:
    runs = [make_run(f"r{n}", {"weak": (n * 3) % 5, "strong": -n}, {"m": n}) for n in range(5)]
    table = make_table(runs)
    found = rank_parameters(table.runs, table.parameters, find_column(table, "m"))
    assert [one.column.name for one in found] == ["strong", "weak"]
