"""Curves, read of a run's whole log."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.wandb_log.curve import read_curve
from tests.unit.wandb_log import log_writer as w


@pytest.mark.parametrize(
    ("key", "records", "wanted"),
    [
        pytest.param(("a",), [w.history({("a",): 1, ("_step",): 4})], [(4, 1)], id="0.19"),
        pytest.param(("a",), [w.history({"a": 1, "_step": 4})], [(4, 1)], id="0.17"),
        pytest.param(("a",), [w.history({("a",): 1}, 7)], [(7, 1)], id="the step beside the row"),
        pytest.param(
            ("n", "b"), [w.history({("n", "b"): 1}, 0), w.history({"n": {"b": 2}}, 1)], [(0, 1), (1, 2)], id="n"
        ),
        pytest.param(("b",), [w.history({("n", "b"): 1}, 0)], [], id="the end of another name"),
        pytest.param(("a",), [w.history({("a",): "x"}, 0), w.history({("a",): True}, 1)], [], id="no numbers"),
        pytest.param(("a",), [w.history({("b",): 1}, 0), w.history({("a",): 2}, 1)], [(1, 2)], id="rows without it"),
        pytest.param(("a",), [w.history({("a",): math.inf}, 0)], [(0, math.inf)], id="infinite"),
        pytest.param(("a",), [w.summary({("a",): 1})], [], id="a summary is no row"),
    ],
)
def test_a_curve(key: tuple[str, ...], records: list[bytes], wanted: list[tuple[float, float]]) -> None:
    curve = read_curve(w.frame([w.run(), *records]), key)
    assert list(zip(curve.steps, curve.values, strict=True)) == wanted


@pytest.mark.parametrize("cut", [0, 3, 7, 8, 50, 33_000, 40_000])
def test_a_torn_log_gives_what_lies_before(cut: int) -> None:
    log = w.frame([w.run(), *(w.history({("a",): step, ("_step",): step}, step) for step in range(1800))])
    whole = read_curve(log, ("a",))
    curve = read_curve(log[: len(log) - cut], ("a",))
    assert len(whole.values) == 1800
    assert curve.values == whole.values[: len(curve.values)]


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(content: bytes) -> None:
    read_curve(w.frame([w.run(), w.record(3, content), w.record(2, content), content]), ("a",))
