"""Removing a folder: exactly what was looked at, never through a symlink."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hsm.errors import LockLostError
from hsm.model import EntryKind
from hsm.sync.clean.removal import (
    KeptError,
    LookError,
    Removal,
    put_back,
    remove_emptied_folders,
    remove_unit,
    remove_units,
    remove_wandb_folder,
)
from hsm.sync.clean.walk import UnitPlace, list_mounts, walk_folder
from hsm.sync.clean.watch import RemovalWatch
from hsm.targets.contents.checksums import read_checksum
from hsm.targets.contents.marks import make_mark_name

if TYPE_CHECKING:
    from collections.abc import Callable

ASIDE = ".hsm-clean-0123456789abcdef"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "wandb/run-1"
    (run / "files/deep/deeper").mkdir(parents=True)
    (run / "tmp/code").mkdir(parents=True)
    (run / "files/deep/deeper/a").write_text("a")
    (run / ".hidden").write_text("b")
    (run / "link").symlink_to(tmp_path / "outside")
    (run / "files/link").symlink_to(tmp_path / "outside/file")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("never touched")
    return run


def look(run: Path) -> UnitPlace:
    return UnitPlace(str(run.parent), run.name, walk_folder(str(run)))


def make_removal(place: UnitPlace, aside: str, look_there: Callable[[], None] = lambda: None) -> Removal:
    return Removal(place, aside, RemovalWatch(look_there))


def remove(run: Path) -> None:
    remove_unit(make_removal(look(run), ASIDE))


def test_everything_is_seen(run: Path) -> None:
    os.mkfifo(run / "pipe")
    os.link(run / ".hidden", run / "hard")
    found = walk_folder(str(run))
    kinds = {path: seen.kind for path, seen in found.entries.items()}
    assert kinds == {
        ".hidden": EntryKind.FILE,
        "files": EntryKind.FOLDER,
        "files/deep": EntryKind.FOLDER,
        "files/deep/deeper": EntryKind.FOLDER,
        "files/deep/deeper/a": EntryKind.FILE,
        "files/link": EntryKind.SYMLINK,
        "hard": EntryKind.FILE,
        "link": EntryKind.SYMLINK,
        "pipe": EntryKind.OTHER,
        "tmp": EntryKind.FOLDER,
        "tmp/code": EntryKind.FOLDER,
    }
    assert found.problems == ()
    assert found.entries["link"].link_target == str(run.parents[1] / "outside")
    assert "files/deep" not in walk_folder(str(run), without=frozenset({f"{run}/files/deep"})).entries


def test_a_symlink_is_no_folder_to_look_into(run: Path) -> None:
    other = run.with_name("run-2")
    other.symlink_to(run)
    found = walk_folder(str(other))
    assert (found.identity, found.entries, len(found.problems)) == (None, {}, 1)
    assert walk_folder(str(run.with_name("none"))).problems == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_told(run: Path) -> None:
    (run / "files").chmod(0)
    assert len(walk_folder(str(run)).problems) == 1
    (run / "files").chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_emptied_is_told_before_anything_goes(run: Path) -> None:
    (run / "files").chmod(0o500)
    assert "files may not be written to" in walk_folder(str(run)).problems[0]
    with pytest.raises(KeptError):
        remove(run)
    (run / "files").chmod(0o700)
    assert (run / ".hidden").is_file()


def test_all_of_it_goes_and_nothing_else(run: Path) -> None:
    os.link(run / ".hidden", run / "hard")
    os.link(run / ".hidden", run.parent / "kept")
    remove(run)
    assert [path.name for path in run.parent.iterdir()] == ["kept"]
    assert (run.parents[1] / "outside/file").read_text() == "never touched"


def _swap(path: Path) -> None:
    outside = path.parents[len(path.parents) - 1]
    path.rename(path.with_name("moved"))
    path.symlink_to(outside)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": lambda run: (run / "files/new").write_text("x"),
    "a new empty folder": lambda run: (run / "files/new").mkdir(),
    "a file that grew": lambda run: (run / ".hidden").write_text("b and more"),
    "a file rewritten with its old time": lambda run: _rewrite(run / ".hidden"),
    "a file replaced by a copy": lambda run: _replace(run / ".hidden"),
    "a file that is gone": lambda run: (run / ".hidden").unlink(),
    "a folder swapped for a symlink": lambda run: _swap(run / "files/deep"),
    "a symlink that leads elsewhere": lambda run: _relink(run / "link"),
    "a mode": lambda run: (run / ".hidden").chmod(0o400),
    "the run swapped for a symlink": _swap,
    "the run replaced by another": lambda run: (run.rename(run.with_name("old")), run.mkdir()),
    "the run gone": lambda run: run.rename(run.with_name("old")),
}


def _rewrite(path: Path) -> None:
    status = path.stat()
    path.write_text("c")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace(path: Path) -> None:
    status = path.stat()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    copy.replace(path)


def _relink(path: Path) -> None:
    path.unlink()
    path.symlink_to("elsewhere")


@pytest.mark.parametrize("name", CHANGES)
def test_what_changed_since_it_was_looked_at_stays(run: Path, name: str) -> None:
    place = look(run)
    CHANGES[name](run)
    before = sorted(run.parents[1].rglob("*"))
    with pytest.raises(KeptError):
        remove_unit(make_removal(place, ASIDE))
    assert sorted(run.parents[1].rglob("*")) == before


def test_an_empty_folder_in_the_place_of_another_stays(tmp_path: Path) -> None:
    empty = tmp_path / "wandb/run-1"
    empty.mkdir(parents=True)
    place = look(empty)
    empty.rename(tmp_path / "old")
    empty.mkdir()
    with pytest.raises(KeptError, match="another folder"):
        remove_unit(make_removal(place, ASIDE))
    assert empty.is_dir()


@pytest.mark.parametrize("name", ["a new file", "a file that grew", "a file that is gone"])
def test_the_rest_of_an_interrupted_clean_stays_whole_where_it_changed(run: Path, name: str) -> None:
    """It has the name `aside` already, so it is looked at once only."""
    place = look(run)
    CHANGES[name](run)
    before = sorted(run.rglob("*"))
    with pytest.raises(KeptError):
        remove_unit(make_removal(place, run.name))
    assert sorted(run.rglob("*")) == before
    remove_unit(make_removal(look(run), run.name))
    assert not run.exists()


def test_what_comes_while_it_is_removed_stays_aside(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is in the run's folder writes at the very moment: simulated in the system call."""
    unlink = os.unlink

    def unlink_and_write(path: str, *, dir_fd: int | None = None) -> None:
        unlink(path, dir_fd=dir_fd)
        if path == "a":
            descriptor = os.open("late", os.O_WRONLY | os.O_CREAT, dir_fd=dir_fd)
            os.close(descriptor)

    monkeypatch.setattr(os, "unlink", unlink_and_write)
    with pytest.raises(KeptError, match="new while it was removed"):
        remove(run)
    monkeypatch.undo()
    left = [str(path.relative_to(run.parent)) for path in run.parent.rglob("*") if path.is_file()]
    assert left == [f"{ASIDE}/files/deep/deeper/late"]


