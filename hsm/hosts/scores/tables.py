# ruff: noqa: S608 - names of tables and columns cannot be parameters; `quote_name` quotes them
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

    def holds(self, other: ScoreTable) -> bool:
        """Tell whether rows of another table fit in here: the keys are the same, and no column of it is missing."""
        return self.keys == other.keys and set(other.columns) <= set(self.columns)


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
    with open_both(file, other) as connection:
        return compare_attached(connection)


def compare_attached(connection: sqlite3.Connection) -> TableComparison:
    """Compare `main` with `other`, as `compare` does."""
    n_rows = n_new = n_missing = n_differing = 0
    divergence: float | None = None
    known = {table.name: table for table in iter_tables(connection, "other")}
    for table in iter_tables(connection, "main"):
        n_rows += count(connection, f"SELECT count(*) FROM main.{quote_name(table.name)}")
        if known.get(table.name) != table:
            continue
        n_new += count(connection, make_missing_query("count(*)", table, "main", "other"))
        n_missing += count(connection, make_missing_query("count(*)", table, "other", "main"))
        n_differing += count(connection, _make_differing_query(table))
        found = _find_divergence(connection, table)
        divergence = found if divergence is None else max(divergence, found if found is not None else divergence)
    return TableComparison(n_rows, n_new, n_missing, n_differing, divergence)


def make_delta(file: Path, other: Path, to: Path) -> int:
    """Write the rows of a file whose keys the other has not into a new file, and return their number.

    Raises:
        sqlite3.Error: One is no SQLite file.
    """
    with open_both(file, other) as connection:
        return write_delta(connection, to)


def write_delta(connection: sqlite3.Connection, to: Path) -> int:
    """Write the rows of `main` whose keys `other` has not into a new file, and return their number.

    Tables that the other has not, or that lack columns there, are left out; `hsm.hosts.scores.losses` counts them.
    """
    n_rows = 0
    with closing(sqlite3.connect(to)) as writing:
        known = {table.name: table for table in iter_tables(connection, "other")}
        for table in iter_tables(connection, "main"):
            there = known.get(table.name)
            if there is None or not there.holds(table):
                continue
            names = ", ".join(map(quote_name, table.columns))
            keys = ", ".join(map(quote_name, table.keys))
            writing.execute(f"CREATE TABLE {quote_name(table.name)} ({names}, PRIMARY KEY ({keys}))")
            values = ", ".join(f"a.{quote_name(name)}" for name in table.columns)
            rows = connection.execute(make_missing_query(values, table, "main", "other"))
            marks = ", ".join("?" * len(table.columns))
            done = writing.executemany(f"INSERT INTO {quote_name(table.name)} VALUES ({marks})", rows)
            n_rows += max(0, done.rowcount)
        writing.commit()
    return n_rows


def list_table_names(connection: sqlite3.Connection, schema: str, *, with_parts: bool = False) -> list[str]:
    """List the tables that hold rows of their own; virtual tables and SQLite's own are left out.

    Args:
        connection: Of the file.
        schema: `main` or `other`.
        with_parts: With the tables that virtual ones keep their rows in, which nobody else may change.
    """
    rows = connection.execute(
        f"SELECT name, sql LIKE 'CREATE VIRTUAL%' FROM {schema}.sqlite_master "
        "WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    ).fetchall()
    parts = () if with_parts else tuple(f"{name}_" for name, is_virtual in rows if is_virtual)
    return [name for name, is_virtual in rows if not is_virtual and not name.startswith(parts)]


def iter_tables(connection: sqlite3.Connection, schema: str) -> Iterator[ScoreTable]:
    """Yield the tables with a primary key, by name."""
    for name in list_table_names(connection, schema):
        columns = connection.execute(f"PRAGMA {schema}.table_info({quote_name(name)})").fetchall()
        keys = sorted((place, column) for _, column, _, _, _, place in columns if place)
        if keys:
            yield ScoreTable(name, tuple(column[1] for column in columns), tuple(column for _, column in keys))


def insert_missing(connection: sqlite3.Connection) -> int:
    """Put the rows of `other` whose keys `main` has not into `main`, and return their number."""
    n_rows = 0
    known = {table.name: table for table in iter_tables(connection, "main")}
    for table in iter_tables(connection, "other"):
        here = known.get(table.name)
        if here is None or not here.holds(table):
            continue
        names = ", ".join(map(quote_name, table.columns))
        query = make_missing_query(", ".join(f"a.{quote_name(name)}" for name in table.columns), table, "other", "main")
        n_rows += connection.execute(f"INSERT INTO main.{quote_name(table.name)} ({names}) {query}").rowcount
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
def open_both(file: Path, other: Path) -> Iterator[sqlite3.Connection]:
    """Open two files to read, as `main` and `other`."""
    with closing(open_database(file, mode=get_mode(file))) as connection:
        connection.execute("ATTACH ? AS other", (f"{other.absolute().as_uri()}?mode=ro",))
        connection.execute("BEGIN")  # all questions see one state, whatever is written meanwhile
        yield connection


def quote_name(name: str) -> str:
    """Quote the name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def match_columns(columns: tuple[str, ...]) -> str:
    """Make the condition that columns of `a` and `b` are equal."""
    # IS and not =, to which NULL equals nothing, not even NULL.
    return " AND ".join(f"a.{quote_name(column)} IS b.{quote_name(column)}" for column in columns)


def make_missing_query(what: str, table: ScoreTable, here: str, there: str) -> str:
    """Make the query for the rows of one file whose keys the other has not."""
    name = quote_name(table.name)
    return (
        f"SELECT {what} FROM {here}.{name} AS a "
        f"WHERE NOT EXISTS (SELECT 1 FROM {there}.{name} AS b WHERE {match_columns(table.keys)})"
    )


def _make_differing_query(table: ScoreTable) -> str:
    name = quote_name(table.name)
    return (
        f"SELECT count(*) FROM main.{name} AS a JOIN other.{name} AS b ON {match_columns(table.keys)} "
        f"WHERE NOT ({match_columns(table.columns)})"
    )


def _find_divergence(connection: sqlite3.Connection, table: ScoreTable) -> float | None:
    column = next((name for word in RATING_COLUMNS for name in table.columns if name.lower() == word), None)
    if column is None or column in table.keys:
        return None
    name, rating = quote_name(table.name), quote_name(column)
    query = f"SELECT max(abs(a.{rating} - b.{rating})) FROM main.{name} AS a JOIN other.{name} AS b ON "
    found = connection.execute(query + match_columns(table.keys)).fetchone()[0]
    return float(found) if isinstance(found, int | float) else None


def count(connection: sqlite3.Connection, query: str) -> int:
    """Ask for one number; NULL is 0."""
    return int(connection.execute(query).fetchone()[0] or 0)
