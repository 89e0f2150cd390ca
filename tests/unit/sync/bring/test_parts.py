"""A sweep in parts: together they are the whole, and so is their report."""

from __future__ import annotations

import pytest

from hsm.errors import ExitCode, HsmError, LockedError, LockLostError
from hsm.model import EntryKind, Gap, GapReason, Problem, Root, RunState, SourceFile, SweepInventory, SyncPlan
from hsm.plan.choice import RunChoice, settle_newest
from hsm.plan.destination import DestinationRoot
from hsm.plan.planner import PlanOptions, make_plan
from hsm.records.record import make_records
from hsm.records.scope import make_scope
from hsm.sync.bring.joining import join_reports
from hsm.sync.bring.landing import RunPlaces
from hsm.sync.bring.parts import SweepPart, add_failures, split_inventory
from hsm.sync.reports import State, TargetReport
from hsm.transfer.outcome import Outcome, TransferResult
from tests.unit.plan.test_choice import MID, NEW, OLD, SWEEP, make_inventory

PROBLEM = Problem("x", "unreadable", "It cannot be read.")
FILE = SourceFile(Root.WANDB, f"{OLD}/x.wandb", "/p/wandb", 10, 1, 7, OLD)
WHOLE = make_inventory()
GAPS = (Gap("", "outputs/pipe", GapReason.SPECIAL), Gap(MID, f"{MID}/pipe", GapReason.SPECIAL))


def split(places: RunPlaces, roots: tuple[Root, ...] = tuple(Root)) -> tuple[SweepPart, ...]:
    whole = SweepInventory(SWEEP, WHOLE.runs, WHOLE.files, problems=(PROBLEM,), gaps=GAPS, deeper={"logs": 3})
    return split_inventory(whole, roots, places)


def plan(inventory: SweepInventory, choice: RunChoice) -> SyncPlan:
    roots = {root: DestinationRoot(f"/d/{root.value}", EntryKind.FOLDER) for root in Root}
    return make_plan(inventory, roots, PlanOptions(choice=choice))


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({}, [("", {OLD, MID, NEW})]),
        ({MID: "/a"}, [("", {OLD, NEW}), ("/a", {MID})]),
        ({MID: "/b", NEW: "/a"}, [("", {OLD}), ("/a", {NEW}), ("/b", {MID})]),
        ({OLD: "/a", MID: "/a", NEW: "/a"}, [("", set()), ("/a", {OLD, MID, NEW})]),
    ],
    ids=["all in the usual folder", "one elsewhere", "several folders", "none in the usual folder"],
)
def test_each_run_is_in_the_part_of_its_folder(places: dict[str, str], expected: list[tuple[str, set[str]]]) -> None:
    parts = split(RunPlaces(places))
    assert [(part.wandb, {run.name for run in part.inventory.runs}) for part in parts] == expected
    assert sorted(file for part in parts for file in part.inventory.files) == sorted(WHOLE.files)
    assert sorted(gap for part in parts for gap in part.inventory.gaps) == sorted(GAPS)
    assert [problem for part in parts for problem in part.inventory.problems] == [PROBLEM]
    assert parts[-1].inventory.problems == (PROBLEM,)
    assert len({part.name for part in parts}) == len(parts)


def test_a_part_without_runs_needs_no_folder_of_runs() -> None:
    places = RunPlaces({OLD: "/a", MID: "/a", NEW: "/a"})
    assert [part.roots for part in split(places)] == [(Root.SWEEPS,), (Root.WANDB,)]
    assert [part.roots for part in split(places, (Root.WANDB,))] == [(Root.WANDB,)]


def test_without_a_folder_of_the_sweep_at_the_source_no_part_is_about_it() -> None:
    """The one here holds files of runs, so it would look as if those of the source were lost."""
    places = RunPlaces({OLD: "/a", MID: "/a", NEW: "/a"})
    none = SweepInventory(SWEEP, WHOLE.runs, WHOLE.files, has_folder=False)
    assert [part.roots for part in split_inventory(none, tuple(Root), places)] == [(Root.WANDB,)]
    assert [part.roots for part in split_inventory(none, tuple(Root), RunPlaces({OLD: "/a"}))] == [
        tuple(Root),
        (Root.WANDB,),
    ]
    assert [part.roots for part in split_inventory(none, tuple(Root), RunPlaces({}))] == [tuple(Root)]


