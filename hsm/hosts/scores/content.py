# ruff: noqa: S608 - names of tables and columns cannot be parameters; `quote_name` quotes them
"""Content of a score file put in the place of another's, by SQL: a look before and the change are one transaction.

SQLite's backup API cannot do that: it refuses a destination whose connection is in a transaction, so what a program
writes between the look and the copy would be lost. What is written here is what `sqlite3 FILE .dump` would: definitions
in their own words, rows with their numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum

from hsm.hosts.scores.tables import count, quote_name

_ROW_NUMBERS = ("rowid", "_rowid_", "oid")
_VIRTUAL = "CREATE VIRTUAL"


class DefinitionKind(str, Enum):
    """Kinds of definitions, in the words of `sqlite_master`."""

    TABLE = "table"
    INDEX = "index"
    VIEW = "view"
    TRIGGER = "trigger"


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition of a file: a row of `sqlite_master`.

    Attributes:
        kind: The kind.
        name: Its name.
        table: The table that it belongs to.
        sql: Its own words.
    """

    kind: DefinitionKind
    name: str
    table: str
    sql: str

    @property
    def is_virtual(self) -> bool:
        """Tell whether it is a virtual table, whose rows lie in ordinary ones."""
        return self.sql.upper().startswith(_VIRTUAL)


def list_definitions(connection: sqlite3.Connection, schema: str) -> list[Definition]:
    """List what a file defines, in the order in which it was made; SQLite's own tables and indexes are left out."""
    rows = connection.execute(
        f"SELECT type, name, tbl_name, sql FROM {schema}.sqlite_master "
        "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
    )
    return [Definition(DefinitionKind(kind), *words) for kind, *words in rows]


def is_same_content(connection: sqlite3.Connection) -> bool:
    """Tell whether two files whose tables hold the same rows also define the same."""
    here, there = (set(list_definitions(connection, schema)) for schema in ("main", "other"))
    return here == there and all(
        connection.execute(f"PRAGMA main.{name}").fetchone() == connection.execute(f"PRAGMA other.{name}").fetchone()
        for name in ("user_version", "application_id")
    )


def take_content(connection: sqlite3.Connection, *, is_exact: bool) -> None:
    """Give `main` the content of `other`. In a transaction that the caller has begun, and ends.

    Args:
        connection: With foreign keys and checks off: the rows are taken as they are.
        is_exact: Nothing else stays. Without it, tables that `other` has not stay as they are, and so do indexes, views
            and triggers that it does not define.

    Raises:
        sqlite3.Error: Something of `main` does not fit the new content, or a definition needs what is not installed.
    """
    old, new = list_definitions(connection, "main"), list_definitions(connection, "other")
    names = {definition.name.lower() for definition in new}
    tables = [definition for definition in new if definition.kind is DefinitionKind.TABLE]
    _drop(connection, old, names, is_exact=is_exact)
    for table in tables:
        if not table.is_virtual:
            connection.execute(table.sql)
            _copy_rows(connection, table.name)
    _copy_numbers(connection, names)
    for definition in _order([definition for definition in new if definition.kind is not DefinitionKind.TABLE]):
        connection.execute(definition.sql)
    _add_virtual(connection, [table for table in tables if table.is_virtual])
    if not is_exact:
        kept = [one for one in old if one.kind is not DefinitionKind.TABLE and one.name.lower() not in names]
        for definition in _order(kept):
            _restore(connection, definition)
    for name in ("user_version", "application_id"):
        connection.execute(f"PRAGMA main.{name} = {count(connection, f'PRAGMA other.{name}')}")


