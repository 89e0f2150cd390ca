"""Score files replaced by the coordinator's: nothing that only this machine has is lost."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm.errors import RefusedError, TargetError
from hsm.hosts.scores.numbers import read_highest_numbers
from hsm.hosts.scores.replacement import Replacement, replace_database
from hsm.hosts.scores.snapshot import copy_database

GAMES = "CREATE TABLE games (id TEXT PRIMARY KEY, winner TEXT);"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here.db"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there.db"


def write(path: Path, script: str, *, wal: bool = False) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(script)
        connection.commit()
    return path


def ask(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


try:
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.execute("CREATE VIRTUAL TABLE texts USING fts5(t)")
    HAS_TEXTS = True
except sqlite3.OperationalError:
    HAS_TEXTS = False

LOST = {
    "an empty file": ("", GAMES + "INSERT INTO games VALUES ('a', 'x'), ('b', 'x')", "empty_scores", "2 rows"),
    "a row": (
        GAMES,
        GAMES + "INSERT INTO games VALUES ('a', 'x')",
        "unpushed_rows",
        "1 row that the coordinator has not (games: 1)",
    ),
    "a row beside another column there": (
        "CREATE TABLE games (id TEXT PRIMARY KEY, winner TEXT, moves TEXT); INSERT INTO games VALUES ('a', 'x', '')",
        GAMES + "INSERT INTO games VALUES ('a', 'x'), ('b', 'x'), ('c', 'x')",
        "unpushed_rows",
        "2 rows that the coordinator has not (games: 2)",
    ),
    "a column": (
        GAMES + "INSERT INTO games VALUES ('a', 'x')",
        "CREATE TABLE games (id TEXT PRIMARY KEY, winner TEXT, moves TEXT); INSERT INTO games VALUES ('a', 'x', 'e4')",
        "unpushed_rows",
        "the columns games.moves",
    ),
    "rows of a table without a key": (
        "CREATE TABLE log (x, y); INSERT INTO log VALUES (1, NULL), (2, 2)",
        "CREATE TABLE log (x, y); INSERT INTO log VALUES (1, NULL), (1, NULL), (3, 3), ('2', 2)",
        "unpushed_rows",
        "3 rows that the coordinator has not (log: 3)",
    ),
    "a row that is another byte by byte": (
        "CREATE TABLE log (x TEXT COLLATE NOCASE); INSERT INTO log VALUES ('a')",
        "CREATE TABLE log (x TEXT COLLATE NOCASE); INSERT INTO log VALUES ('A')",
        "unpushed_rows",
        "1 row that",
    ),
    "rows without a key": (
        GAMES + "INSERT INTO games VALUES (NULL, 'x')",
        GAMES + "INSERT INTO games VALUES (NULL, 'x'), (NULL, 'y')",
        "unpushed_rows",
        "1 row that",
    ),
    "rows under another key": (
        "CREATE TABLE r (a, b, PRIMARY KEY (a, b)); INSERT INTO r VALUES (1, 1)",
        "CREATE TABLE r (a PRIMARY KEY, b); INSERT INTO r VALUES (1, 2)",
        "unpushed_rows",
        "1 row that the coordinator has not (r: 1)",
    ),
    "rows of a table without row numbers": (
        "CREATE TABLE r (a PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE r (a PRIMARY KEY) WITHOUT ROWID; INSERT INTO r VALUES (7)",
        "unpushed_rows",
        "1 row that the coordinator has not (r: 1)",
    ),
    "a table that is a view there": (
        GAMES + "CREATE VIEW best AS SELECT * FROM games",
        GAMES + "CREATE TABLE best (x); INSERT INTO best VALUES (1)",
        "unpushed_rows",
        "1 row that the coordinator has not (best: 1)",
    ),
    "rows of a virtual table": (
        "CREATE VIRTUAL TABLE texts USING fts5(t); INSERT INTO texts VALUES ('x')",
        "CREATE VIRTUAL TABLE texts USING fts5(t); INSERT INTO texts VALUES ('x'), ('y')",
        "unpushed_rows",
        "1 row that the coordinator has not (texts_content: 1)",
    ),
    "a table of another case": (
        GAMES,
        "CREATE TABLE Games (ID TEXT PRIMARY KEY, Winner TEXT); INSERT INTO Games VALUES ('a', 'x')",
        "unpushed_rows",
        "1 row that the coordinator has not (Games: 1)",
    ),
}


@pytest.mark.parametrize(("new", "old", "kind", "words"), LOST.values(), ids=LOST.keys())
@pytest.mark.parametrize("wal", [True, False])
def test_what_only_this_file_has_is_not_lost(
    here: Path, there: Path, new: str, old: str, kind: str, words: str, wal: bool
) -> None:
    if "VIRTUAL" in old and not HAS_TEXTS:
        pytest.skip("this SQLite has no full-text tables")
    write(here, old, wal=wal)
    before = dump(here)
    with pytest.raises(RefusedError) as caught:
        replace_database(write(there, new), here)
    assert (caught.value.kind, caught.value.exit_code) == (kind, 12)
    assert words in caught.value.message
    assert "--discard" in caught.value.hint
    assert dump(here) == before
    assert not here.with_name("here.db.hsm-backup").exists()
    replace_database(write(there, ""), here, may_lose=True)
    assert dump(here) == dump(write(there, new)) or new == ""
    assert dump(here.with_name("here.db.hsm-backup")) == before


def test_what_a_push_does_not_bring_is_named(here: Path, there: Path) -> None:
    script = GAMES + "CREATE TABLE log (x);"
    write(here, script + "INSERT INTO games VALUES ('a', 'x'); INSERT INTO log VALUES (1)")
    with pytest.raises(RefusedError) as caught:
        replace_database(write(there, script), here)
    assert caught.value.hint.startswith("A push does not bring log: ")
    assert "`hsm hosts scores push`" in caught.value.hint


NUMBERED = "CREATE TABLE games (id INTEGER PRIMARY KEY, winner TEXT);"


@pytest.mark.parametrize(
    ("numbers", "is_refused"),
    [
        pytest.param({"games": 1}, True, id="made here since the last pull"),
        pytest.param({"games": 2}, False, id="of the last pull"),
        pytest.param({}, True, id="never pulled"),
        pytest.param(None, False, id="pulled by a version that noted no numbers"),
    ],
)
def test_two_rows_that_meet_under_one_number_are_two(
    here: Path, there: Path, numbers: dict[str, int] | None, is_refused: bool
) -> None:
    write(here, f"{NUMBERED} INSERT INTO games (winner) VALUES ('ann'), ('made here')")
    write(there, f"{NUMBERED} INSERT INTO games (winner) VALUES ('ann'), ('made there'), ('too')")
    assert read_highest_numbers(there) == {"games": 3}
    if is_refused:
        with pytest.raises(RefusedError, match=r"1 row that .* \(games: 1\)") as caught:
            replace_database(there, here, numbers=numbers)
        assert "the numbers of 1 of them are those of other rows there" in caught.value.hint
    else:
        replace_database(there, here, numbers=numbers)
        assert len(ask(here, "SELECT * FROM games")) == 3


@pytest.mark.parametrize("table", ["(id INTEGER PRIMARY KEY, x) WITHOUT ROWID", "(id INT PRIMARY KEY, x)", "(x)"])
def test_other_keys_are_no_numbers(there: Path, table: str) -> None:
    assert read_highest_numbers(write(there, f"CREATE TABLE t {table}")) == {}
    there.write_bytes(b"rubbish" * 1000)
    assert read_highest_numbers(there) == {}


def test_what_the_other_does_not_define_stays(here: Path, there: Path) -> None:
    own = """
        CREATE TABLE notes (text);
        INSERT INTO notes VALUES ('mine');
        CREATE INDEX by_winner ON games (winner);
        CREATE INDEX by_text ON notes (text);
        CREATE VIEW wins AS SELECT winner, count(*) AS n FROM games GROUP BY winner;
        CREATE TRIGGER gone AFTER DELETE ON games BEGIN INSERT INTO notes VALUES (old.id); END;
    """
    write(here, f"{GAMES} INSERT INTO games VALUES ('a', 'x'); {own}")
    write(there, f"{GAMES} INSERT INTO games VALUES ('a', 'y'), ('b', 'y');")
    assert replace_database(there, here).kept_tables == ("notes",)
    assert ask(here, "SELECT * FROM games ORDER BY id") == [("a", "y"), ("b", "y")]
    assert ask(here, "SELECT * FROM notes") == [("mine",)], "no trigger has acted"
    assert ask(here, "SELECT * FROM wins") == [("y", 2)]
    names = {name for (name,) in ask(here, "SELECT name FROM sqlite_master WHERE sql IS NOT NULL")}
    assert names == {"games", "notes", "by_winner", "by_text", "wins", "gone"}


def test_an_index_here_that_the_new_rows_do_not_keep_refuses_them(here: Path, there: Path) -> None:
    write(here, f"{GAMES} INSERT INTO games VALUES ('a', 'x'); CREATE UNIQUE INDEX one ON games (winner);")
    write(there, f"{GAMES} INSERT INTO games VALUES ('a', 'y'), ('b', 'y');")
    before = dump(here)
    with pytest.raises(TargetError, match="the index one here does not fit") as caught:
        replace_database(there, here)
    assert (caught.value.kind, dump(here)) == ("pull_failed", before)


ALL_KINDS = """
    PRAGMA user_version = 7;
    PRAGMA application_id = 99;
    CREATE TABLE plain (x, y TEXT DEFAULT 'd', rowid TEXT);
    INSERT INTO plain (_rowid_, x, rowid) VALUES (5, 1, 'a'), (9, x'00ff', NULL);
    CREATE TABLE numbered (id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE ON CONFLICT REPLACE);
    INSERT INTO numbered (x) VALUES ('a'), ('b'), ('c');
    DELETE FROM numbered WHERE x = 'c';
    CREATE TABLE "with ""quotes"" in" ("a b" PRIMARY KEY, "select") WITHOUT ROWID;
    INSERT INTO "with ""quotes"" in" VALUES ('x', 1.5);
    CREATE TABLE made (a INTEGER, b AS (a * 2) STORED, c AS (a + 1));
    INSERT INTO made (a) VALUES (21);
    CREATE TABLE checked (a CHECK (a > 0), b NOT NULL REFERENCES numbered (id) ON DELETE CASCADE);
    INSERT INTO checked VALUES (1, 77);
    CREATE UNIQUE INDEX by_x ON plain (x, lower(y)) WHERE x IS NOT NULL;
    CREATE VIEW two AS SELECT * FROM plain JOIN numbered;
    CREATE TRIGGER doubled AFTER INSERT ON numbered BEGIN INSERT INTO plain (x) VALUES (new.x); END;
