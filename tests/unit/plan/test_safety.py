"""The safety checks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hsm.endpoint import Space
from hsm.model import Entry, EntryKind, PlanItem, Problem, Reason, Root, SourceFile, SyncPlan
from hsm.plan.destination import DestinationRoot
from hsm.plan.safety import CHECKS, POSSIBLE_SECRET, check_plan, check_secrets

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


def test_what_a_file_occupies_counts_and_the_folders_that_it_goes_to_are_named() -> None:
    sparse = FILE._replace(size=10**12, disk_bytes=100)
    roots = {
        Root.SWEEPS: DestinationRoot("/d/sweeps", EntryKind.FOLDER, space=Space(99, 9), device="sda1"),
        Root.WANDB: DestinationRoot("/d/wandb", EntryKind.FOLDER, space=Space(99, 9), device="sda1"),
    }
    config = FILE._replace(root=Root.SWEEPS, path="c", size=0)
    plan = SyncPlan("s", items=(PlanItem(config, Reason.NEW), PlanItem(sparse, Reason.NEW)))
    (refusal,) = check_plan(plan, roots)
    assert refusal.message == "/d/wandb needs 100 bytes, 99 are free: 1 are missing."
    both = SyncPlan("s", items=(PlanItem(config._replace(size=7), Reason.NEW), PlanItem(sparse, Reason.NEW)))
    (refusal,) = check_plan(both, roots)
    assert refusal.message.startswith("/d/sweeps and /d/wandb need 107 bytes")
    enough = {root: replace(there, space=Space(100, 9)) for root, there in roots.items()}
    assert check_plan(plan, enough) == ()


def test_two_disks_with_as_much_room_are_two() -> None:
    plan = SyncPlan("s", items=tuple(PlanItem(FILE._replace(root=root), Reason.NEW) for root in Root))
    there = DestinationRoot("/d", EntryKind.FOLDER, space=Space(150, 9))
    assert check_plan(plan, {root: replace(there, device=root.value) for root in Root}) == ()


def make_found(*paths: str) -> list[Problem]:
    return [Problem(path, POSSIBLE_SECRET, "Line 1 ...", is_failure=False) for path in paths]


@pytest.mark.parametrize(
    ("problems", "end"),
    [
        pytest.param(make_found("a"), ": a.", id="one"),
        pytest.param(make_found("a", "a", "b"), ": a, b.", id="each file once"),
        pytest.param(make_found(*"abcdef"), ": a, b, c, d, e, and more.", id="many"),
        pytest.param(make_found("a", ""), ": a, and more.", id="summed up by the scan"),
        pytest.param([Problem("c", "conflict", "..."), *make_found("a")], ": a.", id="others do not count"),
    ],
)
def test_files_that_seem_to_hold_secrets_are_refused_by_name(problems: list[Problem], end: str) -> None:
    (refusal,) = check_secrets(problems)
    assert refusal.check in CHECKS
    assert refusal.message.endswith(end)
    assert f"--allow {refusal.check}" in refusal.hint


def test_other_problems_are_no_secrets() -> None:
    assert check_secrets([Problem("c", "conflict", "..."), Problem("s", "secret", "...", is_failure=False)]) == ()


@pytest.mark.parametrize(
    ("known", "checks"),
    [(["run-1"], ["source-empty"]), (["", "run-1"], ["source-empty"]), ([""], []), ([], [])],
)
def test_runs_that_were_proven_and_are_gone_from_the_source_are_missed(known: list[str], checks: list[str]) -> None:
    there = DestinationRoot("/d", EntryKind.FOLDER)
    assert [refusal.check for refusal in check_plan(SyncPlan("s"), {Root.WANDB: there}, known=known)] == checks
