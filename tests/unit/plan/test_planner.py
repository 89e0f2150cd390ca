"""The plan, as tables of cases and as properties."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import (
    FOLDER_UNREADABLE,
    Entry,
    EntryKind,
    PlanItem,
    Problem,
    Reason,
    Root,
    Run,
    RunState,
    SourceFile,
    SweepInventory,
    SyncPlan,
)
from hsm.plan.destination import DestinationRoot
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.planner import PlanOptions, make_plan, select

SWEEP = "sweep_20251020_212836"
T = 1_760_000_000_123_456_789
RUN = Run("run-1", "/p/wandb", log="run-1.wandb", state=RunState.FINISHED, exit_code=0)


def make_file(path: str, *, size: int = 10, mtime_ns: int = T, run: str = "run-1") -> SourceFile:
    return SourceFile(Root.WANDB, f"{run}/{path}", "/p/wandb", size, mtime_ns, 1, run)


def make_entry(path: str, *, size: int = 10, mtime_ns: int = T, kind: EntryKind = EntryKind.FILE) -> tuple[str, Entry]:
    return path, Entry(path, kind, size, mtime_ns, 7)


def plan(
    files: list[SourceFile],
    *entries: tuple[str, Entry],
    options: PlanOptions | None = None,
    runs: tuple[Run, ...] = (RUN,),
) -> SyncPlan:
    there = DestinationRoot("/d/wandb", EntryKind.FOLDER, entries=dict(entries))
    inventory = SweepInventory(SWEEP, runs=runs, files=tuple(files))
    asked = options or PlanOptions()
    measured = replace(asked, file_systems=asked.file_systems or dict.fromkeys(Root, FileSystem()))
    return make_plan(inventory, {Root.WANDB: there, Root.SWEEPS: there}, measured)


def only(result: SyncPlan) -> PlanItem:
    (item,) = result.items
    return item


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        pytest.param({}, Reason.SAME, id="equal to the nanosecond"),
        pytest.param({"mtime_ns": T - T % 10**9}, Reason.TIME, id="cut to whole seconds, where nothing is cut"),
        pytest.param({"mtime_ns": T - T % 100}, Reason.TIME, id="cut to 100 ns, where nothing is cut"),
        pytest.param({"mtime_ns": T - 1}, Reason.TIME, id="a nanosecond older"),
        pytest.param({"mtime_ns": T - T % 10**9 - 1}, Reason.TIME, id="older than any cut"),
        pytest.param({"size": 9, "mtime_ns": T - 10**10}, Reason.SIZE, id="shorter and older"),
        pytest.param({"size": 9}, Reason.SIZE, id="another size at the same time"),
        pytest.param({"mtime_ns": T + 1}, Reason.CONFLICT, id="a nanosecond newer"),
        pytest.param({"mtime_ns": T + 10**12, "size": 11}, Reason.CONFLICT, id="newer and another size"),
        pytest.param({"kind": EntryKind.FOLDER}, Reason.CONFLICT, id="a folder there"),
        pytest.param({"kind": EntryKind.SYMLINK}, Reason.CONFLICT, id="a symlink there"),
        pytest.param({"kind": EntryKind.OTHER}, Reason.CONFLICT, id="a device there"),
    ],
)
def test_a_file_is_compared_with_what_is_there(there: dict[str, object], reason: Reason) -> None:
    result = plan([make_file("f")], make_entry("run-1/f", **there))  # type: ignore[arg-type]
    assert only(result).reason is reason
    assert bool(result.problems) == (reason is Reason.CONFLICT)


def test_a_missing_file_is_new() -> None:
    assert only(plan([make_file("f")])).reason is Reason.NEW


def test_overwrite_sends_conflicts_of_content_but_not_of_type() -> None:
    options = PlanOptions(overwrite=True)
    newer = plan([make_file("f")], make_entry("run-1/f", mtime_ns=T + 1), options=options)
    folder = plan([make_file("f")], make_entry("run-1/f", kind=EntryKind.FOLDER), options=options)
    assert (only(newer).reason, newer.problems) == (Reason.OVERWRITE, ())
    assert (only(folder).reason, len(folder.problems)) == (Reason.CONFLICT, 1)


def test_a_log_shorter_than_the_targets_is_a_conflict_whatever_its_time() -> None:
    log = make_file("run-1.wandb", size=100)
    result = plan([log], make_entry("run-1/run-1.wandb", size=101, mtime_ns=T - 10**12))
    assert only(result).reason is Reason.CONFLICT
    assert "longer" in result.problems[0].message


def test_a_log_of_one_size_and_an_older_time_there_is_sent() -> None:
    log = make_file("run-1.wandb", size=100)
    result = plan([log], make_entry("run-1/run-1.wandb", size=100, mtime_ns=T - 10**12))
    assert (only(result).reason, result.problems) == (Reason.TIME, ())


@pytest.mark.parametrize("kind", [EntryKind.FILE, EntryKind.SYMLINK, EntryKind.OTHER])
def test_what_is_no_folder_blocks_all_below_it_and_is_told_once(kind: EntryKind) -> None:
    result = plan([make_file("files/a"), make_file("files/b/c"), make_file("x")], make_entry("run-1/files", kind=kind))
    assert [item.reason for item in result.items] == [Reason.CONFLICT, Reason.CONFLICT, Reason.NEW]
    assert [problem.path for problem in result.problems] == ["run-1/files"]


def test_without_the_comparison_all_is_offered_but_types_still_count() -> None:
    options = PlanOptions(is_checked=False)
    result = plan(
        [make_file("same"), make_file("folder")],
        make_entry("run-1/same"),
        make_entry("run-1/folder", kind=EntryKind.FOLDER),
        options=options,
    )
    assert {item.file.path: item.reason for item in result.items} == {
        "run-1/same": Reason.UNCHECKED,
        "run-1/folder": Reason.CONFLICT,
    }
    assert not result.is_checked


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (RunState.FINISHED, Reason.NEW),
        (RunState.FAILED, Reason.NEW),
        (RunState.RUNNING, Reason.UNFINISHED),
        (RunState.UNKNOWN, Reason.UNFINISHED),
    ],
)
def test_the_upload_mark_of_a_run_without_an_exit_record_stays(state: RunState, reason: Reason) -> None:
    run = Run("run-1", "/p/wandb", log="run-1.wandb", state=state)
    result = plan([make_file("run-1.wandb.synced", size=0)], runs=(run,))
    assert only(result).reason is reason


@pytest.mark.parametrize(("mark_ns", "reason"), [(4, Reason.UNFINISHED), (5, Reason.NEW), (6, Reason.NEW)])
def test_an_upload_mark_that_is_older_than_its_log_stays(mark_ns: int, reason: Reason) -> None:
    run = Run("run-1", "/p/wandb", log="run-1.wandb", state=RunState.FINISHED)
    files = [make_file("run-1.wandb"), make_file("run-1.wandb.synced", size=0)]
    result = plan([files[0]._replace(mtime_ns=5), files[1]._replace(mtime_ns=mark_ns)], runs=(run,))
    assert [item.reason for item in result.items] == [Reason.NEW, reason]


@pytest.mark.parametrize(
    ("kind", "path", "is_failure"),
    [
        pytest.param(FOLDER_UNREADABLE, "run-1", True, id="a run that was copied before"),
        pytest.param(FOLDER_UNREADABLE, "run-1/files", True, id="a folder in a run that was copied before"),
        pytest.param(FOLDER_UNREADABLE, "run-2", False, id="a run that never was"),
        pytest.param("folder_linked", "run-1/files", False, id="another problem"),
    ],
)
def test_a_folder_that_can_no_longer_be_read_is_a_failure_where_it_was_copied_before(
    kind: str, path: str, is_failure: bool
) -> None:
    problem = Problem(path, kind, "no", is_failure=False)
    inventory = SweepInventory(SWEEP, problems=(problem,))
    (told,) = make_plan(inventory, {}, PlanOptions(proven={"run-1": "digest"})).problems
    assert told == replace(problem, is_failure=is_failure)


def test_patterns_exclude_by_the_path_inside_the_run() -> None:
    files = [make_file("files/model.ckpt"), make_file("files/keep.txt"), make_file("tmp/x")]
    result = plan(files, options=PlanOptions(exclude=("*.ckpt", "/tmp/")))
    assert [item.reason for item in result.items] == [Reason.NEW, Reason.EXCLUDED, Reason.EXCLUDED]


def media(step: int) -> str:
    return f"files/media/table/t_{step}_{'a' * 20}.table.json"


@pytest.mark.parametrize(
    ("latest_only", "uploaded", "n_sent"),
    [(True, False, 1), (True, True, 1), (False, True, 2), ("uploaded", False, 2), ("uploaded", True, 1)],
)
def test_superseded_media_are_left_as_the_option_says(latest_only: object, uploaded: bool, n_sent: int) -> None:
    from hsm.model import RunVersions

    run = Run("run-1", "/p/wandb", log="run-1.wandb", state=RunState.FINISHED, uploaded=uploaded)
    files = (make_file(media(9)), make_file(media(10)))
    inventory = SweepInventory(SWEEP, runs=(run,), files=files, versions={"run-1": RunVersions()})
    there = DestinationRoot("/d", EntryKind.FOLDER)
    result = make_plan(inventory, {Root.WANDB: there}, PlanOptions(latest_only=latest_only))  # type: ignore[arg-type]
    assert len(result.sends) == n_sent
    details = [item.detail for item in result.items if item.reason is Reason.SUPERSEDED]
    assert details == ["superseded by step 10"] * (2 - n_sent)


def test_a_part_of_an_inventory_is_selected_by_root() -> None:
    sweep_file = SourceFile(Root.SWEEPS, f"outputs/{SWEEP}/c.yaml", "/p/sweeps", 1, T, 1)
    inventory = SweepInventory(SWEEP, runs=(RUN,), files=(sweep_file, make_file("f")), deeper={"logs": 2})
    sweep_only, wandb_only = select(inventory, [Root.SWEEPS]), select(inventory, [Root.WANDB])
    assert (sweep_only.files, sweep_only.runs, sweep_only.deeper) == ((sweep_file,), (), {"logs": 2})
    assert (wandb_only.files, wandb_only.runs, wandb_only.deeper) == ((make_file("f"),), (RUN,), {})


names = st.sampled_from(["a", "b", "files/a", "files/b/c", "run-1.wandb", "run-1.wandb.synced", media(1), media(2)])
times = st.sampled_from([T - 10**10, T - T % 10**9, T, T + 1, T + 10**10])
sizes = st.integers(0, 3)
sources = st.dictionaries(names, st.tuples(sizes, times), max_size=8)
targets = st.dictionaries(
    names | st.just("files"), st.tuples(sizes, times, st.sampled_from(list(EntryKind))), max_size=8
)
options = st.builds(
    PlanOptions,
    latest_only=st.sampled_from([True, False, "uploaded"]),
    exclude=st.sampled_from([(), ("b",), ("files/",)]),
    is_checked=st.booleans(),
    overwrite=st.booleans(),
)


@given(sources, targets, options)
def test_applied_to_a_model_of_the_target_the_plan_gives_the_source_less_what_it_leaves(
    source: dict[str, tuple[int, int]],
    target: dict[str, tuple[int, int, EntryKind]],
    wanted: PlanOptions,
) -> None:
    files = [make_file(name, size=size, mtime_ns=time) for name, (size, time) in source.items()]
    entries = dict(
        make_entry(f"run-1/{name}", size=size, mtime_ns=time, kind=kind) for name, (size, time, kind) in target.items()
    )
    result = plan(files, *entries.items(), options=wanted)
    after = dict(entries)
    for file in result.sends:
        before = after.get(file.path)
        assert before is None or before.kind is EntryKind.FILE, "nothing of another type is replaced"
        parents = [file.path[:i] for i, letter in enumerate(file.path) if letter == "/"]
        assert all(after[p].kind is EntryKind.FOLDER for p in parents if p in after), "nothing is written through"
        after[file.path] = Entry(file.path, EntryKind.FILE, file.size, file.mtime_ns, 0)
    assert [item.file for item in result.items] == sorted(files)
    left = {item.file.path for item in result.items if not item.reason.is_send and item.reason is not Reason.SAME}
    for file in files:
        if file.path not in left:
            arrived = after[file.path]
            assert arrived.size == file.size
            assert file.mtime_ns == arrived.mtime_ns
    untouched = {path for path in entries if path not in {file.path for file in result.sends}}
    assert all(after[path] == entries[path] for path in untouched)


@given(sources, targets, options)
def test_a_plan_is_settled_by_carrying_it_out(
    source: dict[str, tuple[int, int]], target: dict[str, tuple[int, int, EntryKind]], wanted: PlanOptions
) -> None:
    files = [make_file(name, size=size, mtime_ns=time) for name, (size, time) in source.items()]
    entries = dict(
        make_entry(f"run-1/{name}", size=size, mtime_ns=time, kind=kind) for name, (size, time, kind) in target.items()
    )
    first = plan(files, *entries.items(), options=wanted)
    for file in first.sends:
        entries[file.path] = Entry(file.path, EntryKind.FILE, file.size, file.mtime_ns, 0)
    again = PlanOptions(wanted.latest_only, wanted.exclude, is_checked=True, overwrite=wanted.overwrite)
    assert plan(files, *entries.items(), options=again).sends == ()
