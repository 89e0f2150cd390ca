"""The workflow of a clean: what changes at any moment keeps what it concerns, and the record comes before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.errors import HsmError, LockedError, TargetError, UsageError
from hsm.model import Root
from hsm.project_folder import ProjectFolder
from hsm.records.lock import hold_local_lock
from hsm.sync.clean import removal
from tests.unit.sync.clean.conftest import RUNS, SWEEP, CleanBench, list_going, say

ALL = {*RUNS, ""}
CONFIG = "files/config.yaml"


def list_left(bench: CleanBench) -> list[str]:
    """What is left in the folders of results, however it is named."""
    return sorted(
        str(path.relative_to(bench.project)) for path in bench.project.glob("*/**/*") if ".hsm/" not in str(path)
    )


def test_all_goes_and_the_record_says_where_it_is(bench: CleanBench) -> None:
    before = bench.read_results()
    report = bench.clean()
    assert (list_going(report), report.kept, int(report.exit_code), report.is_done) == (ALL, (), 0, True)
    assert bench.read_results() == {}
    assert list_left(bench) == ["sweeps/outputs"]
    (record,) = bench.read_records()
    assert record["sweep"] == SWEEP
    assert record["is_quick"] is False
    units = record["units"]
    assert isinstance(units, list)
    recorded = {
        os.path.relpath(f"{unit['folder']}/{unit['base']}/{path}", bench.project): file["sha256"]
        for unit in units
        for path, file in unit["files"].items()
    }
    assert recorded == before
    assert all(unit["copies"] == ["nas"] for unit in units)


def test_a_dry_run_takes_no_lock_and_touches_nothing(bench: CleanBench) -> None:
    before, there = bench.read_results(), sorted((bench.folder / "nas").rglob("*"))
    with bench.open(is_dry_run=True) as clean:
        assert sorted((bench.folder / "nas").rglob("*")) == there
        assert list_going(clean.make_report()) == ALL
        with pytest.raises(AssertionError):
            clean.remove()
    assert bench.read_results() == before
    assert bench.read_records() == []


@pytest.mark.parametrize(
    ("roots", "going"), [((Root.WANDB,), {*RUNS}), ((Root.SWEEPS,), {""})], ids=["runs", "sweep's folder"]
)
def test_only_what_is_asked_for_is_judged(bench: CleanBench, roots: tuple[Root, ...], going: set[str]) -> None:
    with bench.open(roots=roots) as clean:
        report = clean.remove()
    assert {verdict.unit.name for verdict in report.verdicts} == list_going(report) == going


def test_a_dry_run_looks_also_while_a_sync_is_under_way(bench: CleanBench) -> None:
    lock = ProjectFolder(bench.project).lock("nas", SWEEP)
    with hold_local_lock(lock, sweep=SWEEP, target="nas", breaks=False), bench.open(is_dry_run=True) as clean:
        assert list_going(clean.make_report()) == ALL


def test_what_is_not_asked_for_stays_and_so_does_what_it_leads_into(tmp_path: Path) -> None:
    bench = CleanBench(tmp_path)
    (bench.run() / "files/grid.yaml").symlink_to(bench.project / "sweeps/outputs" / SWEEP / "sweep_config.yaml")
    bench.push()
    with bench.open(roots=(Root.SWEEPS,)) as clean:
        report = clean.remove()
    assert list_going(report) == set()
    link = bench.run() / "files/grid.yaml"
    assert say(report, "") == f"a symlink that stays leads into it: {link}"
    assert list_going(bench.clean()) == ALL


def test_locks_of_both_sides_are_held_and_given_back(bench: CleanBench) -> None:
    lock = ProjectFolder(bench.project).lock("nas", SWEEP)
    there = bench.folder / "nas/sweeps/outputs" / SWEEP / ".hsm-sync/lock"
    with bench.open():
        assert there.is_file()
        with pytest.raises(LockedError), hold_local_lock(lock, sweep=SWEEP, target="nas", breaks=False):
            pass
        with pytest.raises(LockedError), bench.open():
            pass
    assert not there.exists()
    assert list((bench.folder / "nas").rglob(".hsm-tmp")) == []
    with hold_local_lock(lock, sweep=SWEEP, target="nas", breaks=False):
        pass


def test_the_locks_of_targets_that_do_not_count_are_held_too(tmp_path: Path) -> None:
    bench = CleanBench(tmp_path, "nas", "disk")
    bench.push("nas")
    lock = ProjectFolder(bench.project).lock("disk", SWEEP)
    with bench.open("nas"), pytest.raises(LockedError), hold_local_lock(lock, sweep=SWEEP, target="disk", breaks=False):
        pass


def test_a_sweep_that_was_never_sent_is_told(tmp_path: Path) -> None:
    bench = CleanBench(tmp_path)
    with pytest.raises(UsageError) as caught, bench.open():
        pass
    assert caught.value.kind == "never_synced"


def test_a_target_of_which_nothing_is_complete_counts_for_nothing(tmp_path: Path) -> None:
    bench = CleanBench(tmp_path, "nas", "disk")
    bench.push("nas")
    with bench.open("nas", "disk") as clean:
        report = clean.make_report()
    assert list_going(report) == ALL
    assert {name: error.kind for name, error in report.errors.items()} == {"disk": "nothing_there"}


# -- two copies ------------------------------------------------------------------------------------------------------


def test_two_places_are_two_copies(tmp_path: Path) -> None:
    bench = CleanBench(tmp_path, "nas", "disk")
    bench.push()
    with bench.open(n_copies=2) as clean:
        assert list_going(clean.remove()) == ALL


@pytest.mark.parametrize("how", ["symlink", "same path"])
def test_two_names_of_one_place_are_one_copy(tmp_path: Path, how: str) -> None:
    bench = CleanBench(tmp_path, "nas")
    bench.push()
    other = tmp_path / "nas"
    if how == "symlink":
        other = tmp_path / "alias"
        other.symlink_to(tmp_path / "nas")
    bench.write_config({"nas": tmp_path / "nas", "other": other})
    bench.push("other")
    with bench.open(n_copies=2) as clean:
        report = clean.remove()
    assert list_going(report) == set()
    assert {name: error.kind for name, error in report.errors.items()} == {"other": "same_place"}


def test_one_copy_is_no_two(tmp_path: Path) -> None:
    bench = CleanBench(tmp_path, "nas", "disk")
    bench.push()
    bench.run_there(0, "disk").joinpath(CONFIG).unlink()
    with bench.open(n_copies=2) as clean:
        report = clean.remove()
    assert list_going(report) == {RUNS[1]}
    assert f"disk: {CONFIG} is not there" in say(report, RUNS[0])


# -- what changes after the decision ---------------------------------------------------------------------------------


def _rewrite_with_its_time(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more\n")


CHANGES: dict[str, Callable[[CleanBench], object]] = {
    "a file there is gone": lambda bench: bench.run_there().joinpath(CONFIG).unlink(),
    "a file there grew": lambda bench: _grow(bench.run_there() / CONFIG),
    "a file there has another time": lambda bench: os.utime(bench.run_there() / CONFIG, (1, 1)),
    "the run there is gone": lambda bench: shutil.rmtree(bench.run_there()),
    "a file here grew": lambda bench: _grow(bench.run() / CONFIG),
    "a file here was rewritten with its time": lambda bench: _rewrite_with_its_time(bench.run() / CONFIG),
    "a file came here": lambda bench: (bench.run() / "files/new").write_text("new"),
    "a file here is gone": lambda bench: (bench.run() / CONFIG).unlink(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_after_the_decision_stays(bench: CleanBench, name: str) -> None:
    with bench.open(roots=(Root.WANDB,)) as clean:
        assert list_going(clean.make_report()) == {*RUNS}
        CHANGES[name](bench)
        before = {path: content for path, content in bench.read_results().items() if RUNS[0] in path}
        report = clean.remove()
    assert list_going(report) == {RUNS[1]}
    assert int(report.exit_code) == 1
    assert "change" in say(report, RUNS[0]) or "new" in say(report, RUNS[0])
    assert {path: content for path, content in bench.read_results().items() if RUNS[0] in path} == before
    (record,) = bench.read_records()
    assert [unit["name"] for unit in record["units"]] == [RUNS[1]]  # type: ignore[attr-defined]


def _break_lock(bench: CleanBench) -> None:
    (bench.folder / "nas/sweeps/outputs" / SWEEP / ".hsm-sync/lock").write_text("{}\n")


def _write_receipt(bench: CleanBench) -> None:
    folder = bench.folder / "nas/sweeps/outputs" / SWEEP / ".hsm-sync"
    (folder / "receipt-0123456789abcdef.json").write_text("{}\n")


@pytest.mark.parametrize("act", [_break_lock, _write_receipt])
def test_without_the_lock_nothing_goes(bench: CleanBench, act: Callable[[CleanBench], None]) -> None:
    before = bench.read_results()
    with bench.open() as clean:
        act(bench)
        with pytest.raises(LockedError) as caught:
            clean.remove()
    assert caught.value.kind == "lock_lost"
    assert bench.read_results() == before
    assert bench.read_records() == []


def test_without_the_target_nothing_goes(bench: CleanBench) -> None:
    before = bench.read_results()
    with bench.open() as clean:
        shutil.rmtree(bench.folder / "nas")
        with pytest.raises(HsmError):
            clean.remove()
    assert bench.read_results() == before


def test_without_a_record_nothing_goes(bench: CleanBench) -> None:
    (bench.project / ".hsm/cleaned").write_text("no folder")
    before = bench.read_results()
    with bench.open() as clean, pytest.raises(TargetError) as caught:
        clean.remove()
    assert caught.value.kind == "clean_unwritable"
    assert bench.read_results() == before


# -- what differs before ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_quick", "going"), [(False, {RUNS[1]}), (True, {*RUNS})])
def test_checksums_find_what_sizes_and_times_hide(bench: CleanBench, is_quick: bool, going: set[str]) -> None:
    _rewrite_with_its_time(bench.run_there() / CONFIG)
    with bench.open(roots=(Root.WANDB,), is_quick=is_quick) as clean:
        assert list_going(clean.make_report()) == going


def test_the_project_by_another_name_is_no_copy(tmp_path: Path) -> None:
    """As over a network the folders are told apart by the mark alone: here by a bind mount's stand-in, a symlink."""
    bench = CleanBench(tmp_path)
    bench.push()
    before = bench.read_results()
    shutil.rmtree(bench.folder / "nas")
    (bench.folder / "nas").mkdir()
    for root in Root:
        (bench.folder / "nas" / root.value).symlink_to(bench.project / root.value)
    with bench.open("nas") as clean:
        report = clean.make_report()
    assert list_going(report) == set()
    assert list(report.errors) == ["nas"]
    assert bench.read_results() == before


