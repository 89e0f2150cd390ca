"""The report of a sync: exit codes, counts, and the JSON document."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import ConfigError, ExitCode, UnreachableError
from hsm.model import PlanItem, Problem, Reason, Root, Run, RunState, SourceFile, SyncPlan
from hsm.sync.counts import count_bytes, count_files, count_runs, find_complete_runs
from hsm.sync.reports import (
    State,
    SweepReport,
    SyncReport,
    TargetReport,
    make_document,
    make_error_document,
)
from hsm.transfer.outcome import Outcome, TransferResult

SWEEP = "sweep_20251020_212836"
FINISHED = Run("run-1", "/p/wandb", state=RunState.FINISHED, exit_code=0)
CODES = {
    "0": ExitCode.DONE,
    "1": ExitCode.PARTIAL,
    "2": ExitCode.USAGE,
    "10": ExitCode.UNREACHABLE,
    "11": ExitCode.LOCKED,
    "12": ExitCode.REFUSED,
    "130": ExitCode.INTERRUPTED,
}


def make_report(*codes: list[ExitCode], **more: object) -> SyncReport:
    sweeps = tuple(
        SweepReport(f"s{index}", tuple(TargetReport(f"t{n}", State.DONE, code) for n, code in enumerate(targets)))
        for index, targets in enumerate(codes)
    )
    return SyncReport("sync to", "push", is_dry_run=False, sweeps=sweeps, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sweeps", "expected"),
    [
        pytest.param([], "0", id="nothing asked for"),
        pytest.param([[]], "0", id="no target"),
        pytest.param([["0"]], "0", id="one that is done"),
        pytest.param([["0", "0"], ["0"]], "0", id="all done"),
        pytest.param([["1"]], "1", id="one that is partial"),
        pytest.param([["10"]], "10", id="one that is unreachable"),
        pytest.param([["11", "11"]], "11", id="all locked"),
        pytest.param([["12"], ["12"]], "12", id="all refused, over sweeps"),
        pytest.param([["0", "10"]], "1", id="one done, one unreachable"),
        pytest.param([["10", "11"]], "1", id="both failed, each its way"),
        pytest.param([["0"], ["1"]], "1", id="two sweeps"),
        pytest.param([["0", "130"]], "130", id="one interrupted"),
        pytest.param([["10"], ["130"], ["12"]], "130", id="interrupted wins over all"),
    ],
)
def test_many_codes_make_one(sweeps: list[list[str]], expected: str) -> None:
    report = make_report(*[[CODES[code] for code in codes] for codes in sweeps])
    assert report.exit_code == CODES[expected] == int(expected)
    assert make_document(report, with_plan=False)["exit_code"] == int(expected)


@given(st.lists(st.lists(st.sampled_from(ExitCode), max_size=3), max_size=3))
def test_a_zero_says_that_everything_is_done(sweeps: list[list[ExitCode]]) -> None:
    codes = [code for targets in sweeps for code in targets]
    assert (make_report(*sweeps).exit_code == ExitCode.DONE) is all(code == ExitCode.DONE for code in codes)


def test_an_error_of_the_whole_call_decides() -> None:
    error = UnreachableError("away", hint="wait", kind="connection_timeout", detail="secret")
    report = make_report([ExitCode.DONE], error=error)
    assert report.exit_code == ExitCode.UNREACHABLE
    assert make_document(report, with_plan=False)["error"] == {
        "kind": "connection_timeout",
        "message": "away",
        "hint": "wait",
    }


def test_no_error_is_null() -> None:
    assert make_error_document(None) is None
    assert make_error_document(ConfigError("wrong")) == {"kind": "error", "message": "wrong", "hint": ""}


def make_item(path: str, reason: Reason = Reason.NEW, *, size: int = 10, run: str = "run-1") -> PlanItem:
    return PlanItem(SourceFile(Root.WANDB, path, "/p/wandb", size, 1, 1, run), reason, f"because of {path}")


def make_target(
    items: list[PlanItem],
    outcomes: dict[str, Outcome] | None = None,
    *,
    runs: tuple[Run, ...] = (FINISHED,),
    deeper: dict[str, int] | None = None,
    problems: tuple[Problem, ...] = (),
) -> TargetReport:
    result = None
    if outcomes is not None:
        result = TransferResult(
            {(Root.WANDB, path): outcome for path, outcome in outcomes.items()},
            {(item.file.root, item.file.path): item.file for item in items},
        )
    plan = SyncPlan(SWEEP, runs, tuple(items), deeper or {})
    return TargetReport(
        "desktop",
        State.PARTIAL,
        ExitCode.PARTIAL,
        plan=plan,
        result=result,
        problems=problems,
        seconds={"plan": 1.23456},
    )


ZERO = {
    "planned": 0,
    "sent": 0,
    "unchanged": 0,
    "superseded": 0,
    "excluded": 0,
    "deeper": 0,
    "secret": 0,
    "conflict": 0,
    "not_chosen": 0,
    "no_result": 0,
    "unsettled": 0,
    "failed": 0,
}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(TargetReport("t", State.UNREACHABLE, ExitCode.UNREACHABLE), {}, id="no plan"),
        pytest.param(make_target([]), {}, id="nothing there"),
        pytest.param(
            make_target([make_item(reason.value, reason) for reason in Reason if reason.is_send]),
            {"planned": 5},
            id="planned, not sent",
        ),
        pytest.param(
            make_target([make_item(reason.value, reason) for reason in Reason if not reason.is_send]),
            {
                "unchanged": 2,
                "superseded": 1,
                "excluded": 2,
                "secret": 1,
                "conflict": 1,
                "not_chosen": 1,
                "no_result": 1,
            },
            id="everything that is left",
        ),
        pytest.param(make_target([], deeper={"a": 3, "b": 4}), {"deeper": 7}, id="deeper"),
        pytest.param(
            make_target(
                [make_item(name) for name in "abcdef"],
                {
                    "a": Outcome.SENT,
                    "b": Outcome.SENT,
                    "c": Outcome.UNSETTLED,
                    "d": Outcome.FAILED,
                    "e": Outcome.SKIPPED,
                },
            ),
            {"planned": 6, "sent": 2, "unsettled": 1, "failed": 1, "conflict": 1},
            id="every outcome, and one that an interrupt left open",
        ),
        pytest.param(
            make_target([make_item("a"), make_item("b", Reason.CONFLICT)], {"a": Outcome.SKIPPED}),
            {"planned": 1, "conflict": 2},
            id="conflicts of the plan and of the transfer",
        ),
    ],
)
def test_files_are_counted(target: TargetReport, expected: dict[str, int]) -> None:
    assert count_files(target) == {**ZERO, **expected}


def test_bytes_are_those_planned_and_those_proven() -> None:
    items = [make_item("a", size=1), make_item("b", size=10), make_item("c", Reason.SAME, size=100)]
    assert count_bytes(make_target(items, {"a": Outcome.SENT, "b": Outcome.FAILED})) == {"planned": 11, "sent": 1}
    assert count_bytes(make_target(items)) == {"planned": 11, "sent": 0}
    assert count_bytes(TargetReport("t", State.LOCKED, ExitCode.LOCKED)) == {"planned": 0, "sent": 0}


RUNS = (
    Run("all new", "/p", state=RunState.FINISHED, exit_code=0),
    Run("changed", "/p", state=RunState.FAILED, exit_code=1),
    Run("left", "/p", state=RunState.FINISHED, exit_code=0),
    Run("running", "/p", state=RunState.RUNNING, at_rest=False),
    Run("there", "/p", state=RunState.FINISHED, exit_code=0),
    Run("unknown", "/p", state=RunState.UNKNOWN),
)
RUN_ITEMS = [
    make_item("all new/f", run="all new"),
    make_item("changed/f", Reason.SAME, run="changed"),
    make_item("changed/g", Reason.TIME, run="changed"),
    make_item("left/f", Reason.SAME, run="left"),
    make_item("left/g", Reason.NOT_CHOSEN, run="left"),
    make_item("running/f", run="running"),
    make_item("sweep.yaml", run=""),
    make_item("there/f", Reason.SAME, run="there"),
    make_item("unknown/f", Reason.SAME, run="unknown"),
]


def test_runs_are_counted_by_change_and_by_state() -> None:
    sent = {item.file.path: Outcome.SENT for item in RUN_ITEMS if item.reason.is_send}
    assert count_runs(make_target(RUN_ITEMS, sent, runs=RUNS)) == {
        "total": 6,
        "new": 2,
        "updated": 1,
        "unchanged": 2,
        "not_chosen": 1,
        "finished": 3,
        "failed": 1,
        "running": 1,
        "unknown": 1,
        "complete": 3,
    }


def test_without_a_plan_there_are_no_runs() -> None:
    assert set(count_runs(TargetReport("t", State.LOCKED, ExitCode.LOCKED)).values()) == {0}


@pytest.mark.parametrize(
    ("run", "reason", "outcome", "is_complete"),
    [
        pytest.param(FINISHED, Reason.NEW, Outcome.SENT, True, id="sent"),
        pytest.param(FINISHED, Reason.SAME, None, True, id="there already"),
        pytest.param(FINISHED, Reason.SUPERSEDED, None, True, id="left out as superseded"),
        pytest.param(FINISHED, Reason.EXCLUDED, None, True, id="excluded"),
        pytest.param(FINISHED, Reason.CONFLICT, None, False, id="a conflict"),
        pytest.param(FINISHED, Reason.NEW, None, False, id="planned only"),
        pytest.param(FINISHED, Reason.NEW, Outcome.FAILED, False, id="failed"),
        pytest.param(FINISHED, Reason.NEW, Outcome.UNSETTLED, False, id="unsettled"),
        pytest.param(FINISHED, Reason.NEW, Outcome.SKIPPED, False, id="skipped"),
        pytest.param(
            Run("run-1", "/p", state=RunState.FAILED, exit_code=1),
            Reason.SAME,
            None,
            True,
            id="a failed run has ended",
        ),
        pytest.param(Run("run-1", "/p", state=RunState.RUNNING), Reason.SAME, None, False, id="running"),
        pytest.param(Run("run-1", "/p", state=RunState.UNKNOWN), Reason.SAME, None, False, id="unknown"),
        pytest.param(
            Run("run-1", "/p", state=RunState.FINISHED, exit_code=0, at_rest=False),
            Reason.SAME,
            None,
            False,
            id="its log moved lately",
        ),
    ],
)
def test_a_run_is_complete_when_it_ended_and_all_of_it_is_proven(
    run: Run, reason: Reason, outcome: Outcome | None, is_complete: bool
) -> None:
    target = make_target([make_item("a", reason), make_item("b", Reason.SAME)], runs=(run,))
    outcomes = {(Root.WANDB, "a"): outcome} if outcome is not None else {}
    assert target.plan is not None
    assert find_complete_runs(target.plan, outcomes) == ({"run-1"} if is_complete else set())


def test_the_document_is_the_documented_one() -> None:
    problems = (Problem("a", "unsettled", "It changed.", "Again."), Problem("b", "note", "So.", is_failure=False))
    items = [make_item("a"), make_item("b", Reason.SAME), make_item("c", Reason.SUPERSEDED), make_item("d")]
    target = make_target(items, {"a": Outcome.UNSETTLED}, problems=problems)
    report = SyncReport("sync to", "push", is_dry_run=True, sweeps=(SweepReport(SWEEP, (target,)),))
    document = json.loads(json.dumps(make_document(report, with_plan=True)))
    (sweep,) = document.pop("sweeps")
    assert document == {
        "schema": 1,
        "command": "sync to",
        "direction": "push",
        "dry_run": True,
        "exit_code": 1,
        "error": None,
    }
    assert sweep["sweep"] == SWEEP
    (shown,) = sweep["targets"]
    assert list(shown) == [
        "name",
        "state",
        "exit_code",
        "error",
        "files",
        "bytes",
        "runs",
        "problems",
        "after_sync",
        "streams",
        "seconds",
        "plan",
    ]
    assert (shown["name"], shown["state"], shown["exit_code"]) == ("desktop", "partial", 1)
    assert (shown["files"], shown["bytes"]) == (count_files(target), count_bytes(target))
    assert (shown["runs"], shown["seconds"]) == (count_runs(target), {"plan": 1.235})
    assert shown["problems"] == [
        {"path": "a", "kind": "unsettled", "message": "It changed.", "hint": "Again.", "severity": "failure"},
        {"path": "b", "kind": "note", "message": "So.", "hint": "", "severity": "notice"},
    ]
    assert [(item["path"], item["action"], item["outcome"]) for item in shown["plan"]] == [
        ("a", "send", "unsettled"),
        ("c", "leave", None),
        ("d", "send", None),
    ]
    assert shown["plan"][0] == {
        "root": "wandb",
        "path": "a",
        "bytes": 10,
        "action": "send",
        "reason": "new",
        "detail": "because of a",
        "outcome": "unsettled",
    }


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(make_target([make_item("a")]), id="not asked for"),
        pytest.param(TargetReport("t", State.LOCKED, ExitCode.LOCKED), id="none was made"),
    ],
)
def test_the_plan_is_left_out(target: TargetReport) -> None:
    report = SyncReport("sync to", "push", is_dry_run=False, sweeps=(SweepReport(SWEEP, (target,)),))
    document = json.loads(json.dumps(make_document(report, with_plan=target.plan is None)))
    assert "plan" not in document["sweeps"][0]["targets"][0]


def test_foreign_names_survive_json() -> None:
    target = make_target([make_item("\udcff\n")], {"\udcff\n": Outcome.SENT})
    report = SyncReport("sync to", "push", is_dry_run=False, sweeps=(SweepReport(SWEEP, (target,)),))
    text = json.dumps(make_document(report, with_plan=True))
    assert text.isascii()
    assert json.loads(text)["sweeps"][0]["targets"][0]["plan"][0]["path"] == "\udcff\n"
