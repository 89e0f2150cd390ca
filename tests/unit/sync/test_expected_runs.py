"""Sweeps that should have runs and have none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsm.discover.combinations import COMBINATIONS
from hsm.discover.sweeps import Layout, Sweep
from hsm.model import Run, SweepInventory
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import CleanedUnit, Cleaning, make_aside_name, make_cleaning_path, save_cleaning
from hsm.records.journal import Journal, Route, save_journal
from hsm.records.record import SWEEP_FOLDER, RunRecord
from hsm.remote.local import LocalEndpoint
from hsm.sync.expected_runs import find_missing_runs

SWEEP = "sweep_20251020_212836"
ROUTE = Route("push", "", None, None, "/nas/sweeps", "/nas/wandb")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with one sweep's folder and a folder of runs, which is empty."""
    (tmp_path / f"sweeps/outputs/{SWEEP}").mkdir(parents=True)
    (tmp_path / "wandb").mkdir()
    return tmp_path


def find(project: Path, *runs: str, path: bool = True, target: str = "") -> list[str]:
    layout = Layout(str(project), f"{project}/sweeps", f"{project}/wandb")
    folder = f"{project}/sweeps/outputs/{SWEEP}" if path else ""
    sweep = Sweep(SWEEP, layout.sweeps if path else "", folder)
    inventory = SweepInventory(SWEEP, tuple(Run(name, "/p") for name in runs))
    problems = find_missing_runs(LocalEndpoint(), layout, sweep, inventory, project, target=target)
    assert all(problem.is_failure and problem.kind == "no_runs" for problem in problems)
    return [f"{problem.message} {problem.hint}" for problem in problems]


def write_journal(project: Path, records: dict[str, RunRecord], target: str = "desktop") -> None:
    path = ProjectFolder(project).journal(target, SWEEP)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_journal(path, Journal(ROUTE, generation=1, runs=records))


def test_a_sweep_that_expects_none_is_all_right(project: Path) -> None:
    assert find(project) == []
    (project / f"sweeps/outputs/{SWEEP}/{COMBINATIONS}").write_text("[]")
    write_journal(project, {SWEEP_FOLDER: RunRecord(n_files=3), "run-1": RunRecord()})
    assert find(project) == []


def test_a_list_of_combinations_expects_runs(project: Path) -> None:
    (project / f"sweeps/outputs/{SWEEP}/{COMBINATIONS}").write_text(json.dumps([{"lr": 1}, {"lr": 2}]))
    (said,) = find(project)
    assert "lists 2" in said
    assert "`source.wandb`" in said
    assert "`sync_wandb_runs: false`" in said
    assert "`paths.wandb` of hpc" in find(project, target="hpc")[0]
    assert find(project, "run-1") == []
    assert find(project, path=False) == []


def test_an_earlier_journal_of_any_target_expects_runs(project: Path) -> None:
    write_journal(project, {"run-1": RunRecord(n_files=3), "run-2": RunRecord(n_files=1)}, "nas")
    assert "2 were synced with nas before" in find(project)[0]
    assert find(project, target="desktop") == []


def test_no_folder_of_runs_at_all_is_told(project: Path) -> None:
    (project / "wandb").rmdir()
    assert f"there is no folder {project}/wandb" in find(project)[0]
    (project / "wandb").write_text("a file")
    assert len(find(project)) == 1


def test_what_a_clean_removed_is_not_missed(project: Path) -> None:
    (project / f"sweeps/outputs/{SWEEP}/{COMBINATIONS}").write_text("[1]")
    write_journal(project, {"run-1": RunRecord(n_files=3)})
    unit = CleanedUnit("run-1", f"{project}/wandb", "run-1", make_aside_name())
    cleaning = Cleaning(SWEEP, "2025-10-20T00:00:00+00:00", "login1", is_quick=False, places={}, units=(unit,))
    save_cleaning(make_cleaning_path(project, cleaning), cleaning)
    assert find(project) == []
