"""A large sweep counts as unchanged, or it does not."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.discover.sweeps import Layout, Sweep
from hsm.endpoint import Tree
from hsm.errors import ExitCode
from hsm.model import PlanItem, Problem, Reason, Root, Run, RunState, SourceFile, SyncPlan
from hsm.remote.local import LocalEndpoint
from hsm.sync.counts import count_files, count_runs
from hsm.sync.reports import State, TargetReport
from hsm.sync.shortcuts.unchanged_record import get_record_path, load_record, save_record
from hsm.sync.shortcuts.unchanged_sweep import UnchangedSweep

FILE = SourceFile(Root.WANDB, "run-1/run-1.wandb", "/w", 9, 1, 1, run="run-1")
RUN = Run("run-1", "/w", "run-1.wandb", RunState.FINISHED, 0)
PLAN = SyncPlan("sweep_1", runs=(RUN,), items=(PlanItem(FILE, Reason.SAME),))
REPORT = TargetReport("desktop", State.NOTHING_TO_DO, ExitCode.DONE, plan=PLAN)
NOTICE = Problem("run-2", "membership_unknown", "It says nothing yet.", is_failure=False)


class Ground:
    """A project with one run, and what a sync of it has to do with the sweep's rest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wandb = folder / "wandb"
        (self.wandb / "run-1/files").mkdir(parents=True)
        (self.wandb / "run-1/run-1.wandb").touch()
        (folder / "sweeps").mkdir()
        self.journals = {"desktop": folder / "desktop.json"}

    def make(self, *, sweep: str = "", **questions: object) -> UnchangedSweep:
        layout = Layout(str(self.folder), str(self.folder / "sweeps"), str(self.wandb))
        asked = dict.fromkeys(self.journals, questions)
        return UnchangedSweep(self.journals, asked, layout, Sweep("sweep_1", path=sweep))

    def note(self, report: TargetReport = REPORT, digest: str = "there") -> None:
        """Read all there is, and note how it ended."""
        found = self.make()
        found.watch(LocalEndpoint()).survey([Tree(str(self.wandb))])
        found.note(report, lambda: digest)

    def rests(self, found: UnchangedSweep, **said: str) -> bool:
        """Whether it rests, after each target said something."""
        for name in self.journals:
            found.hear(name, said.get(name, "there"))
        return found.is_unchanged()

    @property
    def path(self) -> Path:
        return get_record_path(self.journals["desktop"])


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_it_rests_with_what_was_counted(ground: Ground) -> None:
    ground.note()
    found = ground.make()
    assert ground.rests(found)
    notice = Problem("", "by_sftp", "By SFTP.", is_failure=False)
    report = found.make_report("desktop", {"login": 0.1}, notices=(notice,))
    assert (count_files(report), count_runs(report)) == (count_files(REPORT), count_runs(REPORT))
    assert (report.state, report.exit_code, report.problems) == (State.NOTHING_TO_DO, ExitCode.DONE, (notice,))


def with_plan(**changes: Any) -> TargetReport:
    return replace(REPORT, plan=replace(PLAN, **changes), problems=changes.get("problems", ()))


@pytest.mark.parametrize(
    ("report", "rests"),
    [
        pytest.param(REPORT, True, id="all is there"),
        pytest.param(with_plan(problems=(NOTICE,)), True, id="a notice that follows from what is listed"),
        pytest.param(with_plan(items=(PlanItem(FILE, Reason.SUPERSEDED),)), True, id="superseded"),
        pytest.param(with_plan(runs=(replace(RUN, state=RunState.UNKNOWN),)), True, id="killed long ago"),
        pytest.param(with_plan(runs=(replace(RUN, state=RunState.RUNNING),)), False, id="a run goes on"),
        pytest.param(with_plan(runs=(replace(RUN, at_rest=False),)), False, id="ended moments ago"),
        pytest.param(with_plan(items=(PlanItem(FILE, Reason.CONFLICT),)), False, id="a conflict"),
        pytest.param(with_plan(items=(PlanItem(FILE, Reason.NOT_CHOSEN),)), False, id="not chosen"),
        pytest.param(with_plan(is_checked=False), False, id="conflicts are not looked for"),
        pytest.param(
            with_plan(problems=(replace(NOTICE, kind="unreadable"),)), False, id="a folder that was not readable"
        ),
        pytest.param(with_plan(problems=(replace(NOTICE, kind="damaged_cache"),)), False, id="the cache was damaged"),
        pytest.param(replace(REPORT, problems=(NOTICE,)), False, id="a notice of the connection"),
        pytest.param(replace(REPORT, state=State.DONE), False, id="something was sent"),
        pytest.param(replace(REPORT, exit_code=ExitCode.PARTIAL), False, id="something failed"),
        pytest.param(replace(REPORT, plan=None), False, id="no plan"),
    ],
)
def test_only_what_lasts_is_noted(ground: Ground, report: TargetReport, *, rests: bool) -> None:
    ground.note(report)
    assert ground.rests(ground.make()) is rests


