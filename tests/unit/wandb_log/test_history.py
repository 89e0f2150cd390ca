"""Record of a run, read of its whole log: configuration, summary, and how it ended."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.wandb_log.curve import read_curve
from hsm.wandb_log.history import read_run_log
from hsm.wandb_log.records import LastItems, iter_items, split_record
from tests.unit.wandb_log import log_writer as w

LONG = "k" * 130  # its length is written as the bytes that stand before a value


def metric(name: str, *, summary: int = 0, goal: int = 0) -> bytes:
    message = w.field(1, name) + (w.field(7, w.field(summary, 1)) if summary else b"")
    return w.record(12, message + (w.field(8, goal) if goal else b""))


def removed(*key: str) -> bytes:
    return w.record(3, w.field(2, b"".join(w.field(2, name) for name in key)))


def pair(row: dict[Any, Any], step: int) -> list[bytes]:
    """Write a row as wandb does from 0.19 on: its summary first."""
    return [w.summary(row), w.history(row, step)]


SUMMARIES = [
    pytest.param([*pair({("a",): 1}, 0), *pair({("a",): 2, ("b",): 3}, 1)], {"a": 2, "b": 3}, id="the last value"),
    pytest.param([*pair({("a",): 1, ("b",): 3}, 0), *pair({("a",): 2}, 1)], {"a": 2, "b": 3}, id="a rare key stays"),
    pytest.param([w.history({"a": 1}), w.history({"a": 2})], {"a": 2}, id="killed before 0.19: rows alone"),
    pytest.param([w.history({"a": 1}), w.summary({"a": 5, "b": 6})], {"a": 5, "b": 6}, id="0.17: one at the end"),
    pytest.param([w.history({"n": {"x": {"y": 1}}})], {"n.x.y": 1}, id="0.17: nested in the value"),
    pytest.param(pair({("n", "x", "y"): 1, ("n", "z"): 2}, 0), {"n.x.y": 1, "n.z": 2}, id="0.19: nested keys"),
    pytest.param([w.summary({"n": {"q": 1}}), w.summary({("n", "r"): 2})], {"n.q": 1, "n.r": 2}, id="added to"),
    pytest.param([w.summary({("n", "r"): 2}), w.summary({"n": {"q": 1}})], {"n.q": 1}, id="replaced whole"),
    pytest.param([w.summary({("n", "r"): 2}), w.summary({"n": 7})], {"n": 7}, id="replaced by a number"),
    pytest.param([w.summary({"n": 7}), w.summary({("n", "r"): 2})], {"n.r": 2}, id="a number replaced"),
    pytest.param([w.summary({"a": 1, "b": 2}), removed("a")], {"b": 2}, id="deleted"),
    pytest.param([w.summary({"a": 1}), removed("a"), w.summary({"a": 3})], {"a": 3}, id="deleted and set again"),
    pytest.param([w.summary({("n", "a"): 1, ("n", "b"): 2}), removed("n", "a")], {"n.b": 2}, id="one leaf deleted"),
    pytest.param(
        [metric("v", summary=1), w.summary({"v": {"min": 1}}), w.history({("v",): 9}, 0)], {"v.min": 1}, id="lowest"
    ),
    pytest.param([metric("v", summary=1), w.history({"v": 9})], {}, id="0.17, killed: the lowest is unknown"),
    pytest.param(
        pair({("x",): math.inf, ("y",): -math.inf, ("z",): math.nan}, 0),
        {"x": math.inf, "y": -math.inf, "z": math.nan},
        id="no finite numbers",
    ),
    pytest.param(pair({("i",): {"_type": "image-file"}, ("a",): 1}, 0), {"a": 1}, id="media are left out"),
    pytest.param(pair({("h", "_type"): "histogram", ("h", "bins"): [1]}, 0), {}, id="also leaf by leaf"),
    pytest.param(pair({("_wandb", "runtime"): 5, ("_step",): 3}, 0), {"_step": 3}, id="wandb's own"),
    pytest.param(pair({(LONG,): 1, ("n", LONG, "x"): 2}, 0), {LONG: 1, f"n.{LONG}.x": 2}, id="long names"),
    pytest.param([*pair({(LONG,): 1}, 0), *pair({(LONG,): 2}, 1)], {LONG: 2}, id="a long name again"),
    pytest.param([*pair({("t",): "x" * 300}, 0), *pair({("t",): "y" * 300}, 1)], {"t": "y" * 300}, id="long texts"),
    pytest.param([*pair({("\x82\x01",): 1, ("é\x82\x01",): 2}, 0)], {"\x82\x01": 1, "é\x82\x01": 2}, id="odd names"),
    pytest.param(
        pair({("b",): True, ("n",): None, ("l",): [1, "x"]}, 0), {"b": True, "n": None, "l": [1, "x"]}, id="k"
    ),
]


@pytest.mark.parametrize(("records", "wanted"), SUMMARIES)
def test_the_summary_is_the_last_state(records: list[bytes], wanted: dict[str, Any]) -> None:
    found = read_run_log(w.frame([w.run(), *records, w.exit_code(0)])).summary
    plain = {".".join(key): value for key, value in found.items()}
    assert plain.keys() == wanted.keys()
    assert {key: repr(value) for key, value in plain.items()} == {key: repr(value) for key, value in wanted.items()}


KEYS = st.lists(st.sampled_from(["a", "b", "c", LONG]), min_size=1, max_size=3).map(tuple)
ROWS = st.lists(st.dictionaries(KEYS, st.integers() | st.floats(allow_nan=False) | st.text(max_size=150)), max_size=8)


@given(ROWS)
def test_last_items_are_those_that_a_plain_reading_finds(rows: list[dict[tuple[str, ...], Any]]) -> None:
    plain: dict[tuple[str, ...], bytes] = {}
    last = LastItems()
    messages = [split_record(w.summary(row))[1] for row in rows]
    for message in messages:
        plain.update(iter_items(message))
    for message in reversed(messages):
        last.add(message, has_removals=True)
    assert last.values == plain


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(content: bytes) -> None:
    log = w.frame([w.run(), w.record(3, content), w.record(2, content), w.record(5, content), content])
    read_run_log(log)
    LastItems().add(content, has_removals=True)


def test_a_run_record_says_who_and_where() -> None:
    start = w.field(17, w.field(1, 1_700_000_000) + w.field(2, 500_000_000))
    run = w.record(17, w.field(1, "id1") + w.field(8, "näme") + w.field(13, "node1") + start)
    found = read_run_log(w.frame([run]))
    assert (found.run_id, found.name, found.host, found.started) == ("id1", "näme", "node1", 1_700_000_000.5)
    assert (found.exit_code, found.runtime_seconds) == (None, None)


def test_the_configuration_is_updated_later() -> None:
    first = w.run(config={"lr": 0.1, "opt": {"name": "adam", "eps": 1}, "gone": 1, "_wandb": {"x": 1}})
    later = [w.config("opt", {"name": "sgd"}), w.config("late", [1, 2]), w.record(5, w.field(2, w.field(1, "gone")))]
    found = read_run_log(w.frame([first, *later])).config
    assert found == {("lr",): 0.1, ("opt", "name"): "sgd", ("late",): [1, 2]}


def test_lists_without_an_end_are_no_trap() -> None:
    deep = b"[" * 400 + b"]" * 400
    item = w.field(1, w.field(1, "deep") + w.field(16, deep)) + w.field(
        1, w.field(1, "broken") + w.field(16, b"[" * 99999)
    )
    found = read_run_log(w.frame([w.record(5, item), w.config("fine", [[1], {"a": [2]}])])).config
    assert found == {("deep",): "(nested too deeply)", ("broken",): None, ("fine",): [[1], {"a": [2]}]}


@pytest.mark.parametrize(
    ("records", "wanted"),
    [
        pytest.param([], None, id="nothing told"),
        pytest.param(pair({("_runtime",): 12.5}, 0), 12.5, id="killed: the last row"),
        pytest.param([*pair({("_runtime",): 12.5}, 0), w.exit_code(0)], 12.5, id="the exit record is rounded down"),
        pytest.param([w.exit_code(1)], 7.0, id="no rows"),
    ],
)
def test_the_runtime(records: list[bytes], wanted: float | None) -> None:
    assert read_run_log(w.frame([w.run(), *records])).runtime_seconds == wanted


@pytest.mark.parametrize(
    ("record", "goals"),
    [
        pytest.param(metric("a", goal=1), {"a": False}, id="minimize"),
        pytest.param(metric("a", goal=2), {"a": True}, id="maximize"),
        pytest.param(metric("a", summary=1), {"a": False}, id="the lowest counts"),
        pytest.param(metric("a", summary=2), {"a": True}, id="the highest counts"),
        pytest.param(metric("a", summary=3), {}, id="the mean tells nothing"),
    ],
)
def test_goals(record: bytes, goals: dict[str, bool]) -> None:
    assert read_run_log(w.frame([w.run(), record])).goals == goals


def test_the_output_is_kept() -> None:
    lines = [w.record(13, w.field(1, 1) + w.field(3, text)) for text in ("one\n", "two", "\n")]
    assert read_run_log(w.frame([w.run(), *lines])).output == "one\ntwo\n"


@pytest.mark.parametrize("cut", [0, 3, 7, 8, 50, 33_000, 40_000])
def test_a_torn_log_gives_what_lies_before(cut: int) -> None:
    rows = [record for step in range(900) for record in pair({("a",): step, ("_step",): step}, step)]
    log = w.frame([w.run(), *rows])
    torn = log[: len(log) - cut]
    n_rows = len(read_curve(torn, ("a",)).values)
    found = read_run_log(torn)
    assert not found.is_damaged
    assert found.summary["a",] in (n_rows - 1, n_rows)


def test_damage_in_the_middle_is_said() -> None:
    log = bytearray(w.frame([w.run(), *(w.summary({"a": json.dumps([step] * 50)}) for step in range(900))]))
    log[40_000] ^= 1
    found = read_run_log(bytes(log))
    assert found.is_damaged
    assert found.summary["a",] == json.dumps([899] * 50)
