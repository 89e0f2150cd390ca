"""`--all`, `--run` and `--project` of commands that take sweeps, beside those of `to`, `from` and `verify`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hsm.cli.main import app
from tests.e2e.synthetic import write_file, write_run, write_sweep_folder

SWEEP = "sweep_20251020_212836"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with a folder sweep, a group and a loose run, which is the working folder."""
    folder = tmp_path / "project"
    write_sweep_folder(folder, SWEEP)
    for name, sweep in (("a", SWEEP), ("b", "dev"), ("c", "")):
        write_run(folder / "wandb", name, sweep=sweep)
    paths = {name: str(tmp_path / "nas" / name) for name in ("sweeps", "wandb")}
    write_file(folder / ".hsm/sync_config.yaml", json.dumps({"sync_targets": {"nas": {"paths": paths}}}).encode())
    monkeypatch.chdir(folder)
    return folder


def call(*words: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["sync", *words])
    assert result.exit_code == exit_code, result.output
    return result.output if exit_code else result.stdout


def test_a_report_of_all_has_each_run_once() -> None:
    document = json.loads(call("report", "--all", "--json"))
    assert (document["sweep"], sorted(run["id"] for run in document["runs"])) == ("--all", ["a", "b", "c"])
    chosen = json.loads(call("report", "--all", "--run", "b", "--json"))
    assert [run["id"] for run in chosen["runs"]] == ["b"]
    call("report", "dev", "--all", exit_code=2)


def test_the_settings_of_the_sweep_that_a_run_is_in() -> None:
    assert json.loads(call("list", "--run", "b", "--json"))["sweep"] == "dev"
    assert json.loads(call("list", "--resolved", "dev", "--run", "b", "--json"))["sweep"] == "dev"
    for words in (["--run", "a"], ["--project", "none"], ["--all"]):
        call("list", "--resolved", "dev", *words, exit_code=2)
    call("list", "--sweeps", "--run", "b", exit_code=2)


def test_the_status_of_sweeps_of_a_project_that_no_run_names() -> None:
    call("status", "--project", "none", exit_code=2)
