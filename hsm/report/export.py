"""Exports of a report for other programs: a JSON document, CSV, Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm.errors import TargetError, UsageError
from hsm.report.report import Report
from hsm.report.runs import ReportRun
from hsm.report.table import Column, ColumnKind, format_moment
from hsm.report.values import Value, as_number, format_exact, make_plain

if TYPE_CHECKING:
    import pyarrow

    from hsm.wandb_log.records import ValueKey

SCHEMA = 1
PARQUET_MODULE = "pyarrow.parquet"
INSTALL_HINT = "Install it: pip install 'hpc-sweep-manager[report]'."
_LARGEST_INT64 = 2**63 - 1  # larger whole numbers are written as text, since a float would round them


def check_extra(module: str, option: str) -> None:
    """Make sure that the package of an option is installed, before anything is read for it.

    Raises:
        UsageError: It is not.
    """
    try:
        import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(f"{option} needs {package}.", hint=INSTALL_HINT, kind="extra_missing") from error


def make_report_document(report: Report) -> dict[str, object]:
    """Make the document of `--json`; NaN and infinities are the texts `NaN`, `Infinity` and `-Infinity`."""
    table, metric = report.table, report.metric
    best = None if metric is None else {"name": metric.column.name, "goal": metric.goal}
    columns = {kind: [column for column in table.known if column.kind is kind] for kind in ColumnKind}
    return {
        "schema": SCHEMA,
        "command": "sync report",
        "exit_code": int(report.exit_code),
        "error": None,
        "sweep": report.sweep,
        "n_runs": report.n_runs,
        "metric": best,
        "parameters": [column.name for column in report.parameters],
        "columns": [column.name for column in table.columns],
        "runs": [_make_run(run, report, columns) for run in table.runs],
        "importance": [
            {
                "parameter": one.column.name,
                "strength": one.strength,
                "correlation": one.correlation,
                "n_runs": one.n_runs,
            }
            for one in report.importance
        ],
        "problems": [
            {
                "path": problem.path,
                "kind": problem.kind,
                "message": problem.message,
                "hint": problem.hint,
                "is_failure": problem.is_failure,
            }
            for problem in report.problems
        ],
    }


def _make_run(run: ReportRun, report: Report, columns: Mapping[ColumnKind, Sequence[Column]]) -> dict[str, object]:
    return {
        "id": run.id,
        "name": run.name,
        "folders": [part.path for part in run.parts],
        "state": run.state.value,
        "exit_code": run.exit_code,
        "started": format_moment(run.started),
        "duration_seconds": run.duration_seconds,
        "host": run.host,
        "from_files": any(part.is_from_files for part in run.parts),
        "values": {column.name: make_plain(column.read(run)) for column in report.table.columns},
        "config": _make_values(run, run.config, columns[ColumnKind.CONFIG]),
        "summary": _make_values(run, run.summary, columns[ColumnKind.SUMMARY]),
        "last_lines": report.last_lines.get(run.id, ()),
    }


def _make_values(run: ReportRun, values: Mapping[ValueKey, Value], columns: Sequence[Column]) -> dict[str, Value]:
    return {column.name: make_plain(column.read(run)) for column in columns if column.key in values}


def make_csv(report: Report) -> str:
    """Make the table as CSV, with the names of the columns as its first line and all digits of numbers."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.name for column in report.table.columns])
    writer.writerows([format_exact(value) for value in row] for row in report.table.iter_rows())
    return stream.getvalue()


def save_parquet(report: Report, path: Path) -> None:
    """Write the table as Parquet: columns of whole numbers, numbers, truth values, else texts.

    Raises:
        UsageError: pyarrow is not installed.
        TargetError: The file cannot be written.
    """
    check_extra(PARQUET_MODULE, "--parquet")
    import pyarrow as arrow  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    rows = list(report.table.iter_rows())
    names = [_replace_surrogates(column.name) for column in report.table.columns]
    arrays = [_make_array(arrow, [row[index] for row in rows]) for index in range(len(names))]
    try:
        parquet.write_table(arrow.table(arrays, names=names), path)
    except OSError as error:
        raise make_write_error(path, error) from error


def _make_array(arrow: Any, values: Sequence[Any]) -> pyarrow.Array:  # noqa: ANN401 - a module, and what it takes
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in present):
        return arrow.array(values, type=arrow.bool_())
    if present and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
        if any(isinstance(value, float) for value in present):
            return arrow.array([as_number(value) for value in values], type=arrow.float64())
        if all(abs(value) <= _LARGEST_INT64 for value in present):
            return arrow.array(values, type=arrow.int64())
    # Also where numbers and texts are mixed: Parquet's columns have one type.
    texts = [None if value is None else _replace_surrogates(format_exact(value)) for value in values]
    return arrow.array(texts, type=arrow.string())


def _replace_surrogates(text: str) -> str:
    # Parquet's texts are UTF-8, which has no bytes for surrogates.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def make_write_error(path: Path, error: OSError) -> TargetError:
    """Make the error of a file that cannot be written."""
    return TargetError(
        f"{path} cannot be written: {error.strerror or error}.", hint="Check the folder.", kind="no_permission"
    )
