"""Symlinks anywhere in a project that lead into what would go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hsm.sync.clean.links import LinkWatch, find_links
from hsm.sync.clean.removal import LookError
from hsm.sync.clean.values import ProjectLink

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = "wandb/run-1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "real/project"
    for path in (f"{RUN}/files/model", "wandb/run-2/files/x", "wandb/run-10/x", "sweeps/outputs/s/x", "notes/x"):
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text("x")
    (tmp_path / "data").mkdir()
    (tmp_path / "project").symlink_to(project)
    return project


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def find(project: Path, *units: str) -> dict[str, set[str]]:
    """Find links by their paths in the project, with the units that they lead into."""
    paths = [f"{project}/{unit}" for unit in units or (RUN, "wandb/run-10")]
    folders = [str(project.parents[1] / "project"), f"{project}/wandb", f"{project}/sweeps"]
    return {
        os.path.relpath(each.path, project): {os.path.relpath(unit, project) for unit in each.units}
        for each in find_links(folders, paths, lambda: None)
    }


LEADS: dict[str, Callable[[Path], None]] = {
    "of another sweep's run": lambda p: link(p / "wandb/run-2/files/init", "../../run-1/files/model"),
    "in the sweep's folder": lambda p: link(p / "sweeps/outputs/s/best", str(p / RUN)),
    "of the project's own folders": lambda p: link(p / "notes/deep/er/model", f"../../../{RUN}/files/model"),
    "hidden": lambda p: link(p / ".cache/.model", str(p / RUN / "files/model")),
    "to a folder in it": lambda p: link(p / "notes/files", f"../{RUN}/files"),
    "by another way to the project": lambda p: link(p / "notes/m", str(p.parents[1] / "project" / RUN / "files/model")),
    "through another symlink": lambda p: (
        link(p.parents[1] / "data/m", str(p / RUN)),
        link(p / "notes/m", "../../../data/m/files"),
    ),
    "through it to elsewhere": lambda p: (link(p / RUN / "out", "../../notes/x"), link(p / "notes/y", f"../{RUN}/out")),
    "through its folder and out again": lambda p: link(p / "notes/z", f"../{RUN}/files/../../../notes/x"),
    "of the name of wandb's own, elsewhere": lambda p: link(p / "notes/latest-run", f"../{RUN}"),
}


@pytest.mark.parametrize("name", LEADS)
def test_what_leads_into_a_run_is_found(project: Path, name: str) -> None:
    LEADS[name](project)
    assert list(find(project).values()) == [{RUN}]


FREE: dict[str, Callable[[Path], None]] = {
    "wandb's link to the last run": lambda p: link(p / "wandb/latest-run", "run-1"),
    "wandb's link to its log": lambda p: link(p / "wandb/debug.log", "run-1/files/model"),
    "within the run": lambda p: link(p / RUN / "files/again", "model"),
    "into another run": lambda p: link(p / "notes/m", "../wandb/run-2/files/x"),
    "to the folder of all runs": lambda p: link(p / "notes/runs", "../wandb"),
    "to nothing in it": lambda p: link(p / "notes/m", f"../{RUN}/files/none"),
    "in a circle": lambda p: (link(p / "notes/a", "b"), link(p / "notes/b", "a")),
}


@pytest.mark.parametrize("name", FREE)
def test_what_does_not_lead_into_a_run_keeps_none(project: Path, name: str) -> None:
    FREE[name](project)
    assert find(project) == {}


def test_a_symlink_may_lead_into_several(project: Path) -> None:
    link(project / RUN / "next", "../run-10/x")
    link(project / "notes/m", f"../{RUN}/next")
    assert find(project) == {"notes/m": {RUN, "wandb/run-10"}, f"{RUN}/next": {"wandb/run-10"}}


def test_folders_behind_symlinks_are_not_looked_into(project: Path) -> None:
    """They are not the project's."""
    link(project.parents[1] / "data/m", str(project / RUN))
    link(project / "notes/data", "../../../data")
    assert find(project) == {}


def test_a_folder_that_cannot_be_read_may_hold_one(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def refuse(path: str) -> object:
        if path.endswith(("/notes", "lost+found")):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    (project / "lost+found").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    (found,) = find_links([str(project)], [f"{project}/{RUN}"], lambda: None)
    assert (found.path, found.unread) == (f"{project}/notes", "Permission denied")
    assert found.units == {f"{project}/{RUN}"}


def test_without_units_nothing_is_read(tmp_path: Path) -> None:
    def check() -> None:
        raise AssertionError("a folder was read")

    assert find_links([str(tmp_path)], [], check) == ()


# -- while units go ---------------------------------------------------------------------------------------------------


class SlowSearch:
    """A clock, and a search that takes a second of it."""

    def __init__(self, *known: ProjectLink) -> None:
        self.now = 0.0
        self.n_searches = 0
        self.found: list[ProjectLink] = [*known]
        self.watch = LinkWatch(self.search, known, lambda: self.now)

    def search(self) -> list[ProjectLink]:
        self.now += 1
        self.n_searches += 1
        return self.found


def test_the_project_is_searched_again_while_units_go_but_not_for_each() -> None:
    slow = SlowSearch()
    for _ in range(100):
        slow.watch.look("/p/run-1")
    assert slow.n_searches == 1
    slow.now += 10
    slow.found = [ProjectLink("/p/best", frozenset({"/p/run-2"}))]
    slow.watch.look("/p/run-1")
    assert slow.n_searches == 2
    for _ in range(2):
        with pytest.raises(LookError, match="/p/best"):
            slow.watch.look("/p/run-2")
    assert slow.n_searches == 2


def test_what_was_judged_before_the_removal_is_not_new() -> None:
    slow = SlowSearch(ProjectLink("/p/run-1/x", frozenset({"/p/run-2"})))
    slow.watch.look("/p/run-2")
    slow.now += 10
    slow.found = [ProjectLink("/p/run-1/x", frozenset({"/p/run-2", "/p/run-3"}))]
    slow.watch.look("/p/run-2")
    with pytest.raises(LookError):
        slow.watch.look("/p/run-3")


def test_a_folder_that_can_no_longer_be_read_may_hold_a_symlink() -> None:
    slow = SlowSearch()
    slow.found = [ProjectLink("/p/notes", frozenset({"/p/run-2"}), "Permission denied")]
    with pytest.raises(LookError, match="may lead into it: /p/notes, which cannot be read: Permission denied"):
        slow.watch.look("/p/run-2")
