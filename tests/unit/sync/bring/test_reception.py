"""Where a pull lands: a sweep where it lies here already, each run where a folder of its name lies, and no copies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hsm.errors import ExitCode, LockedError, UsageError
from hsm.model import Root, RunState, SweepInventory
from hsm.plan.choice import RunChoice
from hsm.process.runner import Runner
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Journal, Route, load_journal
from hsm.records.receipt import Receipt, parse_receipt
from hsm.records.replacing import save_replacing
from hsm.sweep_folder import receipt_folder, sweep_folder
from hsm.sync.bring.parts import SweepPart
from hsm.sync.bring.pull import pull
from hsm.sync.counts import count_files, count_runs
from hsm.sync.reports import State, SyncReport, TargetReport
from tests.e2e.synthetic import write_file, write_run
from tests.fake_target import fail
from tests.unit.sync.bring.conftest import ONE, TWO, FakeSession, Workbench

NEW = 1_770_000_000_000_000_000
RUNS = [f"run-20251020_212836-202601{number:02}0" for number in range(4)]

PLACES = [
    "wandb/wandb",
    "wandb/.wandb",
    f"wandb/{ONE}",
    f"wandb/{ONE}/wandb",
    f"sweeps/outputs/{ONE}/wandb",
    f"sweeps/outputs/{ONE}/tasks/0/wandb",
    f"outputs/{ONE}/tasks/3/.wandb",
    "outputs/wandb",
    "outputs/wandb/wandb",
    "sweeps/outputs/.wandb",
    "train/wandb",
    "a/b/c/wandb",
]


class Bench:
    """A project here, and a target that has a sweep of four runs."""

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench
        self.project = workbench.project
        self.target = workbench.targets["desktop"]
        for target in workbench.targets.values():
            for root in Root:
                Path(target.roots[root]).mkdir(parents=True, exist_ok=True)
        write_file(self.far / "sweeps" / sweep_folder(ONE) / "sweep_config.yaml", b"grid: {}\n")
        for name in RUNS:
            write_run(self.far / "wandb", name.rpartition("-")[2], sweep=ONE)

    @property
    def far(self) -> Path:
        return self.target.folder

    def put_here(self, name: str, place: str) -> Path:
        """Write a run here as it is at the target."""
        return write_run(self.project / place, name.rpartition("-")[2], sweep=ONE)

    def pull(self, *sweeps: str, **options: Any) -> TargetReport:
        (sweep,) = self.read(*sweeps, **options).sweeps
        return sweep.targets[0]

    def read(self, *sweeps: str, targets: tuple[str, ...] = ("desktop",), **options: Any) -> SyncReport:
        return pull(
            self.workbench.load(),
            self.workbench.request(*(sweeps or (ONE,)), targets=targets, **options),
            runner=self.workbench.runner,
            reporter=self.workbench,
            session=FakeSession(self.workbench.targets),
        )

    def set_option(self, name: str, value: str) -> None:
        path = self.project / ".hsm/sync_config.yaml"
        config = json.loads(path.read_text())
        config["sync_targets"]["desktop"]["options"] = {name: value}
        path.write_text(json.dumps(config))

    def find(self, name: str) -> list[str]:
        """The folders here that hold a run of this name."""
        return sorted(
            str(Path(folder).relative_to(self.project))
            for folder, names, _ in os.walk(self.project)
            if name in names and ".hsm" not in folder
        )

    def read_receipt(self, prefix: str = "sweeps") -> Receipt:
        (path,) = (self.project / prefix / receipt_folder(ONE)).glob("receipt-*.json")
        return parse_receipt(path.read_bytes())

    def read_journal(self) -> Journal:
        path = ProjectFolder(self.project).journal("desktop", ONE)
        route = Route(**json.loads(path.read_text())["route"])
        return load_journal(path, route, sets_aside=False)[0]


@pytest.fixture
def bench(workbench: Workbench) -> Bench:
    return Bench(workbench)


def grow(bench: Bench, name: str) -> bytes:
    """Let a run at the target have written more."""
    content = b"more of the same\n"
    write_file(bench.far / "wandb" / name / "files/output.log", content, mtime_ns=NEW)
    return content


def test_a_sweep_lands_where_it_lies(bench: Bench) -> None:
    write_file(bench.project / "outputs" / ONE / "notes.txt", b"mine\n")
    assert bench.pull().state is State.DONE
    assert (bench.project / "outputs" / ONE / "sweep_config.yaml").exists()
    assert not (bench.project / "sweeps").exists()
    assert set(bench.read_receipt("").runs) == {"", *RUNS}
    assert bench.pull().state is State.NOTHING_TO_DO
    assert not list(bench.project.rglob(".hsm-tmp"))


def test_a_sweep_that_does_not_lie_here_lands_in_the_folder_of_sweeps(bench: Bench) -> None:
    write_file(bench.project / "outputs" / TWO / "notes.txt", b"of another one\n")
    bench.pull()
    assert (bench.project / "sweeps" / sweep_folder(ONE) / "sweep_config.yaml").exists()
    assert not (bench.project / "outputs" / ONE).exists()


@pytest.mark.parametrize("targets", [("desktop",), ("desktop", "backup")])
def test_a_sweep_in_two_places_is_refused_before_anything_comes(bench: Bench, targets: tuple[str, ...]) -> None:
    write_file(bench.project / "outputs" / ONE / "notes.txt", b"mine\n")
    write_file(bench.project / "sweeps/outputs" / ONE / "notes.txt", b"mine too\n")
    with pytest.raises(UsageError, match="lies in two places") as caught:
        bench.read(targets=targets)
    assert caught.value.kind == "ambiguous_sweep"
    assert not (bench.project / "wandb").exists()


def test_a_sweep_folder_elsewhere_under_its_own_name_gets_no_second_place(bench: Bench) -> None:
    """A symlink counts as the sweep; nothing is written through it, as in a folder of sweeps."""
    disk = write_file(bench.workbench.folder / "disk" / ONE / "notes.txt", b"mine\n").parent
    (bench.project / "outputs").mkdir()
    (bench.project / "outputs" / ONE).symlink_to(disk)
    report = bench.pull()
    assert (report.state, report.error and report.error.kind) == (State.FAILED, "type_conflict")
    assert not (bench.project / "sweeps").exists()


def test_a_folder_of_sweeps_behind_a_symlink_gets_no_second_place(bench: Bench) -> None:
    disk = write_file(bench.workbench.folder / "disk" / ONE / "notes.txt", b"mine\n").parent.parent
    (bench.project / "outputs").symlink_to(disk)
    report = bench.pull()
    assert report.error is not None
    assert str(bench.project / "outputs") in report.error.message
    assert not (bench.project / "sweeps").exists()


def test_runs_come_where_the_sweep_has_a_folder_here_alone(bench: Bench) -> None:
    """The folder here was never there, so nothing has vanished."""
    (bench.far / "sweeps" / sweep_folder(ONE) / "sweep_config.yaml").unlink()
    (bench.far / "sweeps" / sweep_folder(ONE)).rmdir()
    (bench.far / "wandb" / ONE).mkdir()
    for name in RUNS:
        (bench.far / "wandb" / name).rename(bench.far / "wandb" / ONE / name)
    write_file(bench.project / "outputs" / ONE / "notes.txt", b"mine\n")
    assert bench.pull().state is State.DONE
    assert bench.pull().state is State.NOTHING_TO_DO


def test_a_folder_that_came_and_is_gone_there_has_vanished(bench: Bench) -> None:
    bench.pull()
    (bench.far / "sweeps" / sweep_folder(ONE) / "sweep_config.yaml").unlink()
    (bench.far / "sweeps" / sweep_folder(ONE)).rmdir()
    report = bench.pull()
    assert report.error is not None
    assert (report.exit_code, report.error.kind) == (ExitCode.REFUSED, "source-empty")


def test_a_second_name_of_another_sweep_is_no_place_of_it(bench: Bench) -> None:
    (bench.project / "outputs" / TWO).mkdir(parents=True)
    (bench.project / "outputs" / ONE).symlink_to(TWO)
    assert bench.pull().state is State.DONE
    assert (bench.project / "sweeps" / sweep_folder(ONE) / "sweep_config.yaml").exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_run_lands_where_a_folder_of_its_name_lies(bench: Bench, place: str) -> None:
    bench.put_here(RUNS[1], place)
    content = grow(bench, RUNS[1])
    report = bench.pull(overwrite=True)
    assert (report.state, count_runs(report)["total"]) == (State.DONE, 4)
    assert bench.find(RUNS[1]) == [place]
    assert (bench.project / place / RUNS[1] / "files/output.log").read_bytes() == content
    assert [bench.find(name) for name in (RUNS[0], *RUNS[2:])] == [["wandb"]] * 3
    prefix = "" if place.startswith(f"outputs/{ONE}") else "sweeps"
    receipt = bench.read_receipt(prefix)
    assert bench.pull().state is State.NOTHING_TO_DO
    assert bench.read_receipt(prefix) == receipt
    assert not list(bench.project.rglob(".hsm-tmp"))


def test_a_folder_of_runs_that_is_new_is_found_before_a_run_gets_a_second_place(bench: Bench) -> None:
    """What a search found is remembered, and may be older than the folder."""
    (bench.far / "wandb" / RUNS[1]).rename(bench.workbench.folder / RUNS[1])
    bench.pull()
    assert (bench.project / ".hsm/cache/folders.json").exists()
    (bench.workbench.folder / RUNS[1]).rename(bench.far / "wandb" / RUNS[1])
    bench.put_here(RUNS[1], "train/wandb")
    bench.pull()
    assert bench.find(RUNS[1]) == ["train/wandb"]


def test_records_of_several_folders_say_the_same_as_those_of_one(bench: Bench) -> None:
    bench.pull()
    runs, left = bench.read_journal().runs, bench.read_journal().left
    receipt = bench.read_receipt()
    bench.workbench.project = bench.project = bench.workbench.folder / "second"
    folder = bench.project / ".hsm"
    folder.mkdir(parents=True)
    (folder / "sync_config.yaml").write_bytes((bench.workbench.folder / "project/.hsm/sync_config.yaml").read_bytes())
    for name, place in zip(RUNS, PLACES, strict=False):
        bench.put_here(name, place)
    report = bench.pull()
    assert report.state is State.DONE
    assert (bench.read_journal().runs, bench.read_journal().left) == (runs, left)
    assert (bench.read_receipt().runs, bench.read_receipt().left) == (receipt.runs, {}) == (runs, left)
    assert count_runs(report)["complete"] == 4
    assert count_files(report)["unchanged"] == 12
    journal = bench.read_journal()
    assert bench.pull().state is State.NOTHING_TO_DO
    assert bench.read_journal() == journal


def test_conflicts_in_several_folders_are_counted_together_and_written_once(bench: Bench) -> None:
    for name, place in ((RUNS[0], "wandb"), (RUNS[1], "wandb/wandb"), (RUNS[2], f"wandb/{ONE}")):
        run = bench.put_here(name, place)
        write_file(run / "files/output.log", b"of somebody here\n", mtime_ns=NEW)
    report = bench.pull()
    assert (report.state, report.exit_code, count_files(report)["conflict"]) == (State.PARTIAL, ExitCode.PARTIAL, 3)
    assert len({problem.path for problem in report.problems if problem.kind == "conflict"}) == 3
    assert len(report.problems) == len(set(report.problems))
    assert bench.read_journal().left == {"problem": 3}
    receipt = bench.read_receipt()
    assert receipt.left == {"problem": 3}
    again = bench.pull()
    assert (again.state, again.exit_code) == (State.PARTIAL, ExitCode.PARTIAL)
    assert bench.read_receipt() == receipt


def test_a_pull_that_ends_between_two_folders_calls_nothing_complete(bench: Bench) -> None:
    bench.put_here(RUNS[1], "wandb/wandb")
    grow(bench, RUNS[1])
    bench.target.script.at("make_engine", None, fail(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        bench.pull(overwrite=True)
    assert bench.read_receipt().left == {"runs not asked for": 1}
    bench.target.script.acts.clear()
    bench.workbench.runner = Runner()
    assert bench.pull(overwrite=True).state is State.DONE
    assert bench.read_receipt().left == {}


def test_what_goes_wrong_in_one_folder_ends_the_pull(bench: Bench) -> None:
    bench.put_here(RUNS[1], "wandb/wandb")
    grow(bench, RUNS[1])
    bench.target.script.at("make_engine", None, fail(LockedError("go away", kind="locked")))
    report = bench.pull(overwrite=True)
    assert (report.state, report.exit_code, count_files(report)["sent"] > 0) == (
        State.PARTIAL,
        ExitCode.PARTIAL,
        True,
    )
    assert report.error is not None


def test_runs_that_are_moved_while_others_come_get_no_second_place(bench: Bench) -> None:
    run = bench.put_here(RUNS[1], "wandb/wandb")
    grow(bench, RUNS[1])
    moved = bench.project / "wandb" / ONE / RUNS[1]

    def move() -> None:
        if run.exists():
            moved.parent.mkdir()
            run.rename(moved)

    bench.target.script.at("sent", move)
    report = bench.pull(overwrite=True)
    assert (report.state, report.error and report.error.kind) == (State.PARTIAL, "moved_meanwhile")
    assert bench.find(RUNS[1]) == [f"wandb/{ONE}"]
    assert bench.pull(overwrite=True).state is State.DONE
    assert bench.find(RUNS[1]) == [f"wandb/{ONE}"]


def test_a_run_in_two_places_stays_as_it_is(bench: Bench) -> None:
    for place in ("wandb", f"wandb/{ONE}"):
        bench.put_here(RUNS[1], place)
    grow(bench, RUNS[1])
    report = bench.pull(overwrite=True)
    (problem,) = [problem for problem in report.problems if problem.is_failure]
    assert (problem.path, problem.kind, report.exit_code) == (RUNS[1], "double_run", ExitCode.PARTIAL)
    assert str(bench.project / "wandb" / ONE / RUNS[1]) in problem.message
    for place in ("wandb", f"wandb/{ONE}"):
        assert (bench.project / place / RUNS[1] / "files/output.log").read_bytes() == b"done\n" * 50
    assert RUNS[1] not in bench.read_receipt().runs
    assert bench.find(RUNS[0]) == ["wandb"]


@pytest.mark.parametrize("roots", [tuple(Root), (Root.WANDB,)])
def test_runs_that_all_lie_several_times_are_no_vanished_source(bench: Bench, roots: tuple[Root, ...]) -> None:
    bench.pull()
    for name in RUNS:
        for place in ("wandb/wandb", f"wandb/{ONE}"):
            bench.put_here(name, place)
    report = bench.pull(roots=roots)
    assert (report.state, report.exit_code) == (State.PARTIAL, ExitCode.PARTIAL)
    assert [problem.kind for problem in report.problems] == ["double_run"] * 4
    assert set(bench.read_receipt().runs) == {"", *RUNS}


def test_a_sweep_without_a_folder_of_its_own_comes_to_several_folders(bench: Bench) -> None:
    """As of loose runs, whose receipts alone have a folder here."""
    for name in RUNS:
        write_run(bench.far / "wandb", f"l{name[-3:]}", sweep="")
    names = [path.name for path in (bench.far / "wandb").glob("*-l*")]
    write_run(bench.project / "train/wandb", names[0].rpartition("-")[2], sweep="")
    report = bench.pull("loose")
    assert (report.state, count_runs(report)["total"]) == (State.DONE, 4)
    assert [bench.find(name) for name in names] == [["train/wandb"], *[["wandb"]] * 3]
    assert bench.pull("loose").state is State.NOTHING_TO_DO


def test_all_runs_in_one_other_folder(bench: Bench) -> None:
    for name in RUNS:
        bench.put_here(name, f"wandb/{ONE}")
    assert bench.pull().state is State.DONE
    assert [path.name for path in (bench.project / "wandb").iterdir()] == [ONE]
    assert bench.pull(roots=(Root.WANDB,)).state is State.NOTHING_TO_DO
    assert bench.pull(roots=(Root.SWEEPS,)).state is State.NOTHING_TO_DO


def test_a_symlink_to_a_run_is_a_second_name_of_it(bench: Bench) -> None:
    run = bench.put_here(RUNS[1], f"sweeps/outputs/{ONE}/wandb")
    (bench.project / "wandb").mkdir()
    (bench.project / "wandb" / RUNS[1]).symlink_to(run)
    content = grow(bench, RUNS[1])
    assert bench.pull(overwrite=True).state is State.DONE
    assert (run / "files/output.log").read_bytes() == content
    assert (bench.project / "wandb" / RUNS[1]).is_symlink()


DEEP = "disk/too/deep/to/be/searched"


@pytest.mark.parametrize(("setting", "place"), [("follow", f"{DEEP}/tasks/0/wandb"), ("skip", "wandb")])
def test_a_run_behind_a_symlink_lies_there_if_it_is_sent_from_there(bench: Bench, setting: str, place: str) -> None:
    bench.set_option("folder_links", setting)
    bench.put_here(RUNS[1], f"{DEEP}/tasks/0/wandb")
    home = bench.project / "sweeps/outputs" / ONE
    home.mkdir(parents=True)
    (home / "tasks").symlink_to(bench.project / DEEP / "tasks")
    content = grow(bench, RUNS[1])
    bench.pull(overwrite=True)
    assert bench.find(RUNS[1]) == sorted({f"{DEEP}/tasks/0/wandb", place})
    assert (bench.project / place / RUNS[1] / "files/output.log").read_bytes() == content
    assert bench.pull().state is State.NOTHING_TO_DO


def test_the_newest_runs_are_chosen_among_all_folders(bench: Bench) -> None:
    for place, name in zip(PLACES, RUNS[:2], strict=False):
        bench.put_here(name, place)
        grow(bench, name)
    report = bench.pull(choice=RunChoice(newest=1, states=(RunState.FINISHED,)), overwrite=True)
    assert count_runs(report)["not_chosen"] == 3
    assert bench.find(RUNS[3]) == ["wandb"]
    assert not bench.find(RUNS[2])


def test_a_dry_run_plans_the_same_and_touches_nothing(bench: Bench) -> None:
    run = bench.put_here(RUNS[1], f"outputs/{ONE}/wandb")
    grow(bench, RUNS[1])
    before = sorted(bench.project.rglob("*"))
    report = bench.pull(is_dry_run=True, overwrite=True)
    assert (report.state, count_files(report)["planned"]) == (State.PLANNED, 1 + 3 * 3 + 1)
    assert sorted(bench.project.rglob("*")) == before
    assert (run / "files/output.log").read_bytes() == b"done\n" * 50


def test_what_came_to_a_folder_is_known_as_this_target_s_own(bench: Bench) -> None:
    bench.put_here(RUNS[1], f"wandb/{ONE}")
    bench.pull()
    content = grow(bench, RUNS[1])
    assert bench.pull().state is State.DONE
    assert (bench.project / "wandb" / ONE / RUNS[1] / "files/output.log").read_bytes() == content


def test_a_folder_that_cannot_be_read_is_told(bench: Bench) -> None:
    closed = bench.project / "sweeps" / sweep_folder(ONE) / "tasks"
    closed.mkdir(parents=True)
    closed.chmod(0)
    try:
        if os.access(closed, os.R_OK):
            pytest.skip("root reads every folder")
        report = bench.pull()
    finally:
        closed.chmod(0o755)
    assert [(problem.path, problem.is_failure) for problem in report.problems] == [(str(closed), False)]


def get_part(bench: Bench, place: str) -> str:
    folder = os.path.realpath(bench.project / place)
    return SweepPart(SweepInventory(ONE), (Root.WANDB,), folder).name


def test_what_is_remembered_of_files_is_so_for_each_folder(bench: Bench) -> None:
    """A transfer to one folder says nothing of one to another that was cut off."""
    bench.put_here(RUNS[1], "wandb/wandb")
    bench.pull()
    grow(bench, RUNS[1])
    bench.target.script.at("send", fail(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        bench.pull()
    folder = ProjectFolder(bench.project).origins("desktop", ONE).parent
    part = get_part(bench, "wandb/wandb")
    assert [path.name for path in folder.glob("*.unsettled")] == [f"{ONE}.{part}.unsettled"]
    bench.target.script.acts.clear()
    bench.workbench.runner = Runner()
    assert bench.pull().state is State.DONE
    assert not list(folder.glob("*.unsettled"))


def test_records_of_what_was_replaced_in_another_folder_stay(bench: Bench) -> None:
    bench.put_here(RUNS[1], "wandb/wandb")
    journal = ProjectFolder(bench.project).journal("desktop", ONE)
    record = journal.with_suffix(f".{get_part(bench, 'wandb/wandb')}.0123456789abcdef.replacing")
    save_replacing(record, "0123456789abcdef", [], {})
    bench.pull()  # nothing of the run in the other folder is sent
    assert record.exists()
    grow(bench, RUNS[1])
    bench.pull()
    assert not record.exists()
