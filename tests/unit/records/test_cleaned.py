"""Records of removed results: their content survives, and other content is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.errors import ConfigError
from hsm.records.cleaned import (
    CleanedFile,
    CleanedPlace,
    CleanedUnit,
    Cleaning,
    find_cleaned,
    load_cleanings,
    make_aside_name,
    make_cleaning_path,
    save_cleaning,
)

SWEEP = "sweep_20251020_212836"
RUN = "run-20251020_212836-abc"
FILE = CleanedFile(5, 1_760_000_000_123_456_789, "a" * 64)


def make_cleaning(folder: Path, *names: str, at: str = "2026-01-02T03:04:05+00:00") -> Cleaning:
    units = tuple(
        CleanedUnit(
            name,
            str(folder),
            name or SWEEP,
            make_aside_name(),
            "finished",
            0,
            ("nas",),
            {"files/bad\udcff.txt": FILE},
            {"link": "/x"},
            ("tmp/code",),
            {"files/old.png": FILE},
        )
        for name in names
    )
    return Cleaning(SWEEP, at, "login1", False, {"nas": CleanedPlace("", None, None, "/n/s", "/n/w")}, units)


def save(project: Path, cleaning: Cleaning) -> Path:
    path = make_cleaning_path(project, cleaning)
    save_cleaning(path, cleaning)
    return path


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    cleaning = make_cleaning(tmp_path / "wandb", RUN, "")
    path = save(tmp_path, cleaning)
    assert path.parent == tmp_path / ".hsm/cleaned" / SWEEP
    assert load_cleanings(tmp_path, SWEEP) == (cleaning,)
    assert load_cleanings(tmp_path, "sweep_2") == ()


def test_the_last_record_of_what_is_not_here_counts(tmp_path: Path) -> None:
    wandb = tmp_path / "wandb"
    later = make_cleaning(wandb, RUN, at="2026-02-02T03:04:05+00:00")
    save(tmp_path, later)
    save(tmp_path, make_cleaning(wandb, RUN, ""))
    assert find_cleaned(tmp_path, SWEEP)[RUN] == later.units[0]
    (wandb / RUN).mkdir(parents=True)
    assert set(find_cleaned(tmp_path, SWEEP)) == {""}
    (wandb / SWEEP).symlink_to("nowhere")
    assert find_cleaned(tmp_path, SWEEP) == {}


def change_unit(**changes: Any) -> Any:
    return lambda document: document["units"][0].update(changes)


BAD: dict[str, Any] = {
    "no units": lambda document: document.pop("units"),
    "units that are none": lambda document: document.update(units=[1]),
    "an aside name of nobody": change_unit(aside="home"),
    "an aside name that leads out": change_unit(aside=".hsm-clean-0123456789abcdef/.."),
    "a base that leads out": change_unit(base="..", name=".."),
    "a run of another name": change_unit(name="run-2"),
    "a folder that is not absolute": change_unit(folder="wandb"),
    "a path that leads out": change_unit(files={"../x": {"size": 1, "mtime_ns": 1, "sha256": "a" * 64}}),
    "a path that is absolute": change_unit(links={"/x": "y"}),
    "no checksum": change_unit(files={"x": {"size": 1, "mtime_ns": 1, "sha256": ""}}),
    "a size in words": change_unit(files={"x": {"size": "1", "mtime_ns": 1, "sha256": "a" * 64}}),
    "an unknown field": change_unit(more=1),
    "another schema": lambda document: document.update(schema=0),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_record_is_said(tmp_path: Path, name: str) -> None:
    path = save(tmp_path, make_cleaning(tmp_path / "wandb", RUN))
    document = json.loads(path.read_text())
    BAD[name](document)
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigError) as caught:
        load_cleanings(tmp_path, SWEEP)
    assert caught.value.kind == "bad_clean_record"


def test_a_newer_record_is_left_alone(tmp_path: Path) -> None:
    path = save(tmp_path, make_cleaning(tmp_path / "wandb", RUN))
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(ConfigError) as caught:
        find_cleaned(tmp_path, SWEEP)
    assert caught.value.kind == "newer_schema"


def test_records_of_one_second_have_names_of_their_own(tmp_path: Path) -> None:
    cleaning = make_cleaning(tmp_path / "wandb", RUN)
    assert len({save(tmp_path, replace(cleaning, host=str(number))) for number in range(5)}) == 5
    assert len(load_cleanings(tmp_path, SWEEP)) == 5
