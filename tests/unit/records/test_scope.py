"""What is missing of a whole sweep, over several calls."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hsm.model import Problem, Root, SyncPlan
from hsm.records.record import SWEEP_FOLDER, RunRecord
from hsm.records.scope import lacks_parts, make_scope, parse_scope_document

FOLDER = {SWEEP_FOLDER: RunRecord(n_files=1)}
RUNS = {"run-1": RunRecord(n_files=1)}
NO_RUNS, NO_FOLDER = {"runs not asked for": 1}, {"sweep's folder not asked for": 1}
RUNS_OFF = {"runs switched off": 1}
FAILURE = Problem("x", "unreadable", "no")


def make(
    left: Mapping[Root, bool],
    before: Mapping[str, int],
    records: Mapping[str, RunRecord],
    *problems: Problem,
    is_new: bool = False,
) -> dict[str, int]:
    return make_scope(SyncPlan("s", left_roots=left, problems=problems), before, records, is_new=is_new)


@pytest.mark.parametrize(
    ("left", "before", "records", "expected"),
    [
        pytest.param({}, {}, {}, {}, id="everything"),
        pytest.param({Root.WANDB: True}, {}, {}, NO_RUNS, id="the folder alone, first"),
        pytest.param({Root.WANDB: True}, NO_RUNS, FOLDER, NO_RUNS, id="the folder alone, again"),
        pytest.param({Root.WANDB: True}, {}, RUNS, {}, id="the folder alone, after everything"),
        pytest.param({Root.SWEEPS: True}, {}, {}, NO_FOLDER, id="the runs alone, first"),
        pytest.param({Root.SWEEPS: True}, {}, {**RUNS, SWEEP_FOLDER: RunRecord()}, NO_FOLDER, id="an empty record"),
        pytest.param({Root.SWEEPS: True}, {}, FOLDER, {}, id="the runs alone, after the folder"),
        pytest.param({}, {**NO_RUNS, "problem": 3}, FOLDER, {}, id="everything, after the folder alone"),
        pytest.param({Root.WANDB: False}, {}, {}, RUNS_OFF, id="switched off"),
        pytest.param({Root.WANDB: True}, RUNS_OFF, RUNS, RUNS_OFF, id="the folder alone, where runs are switched off"),
        pytest.param({}, RUNS_OFF, FOLDER, {}, id="switched on again"),
    ],
)
def test_a_call_about_a_part_says_nothing_of_the_rest(
    left: Mapping[Root, bool],
    before: Mapping[str, int],
    records: Mapping[str, RunRecord],
    expected: Mapping[str, int],
) -> None:
    assert make(left, before, records) == expected


@pytest.mark.parametrize(
    ("left", "before", "expected"),
    [
        pytest.param({}, {}, {}, id="everything"),
        pytest.param({Root.WANDB: True}, {}, NO_RUNS, id="the folder alone, after everything"),
        pytest.param({Root.SWEEPS: True}, {}, NO_FOLDER, id="the runs alone, after everything"),
        pytest.param({Root.WANDB: True}, RUNS_OFF, NO_RUNS, id="the folder alone, where runs were switched off"),
        pytest.param({Root.WANDB: False}, {}, RUNS_OFF, id="switched off"),
        pytest.param({}, NO_RUNS, {}, id="everything, after the folder alone"),
    ],
)
def test_a_new_record_claims_nothing_of_what_nobody_looked_at(
    left: Mapping[Root, bool], before: Mapping[str, int], expected: Mapping[str, int]
) -> None:
    assert make(left, before, {**RUNS, **FOLDER}, is_new=True) == expected


def test_failures_count_until_a_call_about_everything_has_none() -> None:
    notice = Problem("y", "special_file", "a note", is_failure=False)
    assert make({}, {}, {}, FAILURE, notice) == {"problem": 1}
    assert make({Root.WANDB: True}, {"problem": 2}, RUNS) == {"problem": 2}
    assert make({Root.WANDB: True}, {"problem": 2}, RUNS, FAILURE, FAILURE, FAILURE) == {"problem": 3}
    assert make({}, {"problem": 2}, RUNS, notice) == {}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [({}, False), (NO_RUNS, True), (NO_FOLDER, True), (RUNS_OFF, False), ({"problem": 1}, True), ({"later": 1}, True)],
    ids=str,
)
def test_only_what_the_configuration_wants_so_is_not_open(scope: Mapping[str, int], *, expected: bool) -> None:
    assert lacks_parts(scope) is expected


@pytest.mark.parametrize("document", [None, [], "x", {"x": "1"}, {"x": True}, {"x": -1}, {"x": 2**63}], ids=str)
def test_what_is_no_scope_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="no list of counts"):
        parse_scope_document(document)
