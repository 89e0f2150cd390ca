"""Where sweeps stand: what journals and receipts say, and how far that can be believed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.config.settings import SyncOptions
from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Layout, Sweep, look_for_sweeps
from hsm.errors import ExitCode, TargetError, UsageError
from hsm.model import EntryKind, Root, Run, RunState, RunVersions, SourceFile, SweepInventory, SweepKind
from hsm.plan.destination import DestinationRoot
from hsm.plan.digest import make_digest
from hsm.plan.planner import PlanOptions, make_plan
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Journal, make_route, save_journal
from hsm.records.receipt import Receipt, Sender, get_receipt_name, make_receipt_content
from hsm.records.record import SWEEP_FOLDER, RunRecord, make_records
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import LOOSE
from hsm.sync.reports import State, TargetReport
from hsm.sync.status.comparison import make_answer
from hsm.sync.status.document import make_status_document
from hsm.sync.status.receipts import read_received
from hsm.sync.status.report import (
    Asked,
    Question,
    ReceivedStatus,
    StatusReport,
    SweepStatus,
    TargetStatus,
)
from hsm.sync.status.shared_listing import KeptIndex, SharedListing
from hsm.sync.status.standing import SyncState, make_tally
from hsm.sync.status.status import read_received_status, read_sweep_status
from tests.e2e.synthetic import write_file
from tests.unit.wandb_log import log_writer as w

SWEEP = "sweep_20251020_212836"
SENDER = Sender("0123456789abcdef", "login1", "/home/me/p")
RUN = "run-20251020_212903-abc"
TABLES = [f"files/media/table/x_{step}_{'0' * 20}.table.json" for step in (1, 2)]


def make_inventory(
    *names: str, size: int = 10, is_ended: bool = True, sweep_files: Sequence[str] = ()
) -> SweepInventory:
    state = RunState.FINISHED if is_ended else RunState.UNKNOWN
    files = [SourceFile(Root.WANDB, f"{RUN}/{name}", "/p/wandb", size, 5, 1, RUN) for name in names]
    files += [SourceFile(Root.SWEEPS, f"outputs/{SWEEP}/{name}", "/p/sweeps", 7, 5, 1) for name in sweep_files]
    return SweepInventory(SWEEP, (Run(RUN, "/p/wandb", state=state),), tuple(files), {RUN: RunVersions()})


def prove(inventory: SweepInventory, **options: Any) -> dict[str, RunRecord]:
    """The records of a sync that sent everything that counts."""
    empty = {root: DestinationRoot("/x", EntryKind.FOLDER) for root in Root}
    plan = make_plan(inventory, empty, PlanOptions(**options))
    return make_records(plan, {(file.root, file.path): file for file in plan.sends})


BASE = make_inventory("a.wandb", *TABLES)
OPEN = RunRecord("finished", 0, n_files=1, n_bytes=1, digest="0", left={"not proven": 1})


@pytest.mark.parametrize(
    ("records", "inventory", "options", "expected"),
    [
        pytest.param(prove(BASE), BASE, {}, SyncState.COMPLETE, id="as it was proven"),
        pytest.param(prove(BASE, latest_only=False), BASE, {}, SyncState.COMPLETE, id="with all versions"),
        pytest.param(
            prove(BASE, exclude=("*.wandb",)), BASE, {"exclude": ("*.wandb",)}, SyncState.COMPLETE, id="with an exclude"
        ),
        pytest.param(
            prove(BASE, latest_only=False, exclude=("*.wandb",)),
            BASE,
            {"exclude": ("*.wandb",)},
            SyncState.COMPLETE,
            id="with all versions and an exclude",
        ),
        pytest.param(
            prove(BASE, exclude=("*.wandb",)), BASE, {}, SyncState.PENDING, id="an exclude that is gone meanwhile"
        ),
        pytest.param({}, BASE, {}, SyncState.PENDING, id="new"),
        pytest.param(prove(BASE), make_inventory("a.wandb", *TABLES, size=11), {}, SyncState.PENDING, id="grown"),
        pytest.param(prove(BASE), make_inventory("a.wandb", "b", *TABLES), {}, SyncState.PENDING, id="a new file"),
        pytest.param(prove(BASE), make_inventory("a.wandb"), {}, SyncState.PENDING, id="a file is gone here"),
        pytest.param(
            prove(make_inventory("a", is_ended=False)),
            make_inventory("a", is_ended=False),
            {},
            SyncState.SENT,
            id="without an end",
        ),
        pytest.param({RUN: OPEN}, BASE, {}, SyncState.UNSETTLED, id="not proven"),
        pytest.param({RUN: replace(OPEN, left={"conflict": 2})}, BASE, {}, SyncState.UNSETTLED, id="conflict"),
        pytest.param({RUN: replace(OPEN, left={"superseded": 2})}, BASE, {}, SyncState.PENDING, id="left out alone"),
        pytest.param(prove(BASE), SweepInventory(SWEEP), {}, SyncState.COMPLETE, id="complete, and gone here"),
        pytest.param({RUN: OPEN}, SweepInventory(SWEEP), {}, SyncState.UNSETTLED, id="open, and gone here"),
        pytest.param(prove(BASE), None, {}, SyncState.COMPLETE, id="nothing here tells"),
        pytest.param({RUN: replace(OPEN, left={})}, None, {}, SyncState.SENT, id="nothing here tells of an open one"),
    ],
)
def test_standing_of_a_run(
    records: dict[str, RunRecord], inventory: SweepInventory | None, options: dict[str, Any], expected: SyncState
) -> None:
    tally = make_tally(records, inventory, SyncOptions(**options), roots=tuple(Root))
    assert tally.runs == {RUN: expected}
    assert tally.is_complete is (expected is SyncState.COMPLETE)
    here = sum(file.size for file in inventory.files) if inventory is not None else 0
    assert tally.pending_bytes == (here if expected in (SyncState.PENDING, SyncState.UNSETTLED) else 0)


def test_numbers_are_those_of_the_records() -> None:
    tally = make_tally(prove(BASE), BASE, SyncOptions(), roots=tuple(Root))
    assert (tally.n_files, tally.n_bytes, tally.left) == (2, 20, {"superseded": 1})
    assert (tally.is_complete, tally.is_whole) == (True, False)
    everything = prove(BASE, latest_only=False)
    assert make_tally(everything, BASE, SyncOptions(), roots=tuple(Root)).is_whole


def test_the_sweep_folder_counts_where_it_is_brought() -> None:
    inventory = make_inventory("a", sweep_files=("sweep.yaml",))
    records = prove(inventory)
    assert make_tally(records, inventory, SyncOptions(), roots=tuple(Root)).is_complete
    changed = make_inventory("a", sweep_files=("sweep.yaml", "new.txt"))
    tally = make_tally(records, changed, SyncOptions(), roots=tuple(Root))
    assert (tally.sweep_folder, tally.is_complete, tally.pending_bytes) == (SyncState.PENDING, False, 14)
    del records[SWEEP_FOLDER]
    assert not make_tally(records, inventory, SyncOptions(), roots=tuple(Root)).is_complete
    assert make_tally(records, inventory, SyncOptions(), roots=(Root.WANDB,)).is_complete


def test_nothing_at_all_is_not_complete() -> None:
    assert not make_tally({}, SweepInventory(SWEEP), SyncOptions(), roots=tuple(Root)).is_complete
    tally = make_tally({SWEEP_FOLDER: RunRecord()}, None, SyncOptions(), roots=tuple(Root))
    assert (tally.sweep_folder, tally.is_complete) == (None, False)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3)), unique_by=lambda pair: pair[0], min_size=1))
def test_complete_is_exactly_what_was_proven(files: list[tuple[str, int]]) -> None:
    inventory = make_inventory("a", "b")
    changed = replace(
        inventory,
        files=tuple(SourceFile(Root.WANDB, f"{RUN}/{name}", "/p/wandb", size, 5, 1, RUN) for name, size in files),
    )
    is_same = make_digest(changed.files) == make_digest(inventory.files)
    tally = make_tally(prove(inventory), changed, SyncOptions(), roots=tuple(Root))
    assert tally.is_complete is is_same


# -- receipts ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return a project that has received a sweep of one run."""
    project = tmp_path / "project"
    for name, content in ((f"wandb/{RUN}/a.wandb", "0123456789"), (f"sweeps/outputs/{SWEEP}/sweep.yaml", "x: 1")):
        path = project / name
        path.parent.mkdir(parents=True)
        path.write_text(content)
        os.utime(path, ns=(5, 5))
    write_receipt(project)
    return Layout(str(project), str(project / "sweeps"), str(project / "wandb"))


