"""What a sync that had nothing to do leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import Problem
from hsm.plan.summary import Counts
from hsm.sync.shortcuts.unchanged_record import UnchangedRecord, _parse, get_record_path, load_record, save_record

REST = UnchangedRecord(
    question="q" * 64,
    folders={"/data/wandb": "1f", "/data/wandb/run-\udcff": "2e"},
    destination="d" * 64,
    counts=Counts({"unchanged": 150_000}, {"total": 10_000}, {"plots/": 3}, 1),
    problems=(Problem("run-1", "membership_unknown", "It says nothing yet.", "Sync again later.", is_failure=False),),
)
WRITTEN = json.dumps({"schema": 1, **asdict(REST)}).encode()


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = get_record_path(tmp_path / "desktop" / "sweep_1.json")
    save_record(path, REST)
    assert path.name == "sweep_1.rest"
    assert load_record(path) == REST


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"schema":1}', id="nothing in it"),
        pytest.param(b'{"schema":99}', id="a newer one"),
        pytest.param(
            b'{"schema":1,"question":"","folders":[],"destination":"","counts":{},"problems":[]}', id="shapes"
        ),
        pytest.param(b"\xff", id="no text"),
        pytest.param(WRITTEN.replace(b"150000", b"1e999"), id="a number that is none"),
        pytest.param(WRITTEN.replace(b'"kind"', b'"sort"'), id="a problem that is none"),
    ],
)
def test_a_damaged_one_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sweep_1.rest"
    path.write_bytes(content)
    assert load_record(path) is None


def test_none_is_none(tmp_path: Path) -> None:
    assert load_record(tmp_path / "sweep_1.rest") is None
    save_record(tmp_path, REST)  # a folder is in the way


values = st.recursive(
    st.none() | st.text() | st.integers() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(["question", "folders", "destination", "counts", "problems"]), values))
def test_whatever_it_holds_raises_nothing_else(document: dict[str, object]) -> None:
    try:
        _parse(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return
