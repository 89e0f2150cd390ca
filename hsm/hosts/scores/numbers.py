# ruff: noqa: S608 - names of tables and columns cannot be parameters; `quote_name` quotes them
"""Numbered tables: their key is a number that SQLite makes where a row is made, so two rows may meet under one.

The highest numbers of what was pulled tell the rows that came with it from those that were made here since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from hsm.hosts.scores.tables import count, list_table_names, open_database, quote_name

HighestNumbers = Mapping[str, int]
"""By table, the highest number of the last pull; a table that it did not have is absent."""


def find_number_column(connection: sqlite3.Connection, schema: str, table: str) -> str:
    """Find the column of a table that holds its rows' numbers; empty where it has no such column."""
    name = quote_name(table)
    keys = [row for row in connection.execute(f"PRAGMA {schema}.table_info({name})") if row[5]]
    if len(keys) != 1 or str(keys[0][2]).upper() != "INTEGER":
        return ""
    try:
        connection.execute(f"SELECT _rowid_ FROM {schema}.{name} LIMIT 0")
    except sqlite3.OperationalError:  # WITHOUT ROWID: whoever makes the row makes the number
        return ""
    return str(keys[0][1])


def read_highest_numbers(path: Path) -> dict[str, int]:
    """Read the highest numbers of a file; none where it is no SQLite file."""
    found = {}
    try:
        with closing(open_database(path)) as connection:
            for table in list_table_names(connection, "main"):
                if column := find_number_column(connection, "main", table):
                    query = f"SELECT max({quote_name(column)}) FROM {quote_name(table)}"
                    found[table] = count(connection, query)
    except sqlite3.Error:
        return {}
    return found


def count_clashes(
    connection: sqlite3.Connection, table: str, there: str, columns: list[str], numbers: HighestNumbers
) -> int:
    """Count rows of `main` that were made since the last pull, and whose number another row has in `other`.

    Args:
        connection: To both.
        table: Its name here.
        there: Its name there.
        columns: Those that both have.
        numbers: Of the last pull.
    """
    number = find_number_column(connection, "main", table)
    if not number or not find_number_column(connection, "other", there):
        return 0
    name = quote_name(number)
    same = " AND ".join(f"a.{quote_name(column)} IS b.{quote_name(column)} COLLATE BINARY" for column in columns)
    pairs = f"main.{quote_name(table)} AS a JOIN other.{quote_name(there)} AS b ON a.{name} = b.{name}"
    query = f"SELECT count(*) FROM {pairs} WHERE a.{name} > {numbers.get(table, 0)} AND NOT ({same})"
    return count(connection, query)