def test_what_comes_between_the_last_look_and_the_renaming_is_back_in_the_run(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def write_and_rename(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if old == run.name:
            (run / "files/late").write_text("late")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    place = look(run)
    monkeypatch.setattr(os, "rename", write_and_rename)
    with pytest.raises(KeptError, match="files/late"):
        remove_unit(make_removal(place, ASIDE))
    found = walk_folder(str(run)).entries
    assert {path: found.get(path) for path in place.walk.entries} == dict(place.walk.entries)
    assert [path.name for path in run.parent.iterdir()] == [run.name]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(lambda path: path.write_text("changed"), "changed", id="written to"),
        pytest.param(_rewrite, "c", id="rewritten with its old time"),
    ],
)
def test_a_file_that_changes_while_others_go_stays(
    run: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object], text: str
) -> None:
    unlink = os.unlink
    aside = run.with_name(ASIDE)
    left: list[Path] = []

    def unlink_and_write(path: str, *, dir_fd: int | None = None) -> None:
        unlink(path, dir_fd=dir_fd)
        if not left:
            left.append(next(each for each in (aside / ".hidden", aside / "files/deep/deeper/a") if each.exists()))
            change(left[0])

    monkeypatch.setattr(os, "unlink", unlink_and_write)
    with pytest.raises(KeptError, match="new while it was removed"):
        remove(run)
    assert left[0].read_text() == text


