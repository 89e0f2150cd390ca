"""Reading what the listing program prints; that it prints it is the contract tests' business."""

from __future__ import annotations

import gzip
import os
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsm.endpoint import Listing, Machine, Space, Tree
from hsm.model import Entry, EntryKind, Problem
from hsm.remote.shell import MAX_PROGRAM_BYTES
from hsm.remote.shell_programs import listing
from hsm.remote.shell_programs.lister import make_listing_requests
from hsm.remote.shell_programs.listing import parse_listing

MARK = "0123456789abcdef0123456789abcdef"
HEAD = "Linux\0/home/ada\0001760000000\0rsync  version 3.2.7  protocol version 31\0"
BASE = "d\0d\0/data/wandb/\0"
DF = "/dev/sda1 1000 400 600 40% /data\0/dev/sda1 90 30 60 33% /data\0"
T = 1_760_000_000_123_456_789
MODES = {EntryKind.FILE: "81a4", EntryKind.FOLDER: "41ed", EntryKind.SYMLINK: "a1ff", EntryKind.OTHER: "11a4"}


def parse(text: str, *, complaints: str = "", trees: tuple[Tree, ...] = (Tree("/data/wandb"),)) -> list[Listing]:
    (request,) = make_listing_requests(trees, mark=MARK, rsync_path="rsync")
    content = os.fsencode(f"{text}{MARK}=")
    return list(parse_listing(content, os.fsencode(complaints), request=request, mark=MARK).read_listings())


def parse_one(records: str = "", *, base: str = BASE, df: str = DF, complaints: str = "") -> Listing:
    (listing,) = parse(f"{HEAD}{MARK}={base}{df}{records}", complaints=complaints)
    return listing


def write_name(path: str) -> str:
    return f"./{path}" if path else "."


def write_time(mtime_ns: int) -> str:
    return f"{mtime_ns // 10**9}.{mtime_ns % 10**9:09d}"


def write_gnu(entries: list[Entry]) -> str:
    """Write records as GNU find does: those of the tree, then those of the links that lead somewhere."""
    followed = [entry.followed for entry in entries if entry.followed is not None]
    return "".join(
        f"{letter}{entry.kind.value} {entry.size} {write_time(entry.mtime_ns)}0 {entry.inode} "
        f"{write_name(entry.path)}\0{entry.link_target}\0"
        for letter, members in (("E", entries), ("F", followed))
        for entry in members
    )


def write_stat(entries: list[Entry]) -> str:
    """Write records as stat does, in the order of several runs of the lister."""
    written = ""
    for entry in entries:
        for letter, member in (("E", entry), ("F", entry.followed)):
            written += f"{MARK}{letter}"
            if member is not None:
                time, name = write_time(member.mtime_ns), write_name(member.path)
                written += f"{MARK}{MODES[member.kind]} {member.size} {time} {member.inode} {name}\n"
    return written


def make_entries(paths: list[str], numbers: list[int], kinds: list[EntryKind]) -> list[Entry]:
    entries = []
    for path, number, kind in zip(paths, numbers, kinds, strict=False):
        size = abs(number) if kind is EntryKind.FILE else 0
        mtime_ns = 0 if kind is EntryKind.FOLDER else number
        entry = Entry(path, kind, size, mtime_ns, abs(number))
        if kind is EntryKind.SYMLINK and number % 2:
            entry = entry._replace(followed=Entry(path, EntryKind.FILE, 7, number - 1, 5))
        entries.append(entry)
    return entries


# Names as os.fsdecode gives them: no NUL, and surrogates for bytes that are no UTF-8.
NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name).map(os.fsdecode)
ENTRIES = st.builds(
    make_entries,
    st.lists(NAMES, unique=True, max_size=6),
    st.lists(st.integers(-(10**19), 10**19), min_size=6, max_size=6),
    st.lists(st.sampled_from(EntryKind), min_size=6, max_size=6),
)


@given(ENTRIES)
def test_records_of_gnu_find_come_back_as_they_were(entries: list[Entry]) -> None:
    linked = [
        entry._replace(link_target="to\n/ x\udcff") if entry.kind is EntryKind.SYMLINK else entry for entry in entries
    ]
    assert parse_one(write_gnu(linked)).entries == tuple(linked)


