"""Words here: what was found before is remembered, and looked at anew where it explains nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.errors import UnknownSweepError, UsageError
from hsm.model import SweepKind
from hsm.project_folder import ProjectFolder
from hsm.remote.local import LocalEndpoint
from hsm.sync.meanings import find_meant
from hsm.sync.places import find_places
from tests.e2e.synthetic import write_file, write_run, write_sweep_folder

SWEEP = "sweep_20251020_212836"


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    """Return the configuration of a project whose wandb folders were searched for a moment ago."""
    folder = tmp_path / "project"
    write_sweep_folder(folder, SWEEP)
    write_run(folder / "train/wandb", "a", sweep="dev")
    paths = {name: str(tmp_path / "nas" / name) for name in ("sweeps", "wandb")}
    write_file(folder / ".hsm/sync_config.yaml", json.dumps({"sync_targets": {"nas": {"paths": paths}}}).encode())
    loaded = load_project_config(folder, environment={})
    find_places(loaded, LocalEndpoint()).remember()
    return loaded


def find_ids(loaded: LoadedConfig, *words: str) -> list[str]:
    return [meaning.sweep.id for meaning in find_meant(loaded, LocalEndpoint(), words)[1]]


LATE = {
    "group": "late",
    "run": "run:b",
    "folder": "./late/wandb",
    "loose": "loose",
}


@pytest.mark.parametrize("word", LATE.values(), ids=LATE)
def test_a_word_that_nothing_explains_is_looked_for_in_folders_that_came_since(
    loaded: LoadedConfig, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    monkeypatch.chdir(loaded.project)
    with pytest.raises(UsageError):
        find_ids(loaded, word)
    write_run(loaded.project / "late/wandb", "b", sweep="" if word == "loose" else "late")
    assert find_ids(loaded, word) == ["@loose" if word == "loose" else "late"]


def test_a_folder_sweep_searches_nothing_and_a_name_in_logs_anew(loaded: LoadedConfig) -> None:
    for run_id, sweep in (("b", "dev"), ("c", "")):
        write_run(loaded.project / "late/wandb", run_id, sweep=sweep)
    for word, is_remembered in ((SWEEP, True), ("dev", False), ("loose", False), ("--all", False)):
        places, _ = find_meant(loaded, LocalEndpoint(), [word])
        assert places.is_remembered is is_remembered
        assert any("late" in folder for folder in places.layout.shared) is not is_remembered


def test_a_sweep_that_was_synced_may_lie_in_a_folder_that_came_since(loaded: LoadedConfig) -> None:
    (loaded.project / "train").rename(loaded.project / "trained")
    write_file(ProjectFolder(loaded.project).journal("nas", "dev"), b"{}")
    places, (meaning,) = find_meant(loaded, LocalEndpoint(), ["dev"])
    assert (meaning.sweep.kind, meaning.sweep.name) == (SweepKind.WANDB, "dev")
    assert any(folder.endswith("trained/wandb") for folder in places.layout.shared)


def test_a_sweep_of_which_only_a_journal_is_left_counts(loaded: LoadedConfig) -> None:
    for name in ("gone", "@loose"):
        write_file(ProjectFolder(loaded.project).journal("nas", name), b"{}")
    assert find_ids(loaded, "gone", "loose") == ["gone", "@loose"]
    with pytest.raises(UnknownSweepError):
        find_ids(loaded, "gone1")
