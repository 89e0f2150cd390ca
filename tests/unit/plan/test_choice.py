"""Choosing runs and files of one call: what is left, why, and that nothing more is claimed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import UsageError
from hsm.model import Entry, EntryKind, Reason, Root, Run, RunState, SourceFile, SweepInventory, SyncPlan
from hsm.plan.choice import RunChoice, choose, make_choice
from hsm.plan.destination import DestinationRoot
from hsm.plan.planner import PlanOptions, make_plan
from hsm.plan.safety import check_plan
from hsm.plan.summary import Change, make_rows
from hsm.records.record import make_records

SWEEP = "sweep_1"
NOW = 1_760_000_000_000_000_000
HOUR = 3600 * 10**9
AGES = {"run-20251001_100000-old": 72, "offline-run-20251002_100000-mid": 30, "run-20251003_100000-new": 1}
OLD, MID, NEW = AGES
STATES = {OLD: RunState.FINISHED, MID: RunState.FAILED, NEW: RunState.RUNNING}
NAMES = ("files/config.yaml", "files/media/a.png", "x.wandb")


def make_inventory() -> SweepInventory:
    runs = tuple(
        Run(name, "/p/wandb", "x.wandb", state, None if state is RunState.RUNNING else 0)
        for name, state in sorted(STATES.items())
    )
    files = [
        SourceFile(Root.WANDB, f"{run}/{name}", "/p/wandb", 10, NOW - age * HOUR, 7, run)
        for run, age in AGES.items()
        for name in NAMES
    ]
    files.append(SourceFile(Root.SWEEPS, f"outputs/{SWEEP}/grid.yaml", "/p/sweeps", 10, NOW - 99 * HOUR, 7))
    return SweepInventory(SWEEP, runs, tuple(files))


def make(choice: RunChoice, *there: Entry) -> SyncPlan:
    roots = {
        Root.WANDB: DestinationRoot("/d/wandb", EntryKind.FOLDER, entries={entry.path: entry for entry in there}),
        Root.SWEEPS: DestinationRoot("/d/sweeps", EntryKind.FOLDER),
    }
    return make_plan(make_inventory(), roots, PlanOptions(choice=choice))


def make_there(path: str, *, mtime_ns: int, kind: EntryKind = EntryKind.FILE) -> Entry:
    return Entry(path, kind, 10, mtime_ns, 7)


def read(**words: object) -> RunChoice:
    return make_choice(now_ns=NOW, **words)  # type: ignore[arg-type]


def list_sent(plan: SyncPlan) -> set[str]:
    """The runs of which something is sent, and of files what is below the run."""
    return {file.path for file in plan.sends if file.root is Root.WANDB}


RUNS = {
    "all": ({}, {OLD, MID, NEW}),
    "all by name": ({"runs": ["all", "failed"]}, {OLD, MID, NEW}),
    "finished": ({"runs": ["finished"]}, {OLD}),
    "two states": ({"runs": ["finished", "running"]}, {OLD, NEW}),
    "none is unknown": ({"runs": ["unknown"]}, set()),
    "since two days": ({"since": "2d"}, {MID, NEW}),
    "since exactly its age": ({"since": "30h"}, {MID, NEW}),
    "since a second less": ({"since": "107999s"}, {NEW}),
    "the newest, whatever its prefix": ({"newest": 2}, {MID, NEW}),
    "more than there are": ({"newest": 9}, {OLD, MID, NEW}),
    "the newest of those in a state": ({"newest": 1, "runs": ["finished", "failed"]}, {MID}),
    "all three": ({"newest": 1, "runs": ["finished"], "since": "4d"}, {OLD}),
}


@pytest.mark.parametrize(("words", "expected"), RUNS.values(), ids=RUNS)
def test_runs_are_chosen(words: dict[str, object], expected: set[str]) -> None:
    plan = make(read(**words))
    assert list_sent(plan) == {f"{run}/{name}" for run in expected for name in NAMES}
    assert {row.run.name for row in make_rows(plan) if row.run and row.change is Change.NOT_CHOSEN} == (
        AGES.keys() - expected
    )
    assert [file.path for file in plan.sends if file.root is Root.SWEEPS] == [f"outputs/{SWEEP}/grid.yaml"]


FILES = {
    "include": ({"include": ["*.wandb"]}, {"x.wandb"}),
    "include a folder": ({"include": ["media/"]}, {"files/media/a.png"}),
    "exclude": ({"exclude": ["*.png", "config.yaml"]}, {"x.wandb"}),
    "exclude, but": ({"exclude": ["files/**", "!config.yaml"]}, {"files/config.yaml", "x.wandb"}),
    "both": ({"include": ["files/"], "exclude": ["*.png"]}, {"files/config.yaml"}),
    "a pattern that is anchored": ({"exclude": ["/config.yaml"]}, set(NAMES)),
    "not the sweep's folder": ({"include": ["nothing"]}, set()),
}


@pytest.mark.parametrize(("words", "expected"), FILES.values(), ids=FILES)
def test_files_of_runs_are_chosen(words: dict[str, object], expected: set[str]) -> None:
    plan = make(read(**words))
    assert list_sent(plan) == {f"{run}/{name}" for run in AGES for name in expected}
    assert len(plan.sends) == 3 * len(expected) + 1


WHYS = {
    "--runs: the run is running": read(runs=["finished", "failed"]),
    "--since 2h: nothing of the run changed": read(since="2h"),
    "--newest 1: others began later": read(newest=1),
    "--include: no pattern names it": read(include=["*.wandb"]),
    "--exclude *.png": read(exclude=["*.png"]),
}


@pytest.mark.parametrize(("why", "choice"), WHYS.items())
def test_what_is_left_says_why(why: str, choice: RunChoice) -> None:
    assert {item.detail for item in make(choice).items if item.reason is Reason.NOT_CHOSEN} == {why}


def test_a_run_left_is_never_complete_and_what_is_there_stays_a_proof() -> None:
    there = [make_there(f"{OLD}/{name}", mtime_ns=NOW - 72 * HOUR) for name in NAMES]
    there += [make_there(f"{MID}/x.wandb", mtime_ns=NOW - 30 * HOUR)]
    records = make_records(make(read(runs=["running"]), *there), {})
    assert (records[OLD].is_whole, records[OLD].n_files) == (True, 3)
    assert (records[MID].is_complete, records[MID].n_files, records[MID].left) == (False, 1, {"not chosen": 2})


def test_a_run_of_which_a_file_was_left_is_not_complete() -> None:
    plan = make(read(exclude=["*.png"]))
    records = make_records(plan, {(file.root, file.path): file for file in plan.sends})
    assert (records[OLD].is_complete, records[OLD].is_whole, records[OLD].left) == (False, False, {"not chosen": 1})


def test_conflicts_of_what_was_not_chosen_are_not_told() -> None:
    there = [
        make_there(f"{OLD}/x.wandb", mtime_ns=NOW),
        make_there(f"{MID}/x.wandb", mtime_ns=NOW),
        make_there(f"{MID}/files", mtime_ns=0, kind=EntryKind.OTHER),
    ]
    everything = make(RunChoice(), *there)
    assert {problem.path for problem in everything.problems} == {f"{OLD}/x.wandb", f"{MID}/x.wandb", f"{MID}/files"}
    assert make(read(runs=["running"]), *there).problems == ()
    finished = make(read(runs=["finished"]), *there)
    assert [problem.path for problem in finished.problems] == [f"{OLD}/x.wandb"]
    without_log = make(read(runs=["failed"], exclude=["*.wandb"]), *there)
    assert [problem.path for problem in without_log.problems] == [f"{MID}/files"]


def test_a_source_that_is_there_but_not_chosen_is_not_missed_and_one_that_is_gone_is() -> None:
    choice = read(runs=["unknown"])
    there = {Root.WANDB: DestinationRoot("/d/wandb", EntryKind.FOLDER)}
    assert check_plan(make(choice), there, known=[OLD]) == ()
    gone = make_plan(SweepInventory(SWEEP), there, PlanOptions(choice=choice))
    assert [refusal.check for refusal in check_plan(gone, there, known=[OLD])] == ["source-empty"]


def test_the_same_is_left_only_where_it_is_asked_for() -> None:
    there = [make_there(f"{OLD}/{name}", mtime_ns=NOW - 72 * HOUR) for name in NAMES]
    plan, choice = make(RunChoice(), *there), read(runs=["failed"])
    assert sum(item.reason is Reason.SAME for item in choose(plan, choice).items) == 3
    left = choose(plan, choice, leaves_same=True)
    assert not any(item.reason is Reason.SAME for item in left.items)
    assert list_sent(left) == {f"{MID}/{name}" for name in NAMES}


@given(
    st.lists(st.sampled_from(["finished", "failed", "running", "all"])),
    st.one_of(st.none(), st.sampled_from(["1h", "2d", "1w"])),
    st.one_of(st.none(), st.integers(1, 4)),
    st.lists(st.sampled_from(["*.png", "files/", "x*"])),
    st.lists(st.sampled_from(["*.png", "files/", "!config.yaml"])),
)
def test_a_choice_only_takes_out_of_a_plan(
    runs: list[str], since: str | None, newest: int | None, include: list[str], exclude: list[str]
) -> None:
    plan = make(RunChoice())
    chosen = make(read(runs=runs, since=since, newest=newest, include=include, exclude=exclude))
    assert [item.file for item in chosen.items] == [item.file for item in plan.items]
    assert set(chosen.sends) <= set(plan.sends)
    for before, after in zip(plan.items, chosen.items, strict=True):
        assert after == before or (before.reason.is_send and after.reason is Reason.NOT_CHOSEN and after.detail)


BAD = {
    "an age without a unit": ({"since": "2"}, "--since '2' is no duration."),
    "an age of two": ({"since": "1d12h"}, "--since '1d12h' is no duration."),
    "an age below nothing": ({"since": "-2d"}, "--since '-2d' is no duration."),
    "other digits": ({"since": "٢d"}, "--since '٢d' is no duration."),
    "an empty age": ({"since": ""}, "--since '' is no duration."),
    "no run at all": ({"newest": 0}, "--newest takes a number of runs, at least 1."),
    "a state that is none": ({"runs": ["killed"]}, "--runs 'killed' is no state of a run."),
    "a pattern that is a comment": ({"exclude": ["# x"]}, "--exclude '# x' matches nothing."),
    "an empty pattern": ({"include": [""]}, "--include '' is empty."),
}


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_meant_is_refused(words: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(**words)
    assert (caught.value.message, caught.value.kind, bool(caught.value.hint)) == (message, "usage", True)