@given(ENTRIES)
def test_records_of_stat_come_back_as_they_were(entries: list[Entry]) -> None:
    assert parse_one(write_stat(entries)).entries == tuple(entries)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            "Ef 12 1760000000.1234567890 77 ./run-1/a b\0\0",
            Entry("run-1/a b", EntryKind.FILE, 12, T, 77),
            id="file",
        ),
        pytest.param("Ef 1 1760000000.1234567890 7 ./ \n\0\0", Entry(" \n", EntryKind.FILE, 1, T, 7), id="blank name"),
        pytest.param("Ed 4096 1.5 7 .\0\0", Entry("", EntryKind.FOLDER, 0, 0, 7), id="the base"),
        pytest.param(
            "El 3 2.5000000000 7 ./l\0a b\0",
            Entry("l", EntryKind.SYMLINK, 0, 2_500_000_000, 7, "a b"),
            id="symlink",
        ),
        pytest.param("Es 0 2.0000000000 7 ./s\0\0", Entry("s", EntryKind.OTHER, 0, 2 * 10**9, 7), id="socket"),
        pytest.param("Ep 9 2.0000000000 7 ./p\0\0", Entry("p", EntryKind.OTHER, 0, 2 * 10**9, 7), id="fifo"),
        pytest.param("Ef 1 5 7 ./f\0\0", Entry("f", EntryKind.FILE, 1, 5 * 10**9, 7), id="whole seconds"),
        pytest.param("Ef 1 0.0000000010 7 ./f\0\0", Entry("f", EntryKind.FILE, 1, 1, 7), id="a nanosecond"),
        pytest.param(
            "Ef 1 -1.7500000000 7 ./f\0\0",
            Entry("f", EntryKind.FILE, 1, -250_000_000, 7),
            id="1/4 s before the epoch",
        ),
        pytest.param("Ef 1 -2.0000000000 7 ./f\0\0", Entry("f", EntryKind.FILE, 1, -2 * 10**9, 7), id="before 1970"),
        pytest.param(
            f"{MARK}E{MARK}81a4 12 1760000000.123456789 77 ./a\nb\n",
            Entry("a\nb", EntryKind.FILE, 12, T, 77),
            id="BSD's stat",
        ),
        pytest.param(
            f"{MARK}E{MARK}81a4 12 1760000000 77 ./a\n\n",
            Entry("a\n", EntryKind.FILE, 12, T - T % 10**9, 77),
            id="BusyBox's stat",
        ),
        pytest.param(f"{MARK}E{MARK}41ed 4096 5 77 .\n", Entry("", EntryKind.FOLDER, 0, 0, 77), id="stat of the base"),
        pytest.param(
            f"{MARK}E{MARK}c1ed 0 5 77 ./s\n", Entry("s", EntryKind.OTHER, 0, 5 * 10**9, 77), id="stat of a socket"
        ),
    ],
)
def test_a_record(record: str, expected: Entry) -> None:
    assert parse_one(record).entries == (expected,)


def test_a_link_that_leads_nowhere_has_no_end() -> None:
    link = "El 3 2.0000000000 7 ./l\0nowhere\0"
    (entry,) = parse_one(f"{link}F{link[1:]}").entries
    assert entry.followed is None


@pytest.mark.parametrize(
    ("line", "free_bytes"),
    [
        pytest.param("/dev/sda1 1000 400 600 40% /data", 600 * 1024, id="Linux"),
        pytest.param("7 1000 400 600 40% /data", 600 * 1024, id="a device that is a number"),
        pytest.param("tmpfs 1000 0 1000 0% /dev/shm", 1000 * 1024, id="nothing used"),
        pytest.param("/dev/sda1 1000 1000 0 100% /data", 0, id="full"),
        pytest.param("/dev/disk1 1000 1050 -50 105% /", 0, id="the superuser's reserve in use"),
        pytest.param("rclone 0 0 0 - /mnt", None, id="a total of 0"),
        pytest.param("x - - - - /mnt", None, id="nothing known"),
        pytest.param("", None, id="no df"),
    ],
)
def test_free_bytes(line: str, free_bytes: int | None) -> None:
    assert parse_one(df=f"{line}\0\0").space == Space(free_bytes, None)