"""


def read_all(path: Path) -> dict[str, object]:
    """Everything that a file holds, row numbers included."""
    queries = {
        "schema": "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
        "version": "PRAGMA user_version",
        "application": "PRAGMA application_id",
        "numbers": "SELECT * FROM sqlite_sequence",
        "plain": "SELECT _rowid_, * FROM plain",
        "made": "SELECT rowid, * FROM made",
        "checked": "SELECT rowid, * FROM checked",
        "numbered": "SELECT * FROM numbered",
        "quoted": 'SELECT * FROM "with ""quotes"" in"',
    }
    return {name: ask(path, query) for name, query in queries.items()}


@pytest.mark.parametrize("before", ["", ALL_KINDS, "PRAGMA page_size = 512; CREATE TABLE numbered (y);"])
@pytest.mark.parametrize("wal", [True, False])
def test_all_kinds_of_content_arrive_as_they_are(here: Path, there: Path, before: str, wal: bool) -> None:
    write(there, ALL_KINDS + "UPDATE plain SET y = 'new'; PRAGMA ignore_check_constraints = 1;")
    write(there, "PRAGMA ignore_check_constraints = 1; INSERT INTO checked VALUES (-1, 2)")
    expected = read_all(there)
    replace_database(there, write(here, before, wal=wal), may_lose=True)
    assert read_all(here) == expected


@pytest.mark.parametrize("before", ["", "CREATE VIRTUAL TABLE texts USING fts5(t); INSERT INTO texts VALUES ('old')"])
def test_virtual_tables_arrive_with_their_parts(here: Path, there: Path, before: str) -> None:
    if not HAS_TEXTS:
        pytest.skip("this SQLite has no full-text tables")
    write(there, "CREATE VIRTUAL TABLE texts USING fts5(t); INSERT INTO texts VALUES ('queen takes pawn'), ('mate')")
    replace_database(there, write(here, before), may_lose=True)
    assert ask(here, "SELECT * FROM texts WHERE texts MATCH 'pawn'") == [("queen takes pawn",)]
    write(here, "INSERT INTO texts VALUES ('pawn'); INSERT INTO texts(texts) VALUES ('integrity-check')")
    assert len(ask(here, "SELECT * FROM texts WHERE texts MATCH 'pawn'")) == 2


def test_a_file_with_a_log_is_taken_out_of_that_mode(here: Path, there: Path) -> None:
    write(there, f"{GAMES} INSERT INTO games VALUES ('a', 'x')", wal=True)
    assert replace_database(there, here) == Replacement()
    assert ask(here, "SELECT * FROM games") == [("a", "x")]
    assert sorted(path.name for path in here.parent.iterdir() if path.is_file()) == ["here.db"]


def test_the_last_three_contents_are_kept(here: Path, there: Path) -> None:
    for number in range(6):
        write(there, f"{GAMES} INSERT INTO games VALUES ('a', '{number}')")
        replace_database(there, here)
        replace_database(Path(copy(here, there)), here)  # the same again keeps nothing
    kept = ["here.db", "here.db.hsm-backup", "here.db.hsm-backup-2", "here.db.hsm-backup-3"]
    assert sorted(path.name for path in here.parent.iterdir() if path.is_file()) == kept
    assert [ask(here.with_name(name), "SELECT winner FROM games") for name in kept] == [
        [("5",)],
        [("4",)],
        [("3",)],
        [("2",)],
    ]


def copy(source: Path, to: Path) -> Path:
    copy_database(source, to)
    return to


def test_the_same_content_is_not_written_again(here: Path, there: Path) -> None:
    write(here, f"{GAMES} CREATE TABLE log (x); INSERT INTO log VALUES (1), (1); INSERT INTO games VALUES ('a', 'x')")
    content = here.read_bytes()
    replace_database(copy(here, there), here)
    assert here.read_bytes() == content
    assert not here.with_name("here.db.hsm-backup").exists()
    write(copy(here, there), "INSERT INTO log VALUES (1)")
    replace_database(there, here)
    assert ask(here, "SELECT count(*) FROM log") == [(3,)]


def test_a_file_that_comes_into_being_meanwhile_is_not_replaced(
    here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(there, GAMES)
    exists = Path.exists

    def look(path: Path, **options: bool) -> bool:
        found = exists(path, **options)
        if path == here and not found:
            write(here, f"{GAMES} INSERT INTO games VALUES ('mine', 'x')")
        return found

    monkeypatch.setattr(Path, "exists", look)
    with pytest.raises(RefusedError, match="1 row that"):
        replace_database(there, here)
    assert ask(here, "SELECT id FROM games") == [("mine",)]


WRITER = """
import random, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
n = 0
while True:
    time.sleep(random.uniform(0, 0.06))
    connection.execute("INSERT INTO games VALUES (?, 'here')", (f"here-{n}",))
    print(n, flush=True)
    n += 1
