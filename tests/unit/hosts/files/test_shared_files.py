"""Shared files and snapshots: no path leads out of the root, and no copy is torn."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.hosts.files.shared_files import Digests, RangeError, open_shared, parse_range
from hsm.hosts.scores.snapshot import Snapshots, copy_database


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub" / ".git").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("out")
    for name in ("a.txt", "sub/b.txt", "sub/.git/config", ".env", "sub/id_rsa", "sub/x.pem"):
        (folder / name).write_text("in")
    (folder / "inside").symlink_to("sub/b.txt")
    (folder / "absolute").symlink_to(folder / "a.txt")
    (folder / "outside").symlink_to("../secret.txt")
    (folder / "up").symlink_to("..")
    (folder / "to-hidden").symlink_to(".env")
    (folder / "circle").symlink_to("circle")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("path", ["a.txt", "/a.txt", "sub/b.txt", "sub/../a.txt", "inside", "absolute", "./a.txt"])
def test_files_below_the_root_are_opened(root: Path, path: str) -> None:
    file = open_shared(root, path)
    assert os.read(file.descriptor, 10) == b"in"
    assert file.size == 2
    file.close()


@pytest.mark.parametrize(
    "path",
    [
        "", "/", ".", "..", "../secret.txt", "sub/../../secret.txt", "outside", "up/secret.txt", "/etc/passwd", "sub",
        "absent", "a.txt/x", "pipe", "circle", ".env", "to-hidden", "sub/.git/config", "sub/id_rsa", "sub/x.pem",
        "a\0b", "x" * 5000, "x" * 300, "\udcff",
    ],
)  # fmt: skip
def test_nothing_else_is(root: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        open_shared(root, path)


def test_a_root_behind_a_symlink_is_served(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    open_shared(link, "a.txt").close()


def test_tags_change_with_the_content(root: Path) -> None:
    one = open_shared(root, "a.txt")
    (root / "a.txt").write_text("other")
    other = open_shared(root, "a.txt")
    assert one.etag != other.etag
    digests = Digests()
    assert digests.make(other) == digests.make(other) == hashlib.sha256(b"other").digest()
    one.close()
    other.close()


RANGES = {
    "bytes=0-0": (0, 1),
    "bytes=2-": (2, 10),
    "bytes=2-100": (2, 10),
    "bytes=-3": (7, 10),
    "bytes=-100": (0, 10),
    "bytes = 1-2": (1, 3),
    "bytes=0-1,3-4": None,
    "bytes=3-1": None,
    "lines=0-1": None,
    "bytes=x-1": None,
    "bytes": None,
    "": None,
    "bytes=--1": None,
    "bytes=²-": None,
}  # fmt: skip


@pytest.mark.parametrize(("header", "expected"), RANGES.items())
def test_ranges(header: str, expected: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=-"])
def test_ranges_outside_of_the_file(header: str) -> None:
    with pytest.raises(RangeError):
        parse_range(header, 10)


@given(st.text("bytes=-0123456789,", max_size=20), st.integers(0, 50))
def test_a_range_lies_in_the_file(header: str, size: int) -> None:
    try:
        found = parse_range(header, size)
    except RangeError:
        found = None
    assert found is None or 0 <= found[0] < found[1] <= size


def make_database(path: Path, n_rows: int = 3, *, wal: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE ratings (name TEXT PRIMARY KEY, rating REAL)")
    connection.executemany("INSERT INTO ratings VALUES (?, ?)", [(f"p{n}", float(n)) for n in range(n_rows)])
    connection.commit()
    return connection


def count_rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM ratings").fetchone()[0])


@pytest.mark.parametrize("wal", [True, False])
def test_a_copy_has_what_is_committed_and_nothing_else(tmp_path: Path, wal: bool) -> None:
    with closing(make_database(tmp_path / "it's a.db", wal=wal)) as writer:
        writer.execute("INSERT INTO ratings VALUES ('open', 0)")
        copy_database(tmp_path / "it's a.db", tmp_path / "copy.db")
        assert count_rows(tmp_path / "copy.db") == 3
        assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]
        writer.rollback()


def test_snapshots_are_made_when_the_file_has_changed(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "a.db")
    with closing(make_database(tmp_path / "a.db", wal=True)) as writer:
        first = snapshots.get_newest()
        assert snapshots.get_newest() == first
        assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.digest
        for number in range(3):
            writer.execute("INSERT INTO ratings VALUES (?, 0)", (f"new{number}",))
            writer.commit()
            newest = snapshots.get_newest()
            assert count_rows(newest.path) == 4 + number
            assert snapshots.get(newest.digest) == newest
        assert snapshots.get(first.digest) is None
        assert not first.path.exists()
    snapshots.close()
    assert not newest.path.exists()


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    snapshots = Snapshots(database)
    with closing(make_database(database)) as writer:
        at = database.stat().st_mtime_ns
        first = snapshots.get_newest()
        writer.execute("UPDATE ratings SET rating = rating + 1")
        writer.commit()
        os.utime(database, ns=(at, at))
        assert snapshots.get_newest().digest != first.digest
    snapshots.close()


def test_what_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database" * 1000)
    snapshots = Snapshots(tmp_path / "a.db")
    with pytest.raises(sqlite3.DatabaseError):
        snapshots.get_newest()
    snapshots.close()