def make_record(*, root: Root, path: str, size: int, **changes: Any) -> RunRecord:
    file = SourceFile(root, path, "", size, 5, 0)
    return replace(RunRecord("finished", 0, True, True, 1, size, make_digest([file])), **changes)


def write_receipt(project: Path, *, name: str = get_receipt_name(SENDER.id), **changes: Any) -> Path:
    records = {
        RUN: make_record(root=Root.WANDB, path=f"{RUN}/a.wandb", size=10),
        SWEEP_FOLDER: make_record(root=Root.SWEEPS, path=f"outputs/{SWEEP}/sweep.yaml", size=4, state=""),
    }
    runs = {**records, **changes.pop("runs", {})}
    receipt = replace(Receipt(SWEEP, SENDER, 3, "2025-10-20T21:30:00+00:00", runs), **changes)
    path = project / f"sweeps/outputs/{SWEEP}/.hsm-sync" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(make_receipt_content(receipt))
    return path


def read_one(layout: Layout) -> ReceivedStatus:
    sweep = Sweep(SWEEP, layout.sweeps, f"{layout.sweeps}/outputs/{SWEEP}")
    (received,) = read_received(LocalEndpoint(), layout, sweep)
    return received


def test_what_was_received_is_complete_and_whole(layout: Layout) -> None:
    received = read_one(layout)
    assert (received.is_complete, received.is_whole, received.missing) == (True, True, ())
    assert received.exact == {RUN, SWEEP_FOLDER}
    assert (received.source, received.n_files, received.n_bytes) == (SENDER, 2, 14)
    assert received.runs == {RUN: SyncState.COMPLETE}


