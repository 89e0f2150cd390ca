"""The journal: kept, set aside where it cannot be used, never the end of the program."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.config.schema import parse_target
from hsm.errors import ConfigError
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Journal, Route, list_journals, load_journal, make_route, save_journal
from hsm.records.record import SWEEP_FOLDER, RunRecord

ROUTE = Route("push", "login.example.org", "me", 2222, "/data/sweeps", "~/wandb")
RECORD = RunRecord("finished", 0, True, False, 12, 345, "d" * 32, {"superseded": 3})
JOURNAL = Journal(
    ROUTE,
    3,
    "12 345",
    1_760_000_000_123_456_789,
    "It broke.",
    {SWEEP_FOLDER: RECORD, "r\udcff": RECORD},
    {"runs not asked for": 1},
)


def list_names(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return ProjectFolder(tmp_path).journal("desktop", "s")


def test_a_journal_survives_and_is_the_users_alone(path: Path) -> None:
    save_journal(path, JOURNAL)
    assert load_journal(path, ROUTE, sets_aside=True) == (JOURNAL, ())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list_names(path.parent) == ["s.json"]


def test_one_of_an_earlier_version_misses_nothing_beside_its_runs(path: Path) -> None:
    save_journal(path, JOURNAL)
    document = json.loads(path.read_text())
    del document["left"]
    path.write_text(json.dumps(document))
    assert load_journal(path, ROUTE, sets_aside=True) == (replace(JOURNAL, left={}), ())


def test_without_a_file_it_is_empty_and_nothing_is_made(path: Path) -> None:
    assert load_journal(path, ROUTE, sets_aside=True) == (Journal(ROUTE), ())
    assert not path.parent.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"direction": "pull"},
        {"host": "login2.example.org"},
        {"user": None},
        {"user": "you"},
        {"port": None},
        {"port": 22},
        {"sweeps": "/data/sweeps/"},
        {"wandb": "/home/me/wandb"},
    ],
    ids=str,
)
def test_any_other_route_counts_as_new_and_the_old_journal_is_kept(path: Path, change: dict[str, Any]) -> None:
    save_journal(path, JOURNAL)
    route = replace(ROUTE, **change)
    journal, (notice,) = load_journal(path, route, sets_aside=True)
    assert journal == Journal(route)
    assert (notice.kind, notice.is_failure) == ("new_route", False)
    assert "s.json.old" in notice.hint
    assert load_journal(path.with_name("s.json.old"), ROUTE, sets_aside=False) == (JOURNAL, ())
    assert load_journal(path, route, sets_aside=True) == (Journal(route), ())


def test_the_other_direction_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    save_journal(path, JOURNAL)
    _, (notice,) = load_journal(path, replace(ROUTE, direction="pull"), sets_aside=False)
    assert (
        notice.message == "Until now it was brought there, now it is brought from there: what counts is looked at anew."
    )


@pytest.mark.parametrize(
    ("settings", "route"),
    [
        pytest.param({"host": "login.example.org", "user": "me", "port": 2222}, {}, id="a host"),
        pytest.param({"host": "login.example.org"}, {"user": None, "port": None}, id="nothing but its name"),
        pytest.param(
            {"host": "10.0.0.7", "user": "me", "port": 2222, "node": "gpu1"}, {"host": "node:gpu1"}, id="a node"
        ),
        pytest.param({}, {"host": "", "user": None, "port": None}, id="a folder of this machine"),
    ],
)
@pytest.mark.parametrize("direction", ["push", "pull"])
def test_the_route_says_where_from_and_to_as_it_is_configured(
    settings: dict[str, Any], route: dict[str, Any], direction: str
) -> None:
    paths = {"sweeps": "/data/sweeps", "wandb": "~/wandb"}
    made = make_route(parse_target({**settings, "paths": paths}), direction=direction)
    assert made == replace(ROUTE, **route, direction=direction)


def make_text(**changes: Any) -> str:
    route = {name: getattr(ROUTE, name) for name in Route.__dataclass_fields__}
    document = {
        "schema": 1,
        "route": route,
        "generation": 1,
        "receipt": "",
        "updated_ns": 1,
        "last_error": "",
        "runs": {},
    }
    return json.dumps({**document, **changes})


def test_the_text_that_the_damages_start_from_is_a_journal(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(make_text())
    assert load_journal(path, ROUTE, sets_aside=False) == (Journal(ROUTE, 1, "", 1), ())


DAMAGES = [
    pytest.param("", id="empty"),
    pytest.param("{", id="cut"),
    pytest.param("[]", id="a list"),
    pytest.param("[" * 100_000, id="nested without end"),
    pytest.param('{"schema": 1}', id="nothing in it"),
    pytest.param(make_text(route=None), id="no route"),
    pytest.param(make_text(route={"host": "x"}), id="half a route"),
    pytest.param(make_text(generation="x"), id="a word for a generation"),
    pytest.param(make_text().replace('"generation": 1', '"generation": 1e999'), id="endless generation"),
    pytest.param(make_text(updated_ns=None), id="no time"),
    pytest.param(make_text(runs=[]), id="runs in a list"),
    pytest.param(make_text(runs={"r": {"n_bytes": []}}), id="a list for a count"),
    pytest.param(make_text(runs={"r": {"left": 5}}), id="a number for what was left"),
]


@pytest.mark.parametrize("text", DAMAGES)
def test_a_damaged_one_is_set_aside_with_a_notice(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    journal, (notice,) = load_journal(path, ROUTE, sets_aside=True)
    assert journal == Journal(ROUTE)
    assert (notice.kind, notice.is_failure, notice.path) == ("damaged_journal", False, str(path))
    assert list_names(path.parent) == ["s.json.old"]
    assert (path.parent / "s.json.old").read_text() == text


@pytest.mark.parametrize("text", DAMAGES[:1])
def test_a_dry_run_leaves_a_damaged_one_where_it_is(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (notice,) = load_journal(path, ROUTE, sets_aside=False)[1]
    assert (notice.kind, notice.is_failure) == ("damaged_journal", False)
    assert list_names(path.parent) == ["s.json"]


def test_one_of_a_newer_version_is_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(make_text(schema=99))
    with pytest.raises(ConfigError, match="newer"):
        load_journal(path, ROUTE, sets_aside=True)
    assert list_names(path.parent) == ["s.json"]


def test_one_that_cannot_be_set_aside_is_a_notice_too(path: Path) -> None:
    path.mkdir(parents=True)
    (path.parent / "s.json.old").mkdir()
    (path.parent / "s.json.old/in the way").touch()
    _, (notice,) = load_journal(path, ROUTE, sets_aside=True)
    assert "cannot be set aside" in notice.hint


def test_those_of_all_sweeps_are_listed_but_for_what_cannot_be_used(path: Path, tmp_path: Path) -> None:
    save_journal(path, JOURNAL)
    path.with_name("a.json").write_text(make_text(schema=99))
    path.with_name("b.json").write_text("{")
    path.with_name("c.json").mkdir()
    save_journal(path.with_name("t.json"), replace(JOURNAL, generation=4))
    assert list_journals(tmp_path, "desktop") == [JOURNAL, replace(JOURNAL, generation=4)]
    assert list_names(path.parent) == ["a.json", "b.json", "c.json", "s.json", "t.json"]
    assert list_journals(tmp_path, "elsewhere") == []
