"""Choosing runs and files of one call, and choosing a sweep from a list: what arrives, and what is claimed of it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.conftest import Project
from tests.e2e.synthetic import write_file, write_run, write_sweep_folder
from tests.marks import parametrize
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from tests.conftest import RunHsm

LATER = "sweep_20251105_070000"
OLD, NEW, DEAD, FAILED = (
    "run-20251020_212836-old",
    "run-20251022_212836-new",
    "run-20251021_212836-dead",
    "offline-run-20251023_212836-bad",
)
PICTURE = "media/images/a.png"


@pytest.fixture
def project(tmp_path: Path, hsm: RunHsm) -> Project:
    """Return a project with two finished runs, a killed and a failed one, and a folder as its target."""
    folder, root = tmp_path / "project", tmp_path / "nas"
    write_sweep_folder(folder)
    for name in (OLD, NEW):
        write_run(folder / "wandb", name[-3:], name=name, files={"config.yaml": b"a: 1\n", PICTURE: b"p" * 3000})
    write_ended(folder / "wandb" / DEAD, "dead", None)
    write_ended(folder / "wandb" / FAILED, "bad", 1)
    made = Project(folder, cast("Any", None), "nas", root, hsm)
    paths = {"sweeps": str(root / "sweeps"), "wandb": str(root / "wandb")}
    made.write_config({"default_target": "nas", "sync_targets": {"nas": {"paths": paths}}})
    return made


def write_ended(folder: Path, run_id: str, code: int | None) -> None:
    records = [w.run(run_id, group=SWEEP), w.history({"loss": 0.5}, 1)]
    records += [] if code is None else [w.exit_code(code), w.FOOTER]
    write_file(folder / f"run-{run_id}.wandb", w.frame(records))


def call(project: Project, *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command with --json, and return what it says of the only target."""
    completed = project.hsm("sync", *words, "--json")
    document: dict[str, Any] = json.loads(completed.stdout)
    assert (document["exit_code"], completed.returncode) == (code, code), completed.stdout
    (sweep,) = document["sweeps"]
    (target,) = sweep["targets"]
    return dict(target)


def send(project: Project, *words: str) -> dict[str, Any]:
    return call(project, "to", SWEEP, *words)


def list_arrived(project: Project) -> dict[str, int]:
    """How many files lie at the target, by run."""
    runs = project.target_wandb.iterdir() if project.target_wandb.is_dir() else []
    return {run.name: sum(path.is_file() for path in run.rglob("*")) for run in runs if not run.name.startswith(".")}