def test_a_target_without_a_digest_never_rests(ground: Ground) -> None:
    ground.note(digest="")
    assert not ground.path.exists()
    assert not ground.rests(ground.make(), desktop="")


def test_another_question_or_another_answer_is_no_rest(ground: Ground) -> None:
    ground.note()
    assert not ground.rests(ground.make(), desktop="another")
    assert not ground.rests(ground.make(), desktop="")
    assert not ground.rests(ground.make(exclude="*.log"))
    ground.journals["desktop"].write_text("{}")
    assert not ground.rests(ground.make())


def test_a_folder_elsewhere_is_another_question(ground: Ground) -> None:
    ground.note()
    ground.wandb.rename(ground.folder / "moved")
    ground.wandb.symlink_to("moved")
    assert not ground.rests(ground.make())


def test_a_place_that_was_not_read_is_no_rest(ground: Ground) -> None:
    found = ground.make(sweep=str(ground.folder / "sweeps"))
    found.watch(LocalEndpoint()).survey([Tree(str(ground.wandb))])
    found.note(REPORT, lambda: "there")
    assert not ground.path.exists()


def test_what_could_not_be_read_is_tried_again(ground: Ground) -> None:
    found = ground.make()
    source = found.watch(LocalEndpoint())
    source.survey([Tree(str(ground.wandb))])
    log = ground.wandb / "run-1/files"  # a folder cannot be read as a file, whoever asks
    assert not list(source.read_ends([str(log), str(ground.wandb / "no/such")], n_blocks=1))
    found.note(REPORT, lambda: "there")
    assert not ground.path.exists()


def test_a_file_that_is_not_there_is_missed_when_it_comes(ground: Ground) -> None:
    found = ground.make()
    source = found.watch(LocalEndpoint())
    source.survey([Tree(str(ground.wandb), max_depth=1)])
    assert not list(source.read_ends([str(ground.wandb / "run-1/files/wandb-metadata.json")], n_blocks=1))
    found.note(REPORT, lambda: "there")
    assert ground.rests(ground.make())
    (ground.wandb / "run-1/files/wandb-metadata.json").touch()
    assert not ground.rests(ground.make())


@pytest.mark.parametrize("word", ["files", "runs"])
def test_counts_that_lack_a_word_are_none(ground: Ground, word: str) -> None:
    ground.note()
    rest = load_record(ground.path)
    assert rest is not None
    save_record(ground.path, replace(rest, counts=replace(rest.counts, **{word: {"unchanged": 1}})))
    assert not ground.rests(ground.make())


def test_one_no_is_enough_and_nobody_else_is_waited_for(ground: Ground) -> None:
    ground.journals["backup"] = ground.folder / "backup.json"
    for name in ground.journals:
        found = ground.make()
        found.watch(LocalEndpoint()).survey([Tree(str(ground.wandb))])
        found.note(replace(REPORT, name=name), lambda: "there")
    found = ground.make()
    threading.Timer(0.05, found.hear, ("backup", "another")).start()
    assert not found.is_unchanged()


def test_a_target_that_is_out_of_reach_does_not_matter(ground: Ground) -> None:
    ground.note()
    found = ground.make()
    found.leave("desktop")
    found.hear("desktop", "another")
    assert found.is_unchanged()


def test_names_that_are_no_text_are_kept(ground: Ground) -> None:
    os.mkdir(os.fsencode(ground.wandb) + b"/run-\xff")  # noqa: PTH102 - a name that is no text
    ground.note()
    assert ground.rests(ground.make())
