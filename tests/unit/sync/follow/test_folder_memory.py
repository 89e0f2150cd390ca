"""What is remembered of folders: nothing that changed may be missed where it matters."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from hsm.endpoint import Tree
from hsm.model import Entry
from hsm.sync.follow.folder_memory import FolderMemory
from hsm.tree import Child, list_tree, scan_folder

HOUR_NS = 3600 * 10**9


class Project:
    """A wandb folder with one run, all of it two hours old."""

    def __init__(self, folder: Path) -> None:
        self.wandb = folder / "wandb"
        self.run = self.wandb / "run-1-a"
        self.write("run-a.wandb", b"1")
        self.write("files/config.yaml", b"a")
        self.write("files/media/x_1.png", b"p")
        (self.run / "files" / "link").symlink_to("config.yaml")
        self.make_old()
        self.n_reads = 0
        self.memory = FolderMemory(read=self._read)

    def _read(self, folder: str) -> Sequence[Child]:
        self.n_reads += 1
        return scan_folder(folder)

    def write(self, name: str, content: bytes) -> Path:
        path = self.run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def make_old(self) -> None:
        old = time.time_ns() - 2 * HOUR_NS
        for path in [*self.wandb.rglob("*"), self.wandb]:
            os.utime(path, ns=(old, old), follow_symlinks=False)

    def list(self) -> set[Entry]:
        return set(list_tree(Tree(str(self.wandb), follow=True), scan=self.memory.scan).entries)

    def list_anew(self) -> set[Entry]:
        return set(list_tree(Tree(str(self.wandb), follow=True)).entries)

    def say(self, *, has_ended: bool) -> None:
        runs = [str(self.run)]
        self.memory.begin_pass(ended=runs if has_ended else [], going=[] if has_ended else runs)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(Path(os.path.realpath(tmp_path)))


@pytest.mark.parametrize("has_ended", [True, False])
def test_what_is_at_rest_is_not_walked_again(project: Project, has_ended: bool) -> None:
    project.say(has_ended=has_ended)
    assert project.list() == project.list_anew()
    n_reads = project.n_reads
    assert n_reads == 4
    assert project.list() == project.list_anew()
    assert project.n_reads == n_reads


def test_a_log_that_grows_is_seen_in_a_run_that_goes_on(project: Project) -> None:
    project.say(has_ended=False)
    project.list()
    n_reads = project.n_reads
    project.write("run-a.wandb", b"12")
    assert project.list() == project.list_anew()
    assert project.n_reads == n_reads


def test_a_run_that_has_ended_is_looked_at_again_after_forget_alone(project: Project) -> None:
    project.say(has_ended=True)
    before = project.list()
    project.write("files/media/x_1.png", b"pq")
    assert project.list() == before
    project.memory.forget()
    assert project.list() == project.list_anew() != before


@pytest.mark.parametrize("has_ended", [True, False])
def test_what_comes_and_goes_is_seen_in_every_folder(project: Project, has_ended: bool) -> None:
    project.say(has_ended=has_ended)
    project.list()
    project.write("files/new.txt", b"n")
    project.write("files/media/deep/y.png", b"y")
    (project.run / "run-a.wandb").unlink()
    (project.wandb / "run-2-b").mkdir()
    assert project.list() == project.list_anew()


def test_a_file_that_is_replaced_is_seen(project: Project) -> None:
    project.say(has_ended=True)
    project.list()
    beside = project.write("files/beside", b"other")
    beside.replace(project.run / "files/config.yaml")
    assert project.list() == project.list_anew()


def test_a_folder_that_changed_just_now_is_read_again(project: Project) -> None:
    project.say(has_ended=True)
    project.write("files/young", b"y")
    project.list()
    n_reads = project.n_reads
    project.list()
    assert project.n_reads == n_reads + 1


def test_a_run_of_another_sweep_is_watched_until_it_rests(project: Project) -> None:
    project.memory.begin_pass(ended=[], going=[])
    before = project.list()
    project.write("run-a.wandb", b"12")
    assert project.list() == before
    project.memory.forget()
    project.list()
    project.write("run-a.wandb", b"123")
    assert project.list() == project.list_anew()
