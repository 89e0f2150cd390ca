"""Exports of the report for other programs, and the page."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from hsm.errors import TargetError
from hsm.report.export import make_csv, make_report_document, save_parquet
from hsm.report.page import make_page, save_page
from hsm.report.report import Report
from hsm.report.table import make_table
from hsm.report.values import format_exact, format_short
from tests.unit.report.make_runs import make_run


def make_report(*rows: dict[str, Any]) -> Report:
    table = make_table([make_run(f"r{place}", row) for place, row in enumerate(rows)])
    return Report("sweep_1", len(rows), table, table.parameters)


@pytest.mark.parametrize(
    ("value", "exact", "short"),
    [
        pytest.param(0.1 + 0.2, "0.30000000000000004", "0.3", id="every digit"),
        pytest.param(1e300, "1e+300", "1e+300", id="large"),
        pytest.param(2**70, str(2**70), str(2**70), id="a large whole number"),
        pytest.param(math.nan, "NaN", "NaN", id="NaN"),
        pytest.param(-math.inf, "-Infinity", "-Infinity", id="infinite"),
        pytest.param(None, "", "", id="nothing"),
        pytest.param(True, "true", "true", id="true"),
        pytest.param("ü", "ü", "ü", id="text"),
        pytest.param([1, math.nan, "ü"], '[1, "NaN", "ü"]', '[1, "NaN", "ü"]', id="list"),
    ],
)
def test_values_as_text(value: Any, exact: str, short: str) -> None:
    assert format_exact(value) == exact
    assert format_short(value) == short


def test_csv_can_be_read_back() -> None:
    report = make_report({"p": 'a "quoted", text\nof two lines', "q": 0.1 + 0.2}, {"p": "=1+1", "q": math.nan})
    rows = list(csv.DictReader(io.StringIO(make_csv(report))))
    assert [row["p"] for row in rows] == ['a "quoted", text\nof two lines', "=1+1"]
    assert [row["q"] for row in rows] == ["0.30000000000000004", "NaN"]


def test_the_document_is_json_for_every_reader() -> None:
    report = make_report({"p": math.nan, "l": [math.inf], "t": "\ud800"}, {"p": 1})
    text = json.dumps(make_report_document(report), allow_nan=False)
    runs = json.loads(text, parse_constant=pytest.fail)["runs"]
    assert runs[0]["config"] == {"p": "NaN", "l": ["Infinity"], "t": "\ud800"}
    assert runs[1]["config"] == {"p": 1}
    assert runs[1]["values"]["l"] is None


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        pytest.param([1, None], "int64", [1, None], id="whole numbers"),
        pytest.param([1, 0.5], "double", [1.0, 0.5], id="numbers"),
        pytest.param([1.5, math.inf], "double", [1.5, math.inf], id="infinite"),
        pytest.param([2**70, 1], "string", [str(2**70), "1"], id="too large for a whole number"),
        pytest.param([2**70, 0.5], "double", [float(2**70), 0.5], id="too large, among fractions"),
        pytest.param([True, False], "bool", [True, False], id="truth values"),
        pytest.param([True, 1], "string", ["true", "1"], id="a mixture"),
        pytest.param(["x\ud800", None], "string", ["x\\ud800", None], id="text that is no Unicode"),
    ],
)
def test_parquet_columns_have_a_type(tmp_path: Path, values: list[Any], kind: str, wanted: list[Any]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    save_parquet(make_report(*({"p": value} for value in values)), tmp_path / "x.parquet")
    column = parquet.read_table(tmp_path / "x.parquet").column("p")
    assert (str(column.type), column.to_pylist()) == (kind, wanted)


class _Scripts(html.parser.HTMLParser):
    """Counts elements, and keeps the text of the data's."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.data = ""
        self._is_data = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self._is_data = ("id", "data") in attrs

    def handle_data(self, data: str) -> None:
        self.data += data if self._is_data else ""

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - as the parser calls it
        self._is_data = False


def test_nothing_in_the_data_is_markup(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    odd = "</script><img src=x><!-- @SCRIPT@ @DATA@ & \u2028"
    report = make_report({"p": odd, odd: 1, "big": 2**60}, {"p": 1, odd: 2})
    page = make_page(report, now=1_700_000_000)
    parser = _Scripts()
    parser.feed(page)
    assert parser.names.count("script") == 3
    assert "img" not in parser.names
    data = json.loads(parser.data)
    values = dict(zip(data["columns"], data["rows"][0]["values"], strict=True))
    assert values["p"] == odd
    assert values["big"] == str(2**60)
    assert "2023-11-14T22:13:20Z" in data["made"]
    assert len(page) < 15_000_000
    with pytest.raises(TargetError, match="cannot be written"):
        save_page(report, tmp_path / "missing" / "x.html", now=0)
