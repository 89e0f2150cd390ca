"""The safety checks."""

from __future__ import annotations

import pytest

from hsm.endpoint import Space
from hsm.model import Entry, EntryKind, PlanItem, Reason, Root, SourceFile, SyncPlan
from hsm.plan.destination import DestinationRoot
from hsm.plan.safety import CHECKS, check_plan

FILE = SourceFile(Root.WANDB, "run-1/f", "/p/wandb", 100, 1, 1, "run-1")
THERE = {"run-1/f": Entry("run-1/f", EntryKind.FILE, 1, 1, 1)}


@pytest.mark.parametrize(
    ("there", "reason", "checks"),
    [
        pytest.param(DestinationRoot("/d", EntryKind.FOLDER), Reason.NEW, [], id="unknown space"),
        pytest.param(DestinationRoot("/d", EntryKind.FOLDER, space=Space(100, 1)), Reason.NEW, [], id="just enough"),
        pytest.param(
            DestinationRoot("/d", EntryKind.FOLDER, space=Space(99, 1)), Reason.NEW, ["space"], id="a byte short"
        ),
        pytest.param(
            DestinationRoot("/d", EntryKind.FOLDER, space=Space(100, 0)),
            Reason.NEW,
            ["inodes"],
            id="an inode short",
        ),
        pytest.param(
            DestinationRoot("/d", EntryKind.FOLDER, entries=THERE, space=Space(100, 0)),
            Reason.SIZE,
            [],
            id="replacing a file needs no inode",
        ),
        pytest.param(DestinationRoot("/d", EntryKind.FILE), Reason.NEW, ["destination-type"], id="root is a file"),
        pytest.param(
            DestinationRoot("/d", None, nearest=EntryKind.FILE), Reason.NEW, ["destination-type"], id="file above"
        ),
        pytest.param(DestinationRoot("/d", None), Reason.NEW, [], id="root will be made"),
    ],
)
def test_a_plan_is_refused(there: DestinationRoot, reason: Reason, checks: list[str]) -> None:
    plan = SyncPlan("s", items=(PlanItem(FILE, reason),))
    assert [refusal.check for refusal in check_plan(plan, {Root.WANDB: there})] == checks
    assert set(checks) <= set(CHECKS)


def test_an_empty_source_is_refused_while_the_target_has_files() -> None:
    there = DestinationRoot("/d", EntryKind.FOLDER, entries=THERE)
    assert [refusal.check for refusal in check_plan(SyncPlan("s"), {Root.WANDB: there})] == ["source-empty"]
    assert check_plan(SyncPlan("s"), {Root.WANDB: DestinationRoot("/d", EntryKind.FOLDER)}) == ()


def test_two_roots_of_one_file_system_share_its_space() -> None:
    other = FILE._replace(root=Root.SWEEPS)
    plan = SyncPlan("s", items=(PlanItem(other, Reason.NEW), PlanItem(FILE, Reason.NEW)))
    there = DestinationRoot("/d", EntryKind.FOLDER, space=Space(150, 9))
    refusals = check_plan(plan, {Root.SWEEPS: there, Root.WANDB: there})
    assert [refusal.check for refusal in refusals] == ["space"]
    assert "50 are missing" in refusals[0].message
