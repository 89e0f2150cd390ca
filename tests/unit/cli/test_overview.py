"""`hsm` alone: where one is, and what to type next."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hsm.cli.main import app
from hsm.cli.render.sync.glance import format_age
from hsm.records.journal import Journal, Route, save_journal
from hsm.records.record import RunRecord

CONFIG = "default_target: desktop\nsync_targets:\n  desktop: {host: h, paths: {sweeps: /s, wandb: /w}}\n"
SWEEP = "sweep_20251020_212836"
HOUR_NS = 3600 * 10**9


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mnist"
    (folder / ".hsm").mkdir(parents=True)
    (folder / ".hsm" / "sync_config.yaml").write_text(CONFIG)
    monkeypatch.chdir(folder)
    return folder


def show() -> str:
    result = CliRunner().invoke(app, [], env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    return result.output


def save(project: Path, sweep: str, *, direction: str = "push", error: str = "", hours: int = 2, **runs: bool) -> None:
    """Save a journal in which each run is complete or not."""
    records = {f"run-20251020_212900-{name}": RunRecord("finished", 0, is_done) for name, is_done in runs.items()}
    path = project / ".hsm" / "sync" / "desktop" / f"{sweep}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    route = Route(direction, "h", None, None, "/s", "/w")
    save_journal(path, Journal(route, updated_ns=time.time_ns() - hours * HOUR_NS, last_error=error, runs=records))


def test_outside_a_project_there_are_three_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(show().splitlines()) == 3
    assert "hsm sync init" in show()


def test_where_sweeps_were_received_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sweeps" / "outputs" / SWEEP).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "hsm sync status" in show()
    assert len(show().splitlines()) == 3


@pytest.mark.usefixtures("project")
def test_an_empty_project_looks_at_what_is_there() -> None:
    assert "mnist pulls from desktop" in show()
    assert "Nothing synced yet" in show()
    assert "`hsm sync list --sweeps -t desktop`" in show()


def test_a_sweep_that_was_never_sent_is_sent(project: Path) -> None:
    (project / "sweeps" / "outputs" / SWEEP).mkdir(parents=True)
    assert [SWEEP, "never", "synced"] in [line.split() for line in show().splitlines()]
    assert "`hsm sync to latest`" in show()


def test_what_is_not_complete_is_told_with_its_age(project: Path) -> None:
    save(project, SWEEP, a=True, b=False)
    assert "1 of 2 complete, 2 h ago" in show()
    assert "2 finished" in show()
    assert "Last sync: 2 h ago" in show()
    assert "`hsm sync to latest`" in show()


def test_runs_that_no_sync_has_met_are_counted(project: Path) -> None:
    save(project, SWEEP, a=True)
    for name in ("a", "b", "c"):
        (project / "wandb" / f"run-20251020_212900-{name}").mkdir(parents=True)
    assert "2 runs here that no sync with desktop has met yet" in show()
    assert "`hsm sync to latest`" in show()


def test_where_all_is_complete_one_looks_at_the_results(project: Path) -> None:
    save(project, SWEEP, a=True)
    assert "`hsm sync report latest`" in show()


def test_an_older_sweep_that_is_open_is_named(project: Path) -> None:
    save(project, SWEEP, a=False)
    save(project, "sweep_20251021_000000", a=True)
    assert f"`hsm sync to {SWEEP}`" in show()


def test_a_pull_that_failed_is_to_be_done_again(project: Path) -> None:
    pulled = project / ".hsm" / "sync" / "desktop" / "pulled"
    pulled.mkdir(parents=True)
    (pulled / f"{SWEEP}.json").write_text("{}")
    save(project, SWEEP, direction="pull", error="no space", a=True)
    assert "ended with an error" in show()
    assert f"`hsm sync from {SWEEP}`" in show()


def test_of_many_sweeps_the_newest_are_shown(project: Path) -> None:
    for number in range(14):
        save(project, f"sweep_202510{number + 10}_000000", a=True)
    lines = [line.split()[0] for line in show().splitlines() if "complete" in line and "sweep_" in line]
    assert lines == [f"sweep_202510{number + 10}_000000" for number in range(13, 3, -1)]
    assert "4 older ones" in show()


def test_a_damaged_journal_does_not_matter(project: Path) -> None:
    save(project, SWEEP, a=True)
    (project / ".hsm" / "sync" / "desktop" / "sweep_20251021_000000.json").write_text("{")
    assert SWEEP in show()


def test_it_looks_into_no_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "sweeps" / "outputs" / SWEEP).mkdir(parents=True)
    (project / "wandb" / "run-20251020_212900-a").mkdir(parents=True)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a log was read")

    monkeypatch.setattr("hsm.discover.run_logs.read_facts", refuse)
    monkeypatch.setattr("hsm.remote.local.LocalEndpoint.read_ends", refuse, raising=False)
    assert "1 run here" in show()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "just now"), (59, "just now"), (60, "1 min ago"), (7200, "2 h ago"), (3 * 86400, "3 d ago")],
)
def test_age(seconds: float, words: str) -> None:
    assert format_age(seconds) == words
