"""A clean that is killed at any moment loses nothing, and the next clean or sync ends right."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.clean_project import (
    FINISHED,
    assert_nothing_lost,
    clean,
    list_aside,
    make_clean_project,
    read_tree,
    send,
    write_killed_run,
)
from tests.e2e.synthetic import write_file
from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.e2e.conftest import Project

PROGRAM = Path(__file__).with_name("killed_hsm.py")
CHANGES = "os.rename,os.remove,os.rmdir,os.mkdir,os.link"
EVERYTHING = f"{CHANGES},open,os.listdir,os.scandir,subprocess.Popen"
N_SEEDS = 50 if os.environ.get("HSM_SOAK") == "1" else 5
WITH_NOTE = FINISHED[2]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project of which two runs may go; one has a note that is nowhere else, one was killed."""
    project = make_clean_project(tmp_path)
    write_killed_run(project)
    for number in range(20):
        write_file(project.folder / "wandb" / FINISHED[0] / f"files/more/{number}.txt", b"%d" % number)
    send(project)
    write_file(project.folder / "wandb" / WITH_NOTE / "files/note.txt", b"only here")
    return project


def clean_and_die(project: Project, kinds: str, at: int) -> tuple[int, int]:
    """Clean, dying before the n-th call; return the exit code and how many calls there were."""
    count = project.folder.parent / "count"
    argv = [sys.executable, str(PROGRAM), kinds, str(at), str(count), "sync", "clean", SWEEP, "--yes", "--json"]
    completed = subprocess.run(
        argv, cwd=project.folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=100, check=False
    )
    if completed.returncode >= 0:
        assert json.loads(completed.stdout)["exit_code"] == completed.returncode, completed.stderr
    return completed.returncode, int(count.read_text() or 0)


def assert_records_can_be_read(project: Project) -> None:
    for path in (project.folder / ".hsm").rglob("*.json"):
        assert isinstance(json.loads(path.read_bytes()), dict)


def crash_and_go_on(project: Project, seed: int) -> None:
    chance = random.Random(seed)
    stays = (WITH_NOTE, "run-20251020_212836-dead")
    before = read_tree(project.folder)
    kinds, n_calls = (CHANGES, 66) if seed % 3 else (EVERYTHING, 980)
    at = chance.randrange(1, n_calls)
    code, n_done = clean_and_die(project, kinds, at)
    print(f"seed {seed}: {code} at {n_done} of {kinds}; aside: {len(list_aside(project))}")
    assert (code == -signal.SIGKILL) == (n_done == at)
    assert_records_can_be_read(project)
    assert_nothing_lost(project, before, stays=stays)
    if seed % 2:
        again = project.hsm("sync", "to", SWEEP, "--json")
        assert again.returncode == 0, again.stdout
        assert_nothing_lost(project, before, stays=stays)
        there = read_tree(project.target_root)
        assert there[f"wandb/{WITH_NOTE}/files/note.txt"] == before[f"wandb/{WITH_NOTE}/files/note.txt"]
        stays = stays[1:]
    end = clean(project)
    assert end.code in (0, 1), end.document
    assert list_aside(project) == []
    left = {path.name for path in (project.folder / "wandb").iterdir()}
    assert left == set(stays)
    assert_nothing_lost(project, before, stays=stays)
    assert [path.name for path in (project.folder / ".hsm").rglob(".hsm-*")] == []
    assert list(project.target_root.rglob(".hsm-tmp")) == []
    assert list(project.folder.parent.rglob(".hsm-mark-*")) == []
    back = project.hsm("sync", "from", SWEEP, "-t", "nas")
    assert back.returncode == 0, back.stdout
    assert before.items() <= read_tree(project.folder).items()


@parametrize("seed", range(5), quick=[0])
def test_after_a_kill_nothing_is_lost(project: Project, seed: int) -> None:
    crash_and_go_on(project, seed)


@pytest.mark.soak
@pytest.mark.skipif(N_SEEDS == 5, reason="HSM_SOAK=1 asks for it")
@pytest.mark.parametrize("seed", range(5, N_SEEDS))
def test_after_many_kills_nothing_is_lost(project: Project, seed: int) -> None:
    crash_and_go_on(project, seed)


def leave_half_a_run(project: Project) -> Path:
    """Clean, and die in the middle of the first run."""
    _, n_renames = clean_and_die(project, "os.rmdir", 1)
    assert n_renames == 1
    (aside,) = list_aside(project)
    return aside


@pytest.mark.slow
def test_what_is_left_of_a_run_is_no_run_and_the_next_clean_ends_it(project: Project) -> None:
    aside = leave_half_a_run(project)
    assert any(aside.rglob("*"))
    assert not (project.folder / "wandb" / FINISHED[0]).exists()
    listed = project.hsm("sync", "list", "--sweeps", "--json")
    assert aside.name not in listed.stdout
    assert f"an interrupted clean left {aside}" in project.hsm("sync", "status", SWEEP).stdout
    preview = clean(project, "--dry-run")
    assert aside.is_dir()
    assert FINISHED[0] in preview.going
    clean(project)
    assert list_aside(project) == []


@pytest.mark.slow
def test_what_is_left_stays_where_the_target_has_lost_it(project: Project) -> None:
    aside = leave_half_a_run(project)
    left = sorted(str(path.relative_to(aside)) for path in aside.rglob("*") if path.is_file())
    assert left
    (project.target_wandb / FINISHED[0] / left[0]).unlink()
    kept = clean(project)
    assert kept.code == 1
    assert left[0] in kept.say(FINISHED[0])
    assert sorted(str(path.relative_to(aside)) for path in aside.rglob("*") if path.is_file()) == left


@pytest.mark.slow
def test_what_is_left_stays_where_it_is_not_what_was_recorded(project: Project) -> None:
    aside = leave_half_a_run(project)
    (aside / "new.txt").write_text("only here")
    kept = clean(project)
    assert "new.txt" in kept.say(FINISHED[0])
    assert (aside / "new.txt").read_text() == "only here"


def test_a_run_that_was_only_set_aside_is_a_run_again(project: Project) -> None:
    before = read_tree(project.folder / "wandb" / FINISHED[0])
    code, _ = clean_and_die(project, "unlinkat", 1)
    assert code == -signal.SIGKILL
    (aside,) = list_aside(project)
    write_file(aside / "files/late.txt", b"came while it was renamed")
    kept = clean(project)
    assert kept.code == 1
    assert "files/late.txt" in kept.say(FINISHED[0])
    here = read_tree(project.folder / "wandb" / FINISHED[0])
    assert {name: content for name, content in here.items() if name != "files/late.txt"} == before
    assert list_aside(project) == []
