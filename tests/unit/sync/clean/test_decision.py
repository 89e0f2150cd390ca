"""What a clean may remove: the decision, case by case, and that it never says yes without proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.model import Entry, EntryKind, Root, Run, RunState, SourceFile
from hsm.plan.digest import make_digest
from hsm.plan.disk.file_system import FileSystem
from hsm.records.cleaned import CleanedFile, CleanedUnit
from hsm.records.record import RunRecord
from hsm.sync.clean.comparison import count_places, list_twins
from hsm.sync.clean.decision import decide, decide_all, find_holders, is_too_early, keep_what_links_need
from hsm.sync.clean.folders.nesting import keep_folder
from hsm.sync.clean.values import HERE, CleanOptions, Copy, ProjectLink, Seen, Unit, UnitVerdict

NOW = 1_800_000_000 * 10**9
T = 1_760_000_000_123_456_789
NAME = "run-20251020_212836-abc"
RUN = Run(NAME, "/p/wandb", log="run-abc.wandb", state=RunState.FINISHED, exit_code=0)
PATHS = ("run-abc.wandb", "files/output.log", "files/media/images/x_1_0123456789abcdef0123.png")
SUPERSEDED = PATHS[2]


def sum_of(path: str) -> str:
    return f"{sum(path.encode()):064x}"


def make_file(path: str, *, is_link: bool = False) -> SourceFile:
    return SourceFile(Root.WANDB, f"{NAME}/{path}", "/p/wandb", len(path), T, 7, NAME, is_link)


def make_unit(paths: tuple[str, ...] = PATHS, **changes: Any) -> Unit:
    entries: dict[str, Seen] = {}
    for number, path in enumerate(paths, start=100):
        for end in [index for index, letter in enumerate(path) if letter == "/"]:
            entries[path[:end]] = Seen(EntryKind.FOLDER, 0, 0, 0, 50, 1)
        entries[path] = Seen(EntryKind.FILE, len(path), T, T, number, 1)
    unit = Unit(
        NAME,
        f"/p/wandb/{NAME}",
        run=RUN,
        needs_receipt=True,
        entries=entries,
        files={path: make_file(path) for path in paths},
        checksums={path: sum_of(path) for path in paths},
    )
    return replace(unit, **changes)


def make_record(unit: Unit, **changes: Any) -> RunRecord:
    files = list(unit.files.values())
    record = RunRecord("finished", 0, True, True, len(files), sum(file.size for file in files), make_digest(files))
    return replace(record, **changes)


def make_copy(unit: Unit, target: str = "nas", **changes: Any) -> Copy:
    entries = {
        path: Entry(path, EntryKind.FILE, file.size, file.mtime_ns, 900 + index)
        for index, (path, file) in enumerate(unit.files.items())
    }
    for path, seen in unit.entries.items():
        if seen.kind is EntryKind.FOLDER:
            entries[path] = Entry(path, EntryKind.FOLDER, 0, 0, 5)
    copy = Copy(target, f"place of {target}", make_record(unit), entries, dict(unit.checksums), is_listed=True)
    return replace(copy, **changes)


def judge(unit: Unit, *copies: Copy, **options: Any) -> UnitVerdict:
    return decide(unit, copies, CleanOptions(**options), now_ns=NOW)


def say(verdict: UnitVerdict) -> str:
    lacks = [f"{lack.path} {lack.why}" for found in verdict.lacks.values() for lack in found]
    return "\n".join([*verdict.reasons, *lacks])


def test_what_is_whole_there_goes() -> None:
    unit = make_unit()
    verdict = judge(unit, make_copy(unit))
    assert (verdict.goes, verdict.copies, verdict.reasons, verdict.lacks) == (True, ("nas",), (), {})


def test_a_run_whose_log_names_the_sweep_needs_no_receipt() -> None:
    unit = make_unit(needs_receipt=False)
    assert judge(unit, make_copy(unit, is_listed=False)).goes


def test_without_a_target_nothing_goes() -> None:
    assert not judge(make_unit()).goes


# -- what lies here ---------------------------------------------------------------------------------------------------


def add(path: str, kind: EntryKind, link: str = "") -> Callable[[Unit], Unit]:
    size = 3 if kind is EntryKind.FILE else 0
    return lambda unit: replace(unit, entries={**unit.entries, path: Seen(kind, size, T, T, 8, 1, link)})


def see(path: str, **changes: Any) -> Callable[[Unit], Unit]:
    return lambda unit: replace(unit, entries={**unit.entries, path: unit.entries[path]._replace(**changes)})


def drop(field: str, path: str) -> Callable[[Unit], Unit]:
    def change(unit: Unit) -> Unit:
        return replace(unit, **{field: {name: value for name, value in getattr(unit, field).items() if name != path}})

    return change


LOG = PATHS[0]
KEEPS: dict[str, tuple[Callable[[Unit], Unit], str]] = {
    "a file that no sync knows": (add("files/new", EntryKind.FILE), "files/new: is never sent"),
    "a file named as a receipt": (add(".hsm-sync/receipt-1.json", EntryKind.FILE), "is never sent"),
    "a symlink that is not sent": (add("files/data", EntryKind.SYMLINK, "/usr"), "files/data: is a symlink"),
    "wandb's link elsewhere": (add("files/debug.log", EntryKind.SYMLINK, "/x"), "is a symlink"),
    "a socket": (add("files/s", EntryKind.OTHER), "files/s: is a socket"),
    "an empty folder of the user's": (add("files/kept", EntryKind.FOLDER), "files/kept is an empty folder"),
    "an empty folder of HSM's": (add(".hsm-partial", EntryKind.FOLDER), "HSM's own"),
    "another size than listed": (see(LOG, size=1), "changes while it is looked at"),
    "another time than listed": (see(LOG, mtime_ns=T + 1), "changes while it is looked at"),
    "a symlink that was a file": (see(LOG, kind=EntryKind.SYMLINK), "changes while it is looked at"),
    "a folder that was a file": (see(LOG, kind=EntryKind.FOLDER, size=0), "changes while it is looked at"),
    "a file that is gone": (drop("entries", LOG), "is no longer here"),
    "a file that cannot be read": (drop("checksums", LOG), "cannot be read"),
    "what was met while looking": (lambda unit: replace(unit, blocks=("it is a symlink",)), "it is a symlink"),
    "no run": (lambda unit: replace(unit, run=None), "has not ended"),
    "a run that goes on": (lambda unit: replace(unit, run=replace(RUN, state=RunState.RUNNING)), "(running)"),
    "a run that was killed": (lambda unit: replace(unit, run=replace(RUN, state=RunState.UNKNOWN)), "(unknown)"),
    "a log that moves": (lambda unit: replace(unit, run=replace(RUN, at_rest=False)), "its log has been written"),
    "a file of this moment": (see(LOG, mtime_ns=NOW - 9 * 10**9), "last 10 seconds"),
    "a file of tomorrow": (see(LOG, mtime_ns=NOW + 10**15), "last 10 seconds"),
}


@pytest.mark.parametrize("name", KEEPS)
def test_what_lies_here_keeps_a_run(name: str) -> None:
    whole = make_unit()
    change, words = KEEPS[name]
    unit = change(whole)
    verdict = judge(unit, make_copy(whole))
    assert not verdict.goes
    assert words in say(verdict)


def test_what_wandb_leaves_in_every_run_is_not_missed() -> None:
    whole = make_unit()
    unit = add("logs/debug-core.log", EntryKind.SYMLINK, "/cache/x.log")(add("tmp/code", EntryKind.FOLDER)(whole))
    unit = add("logs", EntryKind.FOLDER)(add("tmp", EntryKind.FOLDER)(unit))
    assert judge(unit, make_copy(whole)).goes


def test_an_empty_folder_that_is_there_too_is_not_missed() -> None:
    unit = add("files/kept", EntryKind.FOLDER)(make_unit())
    assert judge(unit, make_copy(unit)).goes


def test_a_symlink_that_is_sent_counts_by_its_content() -> None:
    unit = make_unit()
    files = {**unit.files, LOG: make_file(LOG, is_link=True)}
    unit = see(LOG, kind=EntryKind.SYMLINK, size=0, link_target="/x")(replace(unit, files=files))
    assert judge(unit, make_copy(unit)).goes
    assert not judge(unit, make_copy(unit, checksums={**unit.checksums, LOG: "0" * 64})).goes


# -- what lies there --------------------------------------------------------------------------------------------------


def entry(path: str, **changes: Any) -> Callable[[Copy], Copy]:
    return lambda copy: replace(copy, entries={**copy.entries, path: copy.entries[path]._replace(**changes)})


def without(path: str) -> Callable[[Copy], Copy]:
    return lambda copy: replace(copy, entries={name: each for name, each in copy.entries.items() if name != path})


def record(**changes: Any) -> Callable[[Copy], Copy]:
    return lambda copy: replace(copy, record=copy.record and replace(copy.record, **changes))


LACKS: dict[str, tuple[Callable[[Copy], Copy], str]] = {
    "a missing file": (without(LOG), f"{LOG} is not there"),
    "another size": (entry(LOG, size=1), "differs there"),
    "a folder": (entry(LOG, kind=EntryKind.FOLDER), "is no file there"),
    "a symlink": (entry(LOG, kind=EntryKind.SYMLINK), "is no file there"),
    "another checksum": (lambda copy: replace(copy, checksums={**copy.checksums, LOG: "0" * 64}), "differs there"),
    "no checksum": (lambda copy: replace(copy, checksums={}), "cannot be read there"),
    "no journal": (lambda copy: replace(copy, record=None), "journal does not know"),
    "a journal of an open run": (record(is_complete=False, is_whole=False), "journal does not know"),
    "a journal of other files": (record(digest="0" * 32), "has changed here since"),
    "a journal of fewer files": (record(n_files=2), "has changed here since"),
    "a journal that left something out": (record(left={"excluded": 1}, is_whole=False), "left something out"),
    "a mark made here": (lambda copy: replace(copy, shared=frozenset({HERE})), "the very files here"),
    "no receipt that lists it": (lambda copy: replace(copy, is_listed=False), "would not find it"),
    "no mark can be made": (lambda copy: replace(copy, unmarked="Read-only file system"), "no mark can be made there"),
    "a file that is not on the disk": (
        lambda copy: replace(copy, unflushed={LOG: "sync: Input/output error"}),
        f"{LOG} cannot be written to the disk there: sync: Input/output error",
    ),
    "a hard link by ssh to this machine": (
        lambda copy: replace(entry(LOG, inode=100)(copy), linked=frozenset({LOG})),
        "the very files here",
    ),
    "the same inodes": (
        lambda copy: replace(
            copy,
            entries={
                path: each._replace(inode=100 + PATHS.index(path)) if path in PATHS else each
                for path, each in copy.entries.items()
            },
        ),
        "not a copy",
    ),
    "one hard link": (
        lambda copy: replace(entry(LOG, inode=100)(copy), devices={PATHS[0]: 1, PATHS[1]: 1, PATHS[2]: 1}),
        "not a copy",
    ),
}


@pytest.mark.parametrize("name", LACKS)
def test_what_is_not_proven_there_is_no_copy(name: str) -> None:
    unit = make_unit()
    change, words = LACKS[name]
    verdict = judge(unit, change(make_copy(unit)))
    assert (verdict.goes, verdict.copies) == (False, ())
    assert words in say(verdict)


def test_equal_inodes_of_other_file_systems_are_copies() -> None:
    unit = make_unit()
    copy = entry(LOG, inode=100)(make_copy(unit))
    assert judge(unit, copy).goes
    assert judge(unit, replace(copy, devices=dict.fromkeys(PATHS, 2))).goes


@pytest.mark.parametrize(
    ("there_ns", "step_ns", "goes"),
    [
        (T, 0, True),
        (T // 10**9 * 10**9, 10**9, True),
        (T // 10**9 * 10**9, 1, False),
        (T // 10**9 * 10**9, 0, False),
        (T - 10**10, 10**9, False),
    ],
)
def test_quick_believes_sizes_and_times(there_ns: int, step_ns: int, goes: bool) -> None:
    """Times that are cut count where the file system there was measured to cut them so."""
    unit = make_unit()
    measured = FileSystem(step_ns=step_ns) if step_ns else None
    copy = replace(entry(LOG, mtime_ns=there_ns)(make_copy(unit)), checksums={}, file_system=measured)
    assert judge(unit, copy, is_quick=True).goes is goes
    assert not judge(unit, copy).goes


def test_superseded_media_are_waived_alone_and_only_when_asked() -> None:
    unit = make_unit(superseded=frozenset({SUPERSEDED}))
    kept = [file for path, file in unit.files.items() if path != SUPERSEDED]
    n_bytes = sum(file.size for file in kept)
    digest = make_digest(kept)
    known = make_record(unit, n_files=2, n_bytes=n_bytes, digest=digest, left={"superseded": 1}, is_whole=False)
    copy = replace(without(SUPERSEDED)(make_copy(unit)), record=known)
    assert "superseded" in say(judge(unit, copy))
    assert not judge(unit, copy).goes
    assert not judge(unit, replace(copy, record=make_record(unit))).goes  # it was sent once, and has gone there since
    verdict = judge(unit, copy, allows_superseded=True)
    assert (verdict.goes, verdict.waived) == (True, {SUPERSEDED})
    assert not judge(unit, without(LOG)(copy), allows_superseded=True).goes
    other = replace(copy, record=replace(known, left={"superseded": 1, "excluded": 1}))
    assert not judge(unit, other, allows_superseded=True).goes


def test_what_is_younger_than_asked_stays() -> None:
    unit = make_unit()
    age = NOW - T
    assert judge(unit, make_copy(unit), older_than_ns=age).goes
    verdict = judge(unit, make_copy(unit), older_than_ns=age + 1)
    assert (verdict.goes, verdict.is_open) == (False, True)


# -- places -----------------------------------------------------------------------------------------------------------


def test_copies_are_counted_by_place() -> None:
    unit = make_unit()
    one, two = make_copy(unit, "a"), make_copy(unit, "b")
    moved = replace(two, entries={path: each._replace(inode=each.inode + 50) for path, each in two.entries.items()})
    assert count_places([one, moved], unit) == 2
    assert judge(unit, one, moved, n_copies=2).goes
    assert count_places([one, replace(moved, place=one.place)], unit) == 1
    assert count_places([one, two], unit) == 1  # the same files by hard links, or one place by two names
    verdict = judge(unit, one, two, n_copies=2)
    assert not verdict.goes
    assert "not all different places" in say(verdict)
    apart = [replace(copy, devices=dict.fromkeys(PATHS, number)) for number, copy in enumerate((one, two))]
    assert count_places(apart, unit) == 2


def test_one_hard_link_in_two_places_is_one_copy() -> None:
    """Behind a network the file systems are not known: equal inodes may be chance, a second name of both is none."""
    unit = make_unit()
    one, two = make_copy(unit, "a"), make_copy(unit, "b")
    moved = {path: each._replace(inode=each.inode + 50) for path, each in two.entries.items()}
    two = replace(two, entries={**moved, LOG: two.entries[LOG]})
    assert count_places([one, two], unit) == 2
    assert count_places([replace(one, linked=frozenset({LOG})), two], unit) == 2
    linked = [replace(copy, linked=frozenset({LOG})) for copy in (one, two)]
    assert count_places(linked, unit) == 1
    assert not judge(unit, *linked, n_copies=2).goes
    known = [replace(copy, devices=dict.fromkeys(PATHS, 1)) for copy in (one, two)]
    assert count_places(known, unit) == 1
    apart = [replace(copy, devices=dict.fromkeys(PATHS, number)) for number, copy in enumerate((one, two))]
    assert count_places(apart, unit) == 2


@pytest.mark.parametrize("is_turned", [False, True])
def test_hard_links_are_asked_about_where_one_of_two_file_systems_is_known(is_turned: bool) -> None:
    """A folder of this machine and the same disk over ssh: the order of the targets decides nothing."""
    unit = make_unit()
    known = replace(make_copy(unit, "folder"), devices=dict.fromkeys(PATHS, 7))
    moved = {path: each._replace(inode=each.inode + 50) for path, each in known.entries.items()}
    remote = replace(make_copy(unit, "ssh"), entries={**moved, LOG: known.entries[LOG]})
    copies = [remote, known] if is_turned else [known, remote]
    assert [list_twins(unit, copies, copy.target) for copy in copies] == [[LOG], [LOG]]
    assert count_places([replace(copy, linked=frozenset({LOG})) for copy in copies], unit) == 1
    assert count_places([known, make_copy(unit, "ssh")] if is_turned else [make_copy(unit, "ssh"), known], unit) == 1


@pytest.mark.parametrize("is_turned", [False, True])
def test_without_inodes_only_another_machine_is_another_place(is_turned: bool) -> None:
    """SFTP alone shows no inodes, so on one machine its files may be hard links of the other target's."""
    unit = make_unit()
    known = replace(make_copy(unit, "folder"), devices=dict.fromkeys(PATHS, 7), machine=frozenset({""}))
    blind = {path: each._replace(inode=0) for path, each in known.entries.items()}
    sftp = replace(make_copy(unit, "sftp"), entries=blind, machine=frozenset({"", "127.0.0.1"}))

    def judge_both(sftp: Copy) -> UnitVerdict:
        return judge(unit, *((sftp, known) if is_turned else (known, sftp)), n_copies=2)

    verdict = judge_both(sftp)
    assert not verdict.goes
    assert "SFTP shows no inodes, so hard links cannot be excluded" in say(verdict)
    assert not judge_both(replace(sftp, machine=frozenset())).goes
    assert judge_both(replace(sftp, machine=frozenset({"192.0.2.1"}))).goes
    assert judge(unit, sftp).goes


