"""The session of a clean: a target that fails at any moment counts for nothing, and everything is given back."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsm.config.settings import TargetSettings
from hsm.errors import HsmError, LockedError, NoAnswerError, TargetError
from hsm.model import Root
from hsm.progress import Event, StepStarted, TargetEnded
from hsm.remote.local import LocalEndpoint
from hsm.sync.clean.session import CleanSession
from hsm.sync.clean.units import Units, add_checksums, list_own_folders, make_units, read_everything
from hsm.sync.clean.values import Copy, Unit, UnitVerdict
from hsm.sync.source import ProjectSource, find_source
from hsm.targets.contract import Connection
from tests.fake_target import FakeTarget, fail
from tests.unit.sync.clean.conftest import RUNS, SWEEP, CleanBench

AWAY = NoAnswerError("away")


@dataclass
class Scene:
    """A session with fakes in the place of the targets, and what lies here."""

    bench: CleanBench
    session: CleanSession
    source: ProjectSource
    units: Units
    targets: dict[str, FakeTarget]
    events: list[Event]

    def open(self) -> None:
        settings = self.bench.load().config.sync_targets
        self.session.open_targets(settings, read_everything(self.source)[0], may_ask=False)

    def lock(self) -> None:
        self.session.lock_targets()
        self.session.compare_places(self.units.units, list_own_folders(self.source.layout, self.units))

    def read(self) -> dict[str, list[Copy]]:
        units = [add_checksums(unit, lambda: None) for unit in self.units.units]
        return self.session.read_copies(units, flushes=True, reads=True)

    def list_targets(self, copies: Mapping[str, Sequence[Copy]]) -> set[str]:
        return {copy.target for found in copies.values() for copy in found}

    def find_unit(self, name: str) -> Unit:
        (unit,) = (unit for unit in self.units.units if unit.name == name)
        return unit

    def list_ended(self) -> list[tuple[str, str]]:
        return [(event.target, event.state) for event in self.events if isinstance(event, TargetEnded)]

    def list_steps(self) -> list[tuple[str, str]]:
        return [(event.target, event.name) for event in self.events if isinstance(event, StepStarted)]

    def report(self, event: Event) -> None:
        self.events.append(event)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def scene(tmp_path: Path, stack: ExitStack) -> Scene:
    bench = CleanBench(tmp_path, "nas", "disk")
    bench.push()
    targets = {name: FakeTarget(tmp_path / name, name=name) for name in ("nas", "disk")}
    source = find_source(bench.load(), LocalEndpoint(), [SWEEP])
    units = make_units(read_everything(source)[0], source.sweeps[0], (), wants_folder=True)
    events: list[Event] = []

    def connect(name: str, _settings: TargetSettings) -> Connection:
        return targets[name]

    scene = Scene(bench, None, source, units, targets, events)  # type: ignore[arg-type]
    scene.session = CleanSession(source, connect, scene, stack)
    return scene


def test_what_all_targets_have_is_read(scene: Scene) -> None:
    scene.open()
    scene.lock()
    copies = scene.read()
    assert scene.session.errors == {}
    assert set(copies) == {unit.path for unit in scene.units.units}
    assert {len(found) for found in copies.values()} == {2}
    assert len({copy.place for found in copies.values() for copy in found}) == 2
    steps = [("login", "check"), ("lock",), ("verify",)]
    expected = [(name, step) for group in steps for name in ("nas", "disk") for step in group]
    assert scene.list_steps() == expected
    assert scene.list_ended() == [("nas", "verified"), ("disk", "verified")]


@pytest.mark.parametrize(
    ("moment", "n_before", "step"),
    [
        pytest.param("login", 0, "open", id="login"),
        pytest.param("survey", 0, "open", id="first look"),
        pytest.param("take", 0, "lock", id="lock"),
        pytest.param("survey", 1, "lock", id="look for a mark made here"),
        pytest.param("survey", 2, "lock", id="look for a mark made at another target"),
        pytest.param("survey", 3, "read", id="look after the flush"),
    ],
)
def test_a_target_that_fails_counts_for_nothing(scene: Scene, moment: str, n_before: int, step: str) -> None:
    scene.targets["nas"].script.at(moment, *[None] * n_before, fail(AWAY))
    for name in ("open", "lock"):
        getattr(scene, name)()
        assert bool(scene.session.errors) is (step in ("open", name))
    copies = scene.read()
    assert scene.session.errors == {"nas": AWAY}
    assert scene.list_targets(copies) == {"disk"}
    assert scene.list_ended() == [("nas", "failed"), ("disk", "verified")]


def test_a_journal_that_knows_nothing_complete_is_no_login(scene: Scene) -> None:
    shutil.rmtree(scene.bench.project / ".hsm/sync/nas")
    scene.open()
    assert scene.targets["nas"].script.seen == []
    assert scene.session.errors["nas"].kind == "nothing_there"


def test_nothing_to_read_asks_nobody(scene: Scene) -> None:
    scene.open()
    seen = list(scene.targets["nas"].script.seen)
    assert scene.session.read_copies([], flushes=True, reads=True) == {}
    assert scene.targets["nas"].script.seen == seen


def test_without_a_flush_no_file_is_read_where_none_is_wanted(scene: Scene) -> None:
    """As in a dry run with `--quick`."""
    scene.open()
    unit = scene.find_unit(RUNS[0])
    copies = scene.session.read_copies([unit], flushes=False, reads=False)
    assert [dict(copy.checksums) for copy in copies[unit.path]] == [{}, {}]


def test_locks_are_given_back_also_where_a_target_failed_later(scene: Scene, stack: ExitStack) -> None:
    scene.open()
    scene.lock()
    scene.targets["nas"].script.at("survey", fail(AWAY))
    scene.read()
    stack.close()
    for target in scene.targets.values():
        assert target.script.seen.count("release") == 1
        assert list(target.folder.rglob("lock")) == list(target.folder.rglob(".hsm-tmp")) == []


def test_a_target_whose_mark_is_seen_in_another_is_the_same_place(scene: Scene) -> None:
    """Both have a lock of their own, since their folders of sweeps differ; their runs are the same files."""
    nas, disk = (scene.targets[name].folder / "wandb" for name in ("nas", "disk"))
    shutil.rmtree(disk)
    disk.symlink_to(nas)
    scene.open()
    scene.lock()
    copies = scene.read()
    assert scene.session.errors == {}
    shared = {(copy.target, *copy.shared) for found in copies.values() for copy in found}
    assert shared == {("nas", "disk"), ("disk", "nas")}


def test_a_place_that_is_locked_by_this_call_is_refused(scene: Scene) -> None:
    shutil.rmtree(scene.targets["disk"].folder)
    scene.targets["disk"].folder.symlink_to(scene.targets["nas"].folder)
    scene.open()
    scene.lock()
    assert {name: error.kind for name, error in scene.session.errors.items()} == {"disk": "same_place"}


@pytest.mark.parametrize("root", list(Root))
def test_a_target_whose_mark_is_seen_here_is_the_project(scene: Scene, root: Root, stack: ExitStack) -> None:
    """No address tells it: over a network the project has another name."""
    folder = scene.targets["nas"].folder / root.value
    shutil.rmtree(folder)
    folder.symlink_to(scene.bench.project / root.value)
    scene.open()
    scene.lock()
    assert {name: error.kind for name, error in scene.session.errors.items()} == {"nas": "same_place"}
    stack.close()
    assert list(scene.bench.project.rglob(".hsm-tmp")) == []


# -- the last look ---------------------------------------------------------------------------------------------------


@dataclass
class Decided:
    """A scene with a decision: the first run goes, for its copies at the given targets."""

    scene: Scene
    copies: dict[str, list[Copy]]
    going: list[UnitVerdict]

    def find_changed(self) -> dict[str, str]:
        return self.scene.session.find_changed(self.going, self.copies)


@pytest.fixture
def decided(scene: Scene) -> Decided:
    scene.open()
    scene.lock()
    copies = scene.read()
    return Decided(scene, copies, [UnitVerdict(scene.find_unit(RUNS[0]), goes=True, copies=("nas",))])


def test_what_is_as_it_was_goes(decided: Decided) -> None:
    assert decided.find_changed() == {}
    assert list(decided.scene.session.make_places(decided.going)) == ["nas"]


def test_what_changed_there_stays(decided: Decided) -> None:
    (decided.scene.bench.run_there(0) / "files/new").write_text("new")
    (path,) = decided.find_changed()
    assert path == decided.going[0].unit.path


def test_a_target_that_is_not_needed_is_not_asked(decided: Decided) -> None:
    shutil.rmtree(decided.scene.targets["disk"].folder)
    assert decided.find_changed() == {}
    (decided.scene.bench.run_there(1) / "files/new").write_text("of a run that does not go")
    assert decided.find_changed() == {}


@pytest.mark.parametrize(
    ("moment", "error"), [("survey", AWAY), ("take", AWAY)], ids=["the look fails", "the lock cannot be asked for"]
)
def test_a_last_look_that_fails_removes_nothing(decided: Decided, moment: str, error: HsmError) -> None:
    decided.scene.targets["nas"].script.at(moment, fail(error))
    with pytest.raises(NoAnswerError):
        decided.find_changed()


def test_a_lock_that_was_broken_removes_nothing(decided: Decided) -> None:
    next(decided.scene.targets["nas"].folder.rglob("lock")).unlink()
    receipts = decided.scene.targets["nas"].folder / "sweeps/outputs" / SWEEP / ".hsm-sync"
    (receipts / "receipt-0123456789abcdef.json").write_text("{}")
    with pytest.raises(LockedError):
        decided.find_changed()


def test_a_target_that_lost_the_sweep_removes_nothing(decided: Decided) -> None:
    folder = decided.scene.targets["nas"].folder / "sweeps/outputs" / SWEEP
    decided.scene.targets["nas"].script.at("survey", lambda: (shutil.rmtree(folder), folder.write_text("no folder")))
    with pytest.raises(TargetError):
        decided.find_changed()


@pytest.mark.parametrize("shows_inodes", [False, True])
def test_machines_are_looked_up_where_inodes_do_not_tell(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, shows_inodes: bool
) -> None:
    if not shows_inodes:  # as over SFTP alone
        monkeypatch.setattr("hsm.sync.clean.session.has_inodes", lambda _copy: False)
    scene.targets["disk"].host = "192.0.2.1"
    scene.open()
    scene.lock()
    machines = {copy.target: copy.machine for copies in scene.read().values() for copy in copies}
    found = {"nas": frozenset({"", "127.0.0.1"}), "disk": frozenset({"192.0.2.1"})}
    assert machines == (dict.fromkeys(found, frozenset()) if shows_inodes else found)


def test_the_locks_here_keep_other_processes_off(scene: Scene, stack: ExitStack) -> None:
    scene.session.lock_here(["nas"])
    with ExitStack() as other, pytest.raises(LockedError):
        CleanSession(scene.source, lambda *_: scene.targets["nas"], scene, other).lock_here([])
    stack.close()
    with contextlib.ExitStack() as other:
        CleanSession(scene.source, lambda *_: scene.targets["nas"], scene, other).lock_here(["nas"])
