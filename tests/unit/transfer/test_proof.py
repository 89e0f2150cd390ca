"""The proof of what arrived: what a fresh look at either end must notice, each change by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hsm.endpoint import Listing, Machine, Space, Survey, Tree
from hsm.model import Entry, EntryKind, Root, SourceFile
from hsm.plan.disk.file_system import FileSystem
from hsm.process.runner import Runner
from hsm.remote.local import LocalEndpoint
from hsm.transfer.base import PARTIAL_FOLDER
from hsm.transfer.disk.engine import CopyEngine
from hsm.transfer.proof import Arrivals, measure_lack, refresh

T = 1_760_000_000_123_456_789


def write(path: Path, content: str = "content", *, mtime_ns: int = T) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def make_file(folder: Path, path: str, *, root: Root = Root.WANDB) -> SourceFile:
    status = (folder / path).stat()
    is_link = (folder / path).is_symlink()
    return SourceFile(
        root, path, str(folder), status.st_size, status.st_mtime_ns, status.st_ino, "run-1", is_link=is_link
    )


# -- the source -------------------------------------------------------------------------------------------------------


def replace_by_copy(path: Path) -> None:
    """Put another file of the same content, size and time into its place, as an editor does."""
    write(path.with_name("copy"), path.read_text()).replace(path)


def relink(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "it grew": lambda path, _: write(path, "content, and more"),
    "it was rewritten at the same size": lambda path, _: write(path, "another", mtime_ns=T + 1),
    "another file of its size and time took its place": lambda path, _: replace_by_copy(path),
    "a symlink to a file took its place": relink,
    "it is gone": lambda path, _: path.unlink(),
    "a folder took its place": lambda path, _: (path.unlink(), path.mkdir()),
    "a symlink to a folder took its place": lambda path, other: relink(path, other.parent),
    "a symlink that leads nowhere took its place": lambda path, _: relink(path, path.with_name("nothing")),
    "a pipe took its place": lambda path, _: (path.unlink(), os.mkfifo(path)),
}
VANISHED = {name for name in CHANGES if "gone" in name or "folder" in name or "nowhere" in name or "pipe" in name}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_changes_at_the_source_is_no_longer_the_one_that_was_planned(tmp_path: Path, name: str) -> None:
    path, other = write(tmp_path / "run-1/x"), write(tmp_path / "elsewhere/x")
    write(tmp_path / "run-1/rests")
    files = [make_file(tmp_path, "run-1/x"), make_file(tmp_path, "run-1/rests")]
    CHANGES[name](path, other)
    now = refresh(LocalEndpoint(), files)
    assert now[files[0].key] != files[0]
    assert (now[files[0].key] is None) is (name in VANISHED)
    assert now[files[1].key] == files[1]


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        pytest.param(lambda _path, _content: None, True, id="nothing"),
        pytest.param(lambda _path, content: write(content, "content, and more"), False, id="its content grew"),
        pytest.param(lambda path, content: relink(path, write(content.with_name("z"))), False, id="it leads elsewhere"),
        pytest.param(lambda path, content: content.rename(path), False, id="its content took its place"),
        pytest.param(lambda _path, content: content.unlink(), False, id="its content is gone"),
    ],
)
def test_a_symlink_that_is_sent_is_looked_at_through(
    tmp_path: Path, change: Callable[[Path, Path], object], is_same: bool
) -> None:
    content, path = write(tmp_path / "elsewhere/y"), tmp_path / "run-1/x"
    path.parent.mkdir()
    path.symlink_to(content)
    file = make_file(tmp_path, "run-1/x")
    change(path, content)
    assert (refresh(LocalEndpoint(), [file])[file.key] == file) is is_same


def test_files_of_several_folders_are_each_looked_at_in_their_own(tmp_path: Path) -> None:
    """Of an order in which the folders take turns, none hides another."""
    files = []
    for number in range(4):
        folder = tmp_path / f"part {number % 2}"
        write(folder / f"run-1/{number}", "x" * number)
        files.append(make_file(folder, f"run-1/{number}"))
    assert refresh(LocalEndpoint(), files) == {file.key: file for file in files}
    assert refresh(LocalEndpoint(), []) == {}


# -- the destination --------------------------------------------------------------------------------------------------

SECONDS = FileSystem(step_ns=10**9)


class _NeverAsked(CopyEngine):
    """Stands for an engine where nothing may be compared."""

    def __init__(self) -> None:
        pass


ARRIVALS: dict[str, tuple[Callable[[Path], object], bool]] = {
    "as planned": (write, True),
    "its time cut to seconds": (lambda path: write(path, mtime_ns=T - T % 10**9), True),
    "its time cut, and the old content": (lambda path: write(path, "CONTENT", mtime_ns=T - T % 10**9), True),
    "nothing": (lambda path: path.parent.mkdir(parents=True), False),
    "another size": (lambda path: write(path, "conten"), False),
    "an older time": (lambda path: write(path, mtime_ns=T - 10**10), False),
    "a newer time": (lambda path: write(path, mtime_ns=T + 10**10), False),
    "a folder": (lambda path: path.mkdir(parents=True), False),
    "a symlink to what was planned": (lambda path: relink(path, write(path).replace(f"{path}.real")), False),
    "a part under another name": (lambda path: write(path.parent / PARTIAL_FOLDER / path.name), False),
}


@pytest.mark.parametrize("name", ARRIVALS)
def test_a_file_has_arrived_under_its_name_with_the_planned_size_and_time(tmp_path: Path, name: str) -> None:
    write(tmp_path / "here/run-1/x")
    file = make_file(tmp_path / "here", "run-1/x")
    make, has_arrived = ARRIVALS[name]
    make(tmp_path / "there/run-1/x")
    roots = {Root.WANDB: str(tmp_path / "there")}
    found = Arrivals(LocalEndpoint(), roots, {Root.WANDB: SECONDS}).find([file], _NeverAsked())
    assert found == ({file.key} if has_arrived else set())


IN_DOUBT: dict[str, tuple[str, FileSystem | None, bool, bool]] = {
    "it looked like this before, and has the content": ("content", SECONDS, True, True),
    "it looked like this before, and has the old content": ("CONTENT", SECONDS, True, False),
    "nobody knows what the disk keeps, and it has the content": ("content", None, False, True),
    "nobody knows what the disk keeps, and it has the old content": ("CONTENT", None, False, False),
    "times say nothing, and it has the content": ("content", FileSystem(keeps_times=False), False, True),
    "times say nothing, and it has the old content": ("CONTENT", FileSystem(keeps_times=False), False, False),
}


@pytest.mark.parametrize("name", IN_DOUBT)
def test_in_doubt_the_content_tells_what_has_arrived(tmp_path: Path, name: str) -> None:
    """The old copy of a file that was rewritten within a second, and that could not be replaced, looks like it."""
    content, disk, was_alike, has_arrived = IN_DOUBT[name]
    write(tmp_path / "here/run-1/x")
    write(tmp_path / "there/run-1/x", content, mtime_ns=T - T % 10**9)
    file = make_file(tmp_path / "here", "run-1/x")
    roots = {Root.WANDB: str(tmp_path / "there")}
    alike = frozenset({file.key}) if was_alike else frozenset()
    arrivals = Arrivals(LocalEndpoint(), roots, {} if disk is None else {Root.WANDB: disk}, alike)
    engine = CopyEngine(Runner(), roots, workspace=".hsm-tmp/s/n")
    assert arrivals.find([file], engine) == ({file.key} if has_arrived else set())
    if was_alike:  # what the engine has compared itself, and skipped, is no doubt
        assert arrivals.find([file], _NeverAsked(), skipped=alike) == {file.key}


def test_what_cannot_be_compared_has_not_arrived(tmp_path: Path) -> None:
    write(tmp_path / "there/run-1/x", mtime_ns=T - T % 10**9)
    write(tmp_path / "here/run-1/x")
    file = make_file(tmp_path / "here", "run-1/x")
    (tmp_path / "here/run-1/x").unlink()
    roots = {Root.WANDB: str(tmp_path / "there")}
    engine = CopyEngine(Runner(), roots, workspace=".hsm-tmp/s/n")
    assert Arrivals(LocalEndpoint(), roots).find([file], engine) == set()


def test_files_of_both_roots_are_each_looked_for_in_their_own(tmp_path: Path) -> None:
    roots = {root: str(tmp_path / root.value) for root in Root}
    files = []
    for number, root in enumerate([*Root, *Root]):
        path = write(tmp_path / root.value / f"x/{number}")
        files.append(make_file(tmp_path / root.value, f"x/{number}", root=root))
        if number == 3:
            path.unlink()
    arrivals = Arrivals(LocalEndpoint(), roots)
    assert arrivals.find(files, _NeverAsked()) == {file.key for file in files[:3]}
    assert arrivals.find([], _NeverAsked()) == set()


# -- room -------------------------------------------------------------------------------------------------------------


@dataclass
class FullDisk:
    """A destination of which each folder lies on a disk with so much room, and that holds some files by their size."""

    spaces: dict[str, Space]
    sizes: dict[str, int]

    def survey(self, trees: Sequence[Tree], **_more: Any) -> Survey:
        return Survey(Machine(), tuple(self._list(tree) for tree in trees))

    def _list(self, tree: Tree) -> Listing:
        names = [name for name in tree.names if name in self.sizes]
        entries = tuple(Entry(name, EntryKind.FILE, self.sizes[name], T, 1) for name in names)
        return Listing(tree.base, EntryKind.FOLDER, entries, space=self.spaces[tree.base])


FILES = [
    SourceFile(Root.SWEEPS, "outputs/s/a", "/p", 100, T, 1),
    SourceFile(Root.WANDB, "run-1/b", "/p", 1000, T, 1, "run-1"),
    SourceFile(Root.WANDB, "run-1/c", "/p", 500, T, 1, "run-1"),
]


@pytest.mark.parametrize(
    ("sweeps", "wandb", "sizes", "lack"),
    [
        pytest.param(Space(10, 1), Space(10, 1), {}, (1590, 2), id="both on one disk"),
        pytest.param(Space(10, 1), Space(20, 1), {}, (1570, 1), id="each on a disk of its own"),
        pytest.param(Space(100, 1), Space(1500, 2), {}, (0, 0), id="just room enough"),
        pytest.param(Space(10**6, 9), Space(1499, 1), {}, (1, 1), id="room on the other disk does not help"),
        pytest.param(Space(0, None), Space(None, 0), {}, (100, 2), id="what nobody knows lacks nothing"),
        pytest.param(
            Space(100, 1),
            Space(0, 0),
            {f"run-1/{PARTIAL_FOLDER}/b": 400, "run-1/b": 7},
            (1100, 1),
            id="a part that waits, and a file that is replaced",
        ),
        pytest.param(Space(100, 1), Space(0, 2), {f"run-1/{PARTIAL_FOLDER}/c": 900}, (1000, 0), id="a part too long"),
    ],
)
def test_a_full_disk_lacks_what_the_rest_needs_and_it_has_not(
    sweeps: Space, wandb: Space, sizes: dict[str, int], lack: tuple[int, int]
) -> None:
    disk = FullDisk({"/s": sweeps, "/w": wandb}, sizes)
    assert measure_lack(disk, {Root.SWEEPS: "/s", Root.WANDB: "/w"}, FILES) == lack  # type: ignore[arg-type]