def test_only_files_that_may_be_the_same_are_asked_about() -> None:
    unit = make_unit()
    one, two = make_copy(unit, "a"), make_copy(unit, "b")
    moved = replace(two, entries={path: each._replace(inode=each.inode + 50) for path, each in two.entries.items()})
    assert list_twins(unit, [one, moved], "a") == []
    assert list_twins(unit, [one, two], "a") == [*PATHS]
    assert list_twins(unit, [entry(LOG, inode=unit.entries[LOG].inode)(one), moved], "a") == [LOG]


def test_a_mark_that_is_seen_makes_two_places_one() -> None:
    unit = make_unit()
    one, two = make_copy(unit, "a"), make_copy(unit, "b")
    two = replace(two, entries={path: each._replace(inode=each.inode + 50) for path, each in two.entries.items()})
    assert count_places([one, two], unit) == 2
    assert count_places([replace(one, shared=frozenset({"b"})), two], unit) == 1
    assert count_places([one, replace(two, shared=frozenset({"a"}))], unit) == 1


def test_a_chain_of_equal_places_is_one() -> None:
    unit = make_unit()
    copies = [
        replace(make_copy(unit, "a"), place="x", entries={}),
        replace(make_copy(unit, "b"), place="y", entries={}),
        replace(make_copy(unit, "c"), place="x", entries={}),
        replace(make_copy(unit, "d"), place="y", entries={}),
    ]
    assert count_places(copies, unit) == 2


