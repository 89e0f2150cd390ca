"""The contract of endpoints, held by this machine and by machines behind every shell and every `find`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Entry, EntryKind
from tests.contract.conftest import list_common
from tests.marks import parametrize

KINDS = ["local", "gnu", "busybox", "no-printf", "bsd", "tcsh", "fish", "paramiko", "sftp"]
KINDS += ["open-gnu", "open-busybox", "open-bsd", "open-tcsh"]
T = 1_760_000_000_123_456_789
HOSTILE = [
    "it's",
    "a b",
    "-n",
    "$(touch x)",
    "new\nline",
    "esc\x1b[31m",
    "#c",
    ";d",
    "ü",
    "x" * 255,
    "back\\slash",
]

pytestmark = parametrize("kind", KINDS, quick=list_common(KINDS))
MakeEndpoint = Callable[[str], Endpoint]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with entries of every type."""
    root = tmp_path / "tree"
    for folder in ("run-1/files", "run-2", "deep/er/est"):
        (root / folder).mkdir(parents=True)
    for name in ("run-1/files/a", "run-2/b", "deep/er/est/c", "top", *(f"run-2/{name}" for name in HOSTILE)):
        (root / name).write_text(name)
        os.utime(root / name, ns=(T, T))
    Path(os.fsdecode(os.fsencode(root) + b"/run-2/\xff\xfe")).write_text("bytes")
    (root / "run-1/link").symlink_to("files/a")
    (root / "run-1/folder-link").symlink_to("files")
    (root / "run-1/dangling").symlink_to("nowhere")
    os.mkfifo(root / "run-2/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(root)
        listener.bind("run-2/socket")
    return root


def list_one(endpoint: Endpoint, tree: Tree) -> Listing:
    (listing,) = endpoint.survey([tree]).listings
    return listing


def by_path(listing: Listing) -> dict[str, Entry]:
    assert len({entry.path for entry in listing.entries}) == len(listing.entries)
    return {entry.path: entry for entry in listing.entries}


def keeps_nanoseconds(kind: str) -> bool:
    return kind.removeprefix("open-") not in ("busybox", "no-printf", "sftp")


def has_inodes(kind: str) -> bool:
    return kind != "sftp"


def test_every_entry_has_its_type_size_time_and_inode(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    found = by_path(list_one(make_endpoint(kind), Tree(str(tree))))
    expected = {os.path.relpath(path, tree) for path in tree.rglob("*")} | {""}
    assert set(found) == expected
    kinds = {"top": "f", "run-1": "d", "run-1/link": "l", "run-2/fifo": "o", "run-2/socket": "o", "": "d"}
    assert {path: found[path].kind.value for path in kinds} == kinds
    for name in ("top", *(f"run-2/{name}" for name in HOSTILE)):
        status = (tree / name).lstat()
        mtime_ns = T if keeps_nanoseconds(kind) else T - T % 10**9
        assert (found[name].size, found[name].mtime_ns, found[name].inode) == (
            status.st_size,
            mtime_ns,
            status.st_ino if has_inodes(kind) else 0,
        )
    assert (found["run-1"].size, found["run-1"].mtime_ns, found["run-2/fifo"].size) == (0, 0, 0)


def test_of_a_large_file_with_holes_is_told_what_it_occupies(
    make_endpoint: MakeEndpoint, tmp_path: Path, kind: str
) -> None:
    for name, size in (("1 2 sparse", 2 * 1024**2), ("small", 1024**2 - 600)):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(size)
    if (tmp_path / "1 2 sparse").stat().st_blocks:
        pytest.skip("the file system here makes no holes")
    with (tmp_path / "whole").open("wb") as stream:
        stream.write(os.urandom(2 * 1024**2))
        os.fsync(stream.fileno())  # some file systems give blocks late
    (tmp_path / "link").symlink_to("1 2 sparse")
    found = by_path(list_one(make_endpoint(kind), Tree(str(tmp_path), follow=True)))
    tells = kind.removeprefix("open-") in ("local", "gnu", "tcsh", "fish", "paramiko")
    assert found["1 2 sparse"].disk_bytes == (0 if tells else None)
    assert (found["whole"].disk_bytes, found["small"].disk_bytes, found["link"].disk_bytes) == (None, None, None)
    assert found["1 2 sparse"].size == 2 * 1024**2
    followed = found["link"].followed
    assert followed is not None
    assert (followed.size, followed.disk_bytes) == (2 * 1024**2, 0 if tells else None)


def test_a_depth_cuts_and_names_restrict(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    endpoint = make_endpoint(kind)
    survey = endpoint.survey(
        [
            Tree(str(tree), ("deep",), 1),
            Tree(str(tree), ("top", "run-1", "missing"), 0),
            Tree(str(tree), (), None),
            Tree(str(tree), tuple(f"run-{number}" for number in range(30_000)), None),
        ]
    )
    assert [set(by_path(listing)) for listing in survey.listings[:3]] == [
        {"deep", "deep/er"},
        {"top", "run-1"},
        set(),
    ]
    assert {"run-1/files/a", "run-2/b"} < set(by_path(survey.listings[3]))
    assert [listing.kind for listing in survey.listings] == [EntryKind.FOLDER] * 4


def test_a_digest_tells_whether_anything_changed(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    endpoint = make_endpoint(kind)
    trees = [Tree(str(tree), ("run-1", "missing"), follow=True), Tree(str(tree), ("run-2",))]
    first = endpoint.survey(trees)
    same = endpoint.survey(trees, is_lazy=True)
    assert same.digest == first.digest
    assert [by_path(listing) for listing in same.listings] == [by_path(listing) for listing in first.listings]
    assert (first.digest == "") is (kind in ("local", "sftp"))
    (tree / "run-2/b").write_text("longer than before")
    changed = endpoint.survey(trees, is_lazy=True)
    assert changed.digest != first.digest or changed.digest == ""
    assert by_path(changed.listings[1])["run-2/b"].size == len("longer than before")


def test_links_are_followed_when_asked_but_never_walked(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    endpoint = make_endpoint(kind)
    plain = by_path(list_one(endpoint, Tree(str(tree), ("run-1",))))
    found = by_path(list_one(endpoint, Tree(str(tree), ("run-1",), follow=True)))
    assert plain["run-1/link"].followed is None
    leads = {path: found[f"run-1/{path}"].followed for path in ("link", "folder-link", "dangling")}
    assert leads["dangling"] is None
    assert leads["folder-link"] is not None
    assert leads["folder-link"].kind is EntryKind.FOLDER
    status = (tree / "run-1/files/a").stat()
    assert leads["link"] is not None
    assert (leads["link"].kind, leads["link"].size, leads["link"].inode) == (
        EntryKind.FILE,
        status.st_size,
        status.st_ino if has_inodes(kind) else 0,
    )
    assert not any(path.startswith("run-1/folder-link/") for path in found)


def test_a_base_may_be_a_symlink_a_file_or_missing(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    endpoint = make_endpoint(kind)
    (tree.parent / "alias").symlink_to(tree)
    survey = endpoint.survey(
        [
            Tree(str(tree.parent / "alias"), ("top",), 0),
            Tree(str(tree / "top"), ("x",), 0),
            Tree(str(tree / "no/such"), ("x",), 0),
            Tree(str(tree / "top/below"), ("x",), 0),
        ]
    )
    alias, file, missing, below = survey.listings
    assert (alias.base, alias.kind, set(by_path(alias))) == (str(tree), EntryKind.FOLDER, {"top"})
    assert (file.kind, file.entries) == (EntryKind.FILE, ())
    assert (missing.kind, missing.nearest, missing.base) == (None, EntryKind.FOLDER, str(tree / "no/such"))
    assert (below.kind, below.nearest) == (None, EntryKind.FILE)


def test_the_machine_and_its_space_are_told(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    survey = make_endpoint(kind).survey([Tree(str(tree))])
    free = os.statvfs(tree)
    space = survey.listings[0].space
    assert survey.machine.system == ("" if kind == "sftp" else "Linux")
    assert abs(survey.machine.clock_ns - tree.stat().st_ctime_ns) < 600 * 10**9
    if kind == "sftp":  # it tells no time, so none that may have come is taken for gone
        assert survey.machine.clock_ns < time.time_ns() - 59 * 10**9
    assert space.free_bytes is not None
    assert abs(space.free_bytes - free.f_bavail * free.f_frsize) < 2**30


def test_the_home_folder_is_the_base_of_a_tilde(
    make_endpoint: MakeEndpoint, tree: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = make_endpoint(kind)
    if kind == "local":
        monkeypatch.setenv("HOME", str(tree))
        home = tree
    else:
        home = Path(endpoint.survey([Tree(str(tree))]).machine.home)
    (home / "sub folder").mkdir()
    listing = list_one(endpoint, Tree("~/sub folder"))
    assert (listing.base, listing.kind) == (str(home / "sub folder"), EntryKind.FOLDER)


def test_the_ends_of_files_are_read(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    sizes = {"empty": 0, "small": 7, "block": 32768, "five": 5 * 32768 + 100, "sp ace": 3 * 32768}
    for name, size in sizes.items():
        (tree / name).write_bytes(os.urandom(size))
    paths = [str(tree / name) for name in ("five", "missing", "empty", "small", "run-1", "block", "sp ace")]
    found = {Path(ends.path).name: ends for ends in make_endpoint(kind).read_ends(paths, n_blocks=2)}
    assert list(found) == ["five", "empty", "small", "block", "sp ace"]
    for name, ends in found.items():
        content = (tree / name).read_bytes()
        assert (ends.size, ends.head) == (len(content), content[: 2 * 32768])
        assert ends.tail == content[ends.tail_offset :]
        assert ends.tail_offset % 32768 == 0
    assert found["five"].tail_offset == 4 * 32768


def test_a_file_is_read_whole_or_missed(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    endpoint = make_endpoint(kind)
    content = os.urandom(100_000) + b"\0>y"
    (tree / "it's bin").write_bytes(content)
    assert endpoint.read_file(str(tree / "it's bin")) == content
    with pytest.raises(FileNotFoundError):
        endpoint.read_file(str(tree / "missing"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_a_problem(make_endpoint: MakeEndpoint, tree: Path, kind: str) -> None:
    (tree / "run-1/files").chmod(0)
    listing = list_one(make_endpoint(kind), Tree(str(tree), ("run-1",)))
    (tree / "run-1/files").chmod(0o755)
    assert [problem.path for problem in listing.problems] == ["run-1/files"]
