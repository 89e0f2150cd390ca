"""Runs that are found, those of the sweep, and the problems of those that are not sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Layout, Sweep
from hsm.model import Problem, RunState, SweepInventory
from hsm.remote.local import LocalEndpoint
from tests.unit.wandb_log import log_writer as w

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hsm.endpoint import FileEnds
    from tests.unit.discover.conftest import MadeProject

SWEEP = "sweep_20251020_212836"
OTHER = "sweep_20251021_090000"


class CountingEndpoint(LocalEndpoint):
    """A local endpoint that remembers which files were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        self.opened.extend(paths)
        return super().read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes)

    def read_file(self, path: str) -> bytes:
        self.opened.append(path)
        return super().read_file(path)


@pytest.fixture
def sweep(made: MadeProject) -> MadeProject:
    """Return a project with two sweep folders and no runs."""
    made.write(f"sweeps/outputs/{SWEEP}/sweep_config.yaml")
    made.write(f"sweeps/outputs/{OTHER}/sweep_config.yaml")
    return made


def runs(inventory: SweepInventory) -> list[str]:
    return [run.name for run in inventory.runs]


def kinds(inventory: SweepInventory) -> list[tuple[str, bool]]:
    return [(problem.kind, problem.is_failure) for problem in inventory.problems]


def only_problem(inventory: SweepInventory) -> Problem:
    (problem,) = inventory.problems
    return problem


def test_takes_the_runs_whose_log_names_the_sweep(sweep: MadeProject) -> None:
    sweep.write_run("wandb/run-20251020_220000-a", w.run("a", group=SWEEP), w.exit_code(0))
    sweep.write_run("wandb/offline-run-20251020_220000-b", w.run("b", config={"sweep_id": SWEEP}))
    sweep.write_run("wandb/offline-run-20251020_220000-c", w.run("c", group=SWEEP + "0"))
    sweep.write_run("wandb/offline-run-20251020_220000-d", w.run("d", group=OTHER))
    sweep.write_run("wandb/offline-run-20251020_220000-e", w.run("e"))
    inventory = sweep.read(SWEEP)
    assert runs(inventory) == ["offline-run-20251020_220000-b", "run-20251020_220000-a"]
    assert [run.state for run in inventory.runs] == [RunState.UNKNOWN, RunState.FINISHED]
    assert inventory.problems == ()