"""


@pytest.fixture
def writer(here: Path) -> Iterator[subprocess.Popen[str]]:
    """A program that goes on writing rows, and says so for each one that is committed."""
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)"
    write(here, f"{GAMES} {numbers} INSERT INTO games SELECT 'game-' || i, 'x' FROM n", wal=True)
    process = subprocess.Popen([sys.executable, "-c", WRITER, here], stdout=subprocess.PIPE, text=True)
    with process:
        yield process
        process.kill()


@pytest.mark.slow
def test_what_is_written_meanwhile_is_not_lost(here: Path, there: Path, writer: subprocess.Popen[str]) -> None:
    assert writer.stdout is not None
    committed: list[str] = []
    reader = threading.Thread(target=lambda: committed.extend(iter(writer.stdout.readline, "")), daemon=True)  # type: ignore[union-attr]
    committed.append(writer.stdout.readline())
    reader.start()
    n_replaced = 0
    for _ in range(60):
        if n_replaced == 5:
            break
        copy(here, there)  # the coordinator has all that was here a moment ago
        with contextlib.suppress(RefusedError):  # something was written since
            replace_database(there, here)
            n_replaced += 1
        there.unlink(missing_ok=True)
    writer.kill()
    reader.join(10)
    wanted = {f"here-{int(line)}" for line in committed if line.endswith("\n")}
    found = {name for (name,) in ask(here, "SELECT id FROM games")}
    assert wanted - found == set()


VALUES = st.one_of(st.none(), st.integers(0, 3), st.sampled_from(["a", "A", "1"]))
ROWS = st.lists(st.tuples(VALUES, VALUES), max_size=6)


def test_rows_that_break_a_rule_are_no_damage(here: Path, there: Path) -> None:
    checked = "CREATE TABLE t (a INTEGER PRIMARY KEY, b CHECK (b > 0))"
    write(here, f"PRAGMA ignore_check_constraints = 1; {checked}; INSERT INTO t VALUES (1, -1), (2, 2)")
    with pytest.raises(RefusedError, match="2 rows"):
        replace_database(write(there, checked), here)
    write(there, "PRAGMA ignore_check_constraints = 1; INSERT INTO t VALUES (1, -5), (2, 2)")
    replace_database(there, here)
    assert ask(here, "SELECT * FROM t") == [(1, -5), (2, 2)]


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS, st.sampled_from(["", ", PRIMARY KEY (x)", ", PRIMARY KEY (x, y)"]))
def test_no_row_is_lost_without_a_refusal(
    tmp_path_factory: pytest.TempPathFactory,
    old: list[tuple[object, object]],
    new: list[tuple[object, object]],
    key: str,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    paths = [folder / "here.db", folder / "there.db"]
    for path, rows in zip(paths, (old, new), strict=True):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"CREATE TABLE t (x, y{key})")
            connection.executemany("INSERT OR IGNORE INTO t VALUES (?, ?)", rows)
            connection.commit()
    before, wanted = (sorted(map(repr, ask(path, "SELECT x, y FROM t"))) for path in paths)
    keys_before = {repr(row) for row in ask(paths[0], f"SELECT {'x' if key.endswith('(x)') else 'x, y'} FROM t")}
    try:
        replace_database(paths[1], paths[0])
    except RefusedError:
        assert sorted(map(repr, ask(paths[0], "SELECT x, y FROM t"))) == before
        return
    assert sorted(map(repr, ask(paths[0], "SELECT x, y FROM t"))) == wanted
    assert keys_before <= {
        repr(row) for row in ask(paths[0], f"SELECT {'x' if key.endswith('(x)') else 'x, y'} FROM t")
    }