def _drop(connection: sqlite3.Connection, old: Collection[Definition], names: set[str], *, is_exact: bool) -> None:
    """Drop what is replaced. Triggers and views first: a trigger would act on what happens to the rows."""
    for kind in (DefinitionKind.TRIGGER, DefinitionKind.VIEW, DefinitionKind.INDEX):
        is_all = is_exact or kind is DefinitionKind.TRIGGER
        for definition in old:
            if definition.kind is kind and (is_all or definition.name.lower() in names):
                connection.execute(f"DROP {kind.value} main.{quote_name(definition.name)}")
    # A virtual one takes its parts along.
    tables = sorted((one for one in old if one.kind is DefinitionKind.TABLE), key=lambda one: not one.is_virtual)
    for table in tables:
        if is_exact or table.name.lower() in names:
            connection.execute(f"DROP TABLE IF EXISTS main.{quote_name(table.name)}")


def _order(definitions: Collection[Definition]) -> Iterator[Definition]:
    """Put definitions into an order in which each may need those before it."""
    for kind in (DefinitionKind.INDEX, DefinitionKind.VIEW, DefinitionKind.TRIGGER):
        yield from (definition for definition in definitions if definition.kind is kind)


def _copy_rows(connection: sqlite3.Connection, table: str) -> None:
    name = quote_name(table)
    rows = connection.execute(f"PRAGMA other.table_info({name})").fetchall()
    columns = [row[1] for row in rows]
    number = _find_row_number(connection, name, rows)
    names = ", ".join([*([number] if number else []), *map(quote_name, columns)])
    # OR ABORT wins over an ON CONFLICT in the table's own words, which might drop rows.
    connection.execute(f"INSERT OR ABORT INTO main.{name} ({names}) SELECT {names} FROM other.{name}")
    found, wanted = (count(connection, f"SELECT count(*) FROM {schema}.{name}") for schema in ("main", "other"))
    if found != wanted:
        raise sqlite3.IntegrityError(f"{found} of {wanted} rows of {table} arrived")


def _find_row_number(connection: sqlite3.Connection, name: str, rows: list[tuple[object, ...]]) -> str:
    """Find the word for the number of a table's rows; empty where it has none, or a column of its own for it."""
    keys = [row for row in rows if row[5]]
    if len(keys) == 1 and str(keys[0][2]).upper() == "INTEGER":
        return ""
    taken = {str(row[1]).lower() for row in rows}
    word = next((word for word in _ROW_NUMBERS if word not in taken), "")
    try:
        connection.execute(f"SELECT {word or 'NULL'} FROM other.{name} LIMIT 0")
    except sqlite3.OperationalError:  # WITHOUT ROWID
        return ""
    return word


def _copy_numbers(connection: sqlite3.Connection, names: Collection[str]) -> None:
    """Copy the last numbers that AUTOINCREMENT has given."""
    known = "SELECT count(*) FROM {}.sqlite_master WHERE name = 'sqlite_sequence'"
    if not all(count(connection, known.format(schema)) for schema in ("main", "other")):
        return
    for name, number in connection.execute("SELECT name, seq FROM other.sqlite_sequence").fetchall():
        if str(name).lower() in names:
            connection.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", (name,))
            connection.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", (name, number))


def _add_virtual(connection: sqlite3.Connection, tables: Collection[Definition]) -> None:
    """Define virtual tables over the parts that were copied, without their module, which would make the parts anew."""
    if not tables:
        return
    connection.execute("PRAGMA writable_schema = ON")
    for table in tables:
        connection.execute(
            "INSERT INTO main.sqlite_master (type, name, tbl_name, rootpage, sql) VALUES ('table', ?, ?, 0, ?)",
            (table.name, table.name, table.sql),
        )
    connection.execute("PRAGMA writable_schema = OFF")


def _restore(connection: sqlite3.Connection, definition: Definition) -> None:
    """Define what only `main` has; views were left, and indexes of tables that stayed."""
    known = "SELECT count(*) FROM main.sqlite_master WHERE type = ? AND name = ?"
    if connection.execute(known, (definition.kind.value, definition.name)).fetchone()[0]:
        return
    try:
        connection.execute(definition.sql)
    except sqlite3.Error as error:
        raise type(error)(f"the {definition.kind.value} {definition.name} here does not fit: {error}") from error