@pytest.mark.parametrize(
    ("line", "free_inodes"),
    [
        pytest.param("/dev/sda1 16777216 494949 16282267 3% /", 16282267, id="Linux"),
        pytest.param("/dev/sda1              16777216    494954  16282262   3% /", 16282262, id="BusyBox"),
        pytest.param("/dev/disk3s1 971350180 19000000 500000000 4% 390000 4294000000 0% /", 4294000000, id="macOS"),
        pytest.param("/dev/sda2 0 0 0 - /home", None, id="btrfs"),
        pytest.param("/dev/sda1 90 90 0 100% /", 0, id="none left"),
        pytest.param("Filesystem Inodes IUsed IFree IUse% Mounted on\n/dev/sda1 90 83 7 93% /", 7, id="a heading"),
        pytest.param("", None, id="no df -i"),
    ],
)
def test_free_inodes(line: str, free_inodes: int | None) -> None:
    assert parse_one(df=f"\0{line}\0").space == Space(None, free_inodes)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        pytest.param("d\0d\0/data/wandb/\0", ("/data/wandb", EntryKind.FOLDER, EntryKind.FOLDER), id="a folder"),
        pytest.param("d\0d\0//\0", ("/", EntryKind.FOLDER, EntryKind.FOLDER), id="the root"),
        pytest.param("\0d\0/no/such/\0", ("/no/such", None, EntryKind.FOLDER), id="missing"),
        pytest.param("\0f\0/file/x/\0", ("/file/x", None, EntryKind.FILE), id="below a file"),
        pytest.param("f\0f\0/file/\0", ("/file", EntryKind.FILE, EntryKind.FILE), id="a file"),
        pytest.param("o\0o\0/dev/x/\0", ("/dev/x", EntryKind.OTHER, EntryKind.OTHER), id="a device"),
        pytest.param("d\0d\0/a\nb /\0", ("/a\nb ", EntryKind.FOLDER, EntryKind.FOLDER), id="a strange name"),
    ],
)
def test_a_base(base: str, expected: tuple[str, EntryKind | None, EntryKind]) -> None:
    listing = parse_one(base=base)
    assert (listing.base, listing.kind, listing.nearest, listing.entries) == (*expected, ())


@pytest.mark.parametrize(
    ("complaint", "expected"),
    [
        pytest.param("find: './run-1/files': Permission denied", ("run-1/files", "Permission denied"), id="GNU"),
        pytest.param(
            "find: \u2018./a b\u2019: Permission denied", ("a b", "Permission denied"), id="GNU with a locale"
        ),
        pytest.param("find: ./a: b: Permission denied", ("a: b", "Permission denied"), id="BusyBox, BSD"),
        pytest.param("find: '.': Permission denied", ("", "Permission denied"), id="the base"),
        pytest.param("find: './x': Stale file handle", ("x", "Stale file handle"), id="NFS"),
        pytest.param("find: './gone': No such file or directory", None, id="a missing starting point"),
        pytest.param("stat: can't stat './gone': No such file or directory", None, id="vanished meanwhile"),
        pytest.param("Welcome to the cluster", None, id="noise"),
    ],
)
def test_complaints_become_problems(complaint: str, expected: tuple[str, str] | None) -> None:
    problems = parse_one(complaints=f"find: noise before\n{MARK} 0\n{complaint}\n").problems
    assert [(problem.path, problem.message.rpartition(": ")[2]) for problem in problems] == (
        [expected] if expected else []
    )
    assert all(problem.kind == "unreadable" and problem.is_failure for problem in problems)


