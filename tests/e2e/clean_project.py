"""A project whose sweep lies at folders of this machine, and what a clean must never do to it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tests.conftest import run_hsm
from tests.e2e.aftermath import SWEEP
from tests.e2e.conftest import Project
from tests.e2e.synthetic import write_file, write_project, write_run
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

FINISHED = [f"run-20251020_212836-r{number:04}" for number in range(3)]


def make_clean_project(tmp_path: Path, *, targets: tuple[str, ...] = ("nas",), n_runs: int = 3) -> Project:
    """Write a project with finished runs, and targets that are folders; nothing is brought there yet."""
    folder = tmp_path / "source/project"
    write_project(folder, n_runs=n_runs)
    write_file(folder / "sweeps/outputs" / SWEEP / "logs/task_1.out", b"task 1\n")
    project = Project(folder, cast("Any", None), targets[0], tmp_path / targets[0], run_hsm)
    project.write_config(
        {"default_target": targets[0], "sync_targets": {name: make_folder_target(tmp_path / name) for name in targets}}
    )
    return project


def make_folder_target(root: Path) -> dict[str, Any]:
    """A target's part of the configuration, that takes everything."""
    paths = {"sweeps": str(root / "sweeps"), "wandb": str(root / "wandb")}
    return {"paths": paths, "engine": "copy", "options": {"latest_only": False, "max_depth": None}}


def write_killed_run(project: Project, run_id: str = "dead") -> Path:
    """Write a run without an exit record."""
    folder = write_run(project.folder / "wandb", run_id)
    log = w.frame([w.run(run_id, group=SWEEP), w.history({"loss": 0.5}, 1)])
    write_file(folder / f"run-{run_id}.wandb", log)
    return folder


def send(project: Project, *targets: str) -> None:
    """Bring the sweep to targets."""
    for name in targets or (project.target,):
        completed = project.hsm("sync", "to", SWEEP, "-q", "--target", name)
        assert completed.returncode == 0, completed.stdout + completed.stderr


@dataclass(frozen=True)
class Cleaned:
    """What one call of `hsm sync clean --json` said of the sweep."""

    code: int
    document: dict[str, Any]

    @property
    def error(self) -> str:
        """The kind of the error of the whole call."""
        return str((self.document["error"] or {"kind": ""})["kind"])

    @property
    def units(self) -> dict[str, dict[str, Any]]:
        """By run; the sweep's folder under its empty name."""
        return {unit["run"] or "": unit for unit in self.document["sweeps"][0]["units"]}

    @property
    def removed(self) -> set[str]:
        """The names of what was removed."""
        return {name for name, unit in self.units.items() if unit["removed"]}

    @property
    def going(self) -> set[str]:
        """The names of what goes, or would go."""
        return {name for name, unit in self.units.items() if unit["goes"]}

    @property
    def failed_targets(self) -> dict[str, str]:
        """Kinds of errors by target."""
        return {name: error["kind"] for name, error in self.document["sweeps"][0]["targets"].items()}

    def say(self, run: str) -> str:
        """All that was said of a run that stays."""
        return json.dumps([self.units[run]["reasons"], self.units[run]["lacks"]])


def clean(project: Project, *args: str) -> Cleaned:
    """Call the program; without `--dry-run` it removes."""
    answer = () if "--dry-run" in args else ("--yes",)
    return parse(project.hsm("sync", "clean", SWEEP, "--json", *answer, *args))


def parse(completed: subprocess.CompletedProcess[str]) -> Cleaned:
    """Read what a call with `--json` printed."""
    assert completed.stdout, completed.stderr
    document = json.loads(completed.stdout)
    assert document["exit_code"] == completed.returncode, completed.stderr
    return Cleaned(completed.returncode, document)


def read_tree(folder: Path) -> dict[str, str]:
    """Every file and symlink below a folder that is not HSM's own, with a word for its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file() and not any(part.startswith(".hsm") for part in name.split("/")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def list_aside(project: Project) -> list[Path]:
    """What an interrupted clean left."""
    return [path for path in project.folder.rglob(".hsm-clean-*") if path.is_dir()]


def assert_nothing_lost(project: Project, before: dict[str, str], *, stays: tuple[str, ...]) -> None:
    """Every file is here or, the same, at the target; what must stay is here; no run is half there."""
    here = read_tree(project.folder)
    there = read_tree(project.target_root)
    for name, content in before.items():
        assert content in (here.get(name), there.get(name)), f"{name} is lost"
        if any(part in stays for part in name.split("/")):
            assert here.get(name) == content, f"{name} had to stay"
    for run in sorted(path for path in (project.folder / "wandb").iterdir() if path.name.startswith("run-")):
        prefix = f"wandb/{run.name}/"
        expected = {name for name in before if name.startswith(prefix)}
        assert {name for name in here if name.startswith(prefix)} == expected, f"{run.name} is half there"