def test_a_run_of_which_a_folder_cannot_be_emptied_any_more_stays_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = look(run)
    before = sorted(run.rglob("*"))
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    with pytest.raises(KeptError, match="may not be written to"):
        remove_unit(make_removal(place, ASIDE))
    assert sorted(run.rglob("*")) == before


def test_a_taken_name_is_left_alone(run: Path) -> None:
    (run.parent / ASIDE).mkdir()
    (run.parent / ASIDE / "x").write_text("x")
    with pytest.raises(KeptError):
        remove(run)
    assert (run / ".hidden").is_file()


def test_what_was_set_aside_gets_its_name_back_if_that_is_free(run: Path) -> None:
    aside = run.with_name(ASIDE)
    run.rename(aside)
    run.mkdir()
    assert not put_back(str(run.parent), ASIDE, run.name)
    run.rmdir()
    assert put_back(str(run.parent), ASIDE, run.name)
    assert (run / ".hidden").is_file()
    assert not put_back(str(run.parent), ASIDE, "run-2")


@pytest.mark.parametrize(
    ("fill", "goes"),
    [
        pytest.param(lambda _: None, True, id="nothing"),
        pytest.param(
            lambda folder: (folder / "latest-run").symlink_to("run-9"), True, id="wandb's link to a run that is gone"
        ),
        pytest.param(lambda folder: (folder / "latest-run").symlink_to("../outside"), False, id="one to what is there"),
        pytest.param(lambda folder: (folder / "mine").symlink_to("run-9"), False, id="a link that wandb does not make"),
        pytest.param(lambda folder: (folder / "debug.log").write_text("x"), False, id="a file of such a name"),
        pytest.param(lambda folder: (folder / "debug.log").mkdir(), False, id="a folder of such a name"),
    ],
)
def test_a_wandb_folder_goes_when_only_wandbs_links_to_what_is_gone_are_left(
    run: Path, fill: Callable[[Path], object], goes: bool
) -> None:
    folder = run.parents[1] / "emptied"
    folder.mkdir()
    fill(folder)
    before = sorted(folder.iterdir())
    assert remove_wandb_folder(str(folder)) is goes
    assert folder.exists() is not goes
    assert goes or sorted(folder.iterdir()) == before


def test_of_emptied_folders_only_the_sweeps_own_go(tmp_path: Path) -> None:
    wandb, names = tmp_path / "wandb", ("sweep-a", "sweep-a/part", "sweep-ab", "other")
    for name in names:
        (wandb / name).mkdir(parents=True)
    remove_emptied_folders(f"{wandb}/sweep-a", [f"{wandb}/{name}" for name in names])
    assert sorted(path.name for path in wandb.iterdir()) == ["other", "sweep-ab"]


def test_checksums_are_of_plain_files_alone(run: Path) -> None:
    def check() -> None:
        pass

    assert read_checksum(str(run / ".hidden"), follows=False, check=check).startswith("3e23e816")
    assert read_checksum(str(run / "files/link"), follows=True, check=check) != ""
    assert read_checksum(str(run / "files/link"), follows=False, check=check) == ""
    os.mkfifo(run / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(run / "s"))
    for name in ("pipe", "s", "files", "none"):
        assert read_checksum(str(run / name), follows=True, check=check) == ""


# -- looks at the other ends ------------------------------------------------------------------------------------------


