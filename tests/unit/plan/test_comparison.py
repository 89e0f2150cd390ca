"""Files whose size is the same at both ends: what their times tell, and what only their content tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from hsm.model import Entry, EntryKind, Reason, Root, Run, SourceFile, SweepInventory, SyncPlan
from hsm.plan.choice import RunChoice
from hsm.plan.destination import DestinationRoot
from hsm.plan.digest import make_digest
from hsm.plan.disk.file_system import SECOND_NS, FileSystem
from hsm.plan.planner import PlanOptions, make_plan

T = 1_760_000_001_123_456_789  # an odd second
CUT = T - T % SECOND_NS
HOUR = 3600 * SECOND_NS
FINE = FileSystem()
SECONDS = FileSystem(step_ns=SECOND_NS, earliest_ns=0, latest_ns=(2**31 - 1) * SECOND_NS)
NTFS = FileSystem(step_ns=100)


def make_file(name: str, mtime_ns: int = T) -> SourceFile:
    return SourceFile(Root.WANDB, f"run-1/{name}", "/p/wandb", 10, mtime_ns, 1, "run-1")


def plan(
    files: list[SourceFile],
    there: Mapping[str, int],
    disk: FileSystem | None,
    options: PlanOptions | None = None,
) -> SyncPlan:
    """Plan files of ten bytes against files of ten bytes, given by their names and times."""
    entries = {f"run-1/{name}": Entry(f"run-1/{name}", EntryKind.FILE, 10, time, 7) for name, time in there.items()}
    inventory = SweepInventory("s", runs=(Run("run-1", "/p/wandb"),), files=tuple(files))
    root = DestinationRoot("/d", EntryKind.FOLDER, entries=entries)
    disks = {} if disk is None else {Root.WANDB: disk}
    return make_plan(inventory, {Root.WANDB: root}, replace(options or PlanOptions(), file_systems=disks))


def sum_up(result: SyncPlan) -> tuple[dict[str, Reason], set[str]]:
    reasons = {item.file.path.removeprefix("run-1/"): item.reason for item in result.items}
    return reasons, {file.path.removeprefix("run-1/") for file in result.doubts}


ALONE = {
    "the very same": (T, T, FINE, Reason.SAME, False),
    "whole seconds": (T, CUT, SECONDS, Reason.SAME, False),
    "100 ns": (T, T - 89, NTFS, Reason.SAME, False),
    "one second older": (CUT, CUT - SECOND_NS, SECONDS, Reason.TIME, True),
    "days older": (T, T - 10**15, SECONDS, Reason.TIME, False),
    "newer": (T, T + 10**15, FINE, Reason.CONFLICT, True),
    "an hour newer": (T, CUT + HOUR, SECONDS, Reason.CONFLICT, True),
    "an hour older": (T, CUT - HOUR, SECONDS, Reason.TIME, True),
    "cut where nothing is cut": (T, CUT, FINE, Reason.TIME, True),
    "a time that cannot be kept": (-HOUR, 0, SECONDS, Reason.TIME, True),
    "nothing measured, cut": (T, CUT, None, Reason.TIME, True),
    "nothing measured, the very same": (T, T, None, Reason.SAME, False),
    "nothing measured, days older": (T, T - 10**15, None, Reason.TIME, False),
}


@pytest.mark.parametrize(("here", "there", "disk", "reason", "is_doubt"), ALONE.values(), ids=ALONE.keys())
def test_a_file_of_a_run_that_nobody_has_verified(
    here: int, there: int, disk: FileSystem | None, reason: Reason, is_doubt: bool
) -> None:
    result = plan([make_file("a", here)], {"a": there}, disk)
    assert sum_up(result) == ({"a": reason}, {"a"} if is_doubt else set())
    assert result.asks_file_system is (disk is None and here != there and abs(here - there) < 10**15)


@pytest.mark.parametrize("name", [name for name, case in ALONE.items() if case[4]])
def test_equal_content_settles_a_doubt_and_other_content_too(name: str) -> None:
    here, there, disk, reason, _ = ALONE[name]
    file = make_file("a", here)
    equal = plan([file], {"a": there}, disk, PlanOptions(equal=frozenset({file.key})))
    assert sum_up(equal) == ({"a": Reason.SAME}, set())
    assert equal.problems == ()
    different = plan([file], {"a": there}, disk, PlanOptions(different=frozenset({file.key})))
    assert sum_up(different) == ({"a": reason}, set())


def test_what_overwrites_is_not_read_before() -> None:
    result = plan([make_file("a")], {"a": T + 10**15}, FINE, PlanOptions(overwrite=True))
    assert sum_up(result) == ({"a": Reason.OVERWRITE}, set())


PROVEN = {
    "as it was verified": (["a", "b"], ["a", "b"], set()),
    "another time was verified": (["a before", "b"], ["a", "b"], {"a"}),
    "a file of it is gone here": (["a", "b", "c"], ["a", "b"], {"a"}),
    "a verified file is gone there": (["a", "b"], ["a"], set()),
    "nothing was verified": (None, ["a", "b"], set()),
}


@pytest.mark.parametrize(("proven", "names_there", "doubts"), PROVEN.values(), ids=PROVEN.keys())
def test_a_change_that_a_cut_time_hides_is_a_doubt_where_the_run_is_not_as_it_was_verified(
    proven: list[str] | None, names_there: list[str], doubts: set[str]
) -> None:
    """The time of `a` is cut there, so that it looks the same as one written earlier in that second."""
    known = {name: make_file(name) for name in "ac"} | {"b": make_file("b", CUT), "a before": make_file("a", CUT + 1)}
    digests = {} if proven is None else {"run-1": make_digest([known[name] for name in proven])}
    result = plan([known["a"], known["b"]], dict.fromkeys(names_there, CUT), SECONDS, PlanOptions(proven=digests))
    assert sum_up(result)[1] == doubts
    assert {file.path for file in result.sends} == {f"run-1/{name}" for name in doubts | ({"a", "b"} - {*names_there})}


@pytest.mark.parametrize("disk", [SECONDS, None], ids=["measured", "not measured"])
def test_a_time_that_cannot_be_kept_is_known_once_it_was_verified(disk: FileSystem | None) -> None:
    file = make_file("a", -HOUR)
    result = plan([file], {"a": 0}, disk, PlanOptions(proven={"run-1": make_digest([file])}))
    assert sum_up(result) == ({"a": Reason.SAME}, set())


def test_one_changed_file_does_not_send_its_run_again() -> None:
    files = [make_file("log", T + 5 * SECOND_NS), make_file("best.ckpt"), make_file("x")]
    before = {"run-1": make_digest([files[0]._replace(mtime_ns=T), *files[1:]])}
    there = {"log": CUT, "best.ckpt": CUT, "x": CUT}
    asked = plan(files, there, SECONDS, PlanOptions(proven=before))
    assert sum_up(asked)[1] == {"best.ckpt", "x"}
    known = PlanOptions(proven=before, equal=frozenset({files[1].key}), different=frozenset({files[2].key}))
    settled = plan(files, there, SECONDS, known)
    assert sum_up(settled) == ({"log": Reason.TIME, "best.ckpt": Reason.SAME, "x": Reason.TIME}, set())


def test_what_is_not_chosen_is_not_asked_for() -> None:
    choice = RunChoice(exclude=("b",))
    result = plan([make_file("a"), make_file("b")], {"a": T + HOUR, "b": T + HOUR}, FINE, PlanOptions(choice=choice))
    assert sum_up(result)[1] == {"a"}
