"""Score files whose content is replaced by the coordinator's, in one transaction, and never at the cost of own rows."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import DamagedScoresError, RefusedError, TargetError
from hsm.hosts.scores.content import is_same_content, list_definitions, take_content
from hsm.hosts.scores.database import SIDE_FILES, begin, check_integrity, finish, keep
from hsm.hosts.scores.losses import TableLoss, is_equal_table, list_losses, make_refusal
from hsm.hosts.scores.numbers import HighestNumbers
from hsm.hosts.scores.tables import (
    TableComparison,
    compare_attached,
    list_table_names,
    open_database,
)


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replacement that succeeded.

    Attributes:
        before: Differences of the former content from the new one; None where there was none.
        kept_tables: Tables that the new content has not, which stayed.
        was_damaged: The former file was damaged, and was set aside.
    """

    before: TableComparison | None = None
    kept_tables: tuple[str, ...] = ()
    was_damaged: bool = False


def replace_database(
    new: Path, database: Path, *, may_lose: bool = False, numbers: HighestNumbers | None = None
) -> Replacement:
    """Give a database the content of another file, in one step; `new` is used up.

    A database that is there gets it in one transaction, which begins before the two are compared: what another program
    writes lies before or after it. Programs that have the file open go on with the old content or the new one, and its
    write-ahead log stays its own. Killed at any moment, it is the old one or the new one, whole, to everybody who opens
    it with SQLite. The former content is kept as `FILE.hsm-backup`, the last three of them. Where the content is the
    same, nothing is written. A file that is damaged or no database is kept as `FILE.hsm-damaged`, likewise.

    Args:
        new: The other file.
        database: The database; it may be missing.
        may_lose: It becomes exactly the other one. Without it, tables that the other has not stay, and the replacement
            is refused where rows or columns would be lost.
        numbers: As `hsm.hosts.scores.losses.list_losses` takes them.

    Raises:
        RefusedError: Something would be lost (kind `unpushed_rows`), or the new file has no table and the database has
            some (`empty_scores`).
        TargetError: The new file is damaged (kind `damaged_scores`), the database stays locked (`scores_locked`), or
            the content does not fit (`pull_failed`).
        OSError: It cannot be written.
    """
    _settle(new)
    check_integrity(new)
    was_there = database.exists() or not _place(new, database)
    if was_there and _is_database(database):
        return _replace(new, database, may_lose=may_lose, numbers=numbers)
    if was_there:
        _set_aside(database)
        new.replace(database)
    check_integrity(database, is_own=True)
    return Replacement(was_damaged=was_there)


def _settle(new: Path) -> None:
    """Take a file out of the mode that has a write-ahead log beside it: it may be a copy of one that had."""
    with contextlib.suppress(sqlite3.Error), closing(open_database(new, mode="rw")) as connection:  # a check tells
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()


def _place(new: Path, database: Path) -> bool:
    """Put a file where there is none; False where somebody made one meanwhile."""
    _move_side_files(database)
    try:
        os.link(new, database)  # never over a file that has come into being since
    except FileExistsError:
        return False
    except OSError:  # a file system without links: the content goes into an empty database
        database.touch()
        return False
    new.unlink()
    return True


def _set_aside(database: Path) -> None:
    """Keep a damaged file under another name; the first name is there until something takes its place."""
    beside = database.with_name(f".hsm-damaged-{os.getpid()}-{time.monotonic_ns()}")
    os.link(database, beside)
    keep(beside, database.with_name(f"{database.name}.hsm-damaged"))
    _move_side_files(database)


def _move_side_files(database: Path) -> None:
    """Move the side files of a file that is gone or damaged: they would be played into the new one."""
    for suffix in SIDE_FILES:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{database}{suffix}").replace(f"{database}.hsm-damaged{suffix}")


def _is_database(path: Path) -> bool:
    """Tell whether it is a SQLite file that is not damaged.

    Raises:
        TargetError: That cannot be told, since it cannot be opened (kind `scores_locked`).
    """
    try:
        check_integrity(path, is_own=True)
    except DamagedScoresError:
        return False
    return True


def _replace(new: Path, database: Path, *, may_lose: bool, numbers: HighestNumbers | None) -> Replacement:
    try:
        with begin(database, new, as_it_is=True) as connection:
            before, losses = compare_attached(connection), list_losses(connection, numbers)
            kept = () if may_lose else _check_losses(connection, database, losses)
            if not _is_same(connection, before, losses):
                take_content(connection, is_exact=may_lose)
                finish(connection, database)
    except sqlite3.Error as error:
        is_locked = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        raise TargetError(
            f"{database} cannot be replaced: {error}.",
            hint="End what writes to it, and try again. It is as it was." if is_locked else "It is as it was.",
            kind="scores_locked" if is_locked else "pull_failed",
        ) from error
    new.unlink()
    check_integrity(database, is_own=True)
    return Replacement(before, kept)


def _check_losses(connection: sqlite3.Connection, database: Path, losses: list[TableLoss]) -> tuple[str, ...]:
    """Refuse what would be lost; returns the tables that can stay beside the new content."""
    taken = {definition.name.lower() for definition in list_definitions(connection, "other")}
    stay = [loss for loss in losses if not loss.has_table and loss.table.lower() not in taken]
    if losses and not list_table_names(connection, "other", with_parts=True):
        raise RefusedError(
            f"The coordinator's file is empty, and {database} has {sum(loss.n_rows for loss in losses):,} rows.",
            hint="Look at the coordinator's file; `hsm hosts scores pull --discard` empties the one here.",
            kind="empty_scores",
        )
    lost = [loss for loss in losses if loss not in stay]
    if lost:
        raise make_refusal(database, lost)
    return tuple(loss.table for loss in stay)


def _is_same(connection: sqlite3.Connection, before: TableComparison, losses: list[TableLoss]) -> bool:
    """Tell whether nothing would change."""
    if losses or before.n_missing or before.n_differing or not is_same_content(connection):
        return False
    return all(is_equal_table(connection, name) for name in list_table_names(connection, "main", with_parts=True))
