"""Everything of a sweep that is not among its files: no plan can say why it is left, so the inventory does."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import look_for_sweeps, pick_sweep
from hsm.endpoint import FileEnds, Survey, Tree
from hsm.model import GapReason, Root, SweepInventory
from hsm.plan.destination import DestinationRoot
from hsm.plan.planner import PlanOptions, make_plan, select
from hsm.records.record import make_records
from hsm.remote.local import LocalEndpoint
from hsm.tree import Child, scan_folder
from tests.unit.discover.conftest import MadeProject
from tests.unit.wandb_log import log_writer as w

SWEEP = "sweep_20251020_212836"
FOLDER = f"sweeps/outputs/{SWEEP}"
RUN = "offline-run-20251020_220000-a"
DAY_BEFORE = "offline-run-20251019_220000-z"


@pytest.fixture
def sweep(made: MadeProject) -> MadeProject:
    """Return a project with a sweep and one finished run."""
    made.write(f"{FOLDER}/sweep_config.yaml")
    made.write_run(f"wandb/{RUN}", w.run("a", group=SWEEP), w.exit_code(0), w.FOOTER)
    return made


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)


MAKERS: dict[str, tuple[Callable[[Path], None], GapReason, bool]] = {
    "a symlink that leads nowhere": (lambda path: path.symlink_to("/not/mounted/x"), GapReason.DANGLING, True),
    "a symlink to itself": (lambda path: path.symlink_to(path.name), GapReason.DANGLING, True),
    "a symlink to a folder": (lambda path: path.symlink_to("/usr"), GapReason.LINKED_FOLDER, False),
    "a pipe": (os.mkfifo, GapReason.SPECIAL, False),
    "a socket": (make_socket, GapReason.SPECIAL, False),
    "a symlink to a device": (lambda path: path.symlink_to("/dev/null"), GapReason.SPECIAL, False),
}


@pytest.mark.parametrize(
    ("folder", "run"), [(f"wandb/{RUN}/files", RUN), (FOLDER, "")], ids=["in a run", "in the sweep's folder"]
)
@pytest.mark.parametrize(("make", "reason", "is_open"), MAKERS.values(), ids=MAKERS)
def test_what_cannot_be_sent_is_a_gap(
    sweep: MadeProject, make: Callable[[Path], None], reason: GapReason, folder: str, run: str, *, is_open: bool
) -> None:
    make(sweep.folder / folder / "thing")
    inventory = sweep.read(SWEEP)
    assert [(gap.run, gap.reason, gap.path.endswith("/thing")) for gap in inventory.gaps] == [(run, reason, True)]
    assert [problem.is_failure for problem in inventory.problems] == [is_open]
    assert judge(inventory)[run] == (not is_open, False)
    assert judge(inventory)["" if run else RUN] == (True, True)


def judge(inventory: SweepInventory) -> dict[str, tuple[bool, bool]]:
    """Whether each run is complete, and whole, once all of the files have arrived."""
    empty = {root: DestinationRoot("/x") for root in Root}
    plan = make_plan(inventory, empty, PlanOptions())
    records = make_records(plan, {file.key: file for file in plan.sends})
    return {name: (record.is_complete, record.is_whole) for name, record in records.items()}


def forbid(*parts: str, error: type[OSError] = PermissionError) -> Callable[[str], Sequence[Child]]:
    """A reader of folders that may not read those with these names, nor look at such files."""

    class Unseen:
        def __init__(self, child: os.DirEntry[str]) -> None:
            self.name, self.path = child.name, child.path

        def inode(self) -> int:
            raise AssertionError

        def is_dir(self, **_: bool) -> bool:
            return False

        def is_file(self, **_: bool) -> bool:
            raise AssertionError

        def stat(self, **_: bool) -> os.stat_result:
            raise error(13, "Permission denied", self.path)

    def scan(folder: str) -> Sequence[Child]:
        if folder.rpartition("/")[2] in parts:
            raise error(13, "Permission denied", folder)
        return [Unseen(child) if child.name in parts else child for child in scan_folder(folder)]  # type: ignore[arg-type]

    return scan


def read(made: MadeProject, endpoint: LocalEndpoint) -> SweepInventory:
    known = look_for_sweeps(LocalEndpoint(), made.layout).sweeps
    found = pick_sweep(known, SWEEP)
    return read_inventory(endpoint, made.layout, found, max_depth=1, index=RunIndex(), known_sweeps={SWEEP})


@pytest.mark.parametrize("name", ["media", "requirements.txt"], ids=["a folder", "a file that may not be looked at"])
def test_what_may_not_be_read_in_a_run_leaves_it_open(sweep: MadeProject, name: str) -> None:
    sweep.write(f"wandb/{RUN}/files/media/a.png")
    inventory = read(sweep, LocalEndpoint(scan=forbid(name)))
    assert [(gap.run, gap.path, gap.reason) for gap in inventory.gaps] == [
        (RUN, f"{RUN}/files/{name}", GapReason.UNREADABLE)
    ]
    assert judge(inventory) == {RUN: (False, False), "": (True, True)}
    assert [problem.is_failure for problem in inventory.problems] == [True]


def test_of_two_runs_the_one_that_could_be_read_is_whole(sweep: MadeProject) -> None:
    sweep.write_run(f"wandb/{RUN}b", w.run("ab", group=SWEEP), w.exit_code(0), w.FOOTER)
    sweep.write(f"wandb/{RUN}b/files/media/a.png")
    assert judge(read(sweep, LocalEndpoint(scan=forbid("media")))) == {
        RUN: (True, True),
        f"{RUN}b": (False, False),
        "": (True, True),
    }


def test_what_vanishes_meanwhile_is_no_gap(sweep: MadeProject) -> None:
    inventory = read(sweep, LocalEndpoint(scan=forbid("requirements.txt", error=FileNotFoundError)))
    assert (inventory.gaps, inventory.problems) == ((), ())


def test_a_run_whose_folder_vanishes_after_its_log_was_read_is_not_complete(sweep: MadeProject) -> None:
    class Vanishing(LocalEndpoint):
        def survey(self, trees: Sequence[Tree]) -> Survey:
            if any(RUN in tree.names for tree in trees):
                (sweep.folder / "wandb" / RUN).rename(sweep.folder / "gone")
            return super().survey(trees)

    inventory = read(sweep, Vanishing())
    assert [(problem.path, problem.kind) for problem in inventory.problems] == [(RUN, "vanished")]
    assert judge(inventory)[RUN] == (False, False)


@pytest.mark.parametrize("what", ["the folder", "the log", "a log that is a symlink"])
@pytest.mark.parametrize(("name", "is_told"), [(f"{RUN}b", True), (DAY_BEFORE, False)], ids=["young", "a day before"])
def test_a_run_that_does_not_let_itself_be_read_may_be_the_sweeps(
    sweep: MadeProject, what: str, name: str, *, is_told: bool
) -> None:
    run = sweep.write_run(f"wandb/{name}", w.run(name.rpartition("-")[2], group="another"))
    log = next(run.glob("*.wandb"))
    scan = scan_folder
    endpoint = LocalEndpoint(scan=scan)
    if what == "the folder":
        endpoint = LocalEndpoint(scan=forbid(name))
    elif what == "the log":
        endpoint = Unread(str(log))
    else:
        log.rename(sweep.folder / "moved.wandb")
        log.symlink_to("../../moved.wandb")
    inventory = read(sweep, endpoint)
    failures = [(problem.path, problem.kind) for problem in inventory.problems if problem.is_failure]
    assert failures == ([(name, "unreadable")] if is_told else [])
    assert not any("written nothing yet" in problem.message for problem in inventory.problems)
    assert [found.name for found in inventory.runs] == [RUN]


class Unread(LocalEndpoint):
    """Endpoint that may list a file and not read it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        readable = [path for path in paths if path != self._path]
        return super().read_ends(readable, n_blocks=n_blocks, head_bytes=head_bytes)


