"""The census counts of each sweep what its inventory holds, for sweeps of every kind in one project."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Sweep, look_for_sweeps
from hsm.endpoint import FolderSearch
from hsm.model import RunState, SweepKind
from hsm.records.receipt import Receipt, Sender, get_receipt_name, make_receipt_content
from hsm.records.record import RunRecord
from hsm.remote.local import LocalEndpoint
from hsm.sync.places import ProjectPlaces, make_project_places
from hsm.sync.status.census import SweepCount, take_census
from tests.unit.discover.conftest import MadeProject
from tests.unit.wandb_log import log_writer as w

OLD, NEW = "sweep_20251020_212836", "sweep_20251021_090000"
T = "20251022_100000"
HYDRA = "multirun/2025-12-07/11-44-08"


def run_name(run_id: str) -> str:
    return f"offline-run-{T}-{run_id}"


def find_places(made: MadeProject) -> ProjectPlaces:
    endpoint = LocalEndpoint()
    found = look_for_sweeps(endpoint, made.layout, FolderSearch(str(made.folder)))
    return make_project_places(endpoint, found, found.searched, made.folder / "cache.json")


def count(made: MadeProject) -> dict[str, SweepCount]:
    places = find_places(made)
    counts = take_census(places.endpoint, places.layout, places.sweeps, RunIndex())
    return {found.sweep.id: found for found in counts}


def write_receipt(made: MadeProject, sweep: str, *runs: str, kind: SweepKind = SweepKind.FOLDER) -> None:
    sender = Sender("0123456789abcdef", "vm", "/p")
    records = {run_name(run): RunRecord() for run in runs}
    content = make_receipt_content(Receipt(sweep, sender, 1, "", records, kind=kind))
    made.write(f"sweeps/outputs/{sweep}/.hsm-sync/{get_receipt_name(sender.id)}", content)


@pytest.fixture
def made(tmp_path: Path) -> MadeProject:
    return MadeProject(tmp_path / "project")


@pytest.fixture
def mixed(made: MadeProject) -> MadeProject:
    """Return a project with sweeps of every kind, and runs in every place that any of them may have."""
    for sweep in (OLD, NEW):
        made.write(f"sweeps/outputs/{sweep}/sweep_config.yaml")
    made.write("outputs/exp1/notes.txt")
    made.write("outputs/exp1/deep/er/plot.png", b"12345")
    runs = {
        f"wandb/{run_name('own')}": w.run("own", group=NEW),
        f"wandb/wandb/{run_name('own2')}": w.run("own2", group=NEW),
        f"wandb/{run_name('native')}": w.run("native", sweep_id="abcd1234"),
        f"wandb/{run_name('both')}": w.run("both", sweep_id="abcd1234", group="dev"),
        f"train/wandb/{run_name('d1')}": w.run("d1", group="dev"),
        f"a/b/c/wandb/{run_name('d2')}": w.run("d2", group="dev"),
        f"train/wandb/{run_name('o1')}": w.run("o1", group=OLD),
        f"outputs/wandb/{run_name('l1')}": w.run("l1"),
        f"wandb/{run_name('l2')}": w.run("l2"),
        f"wandb/{run_name('old')}": w.run("old"),
        f"wandb/{run_name('listed')}": w.run("listed"),
        f"wandb/{run_name('both-listed')}": w.run("both-listed", group="dev"),
        f"wandb/{run_name('far-loose')}": w.run("far-loose"),
        f"wandb/bare/{run_name('b1')}": w.run("b1"),
        f"wandb/bare/wandb/{run_name('b2')}": w.run("b2", group="dev"),
        f"wandb/exp1/{run_name('e0')}": w.run("e0"),
        f"outputs/exp1/wandb/{run_name('e1')}": w.run("e1"),
        f"outputs/exp1/wandb/{run_name('e2')}": w.run("e2", group="dev"),
        f"outputs/exp1/wandb/{run_name('of-new')}": w.run("of-new", group=NEW),
        f"sweeps/outputs/{OLD}/tasks/1/wandb/{run_name('t1')}": w.run("t1"),
        f"sweeps/outputs/{OLD}/tasks/2/wandb/{run_name('t2')}": w.run("t2", group="deep"),
        f"wandb/{run_name('weird')}": w.run("weird", group="a/b c%d"),
        f"wandb/{run_name('case1')}": w.run("case1", group="Case"),
        f"wandb/{run_name('case2')}": w.run("case2", group="case"),
        f"{HYDRA}/0/wandb/{run_name('h0')}": w.run("h0"),
        f"{HYDRA}/1/wandb/{run_name('h1')}": w.run("h1", group="dev"),
    }
    for path, record in runs.items():
        made.write_run(path, record, w.exit_code(0), w.FOOTER)
    made.write_run(f"wandb/{run_name('dead')}", log=b"")
    made.write_run(f"wandb/{run_name('young')}", log=b"", seconds_ago=5)
    made.write_run(f"wandb/{run_name('lfs')}", log=b"version https://git-lfs.github.com/spec/v1\n")
    made.write("wandb/sweep-ef567890/config-old.yaml", "")
    made.write("wandb/latest.txt", "x")
    made.write(f"{HYDRA}/multirun.yaml", "hydra: {}\n")
    for job in (0, 1):
        made.write(f"{HYDRA}/{job}/.hydra/config.yaml", "lr: 0.1\n")
    write_receipt(made, OLD, "listed", "both-listed")
    write_receipt(made, "@loose", "far-loose", kind=SweepKind.LOOSE)
    write_receipt(made, "received", "own2", kind=SweepKind.WANDB)
    return made


def read_counts(made: MadeProject, sweep: Sweep) -> tuple[Counter[str], int, int]:
    """Read the inventory of a sweep, and count its runs and files."""
    places = find_places(made)
    ids = frozenset(found.id for found in places.sweeps)
    inventory = read_inventory(
        places.endpoint, places.layout, sweep, max_depth=None, index=RunIndex(), known_sweeps=ids
    )
    states = Counter(run.state.value for run in inventory.runs)
    return states, len(inventory.files), sum(file.size for file in inventory.files)


def test_the_census_counts_what_the_inventory_of_each_sweep_holds(mixed: MadeProject) -> None:
    found = count(mixed)
    assert set(found) >= {OLD, NEW, "exp1", "bare", "received", "abcd1234", "ef567890", "dev", "@loose", "a%2Fb c%25d"}
    by_id = {sweep.id: sweep for sweep in find_places(mixed).sweeps}
    for name, each in found.items():
        states = Counter({state.value: n for state, n in each.states.items()})
        counted = (states, each.files.n_files, each.files.n_bytes)
        assert counted == read_counts(mixed, by_id.get(name, each.sweep)), name


RUNS = {
    "exp1": 3,  # e0, e1, e2
    NEW: 2,
    OLD: 5,  # o1, listed, both-listed, t1, t2
    "bare": 2,
    "received": 1,
    "abcd1234": 2,
    "ef567890": 1,
    "dev": 7,  # both, d1, d2, both-listed, b2, e2, h1
    HYDRA.replace("/", "_"): 2,
    "@loose": 4,  # l1, l2, far-loose, dead
}


@pytest.mark.parametrize(("sweep", "n_runs"), RUNS.items(), ids=RUNS)
def test_its_runs_are_counted(mixed: MadeProject, sweep: str, n_runs: int) -> None:
    assert sum(count(mixed)[sweep].states.values()) == n_runs


def test_kinds_are_told_by_logs_and_receipts(mixed: MadeProject) -> None:
    found = count(mixed)
    kinds = {name: found[name].sweep.kind for name in (NEW, "bare", "received", "dev", "ef567890", "@loose")}
    assert kinds == {
        NEW: SweepKind.FOLDER,
        "bare": SweepKind.FOLDER,
        "received": SweepKind.WANDB,
        "dev": SweepKind.WANDB,
        "ef567890": SweepKind.WANDB,
        "@loose": SweepKind.LOOSE,
    }


def test_hydras_jobs_count_where_runs_and_jobs_are_not_one_to_one(mixed: MadeProject) -> None:
    sweep = HYDRA.replace("/", "_")
    assert count(mixed)[sweep].states == {RunState.FINISHED: 2}
    (run,) = mixed.folder.glob(f"{HYDRA}/1/wandb/*-h1")
    run.rename(mixed.folder / HYDRA / "0/wandb" / run.name)  # as Hydra's basic launcher leaves it
    assert count(mixed)[sweep].states == {RunState.UNKNOWN: 2}
    assert count(mixed)[sweep].files.n_files == 7


def test_a_name_that_only_a_deep_run_bears_is_no_sweep(mixed: MadeProject) -> None:
    assert "deep" not in count(mixed)


def test_folders_of_loose_runs_have_the_names_of_the_project(mixed: MadeProject, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(mixed.folder, target_is_directory=True)
    found = count(MadeProject(link))["@loose"]
    assert sorted(found.wandb) == [f"{link}/outputs/wandb", f"{link}/wandb"]
