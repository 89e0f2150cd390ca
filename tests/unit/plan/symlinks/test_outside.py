"""What a source that is not trusted may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import Entry, EntryKind, FolderLink, Gap, GapReason, Reason, Root, Run, SourceFile, SweepInventory
from hsm.plan.destination import DestinationRoot
from hsm.plan.notices import MOST_NAMED
from hsm.plan.planner import PlanOptions, make_plan
from hsm.plan.symlinks.outside import drop_bad_names, leads_out

SWEEP = "sweep_1"
T = 1_760_000_000_000_000_000


def make_file(path: str, *, root: Root = Root.WANDB, run: str = "run-1", real: str | None = None) -> SourceFile:
    links = ("there",) if real is not None else ()
    return SourceFile(root, path, "/p", 1, T, 1, run, real is not None, links, real or "")


@pytest.mark.parametrize(
    "path",
    [
        "run-1/../../x",
        "run-1/..",
        "../run-1/x",
        "/run-1/x",
        "run-1//x",
        "run-1/./x",
        "run-1/",
        "run-1",
        "",
        ".",
        "run-2/x",
        "run-1/a\0b",
    ],
)
def test_names_that_would_leave_the_run_are_left_out_and_named(path: str) -> None:
    good = make_file("run-1/files/x")
    result = drop_bad_names(SweepInventory(SWEEP, runs=(Run("run-1", "/p"),), files=(good, make_file(path))))
    assert result.files == (good,)
    assert [(problem.path, problem.kind, problem.is_failure) for problem in result.problems] == [
        (path, "bad_name", True)
    ]


def test_what_is_said_of_a_run_that_is_none_makes_no_record() -> None:
    lacks = [Gap(run, f"{run}/x", GapReason.DANGLING) for run in ("run-1", "", "..", "run-2")]
    links = [FolderLink(run, f"{run}/y", "/etc") for run in ("run-1", "../..")]
    made = SweepInventory(SWEEP, runs=(Run("run-1", "/p"),), gaps=tuple(lacks), links=tuple(links))
    result = drop_bad_names(made)
    assert ([gap.run for gap in result.gaps], [link.run for link in result.links]) == (["run-1", ""], ["run-1"])
    assert [(problem.path, problem.is_failure) for problem in result.problems] == [
        ("../x", True),
        ("run-2/x", True),
        ("../../y", True),
    ]
    assert drop_bad_names(result) is result


@pytest.mark.parametrize(
    ("path", "is_good"),
    [
        (f"outputs/{SWEEP}/x", True),
        (f"outputs/{SWEEP}/a/b", True),
        ("outputs/sweep_2/x", False),
        (f"outputs/{SWEEP}", False),
        (f"outputs/{SWEEP}/../x", False),
        (f"other/{SWEEP}/x", False),
    ],
)
def test_files_of_a_sweep_stay_in_its_folder(path: str, is_good: bool) -> None:
    file = make_file(path, root=Root.SWEEPS, run="")
    assert bool(drop_bad_names(SweepInventory(SWEEP, files=(file,))).files) is is_good


@pytest.mark.parametrize("name", ["..", ".", "", "x", "run-1/..", "latest-run"])
def test_a_run_has_the_name_of_one(name: str) -> None:
    result = drop_bad_names(SweepInventory(SWEEP, runs=(Run(name, "/p"), Run("offline-run-1", "/p"))))
    assert [run.name for run in result.runs] == ["offline-run-1"]


@given(st.lists(st.text(max_size=8), max_size=5))
def test_whatever_is_kept_lies_below_its_run(parts: list[str]) -> None:
    path = "/".join(parts)
    kept = drop_bad_names(SweepInventory(SWEEP, files=(make_file(path, run=parts[0] if parts else ""),))).files
    for file in kept:
        assert file.path.startswith("run-") or file.path.startswith("offline-run-")
        assert not {"", ".", ".."} & set(file.path.split("/"))


@pytest.mark.parametrize(
    ("real", "is_out"),
    [
        (None, False),
        ("/home/me/project/best.ckpt", False),
        ("/home/me/project", True),
        ("/home/me/project2/best.ckpt", True),
        ("/etc/passwd", True),
        ("", True),
    ],
)
def test_a_symlink_leads_out_unless_it_is_known_to_stay(real: str | None, is_out: bool) -> None:
    assert leads_out(make_file("run-1/x", real=real), ["/data/wandb", "/home/me/project"]) is is_out


def make_there(*entries: Entry) -> dict[Root, DestinationRoot]:
    return {Root.WANDB: DestinationRoot("/d", EntryKind.FOLDER, entries={entry.path: entry for entry in entries})}


def test_symlinks_that_lead_out_are_left_and_the_first_ones_are_named() -> None:
    files = [make_file(f"run-1/{number:03}", real="/etc/passwd") for number in range(MOST_NAMED + 5)]
    inventory = SweepInventory(SWEEP, runs=(Run("run-1", "/p"),), files=(*files, make_file("run-1/x", real="/p/x")))
    followed = make_plan(inventory, make_there(), PlanOptions())
    assert {item.reason for item in followed.items} == {Reason.NEW}
    plan = make_plan(inventory, make_there(), PlanOptions(link_folders=("/p",)))
    assert [file.path for file in plan.sends] == ["run-1/x"]
    assert {item.reason for item in plan.items} == {Reason.NEW, Reason.EXCLUDED}
    assert len(plan.problems) == MOST_NAMED + 1
    assert {(problem.kind, problem.is_failure) for problem in plan.problems} == {("link_outside", False)}
    assert "5 more" in plan.problems[-1].message


@pytest.mark.parametrize("later_ns", [-(10**9), 10**9], ids=["older there", "newer there"])
def test_what_came_from_elsewhere_is_a_conflict_whichever_is_newer(later_ns: int) -> None:
    inventory = SweepInventory(SWEEP, runs=(Run("run-1", "/p"),), files=(make_file("run-1/x"),))
    there = make_there(Entry("run-1/x", EntryKind.FILE, 2, T + later_ns, 1))
    key = (Root.WANDB, "run-1/x")
    (kept,) = make_plan(inventory, there, PlanOptions(foreign={key: "it came from lab"})).items
    assert (kept.reason, kept.detail) == (Reason.CONFLICT, "it came from lab")
    (taken,) = make_plan(inventory, there, PlanOptions(foreign={key: "it came from lab"}, overwrite=True)).items
    assert taken.reason is Reason.OVERWRITE
    (equal,) = make_plan(inventory, there, PlanOptions(equal=frozenset({key}))).items
    assert equal.reason is Reason.SAME
