"""`--where`: a small language of conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import UsageError
from hsm.report.runs import ReportRun
from hsm.report.table import find_column, make_table
from hsm.report.where import parse_where
from tests.unit.report.make_runs import make_run

CONFIG = {
    "lr": 0.01,
    "bs": 32,
    "opt": "Adam",
    ("a", "b"): 1,
    "flag": True,
    "none": None,
    "nan": math.nan,
    "inf": math.inf,
    "l": [1, 2],
    "with blank": 5,
    "a(b)": 6,
    "and": 7,
}
RUN = make_run("task 1", CONFIG, {"val/loss": 1.5})
TABLE = make_table([RUN])


def parse(text: str) -> Callable[[ReportRun], bool]:
    return parse_where(text, lambda word: find_column(TABLE, word))


@pytest.mark.parametrize(
    "text",
    [
        "lr<0.02",
        "lr <= 1e-2",
        "lr>=.01",
        "val/loss>1.4",
        "a.b=1",
        "bs==32.0",
        "bs!=16",
        "opt=Adam",
        "opt!=adam",
        "opt~ada",
        "opt>Aaa",
        "'opt'=\"Adam\"",
        "flag=true",
        "flag!=1",
        "none=none",
        "none!=3",
        "nan=nan",
        "inf>1e300",
        "inf=inf",
        "l='[1, 2]'",
        "'with blank'=5",
        '"a(b)" = 6',
        "'and'=7",
        "name='task 1'",
        "state=finished and config.lr<1",
        "lr>1 or bs=32",
        "lr>1 and bs=32 or opt=Adam",
        "not lr>1",
        "not (lr>1 or bs>32)",
        "NOT lr>1 AND (bs=32 OR bs=64)",
        "not not lr<1",
    ],
)
def test_conditions_that_hold(text: str) -> None:
    assert parse(text)(RUN)
    assert not parse(f"not ({text})")(RUN)


@pytest.mark.parametrize(
    "text",
    [
        "lr<0.01",
        "lr>abc",
        "opt<1",
        "none<1",
        "none=0",
        "none~n",
        "nan<1",
        "nan!=nan",
        "flag=1",
        "opt=adam",
        "opt='true'",
        "bs='32'",
        "lr>1 or bs=32 and opt=sgd",
    ],
)
def test_conditions_that_do_not_hold(text: str) -> None:
    assert not parse(text)(RUN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "lr",
        "lr<",
        "<1",
        "lr<1 and",
        "lr<1 bs>2",
        "(lr<1",
        "lr<1)",
        "lr (1)",
        "lr<<1",
        "lr='unclosed",
        "lr ! 1",
        "()",
        "not",
        "or lr<1",
        "__import__('os').system('true')",
        "(" * 100 + "lr<1" + ")" * 100,
        "not " * 5000 + "lr<1",
    ],
)
def test_what_cannot_be_understood_is_said(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.kind in ("bad_condition", "unknown_column")
    assert "--where" in caught.value.message or caught.value.kind == "unknown_column"


def test_an_unknown_name_is_said() -> None:
    with pytest.raises(UsageError, match="val/los'") as caught:
        parse("val/los<1")
    assert caught.value.kind == "unknown_column"


@given(st.text(max_size=60))
def test_no_text_is_more_than_a_mistake(text: str) -> None:
    try:
        found = parse(text)(RUN)
    except UsageError:
        return
    assert isinstance(found, bool)


@given(st.integers() | st.floats(allow_nan=False), st.sampled_from(["<", "<=", ">", ">=", "=", "!="]), st.floats(-9, 9))
def test_numbers_compare_as_numbers(value: Any, sign: str, wanted: float) -> None:
    run = make_run("r", {"x": value})
    table = make_table([run])
    python = sign if sign != "=" else "=="
    truth = {
        "<": value < wanted,
        "<=": value <= wanted,
        ">": value > wanted,
        ">=": value >= wanted,
        "==": value == wanted,
        "!=": value != wanted,
    }[python]
    assert parse_where(f"x{sign}{wanted!r}", lambda word: find_column(table, word))(run) is truth
