"""Names that a destination takes for one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import Entry, EntryKind, Problem, Reason, Root, Run, SourceFile, SweepInventory, SyncPlan
from hsm.plan.destination import DestinationRoot
from hsm.plan.disk.collisions import find_collisions, make_collision_problems
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.planner import PlanOptions, make_plan

NFC, NFD = "caf\u00e9", "cafe\u0301"


BOTH = FileSystem(folds_case=True, folds_unicode=True)
CASE = FileSystem(folds_case=True)
FORM = FileSystem(folds_unicode=True)
HFS = FileSystem(folds_case=True, folds_unicode=True, unicode_form="NFD")


def pairs(paths: Iterable[str], there: Iterable[str] = (), disk: FileSystem = BOTH) -> dict[str, tuple[str, str]]:
    return {path: (found.part, found.other) for path, found in find_collisions(paths, there, disk).items()}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param(["a", "b", "c/a"], {}, id="none"),
        pytest.param(["a", "A"], {"a": ("a", "A"), "A": ("A", "a")}, id="case"),
        pytest.param([NFC, NFD], {NFC: (NFC, NFD), NFD: (NFD, NFC)}, id="Unicode form"),
        pytest.param([NFC.upper(), NFD], {NFC.upper(): (NFC.upper(), NFD), NFD: (NFD, NFC.upper())}, id="both"),
        pytest.param(["A/x", "a/y"], {"A/x": ("A", "a"), "a/y": ("a", "A")}, id="folders"),
        pytest.param(
            ["d/A/x", "d/a/x", "d/b"], {"d/A/x": ("d/A", "d/a"), "d/a/x": ("d/a", "d/A")}, id="folders in a folder"
        ),
        pytest.param(["A", "a/x"], {"A": ("A", "a"), "a/x": ("a", "A")}, id="a folder and a file"),
        pytest.param(["a/x", "\u00c4/x"], {}, id="another letter is another name"),
        pytest.param(["x.PNG", "X.png"], {"x.PNG": ("x.PNG", "X.png"), "X.png": ("X.png", "x.PNG")}, id="endings"),
    ],
)
def test_neither_of_two_spellings_is_sent(paths: list[str], expected: dict[str, tuple[str, str]]) -> None:
    assert pairs(paths) == expected
    assert pairs(reversed(paths)) == expected


@pytest.mark.parametrize(
    ("disk", "paths", "n_found"),
    [
        (FileSystem(), ["a", "A", NFC, NFD], 0),
        (CASE, ["a", "A", NFC, NFD], 2),
        (FORM, ["a", "A", NFC, NFD], 2),
        (CASE, [NFC, NFC.upper()], 2),
        (FORM, [NFC, NFD.upper()], 0),
    ],
)
def test_only_what_the_disk_folds_collides(disk: FileSystem, paths: list[str], n_found: int) -> None:
    assert len(pairs(paths, disk=disk)) == n_found


@pytest.mark.parametrize(
    ("paths", "there", "disk", "expected"),
    [
        pytest.param(["a"], ["a"], BOTH, {}, id="the same spelling"),
        pytest.param(["a"], ["A"], BOTH, {"a": ("a", "A")}, id="another spelling"),
        pytest.param(["a/x"], ["A", "A/y"], BOTH, {"a/x": ("a", "A")}, id="a folder of another spelling"),
        pytest.param(["r/a/x"], ["r", "r/a", "r/a/X"], BOTH, {"r/a/x": ("r/a/x", "r/a/X")}, id="deep"),
        pytest.param(["A", "a"], ["a"], BOTH, {"A": ("A", "a"), "a": ("a", "A")}, id="one of two came before"),
        pytest.param([NFC], [NFD], FORM, {NFC: (NFC, NFD)}, id="another form, on a disk that keeps forms"),
        pytest.param([NFC], [NFD], HFS, {}, id="another form, on a disk that shows no other"),
        pytest.param([NFC], [NFD.upper()], HFS, {NFC: (NFC, NFD.upper())}, id="case, on a disk that shows one form"),
        pytest.param(["a"], ["A"], FileSystem(), {}, id="a disk that tells them apart"),
    ],
)
def test_what_is_there_in_another_spelling_stays(
    paths: list[str], there: list[str], disk: FileSystem, expected: dict[str, tuple[str, str]]
) -> None:
    assert pairs(paths, there, disk) == expected


letters = st.sampled_from(["a", "A", "b", "/", "\u00e9", "e\u0301", "\udcff"])
names = st.lists(letters, min_size=1, max_size=6).map("".join)
trees = st.lists(names.map(lambda text: "/".join(filter(None, text.split("/")))).filter(bool), unique=True).map(
    lambda paths: [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
)


@given(trees, st.sets(names))
def test_what_goes_has_one_spelling_and_what_is_left_has_a_reason(paths: list[str], there: set[str]) -> None:
    left = find_collisions(paths, there, BOTH)
    going = [path for path in paths if path not in left]
    spelled = {"/".join(parts[: n + 1]) for path in going for parts in [path.split("/")] for n in range(len(parts))}
    assert len({BOTH.fold(path) for path in spelled | there}) >= len(spelled), "each name has one spelling"
    assert all(path in spelled or BOTH.fold(path) not in set(map(BOTH.fold, spelled)) for path in there)
    for path, found in left.items():
        assert found.part != found.other
        assert BOTH.fold(found.part) == BOTH.fold(found.other)
        assert path == found.part or path.startswith(f"{found.part}/")


@given(names)
def test_all_spellings_fold_to_one(name: str) -> None:
    folded = BOTH.fold(name)
    assert BOTH.fold(folded) == folded
    assert BOTH.fold(name.swapcase()) == folded
    assert BOTH.fold(unicodedata.normalize("NFC", name)) == folded == BOTH.fold(unicodedata.normalize("NFD", name))


def test_every_left_file_or_folder_is_one_failure() -> None:
    found = find_collisions(["a/x", "a/y", "A/x", "c/d"], ["c", "c/D"], CASE)
    problems = make_collision_problems(found)
    assert [(problem.path, problem.kind) for problem in problems] == [
        ("A", "name_collision"),
        ("a", "name_collision"),
        ("c/d", "name_collision"),
    ]
    assert all(problem.is_failure for problem in problems)
    assert problems[0].message == "At the destination this would be the same name as a."
    assert problems[2].message == "At the destination this is the same name as c/D, which is there and stays."


def make_file(path: str, mtime_ns: int = 5) -> SourceFile:
    run = path.partition("/")[0]
    return SourceFile(Root.WANDB, path, "/p/wandb", 1, mtime_ns, 1, run)


def plan(paths: list[str], *entries: Entry, disk: FileSystem | None = BOTH, exclude: tuple[str, ...] = ()) -> SyncPlan:
    files = tuple(map(make_file, paths))
    inventory = SweepInventory("s", runs=tuple(Run(name, "/p/wandb") for name in {f.run for f in files}), files=files)
    there = DestinationRoot("/d", EntryKind.FOLDER, entries={entry.path: entry for entry in entries})
    disks = {} if disk is None else {Root.WANDB: disk}
    return make_plan(inventory, {Root.WANDB: there}, PlanOptions(file_systems=disks, exclude=exclude))


def reasons(result: SyncPlan) -> dict[str, Reason]:
    return {item.file.path: item.reason for item in result.items}


def test_the_plan_leaves_and_names_what_collides() -> None:
    result = plan(["run-A/x", "run-a/x", "run-b/Y", "run-b/y", "run-b/z"])
    assert reasons(result) == {
        "run-A/x": Reason.CONFLICT,
        "run-a/x": Reason.CONFLICT,
        "run-b/Y": Reason.CONFLICT,
        "run-b/y": Reason.CONFLICT,
        "run-b/z": Reason.NEW,
    }
    assert [problem.path for problem in result.problems] == ["run-A", "run-a", "run-b/Y", "run-b/y"]
    assert result.items[1].detail == "its name is the same there as that of run-A"


@pytest.mark.parametrize("disk", [FileSystem(), None], ids=["tells them apart", "not measured"])
def test_elsewhere_all_spellings_are_sent(disk: FileSystem | None) -> None:
    result = plan(["run-A/x", "run-a/x", f"r/{NFC}", f"r/{NFD}"], disk=disk)
    assert set(reasons(result).values()) == {Reason.NEW}
    assert result.problems == ()


def test_what_is_left_anyway_takes_no_name() -> None:
    assert reasons(plan(["r/X", "r/x"], exclude=("X",))) == {"r/X": Reason.EXCLUDED, "r/x": Reason.NEW}


def test_what_is_there_in_another_spelling_is_never_replaced() -> None:
    result = plan(["r/Model"], Entry("r/model", EntryKind.FILE, 7, 1, 1))
    assert reasons(result) == {"r/Model": Reason.CONFLICT}
    assert [problem.path for problem in result.problems] == ["r/Model"]


def test_a_disk_that_shows_another_form_has_the_file_all_the_same() -> None:
    shown = [Entry(f"r/{NFD}", EntryKind.FOLDER, 0, 0, 1), Entry(f"r/{NFD}/f", EntryKind.FILE, 1, 5, 1)]
    assert reasons(plan([f"r/{NFC}/f"], *shown, disk=HFS)) == {f"r/{NFC}/f": Reason.SAME}
    blocked = plan([f"r/{NFC}/f"], Entry(f"r/{NFD}", EntryKind.SYMLINK, 0, 0, 1), disk=HFS)
    assert reasons(blocked) == {f"r/{NFC}/f": Reason.CONFLICT}


def test_elsewhere_another_spelling_is_another_file() -> None:
    entry = Entry(f"r/{NFD}", EntryKind.FILE, 1, 5, 1)
    assert reasons(plan([f"r/{NFC}"], entry, disk=FileSystem())) == {f"r/{NFC}": Reason.NEW}


def test_a_folder_that_is_unreadable_as_it_is_shown_is_in_the_way() -> None:
    there = DestinationRoot("/d", EntryKind.FOLDER, problems=(Problem(f"r/{NFD}", "unreadable", "x"),))
    inventory = SweepInventory("s", runs=(Run("r", "/p"),), files=(make_file(f"r/{NFC}/f"),))
    result = make_plan(inventory, {Root.WANDB: there}, PlanOptions(file_systems={Root.WANDB: HFS}))
    assert reasons(result) == {f"r/{NFC}/f": Reason.CONFLICT}


def test_names_that_the_destination_refuses_are_named_with_their_rule() -> None:
    result = plan(["r/a:b", "r/c"], disk=FileSystem(refused=(":",)))
    assert reasons(result) == {"r/a:b": Reason.CONFLICT, "r/c": Reason.NEW}
    assert [(problem.path, problem.kind) for problem in result.problems] == [("r/a:b", "name_refused")]
    assert result.items[0].detail == "the destination cannot have a name with a `:`"
