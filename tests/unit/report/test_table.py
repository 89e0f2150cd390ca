"""The one table: its columns, their names, and the order of its rows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hsm.errors import UsageError
from hsm.report.metric import choose_metric, list_best, make_metric
from hsm.report.table import find_column, make_table, put_first, select_columns, sort_runs
from tests.unit.report.make_runs import make_run

FIELDS = ["name", "state"]
ENDS = ["duration_seconds", "host", "id"]


def list_names(*runs: Any) -> list[str]:
    return [column.name for column in make_table(runs).columns]


@pytest.mark.parametrize(
    ("runs", "between"),
    [
        pytest.param([({"lr": 1, "same": 2}, {}), ({"lr": 2, "same": 2}, {})], ["lr"], id="what varies"),
        pytest.param([({"lr": 1}, {})], ["lr"], id="all of a single run"),
        pytest.param([({"lr": 1}, {}), ({}, {})], ["lr"], id="absent is another value"),
        pytest.param([({"lr": 1}, {}), ({"lr": 1.0}, {})], [], id="1 is 1.0"),
        pytest.param([({"lr": 1}, {}), ({"lr": True}, {})], ["lr"], id="1 is not true"),
        pytest.param([({"lr": "1"}, {}), ({"lr": 1}, {})], ["lr"], id="a text is no number"),
        pytest.param([({"lr": math.nan}, {}), ({"lr": math.nan}, {})], [], id="NaN is itself"),
        pytest.param([({"l": [1, 2]}, {}), ({"l": [1, 3]}, {})], ["l"], id="lists"),
        pytest.param([({("o", "n"): 1}, {}), ({("o", "n"): 2}, {})], ["o.n"], id="nested"),
        pytest.param([({}, {"a10": 1, "a9": 1, "_step": 3})], ["a9", "a10"], id="metrics as people count"),
    ],
)
def test_the_usual_columns(runs: list[tuple[Any, Any]], between: list[str]) -> None:
    made = [make_run(f"r{number}", config, summary) for number, (config, summary) in enumerate(runs)]
    assert list_names(*made) == [*FIELDS, *between, *ENDS]


@pytest.mark.parametrize(
    ("config", "summary", "names"),
    [
        pytest.param({"x": 1}, {"x": 2}, {"config.x", "summary.x"}, id="a parameter and a metric"),
        pytest.param({"name": 1}, {}, {"config.name"}, id="a field of the run"),
        pytest.param({"a.b": 1, ("a", "b"): 2}, {}, {"config.a\\.b", "config.a.b"}, id="a dot in a name"),
        pytest.param({"x": 1, "config.x": 2}, {"x": 3}, None, id="a name that looks like another's"),
        pytest.param({"all": 1}, {}, {"config.all"}, id="the word for all columns"),
    ],
)
def test_names_are_unique(config: Any, summary: Any, names: set[str] | None) -> None:
    table = make_table([make_run("r", config, summary)])
    known = [column.name for column in table.known]
    assert len(set(known)) == len(known)
    shown = {column.name for column in table.columns} - {*FIELDS, *ENDS}
    assert names is None or shown == names
    for column in table.known:
        assert find_column(table, column.name) == column


def test_a_column_is_found_by_its_kind_too() -> None:
    table = make_table([make_run("r", {"lr": 1}, {"loss": 2})])
    assert find_column(table, "config.lr") == find_column(table, "lr")
    assert find_column(table, "summary.loss").read(table.runs[0]) == 2
    with pytest.raises(UsageError) as caught:
        find_column(table, "los")
    assert (caught.value.kind, "loss" in caught.value.hint) == ("unknown_column", True)


def test_chosen_columns_come_in_the_order_asked_for() -> None:
    table = make_table([make_run("r", {"lr": 1}, {"loss": 2})])
    assert [c.name for c in select_columns(table, ["loss", "lr", "loss"]).columns] == ["loss", "lr"]
    assert select_columns(table, ["all"]).columns == table.known
    assert select_columns(table, []) == table
    first = put_first(make_table([make_run("r", {"lr": 1}, {"a": 1, "z": 2})]), find_column(table, "lr"))
    assert [c.name for c in first.columns][2:5] == ["lr", "a", "z"]


@pytest.mark.parametrize(
    ("is_reversed", "wanted"),
    [
        pytest.param(False, [-math.inf, 1, 2.5, math.inf, "a", "b"], id="rising"),
        pytest.param(True, ["b", "a", math.inf, 2.5, 1, -math.inf], id="falling"),
    ],
)
def test_rows_without_a_value_come_last(is_reversed: bool, wanted: list[Any]) -> None:
    values = ["b", math.nan, 2.5, None, math.inf, 1, "a", -math.inf]
    table = make_table([make_run(f"r{place}", {}, {"x": value}) for place, value in enumerate(values)])
    column = find_column(table, "x")
    found = [column.read(run) for run in sort_runs(table, column, is_reversed=is_reversed).runs]
    assert found[:-2] == wanted
    assert [repr(value) for value in found[-2:]] == ["nan", "None"]


@pytest.mark.parametrize(
    ("summary", "goals", "wanted", "is_higher_better"),
    [
        pytest.param({"acc": 1, "train/loss": 1, "val/loss": 1}, {}, "val/loss", False, id="a validation loss"),
        pytest.param({"acc": 1, "train/loss": 1}, {}, "train/loss", False, id="a loss"),
        pytest.param({"acc": 1, "glosses": 1}, {"acc": True}, "acc", True, id="one with a goal"),
        pytest.param({"acc": 1, "word": "x"}, {}, "acc", True, id="any number"),
        pytest.param({("m", "min"): 1, "loss": 2}, {"m": False}, "m.min", False, id="what define_metric made"),
        pytest.param({"score": 1}, {"score": False}, "score", False, id="the goal counts before the name"),
        pytest.param({"_step": 1, "word": "x"}, {}, None, None, id="none"),
    ],
)
def test_the_metric_that_is_chosen(
    summary: Any, goals: dict[str, bool], wanted: str | None, is_higher_better: bool | None
) -> None:
    table = make_table([make_run("r", {}, summary, goals=goals)])
    column = choose_metric(table)
    assert (column.name if column else None) == wanted
    if column is not None:
        assert make_metric(table, column).is_higher_better is is_higher_better
        assert make_metric(table, column, goal="max").goal == "max"


@pytest.mark.parametrize(
    ("summary", "name", "curve"),
    [
        pytest.param({("v", "min"): 1}, "v.min", ("v",), id="made by define_metric"),
        pytest.param({("v", "min"): 1, ("v", "other"): 1}, "v.min", ("v", "min"), id="nested by the script"),
        pytest.param({"v": 1}, "v", ("v",), id="plain"),
    ],
)
def test_the_curve_behind_a_metric(summary: Any, name: str, curve: tuple[str, ...]) -> None:
    table = make_table([make_run("r", {}, summary)])
    assert make_metric(table, find_column(table, name)).curve == curve


def test_the_best_runs_have_finite_values() -> None:
    values = [3, math.nan, 1, None, math.inf, 2]
    table = make_table([make_run(f"r{place}", {}, {"loss": value}) for place, value in enumerate(values)])
    metric = make_metric(table, find_column(table, "loss"))
    assert [run.name for run in list_best(table, metric, 2)] == ["r2", "r5"]
    assert [run.name for run in list_best(table, metric, 9)] == ["r2", "r5", "r0"]
