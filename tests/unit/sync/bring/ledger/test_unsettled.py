"""The record of files that may have changed after they were read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsm.errors import TargetError
from hsm.model import PlanItem, Reason, Root, SourceFile, SyncPlan
from hsm.plan.disk.file_system import SECOND_NS
from hsm.sync.bring.ledger.unsettled import UnsettledFiles, UnsettledRecord, load_unsettled
from hsm.transfer.outcome import TransferResult

NOW = 1_760_000_003 * SECOND_NS + 400_000_000
ERROR = TargetError("It broke.", hint="Again.", kind="failed")


def make_file(path: str, mtime_ns: int = NOW - 3600 * SECOND_NS) -> SourceFile:
    return SourceFile(Root.WANDB, path, "/p/wandb", 5, mtime_ns, 7)


OLD = make_file("old")
RACY = make_file("racy", 1_760_000_003 * SECOND_NS)
FRESH = make_file("fresh", NOW - 300_000_001)


def make_plan(*files: SourceFile, reason: Reason = Reason.SAME) -> SyncPlan:
    return SyncPlan("sweep", items=tuple(PlanItem(file, reason) for file in files))


def begin(path: Path) -> UnsettledFiles:
    unsettled = UnsettledFiles(path)
    unsettled.mark(make_plan(OLD))
    unsettled.begin(NOW)
    return unsettled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sweep.unsettled"


def test_without_a_record_size_and_time_decide(path: Path) -> None:
    plan = make_plan(OLD, RACY)
    assert UnsettledFiles(path).mark(plan) is plan


def test_after_a_kill_only_what_may_have_been_written_since_it_began_is_sent_again(path: Path) -> None:
    begin(path)
    later = make_file("later", NOW + SECOND_NS + 1)
    assert UnsettledFiles(path).mark(make_plan(OLD, RACY, FRESH, later)).sends == (RACY, later)


def test_what_was_left_unsettled_is_sent_until_it_is_verified(path: Path) -> None:
    begin(path).end(make_plan(OLD), TransferResult(unsettled={OLD.key: OLD, RACY.key: None}))
    assert load_unsettled(path) == UnsettledRecord(0, frozenset({OLD.key}))
    unsettled = UnsettledFiles(path)
    plan = unsettled.mark(make_plan(OLD, RACY))
    (item, _) = plan.items
    assert (item.reason, item.detail) == (Reason.TIME, "it was still changing when it was sent")
    assert plan.sends == (OLD,)
    unsettled.begin(NOW)
    unsettled.end(plan, TransferResult(files={OLD.key: OLD}))
    assert not path.exists()


def test_a_transfer_that_did_not_try_a_file_does_not_forget_it(path: Path) -> None:
    begin(path).end(make_plan(OLD), TransferResult(unsettled={OLD.key: OLD}))
    unsettled = UnsettledFiles(path)
    plan = unsettled.mark(make_plan(OLD, reason=Reason.NOT_CHOSEN))
    assert not plan.sends
    unsettled.begin(NOW)
    unsettled.end(plan, TransferResult())
    assert load_unsettled(path).files == {OLD.key}


def test_what_is_somebody_else_s_there_stays(path: Path) -> None:
    begin(path)
    assert UnsettledFiles(path).mark(make_plan(RACY, FRESH), {RACY.key}).sends == ()


@pytest.mark.parametrize("result", [TransferResult(error=ERROR), TransferResult(is_interrupted=True)])
def test_an_error_leaves_what_a_kill_would(path: Path, result: TransferResult) -> None:
    begin(path).end(make_plan(RACY), result)
    assert load_unsettled(path).since_ns == NOW
    unsettled = UnsettledFiles(path)
    plan = unsettled.mark(make_plan(RACY))
    unsettled.begin(NOW + 60 * SECOND_NS)
    assert load_unsettled(path).since_ns == NOW
    unsettled.end(plan, TransferResult(files={RACY.key: RACY}))
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 1}', '{"schema": 1, "since_ns": 1, "files": [["x", "y"]]}'])
def test_a_damaged_record_is_none(path: Path, content: str) -> None:
    path.write_text(content)
    assert load_unsettled(path) == UnsettledRecord()
