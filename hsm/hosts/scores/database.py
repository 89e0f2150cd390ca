"""Score files: SQLite files that are checked, merged by primary key in one step, and kept before each change."""

from __future__ import annotations

import contextlib
import filecmp
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hsm.errors import DamagedScoresError, TargetError
from hsm.hosts.scores.census import Census
from hsm.hosts.scores.snapshot import copy_database
from hsm.hosts.scores.tables import insert_missing, open_database

SIDE_FILES = ("-wal", "-shm", "-journal")

_N_KEPT = 3

_MOST_FINDINGS = 10_000
_BROKEN_RULES = ("CHECK constraint failed in ", "NULL value in ")


def check_integrity(path: Path, *, is_own: bool = False) -> None:
    """Let SQLite check a whole file.

    Args:
        path: The file.
        is_own: It may be written to. After a kill SQLite has to roll back the file's journal before it can be read:
            opened read-only, such a file looks damaged.

    Raises:
        TargetError: It is damaged or no SQLite file (kind `damaged_scores`), or cannot be opened (`scores_locked`).
    """
    try:
        with closing(open_database(path, mode="rw" if is_own else "ro")) as connection:
            found = _find_damage(connection)
    except sqlite3.OperationalError as error:
        raise TargetError(
            f"{path} cannot be opened: {error}.",
            hint="Check its permissions, and whether another program keeps it locked.",
            kind="scores_locked",
        ) from error
    except sqlite3.Error as error:
        found = str(error)
    if found:
        raise DamagedScoresError(
            f"{path} is damaged: {found}.",
            hint="Restore it; FILE.hsm-backup beside it is what was there before the last merge or pull.",
        )


def _find_damage(connection: sqlite3.Connection) -> str:
    """Let SQLite check `main`, and name the first damage; empty where there is none.

    A row that does not keep a rule of its table is none: the file is whole, and such rows were allowed once.
    """
    connection.execute("PRAGMA ignore_check_constraints=ON")
    lines = (str(line) for (line,) in connection.execute(f"PRAGMA main.integrity_check({_MOST_FINDINGS})"))
    return next((line for line in lines if line != "ok" and not line.startswith(_BROKEN_RULES)), "")


def merge(delta: Path, database: Path) -> int:
    """Put the rows of a file whose keys the database has not into it, in one transaction.

    Nothing is changed or removed: rows that would push others out, by an `ON CONFLICT REPLACE` of the table or by a
    trigger, do not fit. Before it the former content is copied to `FILE.hsm-backup`. Both files are checked before, the
    result before it is committed: a failure, or a kill at any moment, leaves what was there.

    Returns:
        The number of rows that were put in.

    Raises:
        TargetError: A file is damaged (kind `damaged_scores`), or the rows do not fit (`merge_failed`).
    """
    check_integrity(delta)
    check_integrity(database, is_own=True)
    try:
        with begin(database, delta) as connection:
            census = Census(connection)
            n_rows = insert_missing(connection)
            if lost := census.find_lost():
                raise sqlite3.IntegrityError(
                    f"rows of {lost} would be deleted by a constraint or a trigger of the table"
                )
            if n_rows:
                finish(connection, database)
    except sqlite3.Error as error:
        raise TargetError(
            f"The rows cannot be merged into {database}: {error}.", hint="Nothing was changed.", kind="merge_failed"
        ) from error
    check_integrity(database, is_own=True)
    return n_rows


@contextmanager
def begin(database: Path, other: Path, *, as_it_is: bool = False) -> Iterator[sqlite3.Connection]:
    """Begin a transaction in a database, as `main`, beside another file, as `other`; it is rolled back at the end.

    Nobody else writes meanwhile: the lock to write is taken at the beginning. Asked for later, it fails where somebody
    has written since.

    Args:
        database: The database.
        other: The other file.
        as_it_is: Rows are taken without a look at checks and foreign keys, which concern how they came to be.
    """
    with closing(open_database(database, mode="rw")) as connection:
        if as_it_is:
            connection.execute("PRAGMA foreign_keys=OFF")
            connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute("ATTACH ? AS other", (f"{other.absolute().as_uri()}?mode=ro",))
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def finish(connection: sqlite3.Connection, database: Path) -> None:
    """Check the new content of a database, keep the former one as `FILE.hsm-backup`, and commit.

    Raises:
        sqlite3.Error: Nothing was changed.
    """
    if found := _find_damage(connection):
        raise sqlite3.DatabaseError(found)
    _back_up(database)
    connection.execute("COMMIT")


def keep(path: Path, aside: Path) -> None:
    """Give a file a name under which the last three are kept: `aside`, then with `-2` and `-3`; `path` is used up."""
    if aside.is_file() and filecmp.cmp(path, aside, shallow=False):
        path.unlink()  # a change that failed at its last step has kept it already
        return
    names = [aside, *(aside.with_name(f"{aside.name}-{number}") for number in range(2, _N_KEPT + 1))]
    for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)
    path.replace(aside)


def _back_up(database: Path) -> None:
    """Keep the content that was committed last; another connection sees that until a transaction is committed."""
    beside = database.with_name(f".hsm-backup-{os.getpid()}-{time.monotonic_ns()}")
    try:
        copy_database(database, beside)
        keep(beside, database.with_name(f"{database.name}.hsm-backup"))
    finally:
        beside.unlink(missing_ok=True)


def remove_leftovers(folder: Path, *, older_than_seconds: float = 3600.0) -> None:
    """Remove the files that a killed pull has left in a folder."""
    for path in [*folder.glob(".hsm-pull-*"), *folder.glob(".hsm-fetch-*"), *folder.glob(".hsm-backup-*")]:
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > older_than_seconds:
                path.unlink()