CHOICES = {
    "finished": (["--runs", "finished"], {OLD: 3, NEW: 3}),
    "failed and killed": (["--runs", "failed", "--runs", "unknown"], {DEAD: 1, FAILED: 1}),
    "the newest two": (["--newest", "2"], {NEW: 3, FAILED: 1}),
    "logs alone": (["--include", "*.wandb"], {OLD: 1, NEW: 1, DEAD: 1, FAILED: 1}),
    "no pictures of one": (["--exclude", "*.png", "--runs", "finished", "--newest", "1"], {NEW: 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize(("words", "expected"), CHOICES.values(), ids=CHOICES)
def test_what_is_chosen_arrives_and_nothing_more_is_claimed(
    project: Project, words: list[str], expected: dict[str, int]
) -> None:
    planned = send(project, *words, "--dry-run")
    target = send(project, *words)
    n_files = sum(expected.values())
    assert list_arrived(project) == expected
    assert (project.target_sweeps / "outputs" / SWEEP / "sweep_config.yaml").is_file()
    assert planned["files"]["planned"] == target["files"]["sent"] == n_files + 1
    assert planned["files"]["not_chosen"] == target["files"]["not_chosen"] == 8 - n_files
    left = [item for item in planned["plan"] if item["reason"] == "not chosen"]
    assert len(left) == 8 - n_files
    assert all(item["action"] == "leave" and item["detail"].startswith("--") for item in left)

    again = send(project, *words)
    assert (again["state"], again["files"]["not_chosen"]) == ("nothing_to_do", 8 - n_files)
    assert call_status(project, project.folder)[0] == 1
    assert call_status(project, project.target_root)[0] == 1
    verified = call(project, "verify", SWEEP, *words)
    assert (verified["equal"], verified["left"]) == (n_files + 1, {"not chosen": 8 - n_files})
    assert len(call(project, "verify", SWEEP, code=1)["missing"]) == 8 - n_files

    rest = send(project)
    assert (rest["files"]["sent"], rest["files"]["not_chosen"]) == (8 - n_files, 0)
    assert call(project, "verify", SWEEP)["equal"] == 9


def call_status(project: Project, folder: Path) -> tuple[int, dict[str, int]]:
    """The exit code, and how many runs stand how: at the target, or as the receipt says where it was received."""
    completed = project.run_hsm("sync", "status", SWEEP, "--json", cwd=folder)
    (sweep,) = json.loads(completed.stdout)["sweeps"]
    (place,) = sweep["targets"] or sweep["received"]
    assert (completed.returncode == 0) == place["complete"] == place["whole"]
    return completed.returncode, place["runs"]


@pytest.mark.slow
def test_what_was_left_stays_pending_at_both_ends_until_it_comes(project: Project) -> None:
    shutil.rmtree(project.folder / "wandb" / DEAD)
    send(project, "--newest", "1")
    for folder in (project.folder, project.target_root):
        code, found = call_status(project, folder)
        assert (code, found["complete"], found["pending"]) == (1, 1, 2)
    send(project)
    for folder in (project.folder, project.target_root):
        code, found = call_status(project, folder)
        assert (code, found["complete"], found["pending"]) == (0, 3, 0)
    assert send(project, "--newest", "1", "--exclude", "*")["files"]["not_chosen"] == 0
    assert call_status(project, project.target_root)[0] == 0, "what is there stays proven, chosen or not"


@pytest.mark.slow
def test_without_a_check_what_is_known_of_runs_that_were_left_stays(project: Project) -> None:
    shutil.rmtree(project.folder / "wandb" / DEAD)
    send(project)
    blind = send(project, "--runs", "failed", "--set", "options.check_remote_first=false")
    assert blind["files"]["not_chosen"] == 6
    assert call_status(project, project.target_root)[0] == 0


@pytest.mark.slow
def test_a_source_that_vanished_is_missed_whatever_is_chosen(project: Project) -> None:
    send(project, "--runs", "failed")
    shutil.rmtree(project.folder / "wandb")
    (project.folder / "wandb").mkdir()
    target = call(project, "to", SWEEP, "--runs", "finished", code=12)
    assert target["error"]["kind"] == "source-empty"


def test_since_goes_by_what_changed_last(project: Project) -> None:
    write_file(project.folder / "wandb" / OLD / "files/late.txt", b"x", mtime_ns=time.time_ns() - 3600 * 10**9)
    assert send(project, "--since", "30m")["files"]["sent"] == 1
    assert send(project, "--since", "2h")["files"]["sent"] == 4
    assert list_arrived(project) == {OLD: 4}


@pytest.mark.slow
def test_a_pull_chooses_as_a_push_does(project: Project, tmp_path: Path) -> None:
    send(project)
    here = tmp_path / "laptop"
    here.mkdir()
    laptop = Project(here, cast("Any", None), "nas", here, project.run_hsm)
    laptop.write_config(project.read_config())
    target = call(laptop, "from", SWEEP, "--newest", "2", "--exclude", "*.png")
    assert list_arrived(laptop) == {NEW: 2, FAILED: 1}
    assert target["files"]["not_chosen"] == 5
    code, found = call_status(laptop, here)
    assert (code, found["complete"], found["pending"]) == (1, 1, 3)
    assert call(laptop, "from", SWEEP)["files"]["sent"] == 5


def test_the_dry_run_says_what_was_left_and_why(project: Project) -> None:
    shown = project.hsm("sync", "to", SWEEP, "-n", "--runs", "finished", "--newest", "1", "--exclude", "*.png").stdout
    assert "4 runs: 1 new, 3 not chosen; 2 finished, 1 failed, 1 unknown" in shown
    for line in (
        "not chosen: 1 file of 1 run: --runs: the run is failed",
        "not chosen: 1 file of 1 run: --runs: the run is unknown",
        "not chosen: 3 files of 1 run: --newest 1: others began later",
        "not chosen: 1 file of 1 run: --exclude *.png",
    ):
        assert line in shown


@parametrize(
    "words",
    [["to"], ["run"], ["from"], ["to", "--json"], ["from", "-q"]],
    quick=[["to"], ["to", "--json"]],
    ids=" ".join,
)
def test_without_a_terminal_a_sweep_must_be_named(project: Project, words: list[str]) -> None:
    completed = project.hsm("sync", *words)
    assert completed.returncode == 2
    text = completed.stdout if "--json" in words else completed.stderr
    command = "from" if "from" in words else "to"
    assert "No sweep was named." in text
    assert f"hsm sync {command} latest" in text


class Dialogue:
    """`hsm` in a terminal of its own."""

    def __init__(self, *words: str, cwd: Path) -> None:
        self.text = ""
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            with contextlib.suppress(BaseException):
                os.chdir(cwd)
                environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
                os.execve(sys.executable, [sys.executable, "-m", "hsm", *words], environment)
            os._exit(127)

    def expect(self, text: str) -> None:
        """Wait for what it says."""
        begin = len(self.text)
        while text not in self.text[begin:]:
            if not self._read():
                pytest.fail(f"{text!r} was not said:\n{self.text}")

    def answer(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, f"{line}\n".encode())

    def end(self) -> int:
        """Wait for its end, and return the exit code."""
        while self._read():
            pass
        _, status = os.waitpid(self._pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End it, if it has not ended."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], 30)
        try:
            chunk = os.read(self._terminal, 65536) if ready else b""
        except OSError:
            chunk = b""
        self.text += chunk.decode()
        return bool(chunk)


@pytest.fixture
def two_sweeps(project: Project) -> Project:
    """Return the project with a later sweep beside, of which all is at the target."""
    write_sweep_folder(project.folder, LATER)
    write_run(project.folder / "wandb", "later", sweep=LATER, name="run-20251105_070001-later")
    assert project.hsm("sync", "to", LATER).returncode == 0
    return project


def test_a_sweep_is_picked_from_a_list(two_sweeps: Project) -> None:
    dialogue = Dialogue("sync", "to", "-q", cwd=two_sweeps.folder)
    try:
        dialogue.expect("q for none:")
        listed = dialogue.text
        assert listed.index(LATER) < listed.index(SWEEP), "newest first"
        assert "nas: nothing, complete" in listed
        assert "nas: 4 runs, the sweep's folder, at most 6." in listed
        for wrong in ("3", "0", "x", "1-9", "2-1"):
            dialogue.answer(wrong)
            dialogue.expect("q for none:")
        dialogue.answer("2")
        assert dialogue.end() == 0
    finally:
        dialogue.kill()
    assert set(list_arrived(two_sweeps)) == {OLD, NEW, DEAD, FAILED, "run-20251105_070001-later"}


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "sweeps"), [("", [LATER]), ("1,2", [LATER, SWEEP]), ("1-2", [LATER, SWEEP])])
def test_what_is_picked_is_what_is_brought(two_sweeps: Project, answer: str, sweeps: list[str]) -> None:
    dialogue = Dialogue("sync", "to", "-n", cwd=two_sweeps.folder)
    try:
        dialogue.expect("q for none:")
        dialogue.answer(answer)
        assert dialogue.end() == 0
    finally:
        dialogue.kill()
    assert [name for name in (LATER, SWEEP) if f"{name} to nas" in dialogue.text] == sweeps


@pytest.mark.slow
def test_nothing_is_picked(two_sweeps: Project) -> None:
    dialogue = Dialogue("sync", "to", cwd=two_sweeps.folder)
    try:
        dialogue.expect("q for none:")
        dialogue.answer("q")
        assert dialogue.end() == 0
    finally:
        dialogue.kill()
    assert OLD not in list_arrived(two_sweeps)


@pytest.mark.slow
def test_a_sweep_at_a_target_is_picked_from_a_list(two_sweeps: Project, tmp_path: Path) -> None:
    here = tmp_path / "laptop"
    here.mkdir()
    laptop = Project(here, cast("Any", None), "nas", here, two_sweeps.run_hsm)
    laptop.write_config(two_sweeps.read_config())
    dialogue = Dialogue("sync", "from", cwd=here)
    try:
        dialogue.expect("q for none:")
        assert "nas: nothing came yet" in dialogue.text
        dialogue.answer("1")
        assert dialogue.end() == 0
    finally:
        dialogue.kill()
    assert list_arrived(laptop) == {"run-20251105_070001-later": 3}
