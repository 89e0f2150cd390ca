"""The project's id."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from hsm.errors import ConfigError
from hsm.records.source_id import load_source_id


def list_names(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_it_is_made_once_and_is_the_users_alone(tmp_path: Path) -> None:
    first = load_source_id(tmp_path)
    assert load_source_id(tmp_path) == first
    assert len(first) == 16
    assert int(first, 16) >= 0
    path = tmp_path / ".hsm/project.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list_names(path.parent) == ["project.json"]


def test_every_project_has_another(tmp_path: Path) -> None:
    assert len({load_source_id(tmp_path / name) for name in "abc"}) == 3


def test_of_several_first_calls_all_get_the_same(tmp_path: Path) -> None:
    barrier = Barrier(8)

    def load(_: int) -> str:
        barrier.wait(10)
        return load_source_id(tmp_path)

    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(load, range(8)))
    assert set(found) == {load_source_id(tmp_path)}
    assert list_names(tmp_path / ".hsm") == ["project.json"]


def test_it_is_made_without_hard_links_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    first = load_source_id(tmp_path)
    assert load_source_id(tmp_path) == first
    assert list_names(tmp_path / ".hsm") == ["project.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        json.dumps({"schema": 2, "source_id": "0" * 16}),
        json.dumps({"schema": 1}),
        json.dumps({"schema": 1, "source_id": "../../etc/passwd"}),
        json.dumps({"schema": 1, "source_id": "0" * 16 + "\n"}),
        json.dumps({"schema": 1, "source_id": 7}),
    ],
)
def test_a_damaged_one_is_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm/project.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_source_id(tmp_path)
    assert caught.value.kind == "bad_project_file"
    assert "Remove it" in caught.value.hint
    assert (tmp_path / ".hsm/project.json").read_text() == text


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".hsm").write_text("a file")
    with pytest.raises(ConfigError):
        load_source_id(tmp_path)
