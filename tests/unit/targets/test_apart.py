"""A target that is this project by another name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hsm.discover.sweeps import Layout
from hsm.endpoint import FolderSearch, Survey, Tree
from hsm.errors import SamePlaceError
from hsm.model import Root
from hsm.remote.local import LocalEndpoint
from hsm.targets.apart import ApartEndpoint


class CountingEndpoint(LocalEndpoint):
    """This machine, which notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(name="nas")
        self.asked: list[list[Tree]] = []

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        self.asked.append(list(trees))
        return super().survey(trees, receipts=receipts, is_lazy=is_lazy, search=search)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder in ("project/sweeps/outputs", "project/wandb/run-1", "nas/sweeps/outputs", "nas/wandb/run-1"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path / "project"


def make_end(project: Path, sweeps: str, wandb: str) -> tuple[ApartEndpoint, CountingEndpoint]:
    folder, inner = project.parent, CountingEndpoint()
    roots = {Root.SWEEPS: str(folder / sweeps), Root.WANDB: str(folder / wandb)}
    return ApartEndpoint(inner, roots, Layout(str(project), f"{project}/sweeps", f"{project}/wandb")), inner


SAME = {
    "both": ("alias/sweeps", "alias/wandb"),
    "the sweeps": ("alias/sweeps", "nas/wandb"),
    "the runs": ("nas/sweeps", "alias/wandb"),
    "the project's own outputs": ("alias", "nas/wandb"),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_target_that_has_the_folders_of_the_project_is_refused(project: Path, name: str, is_lazy: bool) -> None:
    (project.parent / "alias").symlink_to(project)
    end, _ = make_end(project, *SAME[name])
    with pytest.raises(SamePlaceError) as caught:
        tuple(end.survey([Tree("/", (), 0)], is_lazy=is_lazy).listings)
    assert caught.value.kind == "same_place"
    assert list(project.rglob(".hsm-*")) == []


def test_another_place_is_asked_once_and_along_with_the_rest(project: Path) -> None:
    end, inner = make_end(project, "nas/sweeps", "nas/wandb")
    wandb, other = f"{project.parent}/nas/wandb", f"{project.parent}/nas/sweeps/outputs"
    for _ in range(2):
        (runs, sweeps) = end.survey([Tree(wandb, ("run-1",)), Tree(other, max_depth=1)]).listings
        assert [entry.path for entry in runs.entries] == ["run-1"]
        assert [entry.path for entry in sweeps.entries] == [""]
    first, second = inner.asked
    assert [tree.base for tree in first] == [wandb, other, f"{project.parent}/nas/sweeps"]
    assert [len(tree.names) for tree in first] == [2, 1, 1]
    assert second == [Tree(wandb, ("run-1",)), Tree(other, max_depth=1)]


def test_a_project_that_cannot_be_written_to_is_no_error(project: Path) -> None:
    for name in ("sweeps", "wandb"):
        (project / name).rename(project.parent / f"gone-{name}")
    project.rename(project.parent / "gone")
    end, _ = make_end(project, "nas/sweeps", "nas/wandb")
    assert end.survey([Tree("/", (), 0)]).listings[0].base == "/"


def test_everything_else_is_the_targets(project: Path) -> None:
    end, _ = make_end(project, "nas/sweeps", "nas/wandb")
    (project / "x").write_text("abc")
    assert (end.name, end.is_remote) == ("nas", False)
    assert end.read_file(f"{project}/x") == b"abc"
    assert [ends.size for ends in end.read_ends([f"{project}/x"], n_blocks=0, head_bytes=9)] == [3]
