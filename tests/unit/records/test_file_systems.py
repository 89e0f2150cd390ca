"""Records of what was measured of disks, and of what was compared by content: they may be anything at any time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.model import EntryKind, Root
from hsm.plan.destination import DestinationRoot
from hsm.plan.disk.file_system import FileSystem, Rounding
from hsm.records.compared import ComparedFile, load_compared, save_compared
from hsm.records.file_systems import KnownFileSystems, load_file_systems, make_place, save_file_systems

DISK = FileSystem(
    step_ns=2 * 10**9,
    rounding=Rounding.UP,
    earliest_ns=-5,
    latest_ns=7,
    folds_case=True,
    folds_unicode=True,
    unicode_form="NFD",
    refused=(":", "dot"),
    longest_name=143,
    replaces=False,
    has_symlinks=False,
    has_hard_links=False,
)
THERE = DestinationRoot("/d/wandb", EntryKind.FOLDER, device="/dev/sda1 on /d")
KNOWN = KnownFileSystems({make_place(THERE): DISK}, sent_step_ns=10**9)
COMPARED = {
    (Root.WANDB, "run-1/a\udcff"): ComparedFile(3, 5, 6, is_equal=True),
    (Root.SWEEPS, "outputs/s/b"): ComparedFile(3, -5, 6, is_equal=False),
}


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    save_file_systems(tmp_path / "disks", KNOWN)
    assert load_file_systems(tmp_path / "disks") == KNOWN
    save_compared(tmp_path / "compared", COMPARED)
    assert load_compared(tmp_path / "compared") == COMPARED


def test_a_disk_is_known_by_device_and_folder() -> None:
    assert KNOWN.find({Root.WANDB: THERE}) == {Root.WANDB: replace(DISK, sent_step_ns=10**9)}
    assert KNOWN.find({Root.WANDB: replace(THERE, device="/dev/sdb1 on /d")}) == {}
    assert KNOWN.find({Root.SWEEPS: replace(THERE, path="/d/sweeps")}) == {}


def test_a_disk_without_a_name_is_known_for_this_call_alone(tmp_path: Path) -> None:
    nameless = replace(THERE, device="")
    known = KNOWN.add({make_place(nameless): DISK})
    assert Root.WANDB in known.find({Root.WANDB: nameless})
    save_file_systems(tmp_path / "disks", known)
    assert load_file_systems(tmp_path / "disks") == KNOWN


def test_disks_with_ever_new_names_do_not_fill_the_record() -> None:
    known = KNOWN
    for number in range(200):
        known = known.add({f"{number} on /d\n/d/wandb": DISK})
    assert len(known.places) < 100
    assert "199 on /d\n/d/wandb" in known.places


DAMAGE = {
    "no JSON": "{",
    "nothing": "",
    "a list": "[]",
    "another schema": '{"schema": 99, "places": {}, "sent_step_ns": 1, "files": {}}',
    "no places": '{"schema": 1}',
    "places of another kind": '{"schema": 1, "places": [1], "sent_step_ns": 1, "files": [1]}',
    "an absurd number": '{"schema": 1, "places": {}, "sent_step_ns": 1e999, "files": {"wandb": {"a": [1e999]}}}',
    "an unknown root": '{"schema": 1, "places": {"a": {}}, "sent_step_ns": 1, "files": {"nowhere": {"a": 1}}}',
    "nested deeply": '{"schema": 1, "places": ' + "[" * 100_000,
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
def test_what_cannot_be_used_is_as_if_it_were_missing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "record"
    path.write_text(content)
    assert load_file_systems(path) == KnownFileSystems()
    assert load_compared(path) == {}
    path.unlink()
    path.mkdir()  # what cannot be read, nor written
    assert load_file_systems(path) == KnownFileSystems()
    assert load_compared(path) == {}
    save_file_systems(path, KNOWN)
    save_compared(path, COMPARED)


def test_steps_that_would_divide_by_nothing_are_none(tmp_path: Path) -> None:
    save_file_systems(tmp_path / "disks", KNOWN)
    document = json.loads((tmp_path / "disks").read_text())
    document["places"][make_place(THERE)]["step_ns"] = 0
    (tmp_path / "disks").write_text(json.dumps(document))
    (disk,) = load_file_systems(tmp_path / "disks").find({Root.WANDB: THERE}).values()
    assert disk.show_time(5) == 0