# -- what an interrupted clean left -----------------------------------------------------------------------------------


def make_leftover(unit: Unit) -> Unit:
    recorded = CleanedUnit(
        NAME,
        "/p/wandb",
        NAME,
        ".hsm-clean-0123456789abcdef",
        files={path: CleanedFile(file.size, file.mtime_ns, sum_of(path)) for path, file in unit.files.items()},
        links={"logs/debug-core.log": "/x"},
    )
    entries = {path: seen for path, seen in unit.entries.items() if path != LOG}
    return Unit(NAME, recorded.aside_path, entries=entries, checksums=unit.checksums, recorded=recorded)


def test_what_is_left_goes_when_it_is_as_recorded_and_there() -> None:
    unit = make_unit()
    left = make_leftover(unit)
    copy = replace(make_copy(unit), record=None)
    assert judge(left, copy).goes
    assert judge(left, without(LOG)(copy)).goes  # it has gone here already
    assert not judge(left, without(PATHS[1])(copy)).goes
    assert not judge(left).goes


@pytest.mark.parametrize(
    "change",
    [
        add("files/new", EntryKind.FILE),
        add("files/link", EntryKind.SYMLINK, "/x"),
        add("logs/debug-core.log", EntryKind.SYMLINK, "/other"),
        add("files/s", EntryKind.OTHER),
        see(PATHS[1], mtime_ns=T + 1),
        see(PATHS[1], size=1),
        lambda unit: replace(unit, checksums={**unit.checksums, PATHS[1]: "0" * 64}),
    ],
)
def test_what_is_left_stays_when_it_is_not_as_recorded(change: Callable[[Unit], Unit]) -> None:
    unit = make_unit()
    verdict = judge(change(make_leftover(unit)), make_copy(unit))
    assert not verdict.goes
    assert "not what was recorded" in say(verdict)


