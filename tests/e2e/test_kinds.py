"""Sweeps of every kind, there and back: names in logs, agents' files, loose runs, runs that only a place gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.synthetic import write_file, write_run

if TYPE_CHECKING:
    from tests.conftest import RunHsm

CONFIG = """
default_target: desk
sync_targets:
  desk:
    paths: {{project_root: {desk}, sweeps: {desk}/sweeps, wandb: {desk}/wandb}}
"""


class Project:
    """A project with a folder target, and what is read of what `hsm` prints there.

    Args:
        folder: Of the project.
        desk: The target's.
        hsm: Runs the program.
    """

    def __init__(self, folder: Path, desk: Path, hsm: RunHsm) -> None:
        self.folder = folder
        self.desk = desk
        self._hsm = hsm
        write_file(folder / ".hsm/sync_config.yaml", CONFIG.format(desk=desk).encode())
        for name in ("sweeps", "wandb"):
            (desk / name).mkdir(parents=True, exist_ok=True)

    def call(self, *words: str) -> tuple[int, str]:
        """Run `hsm sync`; the exit code, and all that it prints."""
        done = self._hsm("sync", *words, cwd=self.folder)
        return done.returncode, done.stdout + done.stderr

    def read(self, *words: str) -> dict[str, Any]:
        """Run `hsm sync` for its document."""
        done = self._hsm("sync", *words, "--json", cwd=self.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def list_runs(self, place: Path) -> set[str]:
        """List the ids of the runs below a folder."""
        return {path.stem.removeprefix("run-") for path in place.rglob("run-*.wandb")}

    def count(self, sweep: str, *words: str) -> int:
        """Count the runs of a sweep that `list --sweeps` shows."""
        (place,) = self.read("list", "--sweeps", *words)["places"]
        return next(row["runs"]["total"] for row in place["sweeps"] if row["sweep"] == sweep)


@pytest.fixture
def project(tmp_path: Path, hsm: RunHsm) -> Project:
    return Project(tmp_path / "project", tmp_path / "desk", hsm)


def write_mixed(project: Project) -> None:
    """Write runs of every kind into several wandb folders."""
    here = project.folder
    for run_id, place in (("d1", "train"), ("d2", "preprocess/eval")):
        write_run(here / place / "wandb", run_id, sweep="dev")
    write_run(here / "wandb", "odd", sweep="a/b c%d")
    for run_id in ("old1", "old2"):
        write_run(here / "wandb", run_id, sweep="")
        write_file(here / f"wandb/sweep-ef567890/config-{run_id}.yaml", b"")
    write_run(here / "outputs/wandb", "l1", sweep="")
    write_run(here / "wandb", "l2", sweep="")


WANTED = {
    "dev": {"d1", "d2"},
    "a/b c%d": {"odd"},
    "ef567890": {"old1", "old2"},
    "loose": {"l1", "l2"},
    "outputs/wandb": {"l1"},
    "d2": {"d2"},
    "run:l2": {"l2"},
    "wandb/run-20251020_212836-odd": {"odd"},
    "--all": {"d1", "d2", "odd", "old1", "old2", "l1", "l2"},
}


_QUICK = ("ef567890", "--all")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param(word, runs, id=word, marks=() if word in _QUICK else pytest.mark.slow)
        for word, runs in WANTED.items()
    ],
)
def test_a_word_brings(project: Project, word: str, expected: set[str]) -> None:
    write_mixed(project)
    code, said = project.call("to", word)
    assert (code, project.list_runs(project.desk / "wandb")) == (0, expected), said
    assert {path.name for path in project.desk.iterdir()} == {"sweeps", "wandb"}
    assert project.call("to", word, "-q") == (0, "")
    again = project.read("to", word)["sweeps"]
    assert {target["state"] for sweep in again for target in sweep["targets"]} == {"nothing_to_do"}


@pytest.mark.slow
def test_all_comes_back_into_an_empty_project(project: Project, tmp_path: Path, hsm: RunHsm) -> None:
    write_mixed(project)
    assert project.call("to", "--all")[0] == 0
    empty = Project(tmp_path / "empty", project.desk, hsm)
    for word, expected in WANTED.items():
        if word in ("outputs/wandb", "--all"):
            continue
        shutil.rmtree(empty.folder / "wandb", ignore_errors=True)
        shutil.rmtree(empty.folder / "sweeps", ignore_errors=True)
        code, said = empty.call("from", word, "-t", "desk")
        assert (code, empty.list_runs(empty.folder / "wandb")) == (0, expected), (word, said)


PLACES = (
    "outputs/exp1/wandb",
    pytest.param("wandb/exp1", marks=pytest.mark.slow),
    pytest.param("sweeps/outputs/exp1/tasks/0/wandb", marks=pytest.mark.slow),
)


@pytest.mark.parametrize("place", PLACES)
def test_runs_that_only_their_place_gives_come_back(project: Project, tmp_path: Path, hsm: RunHsm, place: str) -> None:
    for run_id in ("a", "b"):
        write_run(project.folder / place, run_id, sweep="")
    assert project.call("to", "exp1")[0] == 0
    assert project.count("exp1", "-t", "desk") == 2
    code, said = project.call("clean", "exp1", "--wandb-only", "--yes")
    assert (code, project.list_runs(project.folder)) == (0, set()), said
    code, said = project.call("from", "exp1", "-t", "desk")
    assert (code, project.list_runs(project.folder)) == (0, {"a", "b"}), said
    empty = Project(tmp_path / "empty", project.desk, hsm)
    assert empty.call("from", "exp1", "-t", "desk")[0] == 0
    assert empty.list_runs(empty.folder / "wandb") == {"a", "b"}
    assert "2 runs" in empty.call("report", "exp1")[1]


def test_what_is_refused_starts_nothing(project: Project) -> None:
    write_mixed(project)
    (project.folder.parent / "other").mkdir()
    for words in (["../other"], ["train"], ["run:nothing"], ["zz*"], ["dev", "--all"], ["loose", "--continuous"]):
        code, said = project.call("to", *words)
        assert code == 2, (words, said)
    assert not project.list_runs(project.desk)
    assert not (project.folder / ".hsm/sync").exists()


def test_a_single_run_stays_single_however_often_it_is_looked_at(project: Project) -> None:
    write_mixed(project)
    code, said = project.call("to", "l2", "--continuous", "--interval", "1")
    assert (code, project.list_runs(project.desk / "wandb")) == (0, {"l2"}), said
    code, said = project.call("to", "dev", "--run", "d1", "--continuous", "--interval", "1")
    assert (code, project.list_runs(project.desk / "wandb")) == (0, {"l2", "d1"}), said


def test_a_run_that_is_not_there_starts_nothing(project: Project) -> None:
    write_mixed(project)
    write_file(project.folder / "outputs/f1/notes.txt", b"x")
    for words in (["--all", "--run", "zzz"], ["dev", "--run", "zzz"], ["f1", "--run", "d1"], ["dev", "--project", "q"]):
        code, said = project.call("to", *words)
        assert code == 2, (words, said)
    assert not list(project.desk.glob("sweeps/outputs/*"))
    assert project.call("to", "d1", "-q") == (0, "")
    assert project.call("report", "dev", "--run", "zzz")[0] == 2
    assert project.call("report", "--run", "d1")[1].count("is run run-20251020_212836-d1 of dev") == 1
    assert project.call("status", "--run", "d1")[1].endswith("d1 is run run-20251020_212836-d1 of dev\n")
    assert not (project.desk / "sweeps/outputs/f1").exists()


def test_a_receipt_that_leads_out_is_refused(project: Project, tmp_path: Path, hsm: RunHsm) -> None:
    write_run(project.folder / "outputs/exp1/wandb", "a", sweep="")
    assert project.call("to", "exp1")[0] == 0
    (receipt,) = project.desk.glob("sweeps/outputs/exp1/.hsm-sync/receipt-*.json")
    content = receipt.read_text().replace('"place": ""', '"place": "../../x"').replace('"folder"', '"hydra"')
    receipt.write_text(content)
    empty = Project(tmp_path / "a/b/empty", project.desk, hsm)
    code, _ = empty.call("from", "exp1", "-t", "desk")
    assert code != 0
    assert not (tmp_path / "a/x").exists()
    assert not empty.list_runs(tmp_path / "a")
