"""The receipt: its content survives, and other content is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.records.receipt import Receipt, Sender, get_receipt_name, make_receipt_content, parse_receipt
from hsm.records.record import SWEEP_FOLDER, RunRecord

RECORD = RunRecord("finished", 0, True, False, 12, 345, "d" * 32, {"superseded": 3})
RECEIPT = Receipt(
    "s 1",
    Sender("0123456789abcdef", "login1", "/home/me/proj\udcff\n"),
    7,
    "2025-10-20T21:28:36+00:00",
    {SWEEP_FOLDER: RunRecord(is_complete=True), "run-b": RunRecord(), "run-a\x1b[31m\n\udcfe'\"": RECORD},
    {"runs not asked for": 1, "problem": 2},
)


def test_a_receipt_survives() -> None:
    assert parse_receipt(make_receipt_content(RECEIPT)) == RECEIPT


def test_it_is_ascii_with_one_run_a_line_sorted() -> None:
    lines = make_receipt_content(RECEIPT).decode("ascii").splitlines()
    runs = lines[lines.index('"runs": {') + 1 : -2]
    assert [line.strip().partition(": {")[0] for line in runs] == ['"run-a\\u001b[31m\\n\\udcfe\'\\""', '"run-b"']
    assert json.loads("\n".join(lines))["source"]["host"] == "login1"


def test_it_speaks_of_runs_never_of_files() -> None:
    document = json.loads(make_receipt_content(RECEIPT))
    assert set(document) == {
        "schema",
        "hsm",
        "sweep",
        "kind",
        "place",
        "source",
        "generation",
        "written_at",
        "left",
        "sweep_folder",
        "runs",
    }
    assert set(document["runs"]["run-b"]) == set(RunRecord.__dataclass_fields__)


def test_without_runs_it_is_json_too() -> None:
    empty = Receipt("s", RECEIPT.source, 1, "", {SWEEP_FOLDER: RunRecord()})
    assert parse_receipt(make_receipt_content(empty)) == empty


def test_each_source_has_a_name_of_its_own() -> None:
    assert get_receipt_name("0123456789abcdef") == "receipt-0123456789abcdef.json"


def test_a_receipt_of_an_earlier_version_misses_nothing_beside_its_runs() -> None:
    document = json.loads(make_receipt_content(RECEIPT))
    del document["left"]
    assert parse_receipt(json.dumps(document).encode()) == replace(RECEIPT, left={})


def change(**changes: Any) -> bytes:
    return json.dumps({**json.loads(make_receipt_content(RECEIPT)), **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(make_receipt_content(RECEIPT)[:-20], id="cut"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b"{}", id="no schema"),
        pytest.param(change(schema=2), id="newer schema"),
        pytest.param(change(source=None), id="no source"),
        pytest.param(change(source={"id": "x"}), id="half a source"),
        pytest.param(change(generation="x"), id="a word for a generation"),
        pytest.param(change(generation=[]), id="a list for a generation"),
        pytest.param(change().replace(b'"generation": 7', b'"generation": 1e999'), id="endless generation"),
        pytest.param(change().replace(b'"generation": 7', b'"generation": NaN'), id="no number"),
        pytest.param(change(runs=[]), id="runs in a list"),
        pytest.param(change(runs={"run-1": None}), id="no record"),
        pytest.param(change(runs={"run-1": {"n_files": "many"}}), id="a word for a count"),
        pytest.param(change(runs={"run-1": {"left": [1]}}), id="a list for what was left"),
        pytest.param(change(runs={"run-1": {"unknown": 1}}), id="an unknown key"),
        pytest.param(change(sweep_folder=3), id="no sweep folder"),
        pytest.param(change(left=[]), id="a list for what is missing"),
        pytest.param(change(left={"problem": "1"}), id="a word for a number of problems"),
        pytest.param(change(left={"problem": 2**63}), id="more problems than can be counted"),
        pytest.param(change(left={"problem": -1}), id="less than no problem"),
    ],
)
def test_what_is_damaged_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_receipt(content)


@given(st.integers(0, len(make_receipt_content(RECEIPT)) - 2))
def test_no_beginning_of_a_receipt_is_a_receipt(end: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_receipt(make_receipt_content(RECEIPT)[:end])


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode))
def test_nothing_else_ends_the_program(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_receipt(content)