# -- the sweep's folder -----------------------------------------------------------------------------------------------


def make_verdict(name: str, *, goes: bool, state: RunState = RunState.FINISHED, path: str = "") -> UnitVerdict:
    unit = Unit(name, path or f"/p/wandb/{name}", run=Run(name, "/p/wandb", state=state))
    return UnitVerdict(unit, goes, is_open=state is RunState.RUNNING)


FOLDER = UnitVerdict(Unit("", "/p/sweeps/outputs/s"), goes=True)


@pytest.mark.parametrize(
    ("runs", "removes_runs", "goes", "is_open"),
    [
        ([], True, True, False),
        ([make_verdict("a", goes=True)], True, True, False),
        ([make_verdict("a", goes=True), make_verdict("b", goes=False)], True, False, False),
        ([make_verdict("a", goes=False, state=RunState.RUNNING)], True, False, True),
        ([make_verdict("a", goes=False)], False, True, False),
        ([make_verdict("a", goes=False, state=RunState.RUNNING)], False, False, True),
        ([make_verdict("a", goes=True, path="/p/sweeps/outputs/s/tasks/1/wandb/a")], False, False, False),
        ([make_verdict("a", goes=True, path="/p/sweeps/outputs/s/tasks/1/wandb/a")], True, True, False),
    ],
)
def test_the_sweeps_folder_goes_last(runs: list[UnitVerdict], removes_runs: bool, goes: bool, is_open: bool) -> None:
    found = keep_folder(FOLDER, runs, removes_runs=removes_runs)
    assert (found.goes, found.is_open) == (goes, is_open)


