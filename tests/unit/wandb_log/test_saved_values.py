"""Values in the files beside a log, of old and new versions of wandb, and of anybody."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import RunState
from hsm.wandb_log.history import RunLog
from hsm.wandb_log.saved_values import VALUE_FILES, SavedValues, complete_log, parse_saved_values

CONFIG, SUMMARY, METADATA = VALUE_FILES

OLD = {  # of 0.8
    CONFIG: b"wandb_version: 1\n\n_wandb:\n  desc: null\n  value:\n    cli_version: 0.8.29\nlr:\n  desc: null\n"
    b"  value: 0.1\nlayers:\n  desc: null\n  value:\n    n: 2\n",
    SUMMARY: b'{"loss": 0.5, "_step": 7, "_runtime": 12.5, "_timestamp": 1585015306.5}',
    METADATA: b'{"host": "gpu01", "startedAt": "2020-03-24T02:01:46.123456", "heartbeatAt": "2020-03-24T02:01:58.1",'
    b' "state": "finished", "exitcode": 0, "jobId": null, "mode": "run"}',
}


def test_files_of_0_8() -> None:
    found, damaged = parse_saved_values(OLD)
    assert damaged == ()
    assert found == SavedValues(
        config={("lr",): 0.1, ("layers", "n"): 2},
        summary={("loss",): 0.5, ("_step",): 7, ("_runtime",): 12.5, ("_timestamp",): 1585015306.5},
        step=7,
        runtime_seconds=12.5,
        host="gpu01",
        started=1585015306,
        state=RunState.FINISHED,
        exit_code=0,
    )


def test_files_of_0_31() -> None:
    files = {
        CONFIG: b"_wandb:\n    value:\n        m: []\nlr:\n    value: 1e-05\n",
        SUMMARY: b'{"loss":NaN,"acc":Infinity,"_runtime":263.2,"_wandb":{"runtime":264},"img":{"_type":"image-file"}}',
        METADATA: b'{"host":  "gpu01", "startedAt":  "2025-01-01T00:00:00.123456789Z"}',
    }
    found, damaged = parse_saved_values(files)
    assert damaged == ()
    assert found.config == {("lr",): 1e-05}
    assert found.summary.keys() == {("loss",), ("acc",), ("_runtime",)}
    assert math.isnan(float(str(found.summary["loss",])))
    assert (found.runtime_seconds, found.started) == (264, 1735689600)
    assert (found.state, found.exit_code, found.step) == (None, None, None)


STATES: dict[str, tuple[dict[str, Any], tuple[RunState | None, int | None]]] = {
    "failed": ({"state": "failed", "exitcode": 3}, (RunState.FAILED, 3)),
    "Ctrl-C": ({"state": "killed", "exitcode": 255}, (RunState.FAILED, 255)),
    "finished without a code": ({"state": "finished"}, (RunState.FINISHED, None)),
    "a code says more than a word": ({"state": "finished", "exitcode": 1}, (RunState.FAILED, 1)),
    "0.10 to 0.17 leave this for ever": ({"state": "running"}, (None, None)),
    "a word of nobody": ({"state": "great", "exitcode": 0}, (None, None)),
    "no word": ({"state": ["finished"], "exitcode": 0}, (None, None)),
    "a code that is true": ({"state": "finished", "exitcode": True}, (RunState.FINISHED, None)),
    "a code of any size": ({"state": "failed", "exitcode": 10**30}, (RunState.FAILED, None)),
    "a code as a text": ({"state": "failed", "exitcode": "1"}, (RunState.FAILED, None)),
}


@pytest.mark.parametrize(("metadata", "wanted"), STATES.values(), ids=STATES)
def test_states(metadata: dict[str, Any], wanted: tuple[RunState | None, int | None]) -> None:
    found, damaged = parse_saved_values({METADATA: json.dumps(metadata).encode()})
    assert (found.state, found.exit_code) == wanted
    assert damaged == ()


DAMAGED = {
    "no YAML": (CONFIG, b"a: ["),
    "no mapping": (CONFIG, b"- 1"),
    "no UTF-8": (CONFIG, b"a: \xff"),
    "deep YAML": (CONFIG, b"[" * 100_000),
    "no JSON": (SUMMARY, b'{"loss": 0.5'),
    "no object": (SUMMARY, b"[1]"),
    "deep JSON": (SUMMARY, b'{"a":' * 100_000),
    "a number of 5,000 digits": (SUMMARY, b'{"a": %s}' % (b"9" * 5000)),
    "a null": (METADATA, b"null"),
    "zeros": (METADATA, bytes(100)),
}


@pytest.mark.parametrize(("name", "content"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named_and_the_others_count(name: str, content: bytes) -> None:
    found, damaged = parse_saved_values({**OLD, name: content})
    assert damaged == (name,)
    whole, _ = parse_saved_values({other: OLD[other] for other in VALUE_FILES if other != name})
    assert found == whole


@pytest.mark.parametrize("content", [b"", b" \n"], ids=["no bytes", "a line"])
def test_an_empty_file_holds_nothing(content: bytes) -> None:
    assert parse_saved_values(dict.fromkeys(VALUE_FILES, content)) == (SavedValues(), ())


ODD = {
    "texts": {"_step": "7", "_runtime": "x", "_wandb": 3},
    "negative": {"_step": -1, "_runtime": -2.5},
    "endless": {"_step": math.inf, "_runtime": math.nan},
    "true": {"_step": True, "_wandb": {"runtime": True}},
    "huge": {"_step": 10**400},
}


@pytest.mark.parametrize("summary", ODD.values(), ids=ODD)
def test_numbers_that_are_none(summary: dict[str, Any]) -> None:
    found, damaged = parse_saved_values({SUMMARY: json.dumps(summary).encode()})
    assert (found.step, found.runtime_seconds, damaged) == (None, None, ())


@pytest.mark.parametrize(
    "started", ["", "soon", 5, None, ["2025-01-01T00:00:00"], "2025-13-01T00:00:00", "0000-00-00T"]
)
def test_times_that_are_none(started: object) -> None:
    found, _ = parse_saved_values({METADATA: json.dumps({"startedAt": started, "host": 7}).encode()})
    assert (found.started, found.host) == (0, "")


def test_deep_objects_are_cut_and_many_values_are_quick() -> None:
    deep: dict[str, Any] = {f"k{number}": number for number in range(1000)}
    for _ in range(300):
        deep = {"a": deep}
    wide = {f"w{number}": {"x": number} for number in range(100_000)}
    found, _ = parse_saved_values({SUMMARY: json.dumps({"d": deep, **wide}).encode()})
    assert len(found.summary) == 100_001
    assert max(map(len, found.summary)) < 60


NAMES = st.sampled_from(["_step", "_runtime", "_wandb", "runtime", "host", "state", "exitcode", "startedAt", "a"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a1:-", max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(NAMES, JSON_VALUES), st.binary(max_size=60))
def test_any_content_is_read_or_named(parsed: dict[str, Any], content: bytes) -> None:
    document = json.dumps(parsed).encode()
    parse_saved_values({CONFIG: content, SUMMARY: document, METADATA: document})
    parse_saved_values({CONFIG: document, SUMMARY: content, METADATA: content})


def test_a_log_is_completed_by_what_is_newer() -> None:
    log = RunLog(
        run_id="r", host="own", started=5, runtime_seconds=3, config={("a",): 1, ("b",): 2}, summary={("loss",): 9}
    )
    saved = SavedValues(
        config={("b",): 3}, summary={("loss",): 1, ("acc",): 2}, host="gpu", started=7, runtime_seconds=8
    )
    found = complete_log(log, saved)
    assert (found.run_id, found.host, found.started, found.runtime_seconds) == ("r", "own", 5, 8)
    assert found.config == {("a",): 1, ("b",): 3}
    assert found.summary == {("loss",): 1, ("acc",): 2}
    assert complete_log(RunLog(), SavedValues()).runtime_seconds is None