PLACES = {
    "the sweep's own wandb folder": f"wandb/{SWEEP}/wandb",
    "one with a dot": f"wandb/{SWEEP}/.wandb",
    "directly in the sweep's folder": f"wandb/{SWEEP}",
    "the sweep folder": f"sweeps/outputs/{SWEEP}/wandb",
    "a task": f"sweeps/outputs/{SWEEP}/tasks/task_1/wandb",
    "a task, with a dot": f"sweeps/outputs/{SWEEP}/tasks/task_1/.wandb",
    "a task whose WANDB_DIR is a wandb folder": f"sweeps/outputs/{SWEEP}/a/b/wandb/wandb",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("log", [None, b"", w.HEADER], ids=["a log without a group", "no bytes", "a header"])
def test_a_place_of_the_sweep_alone_decides(sweep: MadeProject, place: str, log: bytes | None) -> None:
    folder = sweep.write_run(f"{place}/offline-run-20251020_220000-a", w.run("a"), log=log)
    inventory = sweep.read(SWEEP)
    assert [(run.name, run.prefix) for run in inventory.runs] == [(folder.name, str(folder.parent))]
    assert inventory.problems == ()
    assert sweep.read(OTHER).runs == ()


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_log_that_names_another_sweep_overrules_the_place(sweep: MadeProject, place: str) -> None:
    sweep.write_run(f"{place}/offline-run-20251020_220000-a", w.run("a", group=OTHER))
    assert sweep.read(SWEEP).runs == ()


def test_runs_in_a_wandb_folder_within_the_wandb_folder_are_looked_at(sweep: MadeProject) -> None:
    sweep.write_run("wandb/wandb/offline-run-20251020_220000-a", w.run("a", group=SWEEP))
    sweep.write_run("wandb/wandb/offline-run-20251020_220000-b", w.run("b"))
    assert runs(sweep.read(SWEEP)) == ["offline-run-20251020_220000-a"]


def test_a_run_within_a_run_is_no_run(sweep: MadeProject) -> None:
    inner = "files/wandb/offline-run-20251020_220000-b"
    for outer in (f"sweeps/outputs/{SWEEP}/wandb", "wandb"):
        name = f"offline-run-20251020_220000-{len(outer)}"
        sweep.write_run(f"{outer}/{name}", w.run("a", group=SWEEP))
        sweep.write_run(f"{outer}/{name}/{inner}", w.run("b", group=SWEEP))
    assert len(sweep.read(SWEEP).runs) == 2


def test_a_run_without_a_log_is_sent_where_the_place_decides(sweep: MadeProject) -> None:
    sweep.write(f"wandb/{SWEEP}/wandb/offline-run-20251020_220000-a/files/requirements.txt")
    (run,) = sweep.read(SWEEP).runs
    assert (run.log, run.state) == ("", RunState.UNKNOWN)


def test_a_log_too_young_to_tell_is_named_and_not_sent(sweep: MadeProject) -> None:
    sweep.write_run("wandb/offline-run-20251020_220000-a", log=w.HEADER, seconds_ago=60)
    problem = only_problem(sweep.read(SWEEP))
    assert (problem.kind, problem.is_failure) == ("membership_unknown", False)
    assert problem.path == "offline-run-20251020_220000-a"
    assert problem.path in problem.message


def test_a_log_that_says_nothing_and_rests_is_no_sweeps(sweep: MadeProject) -> None:
    sweep.write_run("wandb/offline-run-20251020_220000-a", log=w.HEADER, seconds_ago=700)
    assert not sweep.read(SWEEP).problems


def test_many_dead_logs_are_one_line(sweep: MadeProject) -> None:
    for number in range(200):
        sweep.write_run(f"wandb/offline-run-20251020_22{number:04d}-a{number}", log=w.HEADER, seconds_ago=60)
    problem = only_problem(sweep.read(SWEEP))
    assert "200 runs" in problem.message
    assert "offline-run-20251020_220199-a199" in problem.message
    assert "and 197 more" in problem.message


def test_a_dead_log_older_than_the_sweep_is_not_named(sweep: MadeProject) -> None:
    sweep.write_run("wandb/offline-run-20251019_220000-a", log=w.HEADER)
    assert sweep.read(SWEEP).problems == ()


@pytest.mark.parametrize("log", [None, w.HEADER, b""], ids=["a log without a group", "a header", "no bytes"])
def test_older_versions_keep_the_arguments_in_a_file(sweep: MadeProject, log: bytes | None) -> None:
    folder = sweep.write_run("wandb/run-20251020_220000-a", w.run("a"), log=log)
    metadata = json.dumps({"args": [f"wandb.group={SWEEP}"]})
    sweep.write(f"wandb/{folder.name}/files/wandb-metadata.json", metadata)
    index = RunIndex()
    assert runs(sweep.read(SWEEP, index=index)) == [folder.name]
    assert runs(sweep.read(SWEEP, index=index)) == [folder.name]
    assert sweep.read(OTHER).runs == ()


@pytest.mark.parametrize("metadata", ["", "{", "[]", '{"args": 7}', '{"args": [1]}', '{"args": null}'])
def test_a_broken_metadata_file_says_nothing(sweep: MadeProject, metadata: str) -> None:
    sweep.write_run("wandb/run-20251020_220000-a", w.run("a"))
    sweep.write("wandb/run-20251020_220000-a/files/wandb-metadata.json", metadata)
    assert sweep.read(SWEEP).runs == ()


def test_two_runs_of_one_name_are_both_left_and_both_named(sweep: MadeProject) -> None:
    name = "offline-run-20251020_220000-a"
    places = [f"wandb/{name}", f"sweeps/outputs/{SWEEP}/tasks/1/wandb/{name}"]
    folders = [sweep.write_run(place, w.run("a", group=SWEEP)) for place in places]
    sweep.write_run("wandb/offline-run-20251020_220000-b", w.run("b", group=SWEEP))
    inventory = sweep.read(SWEEP)
    assert runs(inventory) == ["offline-run-20251020_220000-b"]
    assert {file.run for file in inventory.files} == {"", "offline-run-20251020_220000-b"}
    problem = only_problem(inventory)
    assert (problem.kind, problem.is_failure, problem.path) == ("double_run", True, name)
    assert all(str(folder) in problem.message for folder in folders)


def test_a_symlinked_run_folder_is_not_walked(sweep: MadeProject) -> None:
    elsewhere = sweep.write_run("elsewhere/offline-run-20251020_220000-a", w.run("a", group=SWEEP))
    sweep.write(f"wandb/{SWEEP}/wandb/debug.log")
    (sweep.folder / "wandb" / elsewhere.name).symlink_to(elsewhere)
    (sweep.folder / "wandb" / SWEEP / "wandb" / elsewhere.name).symlink_to(elsewhere)
    inventory = sweep.read(SWEEP)
    assert inventory.runs == ()
    assert kinds(inventory) == [("symlinked_run", True), ("stray_files", False)]


@pytest.mark.parametrize(
    ("folder", "name", "is_told"),
    [
        ("wandb", "run-20251020_220000-a", True),
        ("wandb", "run-20251019_220000-a", False),
        (f"wandb/{SWEEP}", "run-20251019_220000-a", True),
        (f"sweeps/outputs/{SWEEP}/tasks/1/wandb", "offline-run-20251020_220000-a", True),
    ],
    ids=["young", "a day before", "among the sweep's own", "in a task"],
)
@pytest.mark.parametrize("leads_to", ["/not/mounted/run", "run-itself"])
@pytest.mark.parametrize("follow", [None, ()])
def test_a_run_folder_that_is_a_dangling_symlink_may_be_the_sweeps(
    sweep: MadeProject, folder: str, name: str, leads_to: str, follow: tuple[str, ...] | None, *, is_told: bool
) -> None:
    sweep.write_run("wandb/run-20251020_230000-b", w.run("b", group=SWEEP), w.exit_code(0), w.FOOTER)
    parent = sweep.folder / folder
    parent.mkdir(parents=True, exist_ok=True)
    (parent / name).symlink_to(name if leads_to == "run-itself" else leads_to)
    inventory = sweep.read(SWEEP, follow=follow)
    assert runs(inventory) == ["run-20251020_230000-b"]
    told = [(problem.path, problem.kind) for problem in inventory.problems if problem.is_failure]
    assert told == ([(name, "dangling_symlink")] if is_told else [])


def test_a_file_with_the_name_of_a_run_is_none(sweep: MadeProject) -> None:
    sweep.write("wandb/run-20251020_220000-a.txt")
    assert (runs(sweep.read(SWEEP)), sweep.read(SWEEP).problems) == ([], ())


def test_symlinks_to_wandb_folders_are_told(sweep: MadeProject) -> None:
    elsewhere = sweep.write_run("elsewhere/wandb/offline-run-20251020_220000-a", w.run("a", group=SWEEP))
    (sweep.folder / "wandb").mkdir()
    (sweep.folder / "wandb" / SWEEP).symlink_to(elsewhere.parent)
    task = sweep.write(f"sweeps/outputs/{SWEEP}/tasks/1/a").parent
    (task / "wandb").symlink_to(elsewhere.parent)
    inventory = sweep.read(SWEEP)
    assert inventory.runs == ()
    assert kinds(inventory) == [("symlinked_folder", True), ("symlinked_folder", True)]
    assert sweep.read(OTHER).problems == ()


def test_the_roots_may_be_symlinks(made: MadeProject) -> None:
    made.write(f"disk/outputs/{SWEEP}/sweep_config.yaml")
    made.write_run("disk/wandb/offline-run-20251020_220000-a", w.run("a", group=SWEEP))
    (made.folder / "sweeps").symlink_to("disk")
    (made.folder / "wandb").symlink_to("disk/wandb")
    inventory = made.read(SWEEP)
    assert runs(inventory) == ["offline-run-20251020_220000-a"]
    assert inventory.problems == ()
    assert all(Path(file.prefix, file.path).is_file() for file in inventory.files)


def test_wandbs_own_symlinks_are_left_silently(sweep: MadeProject) -> None:
    run = sweep.write_run("wandb/offline-run-20251020_220000-a", w.run("a", group=SWEEP))
    for name, target in [("latest-run", run.name), ("debug.log", "/nowhere"), ("debug-internal.log", "/nowhere")]:
        (run.parent / name).symlink_to(target)
    (run / "logs").mkdir()
    (run / "logs" / "debug-core.log").symlink_to("/nowhere/core.log")
    inventory = sweep.read(SWEEP)
    assert runs(inventory) == [run.name]
    assert inventory.problems == ()
    assert not [file for file in inventory.files if "debug" in file.path]


def test_known_logs_are_not_opened_again_and_changed_ones_are(sweep: MadeProject) -> None:
    for letter in "abc":
        sweep.write_run(f"wandb/offline-run-20251020_220000-{letter}", w.run(letter, group=SWEEP))
    sweep.write_run("wandb/offline-run-20251020_220000-d", w.run("d", group=OTHER))
    index, folder = (
        RunIndex(),
        Sweep(SWEEP, f"{sweep.folder}/sweeps", f"{sweep.folder}/sweeps/outputs/{SWEEP}"),
    )

    def read() -> list[str]:
        endpoint = CountingEndpoint()
        read_inventory(endpoint, sweep.layout, folder, max_depth=1, index=index, known_sweeps={SWEEP, OTHER})
        return [path.rpartition("/")[2] for path in endpoint.opened]

    assert sorted(read()) == ["run-a.wandb", "run-b.wandb", "run-c.wandb", "run-d.wandb"]
    assert read() == []
    sweep.write_run("wandb/offline-run-20251020_220000-b", w.run("b", group=SWEEP), w.exit_code(0))
    assert read() == ["run-b.wandb"]


def test_logs_that_are_gone_leave_the_cache(sweep: MadeProject) -> None:
    for letter in "ab":
        sweep.write_run(f"wandb/offline-run-20251020_220000-{letter}", w.run(letter, group=SWEEP))
    index = RunIndex()
    sweep.read(SWEEP, index=index)
    (sweep.folder / "wandb/offline-run-20251020_220000-a/run-a.wandb").unlink()
    sweep.read(SWEEP, index=index)
    assert len(index.make_document()["logs"]) == 1


def test_an_exit_record_far_from_the_end_is_found(sweep: MadeProject) -> None:
    rows = [w.history({"text": "y" * 1000}, step) for step in range(200)]
    last = w.summary({f"key {number}": "z" * 1000 for number in range(100)})
    records = [w.run("a", group=SWEEP), *rows, w.exit_code(0), last, w.FOOTER]
    sweep.write_run("wandb/offline-run-20251020_220000-a", *records)
    (run,) = sweep.read(SWEEP).runs
    assert run.state is RunState.FINISHED


def test_upload_marks_are_seen_and_listed(sweep: MadeProject) -> None:
    run = sweep.write_run("wandb/offline-run-20251020_220000-a", w.run("a", group=SWEEP), w.exit_code(0))
    sweep.write(f"wandb/{run.name}/run-a.wandb.synced", "")
    inventory = sweep.read(SWEEP)
    assert inventory.runs[0].uploaded
    assert f"{run.name}/run-a.wandb.synced" in {file.path for file in inventory.files}


@pytest.mark.parametrize(("seconds_ago", "is_uploaded"), [(3700, False), (3500, True)])
def test_an_upload_mark_that_is_older_than_its_log_is_none(
    sweep: MadeProject, seconds_ago: float, is_uploaded: bool
) -> None:
    run = sweep.write_run("wandb/offline-run-20251020_220000-a", w.run("a", group=SWEEP), w.exit_code(0))
    sweep.write(f"wandb/{run.name}/run-a.wandb.synced", "", seconds_ago=seconds_ago)
    assert sweep.read(SWEEP).runs[0].uploaded is is_uploaded


def test_a_run_that_moves_is_running(sweep: MadeProject) -> None:
    sweep.write_run("wandb/offline-run-20251020_220000-a", w.run("a", group=SWEEP), seconds_ago=60)
    sweep.write_run("wandb/offline-run-20251020_220000-b", w.run("b", group=SWEEP), seconds_ago=0)
    sweep.write_run("wandb/offline-run-20251020_220000-c", w.run("c", group=SWEEP))
    sweep.write("wandb/offline-run-20251020_220000-c/files/output.log", "step", seconds_ago=60)
    found = [(run.state, run.at_rest) for run in sweep.read(SWEEP).runs]
    running = RunState.RUNNING
    assert found == [(running, True), (running, False), (running, True)]


def test_without_a_wandb_folder_there_are_no_runs(sweep: MadeProject) -> None:
    inventory = sweep.read(SWEEP)
    assert (inventory.runs, inventory.problems) == ((), ())


def test_a_sweep_may_have_only_runs(made: MadeProject) -> None:
    made.write_run(f"wandb/{SWEEP}/wandb/offline-run-20251020_220000-a", w.run("a"))
    inventory = made.read(SWEEP)
    assert len(inventory.runs) == 1
    assert all(file.run for file in inventory.files)


def test_a_sweep_that_is_gone_is_not_present(made: MadeProject) -> None:
    made.folder.mkdir()
    layout = Layout(str(made.folder), f"{made.folder}/sweeps", f"{made.folder}/wandb")
    folder = Sweep(SWEEP, layout.sweeps, f"{layout.sweeps}/outputs/{SWEEP}")
    index = RunIndex()
    inventory = read_inventory(LocalEndpoint(), layout, folder, max_depth=1, index=index, known_sweeps=())
    assert inventory == SweepInventory(sweep=SWEEP)