def test_what_lies_among_runs_and_in_none_is_left_and_named(sweep: MadeProject) -> None:
    sweep.write_run(f"{FOLDER}/tasks/1/wandb/{RUN}c", w.run("ac"), w.exit_code(0))
    for name in ("latest-run", "debug.log"):
        (sweep.folder / FOLDER / "tasks/1/wandb" / name).symlink_to(f"{RUN}c")
    assert sweep.read(SWEEP).gaps == ()
    sweep.write(f"{FOLDER}/tasks/1/wandb/best_model.json")
    sweep.write(f"wandb/{SWEEP}/analysis.csv")
    sweep.write(f"wandb/{SWEEP}/plots/all/a.png")
    sweep.write(f"wandb/{SWEEP}/.hsm-tmp/x")
    inventory = sweep.read(SWEEP)
    assert {gap.path for gap in inventory.gaps} == {
        f"outputs/{SWEEP}/tasks/1/wandb/best_model.json",
        f"{SWEEP}/analysis.csv",
        f"{SWEEP}/plots/all",
    }
    assert {(gap.run, gap.reason) for gap in inventory.gaps} == {("", GapReason.STRAY)}
    (notice,) = inventory.problems
    assert (notice.kind, notice.is_failure) == ("stray_files", False)
    assert "best_model.json" in notice.message
    assert judge(inventory)[""] == (True, False)