def test_other_times_and_further_files_are_not_missing_but_not_exact(layout: Layout) -> None:
    os.utime(f"{layout.wandb}/{RUN}/a.wandb", ns=(6, 6))
    Path(f"{layout.sweeps}/outputs/{SWEEP}/own.txt").write_text("mine")
    received = read_one(layout)
    assert (received.is_complete, received.exact, received.missing) == (True, frozenset(), ())


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_text("012345678"), id="shorter"),
        pytest.param(lambda path: path.rename(path.with_name(".hsm-a")), id="under a name of HSM's own"),
        pytest.param(lambda path: (path.unlink(), path.symlink_to("/etc/services")), id="a symlink"),
    ],
)
def test_what_is_less_than_was_proven_is_missing(layout: Layout, harm: Callable[[Path], object]) -> None:
    harm(Path(f"{layout.wandb}/{RUN}/a.wandb"))
    received = read_one(layout)
    assert (received.is_complete, received.missing) == (False, (RUN,))


def test_what_was_not_complete_there_is_not_here(layout: Layout) -> None:
    record = make_record(root=Root.WANDB, path=f"{RUN}/a.wandb", size=10, is_complete=False, is_whole=False)
    write_receipt(Path(layout.project), runs={RUN: record})
    received = read_one(layout)
    assert (received.is_complete, received.missing, received.runs) == (False, (), {RUN: SyncState.SENT})


