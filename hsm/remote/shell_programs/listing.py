"""The answers of the lister, read: cut into parts at once, made into listings when they are asked for. Pure."""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hsm.endpoint import Listing, Machine, Space
from hsm.model import FOLDER_UNREADABLE, Entry, EntryKind, Problem
from hsm.remote.sessions import MOST_ENTRIES
from hsm.remote.shell_programs.lister import ListingRequest
from hsm.tree import BLOCK_BYTES

_KINDS = {"f": EntryKind.FILE, "d": EntryKind.FOLDER, "l": EntryKind.SYMLINK}

_PACKED = b"gzip\0"
_MOST_CLOCK_DIGITS = 12

MOST_BYTES = 1024**3
"""Of an answer once it is unpacked: a listing of seven million files."""

_SIZE_LIMIT, _SECONDS_LIMIT = 2**64, 2**63
"""No system call gives or takes more."""


@dataclass(frozen=True, slots=True)
class ListingAnswer:
    """The output of a request's program, cut into its parts, which are read when they are asked for.

    Attributes:
        machine: That it runs on.
        fields: Of the extra program.
        search: What the search printed.
        digest: Of all but the clock, the room and the version of rsync: the same as long as nothing of the listing
            changes.
    """

    machine: Machine
    fields: list[bytes]
    search: bytes
    digest: str
    _sections: tuple[bytes, ...]
    _complaints: Mapping[int, list[str]]
    _mark: str

    def read_listings(self) -> tuple[Listing, ...]:
        """Read a listing per tree of the request.

        Raises:
            ValueError: The output is not that of the program.
        """
        return tuple(
            _parse_section(section, self._complaints.get(index, []), self._mark)
            for index, section in enumerate(self._sections)
        )


def parse_listing(content: bytes, complaints: bytes, *, request: ListingRequest, mark: str) -> ListingAnswer:
    """Cut the output of a request's program into its parts.

    Args:
        content: Its standard output between the session's marks.
        complaints: The session's standard error.
        request: The one that was asked.
        mark: The mark in its program.

    Raises:
        ValueError: The output is not that of the program.
    """
    if content.startswith(_PACKED):
        content = _unpack(content[len(_PACKED) :])
    # No name holds the mark, which is drawn anew for each session.
    head, *sections, rest = content.split(mark.encode() + b"=")
    found = b""
    if request.has_search:
        found, rest = rest, sections.pop() if sections else b""
    system, home, clock, rsync_version, _ = os.fsdecode(head).split("\0")
    if len(clock) > _MOST_CLOCK_DIGITS:
        raise ValueError("it speaks of a time that no clock shows")
    machine = Machine(system, home, rsync_version, int(clock or 0) * 10**9)
    if len(sections) != len(request.trees):
        raise ValueError("the listing is cut")
    by_tree = _split_complaints(complaints, mark)
    said = [
        os.fsencode(system),
        *map(_drop_space, sections),
        rest,
        found,
        # Not what is said of names that are not there, of which one is drawn anew each time (`hsm.targets.apart`).
        os.fsencode(repr([(index, *filter(_is_of_a_folder, lines)) for index, lines in sorted(by_tree.items())])),
    ]
    # The mark of `stat` stands before every record, and is another one each time.
    digest = make_answer_digest(part.replace(mark.encode(), b"") for part in said)
    return ListingAnswer(machine, rest.split(b"\0")[:-1], found, digest, tuple(sections), by_tree, mark)


