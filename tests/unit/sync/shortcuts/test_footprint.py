"""Whether a source would be read the same again, told from a digest of each folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm import tree
from hsm.endpoint import Tree
from hsm.sync.shortcuts.footprint import Footprint, is_unchanged
from hsm.tree import list_tree

T = 1_760_000_000_123_456_789


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with files of one time, a symlink to one elsewhere, and enough folders to need several looks."""
    root = tmp_path / "wandb"
    for number in range(20):
        folder = root / f"run-{number}" / "files"
        folder.mkdir(parents=True)
        (folder / "output.log").write_text("done\n")
        os.utime(folder / "output.log", ns=(T, T))
    (tmp_path / "elsewhere").write_text("core\n")
    (root / "run-0" / "link").symlink_to(tmp_path / "elsewhere")
    (root / "run-0" / "dangling").symlink_to("nowhere")
    (root / "run-0" / "chain").symlink_to(tmp_path / "hop")
    (tmp_path / "hop").symlink_to("elsewhere")
    os.mkfifo(root / "run-0" / "fifo")
    return root


def read(root: Path) -> dict[str, str]:
    taken = Footprint()
    list_tree(Tree(str(root), follow=True), scan=taken.scan)
    assert taken.is_whole
    return taken.folders


def grow(path: Path, *, keeps_time: bool = False) -> None:
    status = path.stat()
    with path.open("a") as stream:
        stream.write("more\n")
    if keeps_time:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap(path: Path) -> None:
    """Put another file of the same size and time into its place."""
    status = path.stat()
    beside = path.with_name("beside")
    beside.write_text("DONE\n")
    os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns))
    beside.replace(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file grew": lambda root: grow(root / "run-7/files/output.log"),
    "a file grew within its time": lambda root: grow(root / "run-7/files/output.log", keeps_time=True),
    "a file was written again": lambda root: os.utime(root / "run-19/files/output.log"),
    "another file of the same size and time": lambda root: swap(root / "run-3/files/output.log"),
    "a new file": lambda root: (root / "run-3/files/new").touch(),
    "a new folder": lambda root: (root / "run-3/media").mkdir(),
    "a file is gone": lambda root: (root / "run-3/files/output.log").unlink(),
    "a folder is gone": lambda root: (root / "run-3").rename(root.parent / "run-3"),
    "a folder got another name": lambda root: (root / "run-3").rename(root / "run-33"),
    "what a symlink leads to grew": lambda root: grow(root.parent / "elsewhere"),
    "a symlink leads there another way": lambda root: (
        (root.parent / "other-hop").symlink_to("elsewhere"),
        (root.parent / "hop").unlink(),
        (root.parent / "hop").symlink_to("other-hop"),
    ),
    "what a symlink leads to is gone": lambda root: (root.parent / "elsewhere").unlink(),
    "what a symlink leads to is there": lambda root: (root / "run-0/nowhere").touch(),
    "a file became a symlink": lambda root: (
        (root / "run-5/files/output.log").rename(root.parent / "moved"),
        (root / "run-5/files/output.log").symlink_to(root.parent / "moved"),
    ),
    "a file became a folder": lambda root: (
        (root / "run-5/files/output.log").unlink(),
        (root / "run-5/files/output.log").mkdir(),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("slow_seconds", [tree.SLOW_SECONDS, -1.0], ids=["one reader", "several"])
def test_every_change_is_seen(
    root: Path, change: Callable[[Path], object], slow_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "SLOW_SECONDS", slow_seconds)
    folders = read(root)
    assert is_unchanged(folders)
    change(root)
    assert not is_unchanged(folders)


def test_what_is_read_is_listed_as_without(root: Path) -> None:
    tree = Tree(str(root), follow=True)
    assert sorted(list_tree(tree, scan=Footprint().scan).entries) == sorted(list_tree(tree).entries)


def test_a_mode_that_changed_counts_as_little_as_in_a_plan(root: Path) -> None:
    folders = read(root)
    (root / "run-3/files/output.log").chmod(0o600)
    assert is_unchanged(folders)


def test_names_that_are_no_text_are_told_apart(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    path.write_text("a")
    folders = read(tmp_path)
    path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfd"))
    assert not is_unchanged(folders)


def test_a_folder_that_changes_while_it_is_read_is_noticed(root: Path) -> None:
    taken = Footprint()
    taken.scan(str(root / "run-3"))
    taken.scan(str(root / "run-3"))
    assert taken.is_whole
    (root / "run-3/new").touch()
    taken.scan(str(root / "run-3"))
    assert not taken.is_whole


def test_what_cannot_be_read_leaves_no_whole_footprint(root: Path) -> None:
    taken = Footprint()
    with pytest.raises(OSError, match="fifo"):
        taken.scan(str(root / "run-0/fifo"))
    assert not taken.is_whole


@pytest.mark.parametrize("name", ["no\0name", "no\ud800name", "/no/such/folder"])
def test_a_folder_that_can_be_none_is_a_change(name: str) -> None:
    assert not is_unchanged({name: ""})