def test_a_run_that_lies_twice_is_in_no_part() -> None:
    (part,) = split(RunPlaces(doubles={MID: ("/a/m", "/b/m")}))
    assert {run.name for run in part.inventory.runs} == {OLD, NEW}
    assert {file.run for file in part.inventory.files} == {"", OLD, NEW}
    assert [(problem.path, problem.kind) for problem in part.inventory.problems[1:]] == [(MID, "double_run")]


@pytest.mark.parametrize(
    "choice",
    [
        RunChoice(),
        RunChoice(newest=1),
        RunChoice(newest=2),
        RunChoice(newest=9),
        RunChoice(newest=1, states=(RunState.FINISHED, RunState.FAILED)),
        RunChoice(newest=1, include=("files/config.yaml",)),
    ],
)
@pytest.mark.parametrize("folders", [{MID: "/a"}, {NEW: "/a", OLD: "/b"}])
def test_the_plans_of_the_parts_are_the_plan_of_the_whole(choice: RunChoice, folders: dict[str, str]) -> None:
    parts = split(RunPlaces(folders))
    settled = settle_newest(choice, WHOLE.runs, WHOLE.files)
    plans, found = [], []
    for part in parts:
        whole = add_failures(part, found) if part is parts[-1] else part
        plans.append(plan(whole.inventory, settled))
        found += plans[-1].problems
    one = plan(split(RunPlaces())[0].inventory, choice)
    assert sorted(item for made in plans for item in made.items) == sorted(one.items)
    records = {name: record for made in plans for name, record in make_records(made, {}).items()}
    assert records == make_records(one, {})
    assert make_scope(plans[-1], {}, records, is_new=True) == make_scope(one, {}, records, is_new=True)
    joined = join_reports([TargetReport("t", State.PLANNED, ExitCode.PARTIAL, plan=made) for made in plans]).plan
    assert joined is not None
    assert (joined.items, joined.runs, joined.deeper) == (one.items, one.runs, one.deeper)
    assert set(joined.problems) == set(one.problems)


def make_report(state: State, code: ExitCode, error: HsmError | None = None, *, n_sent: int = 0) -> TargetReport:
    files = [FILE._replace(path=f"{OLD}/{number}") for number in range(n_sent)]
    result = TransferResult(
        dict.fromkeys((file.key for file in files), Outcome.SENT), {each.key: each for each in files}
    )
    return TargetReport("t", state, code, error, SyncPlan(SWEEP), result if n_sent else None)


DONE = make_report(State.DONE, ExitCode.DONE, n_sent=1)
IDLE = make_report(State.NOTHING_TO_DO, ExitCode.DONE)
PARTIAL = make_report(State.PARTIAL, ExitCode.PARTIAL)
LOCKED = make_report(State.LOCKED, ExitCode.LOCKED, LockedError("held", kind="locked"))
LOST = make_report(State.LOCKED, ExitCode.LOCKED, LockLostError("lost", kind="lock_lost"), n_sent=1)
STOPPED = make_report(State.INTERRUPTED, ExitCode.INTERRUPTED)


@pytest.mark.parametrize(
    ("reports", "state", "code"),
    [
        ([IDLE, IDLE], State.NOTHING_TO_DO, ExitCode.DONE),
        ([IDLE, DONE], State.DONE, ExitCode.DONE),
        ([DONE, IDLE], State.DONE, ExitCode.DONE),
        ([DONE, PARTIAL], State.PARTIAL, ExitCode.PARTIAL),
        ([PARTIAL, DONE], State.PARTIAL, ExitCode.PARTIAL),
        ([IDLE, LOCKED], State.LOCKED, ExitCode.LOCKED),
        ([DONE, LOCKED], State.PARTIAL, ExitCode.PARTIAL),
        ([DONE, LOST], State.LOCKED, ExitCode.LOCKED),
        ([DONE, STOPPED], State.INTERRUPTED, ExitCode.INTERRUPTED),
    ],
)
def test_the_ends_of_parts_are_one_end(reports: list[TargetReport], state: State, code: ExitCode) -> None:
    joined = join_reports(reports)
    assert (joined.state, joined.exit_code, joined.error) == (state, code, reports[-1].error)