def make_answer_digest(parts: Iterable[bytes]) -> str:
    """Make one digest of several parts, in their order."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _drop_space(section: bytes) -> bytes:
    """Return a section without the room on its file system, which changes all the time."""
    fields = section.split(b"\0", 5)
    return b"\0".join([*fields[:3], *fields[5:]])


def _unpack(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)  # gzip's own form (RFC 1952)
    try:
        unpacked = unpacker.decompress(content, MOST_BYTES)  # a source that is not trusted may send a bomb
    except zlib.error as error:
        raise ValueError(f"the listing is damaged: {error}") from error
    if not unpacker.eof:
        raise ValueError("the listing is cut, or far too long")
    return unpacked


def _split_complaints(complaints: bytes, mark: str) -> dict[int, list[str]]:
    by_tree: dict[int, list[str]] = {}
    index = -1
    for line in os.fsdecode(complaints).splitlines():
        if line.startswith(mark):
            index = int(line[len(mark) :])
        elif index >= 0:  # complaints before the first tree are noise of start-up files
            by_tree.setdefault(index, []).append(line)
    return by_tree


def _is_of_a_folder(complaint: str) -> bool:
    """Tell whether a line of standard error says that a folder could not be read."""
    return complaint.startswith(("find:", "stat:")) and "No such file" not in complaint


def _parse_section(section: bytes, complaints: list[str], mark: str) -> Listing:
    text = os.fsdecode(section)
    kind, nearest, base, free_bytes, free_inodes, records = text.split("\0", 5)
    if records.count("\0") > 2 * MOST_ENTRIES:
        raise ValueError(f"it has more than {MOST_ENTRIES:,} entries")
    found = _iter_gnu_records(records) if not records.startswith(mark) else _iter_stat_records(records, mark)
    return Listing(
        base=base[:-1] or "/",
        kind=_KINDS.get(kind, EntryKind.OTHER) if kind else None,
        entries=_check_numbers(_join_followed(found)),
        problems=tuple(_iter_problems(complaints)),
        space=Space(_parse_df(free_bytes, is_inodes=False), _parse_df(free_inodes, is_inodes=True)),
        nearest=_KINDS.get(nearest, EntryKind.OTHER),
        device=_parse_device(free_bytes),
    )


def _check_numbers(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """Refuse numbers that no file has, once for all of them, since a check for each takes longer than reading it."""
    # Beyond, no float holds them, and no call of the system takes them.
    sizes, times = [entry.size for entry in entries], [entry.mtime_ns for entry in entries]
    if max(sizes, default=0) >= _SIZE_LIMIT or min(sizes, default=0) < 0:
        raise ValueError("it speaks of a size that no file has")
    if max(times, default=0) >= _SECONDS_LIMIT * 10**9 or min(times, default=0) < -_SECONDS_LIMIT * 10**9:
        raise ValueError("it speaks of a time that no clock shows")
    return entries


def _iter_gnu_records(records: str) -> Iterator[tuple[bool, Entry]]:
    fields = iter(records.split("\0"))
    for record, link_target in zip(fields, fields, strict=False):
        letter, size, mtime, inode, path = record.split(" ", 4)
        if letter == "Ef":  # nearly all are, and a call less counts
            seconds, _, fraction = mtime.partition(".")
            mtime_ns = int(seconds + fraction[:9]) if len(fraction) >= 9 and seconds[:1] != "-" else parse_time(mtime)
            yield False, Entry(path[2:] if path[:2] == "./" else "", EntryKind.FILE, int(size), mtime_ns, int(inode))
            continue
        if len(letter) != 2:
            raise ValueError(f"a record of the type {letter!r}")
        kind = _KINDS.get(letter[1], EntryKind.OTHER)
        blocks, path = path.split(" ", 1) if letter[0] in "BG" else ("", path)
        entry = _make_entry(path, kind, size, parse_time(mtime), inode, link_target)
        yield letter[0] in "FG", _add_disk_bytes(entry, int(blocks)) if blocks else entry


def _add_disk_bytes(entry: Entry, n_blocks: int) -> Entry:
    """Add the room that a file occupies, if its blocks are so few that it must have holes."""
    n_bytes = n_blocks * BLOCK_BYTES
    # A disk that compresses has fewer blocks too, but seldom so few for files as large as that.
    return entry._replace(disk_bytes=n_bytes) if 0 <= n_bytes < entry.size - entry.size // 8 else entry


def _iter_stat_records(records: str, mark: str) -> Iterator[tuple[bool, Entry]]:
    """Read the records of `stat`: hexadecimal mode, size, seconds, inode, name.

    `F` begins those that follow links, `E` the others; xargs may have run the lister several times.
    """
    is_followed = False
    for record in records.split(mark)[1:]:
        if record in ("E", "F"):
            is_followed = record == "F"
            continue
        mode, size, mtime, inode, path = record.removesuffix("\n").split(" ", 4)
        kind = _MODE_KINDS.get(int(mode, 16) & 0o170000, EntryKind.OTHER)
        yield is_followed, _make_entry(path, kind, size, parse_time(mtime), inode, "")


_MODE_KINDS = {0o100000: EntryKind.FILE, 0o040000: EntryKind.FOLDER, 0o120000: EntryKind.SYMLINK}


def _make_entry(path: str, kind: EntryKind, size: str, mtime_ns: int, inode: str, link_target: str) -> Entry:
    name = path[2:] if path.startswith("./") else ""
    if kind is EntryKind.FOLDER:
        return Entry(name, kind, 0, 0, int(inode))
    return Entry(name, kind, int(size) if kind is EntryKind.FILE else 0, mtime_ns, int(inode), link_target)


def _join_followed(found: Iterator[tuple[bool, Entry]]) -> tuple[Entry, ...]:
    """Add to a symlink's record the file that it leads to. `find -L` shows one that leads nowhere as itself."""
    entries: list[Entry] = []
    followed: dict[str, Entry] = {}
    for is_followed, entry in found:
        if not is_followed:
            entries.append(entry)
        elif entry.kind is not EntryKind.SYMLINK:
            followed[entry.path] = entry
    if not followed:
        return tuple(entries)
    return tuple(
        entry._replace(followed=followed.get(entry.path)) if entry.kind is EntryKind.SYMLINK else entry
        for entry in entries
    )


