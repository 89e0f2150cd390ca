"""Snapshots of a SQLite file that other programs go on writing to, by SQLite's backup API."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from collections import OrderedDict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hsm.hosts.files.shared_files import Digests, describe_open
from hsm.hosts.scores.tables import get_mode, open_database

_KEPT = 3  # a client may read one for minutes while others ask for newer ones

_SETTLED_NS = 2 * 10**9
"""The longest step in which a file system stamps files."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One copy.

    Attributes:
        path: The file; nobody writes to it.
        digest: Its SHA-256, hex.
    """

    path: Path
    digest: str


class Snapshots:
    """Maker of copies when the file has changed; it keeps the last ones for clients that still read them. Thread-safe.

    Args:
        database: The SQLite file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._folder = tempfile.TemporaryDirectory(prefix="hsm-snapshots-")
        self._kept: OrderedDict[str, Snapshot] = OrderedDict()
        self._state: tuple[tuple[int, ...], ...] = ()
        self._lock = threading.Lock()
        self._n_made = 0

    def get_newest(self) -> Snapshot:
        """Return a copy of the file's content; an unchanged file is not copied again.

        Raises:
            sqlite3.Error: It is no SQLite file, or stays locked.
            OSError: It cannot be read, or the copy not be written.
        """
        with self._lock:
            state = self._read_state()
            if not self._kept or state != self._state:
                snapshot = self._make()
                # A change within the same tick of the clock that stamps files would not show in the state.
                newest = max(time_ns for *_, time_ns in state)
                self._state = state if time.time_ns() - newest > _SETTLED_NS else ()
                same = self._kept.pop(snapshot.digest, None)
                if same:
                    snapshot.path.unlink(missing_ok=True)
                    snapshot = same
                self._kept[snapshot.digest] = snapshot
                while len(self._kept) > _KEPT:
                    _, old = self._kept.popitem(last=False)
                    old.path.unlink(missing_ok=True)
            return next(reversed(self._kept.values()))

    def get(self, digest: str) -> Snapshot | None:
        """Return the copy with this SHA-256, as long as it is kept."""
        with self._lock:
            return self._kept.get(digest)

    def close(self) -> None:
        """Remove all copies."""
        self._folder.cleanup()

    def _read_state(self) -> tuple[tuple[int, ...], ...]:
        """Read inode, size and time of the file, its write-ahead log and its journal: one of them changes with it."""
        found = []
        for suffix in ("", "-wal", "-journal"):
            try:
                status = Path(f"{self._database}{suffix}").stat()
            except FileNotFoundError:
                if not suffix:
                    raise
                continue
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _make(self) -> Snapshot:
        self._n_made += 1
        path = Path(self._folder.name) / f"{self._n_made}.db"
        try:
            copy_database(self._database, path)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                digest = Digests().make(describe_open(descriptor)).hex()
            finally:
                os.close(descriptor)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Snapshot(path, digest)


def copy_database(source: Path, to: Path) -> None:
    """Copy a SQLite file as one transaction sees it, into one file without a write-ahead log.

    Raises:
        sqlite3.Error: The source is no SQLite file, or stays locked.
    """
    with (
        closing(open_database(source, mode=get_mode(source))) as reading,
        closing(sqlite3.connect(to)) as writing,
    ):
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
        reading.backup(writing)
        # Else the copy has the mode of the source, and a write-ahead log beside it.
        writing.execute("PRAGMA journal_mode=DELETE").fetchone()
