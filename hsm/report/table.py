"""The table of a sweep: its columns, their names, and the order of its rows. Pure."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum

from hsm.errors import UsageError
from hsm.report.runs import ReportRun
from hsm.report.values import Value, as_number, format_exact, join_key, make_identity
from hsm.wandb_log.records import ValueKey

ALL = "all"

_DIGITS = re.compile(r"([0-9]{1,18})")  # int() refuses thousands of digits, which a name may have


class ColumnKind(str, Enum):
    """Source of a column's values. Its value also stands before a column's name: `config.lr`."""

    RUN = "run"
    CONFIG = "config"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the place of its values, and the name that users see and type, unique in the table."""

    kind: ColumnKind
    key: ValueKey
    name: str

    def read(self, run: ReportRun) -> Value:
        """Read the run's value; None where it has none."""
        if self.kind is ColumnKind.RUN:
            return _RUN_VALUES[self.key[0]](run)
        return (run.config if self.kind is ColumnKind.CONFIG else run.summary).get(self.key)


@dataclass(frozen=True, slots=True)
class Table:
    """Runs and columns, in order.

    Attributes:
        known: All columns that there are, also those not shown.
        columns: Those that are shown.
        runs: The rows.
    """

    known: tuple[Column, ...]
    columns: tuple[Column, ...]
    runs: tuple[ReportRun, ...]

    def iter_rows(self) -> Iterator[list[Value]]:
        """Yield the values, row by row."""
        for run in self.runs:
            yield [column.read(run) for column in self.columns]

    @property
    def noun(self) -> str:
        """A word for the rows."""
        kinds = {run.is_job for run in self.runs}
        return "jobs and runs" if len(kinds) > 1 else "jobs" if True in kinds else "runs"

    @property
    def parameters(self) -> tuple[Column, ...]:
        """The configuration's columns that are shown."""
        return tuple(column for column in self.columns if column.kind is ColumnKind.CONFIG)

    @property
    def metrics(self) -> tuple[Column, ...]:
        """All of the summary's columns in which some run has a number, without wandb's own."""
        return tuple(
            column
            for column in self.known
            if column.kind is ColumnKind.SUMMARY and not is_internal(column) and has_numbers(column, self.runs)
        )


def make_table(runs: Sequence[ReportRun]) -> Table:
    """Make the table of all runs with the columns that are shown unless others are asked for.

    They are: name and state, the parameters that vary (all of them, where there is only one run), the final metrics,
    the duration, the host, the id.
    """
    known = _make_columns(runs)
    groups = [[run for run in runs if run.is_job is is_job] for is_job in (True, False)]
    by_kind = {kind: [column for column in known if column.kind is kind] for kind in ColumnKind}
    fields = {column.key[0]: column for column in by_kind[ColumnKind.RUN]}
    shown = (
        fields["name"],
        fields["state"],
        *(column for column in by_kind[ColumnKind.CONFIG] if len(runs) == 1 or _varies(column, groups)),
        *(column for column in by_kind[ColumnKind.SUMMARY] if not is_internal(column)),
        fields["duration_seconds"],
        fields["host"],
        fields["id"],
    )
    return Table(known, shown, tuple(runs))


def find_column(table: Table, word: str) -> Column:
    """Find the column that a user means: by its name, or with `config.`, `summary.` or `run.` before it.

    Raises:
        UsageError: There is none; the nearest names are said.
    """
    names = {f"{column.kind.value}.{join_key(column.key)}": column for column in table.known}
    names.update({column.name: column for column in table.known})
    if word in names:
        return names[word]
    nearest = difflib.get_close_matches(word, names, n=3, cutoff=0.5)
    hint = f"The nearest: {', '.join(nearest)}." if nearest else "`--json` shows all names."
    raise UsageError(f"No run has a value {word!r}.", hint=hint, kind="unknown_column")


def select_columns(table: Table, words: Sequence[str]) -> Table:
    """Show the columns that are named, in this order, each once; `all` stands for all there are."""
    columns: list[Column] = []
    for word in words:
        columns.extend(table.known if word == ALL else [find_column(table, word)])
    return replace(table, columns=tuple(dict.fromkeys(columns))) if words else table


