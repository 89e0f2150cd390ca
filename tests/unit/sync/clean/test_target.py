"""What a target has of units: what counts of it, and what is read and flushed there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.errors import TargetError
from hsm.model import EntryKind, Root, Run, SourceFile, SweepInventory
from hsm.records.cleaned import CleanedFile, CleanedUnit
from hsm.records.record import RunRecord
from hsm.sync.clean.comparison import find_unsent
from hsm.sync.clean.target import CleanTarget
from hsm.sync.clean.units import add_leftovers
from hsm.sync.clean.values import Unit
from tests.fake_target import FakeTarget

SWEEP, RUN = "sweep_1", "run-20260101_000000-a"
ASIDE = ".hsm-clean-" + "0" * 16
INVENTORY = SweepInventory(SWEEP, (Run(RUN, "/p/wandb"),), ())


def make_settings(folder: Path, **options: object) -> TargetSettings:
    paths = {root.value: str(folder / root.value) for root in Root}
    return parse_target({"host": "NAS.example", "paths": paths, "options": options})


def make_file(path: str, size: int = 3, *, run: str = RUN) -> SourceFile:
    folder = run or f"outputs/{SWEEP}"
    return SourceFile(Root.WANDB if run else Root.SWEEPS, f"{folder}/{path}", "/p", size, 1, 1, run)


def make_unit(*files: SourceFile, run: str = RUN, superseded: tuple[str, ...] = ()) -> Unit:
    strip = len(run or f"outputs/{SWEEP}") + 1
    by_path = {file.path[strip:]: file for file in files}
    found = INVENTORY.runs[0] if run else None
    return Unit(run, f"/p/wandb/{run}", run=found, files=by_path, superseded=frozenset(superseded))


@pytest.fixture
def there(tmp_path: Path) -> FakeTarget:
    """Return a target that has the sweep's folder and one run."""
    target = FakeTarget(tmp_path, name="nas")
    own = tmp_path / "sweeps/outputs" / SWEEP
    run = tmp_path / "wandb" / RUN
    for path, content in {
        own / "config": "own",
        run / "log": "abc",
        run / "files/x": "xyz",
        run / "big": "larger",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (run / "link").symlink_to("log")
    (tmp_path / "wandb/run-20260101_000000-b").mkdir()
    return target


def open_target(there: FakeTarget, records: dict[str, RunRecord] | None = None, **options: object) -> CleanTarget:
    return CleanTarget(there, make_settings(there.folder, **options), INVENTORY, records or {})


def test_making_it_looks_at_what_is_there(there: FakeTarget) -> None:
    target = open_target(there)
    assert target.name == "nas"
    assert target.place == f"nas.example:{there.folder}/sweeps:{there.folder}/wandb"
    found = {path: entry.kind for path, entry in target.get_entries(make_unit()).items()}
    assert found == {
        "log": EntryKind.FILE,
        "big": EntryKind.FILE,
        "files": EntryKind.FOLDER,
        "files/x": EntryKind.FILE,
        "link": EntryKind.SYMLINK,
    }
    assert set(target.get_entries(make_unit(run=""))) == {"config"}
    place = target.make_cleaned_place()
    assert (place.host, place.sweeps, place.wandb) == ("NAS.example", *(there.roots[root] for root in Root))


def test_a_place_is_the_real_one(there: FakeTarget, tmp_path: Path) -> None:
    other = FakeTarget(tmp_path / "alias", name="other")
    other.folder.symlink_to(there.folder)
    assert open_target(other).place == open_target(there).place


def test_without_the_sweeps_folder_it_has_nothing(there: FakeTarget) -> None:
    target = open_target(there)
    own = there.folder / "sweeps/outputs" / SWEEP
    own.joinpath("config").unlink()
    own.rmdir()
    for look in (target.look, lambda: open_target(there)):
        with pytest.raises(TargetError) as caught:
            look()
        assert caught.value.kind == "nothing_there"


def test_a_second_look_sees_what_changed(there: FakeTarget) -> None:
    target = open_target(there)
    before = target.get_entries(make_unit())
    (there.folder / "wandb" / RUN / "log").write_text("abcd")
    assert target.get_entries(make_unit()) == before
    target.look()
    assert target.get_entries(make_unit())["log"].size == 4


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_checksums_are_taken_of_plain_files_of_the_right_size(there: FakeTarget) -> None:
    target = open_target(there, {RUN: RunRecord(n_files=9)})
    unit = make_unit(make_file("log"), make_file("big"), make_file("link"), make_file("gone"))
    copy = target.read_copies([unit], reads=True)[unit.path]
    assert copy.checksums == {"log": sha("abc")}
    assert (copy.target, copy.place, copy.record) == ("nas", target.place, RunRecord(n_files=9))
    assert set(copy.entries) == {"log", "big", "files", "files/x", "link"}
    assert copy.devices == {}, "inodes of another machine are of unknown file systems"
    assert target.read_copies([unit], reads=False)[unit.path].checksums == {}


def test_of_what_an_interrupted_clean_left_the_record_counts(there: FakeTarget) -> None:
    recorded = CleanedUnit(RUN, "/p/wandb", RUN, ".hsm-clean-0", files={"files/x": CleanedFile(3, 1, sha("xyz"))})
    unit = Unit(RUN, recorded.aside_path, recorded=recorded)
    copy = open_target(there).read_copies([unit], reads=True)[unit.path]
    assert copy.checksums == {"files/x": sha("xyz")}


def test_file_systems_of_this_machine_are_known(there: FakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeTarget, "is_folder", True)
    unit = make_unit(make_file("log"))
    copy = open_target(there).read_copies([unit], reads=True)[unit.path]
    assert copy.devices == dict.fromkeys(("log", "big", "files/x"), there.folder.stat().st_dev)


class FlushedContents:
    """Contents that only note what is flushed."""

    def __init__(self) -> None:
        self.flushed: list[str] = []

    def flush(self, files: list[str], folders: list[str]) -> dict[str, str]:
        self.flushed += files
        self.folders = set(folders)
        return {}


def test_what_counts_is_flushed_and_looked_at_again(there: FakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = FlushedContents()
    monkeypatch.setattr(there, "contents", lambda: contents)
    target = open_target(there)
    n_surveys = there.script.seen.count("survey")
    target.flush(
        [
            make_unit(make_file("log"), make_file("link"), make_file("gone")),
            make_unit(make_file("config", run=""), run=""),
        ]
    )
    run, own = f"{there.folder}/wandb/{RUN}", f"{there.folder}/sweeps/outputs/{SWEEP}"
    assert contents.flushed == [f"{run}/log", f"{own}/config"]
    above = {own, f"{there.folder}/sweeps/outputs", f"{there.folder}/sweeps"}
    assert contents.folders == {run, f"{there.folder}/wandb", *above}, "a file is there once the names above it are"
    assert there.script.seen.count("survey") == n_surveys + 1


# -- what is not sent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "options", "expected"),
    [
        pytest.param(make_unit(make_file("a")), {}, {}, id="everything is sent"),
        pytest.param(make_unit(), {"exclude": ["*"]}, {}, id="no files"),
        pytest.param(
            make_unit(make_file("a.ckpt"), make_file("a")),
            {"exclude": ["*.ckpt"]},
            {"a.ckpt": "is not sent there: excluded"},
            id="excluded",
        ),
        pytest.param(
            make_unit(make_file("id_rsa")), {}, {"id_rsa": "is not sent there: secret"}, id="the name of a secret"
        ),
        pytest.param(
            make_unit(make_file("a"), make_file("b"), superseded=("a",)),
            {},
            {"a": "is not sent there: superseded"},
            id="an old version",
        ),
        pytest.param(
            make_unit(make_file("a", run=""), make_file("b/c", run=""), run=""),
            {"max_depth": 1},
            {"b/c": "is not sent there: deeper than max_depth"},
            id="deeper than the sweep's folder is sent",
        ),
        pytest.param(make_unit(make_file("b/c/d")), {"max_depth": 1}, {}, id="a run is sent to every depth"),
    ],
)
def test_why_files_are_not_sent(
    unit: Unit, options: dict[str, object], expected: dict[str, str], tmp_path: Path
) -> None:
    assert find_unsent(unit, INVENTORY, make_settings(tmp_path, **options).options) == expected


def test_what_lies_under_other_names_is_asked_for_once() -> None:
    left = [CleanedUnit(name, "/p", name or "x", ASIDE) for name in (RUN, "run-b", "", "run-b")]
    left += [CleanedUnit("", "/p", "1", ASIDE, job=job) for job in ("0", "a/1")]
    found = add_leftovers(replace(INVENTORY, jobs=("0",)), left)
    assert [run.name for run in found.runs] == [RUN, "run-b"]
    assert found.jobs == ("0", "a/1")
