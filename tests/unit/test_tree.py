"""Listing this machine, where the contract of endpoints leaves it open."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.endpoint import Listing, Tree
from hsm.model import Entry, EntryKind
from hsm.tree import N_READERS, Child, list_tree, scan_folder

T = 1_760_000_000_123_456_789


def paths_of(listing: Listing) -> set[str]:
    assert len({entry.path for entry in listing.entries}) == len(listing.entries)
    return {entry.path for entry in listing.entries}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Return a folder with three levels."""
    folder = tmp_path / "base"
    (folder / "a/b/c").mkdir(parents=True)
    for name in ("1", "a/2", "a/b/3", "a/b/c/4"):
        (folder / name).write_text(name)
        os.utime(folder / name, ns=(T, T))
    return folder


@pytest.mark.parametrize(
    ("names", "max_depth", "expected"),
    [
        pytest.param(("",), 0, {""}, id="the base alone"),
        pytest.param(("",), 1, {"", "1", "a"}, id="one level"),
        pytest.param(("",), 2, {"", "1", "a", "a/2", "a/b"}, id="two levels"),
        pytest.param(("",), None, {"", "1", "a", "a/2", "a/b", "a/b/3", "a/b/c", "a/b/c/4"}, id="everything"),
        pytest.param(("a",), 1, {"a", "a/2", "a/b"}, id="a folder"),
        pytest.param(("a/b", "1"), 0, {"a/b", "1"}, id="names"),
        pytest.param(("1",), None, {"1"}, id="a file"),
        pytest.param(("none", "1/below", "a"), 0, {"a"}, id="missing ones are absent"),
        pytest.param((), None, set(), id="no starting point"),
    ],
)
def test_names_restrict_and_a_depth_cuts(
    names: tuple[str, ...], max_depth: int | None, expected: set[str], base: Path
) -> None:
    listing = list_tree(Tree(str(base), names, max_depth))
    assert paths_of(listing) == expected
    assert listing.problems == ()


def test_a_record_holds_what_the_file_system_says(base: Path) -> None:
    os.utime(base / "1", ns=(-1_500_000_000, -1_500_000_000))
    (base / "link").symlink_to("a/2")
    found = {entry.path: entry for entry in list_tree(Tree(str(base), follow=True)).entries}
    inodes = {path: (base / path).lstat().st_ino for path in found}
    assert found["1"] == Entry("1", EntryKind.FILE, 1, -1_500_000_000, inodes["1"])
    assert found["a/2"] == Entry("a/2", EntryKind.FILE, 3, T, inodes["a/2"])
    assert found["a"] == Entry("a", EntryKind.FOLDER, 0, 0, inodes["a"])
    assert found["link"]._replace(mtime_ns=0) == Entry(
        "link", EntryKind.SYMLINK, 0, 0, inodes["link"], "a/2", found["a/2"]._replace(path="link")
    )


