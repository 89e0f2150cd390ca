"""Names that a destination takes for one."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import Entry, EntryKind, Problem, Reason, Root, Run, SourceFile, SweepInventory, SyncPlan
from hsm.plan.collisions import find_collisions, fold_name, folds_names, make_collision_problems
from hsm.plan.destination import DestinationRoot
from hsm.plan.planner import PlanOptions, make_plan

NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        pytest.param(["a", "b", "c/a"], {}, id="none"),
        pytest.param(["a", "A"], {"a": "A"}, id="case"),
        pytest.param([NFC, NFD], {NFC: NFD}, id="Unicode form"),
        pytest.param([NFC.upper(), NFD], {NFD: NFC.upper()}, id="both"),
        pytest.param(["a", "A", "\u212b", "\u00c5"], {"a": "A", "\u212b": "\u00c5"}, id="two groups"),
        pytest.param(["A/x", "a/x"], {"a/x": "A"}, id="folder with the same file"),
        pytest.param(["A/x", "a/y"], {"a/y": "A"}, id="folder with another file"),
        pytest.param(["d/A/x", "d/a/x", "d/b"], {"d/a/x": "d/A"}, id="folder in a folder"),
        pytest.param(["A/b", "a/B/y"], {"a/B/y": "A"}, id="what is below a left folder takes no name"),
        pytest.param(["A/b/x", "a/B/y"], {"a/B/y": "A"}, id="nor do folders below it"),
        pytest.param(["A", "a/x"], {"A": "a"}, id="a folder goes before a file"),
        pytest.param(["a/x", "A/x", "\u00c4/x"], {"a/x": "A"}, id="another letter is another name"),
        pytest.param(["x.PNG", "X.png", "x.png"], {"X.png": "X.png", "x.PNG": "X.png", "x.png": "X.png"}, id="three"),
    ],
)
def test_collisions(paths: list[str], expected: dict[str, str]) -> None:
    expected = {path: other for path, other in expected.items() if path != other}
    assert find_collisions(paths) == expected
    assert find_collisions(reversed(paths)) == expected


@pytest.mark.parametrize(
    ("paths", "there", "expected"),
    [
        pytest.param(["A", "a"], {"a"}, {"A": "a"}, id="file"),
        pytest.param(["A", "a"], {"a", "A"}, {"a": "A"}, id="both are there"),
        pytest.param(["A/x", "a/x"], {"a"}, {"A/x": "a"}, id="folder"),
        pytest.param(["A/b/x", "a/B/y"], {"a"}, {"A/b/x": "a"}, id="what is below the other takes no name"),
        pytest.param(["A", "a"], {"b"}, {"a": "A"}, id="something else"),
    ],
)
def test_what_is_there_already_goes(paths: list[str], there: set[str], expected: dict[str, str]) -> None:
    assert find_collisions(paths, there) == expected


letters = st.sampled_from(["a", "A", "b", "/", "\u00e9", "e\u0301", "\udcff"])
names = st.lists(letters, min_size=1, max_size=6).map("".join)
trees = st.lists(names.map(lambda text: "/".join(filter(None, text.split("/")))).filter(bool), unique=True).map(
    lambda paths: [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
)


@given(trees, st.sets(names))
def test_what_goes_has_one_spelling_and_what_is_left_has_a_reason(paths: list[str], there: set[str]) -> None:
    left = find_collisions(paths, there)
    going = [path for path in paths if path not in left]
    spelled = {"/".join(parts[: n + 1]) for path in going for parts in [path.split("/")] for n in range(len(parts))}
    assert len({fold_name(path) for path in spelled}) == len(spelled), "each name has one spelling"
    for path, other in left.items():
        own = "/".join(path.split("/")[: other.count("/") + 1])
        assert own != other
        assert fold_name(own) == fold_name(other)
        assert other in spelled, "what takes the name goes itself"


@given(names)
def test_all_spellings_fold_to_one(name: str) -> None:
    folded = fold_name(name)
    assert fold_name(folded) == folded
    assert fold_name(name.swapcase()) == folded
    assert fold_name(unicodedata.normalize("NFC", name)) == folded == fold_name(unicodedata.normalize("NFD", name))


def test_every_left_file_or_folder_is_one_failure() -> None:
    problems = make_collision_problems({"a/x": "A", "a/y": "A", "c/d": "c/D"})
    assert [(problem.path, problem.kind) for problem in problems] == [
        ("a", "name_collision"),
        ("c/d", "name_collision"),
    ]
    assert all(problem.is_failure for problem in problems)
    assert problems[1].message.endswith("c/D.")


@pytest.mark.parametrize(("system", "expected"), [("Darwin", True), ("Linux", False), ("", False)])
def test_which_systems_fold_names(system: str, expected: bool) -> None:
    assert folds_names(system) is expected


def make_file(path: str, mtime_ns: int = 5) -> SourceFile:
    run = path.partition("/")[0]
    return SourceFile(Root.WANDB, path, "/p/wandb", 1, mtime_ns, 1, run)


def plan(paths: list[str], *entries: Entry, folds: bool = True, exclude: tuple[str, ...] = ()) -> SyncPlan:
    files = tuple(map(make_file, paths))
    inventory = SweepInventory("s", runs=tuple(Run(name, "/p/wandb") for name in {f.run for f in files}), files=files)
    there = DestinationRoot("/d", EntryKind.FOLDER, entries={entry.path: entry for entry in entries})
    return make_plan(inventory, {Root.WANDB: there}, PlanOptions(folds_names=folds, exclude=exclude))


def reasons(result: SyncPlan) -> dict[str, Reason]:
    return {item.file.path: item.reason for item in result.items}


def test_the_plan_leaves_and_names_what_collides() -> None:
    result = plan(["run-A/x", "run-a/x", "run-b/Y", "run-b/y"])
    assert reasons(result) == {
        "run-A/x": Reason.NEW,
        "run-a/x": Reason.CONFLICT,
        "run-b/Y": Reason.NEW,
        "run-b/y": Reason.CONFLICT,
    }
    assert [problem.path for problem in result.problems] == ["run-a", "run-b/y"]
    assert result.items[1].detail == "its name is taken by run-A"


def test_elsewhere_all_spellings_are_sent() -> None:
    result = plan(["run-A/x", "run-a/x", f"r/{NFC}", f"r/{NFD}"], folds=False)
    assert set(reasons(result).values()) == {Reason.NEW}
    assert result.problems == ()


def test_what_is_left_anyway_takes_no_name() -> None:
    assert reasons(plan(["r/X", "r/x"], exclude=("X",))) == {"r/X": Reason.EXCLUDED, "r/x": Reason.NEW}


@pytest.mark.parametrize("spelling", [NFC, NFD, NFC.upper()])
def test_what_is_there_is_found_in_its_own_spelling(spelling: str) -> None:
    entry = Entry(f"r/{spelling}/f", EntryKind.FILE, 1, 5, 1)
    assert reasons(plan([f"r/{NFC}/f"], entry)) == {f"r/{NFC}/f": Reason.SAME}
    blocked = plan([f"r/{NFC}/f"], Entry(f"r/{spelling}", EntryKind.SYMLINK, 0, 0, 1))
    assert reasons(blocked) == {f"r/{NFC}/f": Reason.CONFLICT}


def test_elsewhere_another_spelling_is_another_file() -> None:
    entry = Entry(f"r/{NFD}", EntryKind.FILE, 1, 5, 1)
    assert reasons(plan([f"r/{NFC}"], entry, folds=False)) == {f"r/{NFC}": Reason.NEW}


def test_a_folder_that_is_unreadable_in_its_own_spelling_is_in_the_way() -> None:
    there = DestinationRoot("/d", EntryKind.FOLDER, problems=(Problem(f"r/{NFC.upper()}", "unreadable", "x"),))
    inventory = SweepInventory("s", runs=(Run("r", "/p"),), files=(make_file(f"r/{NFC}/f"),))
    result = make_plan(inventory, {Root.WANDB: there}, PlanOptions(folds_names=True))
    assert reasons(result) == {f"r/{NFC}/f": Reason.CONFLICT}
