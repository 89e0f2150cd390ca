"""Score files: SQLite files that are merged by primary key, and replaced, in one step each."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from hsm.errors import DamagedScoresError, TargetError
from hsm.hosts.scores.snapshot import copy_database
from hsm.hosts.scores.tables import BUSY_SECONDS, insert_missing, open_database

_SIDE_FILES = ("-wal", "-shm", "-journal")


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
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])  # the first mistake is enough
    except sqlite3.OperationalError as error:
        raise TargetError(
            f"{path} cannot be opened: {error}.",
            hint="Check its permissions, and whether another program keeps it locked.",
            kind="scores_locked",
        ) from error
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise DamagedScoresError(
            f"{path} is damaged: {found}.",
            hint="Restore it; a merge leaves the former file beside it as FILE.hsm-backup.",
        )


def merge(delta: Path, database: Path) -> int:
    """Put the rows of a file whose keys the database has not into it, in one transaction.

    Nothing is changed or removed.
    Before it the former content is copied to `FILE.hsm-backup`. Both files are checked before, the result before it
    is committed: a failure, or a kill at any moment, leaves what was there.

    Returns:
        The number of rows that were put in.

    Raises:
        TargetError: A file is damaged (kind `damaged_scores`), or the rows do not fit (`merge_failed`).
    """
    check_integrity(delta)
    check_integrity(database, is_own=True)
    try:
        _back_up(database)
        with closing(open_database(database, mode="rw")) as connection:
            connection.execute("ATTACH ? AS other", (f"{delta.absolute().as_uri()}?mode=ro",))
            # With the lock to write from the beginning: asked for later, it fails where somebody has written since.
            connection.execute("BEGIN IMMEDIATE")
            n_rows = insert_missing(connection)
            found = str(connection.execute("PRAGMA main.integrity_check(1)").fetchone()[0])
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise TargetError(
            f"The rows cannot be merged into {database}: {error}.", hint="Nothing was changed.", kind="merge_failed"
        ) from error
    check_integrity(database, is_own=True)
    return n_rows


def replace_database(new: Path, database: Path) -> None:
    """Give a database the content of another file, in one step; `new` is used up.

    A database that is there gets the content by SQLite's backup API, in one transaction, so programs that have it open
    go on with the old content or the new one, and its write-ahead log stays its own. Killed at any moment, it is the
    old one or the new one, whole, to everybody who opens it with SQLite. A file that is damaged or no database is kept
    as `FILE.hsm-damaged`.

    Raises:
        TargetError: The new file is damaged (kind `damaged_scores`), or the database stays locked (`scores_locked`).
        OSError: It cannot be written.
    """
    check_integrity(new)
    # A rename would put the new file under the old one's write-ahead log, and under programs that have it open.
    if database.exists() and _is_database(database):
        _overwrite(new, database)
    else:
        aside = database.with_name(f"{database.name}.hsm-damaged")
        if database.exists():
            _link(database).replace(aside)
        for suffix in _SIDE_FILES:  # they belong to the former file, and would be played into the new one
            with contextlib.suppress(FileNotFoundError):
                Path(f"{database}{suffix}").replace(f"{aside}{suffix}")
        new.replace(database)
    new.unlink(missing_ok=True)
    check_integrity(database, is_own=True)


def _back_up(database: Path) -> None:
    beside = database.with_name(f".hsm-backup-{os.getpid()}-{time.monotonic_ns()}")
    try:
        copy_database(database, beside)
        beside.replace(database.with_name(f"{database.name}.hsm-backup"))
    finally:
        beside.unlink(missing_ok=True)


def _overwrite(new: Path, database: Path) -> None:
    deadline = time.monotonic() + BUSY_SECONDS

    def give_up(_status: int, _left: int, _total: int) -> None:  # without it Python tries for ever
        if time.monotonic() > deadline:
            raise TimeoutError

    try:
        with closing(open_database(new)) as reading, closing(sqlite3.connect(database, timeout=1.0)) as writing:
            reading.backup(writing, progress=give_up)
    except (sqlite3.Error, TimeoutError) as error:
        raise TargetError(
            f"{database} cannot be replaced: {str(error) or 'another program keeps it locked'}.",
            hint="End what writes to it, and try again. It is as it was.",
            kind="scores_locked",
        ) from error


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


def _link(path: Path) -> Path:
    """Make a second name of a file beside it, so that the first is there until something takes its place."""
    beside = path.with_name(f".hsm-damaged-{os.getpid()}-{time.monotonic_ns()}")
    os.link(path, beside)
    return beside


def remove_leftovers(folder: Path, *, older_than_seconds: float = 3600.0) -> None:
    """Remove the files that a killed pull has left in a folder."""
    for path in [*folder.glob(".hsm-pull-*"), *folder.glob(".hsm-fetch-*"), *folder.glob(".hsm-backup-*")]:
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > older_than_seconds:
                path.unlink()
