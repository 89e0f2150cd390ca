"""The hints of a target: kept in one file, void once the configuration is another, never an error."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hsm.config.schema import parse_target
from hsm.model import Root
from hsm.remote.openssh.hints import DestinationHint, HintFile, Hints, make_remembered

THERE = DestinationHint("route", {Root.SWEEPS: "/s", Root.WANDB: "/w"}, "rsync  version 3.4.3", 0.04)
SETTINGS = parse_target({"host": "desk", "paths": {"sweeps": "~/s", "wandb": "~/w"}})


@pytest.fixture
def file(tmp_path: Path) -> HintFile:
    config = tmp_path / "project/.hsm/sync_config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("sync_targets: {}\n")
    return HintFile(tmp_path, config, "desktop")


def test_login_and_destination_lie_side_by_side(file: HintFile) -> None:
    assert file.load() == Hints()
    file.remember_destination(THERE)
    file.remember_login(SETTINGS, is_default=True)
    assert file.load() == Hints(make_remembered(SETTINGS), is_default=True, destination=THERE)
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_another_configuration_makes_all_of_it_void(file: HintFile, tmp_path: Path) -> None:
    file.remember_login(SETTINGS, is_default=True)
    file.remember_destination(THERE)
    (tmp_path / "project/.hsm/sync_config.yaml").write_text("sync_targets: {other: {}}\n")
    assert file.load() == Hints()
    file.remember_destination(THERE)
    assert file.load() == Hints(destination=THERE)


def test_a_file_of_another_target_says_nothing(file: HintFile, tmp_path: Path) -> None:
    file.remember_destination(THERE)
    other = HintFile(tmp_path, tmp_path / "project/.hsm/sync_config.yaml", "backup")
    os.replace(file.path, other.path)  # noqa: PTH105 - as a name that is another's
    assert other.load() == Hints()


@pytest.mark.parametrize(
    ("found", "is_written"),
    [
        pytest.param(THERE, False, id="the same"),
        pytest.param(replace(THERE, round_trip_seconds=0.06), False, id="about the same round trip"),
        pytest.param(replace(THERE, round_trip_seconds=0.2), True, id="another round trip"),
        pytest.param(replace(THERE, round_trip_seconds=None), True, id="no round trip"),
        pytest.param(replace(THERE, rsync="rsync  version 3.2.7"), True, id="another rsync"),
        pytest.param(replace(THERE, roots={Root.SWEEPS: "/s"}), True, id="other folders"),
        pytest.param(replace(THERE, route="elsewhere"), True, id="another route"),
    ],
)
def test_what_says_nothing_new_is_not_written(file: HintFile, found: DestinationHint, *, is_written: bool) -> None:
    file.remember_destination(THERE)
    before = file.path.stat().st_ino
    file.remember_destination(found)
    assert (file.path.stat().st_ino != before) is is_written
    assert file.load().destination == (found if is_written else THERE)


def test_a_place_that_cannot_be_written_is_no_error(file: HintFile) -> None:
    file.path.mkdir()
    file.remember_destination(THERE)
    file.remember_login(SETTINGS, is_default=False)
    assert file.load() == Hints()


def test_a_login_whose_settings_may_hold_a_secret_is_not_kept(file: HintFile) -> None:
    file.remember_login(SETTINGS, is_default=True)
    file.remember_destination(THERE)
    ssh = {"options": {"setenv": "TOKEN=hunter2", "Compression": "yes"}}
    file.remember_login(parse_target({**asdict(SETTINGS), "ssh": ssh}), is_default=True)
    assert file.load() == Hints(is_default=True, destination=THERE)
    assert b"hunter2" not in file.path.read_bytes()
