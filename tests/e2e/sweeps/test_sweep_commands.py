"""`hsm sweep` as a program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import RunHsm


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("pass\n", encoding="utf-8")
    return project


def list_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_from_nothing_to_a_prepared_sweep(project: Path, hsm: RunHsm) -> None:
    done = hsm("sweep", "init", cwd=project)
    assert (done.returncode, done.stdout.count("Written: ")) == (0, 2)
    before = list_files(project)

    shown = hsm("sweep", "run", "--dry-run", cwd=project)
    assert shown.returncode == 0, shown.stderr
    assert ": 6 tasks" in shown.stdout
    assert "   6  0.0003  3\n" in shown.stdout
    assert f"{project}/train.py lr=0.001 seed=1" in shown.stdout
    assert list_files(project) == before
    assert hsm("sweep", "run", "--count-only", "--max-runs", "4", cwd=project).stdout == "4\n"

    done = hsm("sweep", "run", "--prepare", "--name", "first", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "first: 6 tasks prepared in" in done.stdout
    listed = hsm("sweep", "list", cwd=project / "sweeps")
    assert [line.split()[:3] for line in listed.stdout.splitlines()[1:]] == [["first", "6", "auto"]]
    document = json.loads(hsm("sweep", "list", "--json", cwd=project).stdout)
    assert [(row["sweep"], row["state"]) for row in document["sweeps"]] == [("first", "prepared")]

    again = hsm("sweep", "init", cwd=project)
    assert (again.returncode, "exist already" in again.stderr) == (2, True)


def test_a_prepared_sweep_is_one_to_hsm_sync(project: Path, hsm: RunHsm, tmp_path: Path) -> None:
    hsm("sweep", "init", cwd=project)
    hsm("sweep", "run", "--prepare", "--name", "first", cwd=project)
    target = tmp_path / "target"
    paths = f"{{sweeps: {target}/sweeps, wandb: {target}/wandb}}"
    config = f"sync_targets: {{disk: {{paths: {paths}, options: {{sync_wandb_runs: false}}}}}}\n"
    (project / ".hsm" / "sync_config.yaml").write_text(config, encoding="utf-8")
    done = hsm("sync", "to", "first", "--target", "disk", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [name for name in list_files(target / "sweeps/outputs/first") if not name.startswith(".hsm-sync")]
    assert names == ["parameter_combinations.json", "submission_summary.txt", "sweep_config.yaml"]


def test_a_sweep_is_extended(project: Path, hsm: RunHsm) -> None:
    hsm("sweep", "init", cwd=project)
    hsm("sweep", "run", "--prepare", "--name", "first", cwd=project)
    path = project / "sweeps" / "sweep.yaml"
    path.write_text(path.read_text("utf-8").replace("[1, 2, 3]", "[1, 2, 3, 4]"), encoding="utf-8")
    before = list_files(project)
    shown = hsm("sweep", "run", "--extend", "latest", "--dry-run", cwd=project)
    assert "   7  0.001   4\n   8  0.0003  4\n" in shown.stdout, shown.stderr
    assert "/tasks/task_7" in shown.stdout
    assert list_files(project) == before
    done = hsm("sweep", "run", "--extend", "first", "--prepare", "--json", cwd=project)
    document = json.loads(done.stdout)
    assert (document["sweep"], document["n_added"]) == ("first", 2)
    done = hsm("sweep", "run", "--extend", "first", "--prepare", cwd=project)
    assert done.stdout == "first: 0 tasks added\n"
    assert (hsm("sweep", "run", "--extend", "no", "--prepare", cwd=project)).returncode == 2


def test_a_dry_run_as_a_document(project: Path, hsm: RunHsm) -> None:
    hsm("sweep", "init", cwd=project)
    done = hsm("sweep", "run", "-n", "--json", "--walltime", "02:00:00", "--sbatch", "mail-type=END", cwd=project)
    document = json.loads(done.stdout)
    assert (document["exit_code"], document["dry_run"]) == (0, True)
    assert (document["n_tasks"], len(document["tasks"])) == (6, 6)
    assert document["tasks"][0] == {"lr": 0.001, "seed": 1}
    assert document["words"][1:4] == [f"{project}/train.py", "lr=0.001", "seed=1"]
    assert document["resources"] == {"walltime": "02:00:00", "extra": {"mail-type": "END"}}


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("run", "--dry-run", "--config", "no.yaml"), "bad_definition"),
        (("run", "--dry-run", "--walltime", "48:00"), "bad_resources"),
        (("run", "--dry-run", "--sbatch", "wrap=x"), "bad_resources"),
        (("run", "--dry-run", "--name", "a/b"), "bad_sweep_name"),
        (("run", "--dry-run", "--code", "snapshot"), "no_repository"),
    ],
)
def test_a_mistake_is_an_error_document(project: Path, hsm: RunHsm, words: tuple[str, ...], kind: str) -> None:
    hsm("sweep", "init", cwd=project)
    done = hsm("sweep", *words, "--json", cwd=project)
    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"]) == (2, 2)
    assert (document["command"], document["error"]["kind"]) == ("sweep run", kind)
    assert document["error"]["hint"]


def test_without_a_project_the_next_command_is_named(project: Path, hsm: RunHsm) -> None:
    done = hsm("sweep", "run", "--dry-run", cwd=project)
    assert done.returncode == 2
    assert "`hsm sweep init`" in done.stderr


def test_several_training_scripts_are_listed(project: Path, hsm: RunHsm) -> None:
    (project / "train_other.py").write_text("", encoding="utf-8")
    done = hsm("sweep", "init", cwd=project)
    assert "train.py, train_other.py" in done.stdout
    done = hsm("sweep", "run", "-n", cwd=project)
    assert (done.returncode, "names no script" in done.stderr) == (2, True)


def test_a_sync_imports_nothing_of_it() -> None:
    code = """
import sys, typer
from hsm.cli.main import app
typer.main.get_command(app).commands["sync"].commands["to"]
print(*[name for name in sys.modules if name.startswith(("hsm.sweeps", "hsm.prepared", "hsm.cli.sweeps", "hsm.jobs"))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.split() == []