def test_a_sweep_folder_that_was_not_brought_does_not_count(layout: Layout) -> None:
    write_receipt(Path(layout.project), runs={SWEEP_FOLDER: RunRecord()})
    received = read_one(layout)
    assert (received.is_complete, received.sweep_folder) == (True, None)


def change_document(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


RECORD = {**json.loads(make_receipt_content(Receipt(SWEEP, SENDER, 1, "", {RUN: OPEN})))["runs"][RUN]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sweep": "sweep_other"}, "another sweep"),
        ({"schema": 99}, "schema 99"),
        ({"source": {"id": 5, "host": "h", "path": "p"}}, "not named in words"),
        ({"source": {"id": "f" * 16, "host": "h", "path": "p"}}, "its name is not that of its source"),
        ({"runs": {"../../etc": RECORD}}, "no name of a run"),
        ({"runs": {"run-../../../etc": RECORD}}, "no name of a run"),
        ({"runs": {"run-a\0b": RECORD}}, "no name of a run"),
        ({"runs": {RUN: {**RECORD, "n_bytes": -1}}}, "contradicts itself"),
        ({"runs": {RUN: {**RECORD, "is_whole": True}}}, "contradicts itself"),
        ({"runs": {RUN: {**RECORD, "n_files": True}}}, "no record of a run"),
        ({"runs": []}, "no receipt"),
    ],
    ids=str,
)
def test_a_receipt_that_cannot_be_is_not_used(layout: Layout, change: dict[str, Any], reason: str) -> None:
    change_document(write_receipt(Path(layout.project)), **change)
    received = read_one(layout)
    assert (received.source, received.is_complete, received.runs) == (None, False, {})
    (problem,) = received.problems
    assert (problem.kind, problem.is_failure) == ("damaged_receipt", True)
    assert reason in problem.message


def test_a_receipt_is_a_regular_file(layout: Layout, tmp_path: Path) -> None:
    path = write_receipt(Path(layout.project))
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert read_one(layout).source is None
    path.unlink()
    os.mkfifo(path)
    assert read_one(layout).source is None


def test_other_files_beside_receipts_are_none(layout: Layout) -> None:
    folder = write_receipt(Path(layout.project)).parent
    for name in ("lock", "receipt-.json", "receipt-0123456789abcdef.json.old", "receipt-0123456789ABCDEF.json"):
        (folder / name).write_text("{")
    assert read_one(layout).is_complete


def test_several_sources_are_told_apart(layout: Layout) -> None:
    other = Sender("f" * 16, "login2", "/home/me/p")
    write_receipt(Path(layout.project), name=get_receipt_name(other.id), source=other)
    sweep = Sweep(SWEEP, layout.sweeps, f"{layout.sweeps}/outputs/{SWEEP}")
    hosts = [received.source.host for received in read_received(LocalEndpoint(), layout, sweep) if received.source]
    assert hosts == ["login1", "login2"]


def test_a_project_without_a_configuration_tells_what_it_received(layout: Layout) -> None:
    report = read_received_status(Path(layout.project), ["latest"])
    assert (report.exit_code, [sweep.sweep for sweep in report.sweeps]) == (ExitCode.DONE, [SWEEP])
    Path(layout.sweeps, "outputs", "sweep_never_received").mkdir()
    assert len(read_received_status(Path(layout.project), []).sweeps) == 1
    assert read_received_status(Path(layout.project), ["sweep_never"]).exit_code is ExitCode.PARTIAL
    with pytest.raises(UsageError):
        read_received_status(Path(layout.project), ["sweep_nowhere"])


# -- which rows there are ---------------------------------------------------------------------------------------------

CONFIG = """\
default_target: desktop
sync_targets:
  desktop: {host: h, paths: {sweeps: ~/s, wandb: ~/w}}
  backup: {host: b, paths: {sweeps: ~/s, wandb: ~/w}}
sweeps:
  "sweep_2024*": {paths: {wandb: /old}}
"""


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    """Return a project with one sweep that was never synced."""
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm/sync_config.yaml").write_text(CONFIG)
    add_sweep(tmp_path, SWEEP)
    (tmp_path / "wandb").mkdir()
    return load_project_config(tmp_path)