def parse_time(text: str) -> int:
    """Read whole seconds, rounded down, and ten digits that are added to them, as nanoseconds.

    So a quarter of a second before the epoch is `-1.7500000000` (both fields of `struct timespec`, as they are).
    """
    seconds, _, fraction = text.partition(".")
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return int(seconds) * 10**9 + nanoseconds


_DF_LINE = re.compile(r"(?P<source>.*?)(?:\s+-?[0-9]+|\s+-){3}\s+(?:-?[0-9]+%|-)\s+(?P<mount>/.*)")


def _parse_device(said: str) -> str:
    """Read out of the last line of `df -P` what is mounted where: its first column and its last."""
    found = _DF_LINE.fullmatch(said.strip().rpartition("\n")[2])
    return f"{found['source']} on {found['mount']}" if found is not None else ""


def _parse_df(said: str, *, is_inodes: bool) -> int | None:
    """Read the free column in the last line of `df -P`: its numbers are total, used, free, percent.

    A total of 0 means unknown: btrfs says so of its inodes. The free column is negative where the reserve of the
    superuser is in use. macOS prints the inodes behind the blocks: used, free, percent (man df, `-i`).
    """
    words = said.strip().rpartition("\n")[2].split()[1:]
    numbers = [int(word) for word in words if re.fullmatch("-?[0-9]+", word)]
    if is_inodes and len(numbers) >= 5:
        return max(0, numbers[4])
    # A total of 0 is unknown, not full: btrfs says so of its inodes.
    if len(numbers) < 3 or numbers[0] == 0:
        return None
    return max(0, numbers[2]) * (1 if is_inodes else 1024)


_STAT_WORDS = re.compile(r"^(?:can't|cannot) statx? |: stat$")
"""Words of `stat` about a path: those of BusyBox and GNU before it, those of BSD behind it."""


def _iter_problems(complaints: Sequence[str]) -> Iterator[Problem]:
    for line in complaints:
        # A path that vanished while it was listed is no problem.
        if _is_of_a_folder(line):
            path = _STAT_WORDS.sub("", line.partition(": ")[2].rpartition(": ")[0]).strip("'\u2018\u2019`\"")
            path = "" if path == "." else path.removeprefix("./")
            reason = line.rpartition(": ")[2]
            message = f"It cannot be read: {reason}"
            yield Problem(path, FOLDER_UNREADABLE, message, "Check its permissions.")