@pytest.mark.parametrize(
    ("entry", "needs_receipt", "goes"),
    [
        (".hsm-sync/receipt-1.json", True, False),
        (".hsm-sync/receipt-1.json", False, True),
        ("notes/receipt-1.json", True, True),
    ],
    ids=["listed by the receipt", "its log names the sweep", "no receipt"],
)
def test_the_folder_stays_whose_receipt_gives_a_run_that_stays_to_the_sweep(
    entry: str, needs_receipt: bool, goes: bool
) -> None:
    folder = replace(FOLDER.unit, entries={entry: Seen(EntryKind.FILE, 3, T, T, 8, 1)})
    run = make_verdict("a", goes=True)
    run = replace(run, unit=replace(run.unit, needs_receipt=needs_receipt))
    assert keep_folder(replace(FOLDER, unit=folder), [run], removes_runs=False).goes == goes


@pytest.mark.parametrize(
    ("blocks", "roots", "going"),
    [
        ((), tuple(Root), {NAME, ""}),
        (("odd",), tuple(Root), set()),
        ((), (Root.WANDB,), set()),
        ((), (Root.SWEEPS,), {""}),
    ],
    ids=["both go", "the folder stays", "the folder is not asked for", "only the folder is asked for"],
)
def test_a_run_stays_that_a_symlink_of_the_folder_leads_into(
    blocks: tuple[str, ...], roots: tuple[Root, ...], going: set[str]
) -> None:
    run = make_unit()
    link = SourceFile(Root.SWEEPS, "outputs/s/best", "/p/sweeps", 4, T, 9, "", is_link=True, real=f"{run.path}/{LOG}")
    entries = {"best": Seen(EntryKind.SYMLINK, 0, T, T, 8, 1, "x")}
    folder = Unit(
        "", "/p/sweeps/outputs/s", entries=entries, files={"best": link}, checksums={"best": "0" * 64}, blocks=blocks
    )
    copies = {unit.path: [make_copy(unit)] for unit in (run, folder)}
    verdicts = decide_all([run, folder], copies, CleanOptions(), roots=roots, now_ns=NOW)
    assert {verdict.unit.root for verdict in verdicts} == {*roots}
    assert {verdict.unit.name for verdict in verdicts if verdict.goes} == going