def add_sweep(project: Path, sweep: str) -> None:
    folder = project / "sweeps/outputs" / sweep
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text("x: 1")


def write_journal(loaded: LoadedConfig, target: str, sweep: str, *, direction: str = "push", **changes: Any) -> Path:
    path = ProjectFolder(loaded.project).journal(target, sweep)
    route = make_route(loaded.config.sync_targets[target], direction=direction)
    save_journal(path, replace(Journal(route, runs={RUN: replace(OPEN, is_complete=True)}), **changes))
    return path


def list_rows(report: StatusReport) -> list[tuple[str, str]]:
    return [(sweep.sweep, row.name) for sweep in report.sweeps for row in sweep.targets]


def test_default_targets_are_shown_and_those_that_were_synced_with(loaded: LoadedConfig) -> None:
    add_sweep(loaded.project, "sweep_20251021_000000")
    write_journal(loaded, "backup", SWEEP)
    assert list_rows(read_sweep_status(loaded, [])) == [
        (SWEEP, "desktop"),
        (SWEEP, "backup"),
        ("sweep_20251021_000000", "desktop"),
    ]
    assert list_rows(read_sweep_status(loaded, ["sweep_20251021"], ["backup"])) == [("sweep_20251021_000000", "backup")]


def test_a_sweep_that_is_gone_here_is_known_by_its_journal(loaded: LoadedConfig) -> None:
    write_journal(loaded, "desktop", "sweep_gone")
    report = read_sweep_status(loaded, [])
    assert list_rows(report) == [(SWEEP, "desktop"), ("sweep_gone", "desktop")]
    assert report.sweeps[1].is_complete
    assert list_rows(read_sweep_status(loaded, ["sweep_gone"])) == [("sweep_gone", "desktop")]


def test_a_sweep_with_a_very_long_name_is_there_once(loaded: LoadedConfig) -> None:
    name = f"sweep_{'x' * 230}"
    add_sweep(loaded.project, name)
    write_journal(loaded, "desktop", name)
    assert len(read_sweep_status(loaded, []).sweeps) == 2


def test_a_sweep_that_was_received_and_never_sent_has_no_target(loaded: LoadedConfig) -> None:
    write_receipt(loaded.project)
    (sweep,) = read_sweep_status(loaded, []).sweeps
    assert (len(sweep.targets), len(sweep.received)) == (0, 1)
    (sweep,) = read_sweep_status(loaded, [], ["desktop"]).sweeps
    assert (len(sweep.targets), len(sweep.received)) == (1, 0)
    write_journal(loaded, "backup", SWEEP)
    (sweep,) = read_sweep_status(loaded, []).sweeps
    assert (len(sweep.targets), len(sweep.received)) == (2, 1)


def test_a_sweep_in_two_places_is_named_and_open(loaded: LoadedConfig) -> None:
    (loaded.project / "outputs" / SWEEP).mkdir(parents=True)
    (sweep,) = read_sweep_status(loaded, []).sweeps
    assert ([problem.kind for problem in sweep.problems], sweep.is_complete) == (["ambiguous_sweep"], False)


def test_a_journal_of_a_pull_is_read_as_such(loaded: LoadedConfig) -> None:
    write_journal(loaded, "desktop", SWEEP, direction="pull", updated_ns=7, last_error="It broke.")
    ((row,),) = [sweep.targets for sweep in read_sweep_status(loaded, []).sweeps]
    assert (row.direction, row.updated_ns, row.last_error, row.is_complete) == ("pull", 7, "It broke.", True)


