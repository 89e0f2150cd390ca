"""Runs that cleans removed, through whichever sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.errors import ConfigError
from hsm.records.cleaned import CleanedUnit, Cleaning, make_aside_name, make_cleaning_path, save_cleaning
from hsm.records.cleaned_runs import CleanedRuns, find_cleaned_runs, iter_all_cleanings

A, B = "run-20260101_000000-a", "run-20260101_000000-b"


def save(project: Path, sweep: str, *names: str, day: int = 1, folder: str = "wandb") -> tuple[CleanedUnit, ...]:
    units = tuple(CleanedUnit(name, str(project / folder), name or sweep, make_aside_name()) for name in names)
    cleaning = Cleaning(sweep, f"2026-01-{day:02}T00:00:00+00:00", "here", is_quick=False, places={}, units=units)
    save_cleaning(make_cleaning_path(project, cleaning), cleaning)
    return units


def test_a_run_counts_in_every_sweep_and_a_folder_in_its_own(tmp_path: Path) -> None:
    save(tmp_path, "dev", A, B)
    save(tmp_path, "exp2", "", "run-20260101_000000-c")
    assert set(find_cleaned_runs(tmp_path, "exp1", {A, "", "run-x"})) == {A}
    assert set(find_cleaned_runs(tmp_path, "dev", ())) == {A, B}
    assert set(find_cleaned_runs(tmp_path, "exp2", {A})) == {"", "run-20260101_000000-c", A}
    (tmp_path / "wandb" / A).mkdir(parents=True)
    assert find_cleaned_runs(tmp_path, "exp1", {A}) == {}


@pytest.mark.parametrize("latest", ["exp1", "dev"])
def test_the_last_record_counts_whose_ever_it_is(tmp_path: Path, latest: str) -> None:
    found = {
        sweep: save(tmp_path, sweep, A, day=2 if sweep == latest else 1, folder=sweep) for sweep in ("exp1", "dev")
    }
    for sweep in ("exp1", "dev", "exp3"):
        assert find_cleaned_runs(tmp_path, sweep, {A}) == {A: found[latest][0]}


def test_the_last_record_says_where_it_was_and_so_whether_it_is_here(tmp_path: Path) -> None:
    """An earlier clean removed it elsewhere."""
    save(tmp_path, "exp1", A, day=1, folder="outputs/exp1/wandb")
    save(tmp_path, "dev", A, day=2)
    (tmp_path / "wandb" / A).mkdir(parents=True)
    assert find_cleaned_runs(tmp_path, "exp1", {A}) == {}


def test_where_no_run_is_missing_no_other_record_is_read(tmp_path: Path) -> None:
    save(tmp_path, "dev", A)
    (path,) = (tmp_path / ".hsm/cleaned/dev").iterdir()
    path.write_text("{")
    assert find_cleaned_runs(tmp_path, "exp1", {""}) == {}
    with pytest.raises(ConfigError) as caught:
        find_cleaned_runs(tmp_path, "exp1", {A})
    assert caught.value.kind == "bad_clean_record"


def test_records_are_read_once(tmp_path: Path) -> None:
    save(tmp_path, "dev", A, B)
    cleaned = CleanedRuns(tmp_path)
    assert set(cleaned.find("exp1", {A})) == {A}
    save(tmp_path, "dev", "run-20260101_000000-c")
    assert set(cleaned.find("exp2", {B, "run-20260101_000000-c"})) == {B}


def test_without_a_clean_there_is_nothing(tmp_path: Path) -> None:
    assert list(iter_all_cleanings(tmp_path)) == []
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm/cleaned").write_text("a file")
    assert list(iter_all_cleanings(tmp_path)) == []