def test_a_task_whose_wandb_folder_leads_to_the_projects_own_hides_nothing(sweep: MadeProject) -> None:
    (sweep.folder / FOLDER / "tasks/1").mkdir(parents=True)
    (sweep.folder / FOLDER / "tasks/1/wandb").symlink_to(sweep.folder / "wandb")
    inventory = sweep.read(SWEEP)
    assert (inventory.gaps, inventory.problems) == ((), ())


def test_a_part_of_an_inventory_has_the_gaps_of_that_part(sweep: MadeProject) -> None:
    for folder in (f"wandb/{RUN}/files", FOLDER):
        os.mkfifo(sweep.folder / folder / "pipe")
    inventory = sweep.read(SWEEP)
    assert [gap.run for gap in select(inventory, [Root.SWEEPS]).gaps] == [""]
    assert [gap.run for gap in select(inventory, [Root.WANDB]).gaps] == [RUN]


def test_what_is_not_asked_for_is_told_apart_from_what_is_switched_off(sweep: MadeProject) -> None:
    inventory = sweep.read(SWEEP)
    assert select(inventory, tuple(Root)).left_roots == {}
    assert select(inventory, [Root.SWEEPS]).left_roots == {Root.WANDB: True}
    assert select(inventory, [Root.SWEEPS], switched_off=[Root.WANDB]).left_roots == {Root.WANDB: False}
    assert select(inventory, [Root.WANDB]).left_roots == {Root.SWEEPS: True}


def test_a_sweep_without_a_folder_lacks_none(made: MadeProject) -> None:
    made.write_run(f"wandb/{SWEEP}/{RUN}", w.run("a", group=SWEEP))
    assert select(made.read(SWEEP), [Root.WANDB]).left_roots == {}


@pytest.mark.parametrize("path", [f"wandb/{RUN}b/files/wandb-metadata.json", f"{FOLDER}/parameter_combinations.json"])
def test_a_pipe_under_a_name_that_is_read_is_not_waited_for(sweep: MadeProject, path: str) -> None:
    sweep.write_run(f"wandb/{RUN}b", w.run("ab"), w.exit_code(0))
    os.mkfifo(sweep.folder / path)
    assert list(LocalEndpoint().read_ends([str(sweep.folder / path)], n_blocks=1)) == []
    with pytest.raises(FileNotFoundError):
        LocalEndpoint().read_file(str(sweep.folder / path))
    assert [run.name for run in sweep.read(SWEEP).runs] == [RUN]
