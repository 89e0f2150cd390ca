# ruff: noqa: S608 - names of tables and columns cannot be parameters; `quote_name` quotes them
"""Losses of a score file that another one replaces: rows, columns and tables that would be lost with it.

Rows are told apart by primary key. Where a table has none, or another one there, and where a part of the key is NULL
(which SQLite allows several times), a row counts as there if all of it is, as often as here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import RefusedError
from hsm.hosts.scores.numbers import HighestNumbers, count_clashes
from hsm.hosts.scores.tables import count, list_table_names, quote_name

_SIGN = '"hsm sign"'
"""A column that no table has: whether a row is from here or from there."""

_SCHEMAS = ("main", "other")

_ROWS_OF_PARTS = ("_content", "_rowid")
"""Ends of the names of tables that hold the rows of virtual ones: full-text (FTS3 to FTS5) and R-trees."""


@dataclass(frozen=True, slots=True)
class TableLoss:
    """Losses of one table.

    Attributes:
        table: Its name.
        n_rows: Rows that are not there.
        columns: Columns that are not there.
        n_clashing: Those of the rows whose number another row has there.
        has_table: The table itself is there.
        can_be_pushed: A push brings the rows.
    """

    table: str
    n_rows: int
    columns: tuple[str, ...] = ()
    n_clashing: int = 0
    has_table: bool = True
    can_be_pushed: bool = False

    @property
    def reason(self) -> str:
        """The reason why a push does not bring the rows."""
        if not self.has_table:
            return "the coordinator has no such table"
        if self.columns:
            return f"the coordinator lacks the columns {', '.join(self.columns)}"
        if self.n_clashing:
            return f"the numbers of {self.n_clashing:,} of them are those of other rows there"
        return "the table has no primary key, or another one there"


def list_losses(connection: sqlite3.Connection, numbers: HighestNumbers | None = None) -> list[TableLoss]:
    """List what of `main` is not in `other`, table by table; a table that is whole there is left out.

    Args:
        connection: To both.
        numbers: The highest ones of the last pull; None where there was one and they are not known: then a row counts
            as there if one of its number is.

    Raises:
        sqlite3.Error: One is no SQLite file.
    """
    return list(_iter_losses(connection, numbers))


def make_refusal(database: Path, losses: Sequence[TableLoss]) -> RefusedError:
    """Make the error for a pull that would lose what only this machine has.

    Args:
        database: The file here.
        losses: At least one.
    """
    n_rows = sum(loss.n_rows for loss in losses)
    columns = ", ".join(f"{loss.table}.{column}" for loss in losses for column in loss.columns)
    tables = ", ".join(loss.table for loss in losses if not loss.has_table and not loss.n_rows)
    found = [
        f"{n_rows:,} {'row' if n_rows == 1 else 'rows'}" if n_rows else "",
        f"the columns {columns}" if columns else "",
        f"the tables {tables}" if tables else "",
    ]
    where = ", ".join(f"{loss.table}: {loss.n_rows:,}" for loss in losses if loss.n_rows)
    hints = ["`hsm hosts scores pull --discard` gives them up."]
    if any(loss.can_be_pushed for loss in losses):
        hints.insert(0, "`hsm hosts scores push` brings the rows there.")
    for loss in reversed(losses):
        if not loss.can_be_pushed:
            hints.insert(0, f"A push does not bring {loss.table}: {loss.reason}.")
    return RefusedError(
        f"{database} has {' and '.join(filter(None, found))} that the coordinator has not"
        f"{f' ({where})' if where else ''}; a pull would lose them.",
        hint=" ".join(hints),
        kind="unpushed_rows",
    )


def _iter_losses(connection: sqlite3.Connection, numbers: HighestNumbers | None) -> Iterator[TableLoss]:
    known = {name.lower(): name for name in list_table_names(connection, "other", with_parts=True)}
    own = set(list_table_names(connection, "main"))
    for name in list_table_names(connection, "main", with_parts=True):
        if name not in own and not name.endswith(_ROWS_OF_PARTS):
            continue  # an index of a virtual table, which follows from its rows
        there = known.get(name.lower())
        if there is None:
            n_rows = count(connection, f"SELECT count(*) FROM main.{quote_name(name)}")
            yield TableLoss(name, n_rows, has_table=False)
            continue
        loss = _find_loss(connection, name, there, numbers)
        if loss.n_rows or loss.columns:
            yield loss


def _find_loss(connection: sqlite3.Connection, name: str, there: str, numbers: HighestNumbers | None) -> TableLoss:
    columns, keys = _read_columns(connection, "main", name)
    columns_there, keys_there = _read_columns(connection, "other", there)
    known = {column.lower() for column in columns_there}
    common = [column for column in columns if column.lower() in known]
    lacking = tuple(column for column in columns if column.lower() not in known)
    if keys and [key.lower() for key in keys] == [key.lower() for key in keys_there]:
        n_keyed = _count_keyed(connection, name, there, keys)
        n_rest = _count_surplus(connection, name, there, common, where=_make_any_null(keys))
        n_clashing = count_clashes(connection, name, there, common, numbers) if numbers is not None else 0
        # A push tells tables, keys and columns apart by their very names.
        is_alike = (name, keys) == (there, keys_there) and set(columns) <= set(columns_there)
        can_be_pushed = is_alike and not (n_rest or n_clashing)
        return TableLoss(name, n_keyed + n_rest + n_clashing, lacking, n_clashing, can_be_pushed=can_be_pushed)
    return TableLoss(name, _count_surplus(connection, name, there, common), lacking)


def is_equal_table(connection: sqlite3.Connection, name: str) -> bool:
    """Tell whether a table that both files define alike has the same rows in both."""
    columns, _ = _read_columns(connection, "main", name)
    n_here, n_there = (count(connection, f"SELECT count(*) FROM {schema}.{quote_name(name)}") for schema in _SCHEMAS)
    return n_here == n_there and not _count_surplus(connection, name, name, columns)


def _read_columns(connection: sqlite3.Connection, schema: str, table: str) -> tuple[list[str], list[str]]:
    """Read the columns that hold values of their own (generated ones do not), and those of the primary key."""
    rows = connection.execute(f"PRAGMA {schema}.table_info({quote_name(table)})").fetchall()
    keys = sorted((place, column) for _, column, _, _, _, place in rows if place)
    return [row[1] for row in rows], [column for _, column in keys]


def _count_keyed(connection: sqlite3.Connection, name: str, there: str, keys: Sequence[str]) -> int:
    """Count rows whose key is not there, those with NULL in it aside."""
    match = " AND ".join(f"a.{quote_name(key)} = b.{quote_name(key)}" for key in keys)
    return count(
        connection,
        f"SELECT count(*) FROM main.{quote_name(name)} AS a WHERE NOT ({_make_any_null(keys)}) "
        f"AND NOT EXISTS (SELECT 1 FROM other.{quote_name(there)} AS b WHERE {match})",
    )


def _count_surplus(
    connection: sqlite3.Connection, name: str, there: str, columns: Sequence[str], where: str = "1"
) -> int:
    """Count rows that are here more often than there, by all of the columns."""
    if not columns:
        return count(connection, f"SELECT count(*) FROM main.{quote_name(name)} WHERE {where}")
    names = ", ".join(map(quote_name, columns))
    # Byte by byte: a column's own collation may take `a` and `A` for one.
    groups = ", ".join(f"{quote_name(column)} COLLATE BINARY" for column in columns)
    return count(
        connection,
        f"SELECT sum(max(0, n)) FROM (SELECT sum({_SIGN}) AS n FROM ("
        f"SELECT {names}, 1 AS {_SIGN} FROM main.{quote_name(name)} WHERE {where} UNION ALL "
        f"SELECT {names}, -1 AS {_SIGN} FROM other.{quote_name(there)} WHERE {where}) GROUP BY {groups})",
    )


def _make_any_null(keys: Sequence[str]) -> str:
    return " OR ".join(f"{quote_name(key)} IS NULL" for key in keys)
