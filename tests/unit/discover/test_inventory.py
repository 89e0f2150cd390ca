"""Files of a sweep, those that are left out and reported, and the media that are still needed."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.run_files import make_versions
from hsm.discover.sweeps import Layout, Sweep, look_for_sweeps, pick_sweep
from hsm.model import Problem, Root, RunState, RunVersions, SweepInventory
from hsm.plan.versions import find_superseded
from hsm.remote.local import LocalEndpoint
from hsm.wandb_log.media import LogMedia
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hsm.endpoint import Survey, Tree
    from tests.unit.discover.conftest import MadeProject

SWEEP = "sweep_20251020_212836"
FOLDER = f"sweeps/outputs/{SWEEP}"
RUN = "offline-run-20251020_220000-a"
A = "a" * 20


class UnreadableEndpoint(LocalEndpoint):
    """A local endpoint that cannot read some folders, given by base and path; root can read all."""

    def __init__(self, folders: Mapping[str, str]) -> None:
        super().__init__()
        self.folders = folders

    def survey(self, trees: Sequence[Tree]) -> Survey:
        survey = super().survey(trees)
        listings = [
            replace(
                listing,
                problems=tuple(
                    Problem(path, "unreadable", "no") for base, path in self.folders.items() if listing.base == base
                ),
            )
            for listing in survey.listings
        ]
        return replace(survey, listings=tuple(listings))


def paths(inventory: SweepInventory) -> list[str]:
    return sorted(file.path for file in inventory.files)


def kinds(inventory: SweepInventory) -> list[tuple[str, str, bool]]:
    return [(problem.path, problem.kind, problem.is_failure) for problem in inventory.problems]


@pytest.fixture
def sweep(made: MadeProject) -> MadeProject:
    """Return a project with one sweep folder that has files at three depths."""
    for path in ("sweep_config.yaml", "logs/1.out", "logs/2.out", "tasks/1/a/info.txt", "empty/.keep"):
        made.write(f"{FOLDER}/{path}", "some text")
    return made


DEPTHS = {
    "1": (1, ["sweep_config.yaml"], {"logs": 2, "tasks": 1, "empty": 1}),
    "2": (2, ["empty/.keep", "logs/1.out", "logs/2.out", "sweep_config.yaml"], {"tasks": 1}),
    "all": (None, ["empty/.keep", "logs/1.out", "logs/2.out", "sweep_config.yaml", "tasks/1/a/info.txt"], {}),
}


@pytest.mark.parametrize(("max_depth", "expected", "deeper"), DEPTHS.values(), ids=DEPTHS)
def test_takes_the_sweep_folder_to_a_depth(
    sweep: MadeProject, max_depth: int | None, expected: list[str], deeper: dict[str, int]
) -> None:
    inventory = sweep.read(SWEEP, max_depth=max_depth)
    assert paths(inventory) == [f"outputs/{SWEEP}/{path}" for path in expected]
    assert inventory.deeper == deeper
    assert inventory.problems == ()


def test_a_file_is_described_as_it_is(sweep: MadeProject) -> None:
    (file,) = sweep.read(SWEEP).files
    status = (sweep.folder / FOLDER / "sweep_config.yaml").stat()
    assert (file.root, file.run, file.is_link) == (Root.SWEEPS, "", False)
    assert file.prefix == str(sweep.folder / "sweeps")
    assert (file.size, file.mtime_ns, file.inode) == (9, status.st_mtime_ns, status.st_ino)


def test_a_sweep_in_the_projects_outputs_lands_in_the_same_place(made: MadeProject) -> None:
    made.write("outputs/sweep_1/a")
    (file,) = made.read("sweep_1").files
    assert (file.prefix, file.path) == (str(made.folder), "outputs/sweep_1/a")


def test_wandb_folders_are_no_part_of_it_nor_counted(sweep: MadeProject) -> None:
    sweep.write_run(f"{FOLDER}/tasks/1/wandb/{RUN}", w.run("a"))
    sweep.write(f"{FOLDER}/wandb/notes.txt")
    sweep.write(f"{FOLDER}/tasks/2/.wandb/notes.txt")
    inventory = sweep.read(SWEEP, max_depth=None)
    assert [file.path for file in inventory.files if "wandb/" in file.path] == []
    assert {file.root for file in inventory.files if file.run} == {Root.WANDB}
    assert sweep.read(SWEEP).deeper == {"logs": 2, "tasks": 1, "empty": 1}


def test_a_file_called_wandb_is_a_file(sweep: MadeProject) -> None:
    sweep.write(f"{FOLDER}/wandb")
    assert f"outputs/{SWEEP}/wandb" in paths(sweep.read(SWEEP))


def test_hsms_own_names_are_never_listed(sweep: MadeProject) -> None:
    sweep.write_run(f"wandb/{RUN}", w.run("a", group=SWEEP))
    for folder in (FOLDER, f"{FOLDER}/logs", f"wandb/{RUN}", f"wandb/{RUN}/files"):
        sweep.write(f"{folder}/.hsm-tmp/x")
        sweep.write(f"{folder}/.hsm-receipt.json")
    inventory = sweep.read(SWEEP, max_depth=None)
    assert not [path for path in paths(inventory) if ".hsm-" in path]
    assert sweep.read(SWEEP).deeper == {"logs": 2, "tasks": 1, "empty": 1}


def test_a_symlink_to_a_file_travels_as_its_content(sweep: MadeProject) -> None:
    data = sweep.write("data/model.pt", "twelve bytes")
    run = sweep.write_run(f"wandb/{RUN}", w.run("a", group=SWEEP))
    for link in (run / "files" / "model.pt", sweep.folder / FOLDER / "model.pt"):
        link.symlink_to(data)
    links = [file for file in sweep.read(SWEEP).files if file.is_link]
    assert [(file.path, file.size, file.mtime_ns, file.inode) for file in links] == [
        (path, 12, data.stat().st_mtime_ns, data.stat().st_ino)
        for path in (f"outputs/{SWEEP}/model.pt", f"{RUN}/files/model.pt")
    ]


def test_other_symlinks_and_special_files_are_told(sweep: MadeProject) -> None:
    run = sweep.write_run(f"wandb/{RUN}", w.run("a", group=SWEEP))
    for folder in (sweep.folder / FOLDER, run / "files"):
        (folder / "gone").symlink_to("/nowhere")
        (folder / "data").symlink_to(sweep.folder)
        os.mkfifo(folder / "pipe")
        (folder / "to pipe").symlink_to("pipe")
    expected = [("gone", "dangling_symlink", True), ("data", "symlinked_folder", False)]
    expected += [("pipe", "special_file", False), ("to pipe", "special_file", False)]
    inventory = sweep.read(SWEEP)
    assert sorted(kinds(inventory)) == sorted(
        (f"{folder}/{name}", kind, is_failure)
        for folder in (f"outputs/{SWEEP}", f"{RUN}/files")
        for name, kind, is_failure in expected
    )
    assert len([file for file in inventory.files if not file.run]) == 1


def test_a_socket_is_told(sweep: MadeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sweep.folder / FOLDER)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert kinds(sweep.read(SWEEP)) == [(f"outputs/{SWEEP}/socket", "special_file", False)]


def test_what_is_too_deep_is_counted_and_no_problem(sweep: MadeProject) -> None:
    (sweep.folder / FOLDER / "logs" / "gone").symlink_to("/nowhere")
    os.mkfifo(sweep.folder / FOLDER / "logs" / "pipe")
    inventory = sweep.read(SWEEP)
    assert (inventory.problems, inventory.gaps, inventory.deeper["logs"]) == ((), (), 4)


@pytest.mark.parametrize("name", ["a b", "a\nb", "-n", "\udcff", "ünï", "'$(x)'", "*"])
def test_any_name_is_a_name(sweep: MadeProject, name: str) -> None:
    sweep.write(f"{FOLDER}/{name}")
    assert f"outputs/{SWEEP}/{name}" in paths(sweep.read(SWEEP))


UNREADABLE = {
    "the sweep folder": ("folder", "", [(f"outputs/{SWEEP}", True)]),
    "a folder that lies too deep": ("folder", "checkpoints", [(f"outputs/{SWEEP}/checkpoints", True)]),
    "a task's wandb folder": ("folder", "tasks/1/wandb", [(f"outputs/{SWEEP}/tasks/1/wandb", True)]),
    "the wandb folder": ("wandb", "", [("", True)]),
    "the sweep's wandb folder": ("wandb", f"{SWEEP}/wandb", [(f"{SWEEP}/wandb", True)]),
    "a run folder": ("wandb", "run-20251020_230000-z", [("run-20251020_230000-z", True)]),
    "a run of the day before": ("wandb", "run-20251019_230000-z", [("run-20251019_230000-z", False)]),
    "another sweep's": ("wandb", "sweep_7", []),
}


@pytest.mark.parametrize(("base", "path", "expected"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_folders_are_told(
    sweep: MadeProject, base: str, path: str, expected: list[tuple[str, bool]]
) -> None:
    sweep.write("wandb/notes.txt")
    bases = {"folder": str(sweep.folder / FOLDER), "wandb": str(sweep.folder / "wandb")}
    endpoint = UnreadableEndpoint({bases[base]: path})
    (folder,) = look_for_sweeps(LocalEndpoint(), sweep.layout).sweeps
    inventory = read_inventory(endpoint, sweep.layout, folder, max_depth=1, index=RunIndex(), known_sweeps=())
    assert [(problem.path, problem.is_failure) for problem in inventory.problems] == expected


def test_takes_only_what_is_asked_for(sweep: MadeProject) -> None:
    sweep.write_run(f"wandb/{RUN}", w.run("a", group=SWEEP))
    sweep.write_run(f"{FOLDER}/tasks/1/wandb/{RUN}b", w.run("b"))
    (sweep.folder / FOLDER / "gone").symlink_to("/nowhere")
    without_runs = sweep.read(SWEEP, include_runs=False)
    assert paths(without_runs) == [f"outputs/{SWEEP}/sweep_config.yaml"]
    assert without_runs.runs == ()
    without_sweep = sweep.read(SWEEP, include_sweep=False)
    assert {file.root for file in without_sweep.files} == {Root.WANDB}
    assert [run.name for run in without_sweep.runs] == [RUN, f"{RUN}b"]
    assert (without_sweep.deeper, without_sweep.problems) == ({}, ())


def page(step: int) -> str:
    return f"media/html/x_{step}_{A}.html"


def write_media_run(made: MadeProject, *logged: int, n_files: int, log: bytes | None = None) -> None:
    rows = [w.history({("x", "path"): page(step)}, step) for step in logged]
    made.write_run(f"wandb/{RUN}", w.run("a", group=SWEEP), *rows, log=log)
    for step in range(n_files):
        made.write(f"wandb/{RUN}/files/{page(step)}")


def superseded(inventory: SweepInventory) -> list[str]:
    found = [file.path.partition("/")[2] for file in inventory.files if file.run]
    versions = inventory.versions.get(RUN)
    return sorted(find_superseded(found, versions)) if versions else []


def test_a_run_with_one_version_is_not_read_whole(sweep: MadeProject) -> None:
    write_media_run(sweep, 0, n_files=1)
    assert sweep.read(SWEEP).versions == {}


def test_older_media_are_superseded(sweep: MadeProject) -> None:
    write_media_run(sweep, 0, 1, 2, n_files=3)
    assert superseded(sweep.read(SWEEP)) == [f"files/{page(0)}", f"files/{page(1)}"]
    assert sweep.read(SWEEP, include_versions=False).versions == {}


def test_media_that_the_log_does_not_know_of_yet_are_kept(sweep: MadeProject) -> None:
    write_media_run(sweep, 0, 1, n_files=5)
    assert superseded(sweep.read(SWEEP)) == [f"files/{page(0)}"]


def test_without_a_word_in_the_log_nothing_is_superseded(sweep: MadeProject) -> None:
    sweep.write(f"wandb/{SWEEP}/wandb/{RUN}/run-a.wandb", w.HEADER)
    for step in range(3):
        sweep.write(f"wandb/{SWEEP}/wandb/{RUN}/files/{page(step)}")
    assert superseded(sweep.read(SWEEP)) == []


def test_of_a_damaged_log_nothing_is_superseded(sweep: MadeProject) -> None:
    rows = [w.history({("x", "path"): page(step), "text": "y" * 30_000}, step) for step in range(9)]
    log = bytearray(w.frame([w.run("a", group=SWEEP), *rows]))
    log[100_000] ^= 1
    write_media_run(sweep, n_files=9, log=bytes(log))
    inventory = sweep.read(SWEEP)
    assert len(inventory.runs) == 1
    assert superseded(inventory) == []


def test_what_a_log_names_is_read_once(sweep: MadeProject) -> None:
    write_media_run(sweep, 0, 1, 2, n_files=3)
    index = RunIndex()
    first = sweep.read(SWEEP, index=index)
    log = sweep.folder / "wandb" / RUN / "run-a.wandb"
    status = log.stat()
    log.write_bytes(bytes(status.st_size))
    os.utime(log, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sweep.read(SWEEP, index=index).versions == first.versions


def test_only_later_steps_than_the_logs_last_are_unknown() -> None:
    media = LogMedia(RunVersions(frozenset({"media/a"}), frozenset({"t"})), last_step=5)
    versions = make_versions(media, [f"files/{page(5)}", f"files/{page(6)}", "files/media/html/y_summary_" + A])
    assert versions == RunVersions(frozenset({"media/a", page(6)}), frozenset({"t"}))


def read_real(project: Path, sweep: str) -> SweepInventory:
    endpoint, folder = LocalEndpoint(), str(project)
    layout = Layout(folder, f"{folder}/sweeps", f"{folder}/wandb")
    sweeps = look_for_sweeps(endpoint, layout).sweeps
    found: Sweep = pick_sweep(sweeps, sweep)
    known = {known.id for known in sweeps}
    return read_inventory(endpoint, layout, found, max_depth=1, index=RunIndex(), known_sweeps=known)


@pytest.mark.parametrize(
    ("sweep_id", "place", "finished", "killed"),
    [(SWEEP, "wandb", 15, 3), ("sweep_20251021_090000", "wandb/sweep_20251021_090000/wandb", 15, 0)],
    ids=["flat", "nested"],
)
def test_reads_a_sweep_of_the_real_wandb(
    real_project: Path, sweep_id: str, place: str, finished: int, killed: int
) -> None:
    inventory = read_real(real_project, sweep_id)
    states = [run.state for run in inventory.runs]
    assert inventory.problems == ()
    assert (states.count(RunState.FINISHED), states.count(RunState.UNKNOWN)) == (finished, killed)
    assert len(states) == finished + killed
    wandb = real_project / place
    expected = {
        str(path.relative_to(wandb))
        for path in wandb.glob("offline-run-*/**/*")
        if path.is_file() and not path.is_symlink()
    }
    assert {file.path for file in inventory.files if file.run} == expected
    for run in inventory.runs:
        found = [file.path.partition("/")[2] for file in inventory.files if file.run == run.name]
        dropped = find_superseded(found, inventory.versions[run.name])
        assert len(dropped) == 4
        assert set(dropped.values()) == {"superseded by step 20"}
    assert inventory.deeper == {"logs": finished + killed}


def test_increments_of_a_real_table_are_kept(media_run: Path) -> None:
    project = media_run.parent.parent
    inventory = read_inventory(
        LocalEndpoint(),
        Layout(str(project), f"{project}/sweeps", f"{project}/wandb"),
        Sweep("sweep_1"),
        max_depth=1,
        index=RunIndex(),
        known_sweeps={"sweep_1"},
    )
    (run,) = inventory.runs
    found = [file.path.partition("/")[2] for file in inventory.files]
    dropped = find_superseded(found, inventory.versions[run.name])
    assert {path.rsplit("_", 1)[0].removeprefix("files/media/") for path in dropped} == {
        f"{name}_{step}" for name in ("html/page", "table/plain") for step in range(4)
    }