def test_a_journal_of_another_place_counts_for_nothing_and_stays(loaded: LoadedConfig) -> None:
    path = write_journal(loaded, "desktop", SWEEP)
    before = path.read_bytes()
    text = CONFIG.replace("sweep_2024*", "sweep_2025*")
    (loaded.project / ".hsm/sync_config.yaml").write_text(text)
    ((row,),) = [sweep.targets for sweep in read_sweep_status(load_project_config(loaded.project), []).sweeps]
    assert [problem.kind for problem in row.problems] == ["new_route", "no_runs"]  # there were runs, and none is here
    assert (row.tally.runs, row.is_complete) == ({}, False)
    assert (path.read_bytes(), [path.name]) == (before, os.listdir(path.parent))


def test_a_journal_of_a_newer_version_is_a_failure_of_its_row_alone(loaded: LoadedConfig) -> None:
    write_journal(loaded, "backup", SWEEP)
    path = ProjectFolder(loaded.project).journal("desktop", SWEEP)
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 999, "hsm": "99"}')
    (sweep,) = read_sweep_status(loaded, []).sweeps
    assert [[problem.kind for problem in row.problems] for row in sweep.targets] == [["newer_schema"], []]
    assert read_sweep_status(loaded, []).exit_code is ExitCode.PARTIAL


def test_reading_changes_nothing_but_the_cache(loaded: LoadedConfig) -> None:
    write_journal(loaded, "desktop", SWEEP)
    before = {path: path.lstat().st_mtime_ns for path in loaded.project.rglob("*") if path.is_file()}
    read_sweep_status(loaded, [])
    after = {path: path.lstat().st_mtime_ns for path in loaded.project.rglob("*") if path.is_file()}
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed <= {loaded.project / ".hsm/cache" / name for name in ("runs.json", "folders.json")}


def test_targets_are_asked_for_the_rows_that_there_are(loaded: LoadedConfig) -> None:
    write_journal(loaded, "backup", SWEEP, direction="pull", runs={})
    asked: list[Question] = []

    def ask(questions: Sequence[Question]) -> dict[Question, Asked]:
        asked.extend(questions)
        return {questions[0]: Asked("planned", is_complete=True)}

    (sweep,) = read_sweep_status(loaded, [], ask=ask).sweeps
    assert asked == [(SWEEP, "desktop", "push"), (SWEEP, "backup", "pull")]
    assert [row.asked is not None for row in sweep.targets] == [True, False]
    assert sweep.targets[0].is_complete


# -- the whole --------------------------------------------------------------------------------------------------------

COMPLETE = SweepStatus(
    "a", (TargetStatus("t", "push", make_tally(prove(BASE), BASE, SyncOptions(), roots=tuple(Root))),)
)
PENDING = SweepStatus("b", (TargetStatus("t", "push", make_tally({}, BASE, SyncOptions(), roots=tuple(Root))),))


@pytest.mark.parametrize(
    ("sweeps", "expected"),
    [
        ((), ExitCode.PARTIAL),
        ((COMPLETE,), ExitCode.DONE),
        ((PENDING,), ExitCode.PARTIAL),
        ((COMPLETE, PENDING), ExitCode.PARTIAL),
        ((SweepStatus("empty"),), ExitCode.PARTIAL),
        ((replace(COMPLETE, received=(ReceivedStatus("receipt"),)),), ExitCode.PARTIAL),
    ],
    ids=str,
)
def test_exit_code(sweeps: tuple[SweepStatus, ...], expected: ExitCode) -> None:
    report = StatusReport(sweeps)
    assert report.exit_code is expected
    assert json.loads(json.dumps(make_status_document(report)))["exit_code"] == int(expected)


def test_a_question_that_was_interrupted_ends_with_130() -> None:
    (row,) = COMPLETE.targets
    asked = replace(COMPLETE, targets=(row, replace(row, asked=Asked("interrupted"))))
    assert StatusReport((COMPLETE, asked)).exit_code is ExitCode.INTERRUPTED


def test_what_the_target_says_counts_first() -> None:
    (row,) = COMPLETE.targets
    assert not replace(row, asked=Asked("planned", n_files=1)).is_complete
    (row,) = PENDING.targets
    assert replace(row, asked=Asked("planned", is_complete=True)).is_complete


