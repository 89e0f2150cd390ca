"""What a word of a command line means, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Sweep, look_for_sweeps
from hsm.discover.words.catalogue import read_catalogue
from hsm.discover.words.lookup import Lookup, Meaning
from hsm.discover.words.meanings import find_meanings, list_all_meanings
from hsm.endpoint import FolderSearch
from hsm.errors import UnknownSweepError, UsageError
from hsm.model import SweepKind
from hsm.records.receipt import Receipt, Sender, get_receipt_name, make_receipt_content
from hsm.records.record import RunRecord
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import iter_sweep_ids
from hsm.sync.places import ProjectPlaces, make_project_places
from tests.unit.discover.conftest import MadeProject
from tests.unit.wandb_log import log_writer as w

OLD, NEW = "sweep_20251020_212836", "sweep_20251021_090000"
T = "20251022_100000"


def find_places(made: MadeProject) -> ProjectPlaces:
    """Find the places of a made project, as a command does."""
    endpoint = LocalEndpoint()
    found = look_for_sweeps(endpoint, made.layout, FolderSearch(str(made.folder)))
    return make_project_places(endpoint, found, found.searched, made.folder / "cache.json")


def mean(made: MadeProject, word: str, *, working_folder: Path | None = None) -> tuple[Meaning, ...]:
    """Find what a word means in a made project, from a working folder."""
    lookup = find_places(made).make_lookup(working_folder=str(working_folder or made.folder))
    return find_meanings(lookup, word)


def list_ids(found: Sequence[Meaning]) -> list[str]:
    return [meaning.sweep.id for meaning in found]


def list_runs(made: MadeProject, word: str) -> list[str]:
    """List the ids of the runs that the sweep of a word has."""
    places, (meaning,) = find_places(made), mean(made, word)
    ids = frozenset(sweep.id for sweep in places.sweeps)
    options = {"max_depth": 1, "index": RunIndex(), "known_sweeps": ids}
    inventory = read_inventory(LocalEndpoint(), places.layout, meaning.sweep, **options)
    return [run.id for run in inventory.runs]


@pytest.fixture
def mixed(made: MadeProject) -> MadeProject:
    """Return a project with sweeps of three kinds in several wandb folders."""
    for sweep in (OLD, NEW):
        made.write(f"sweeps/outputs/{sweep}/sweep_config.yaml")
    made.write_run(f"wandb/offline-run-{T}-own", w.run("own", group=NEW))
    made.write_run(f"wandb/offline-run-{T}-native", w.run("native", sweep_id="abcd1234"))
    made.write_run(f"train/wandb/offline-run-{T}-d1", w.run("d1", group="dev"))
    made.write_run(f"a/b/c/wandb/offline-run-{T}-d2", w.run("d2", group="dev"))
    made.write_run(f"outputs/wandb/offline-run-{T}-l1", w.run("l1"))
    made.write_run(f"wandb/offline-run-{T}-l2", w.run("l2"))
    made.write_run(f"wandb/offline-run-{T}-old", w.run("old"))
    made.write("wandb/sweep-ef567890/config-old.yaml", "")
    return made


KINDS = {
    OLD: (OLD, SweepKind.FOLDER),
    "latest": (NEW, SweepKind.FOLDER),
    "sweep_20251020": (OLD, SweepKind.FOLDER),
    "loose": ("@loose", SweepKind.LOOSE),
    "@loose": ("@loose", SweepKind.LOOSE),
    "dev": ("dev", SweepKind.WANDB),
    "abcd1234": ("abcd1234", SweepKind.WANDB),
    "abcd": ("abcd1234", SweepKind.WANDB),
    "me/proj/abcd1234": ("abcd1234", SweepKind.WANDB),
    "group:dev": ("dev", SweepKind.WANDB),
    f"group:{NEW}": (NEW, SweepKind.FOLDER),
    "ef567890": ("ef567890", SweepKind.WANDB),
    "wandb/sweep-ef567890": ("ef567890", SweepKind.WANDB),
    f"sweeps/outputs/{OLD}": (OLD, SweepKind.FOLDER),
    f"./sweeps/outputs/{OLD}/": (OLD, SweepKind.FOLDER),
}


@pytest.mark.parametrize(("word", "expected"), KINDS.items(), ids=KINDS)
def test_a_word_means(mixed: MadeProject, word: str, expected: tuple[str, SweepKind]) -> None:
    (found,) = mean(mixed, word)
    assert (found.sweep.id, found.sweep.kind, found.runs) == (*expected, frozenset())


MEMBERS = {"dev": ["d1", "d2"], "loose": ["l1", "l2"], "ef567890": ["old"], NEW: ["own"], "abcd1234": ["native"]}


@pytest.mark.parametrize(("word", "expected"), MEMBERS.items(), ids=MEMBERS)
def test_its_runs_are(mixed: MadeProject, word: str, expected: list[str]) -> None:
    assert sorted(list_runs(mixed, word)) == expected


RUNS = {
    "d1": ("dev", "d1"),
    f"offline-run-{T}-l2": ("@loose", "l2"),
    "run:own": (NEW, "own"),
    f"train/wandb/offline-run-{T}-d1": ("dev", "d1"),
}


@pytest.mark.parametrize(("word", "expected"), RUNS.items(), ids=RUNS)
def test_a_run_alone_is_meant_in_its_sweep(mixed: MadeProject, word: str, expected: tuple[str, str]) -> None:
    (found,) = mean(mixed, word)
    assert (found.sweep.id, found.runs) == (expected[0], {f"offline-run-{T}-{expected[1]}"})
    assert found.said


def test_a_run_deep_in_a_sweeps_folder_is_found_by_its_id(mixed: MadeProject) -> None:
    mixed.write_run(f"sweeps/outputs/{OLD}/tasks/7/wandb/offline-run-{T}-deep", w.run("deep"))
    (found,) = mean(mixed, "deep")
    assert (found.sweep.id, found.runs) == (OLD, {f"offline-run-{T}-deep"})


def test_a_wandb_folder_deep_in_a_sweeps_folder_means_its_runs(mixed: MadeProject) -> None:
    mixed.write_run(f"sweeps/outputs/{OLD}/tasks/7/wandb/offline-run-{T}-deep", w.run("deep"))
    (found,) = mean(mixed, f"sweeps/outputs/{OLD}/tasks/7/wandb")
    assert (found.sweep.id, found.runs) == (OLD, {f"offline-run-{T}-deep"})


def test_loose_runs_are_the_latest_where_there_is_nothing_else(made: MadeProject) -> None:
    made.write_run(f"wandb/offline-run-{T}-a", w.run("a"))
    assert list_ids(mean(made, "latest")) == ["@loose"]


def test_both_folders_of_a_resumed_run_are_meant(mixed: MadeProject) -> None:
    mixed.write_run("train/wandb/offline-run-20251023_100000-d1", w.run("d1", group="dev"))
    (found,) = mean(mixed, "d1")
    assert found.runs == {f"offline-run-{T}-d1", "offline-run-20251023_100000-d1"}


def test_a_wandb_folder_means_its_loose_runs(mixed: MadeProject) -> None:
    (found,) = mean(mixed, "outputs/wandb")
    assert (found.sweep.id, found.runs) == ("@loose", {f"offline-run-{T}-l1"})


def test_a_path_counts_from_the_working_folder(mixed: MadeProject) -> None:
    (found,) = mean(mixed, f"../sweeps/outputs/{OLD}", working_folder=mixed.folder / "train")
    assert found.sweep.id == OLD


def test_a_pattern_means_all_ids_that_match_oldest_first(mixed: MadeProject) -> None:
    assert list_ids(mean(mixed, "sweep_2025*")) == [OLD, NEW]
    assert list_ids(mean(mixed, "*e*")) == [OLD, NEW, "dev", "ef567890", "@loose"]


def test_the_beginning_of_a_folder_reads_no_log(mixed: MadeProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lookup, "catalogue", property(lambda _: pytest.fail("it read the logs")))
    assert list_ids(mean(mixed, "sweep_20251021")) == [NEW]
    assert list_ids(mean(mixed, "latest")) == [NEW]


def test_the_newest_of_the_others_is_the_latest_where_no_sweep_is_a_folder(made: MadeProject) -> None:
    made.write_run("wandb/offline-run-20251022_100000-a", w.run("a", group="zz"))
    made.write_run("wandb/offline-run-20251023_100000-b", w.run("b", group="aa"))
    made.write_run("wandb/offline-run-20251024_100000-c", w.run("c"))
    assert list_ids(mean(made, "latest")) == ["aa"]


REFUSED = {
    "../other": "outside_project",
    "train": "unknown_sweep",
    "./train": "no_sweep_folder",
    "./nothing": "no_sweep_folder",
    "run:nothing": "unknown_run",
    "group:nothing": "unknown_sweep",
    "nothing*": "unknown_sweep",
    "me/proj/nothing": "unknown_sweep",
    "sweep_2025": "ambiguous_sweep",
    "x1": "ambiguous_sweep",
    "": "bad_sweep_name",
    "..": "bad_sweep_name",
}


@pytest.mark.parametrize(("word", "kind"), REFUSED.items(), ids=REFUSED)
def test_refused(mixed: MadeProject, word: str, kind: str) -> None:
    (mixed.folder.parent / "other").mkdir()
    mixed.write_run(f"wandb/offline-run-{T}-x", w.run("x", group="x1a"))
    mixed.write_run(f"wandb/offline-run-{T}-y", w.run("y", group="x1b"))
    with pytest.raises(UsageError) as caught:
        mean(mixed, word)
    assert caught.value.kind == kind


def test_a_word_of_two_things_is_refused_with_a_command_for_each(mixed: MadeProject) -> None:
    for name in ("res_a", "res_b"):
        mixed.write_run(f"wandb/offline-run-{T}-{name}", w.run(name, group=name))
    with pytest.raises(UsageError, match="'res' is the beginning of 2 sweeps") as caught:
        mean(mixed, "res")
    assert "`hsm sync to res_a`, or `hsm sync to res_b`" in caught.value.hint


def test_a_run_of_two_sweeps_is_refused_with_a_command_for_each_of_its_folders(mixed: MadeProject) -> None:
    mixed.write_run(f"wandb/offline-run-{T}-twice", w.run("twice", group="a"))
    mixed.write_run(f"train/wandb/offline-run-{T[:-1]}9-twice", w.run("twice", group="b"))
    with pytest.raises(UsageError, match="'twice' may be 2 things") as caught:
        mean(mixed, "twice")
    assert caught.value.hint.startswith(f"Say which: `hsm sync to run:offline-run-{T}-twice`, or `")


def write_copies(made: MadeProject, *groups: str) -> tuple[str, ...]:
    """Write a run of one name into as many wandb folders as there are groups; return the paths of its folders."""
    places = [f"part{number}/wandb/offline-run-{T}-twice" for number in range(len(groups))]
    for place, group in zip(places, groups, strict=True):
        made.write_run(place, w.run("twice", group=group))
    return tuple(places)


@pytest.mark.parametrize("is_far", [False, True], ids=["here", "at a target"])
def test_a_run_that_lies_in_two_folders_is_chosen_by_its_path(mixed: MadeProject, *, is_far: bool) -> None:
    paths = write_copies(mixed, "dev", "dev")
    places = find_places(mixed)
    lookup = places.make_lookup(working_folder="" if is_far else str(mixed.folder))
    for path in paths:
        (found,) = find_meanings(lookup, path)
        assert found.said == f"{path} is run offline-run-{T}-twice of dev"
        inventory = read_inventory(
            LocalEndpoint(),
            places.layout,
            found.sweep,
            max_depth=1,
            index=RunIndex(),
            known_sweeps=(),
            folders=found.folders,
        )
        assert [f"{run.prefix}/{run.name}" for run in inventory.runs if run.id == "twice"] == [str(mixed.folder / path)]
        assert not inventory.problems


def test_folders_of_one_name_in_two_sweeps_are_told_apart_by_their_paths(mixed: MadeProject) -> None:
    paths = write_copies(mixed, "a", "b")
    with pytest.raises(UsageError, match="may be 2 things") as caught:
        mean(mixed, "twice")
    for path, sweep in zip(paths, "ab", strict=True):
        assert f"`hsm sync to {mixed.folder / path}`" in caught.value.hint
        assert list_ids(mean(mixed, str(mixed.folder / path))) == [sweep]


def test_the_folder_of_a_job_means_its_whole_sweep_and_says_so(made: MadeProject) -> None:
    made.write("multirun/D/T/multirun.yaml")
    for job in ("multirun/D/T/0", "outputs/D/T"):
        made.write(f"{job}/.hydra/hydra.yaml")
    run = made.write_run(f"multirun/D/T/0/wandb/offline-run-{T}-j", w.run("j"))
    for word, sweep in (("multirun/D/T/0", "multirun_D_T"), ("outputs/D/T", "D")):
        (found,) = mean(made, word)
        assert (found.sweep.id, found.runs) == (sweep, frozenset())
        assert f" is a job of {sweep}" in found.said
    (found,) = mean(made, str(run))
    assert (found.sweep.id, found.runs) == ("multirun_D_T", {run.name})


def test_a_pattern_asks_only_for_what_matches(made: MadeProject) -> None:
    for folder in ("a_b/c", "a/b_c"):
        made.write(f"{folder}/multirun.yaml")
    made.write("outputs/exp1/x")
    assert list_ids(mean(made, "e*")) == ["exp1"]
    with pytest.raises(UsageError, match="lies in two places"):
        mean(made, "a*")


def test_folders_behind_symlinks_are_the_projects(mixed: MadeProject) -> None:
    elsewhere = mixed.folder.parent / "scratch"
    elsewhere.mkdir()
    for name in ("sweeps", "wandb"):
        (mixed.folder / name).rename(elsewhere / name)
        (mixed.folder / name).symlink_to(elsewhere / name)
    assert list_ids(mean(mixed, f"sweeps/outputs/{OLD}")) == [OLD]
    assert list_ids(mean(mixed, "wandb/")) == ["@loose"]
    with pytest.raises(UsageError, match="outside the project"):
        mean(mixed, str(elsewhere))


def test_a_name_that_nothing_is_like_is_not_told_as_near(mixed: MadeProject) -> None:
    with pytest.raises(UnknownSweepError) as caught:
        mean(mixed, "qqq")
    assert caught.value.hint.startswith("No name is like it. `hsm sync list --sweeps` shows what there is")


BELOW = {"a name": "train", "a path": "./train/", "from elsewhere": "b/c"}


@pytest.mark.parametrize("word", BELOW.values(), ids=BELOW)
def test_a_folder_with_a_wandb_folder_is_told_by_it(mixed: MadeProject, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        mean(mixed, word, working_folder=mixed.folder / "a" if word == "b/c" else mixed.folder)
    assert f"`hsm sync to {word.rstrip('/')}/wandb`" in caught.value.hint


def test_hints_spell_the_loose_runs_so_that_no_folder_is_meant(mixed: MadeProject) -> None:
    with pytest.raises(UsageError) as caught:
        mean(mixed, "qqq")
    assert "`hsm sync to loose`" in caught.value.hint
    mixed.write("sweeps/outputs/loose_ends/x")
    assert list_ids(mean(mixed, "loose")) == ["loose_ends"]
    with pytest.raises(UsageError) as caught:
        mean(mixed, "qqq")
    assert "`hsm sync to @loose`" in caught.value.hint
    assert list_ids(mean(mixed, "@loose")) == ["@loose"]


def test_every_sweep_of_an_empty_project_is_refused(made: MadeProject) -> None:
    with pytest.raises(UnknownSweepError, match="There is no sweep and no run"):
        list_all_meanings(find_places(made).make_lookup())


def test_results_in_the_place_of_the_loose_runs_are_refused(mixed: MadeProject) -> None:
    mixed.write("sweeps/outputs/@loose/.hsm-sync/receipt-0123456789abcdef.json", "{}")
    assert list_ids(mean(mixed, "loose")) == ["@loose"]
    folder = mixed.write("sweeps/outputs/@loose/notes.txt").parent
    with pytest.raises(UsageError, match="id of the runs that are in no sweep") as caught:
        mean(mixed, "loose")
    assert f"mv {folder} " in caught.value.hint


def test_a_group_whose_receipts_have_a_folder_is_said_to_be_a_group(made: MadeProject) -> None:
    run = f"offline-run-{T}-v"
    made.write_run(f"wandb/{run}", w.run("v", group="vit/base"))
    source = Sender("0123456789abcdef", "host", "/p")
    receipt = Receipt("vit%2Fbase", source, 1, "", {run: RunRecord()}, kind=SweepKind.WANDB)
    folder = f"sweeps/outputs/{receipt.sweep}/.hsm-sync"
    made.write(f"{folder}/{get_receipt_name(source.id)}", make_receipt_content(receipt).decode())
    (found,) = mean(made, "vit/base")
    assert (found.sweep.id, found.said) == ("vit%2Fbase", "vit%2Fbase (W&B group, 1 run)")


def test_a_wandb_folder_is_no_sweep(made: MadeProject) -> None:
    for place in ("outputs/wandb", "sweeps/outputs/wandb", "outputs/.wandb"):
        made.write_run(f"{place}/offline-run-{T}-{place.count('/')}{len(place)}", w.run("a"))
    with pytest.raises(UnknownSweepError):
        mean(made, "wandb")
    assert len(list_runs(made, "loose")) == 3


def write_receipt(made: MadeProject, sweep: str, kind: str) -> None:
    """Write the receipt of a sweep of one run, as at a target."""
    receipt = Receipt(sweep, Sender("0123456789abcdef", "h", "/p"), 1, "", {"run-x": RunRecord()}, kind=SweepKind(kind))
    made.write(f"sweeps/outputs/{sweep}/.hsm-sync/{get_receipt_name(receipt.source.id)}", make_receipt_content(receipt))


def test_folders_that_hold_receipts_alone_change_no_word(made: MadeProject) -> None:
    made.write("outputs/sweep_a/notes.txt")
    for name in ("sweepy_20351231_000000", "latest", "loose"):
        made.write_run(f"wandb/offline-run-{T}-{name}", w.run(name, group=name))
        write_receipt(made, name, "wandb")
    made.write_run(f"wandb/offline-run-{T}-alone", w.run("alone"))
    assert list_ids(mean(made, "latest")) == list_ids(mean(made, "sweep")) == ["sweep_a"]
    assert list_ids(mean(made, "loose")) == ["@loose"]
    for word in ("sweepy", "sweepy_20351231_000000"):
        assert list_ids(mean(made, word)) == ["sweepy_20351231_000000"]
    for word in ("group:latest", "group:loose"):
        assert list_ids(mean(made, word)) == [word.partition(":")[2]]
    write_receipt(made, "sweepx", "folder")  # of a folder of which only runs came
    with pytest.raises(UsageError, match="2 sweeps"):
        mean(made, "sweep")


def test_a_folder_may_begin_like_a_word_that_spells_out(made: MadeProject) -> None:
    for name in ("group:abc", "run:xy"):
        made.write(f"outputs/{name}/notes.txt")
    assert list_ids(mean(made, "group:a")) == ["group:abc"]
    assert list_ids(mean(made, "run:x")) == ["run:xy"]


@pytest.mark.parametrize("name", ["50%", "-x", "@2", "a..b", ".h"])
def test_a_folder_whose_name_no_id_of_a_group_has_gets_the_runs_of_its_name(made: MadeProject, name: str) -> None:
    made.write_run(f"wandb/offline-run-{T}-a", w.run("a", group=name))
    places = find_places(made)
    folder = Sweep(name, str(made.folder), str(made.folder / "outputs" / name))
    options = {"max_depth": 1, "index": RunIndex(), "known_sweeps": {name}}
    inventory = read_inventory(LocalEndpoint(), places.layout, folder, **options)
    assert [run.id for run in inventory.runs] == ["a"]
    found = read_catalogue(LocalEndpoint(), places.layout, [folder], index=RunIndex())
    assert found.sweeps == ()


def test_a_group_keeps_the_id_under_which_it_was_synced(made: MadeProject) -> None:
    for name in ("Exp", "exp"):
        made.write_run(f"wandb/offline-run-{T}-{name}", w.run(name, group=name))
    found = read_catalogue(LocalEndpoint(), made.layout, (), index=RunIndex(), synced={"Exp"})
    assert {sweep.name: sweep.id for sweep in found.sweeps} == {"Exp": "Exp", "exp": list(iter_sweep_ids("exp"))[1]}


@pytest.mark.parametrize(("seconds_ago", "n_runs"), [(30, 0), (700, 1)])
def test_a_run_of_files_alone_is_loose_once_they_rest(made: MadeProject, seconds_ago: float, n_runs: int) -> None:
    made.write(f"wandb/offline-run-{T}-a/files/config.yaml", seconds_ago=seconds_ago)
    places = find_places(made)
    loose = Sweep("@loose", kind=SweepKind.LOOSE)
    options = {"max_depth": 1, "index": RunIndex(), "known_sweeps": ()}
    inventory = read_inventory(LocalEndpoint(), places.layout, loose, **options)
    assert (len(inventory.runs), len(inventory.files)) == (n_runs, n_runs)
    assert [problem.kind for problem in inventory.problems] == ["membership_unknown"] * (1 - n_runs)


def test_a_run_in_the_place_of_a_sweep_is_not_loose(made: MadeProject) -> None:
    made.write_run(f"outputs/exp1/wandb/offline-run-{T}-a", w.run("a"))
    made.write_run(f"wandb/exp2/offline-run-{T}-b", w.run("b"))
    made.write_run(f"wandb/offline-run-{T}-c", w.run("c"))
    assert list_runs(made, "loose") == ["c"]


def test_a_run_that_has_written_nothing_is_loose_once_it_rests(made: MadeProject) -> None:
    made.write_run(f"wandb/offline-run-{T}-a", log=w.HEADER, seconds_ago=700)
    made.write_run(f"wandb/offline-run-{T}-b", log=w.HEADER, seconds_ago=500)
    catalogue = read_catalogue(LocalEndpoint(), made.layout, (), index=RunIndex())
    assert [run.candidate.run_id for run in catalogue.runs if run.is_loose] == ["a"]


def test_a_run_may_bear_several_names(made: MadeProject) -> None:
    made.write_run(f"wandb/offline-run-{T}-a", w.run("a", group="FedAvg", sweep_id="abcd1234"))
    assert list_runs(made, "FedAvg") == list_runs(made, "abcd1234") == ["a"]
    assert list_ids(mean(made, "a")) == ["abcd1234"]


def test_a_symlink_out_of_the_project_is_outside(made: MadeProject) -> None:
    outside = made.folder.parent / "outside"
    outside.mkdir()
    made.folder.mkdir()
    (made.folder / "link").symlink_to(outside)
    with pytest.raises(UsageError, match="lies outside"):
        mean(made, "link/")
