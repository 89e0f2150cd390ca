"""Symlinks to folders: followed into the places that were asked for, and never in a circle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hsm.discover.files.folder_links import follow_folders, resolve_places
from hsm.endpoint import Listing, Survey, Tree
from hsm.model import GapReason, Root, SweepInventory
from hsm.plan.planner import select
from hsm.plan.symlinks.folder_links import FolderLinks, list_followed
from hsm.remote.local import LocalEndpoint
from tests.unit.discover.conftest import MadeProject
from tests.unit.wandb_log import log_writer as w

SWEEP = "sweep_20251020_212836"
RUN = "offline-run-20251020_220000-a"
FOLDER = f"outputs/{SWEEP}"


class CountingEndpoint(LocalEndpoint):
    """Endpoint that counts what it lists."""

    def __init__(self) -> None:
        super().__init__()
        self.n_entries = 0

    def survey(self, trees: Sequence[Tree]) -> Survey:
        survey = super().survey(trees)
        self.n_entries += sum(len(listing.entries) for listing in survey.listings)
        return survey


@pytest.fixture
def project(made: MadeProject) -> MadeProject:
    """Return a project with a sweep of one run, and folders in it and beside it."""
    made.write(f"sweeps/{FOLDER}/sweep_config.yaml")
    made.write_run(f"wandb/{RUN}", w.run("a", group=SWEEP), w.exit_code(0))
    made.write("checkpoints/best.ckpt", "weights")
    made.write("../scratch/ckpt/last.ckpt", "weights")
    made.write("../elsewhere/x/other.ckpt", "weights")
    return made


def link(project: MadeProject, path: str, target: str | Path) -> None:
    place = project.folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def read(project: MadeProject, setting: FolderLinks, *, roots: tuple[Root, ...] = tuple(Root)) -> SweepInventory:
    inventory = project.read(SWEEP, follow=list_followed([setting]))
    return select(inventory, roots, folder_links=setting)


def told(inventory: SweepInventory) -> list[tuple[str, bool]]:
    return [(problem.kind, problem.is_failure) for problem in inventory.problems]


def names(inventory: SweepInventory) -> set[str]:
    return {file.path for file in inventory.files}


def test_nothing_is_followed_that_was_not_asked_for(project: MadeProject) -> None:
    link(project, f"wandb/{RUN}/files/ckpt", project.folder / "checkpoints")
    link(project, f"sweeps/{FOLDER}/ckpt", project.folder / "checkpoints")
    inventory = read(project, "skip")
    assert not [name for name in names(inventory) if "ckpt" in name]
    assert {(gap.run, gap.path, gap.reason) for gap in inventory.gaps} == {
        (RUN, f"{RUN}/files/ckpt", GapReason.LINKED_FOLDER),
        ("", f"{FOLDER}/ckpt", GapReason.LINKED_FOLDER),
    }
    assert told(inventory) == [("symlinked_folder", False)] * 2
    assert "folder_links" in inventory.problems[0].hint


def test_what_lies_in_the_project_comes(project: MadeProject) -> None:
    link(project, f"wandb/{RUN}/files/ckpt", project.folder / "checkpoints")
    inventory = read(project, "follow")
    (file,) = (file for file in inventory.files if file.path == f"{RUN}/files/ckpt/best.ckpt")
    assert Path(file.prefix, file.path).read_text() == "weights"
    assert (file.run, file.is_link, inventory.gaps, inventory.problems) == (RUN, False, (), ())


@pytest.mark.parametrize("setting", ["follow", ("{top}/scratch",)], ids=["the project alone", "another place"])
def test_what_leads_elsewhere_is_a_failure(project: MadeProject, setting: FolderLinks) -> None:
    places = setting if isinstance(setting, str) else tuple(p.format(top=project.folder.parent) for p in setting)
    link(project, f"wandb/{RUN}/files/ckpt", project.folder.parent / "elsewhere/x")
    inventory = read(project, places)
    assert [(gap.run, gap.reason) for gap in inventory.gaps] == [(RUN, GapReason.LEADS_OUT)]
    assert told(inventory) == [("symlinked_folder", True)]
    assert f"{RUN}/files/ckpt/other.ckpt" not in names(inventory)


def test_a_place_that_is_named_may_itself_be_reached_through_a_symlink(project: MadeProject) -> None:
    (project.folder.parent / "disk").symlink_to("scratch")
    link(project, f"wandb/{RUN}/files/ckpt", project.folder.parent / "scratch/ckpt")
    inventory = read(project, (f"{project.folder.parent}/disk",))
    assert f"{RUN}/files/ckpt/last.ckpt" in names(inventory)
    assert inventory.gaps == ()


def test_a_place_that_is_missing_allows_nothing(project: MadeProject) -> None:
    link(project, f"wandb/{RUN}/files/ckpt", project.folder.parent / "scratch/ckpt")
    inventory = read(project, ("/nowhere/at/all",))
    assert [gap.reason for gap in inventory.gaps] == [GapReason.LEADS_OUT]


def test_a_neighbour_whose_name_begins_alike_is_another_place(project: MadeProject) -> None:
    project.write("../scratch-2/x", "not this")
    link(project, f"wandb/{RUN}/files/ckpt", project.folder.parent / "scratch-2")
    assert [gap.reason for gap in read(project, (f"{project.folder.parent}/scratch",)).gaps] == [GapReason.LEADS_OUT]


@pytest.mark.parametrize(
    "links",
    [
        pytest.param({f"wandb/{RUN}/files/self": "."}, id="itself"),
        pytest.param({f"wandb/{RUN}/files/up": "../.."}, id="above the run"),
        pytest.param({f"wandb/{RUN}/files/root": "{project}"}, id="the project"),
        pytest.param(
            {"ring/a/to_b": "../b", "ring/b/to_a": "../a", f"wandb/{RUN}/files/a": "{project}/ring/a"}, id="two"
        ),
    ],
)
def test_a_circle_ends_and_is_no_failure(project: MadeProject, links: dict[str, str]) -> None:
    for path, target in links.items():
        link(project, path, target.format(project=project.folder))
    inventory = read(project, "follow")
    assert {gap.reason for gap in inventory.gaps} == {GapReason.LINKED_FOLDER}
    assert set(told(inventory)) == {("symlinked_folder", False)}
    assert len(inventory.files) < 10


def test_a_tree_of_symlinks_that_doubles_at_each_step_ends(tmp_path: Path) -> None:
    for number in range(30):
        folder = tmp_path / f"level_{number}"
        folder.mkdir()
        for side in "ab":
            (folder / side).symlink_to(tmp_path / f"level_{number + 1}")
    (tmp_path / "level_30").mkdir()
    endpoint = CountingEndpoint()
    (listing,) = endpoint.survey([Tree(f"{tmp_path}/level_0", follow=True)]).listings
    follow_folders(endpoint, listing, {"": frozenset({str(tmp_path)})})
    assert endpoint.n_entries < 10_000


def test_what_cannot_be_read_behind_a_symlink_is_told_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "run/files").mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    (tmp_path / "run/files/ckpt").symlink_to("../../disk")

    class Unreadable(LocalEndpoint):
        def survey(self, trees: Sequence[Tree]) -> Survey:
            return LocalEndpoint(scan=self._forbid).survey(trees)

        @staticmethod
        def _forbid(folder: str) -> list[object]:  # type: ignore[override]
            raise PermissionError(13, "Permission denied", folder)

    listing = Listing(
        str(tmp_path / "run"), None, LocalEndpoint().survey([Tree(f"{tmp_path}/run", follow=True)]).listings[0].entries
    )
    followed = follow_folders(Unreadable(), listing, {"": frozenset({str(tmp_path)})})
    assert [problem.path for problem in followed.listing.problems] == ["files/ckpt"]


def test_runs_whose_folders_are_symlinks_come_with_it(project: MadeProject) -> None:
    moved = project.write_run("../scratch/runs/offline-run-20251020_220000-b", w.run("b", group=SWEEP), w.exit_code(0))
    link(project, f"wandb/{moved.name}", moved)
    task = project.write_run("../scratch/tasks/wandb/offline-run-20251020_220000-c", w.run("c"), w.exit_code(0))
    link(project, f"sweeps/{FOLDER}/tasks/1/wandb", task.parent)
    project.write_run("../scratch/runs/offline-run-20251020_220000-d", w.run("d", group="another"), w.exit_code(0))
    link(project, "wandb/offline-run-20251020_220000-d", moved.parent / "offline-run-20251020_220000-d")
    wanted = read(project, (f"{project.folder.parent}/scratch",))
    assert [run.name for run in wanted.runs] == [RUN, moved.name, task.name]
    assert {f"{moved.name}/run-b.wandb", f"{task.name}/run-c.wandb"} <= names(wanted)
    assert (wanted.gaps, wanted.problems) == ((), ())


@pytest.mark.parametrize("setting", ["skip", "follow"])
def test_a_run_of_the_sweep_behind_a_symlink_that_is_left_is_a_failure(
    project: MadeProject, setting: FolderLinks
) -> None:
    moved = project.write_run("../scratch/runs/offline-run-20251020_220000-b", w.run("b", group=SWEEP), w.exit_code(0))
    link(project, f"wandb/{moved.name}", moved)
    other = project.write_run("../scratch/runs/offline-run-20251020_220000-d", w.run("d", group="another"))
    link(project, f"wandb/{other.name}", other)
    inventory = read(project, setting)
    assert [run.name for run in inventory.runs] == [RUN]
    assert [(problem.path, problem.kind, problem.is_failure) for problem in inventory.problems] == [
        (moved.name, "symlinked_run", True)
    ]
    assert not [name for name in names(inventory) if name.startswith(moved.name)]


def test_each_target_gets_what_it_wants_of_one_look(project: MadeProject) -> None:
    link(project, f"wandb/{RUN}/files/ckpt", project.folder.parent / "scratch/ckpt")
    link(project, f"wandb/{RUN}/files/own", project.folder / "checkpoints")
    scratch = f"{project.folder.parent}/scratch"
    inventory = project.read(SWEEP, follow=list_followed(["skip", "follow", (scratch,)]))
    behind = {f"{RUN}/files/ckpt/last.ckpt", f"{RUN}/files/own/best.ckpt"}
    found = {
        str(setting): names(select(inventory, tuple(Root), folder_links=setting)) & behind
        for setting in ("skip", "follow", (scratch,))
    }
    assert found == {"skip": set(), "follow": {f"{RUN}/files/own/best.ckpt"}, str((scratch,)): behind}


def test_no_symlink_costs_no_look(project: MadeProject) -> None:
    (listing,) = LocalEndpoint().survey([Tree(str(project.folder), follow=True)]).listings

    class Silent(LocalEndpoint):
        def survey(self, trees: Sequence[Tree]) -> Survey:
            raise AssertionError(trees)

    followed = follow_folders(Silent(), listing, resolve_places(LocalEndpoint(), project.layout, ()))
    assert (followed.listing.entries, followed.places) == (listing.entries, {})
