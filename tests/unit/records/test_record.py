"""Record of a run, as values and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import Gap, GapReason, PlanItem, Reason, Root, Run, RunState, SourceFile, SyncPlan
from hsm.plan.digest import make_digest
from hsm.records.record import RunRecord, make_record_document, make_records, merge_records, parse_record

T = 1_760_000_000_123_456_789
FINISHED = Run("run-1", "/p/wandb", state=RunState.FINISHED, exit_code=0)
LATER = SourceFile(Root.WANDB, "run-1/sent", "/p/wandb", 11, T + 1, 7, "run-1")


def make_item(name: str, reason: Reason, *, run: str = "run-1") -> PlanItem:
    root, path = (Root.WANDB, f"{run}/{name}") if run else (Root.SWEEPS, f"outputs/s/{name}")
    return PlanItem(SourceFile(root, path, "/p/wandb", 10, T, 7, run), reason)


def make_one(*items: PlanItem, run: Run = FINISHED, proven: tuple[SourceFile, ...] = ()) -> RunRecord:
    plan = SyncPlan("s", (run,), items)
    return make_records(plan, {(file.root, file.path): file for file in proven})[run.name]


@pytest.mark.parametrize(
    ("run", "is_complete"),
    [
        pytest.param(FINISHED, True, id="finished"),
        pytest.param(Run("run-1", "/p", state=RunState.FAILED, exit_code=3), True, id="failed"),
        pytest.param(Run("run-1", "/p", state=RunState.RUNNING), False, id="running"),
        pytest.param(Run("run-1", "/p", state=RunState.UNKNOWN), False, id="killed"),
        pytest.param(Run("run-1", "/p", state=RunState.FINISHED, at_rest=False), False, id="log still moves"),
    ],
)
def test_only_a_run_that_has_ended_and_rests_is_complete(run: Run, *, is_complete: bool) -> None:
    record = make_one(make_item("a", Reason.SAME), run=run)
    assert (record.is_complete, record.is_whole) == (is_complete, is_complete)
    assert (record.state, record.exit_code, record.n_files, record.n_bytes) == (run.state.value, run.exit_code, 1, 10)


@pytest.mark.parametrize(
    ("reason", "is_complete", "word"),
    [
        (Reason.NEW, False, "not proven"),
        (Reason.SIZE, False, "not proven"),
        (Reason.TIME, False, "not proven"),
        (Reason.UNCHECKED, False, "not proven"),
        (Reason.OVERWRITE, False, "not proven"),
        (Reason.CONFLICT, False, "conflict"),
        (Reason.NOT_CHOSEN, False, "not chosen"),
        (Reason.SUPERSEDED, True, "superseded"),
        (Reason.EXCLUDED, True, "excluded"),
        (Reason.SECRET, True, "secret"),
        (Reason.UNFINISHED, True, "upload mark of an unfinished run"),
    ],
)
def test_what_is_left_is_counted_and_never_whole(reason: Reason, word: str, *, is_complete: bool) -> None:
    record = make_one(make_item("a", Reason.SAME), make_item("b", reason))
    assert (record.is_complete, record.is_whole, record.n_files) == (is_complete, False, 1)
    assert record.left == {word: 1}


@pytest.mark.parametrize(
    ("reason", "left"), [(Reason.THERE, {}), (Reason.NO_RESULT, {"no result": 1})], ids=["there already", "no result"]
)
def test_nothing_is_missed_without_what_is_there_or_no_result(reason: Reason, left: dict[str, int]) -> None:
    record = make_one(make_item("a", Reason.SAME), make_item("b", reason))
    assert (record.is_whole, record.left, record.missed) == (True, left, {})
    assert (record.n_files, record.digest) == (1, make_digest([make_item("a", Reason.SAME).file]))


def test_every_reason_has_its_line_in_the_tables_above() -> None:
    assert len(Reason) == 11 + 1 + 2


@pytest.mark.parametrize("reason", GapReason)
def test_what_is_among_no_files_is_counted_and_never_whole(reason: GapReason) -> None:
    gaps = (Gap("run-1", "run-1/x", reason), Gap("", "outputs/s/x", reason), Gap("", "outputs/s/y", reason))
    records = make_records(SyncPlan("s", (FINISHED,), (make_item("a", Reason.SAME),), gaps=gaps), {})
    wanted = reason in (GapReason.UNREADABLE, GapReason.DANGLING, GapReason.LEADS_OUT)
    assert records["run-1"].left == {reason.value: 1}
    assert records[""].left == {reason.value: 2}
    for record in records.values():
        assert (record.is_complete, record.is_whole) == (not wanted, False)


def test_what_was_proven_before_stays_unless_a_look_says_otherwise() -> None:
    before = {"run-1": make_one(make_item("a", Reason.SAME)), "run-0": RunRecord(n_files=3)}
    left = SyncPlan("s", (FINISHED,), (make_item("a", Reason.NOT_CHOSEN),))
    looked = merge_records(before, left, {})
    assert (looked["run-1"].is_complete, looked["run-1"].n_files, looked["run-0"]) == (False, 0, before["run-0"])
    blind = replace(left, is_checked=False)
    assert merge_records(before, blind, {}) == before
    assert not merge_records({}, blind, {})["run-1"].is_complete
    some = replace(blind, items=(make_item("sent", Reason.UNCHECKED), *left.items))
    partly = merge_records(before, some, {(LATER.root, LATER.path): LATER})["run-1"]
    assert (partly.n_files, partly.is_complete, partly.left) == (1, False, {"not chosen": 1})


def test_a_sent_file_counts_as_it_was_proven_not_as_it_was_planned() -> None:
    record = make_one(make_item("sent", Reason.NEW), make_item("same", Reason.SAME), proven=(LATER,))
    assert (record.n_files, record.n_bytes, record.is_whole) == (2, 21, True)
    assert record.digest == make_digest([LATER, make_item("same", Reason.SAME).file])


def test_what_was_sent_of_another_plan_proves_nothing_here() -> None:
    elsewhere = LATER._replace(root=Root.SWEEPS)
    assert make_one(make_item("sent", Reason.NEW), proven=(elsewhere,)).left == {"not proven": 1}


def test_the_sweep_folder_is_complete_without_an_exit_record_and_counts_what_lies_deeper() -> None:
    plan = SyncPlan("s", (), (make_item("a", Reason.SAME, run=""),), deeper={"logs": 3, "tasks": 2})
    (record,) = make_records(plan, {}).values()
    assert (record.is_complete, record.is_whole, record.left) == (True, False, {"deeper": 5})


def test_a_run_without_files_has_a_record() -> None:
    assert make_one() == RunRecord("finished", 0, True, True, digest=make_digest([]))


counts = st.integers(-(10**24) + 1, 10**24 - 1)
records = st.builds(
    RunRecord,
    state=st.text(),
    exit_code=st.none() | counts,
    is_complete=st.booleans(),
    is_whole=st.booleans(),
    n_files=counts,
    n_bytes=counts,
    digest=st.text(),
    left=st.dictionaries(st.text(), counts),
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    "change",
    [
        {"state": None},
        {"exit_code": True},
        {"exit_code": "0"},
        {"is_complete": 1},
        {"is_complete": "no"},
        {"is_whole": None},
        {"n_files": True},
        {"n_files": None},
        {"n_bytes": 1.5},
        {"n_bytes": 10**24},
        {"n_files": -(10**400)},
        {"digest": 7},
    ],
    ids=str,
)
def test_a_record_of_other_types_claims_nothing(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        parse_record({**make_record_document(RunRecord("finished", 0, True, True, 1, 1, "d")), **change})


@given(records)
def test_a_record_survives_json(record: RunRecord) -> None:
    assert parse_record(json.loads(json.dumps(make_record_document(record)))) == record


@given(anything, st.sampled_from(list(RunRecord.__dataclass_fields__)))
def test_what_is_no_record_is_refused_or_can_be_written_again(value: Any, field: str) -> None:
    for document in (value, {field: value}):
        try:
            record = parse_record(document)
        except ValueError:
            continue
        assert parse_record(json.loads(json.dumps(make_record_document(record)))) == record