def test_complaints_belong_to_their_tree() -> None:
    trees = (Tree("/a", ("x",)), Tree("/b", ("y" * 100,)))
    text = f"{HEAD}{MARK}={BASE}{DF}{MARK}={BASE}{DF}Ef 1 5 7 ./f\0\0"
    complaints = f"{MARK} 0\nfind: './x': Permission denied\n{MARK} 1\nfind: './y': Permission denied\n"
    first, second = parse(text, complaints=complaints, trees=trees)
    assert (len(first.entries), len(second.entries)) == (0, 1)
    assert [[problem.path for problem in listing.problems] for listing in (first, second)] == [["x"], ["y"]]
    assert isinstance(first.problems[0], Problem)


def test_the_machine_is_told() -> None:
    (request,) = make_listing_requests([Tree("/data")], mark=MARK, rsync_path="rsync")
    content = f"{HEAD}{MARK}={BASE}{DF}{MARK}=".encode()
    machine = parse_listing(content, b"", request=request, mark=MARK).machine
    assert machine == Machine("Linux", "/home/ada", "rsync  version 3.2.7  protocol version 31", 1_760_000_000 * 10**9)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("Last login: Monday", id="noise"),
        pytest.param(HEAD, id="no tree"),
        pytest.param(f"{HEAD}{MARK}=d\0d\0", id="a cut tree"),
        pytest.param(f"{HEAD}{MARK}={BASE}{DF}Ef 12\0\0", id="a cut record"),
        pytest.param(f"{HEAD}{MARK}={BASE}{DF}{MARK}={BASE}{DF}", id="a tree too many"),
        pytest.param(HEAD.replace("1760000000", "now") + f"{MARK}={BASE}{DF}", id="no clock"),
    ],
)
def test_another_programs_output_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def test_a_packed_answer_is_the_same() -> None:
    (request,) = make_listing_requests([Tree("/data")], mark=MARK, rsync_path="rsync")
    content = f"{HEAD}{MARK}={BASE}{DF}Ef 1 5 7 ./f\0\0{MARK}=".encode()
    packed = b"gzip\0" + gzip.compress(content)
    plain = parse_listing(content, b"", request=request, mark=MARK)
    assert parse_listing(packed, b"", request=request, mark=MARK) == plain
    for broken in (packed[:-9], packed[:20], b"gzip\0", b"gzip\0" + content):
        with pytest.raises(ValueError, match="listing is"):
            parse_listing(broken, b"", request=request, mark=MARK)


OTHER_MARK = "f" * 32
ONE = f"{HEAD}{MARK}={BASE}{DF}Ef 1 5 7 ./f\0\0{MARK}=12-3 receipt-1.json\0"


@pytest.mark.parametrize(
    ("text", "complaints", "is_same"),
    [
        pytest.param(ONE, "", True, id="the same"),
        pytest.param(ONE.replace("1760000000", "1760009999"), "", True, id="later"),
        pytest.param(ONE.replace("400 600 40%", "500 500 50%"), "", True, id="less room"),
        pytest.param(ONE.replace("3.2.7", "3.4.1"), "", True, id="another rsync"),
        pytest.param(ONE.replace(MARK, OTHER_MARK), "", True, id="another mark"),
        pytest.param(ONE.replace("Ef 1 5", "Ef 2 5"), "", False, id="a file grew"),
        pytest.param(ONE.replace("./f", "./g"), "", False, id="another name"),
        pytest.param(ONE.replace("Ef 1 5 7 ./f\0\0", ""), "", False, id="a file is gone"),
        pytest.param(ONE.replace("/data/wandb", "/data2/wandb"), "", False, id="another folder"),
        pytest.param(ONE.replace("12-3", "13-3"), "", False, id="another receipt"),
        pytest.param(ONE.replace("Linux", "Darwin"), "", False, id="another system"),
        pytest.param(ONE.replace("Linux", "L\udcff"), "", False, id="a system that is no text"),
        pytest.param(ONE, f"{MARK} 0\nfind: './x': Permission denied\n", False, id="a complaint"),
    ],
)
def test_a_digest_is_the_same_while_nothing_changes(text: str, complaints: str, *, is_same: bool) -> None:
    (request,) = make_listing_requests([Tree("/data")], mark=MARK, rsync_path="rsync")
    mark = OTHER_MARK if OTHER_MARK in text else MARK
    before = parse_listing(ONE.encode(), b"", request=request, mark=MARK)
    after = parse_listing(os.fsencode(text), complaints.encode(), request=request, mark=mark)
    assert (before.digest == after.digest) is is_same


