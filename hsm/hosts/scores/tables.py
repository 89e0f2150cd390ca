# ruff: noqa: S608 - names of tables and columns cannot be parameters; `_quote` quotes them
"""Tables of SQLite files: their comparison, and the rows that one lacks, by primary key."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

RATING_COLUMNS = ("rating", "elo", "elo_rating", "score")
"""Names of columns of ratings, in small or large letters."""

BUSY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """A table that can be merged.

    Attributes:
        name: As in the file.
        columns: All its columns, in order.
        keys: The columns of its primary key.
    """

    name: str
    columns: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableComparison:
    """Differences of one file from another.

    Attributes:
        n_rows: Rows of the file, of all tables with a primary key.
        n_new: Rows whose key the other has not.
        n_missing: Rows of the other whose key the file has not.
        n_differing: Rows of one key and another content.
        divergence: The largest difference of a rating; None where there is no rating in common.
    """

    n_rows: int
    n_new: int
    n_missing: int
    n_differing: int
    divergence: float | None


def compare(file: Path, other: Path) -> TableComparison:
    """Compare two files table by table; tables without a primary key, or of other columns, do not count.

    Raises:
        sqlite3.Error: One is no SQLite file.
    """
    n_rows = n_new = n_missing = n_differing = 0
    divergence: float | None = None
    with _open_both(file, other) as connection:
        known = {table.name: table for table in iter_tables(connection, "other")}
        for table in iter_tables(connection, "main"):
            n_rows += _count(connection, f"SELECT count(*) FROM main.{_quote(table.name)}")
            if known.get(table.name) != table:
                continue
            n_new += _count(connection, _make_missing_query("count(*)", table, "main", "other"))
            n_missing += _count(connection, _make_missing_query("count(*)", table, "other", "main"))
            n_differing += _count(connection, _make_differing_query(table))
            found = _find_divergence(connection, table)
            divergence = found if divergence is None else max(divergence, found if found is not None else divergence)
    return TableComparison(n_rows, n_new, n_missing, n_differing, divergence)


def make_delta(file: Path, other: Path, to: Path) -> int:
    """Write the rows of a file whose keys the other has not into a new file, and return their number.

    Raises:
        sqlite3.Error: One is no SQLite file.
    """
    n_rows = 0
    with _open_both(file, other) as reading, closing(sqlite3.connect(to)) as writing:
        known = {table.name: table for table in iter_tables(reading, "other")}
        for table in iter_tables(reading, "main"):
            if known.get(table.name) != table:
                continue
            names = ", ".join(map(_quote, table.columns))
            keys = ", ".join(map(_quote, table.keys))
            writing.execute(f"CREATE TABLE {_quote(table.name)} ({names}, PRIMARY KEY ({keys}))")
            rows = reading.execute(_make_missing_query("a.*", table, "main", "other"))
            marks = ", ".join("?" * len(table.columns))
            done = writing.executemany(f"INSERT INTO {_quote(table.name)} VALUES ({marks})", rows)
            n_rows += max(0, done.rowcount)
        writing.commit()
    return n_rows


def iter_tables(connection: sqlite3.Connection, schema: str) -> Iterator[ScoreTable]:
    """Yield the tables with a primary key, by name; virtual tables and SQLite's own are left out."""
    rows = connection.execute(
        f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
        "AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    ).fetchall()
    for (name,) in rows:
        columns = connection.execute(f"PRAGMA {schema}.table_info({_quote(name)})").fetchall()
        keys = sorted((place, column) for _, column, _, _, _, place in columns if place)
        if keys:
            yield ScoreTable(name, tuple(column[1] for column in columns), tuple(column for _, column in keys))


def insert_missing(connection: sqlite3.Connection) -> int:
    """Put the rows of `other` whose keys `main` has not into `main`, and return their number."""
    n_rows = 0
    known = {table.name: table for table in iter_tables(connection, "main")}
    for table in iter_tables(connection, "other"):
        if known.get(table.name) != table:
            continue
        names = ", ".join(map(_quote, table.columns))
        query = _make_missing_query(", ".join(f"a.{_quote(name)}" for name in table.columns), table, "other", "main")
        n_rows += connection.execute(f"INSERT INTO main.{_quote(table.name)} ({names}) {query}").rowcount
    return n_rows


def open_database(path: Path, *, mode: str = "ro") -> sqlite3.Connection:
    """Open a file that is there; transactions are begun by hand, and its own definitions run no functions.

    The file may come from another machine: a view or a trigger in it is no code to be trusted.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def get_mode(path: Path) -> str:
    """Get the mode to read a file in: where it may be written, SQLite can roll back what a killed program left."""
    return "rw" if os.access(path, os.W_OK) else "ro"


@contextmanager
def _open_both(file: Path, other: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(file, mode=get_mode(file))) as connection:
        connection.execute("ATTACH ? AS other", (f"{other.absolute().as_uri()}?mode=ro",))
        yield connection


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _match(columns: tuple[str, ...]) -> str:
    # IS and not =, to which NULL equals nothing, not even NULL.
    return " AND ".join(f"a.{_quote(column)} IS b.{_quote(column)}" for column in columns)


def _make_missing_query(what: str, table: ScoreTable, here: str, there: str) -> str:
    """Make the query for the rows of one file whose keys the other has not."""
    name = _quote(table.name)
    return (
        f"SELECT {what} FROM {here}.{name} AS a "
        f"WHERE NOT EXISTS (SELECT 1 FROM {there}.{name} AS b WHERE {_match(table.keys)})"
    )


def _make_differing_query(table: ScoreTable) -> str:
    name = _quote(table.name)
    return (
        f"SELECT count(*) FROM main.{name} AS a JOIN other.{name} AS b ON {_match(table.keys)} "
        f"WHERE NOT ({_match(table.columns)})"
    )


def _find_divergence(connection: sqlite3.Connection, table: ScoreTable) -> float | None:
    column = next((name for word in RATING_COLUMNS for name in table.columns if name.lower() == word), None)
    if column is None or column in table.keys:
        return None
    name, rating = _quote(table.name), _quote(column)
    query = f"SELECT max(abs(a.{rating} - b.{rating})) FROM main.{name} AS a JOIN other.{name} AS b ON "
    found = connection.execute(query + _match(table.keys)).fetchone()[0]
    return float(found) if isinstance(found, int | float) else None


def _count(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])