# -- symlinks between units -------------------------------------------------------------------------------------------


def make_linked(name: str, *, goes: bool, into: str) -> UnitVerdict:
    link = make_file("link", is_link=True)._replace(real=f"/p/wandb/{into}/x" if into else "")
    return UnitVerdict(Unit(name, f"/p/wandb/{name}", files={"link": link}), goes)


@pytest.mark.parametrize(
    ("units", "going"),
    [
        pytest.param([("a", True, "b"), ("b", True, "")], {"a", "b"}, id="what leads into it goes too"),
        pytest.param([("a", False, "b"), ("b", True, "")], set(), id="what leads into it stays"),
        pytest.param([("c", True, ""), ("b", True, "c"), ("a", False, "b")], set(), id="one through another"),
        pytest.param([("a", False, "b-2"), ("b", True, "")], {"b"}, id="a name that only begins alike"),
    ],
)
def test_what_a_symlink_of_something_that_stays_leads_into_stays(
    units: list[tuple[str, bool, str]], going: set[str]
) -> None:
    found = keep_what_links_need([make_linked(name, goes=goes, into=into) for name, goes, into in units])
    assert {verdict.unit.name for verdict in found if verdict.goes} == going


def make_plain(name: str, *, goes: bool = True) -> UnitVerdict:
    return UnitVerdict(Unit(name, f"/p/wandb/{name}"), goes)