@given(st.binary(max_size=60))
def test_whatever_is_printed_raises_nothing_else(content: bytes) -> None:
    (request,) = make_listing_requests([Tree("/data")], mark=MARK, rsync_path="rsync")
    for prefix in ("", "gzip\0", HEAD, f"{HEAD}{MARK}={BASE}{DF}"):
        try:
            whole = prefix.encode() + content + f"{MARK}=".encode()
            parse_listing(whole, content, request=request, mark=MARK).read_listings()
        except ValueError:
            continue


def test_one_session_lists_several_trees_and_streams_the_largest() -> None:
    trees = [Tree("/a", ("x",)), Tree("/b", tuple(f"run-{number}" for number in range(1000))), Tree("/c", ())]
    (request,) = make_listing_requests(trees, mark=MARK, rsync_path="rsync")
    assert request.trees == (trees[0], trees[2], trees[1])
    assert request.stdin == b"".join(f"./run-{number}\0".encode() for number in range(1000))
    assert "run-7" not in request.program
    assert request.program.endswith("} | pack")
    (small,) = make_listing_requests(trees[::2], mark=MARK, rsync_path="rsync")
    assert "pack" not in small.program


names = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), max_size=30)


@given(st.lists(names.map(tuple), min_size=1, max_size=5), st.integers(1, 400))
@settings(deadline=None)  # tens of thousands of names, on a machine that may be busy
def test_requests_hold_every_tree_once_and_fit_an_argument(found: list[tuple[str, ...]], times: int) -> None:
    trees = [Tree(f"/{index}", members * times) for index, members in enumerate(found)]
    requests = make_listing_requests(trees, mark=MARK, rsync_path="rsync")
    assert sorted(tree.base for request in requests for tree in request.trees) == [tree.base for tree in trees]
    assert all(len(os.fsencode(request.program)) < MAX_PROGRAM_BYTES + 8 * 1024 for request in requests)


def test_an_unusual_rsync_is_one_word_of_the_program() -> None:
    (request,) = make_listing_requests([Tree("/a")], mark=MARK, rsync_path="~/my tools/rsync")
    (line,) = [line for line in request.program.splitlines() if line.startswith("machine ")]
    assert shlex.split(line) == ["machine", "$HOME/my tools/rsync"]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(f"Ef {10**400} 1.0000000000 1 ./a\0\0", id="a size"),
        pytest.param("Ef -5 1.0000000000 1 ./a\0\0", id="a size below nothing"),
        pytest.param(f"Ef 1 {10**25}.0000000000 1 ./a\0\0", id="a time to come"),
        pytest.param(f"Ef 1 -{10**25}.0000000000 1 ./a\0\0", id="a time gone by"),
        pytest.param("Ef \u00b2 1.0000000000 1 ./a\0\0", id="no number"),
        pytest.param(" 1 1.0000000000 1 ./a\0\0", id="no type"),
    ],
)
def test_a_number_that_no_file_has_is_no_listing(record: str) -> None:
    with pytest.raises(ValueError, match=r"no file has|no clock shows|invalid literal|of the type"):
        parse_one(record)


def test_a_clock_that_no_machine_has_is_no_listing() -> None:
    with pytest.raises(ValueError, match="no clock shows"):
        parse(f"Linux\0/home/ada\0{10**400}\0rsync\0{MARK}={BASE}{DF}")


def test_times_after_the_year_9999_and_before_1970_are_read() -> None:
    records = "".join(f"Ef 1 {seconds}.0000000000 1 ./{seconds}\0\0" for seconds in (2**40, -(2**40)))
    assert [entry.mtime_ns for entry in parse_one(records).entries] == [2**40 * 10**9, -(2**40) * 10**9]


def test_a_listing_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_ENTRIES", 3)
    record = "Ef 1 1.0000000000 1 ./a\0\0"
    assert len(parse_one(record * 3).entries) == 3
    with pytest.raises(ValueError, match="more than 3 entries"):
        parse_one(record * 4)