def test_the_other_ends_are_looked_at_before_anything_is_renamed(run: Path) -> None:
    def look_there() -> None:
        assert run.is_dir()
        raise LookError("it has changed at nas")

    before = sorted(run.parents[1].rglob("*"))
    with pytest.raises(LookError):
        remove_unit(make_removal(look(run), ASIDE, look_there))
    assert sorted(run.parents[1].rglob("*")) == before


def test_after_a_pause_nothing_further_goes_unless_all_is_as_it_was(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped for an hour, after its first file has gone."""
    unlink, now, looks = os.unlink, [0.0], [0]

    def unlink_and_sleep(path: str, *, dir_fd: int | None = None) -> None:
        unlink(path, dir_fd=dir_fd)
        now[0] += 3600

    def look_there() -> None:
        looks[0] += 1
        if looks[0] > 1:
            raise LookError("it has changed at nas")

    place = look(run)
    monkeypatch.setattr(os, "unlink", unlink_and_sleep)
    with pytest.raises(LookError):
        remove_unit(Removal(place, ASIDE, RemovalWatch(look_there, lambda: now[0])))
    left = walk_folder(str(run.with_name(ASIDE))).entries
    assert sum(seen.kind is not EntryKind.FOLDER for seen in place.walk.entries.values()) == 1 + sum(
        seen.kind is not EntryKind.FOLDER for seen in left.values()
    )


def test_a_lock_that_is_lost_ends_the_removal_of_all(run: Path) -> None:
    second = run.with_name("run-2")
    second.mkdir()
    third = run.with_name("run-3")
    third.mkdir()
    error = LockLostError("somebody broke it")

    def fail() -> None:
        raise error

    removals = [
        make_removal(look(run), ASIDE),
        make_removal(look(second), f"{ASIDE[:-1]}2", fail),
        make_removal(look(third), f"{ASIDE[:-1]}3"),
    ]
    kept, found = remove_units(removals)
    assert found is error
    assert kept == {str(path): "somebody broke it" for path in (second, third)}
    assert (run.exists(), second.is_dir(), third.is_dir()) == (False, True, True)


def test_what_a_symlink_of_something_leads_into_stays_with_it(run: Path) -> None:
    second = run.with_name("run-2")
    second.mkdir()

    def fail() -> None:
        raise LookError("it has changed at nas")

    first = make_removal(look(run), ASIDE, fail)
    removal = Removal(look(second), f"{ASIDE[:-1]}2", RemovalWatch(lambda: None), frozenset({str(run)}))
    kept, error = remove_units([first, removal])
    assert (error, kept[str(second)]) == (None, "what stays lies in it, or leads into it by a symlink")
    assert second.is_dir()


def test_what_is_mounted_below_keeps_all(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bind mount of the same file system has the same device: only the system's list of mounts tells."""
    place = look(run)
    monkeypatch.setattr("hsm.sync.clean.walk.list_mounts", lambda: ["/", f"{run}/files/deep", f"{run}-2/x"])
    assert walk_folder(str(run)).problems == (f"{run}/files/deep is mounted on its own",)
    with pytest.raises(KeptError, match="mounted"):
        remove_unit(make_removal(place, ASIDE))
    assert (run / ".hidden").is_file()


def test_where_file_systems_are_mounted_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = rb"36 35 98:0 /mnt1 /data\040of\040two/x rw,noatime master:1 - ext3 /dev/root rw"
    (tmp_path / "mountinfo").write_bytes(line + b"\n\ndamaged\n")
    monkeypatch.setattr("hsm.sync.clean.walk.MOUNTS", str(tmp_path / "mountinfo"))
    assert list_mounts() == ["/data of two/x"]
    monkeypatch.setattr("hsm.sync.clean.walk.MOUNTS", str(tmp_path / "none"))
    assert list_mounts() == []


def test_a_mark_that_a_killed_clean_left_is_no_result(run: Path) -> None:
    (run / "files" / make_mark_name("s")).touch()
    filled = run / make_mark_name("s")
    filled.write_text("what is filled is somebody's")
    assert set(look(run).walk.entries) == {*walk_folder(str(run)).entries}
    assert [path for path in look(run).walk.entries if ".hsm-mark" in path] == [filled.name]