def test_an_interrupted_clean_is_gone_on_with(bench: CleanBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill is played by a system call that fails from some moment on."""
    unlink, n_left = os.unlink, [2]

    def fail_later(path: str, *, dir_fd: int | None = None) -> None:
        if dir_fd is not None and n_left[0] == 0:
            raise OSError(5, "input/output error")
        n_left[0] -= dir_fd is not None
        unlink(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", fail_later)
    with bench.open(roots=(Root.WANDB,)) as clean:
        report = clean.remove()
    monkeypatch.undo()
    assert list_going(report) == set()
    aside = [path.name for path in (bench.project / "wandb").iterdir()]
    assert all(name.startswith(".hsm-clean-") for name in aside), aside

    with bench.open(is_dry_run=True) as again:
        left = again.make_report()
    assert {verdict.unit.recorded is not None for verdict in left.verdicts if verdict.unit.name} == {True}
    assert list_going(bench.clean()) == ALL
    assert bench.read_results() == {}
    assert list_left(bench) == ["sweeps/outputs"]


# -- symlinks of the project, runs that only their place gives to the sweep --------------------------------------------


@pytest.mark.parametrize("roots", [(Root.WANDB,), tuple(Root)], ids=["runs", "all"])
@pytest.mark.parametrize("place", ["sweeps/outputs/sweep_2/init", "wandb/run-20990101_000000-x/files/init", "best"])
def test_a_symlink_anywhere_in_the_project_keeps_its_run(
    bench: CleanBench, roots: tuple[Root, ...], place: str
) -> None:
    link = bench.project / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(bench.run() / CONFIG)
    with bench.open(roots=roots) as clean:
        report = clean.remove()
    assert list_going(report) == {RUNS[1]}
    assert say(report, RUNS[0]) == f"a symlink that stays leads into it: {link}"


def test_wandbs_own_links_keep_no_run(bench: CleanBench) -> None:
    (bench.project / "wandb/latest-run").symlink_to(RUNS[0])
    (bench.project / "wandb/debug.log").symlink_to(f"{RUNS[1]}/{CONFIG}")
    assert list_going(bench.clean()) == ALL


def test_a_symlink_that_came_after_the_decision_keeps_its_run(bench: CleanBench) -> None:
    with bench.open() as clean:
        assert list_going(clean.make_report()) == ALL
        (bench.project / "best").symlink_to(bench.run() / CONFIG)
        report = clean.remove()
    assert list_going(report) == {RUNS[1], ""}
    assert (bench.project / "best").is_file()


# -- looks right before each unit -------------------------------------------------------------------------------------


def between_runs(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something when the first run has gone, before the second is looked at."""
    remove_unit, n_done = removal.remove_unit, [0]

    def remove_and_act(each: removal.Removal) -> None:
        remove_unit(each)
        if not n_done[0]:
            act()
        n_done[0] += 1

    monkeypatch.setattr(removal, "remove_unit", remove_and_act)


def _break_local_lock(bench: CleanBench) -> None:
    lock = ProjectFolder(bench.project).lock("nas", SWEEP)
    with hold_local_lock(lock, sweep=SWEEP, target="nas", breaks=True):
        pass


@pytest.mark.parametrize("act", [_break_lock, _write_receipt, _break_local_lock])
def test_a_lock_that_is_lost_between_two_runs_ends_the_clean(
    bench: CleanBench, monkeypatch: pytest.MonkeyPatch, act: Callable[[CleanBench], None]
) -> None:
    between_runs(monkeypatch, lambda: act(bench))
    with bench.open() as clean:
        report = clean.remove()
    assert list_going(report) == {RUNS[0]}
    assert int(report.exit_code) == 11
    assert "no longer ours" in say(report, RUNS[1])
    assert bench.run(1).is_dir()
    (record,) = bench.read_records()
    assert [unit["name"] for unit in record["units"]] == [RUNS[0]]  # type: ignore[attr-defined]


def _replace(path: Path) -> None:
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


def _link_there(bench: CleanBench) -> None:
    shutil.rmtree(bench.run_there(1))
    bench.run_there(1).symlink_to(bench.run(1))


LATE: dict[str, Callable[[CleanBench], object]] = {
    "a file there is gone": lambda bench: bench.run_there(1).joinpath(CONFIG).unlink(),
    "a file there was replaced by another of its size and time": lambda bench: _replace(bench.run_there(1) / CONFIG),
    "the run there is gone": lambda bench: shutil.rmtree(bench.run_there(1)),
    "the run there is a symlink to this one": _link_there,
    "a file here was rewritten with its time": lambda bench: _rewrite_with_its_time(bench.run(1) / CONFIG),
    "a file came here": lambda bench: (bench.run(1) / "files/new").write_text("new"),
}


@pytest.mark.parametrize("name", LATE)
def test_what_changes_while_others_go_stays(bench: CleanBench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    between_runs(monkeypatch, lambda: LATE[name](bench))
    with bench.open(roots=(Root.WANDB,)) as clean:
        report = clean.remove()
    assert list_going(report) == {RUNS[0]}
    assert bench.run(1).joinpath(CONFIG).is_file()
    assert int(report.exit_code) == 1


def test_a_symlink_that_comes_while_others_go_keeps_its_run(bench: CleanBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsm.sync.clean.links._REST", 0)  # a search before each run, however long one takes
    link = bench.project / "best"
    between_runs(monkeypatch, lambda: link.symlink_to(bench.run(1) / CONFIG))
    with bench.open(roots=(Root.WANDB,)) as clean:
        report = clean.remove()
    assert list_going(report) == {RUNS[0]}
    assert say(report, RUNS[1]) == f"a symlink that came meanwhile leads into it: {link}"
    assert link.is_file()
    assert int(report.exit_code) == 1


def test_no_mark_is_left_at_either_end(bench: CleanBench) -> None:
    with bench.open(roots=(Root.WANDB,)) as clean:
        assert list(bench.folder.rglob(".hsm-mark-*")) == []
        clean.remove()
    assert list(bench.folder.rglob(".hsm-mark-*")) == []