def test_an_answer_is_complete_when_every_run_is_equal_and_has_ended() -> None:
    def answer(inventory: SweepInventory, *, is_sent: bool, **changes: Any) -> Asked:
        empty = {root: DestinationRoot("/x", EntryKind.FOLDER) for root in Root}
        plan = make_plan(inventory, empty, PlanOptions())
        if not is_sent:
            plan = replace(plan, items=tuple(item._replace(reason=type(item.reason).SAME) for item in plan.items))
        return make_answer(replace(TargetReport("t", State.PLANNED, ExitCode.DONE, plan=plan), **changes))

    assert answer(BASE, is_sent=False).is_complete
    asked = answer(BASE, is_sent=True)
    assert (asked.is_complete, asked.n_files, asked.n_bytes) == (False, 2, 20)
    assert not answer(make_inventory("a", is_ended=False), is_sent=False).is_complete
    assert not answer(BASE, is_sent=False, exit_code=ExitCode.PARTIAL).is_complete
    assert not answer(SweepInventory(SWEEP), is_sent=False).is_complete
    failed = make_answer(TargetReport("t", State.UNREACHABLE, ExitCode.UNREACHABLE, TargetError("gone")))
    assert (failed.is_complete, failed.state, str(failed.error)) == (False, "unreachable", "gone")


# -- many sweeps over one wandb folder --------------------------------------------------------------------------------


def test_runs_in_a_further_wandb_folder_are_read_whole(tmp_path: Path) -> None:
    folder = tmp_path / "eval/wandb/run-20251020_212836-a"
    write_file(folder / "run-a.wandb", w.frame([w.run("a")]))
    write_file(folder / "files/media/deep/x.txt", b"x")
    layout = Layout(str(tmp_path), str(tmp_path / "sweeps"), str(tmp_path / "wandb"), (str(folder.parent),))
    loose = Sweep(LOOSE, kind=SweepKind.LOOSE)
    for endpoint in (SharedListing(layout, KeptIndex(), frozenset()), LocalEndpoint()):
        found = read_inventory(endpoint, layout, loose, max_depth=1, index=RunIndex(), known_sweeps=())
        assert {file.path.partition("/")[2] for file in found.files} == {"files/media/deep/x.txt", "run-a.wandb"}


def test_each_sweep_is_shown_the_same_runs_as_alone(copy_project: Callable[[Path], Path], tmp_path: Path) -> None:
    project = copy_project(tmp_path / "many")
    wandb = project / "wandb"
    flat = sorted(wandb.glob("offline-run-*"))
    (wandb / "wandb").mkdir()
    flat[0].rename(wandb / "wandb" / flat[0].name)
    (wandb / "offline-run-20251025_000000-empty").mkdir()
    (wandb / "offline-run-20251025_000001-link").symlink_to(flat[1])
    shutil.copytree(flat[2], wandb / "wandb" / flat[2].name, symlinks=True)
    add_sweep(project, "sweep_20251022_000000")
    layout = Layout(str(project), str(project / "sweeps"), str(wandb))
    known = look_for_sweeps(LocalEndpoint(), layout).sweeps
    ids = frozenset(sweep.id for sweep in known)
    index = KeptIndex()
    shared = SharedListing(layout, index, ids)
    n_runs = []
    for sweep in known:
        together = read_inventory(shared, layout, sweep, max_depth=1, index=index, known_sweeps=ids)
        alone = read_inventory(LocalEndpoint(), layout, sweep, max_depth=1, index=RunIndex(), known_sweeps=ids)
        assert together.runs == alone.runs
        assert sorted(together.files) == sorted(alone.files)
        assert set(together.problems) == set(alone.problems)
        n_runs.append(len(alone.runs))
    assert n_runs == [17, 15, 0]
    assert len(cast("dict[str, object]", index.make_document()["logs"])) == 35
