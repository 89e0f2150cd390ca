"""A run that a sync brought into the usual folder of a project that has it elsewhere, too: both are one run."""

from __future__ import annotations

import os

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Sweep, look_for_sweeps
from hsm.endpoint import FolderSearch
from hsm.model import SweepInventory, SweepKind
from hsm.records.receipt import Receipt, Sender, get_receipt_name, make_receipt_content
from hsm.records.record import RunRecord
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.landing import find_landing
from hsm.sync.places import ProjectPlaces, make_project_places
from tests.unit.discover.conftest import MadeProject
from tests.unit.wandb_log import log_writer as w

RUN = "offline-run-20251022_100000-a"
LOG = (w.run("a", group="dev"),)
MADE, COPY = f"train/wandb/{RUN}", f"wandb/{RUN}"


def find_places(made: MadeProject) -> ProjectPlaces:
    endpoint = LocalEndpoint()
    found = look_for_sweeps(endpoint, made.layout, FolderSearch(str(made.folder)))
    return make_project_places(endpoint, found, found.searched, made.folder / "cache.json")


def read(made: MadeProject) -> SweepInventory:
    places = find_places(made)
    sweep = Sweep("dev", kind=SweepKind.WANDB, name="dev")
    known = {each.id for each in places.sweeps}
    return read_inventory(
        LocalEndpoint(), places.layout, sweep, max_depth=1, index=RunIndex(), known_sweeps=known, include_versions=False
    )


def write_receipt(made: MadeProject, sweep: str = "dev", run: str = RUN) -> None:
    source = Sender("0123456789abcdef", "host", "/p")
    receipt = Receipt(sweep, source, 1, "", {run: RunRecord()}, kind=SweepKind.WANDB)
    name = get_receipt_name(source.id)
    made.write(f"sweeps/outputs/{sweep}/.hsm-sync/{name}", make_receipt_content(receipt).decode())


GONE_ON = (*LOG, w.config("lr", 0.1), w.exit_code(0))
COPIES = {
    "both are the same": (GONE_ON, GONE_ON, COPY),
    "the run has gone on": (GONE_ON, LOG, MADE),
    "the copy is newer": (LOG, GONE_ON, COPY),
    "the copy has ended": ((*GONE_ON, w.config("lr", 0.2)), (*LOG, w.exit_code(0)), COPY),
}


@pytest.mark.parametrize("sweep", ["dev", "ab12cd34"], ids=["of this sweep", "of another sweep that has it"])
@pytest.mark.parametrize(("there", "copied", "expected"), COPIES.values(), ids=COPIES)
def test_what_counts_is_the_copy_unless_the_run_has_gone_on(
    made: MadeProject, there: tuple[bytes, ...], copied: tuple[bytes, ...], expected: str, sweep: str
) -> None:
    made.write_run(MADE, *there)
    made.write_run(COPY, *copied)
    write_receipt(made, sweep)
    inventory = read(made)
    assert not inventory.problems
    assert [f"{run.prefix}/{run.name}" for run in inventory.runs] == [str(made.folder / expected)]


def test_without_a_receipt_neither_counts(made: MadeProject) -> None:
    for place in (MADE, COPY):
        made.write_run(place, *GONE_ON)
    write_receipt(made, run=f"{RUN}-2")
    inventory = read(made)
    assert (inventory.runs, [problem.kind for problem in inventory.problems]) == ((), ["double_run"])


def test_a_third_folder_is_none_that_a_sync_made(made: MadeProject) -> None:
    for place in (MADE, COPY, f"eval/wandb/{RUN}"):
        made.write_run(place, *GONE_ON)
    write_receipt(made)
    assert [problem.kind for problem in read(made).problems] == ["double_run"]


@pytest.mark.parametrize("has_receipt", [True, False], ids=["a receipt", "none"])
def test_a_pull_lands_in_the_copy(made: MadeProject, *, has_receipt: bool) -> None:
    for place in (MADE, COPY):
        made.write_run(place, *GONE_ON)
    if has_receipt:
        write_receipt(made)
    runs = find_landing(find_places(made), "dev", [RUN]).runs
    assert (runs.folders, bool(runs.doubles), os.listdir(made.folder / "wandb")) == ({}, not has_receipt, [RUN])