def test_the_base_is_real_and_its_links_are_resolved(base: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("base")
    listing = list_tree(Tree(str(tmp_path / "alias/a"), ("2",), 0))
    assert (listing.base, listing.kind, paths_of(listing)) == (str(base / "a"), EntryKind.FOLDER, {"2"})


@pytest.mark.parametrize(
    ("path", "kind", "nearest"),
    [
        pytest.param("none/such", None, EntryKind.FOLDER, id="missing"),
        pytest.param("1", EntryKind.FILE, EntryKind.FILE, id="a file"),
        pytest.param("1/below", None, EntryKind.FILE, id="below a file"),
        pytest.param("dangling", None, EntryKind.FOLDER, id="a link that leads nowhere"),
        pytest.param("fifo", EntryKind.OTHER, EntryKind.OTHER, id="a fifo"),
    ],
)
def test_a_base_that_is_no_folder(path: str, kind: EntryKind | None, nearest: EntryKind, base: Path) -> None:
    (base / "dangling").symlink_to("nowhere")
    os.mkfifo(base / "fifo")
    listing = list_tree(Tree(str(base / path)))
    assert (listing.base, listing.kind, listing.nearest) == (str(base / path), kind, nearest)
    assert (listing.entries, listing.problems) == ((), ())
    assert listing.space.free_bytes is not None


def test_the_home_folder_is_found(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(base))
    assert list_tree(Tree("~/a")).base == str(base / "a")
    assert list_tree(Tree("~/none")).base == str(base / "none")


def test_free_space_is_that_of_the_file_system(base: Path) -> None:
    space, status = list_tree(Tree(str(base / "none"))).space, os.statvfs(base)
    assert space.free_bytes is not None
    assert abs(space.free_bytes - status.f_bavail * status.f_frsize) < 2**30
    assert (space.free_inodes is None) is (status.f_files == 0)


def test_a_file_system_without_totals_tells_nothing() -> None:
    if not Path("/proc/self").exists() or os.statvfs("/proc").f_blocks:
        pytest.skip("no file system whose totals are 0")
    space = list_tree(Tree("/proc", names=())).space
    assert (space.free_bytes, space.free_inodes) == (None, None)


@pytest.mark.parametrize(
    ("names", "expected"),
    [pytest.param(("",), "a", id="below the base"), pytest.param(("a/2", "1"), "a/2", id="a starting point")],
)
def test_what_may_not_be_looked_at_is_a_problem_and_the_rest_is_listed(
    names: tuple[str, ...], expected: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(real: object) -> object:
        def look(path: str, *more: object, **options: object) -> object:
            if path.startswith(str(base / "a")):
                raise PermissionError(13, "Permission denied", path)
            return real(path, *more, **options)  # type: ignore[operator]

        return look

    for name in ("scandir", "lstat"):
        monkeypatch.setattr(os, name, forbid(getattr(os, name)))
    listing = list_tree(Tree(str(base), names))
    assert [(problem.path, problem.kind) for problem in listing.problems] == [(expected, "unreadable")]
    assert listing.problems[0].message.endswith("Permission denied")
    assert "1" in paths_of(listing)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_a_problem(base: Path) -> None:
    (base / "a").chmod(0)
    listing = list_tree(Tree(str(base)))
    (base / "a").chmod(0o755)
    assert [problem.path for problem in listing.problems] == ["a"]


NAMES = st.binary(min_size=1, max_size=30).filter(
    lambda name: not set(name) & {0, ord("/")} and name not in (b".", b"..")
)


@given(st.sets(NAMES, max_size=5))
def test_names_of_any_bytes_are_listed(tmp_path_factory: pytest.TempPathFactory, names: set[bytes]) -> None:
    folder = tmp_path_factory.mktemp("names")
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()
    assert paths_of(list_tree(Tree(str(folder)))) == {"", *map(os.fsdecode, names)}


def test_a_slow_file_system_is_read_by_several_threads_with_the_same_result(tmp_path: Path) -> None:
    names = tuple(f"run-{number:03}" for number in range(100))
    for name in names:
        (tmp_path / name / "files").mkdir(parents=True)
        (tmp_path / name / "files" / "a").write_text(name)
    tree = Tree(str(tmp_path), (*names, "missing"))
    threads: set[int] = set()

    def scan_slowly(folder: str) -> Sequence[Child]:
        threads.add(threading.get_ident())
        time.sleep(0.002)
        return scan_folder(folder)

    slow = list_tree(tree, scan=scan_slowly)
    assert slow.entries == list_tree(tree).entries
    assert len(slow.entries) == 300
    assert 2 < len(threads) <= N_READERS + 1


def test_a_folder_that_cannot_be_read_is_told_by_every_thread(tmp_path: Path) -> None:
    names = tuple(f"run-{number:03}" for number in range(60))
    for name in names:
        (tmp_path / name).mkdir()

    def refuse(_folder: str) -> Sequence[Child]:
        time.sleep(0.002)
        raise PermissionError(errno.EACCES, "Permission denied")

    listing = list_tree(Tree(str(tmp_path), names), scan=refuse)
    assert [problem.path for problem in listing.problems] == list(names)
    assert [entry.path for entry in listing.entries] == list(names)
