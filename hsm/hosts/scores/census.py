# ruff: noqa: S608 - names of tables and columns cannot be parameters; `quote_name` quotes them
"""Census of a score file: the rows that it has at one moment, looked for later in the same transaction."""

from __future__ import annotations

import sqlite3

from hsm.hosts.scores.content import DefinitionKind, list_definitions
from hsm.hosts.scores.tables import count, iter_tables, list_table_names, match_columns, quote_name


class Census:
    """The rows of `main`, by their keys; of tables without a key their number.

    Nothing is noted where nothing can delete rows as others are put in: that takes a trigger, or an `ON CONFLICT
    REPLACE` in the words of a table.

    Args:
        connection: In a transaction.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        definitions = list_definitions(connection, "main")
        is_safe = not any(one.kind is DefinitionKind.TRIGGER or "replace" in one.sql.lower() for one in definitions)
        self._tables = [] if is_safe else list(iter_tables(connection, "main"))
        for index, table in enumerate(self._tables):
            keys = ", ".join(map(quote_name, table.keys))
            connection.execute(f"CREATE TEMP TABLE keys_{index} AS SELECT {keys} FROM main.{quote_name(table.name)}")
        keyed = {table.name for table in self._tables}
        names = [] if is_safe else list_table_names(connection, "main")
        self._counts = {name: self._count(name) for name in names if name not in keyed}

    def find_lost(self) -> str:
        """Name a table that lacks rows now; empty where none does."""
        for index, table in enumerate(self._tables):
            query = (
                f"SELECT count(*) FROM temp.keys_{index} AS a "
                f"WHERE NOT EXISTS (SELECT 1 FROM main.{quote_name(table.name)} AS b WHERE {match_columns(table.keys)})"
            )
            if count(self._connection, query):
                return table.name
        return next((name for name, number in self._counts.items() if self._count(name) < number), "")

    def _count(self, name: str) -> int:
        return count(self._connection, f"SELECT count(*) FROM main.{quote_name(name)}")
