"""Score files: compared, merged and replaced, whole or not at all."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm.errors import TargetError
from hsm.hosts.scores.database import check_integrity, merge, remove_leftovers
from hsm.hosts.scores.replacement import replace_database
from hsm.hosts.scores.snapshot import copy_database
from hsm.hosts.scores.tables import TableComparison, compare, make_delta
from tests.marks import parametrize

SCHEMA = "CREATE TABLE ratings (name TEXT, game TEXT, rating REAL, PRIMARY KEY (game, name)); CREATE TABLE log (x)"
Rows = dict[str, float]


def write(path: Path, rows: Rows, *, wal: bool = False, schema: str = SCHEMA) -> Path:
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(schema)
        connection.executemany("INSERT INTO ratings VALUES (?, 'go', ?)", rows.items())
        connection.commit()
    return path


def read(path: Path) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT name, rating FROM ratings"))


def test_files_are_compared_by_key(tmp_path: Path) -> None:
    one = write(tmp_path / "1.db", {"a": 1000, "b": 1000, "c": 5})
    other = write(tmp_path / "2.db", {"a": 1060.5, "b": 1000, "d": 5, "e": 5})
    assert compare(one, other) == TableComparison(3, n_new=1, n_missing=2, n_differing=1, divergence=60.5)
    assert compare(one, one) == TableComparison(3, 0, 0, 0, 0.0)


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE ratings (name TEXT PRIMARY KEY, game TEXT, rating REAL)",
        "CREATE TABLE ratings (name TEXT, game TEXT, rating REAL)",
        "CREATE TABLE other (x INTEGER PRIMARY KEY); CREATE TABLE ratings (a, b, c)",
    ],
)
def test_tables_of_another_form_are_left_alone(tmp_path: Path, schema: str) -> None:
    one = write(tmp_path / "1.db", {"a": 1})
    other = write(tmp_path / "2.db", {"b": 2}, schema=schema)
    found = compare(one, other)
    assert (found.n_new, found.n_missing, found.divergence) == (0, 0, None)
    assert merge(other, one) == 0
    assert read(one) == {"a": 1}


def test_names_are_quoted(tmp_path: Path) -> None:
    schema = 'CREATE TABLE "a""b; --" ("x y" INTEGER PRIMARY KEY, "select" TEXT);'
    paths = [tmp_path / "1.db", tmp_path / "2.db"]
    for number, path in enumerate(paths):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(f'{schema} INSERT INTO "a""b; --" VALUES ({number}, \'x\')')
    assert make_delta(*paths, tmp_path / "delta.db") == 1
    assert merge(tmp_path / "delta.db", paths[1]) == 1
    assert compare(paths[1], paths[0]).n_new == 1


@pytest.mark.parametrize("wal", [True, False])
def test_new_rows_are_merged_and_old_ones_stay(tmp_path: Path, wal: bool) -> None:
    node = write(tmp_path / "node.db", {"a": 1, "b": 2, "c": 3}, wal=wal)
    authority = write(tmp_path / "authority.db", {"a": 10, "d": 4}, wal=wal)
    assert make_delta(node, authority, tmp_path / "delta.db") == 2
    assert read(tmp_path / "delta.db") == {"b": 2, "c": 3}
    assert merge(tmp_path / "delta.db", authority) == 2
    assert read(authority) == {"a": 10, "b": 2, "c": 3, "d": 4}
    assert read(tmp_path / "authority.db.hsm-backup") == {"a": 10, "d": 4}
    assert merge(tmp_path / "delta.db", authority) == 0


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.text("abc", max_size=2), st.integers(0, 9), max_size=6),
    st.dictionaries(st.text("abc", max_size=2), st.integers(0, 9), max_size=6),
)
def test_a_merge_is_a_union_in_which_the_authority_wins(
    tmp_path_factory: pytest.TempPathFactory, node: dict[str, int], authority: dict[str, int]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    ours, theirs = write(folder / "1.db", {**node}), write(folder / "2.db", {**authority})
    n_rows = make_delta(ours, theirs, folder / "delta.db")
    assert n_rows == len(node.keys() - authority.keys())
    assert merge(folder / "delta.db", theirs) == n_rows
    assert read(theirs) == {**node, **authority}


def test_rows_that_do_not_fit_change_nothing(tmp_path: Path) -> None:
    strict = "CREATE TABLE ratings (name TEXT, game TEXT, rating REAL CHECK (rating < 100), PRIMARY KEY (game, name))"
    authority = write(tmp_path / "authority.db", {"a": 1}, schema=strict)
    delta = write(tmp_path / "delta.db", {"b": 2, "c": 500})
    with pytest.raises(TargetError) as caught:
        merge(delta, authority)
    assert (caught.value.kind, read(authority)) == ("merge_failed", {"a": 1})


DELETING = {
    "a constraint": "CREATE TABLE r (k TEXT PRIMARY KEY, name TEXT UNIQUE ON CONFLICT REPLACE);",
    "a constraint of the table": "CREATE TABLE r (k TEXT PRIMARY KEY, name, UNIQUE (name) ON CONFLICT REPLACE);",
    "a trigger": """
        CREATE TABLE r (k TEXT PRIMARY KEY, name TEXT);
        CREATE TRIGGER one AFTER INSERT ON r BEGIN DELETE FROM r WHERE name = new.name AND k <> new.k; END;
    """,
    "a trigger on another table": """
        CREATE TABLE r (k TEXT PRIMARY KEY, name TEXT);
        CREATE TABLE log (x);
        CREATE TRIGGER one AFTER INSERT ON r WHEN new.k = 'c' BEGIN DELETE FROM log; END;
        INSERT INTO log VALUES (1);
    """,
}


@pytest.mark.parametrize("schema", DELETING.values(), ids=DELETING.keys())
def test_a_merge_deletes_no_row_whatever_the_table_says(tmp_path: Path, schema: str) -> None:
    authority, delta = tmp_path / "authority.db", tmp_path / "delta.db"
    for path, script in (
        (authority, f"{schema} INSERT INTO r VALUES ('a', 'ann'), ('b', 'bob');"),
        (delta, "CREATE TABLE r (k PRIMARY KEY, name); INSERT INTO r VALUES ('c', 'ann');"),
    ):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
    with closing(sqlite3.connect(authority)) as connection:
        before = list(connection.iterdump())
    with pytest.raises(TargetError, match="would be deleted by a constraint or a trigger") as caught:
        merge(delta, authority)
    assert caught.value.kind == "merge_failed"
    with closing(sqlite3.connect(authority)) as connection:
        assert list(connection.iterdump()) == before
    assert not authority.with_name("authority.db.hsm-backup").exists()


def test_a_trigger_that_counts_is_no_harm(tmp_path: Path) -> None:
    counting = """
        CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER);
        CREATE TRIGGER one AFTER INSERT ON ratings BEGIN
            INSERT OR REPLACE INTO counts SELECT new.game, count(*) FROM ratings WHERE game = new.game;
        END;
    """
    authority = write(tmp_path / "authority.db", {"a": 1}, schema=SCHEMA + ";" + counting)
    assert merge(write(tmp_path / "delta.db", {"b": 2, "c": 3}), authority) == 2
    with closing(sqlite3.connect(authority)) as connection:
        assert connection.execute("SELECT * FROM counts").fetchall() == [("go", 3)]


def test_a_table_with_more_columns_there_takes_the_rows(tmp_path: Path) -> None:
    more = (
        "CREATE TABLE ratings (name TEXT, rating REAL, moves TEXT DEFAULT 'none', game TEXT, PRIMARY KEY (game, name))"
    )
    node, authority = write(tmp_path / "node.db", {"a": 1, "b": 2}), tmp_path / "authority.db"
    with closing(sqlite3.connect(authority)) as connection:
        connection.execute(more)
        connection.execute("INSERT INTO ratings VALUES ('a', 9, 'e4', 'go')")
        connection.commit()
    assert make_delta(node, authority, tmp_path / "delta.db") == 1
    assert merge(tmp_path / "delta.db", authority) == 1
    with closing(sqlite3.connect(authority)) as connection:
        rows = connection.execute("SELECT * FROM ratings ORDER BY name").fetchall()
    assert rows == [("a", 9.0, "e4", "go"), ("b", 2.0, "none", "go")]
    assert make_delta(authority, node, tmp_path / "back.db") == 0, "a column would be lost on the way"


def test_the_parts_of_a_virtual_table_are_not_merged(tmp_path: Path) -> None:
    paths = [tmp_path / "node.db", tmp_path / "authority.db"]
    for path, text in zip(paths, ("x", "y"), strict=True):
        with closing(sqlite3.connect(path)) as connection:
            try:
                connection.execute("CREATE VIRTUAL TABLE texts USING fts5(t)")
            except sqlite3.OperationalError:
                pytest.skip("this SQLite has no full-text tables")
            connection.executemany("INSERT INTO texts VALUES (?)", [(text,)] * (1 if text == "y" else 3))
            connection.commit()
    assert make_delta(*paths, tmp_path / "delta.db") == 0


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "good.db", {f"p{n}": n for n in range(3000)})
    bad = tmp_path / "bad.db"
    content = bytearray(good.read_bytes())
    content[4096 * 2 : 4096 * 4] = b"\xff" * 8192
    for damaged in (bytes(content), b"rubbish" * 1000):
        bad.write_bytes(damaged)
        for call in (lambda: check_integrity(bad), lambda: merge(bad, good), lambda: merge(good, bad)):
            with pytest.raises(TargetError) as caught:
                call()
            assert caught.value.kind == "damaged_scores"
        with pytest.raises(TargetError):
            replace_database(bad, good)
    assert len(read(good)) == 3000
    bad.write_bytes(b"rubbish" * 1000)
    replace_database(write(tmp_path / "new.db", {"n": 1}), bad)
    assert (read(bad), (tmp_path / "bad.db.hsm-damaged").read_bytes()) == ({"n": 1}, b"rubbish" * 1000)


@pytest.mark.parametrize("wal", [True, False])
def test_a_database_in_use_is_replaced(tmp_path: Path, wal: bool) -> None:
    database = write(tmp_path / "a.db", {"old": 1}, wal=wal)
    with closing(sqlite3.connect(database)) as reader:
        assert reader.execute("SELECT name FROM ratings").fetchall() == [("old",)]
        replace_database(write(tmp_path / "new.db", {"new": 2}), database, may_lose=True)
        assert reader.execute("SELECT name FROM ratings").fetchall() == [("new",)]
        reader.execute("INSERT INTO ratings VALUES ('later', 'go', 3)")
        reader.commit()
    assert read(database) == {"new": 2, "later": 3}
    assert not (tmp_path / "new.db").exists()


def test_side_files_of_a_file_that_is_gone_are_not_played_in(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    with closing(sqlite3.connect(write(database, {"old": 1}, wal=True))) as writer:
        writer.execute("INSERT INTO ratings VALUES ('in the log', 'go', 3)")
        writer.commit()
        (tmp_path / "kept-wal").write_bytes((tmp_path / "a.db-wal").read_bytes())
    database.unlink()
    (tmp_path / "kept-wal").replace(tmp_path / "a.db-wal")
    replace_database(write(tmp_path / "new.db", {"new": 2}), database)
    assert read(database) == {"new": 2}


LOOP = """
import shutil, sys
from pathlib import Path
from hsm.hosts.scores.replacement import replace_database
folder = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for name in "12":
        shutil.copy(folder / f"{name}.db", folder / "new.db")
        replace_database(folder / "new.db", folder / "a.db")
        print(name, flush=True)
