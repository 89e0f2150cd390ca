"""A command line that is none is answered with the one that was meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hsm.cli.main import app
from hsm.cli.mistakes import STATUS_COMMANDS

CONFIG = "default_target: desktop\nsync_targets:\n  desktop: {host: h, paths: {sweeps: /s, wandb: /w}}\n"
FIRST, SECOND = "sweep_20251020_212836", "sweep_20251021_090000"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two sweeps and one target."""
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm" / "sync_config.yaml").write_text(CONFIG)
    for sweep in (FIRST, SECOND):
        (tmp_path / "sweeps" / "outputs" / sweep).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(line: str) -> str:
    """Type a command line that is a mistake, and return what is said."""
    result = CliRunner().invoke(app, line.split(), env={"COLUMNS": "400"})
    assert result.exit_code == 2
    return result.output


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("typed", "said", "meant"),
    [
        pytest.param("sync desktop", "is a target", "`hsm sync to latest -t desktop`", id="target"),
        pytest.param("sync desktop -n", "is a target", "`hsm sync to latest -n -t desktop`", id="target, option"),
        pytest.param("desktop", "is a target", "`hsm sync to latest -t desktop`", id="target alone"),
        pytest.param(f"sync {FIRST}", "is a sweep", f"`hsm sync to {FIRST}`", id="sweep"),
        pytest.param("sync sweep_20991231_000000", "is a sweep", "`hsm sync to sweep_20991231_000000`", id="far sweep"),
        pytest.param("sync latest -n", "is a sweep", "`hsm sync to latest -n`", id="latest"),
        pytest.param("sync to latest desktop", "target, not a sweep", "`hsm sync to latest -t desktop`", id="among"),
        pytest.param("sync verify desktop", "target, not a sweep", "`hsm sync verify latest -t desktop`", id="verify"),
        pytest.param(
            "sync to desktop -t desktop", "target, not a sweep", "`hsm sync to latest -t desktop`", id="twice"
        ),
        pytest.param("sync report desktop", "target, not a sweep", "`hsm sync report latest`", id="report"),
        pytest.param("to latest", "no command `hsm to`", "`hsm sync to latest`", id="without sync"),
        pytest.param("pull latest", "no command `hsm pull`", "`hsm sync pull latest`", id="other name"),
        pytest.param("sync too latest", "no command `hsm sync too`", "`hsm sync to latest`", id="letter"),
        pytest.param("too latest", "no command `hsm too`", "`hsm sync to latest`", id="letter, without sync"),
        pytest.param("synk to latest", "no command `hsm synk`", "`hsm sync to latest`", id="group"),
        pytest.param("sync rm latest", "no command `hsm sync rm`", "`hsm sync clean latest`", id="synonym"),
        pytest.param("sync xyzzy", "no command `hsm sync xyzzy`", "`hsm sync --help`", id="nothing like it"),
        pytest.param("sync to latest --dryrun", "no option --dryrun", "`hsm sync to latest --dry-run`", id="option"),
        pytest.param("sync to latest --sets=a=1", "no option --sets", "`hsm sync to latest --set=a=1`", id="value"),
        pytest.param("sync to latest --delete", "deletes nothing", "`hsm sync clean latest --dry-run`", id="delete"),
        pytest.param("sync to latest -avz", "no such option", "`hsm sync to latest`", id="rsync"),
        pytest.param("--nope", "`hsm` has no option --nope", "`hsm --help`", id="root option"),
        pytest.param("sync login", "Missing argument", "`hsm sync login --help`", id="argument"),
        pytest.param(
            "sync verify sweep_20251029_212836 -q", "Unknown sweep", f"`hsm sync verify {FIRST} -q`", id="typo, verify"
        ),
        pytest.param(
            "sync report sweep_20251029_212836", "Unknown sweep", f"`hsm sync report {FIRST}`", id="typo, report"
        ),
        pytest.param("sync to lates", "Unknown sweep", "`hsm sync to latest`", id="typo, latest"),
        pytest.param("sync to all", "Unknown sweep", "`hsm sync to --all`", id="all"),
        pytest.param(
            "sync status sweep_2025", "beginning of 2 sweeps", f"`hsm sync status {SECOND}`", id="ambiguous"
        ),
    ],
)  # fmt: skip
def test_the_line_that_was_meant_is_named(typed: str, said: str, meant: str) -> None:
    output = run(typed)
    assert said in output
    assert meant in output.partition("Next: ")[2]


@pytest.mark.usefixtures("project")
def test_commands_of_several_groups_are_all_named() -> None:
    assert "  hsm sync list -h\n" not in run("list")
    assert "hsm sync list" in run("list")
    assert "hsm hosts list" in run("list")
    said = run("status")
    assert all(f"hsm {' '.join(path)}" in said and about in said for path, about in STATUS_COMMANDS)


def test_commands_that_are_named_for_status_exist() -> None:
    for path, _ in STATUS_COMMANDS:
        command = typer.main.get_command(app)
        for word in path:
            command = command.commands[word]  # type: ignore[attr-defined]
        assert command.name == path[-1]


def test_a_project_that_pulls_is_told_to_pull(project: Path) -> None:
    pulled = project / ".hsm" / "sync" / "desktop" / "pulled"
    pulled.mkdir(parents=True)
    (pulled / f"{FIRST}.json").write_text("{}")
    assert f"`hsm sync from {FIRST}`" in run(f"sync {FIRST}")
    assert "`hsm sync from latest -t desktop`" in run("sync desktop")


def test_an_empty_project_is_told_to_pull(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm" / "sync_config.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    assert "`hsm sync from latest -t desktop`" in run("sync desktop")


@pytest.mark.usefixtures("project")
def test_a_mistake_is_a_document_too() -> None:
    document = json.loads(run("sync push latest desktop --json"))
    assert (document["command"], document["exit_code"]) == ("sync to", 2)
    assert document["error"]["hint"] == "`hsm sync push latest --json -t desktop`"
    assert json.loads(run("sync desktop --json"))["error"]["kind"] == "usage"


def test_hostile_words_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["sync", "too", "$(rm -rf x)\x1b[2J"], env={"COLUMNS": "400"})
    assert "\x1b" not in result.output
    assert "'$(rm -rf x)" in result.output
