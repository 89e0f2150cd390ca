"""Secrets stay here, end to end: by name, behind symlinks, and in what text files hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.conftest import Project

FLAT = "sweep_20251020_212836"
TOKEN = "hf_" + "aB3dE6gH9jK2mN5pQ8sT"


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def run_folder(project: Project) -> Path:
    """Return a run with a key behind a symlink, a `.env`, and a token in a log."""
    keys = project.folder.parent / "home/.ssh"
    keys.mkdir(parents=True)
    (keys / "plain").write_text("key")
    (keys.parent / "keys").symlink_to(".ssh")
    folder = next(path for path in sorted((project.folder / "wandb").iterdir()) if "run-" in path.name)
    (folder / "files/.env").write_text("A=1")
    (folder / "files/note").symlink_to(keys.parent / "keys/plain")
    (folder / "files/token.log").write_text(f"one\n{TOKEN}\n")
    return folder


def sync(project: Project, *args: str) -> tuple[dict[str, Any], str]:
    completed = project.hsm("sync", "to", FLAT, *args, "--json")
    (sweep,) = json.loads(completed.stdout)["sweeps"]
    (target,) = sweep["targets"]
    return target, completed.stdout


def list_problems(target: dict[str, Any], kind: str) -> list[str]:
    return sorted(problem["path"] for problem in target["problems"] if problem["kind"] == kind)


def test_secrets_are_left_and_named_and_possible_ones_are_named(project: Project, run_folder: Path) -> None:
    target, printed = sync(project)
    assert (target["state"], target["exit_code"], target["files"]["secret"]) == ("done", 0, 2)
    assert list_problems(target, "secret") == [f"{run_folder.name}/files/{name}" for name in (".env", "note")]
    assert list_problems(target, "possible_secret") == [f"{run_folder.name}/files/token.log"]
    assert TOKEN not in printed
    arrived = {path.name for path in (project.target_wandb / run_folder.name / "files").iterdir()}
    assert "token.log" in arrived
    assert not {".env", "note"} & arrived
    again, _ = sync(project)
    assert (again["state"], list_problems(again, "possible_secret")) == ("nothing_to_do", [])


@pytest.mark.slow
def test_a_target_may_refuse_possible_secrets(project: Project, run_folder: Path) -> None:
    project.set_target(secrets="refuse")
    for args in (["--dry-run"], []):
        target, printed = sync(project, *args)
        assert (target["state"], target["exit_code"], target["error"]["kind"]) == ("refused", 12, "secrets")
        assert f"{run_folder.name}/files/token.log" in target["error"]["message"]
        assert TOKEN not in printed
    assert not project.target_wandb.exists()
    waived, _ = sync(project, "--allow", "secrets")
    assert waived["state"] == "done"


def test_nothing_counts_as_a_secret_where_the_user_says_so(project: Project, run_folder: Path) -> None:
    project.set_target(secrets="ignore")
    project.set_options(secret_patterns=[])
    target, _ = sync(project)
    assert (target["files"]["secret"], list_problems(target, "possible_secret")) == (0, [])
    assert (project.target_wandb / run_folder.name / "files/.env").read_text() == "A=1"