def put_first(table: Table, metric: Column) -> Table:
    """Show a metric before all others, if it is shown."""
    if metric not in table.columns:
        return table
    rest = [column for column in table.columns if column != metric]
    place = next((n for n, column in enumerate(rest) if column.kind is ColumnKind.SUMMARY), table.columns.index(metric))
    return replace(table, columns=(*rest[:place], metric, *rest[place:]))


def filter_runs(table: Table, keeps: Callable[[ReportRun], bool]) -> Table:
    """Keep some of the rows."""
    return replace(table, runs=tuple(run for run in table.runs if keeps(run)))


def sort_runs(table: Table, column: Column, *, is_reversed: bool = False) -> Table:
    """Sort the rows: numbers by size, then texts; NaN and missing values come last in both directions."""
    valued = [run for run in table.runs if _is_sortable(column.read(run))]
    rest = [run for run in table.runs if not _is_sortable(column.read(run))]
    valued.sort(key=lambda run: _make_sort_key(column.read(run)), reverse=is_reversed)
    return replace(table, runs=(*valued, *rest))


def is_internal(column: Column) -> bool:
    """Tell whether it is one of wandb's own values, such as `_runtime`."""
    return column.kind is ColumnKind.SUMMARY and column.key[0].startswith("_")


def has_numbers(column: Column, runs: Iterable[ReportRun]) -> bool:
    """Tell whether some run has a number there, be it NaN or infinite."""
    return any(as_number(column.read(run)) is not None for run in runs)


def format_moment(seconds: float) -> str | None:
    """Write a time as `2025-10-20T21:28:36Z`; None where it is unknown or no time."""
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None


_RUN_VALUES: dict[str, Callable[[ReportRun], Value]] = {
    "name": lambda run: run.name,
    "state": lambda run: run.state.value,
    "id": lambda run: run.id,
    "exit_code": lambda run: run.exit_code,
    "started": lambda run: format_moment(run.started),
    "duration_seconds": lambda run: run.duration_seconds,
    "host": lambda run: run.host or None,
    "folder": lambda run: ", ".join(part.run.name for part in run.parts),
}


def _make_columns(runs: Sequence[ReportRun]) -> tuple[Column, ...]:
    config = dict.fromkeys(key for run in runs for key in run.config)
    summary = sorted({key for run in runs for key in run.summary}, key=_make_natural_key)
    keys = [
        *((ColumnKind.RUN, (name,)) for name in _RUN_VALUES),
        *((ColumnKind.CONFIG, key) for key in config),
        *((ColumnKind.SUMMARY, key) for key in summary),
    ]
    plain = Counter(join_key(key) for _, key in keys)
    full = Counter(f"{kind.value}.{join_key(key)}" for kind, key in keys)
    return tuple(Column(kind, key, _make_name(kind, key, plain, full)) for kind, key in keys)


def _make_natural_key(key: ValueKey) -> list[tuple[int, int, str]]:
    """Make a key that sorts as people count: `layers/2` before `layers/10`."""
    parts = _DIGITS.split("\0".join(key))
    return [(0, int(part), "") if index % 2 else (1, 0, part) for index, part in enumerate(parts)]


def _make_name(kind: ColumnKind, key: ValueKey, plain: Counter[str], full: Counter[str]) -> str:
    """Make the shortest name of a column that no other one has."""
    name = join_key(key)
    long = f"{kind.value}.{name}"
    if plain[name] == 1 and name not in full and name != ALL:
        return name
    if kind is ColumnKind.RUN:
        return name
    if full[long] == 1 and long not in plain:
        return long
    return ".".join([kind.value, *(part.replace("\\", "\\\\").replace(".", "\\.") for part in key)])


def _varies(column: Column, groups: Iterable[Sequence[ReportRun]]) -> bool:
    """Tell whether a value varies among jobs, or among runs: what one of the two does not have is no other value."""
    return any(len({make_identity(column.read(run)) for run in runs}) > 1 for runs in groups)


def _is_sortable(value: Value) -> bool:
    return value is not None and value == value  # noqa: PLR0124 - NaN is not itself


def _make_sort_key(value: Value) -> tuple[int, float, str]:
    number = as_number(value)
    return (0, number, "") if number is not None else (1, 0.0, format_exact(value))