"""


@parametrize("wal", [True, False], quick=[True])
def test_killed_at_any_moment_it_is_the_old_or_the_new_one(tmp_path: Path, wal: bool) -> None:
    for name in "12":
        write(tmp_path / f"{name}.db", {f"player-{n:06}": float(name) for n in range(20_000)})
    write(tmp_path / "a.db", {f"player-{n:06}": 1.0 for n in range(20_000)}, wal=wal)
    seen = set()
    chance = random.Random(7)
    for n_replaced in (0, 1, 2, 3, 0, 1, 2, 3):
        with subprocess.Popen([sys.executable, "-c", LOOP, tmp_path], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(1 + n_replaced):
                process.stdout.readline()
            time.sleep(chance.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        check_integrity(tmp_path / "a.db", is_own=True)
        found = read(tmp_path / "a.db")
        assert len(found) == 20_000
        assert len(set(found.values())) == 1
        seen |= set(found.values())
    assert seen == {1.0, 2.0}


def test_a_file_that_a_kill_left_half_written_is_not_taken_for_damaged(tmp_path: Path) -> None:
    code = """if True:
        import os, sqlite3, sys
        connection = sqlite3.connect(sys.argv[1])
        connection.execute("PRAGMA cache_size=1")
        connection.execute("UPDATE ratings SET rating = 7, name = name || 'x'")
        os.kill(os.getpid(), 9)
    """
    database = write(tmp_path / "a.db", {f"player-{n:06}": 1.0 for n in range(20_000)})
    subprocess.run([sys.executable, "-c", code, database], check=False)
    assert (tmp_path / "a.db-journal").exists()
    copy_database(database, tmp_path / "copy.db")
    assert set(read(tmp_path / "copy.db").values()) == {1.0}
    subprocess.run([sys.executable, "-c", code, database], check=False)
    replace_database(write(tmp_path / "new.db", {"new": 2}), database, may_lose=True)
    assert read(database) == {"new": 2}
    assert not (tmp_path / "a.db.hsm-damaged").exists()


def test_leftovers_of_killed_pulls_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".hsm-pull-1").touch()
    (tmp_path / "mine").touch()
    remove_leftovers(tmp_path)
    assert (tmp_path / ".hsm-pull-1").exists()
    remove_leftovers(tmp_path, older_than_seconds=-1)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["mine"]