@pytest.mark.parametrize(
    ("path", "goes_a", "going"),
    [
        pytest.param("/p/notes/link", True, {"a"}, id="of the project"),
        pytest.param("/p/wandb/other/files/link", True, {"a"}, id="of another sweep's run"),
        pytest.param("/p/wandb/a/link", True, {"a", "b"}, id="of a run that goes too"),
        pytest.param("/p/wandb/a/link", False, set(), id="of a run that stays"),
        pytest.param("/p/wandb/a-2/link", True, {"a"}, id="of a run whose name only begins alike"),
    ],
)
def test_a_run_stays_that_a_symlink_anywhere_leads_into(path: str, goes_a: bool, going: set[str]) -> None:
    links = [ProjectLink(path, frozenset({"/p/wandb/b"}))]
    found = keep_what_links_need([make_plain("a", goes=goes_a), make_plain("b")], links)
    assert {verdict.unit.name for verdict in found if verdict.goes} == going
    if "b" not in going:
        assert found[1].reasons == (f"a symlink that stays leads into it: {path}",)


def test_a_folder_that_cannot_be_read_keeps_what_may_be_led_into() -> None:
    link = ProjectLink("/p/notes", frozenset({"/p/wandb/a"}), "Permission denied")
    found = keep_what_links_need([make_plain("a"), make_plain("b")], [link])
    assert [verdict.goes for verdict in found] == [False, True]
    assert "/p/notes" in found[0].reasons[0]
    assert "Permission denied" in found[0].reasons[0]


def test_what_leads_into_another_goes_before_it() -> None:
    verdicts = [make_plain(name) for name in ("c", "b", "a", "x")]
    units = {name: f"/p/wandb/{name}" for name in "abcx"}
    links = [
        ProjectLink(f"{units['a']}/l", frozenset({units["b"]})),
        ProjectLink(f"{units['b']}/l", frozenset({units["c"]})),
        ProjectLink("/p/notes", frozenset({units["x"]})),
    ]
    found = find_holders(verdicts, links)
    assert list(found).index(units["a"]) < list(found).index(units["b"]) < list(found).index(units["c"])
    assert (found[units["c"]], found[units["x"]]) == ({units["b"]}, frozenset())
    circle = [
        ProjectLink(f"{units['a']}/l", frozenset({units["b"]})),
        ProjectLink(f"{units['b']}/l", frozenset({units["a"]})),
    ]
    assert set(find_holders(verdicts, circle)) == set(units.values())
    assert set(find_holders([*verdicts, verdicts[0]], circle)) == set(units.values())


