"""Words that the shell offers: sweeps of every kind, without a search and without reading a log."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.cli.sync.options.completions import complete_sweep
from hsm.config.load import load_project_config
from hsm.endpoint import FolderSearch
from hsm.remote.local import LocalEndpoint
from hsm.sync.status.overview import list_sweeps_here
from tests.e2e.synthetic import write_file, write_run, write_sweep_folder

SWEEP = "sweep_20251020_212836"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with sweeps of three kinds, as the working folder."""
    folder = tmp_path / "project"
    write_sweep_folder(folder, SWEEP)
    write_run(folder / "wandb", "a", sweep=SWEEP)
    write_run(folder / "train/wandb", "b", sweep="group1")
    write_run(folder / "wandb", "c", sweep="")
    write_run(folder / "sweeps/outputs" / SWEEP / "wandb", "d", sweep="")
    paths = {"sweeps": str(tmp_path / "nas/sweeps"), "wandb": str(tmp_path / "nas/wandb")}
    write_file(folder / ".hsm/sync_config.yaml", json.dumps({"sync_targets": {"nas": {"paths": paths}}}).encode())
    monkeypatch.chdir(folder)
    return folder


def remember(project: Path) -> None:
    list_sweeps_here(load_project_config(project, environment={}))


def refuse_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    def survey(self: LocalEndpoint, trees: object, *, search: FolderSearch | None = None, **options: bool) -> object:
        assert search is None, "a search may take seconds"
        return real(self, trees, **options)  # type: ignore[arg-type]

    def read_ends(*_: object, **__: object) -> None:
        raise AssertionError("a log was read")

    real: Callable[..., object] = LocalEndpoint.survey
    monkeypatch.setattr(LocalEndpoint, "survey", survey)
    monkeypatch.setattr(LocalEndpoint, "read_ends", read_ends)


def test_what_the_caches_know_is_offered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(project)
    refuse_logs(monkeypatch)
    assert complete_sweep("") == ["latest", SWEEP, "group1", "loose"]
    assert complete_sweep("l") == ["latest", "loose"]
    assert complete_sweep("gr") == ["group1"]


def test_without_a_cache_folders_are_offered(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_logs(monkeypatch)
    assert complete_sweep("") == ["latest", SWEEP]
    (project / ".hsm/cache").mkdir()
    (project / ".hsm/cache/runs.json").write_text("{")
    assert complete_sweep("") == ["latest", SWEEP]


def test_loose_is_not_offered_where_every_run_is_in_a_sweep(project: Path) -> None:
    for run in (project / "wandb").glob("*-c"):
        run.rename(project / "sweeps/outputs" / SWEEP / "wandb" / run.name)
    remember(project)
    assert "loose" not in complete_sweep("")


@pytest.mark.usefixtures("project")
def test_a_path_goes_on_to_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_logs(monkeypatch)
    assert complete_sweep("./tr") == ["./train"]
    assert complete_sweep("train/w") == ["train/wandb"]
    assert complete_sweep("./") == ["./sweeps", "./train", "./wandb"]
    assert complete_sweep("./.h") == ["./.hsm"]
    assert complete_sweep("nowhere/x") == []


def test_without_a_configuration_nothing_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert complete_sweep("") == []