# -- never without proof ----------------------------------------------------------------------------------------------

UNIT_CHANGES = [
    *(change for change, _ in KEEPS.values()),
    add("tmp/code", EntryKind.FOLDER),
    lambda unit: replace(unit, superseded=frozenset({SUPERSEDED})),
]
COPY_CHANGES = [*(change for change, _ in LACKS.values()), without(SUPERSEDED), record(left={"superseded": 1})]


@given(
    unit_changes=st.lists(st.sampled_from(UNIT_CHANGES), max_size=2),
    copy_changes=st.lists(st.lists(st.sampled_from(COPY_CHANGES), max_size=2), max_size=3),
    places=st.lists(st.integers(0, 2), min_size=3, max_size=3),
    n_copies=st.integers(1, 3),
    is_quick=st.booleans(),
    allows=st.booleans(),
)
def test_whatever_goes_is_proven_in_as_many_places(
    unit_changes: list[Callable[[Unit], Unit]],
    copy_changes: list[list[Callable[[Copy], Copy]]],
    places: list[int],
    n_copies: int,
    is_quick: bool,
    allows: bool,
) -> None:
    whole = unit = make_unit()
    for change in unit_changes:
        unit = apply(change, unit)
    copies = []
    for number, changes in enumerate(copy_changes):
        copy = replace(make_copy(whole, str(number)), place=str(places[number]))
        moved = {path: each._replace(inode=each.inode + 100 * number) for path, each in copy.entries.items()}
        copy = replace(copy, entries=moved)
        for change in changes:
            copy = apply(change, copy)
        copies.append(copy)
    options = CleanOptions(n_copies, is_quick, allows)
    verdict = decide(unit, copies, options, now_ns=NOW)
    proven = {
        copy.place
        for copy in copies
        if copy.target in verdict.copies and is_proven_there(unit, copy, is_quick=is_quick, allows=allows)
    }
    assert verdict.goes <= (len(proven) >= n_copies)
    assert verdict.goes <= (unit.run is not None and unit.run.has_exit_record and unit.run.at_rest)
    assert verdict.goes <= (not is_too_early(unit, options, now_ns=NOW))
    assert verdict.goes or verdict.reasons
    if not unit_changes and sum(not changes for changes in copy_changes) == len(copy_changes):
        assert verdict.goes == (len({copy.place for copy in copies}) >= n_copies)


def apply(change: Callable[[Any], Any], value: Any) -> Any:
    """Change a value; what has been taken away before cannot be changed again."""
    try:
        return change(value)
    except KeyError:
        return value


def is_proven_there(unit: Unit, copy: Copy, *, is_quick: bool, allows: bool) -> bool:
    """Say the same in other words: every entry here has its equal there, or is one of the few that need none."""
    parents = {path.rpartition("/")[0] for path in unit.entries}
    for path, seen in unit.entries.items():
        there: Entry | None = copy.entries.get(path)
        if seen.kind is EntryKind.FOLDER:
            is_fine = path in parents or path in {"tmp", "tmp/code", "files", "logs"}
            if not is_fine and (there is None or there.kind is not EntryKind.FOLDER):
                return False
        elif not (allows and path in unit.superseded) and not is_equal(
            unit.checksums, seen, there, copy, path, is_quick
        ):
            return False
    return copy.record is not None and copy.record.is_complete and (copy.is_listed or not unit.needs_receipt)


def is_equal(here: Mapping[str, str], seen: Seen, there: Entry | None, copy: Copy, path: str, is_quick: bool) -> bool:
    if seen.kind is not EntryKind.FILE or there is None or there.kind is not EntryKind.FILE or there.size != seen.size:
        return False
    if is_quick:
        return abs(there.mtime_ns - seen.mtime_ns) < 2 * 10**9
    return path in here and here[path] == copy.checksums.get(path)
