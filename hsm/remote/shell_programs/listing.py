"""Listings behind a shell: the program that prints them there, and the reading of its output. Pure.

GNU find prints every record itself (`-printf`), with all digits of the time. Where `find` cannot (BusyBox, BSD, macOS),
`stat` does, with the random mark of the session before each record: names may hold anything but NUL, and `stat` ends
records with a line break. For 150,000 files at 40 ms this takes 1.6 to 2.0 s, where rsync's own comparison takes 11 s.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hsm.endpoint import Listing, Machine, Space, Tree
from hsm.model import FOLDER_UNREADABLE, Entry, EntryKind, Problem
from hsm.remote.shell import MAX_PROGRAM_BYTES, quote, quote_path

_KINDS = {"f": EntryKind.FILE, "d": EntryKind.FOLDER, "l": EntryKind.SYMLINK}

# Functions of the program. `$m` is the mark. Every field that they print ends with NUL. They start few processes, since
# each takes a while on a busy login node: 22 for a survey.
_PRELUDE = r"""
LC_ALL=C; export LC_ALL
if find / -maxdepth 0 -printf '' 2>/dev/null; then how=gnu
elif stat -c %f / >/dev/null 2>&1; then how=busybox
else how=bsd; fi
export how m
field() { printf '%s\0' "$1"; }
kind() {
  if [ -d "$1" ]; then field d; elif [ -f "$1" ]; then field f; elif [ -e "$1" ]; then field o; else field ''; fi
}
machine() {
  field "$(uname -s)"; field "$HOME"; field "$(date +%s)"
  field "$("$1" --version 2>/dev/null </dev/null)"
}
nearest() {
  n=$1
  while [ -n "$n" ] && [ "$n" != / ] && [ ! -e "$n" ]; do n=${n%/*}; done
  n=${n:-/}
}
space() {
  if [ "$n" != "$known" ]; then
    known=$n bytes=$(df -P -k -- "$n" 2>/dev/null) inodes=$(df -P -i -- "$n" 2>/dev/null)
  fi
  field "$bytes"; field "$inodes"
}
base() {
  nearest "$1"
  kind "$1"; kind "$n"
  (cd -P -- "$1" && printf '%s/\0' "$PWD") 2>/dev/null || field "$1/"
  space
}
known=
"""

# The lister, run by `xargs` or directly: $1 depth ('' = all), $2 follow (0 or 1), then the starting points.
_LISTER = r"""
d=$1 f=$2; shift 2
one() {
  case $how in
  gnu) find "$@" -printf 'E%y %s %T@ %i %p\0%l\0' ;;
  busybox) printf '%s' "$m"E; find "$@" -exec stat -c "$m%f %s %Y %i %n" {} + ;;
  bsd) printf '%s' "$m"E; find "$@" -exec stat -f "$m%Xp %z %Fm %i %N" {} + ;;
  esac
}
leads() {
  case $how in
  gnu) find -L "$@" -maxdepth 0 -printf 'F%y %s %T@ %i %p\0%l\0' ;;
  busybox) printf '%s' "$m"F; for l do stat -L -c "$m%f %s %Y %i %n" "$l"; done ;;
  bsd) printf '%s' "$m"F; for l do stat -L -f "$m%Xp %z %Fm %i %N" "$l"; done ;;
  esac
}
if [ "${1-}" = --leads ]; then shift; leads "$@"; exit; fi
if [ -n "$d" ]; then set -- "$@" -maxdepth "$d"; fi
one "$@"
if [ "$f" = 1 ]; then find "$@" -type l -print0 | xargs -0 sh -c "$lister" lister '' 0 --leads 2>/dev/null; fi
"""

_PACK = r"""
pack() { if command -v gzip >/dev/null 2>&1; then field gzip; gzip -1; else cat; fi; }
"""

_PACKED = b"gzip\0"

PACKED_NAMES = 500
"""Starting points from which on an answer is compressed: of so many runs it has megabytes, and shrinks to an eighth."""

MOST_BYTES = 4 * 1024**3
"""Of an answer once it is unpacked: a listing of 40 million files."""

_COMPLAIN = "echo 'find: .: Permission denied' >&2"
"""The complaint about a base that may not be entered, in the form of find's own."""


@dataclass(frozen=True, slots=True)
class ListingRequest:
    """The work of one session: a program, and its input.

    Attributes:
        program: For /bin/sh at the other end.
        stdin: Starting points of one tree, NUL-separated.
        trees: In the order of the answer.
    """

    program: str
    stdin: bytes
    trees: tuple[Tree, ...]


def make_listing_requests(
    trees: Sequence[Tree], *, mark: str, rsync_path: str, extra: str = ""
) -> list[ListingRequest]:
    """Cut a survey into sessions: one, unless two trees have very many starting points.

    The tree with the most starting points is read from standard input, since one argument of a process ends at
    128 KiB; the others stand in the program.

    Args:
        trees: At least one.
        mark: Separates the answers.
        rsync_path: The rsync whose version is told.
        extra: A program that prints fields ended by NUL, run after the listings.
    """
    largest = max(trees, key=_count_name_bytes)
    small: list[Tree] = []
    rest: list[Tree] = []
    room = MAX_PROGRAM_BYTES
    for tree in trees:
        if tree is not largest:
            room -= _count_name_bytes(tree)
            (small if room > 0 else rest).append(tree)
    names = b"".join(os.fsencode(_make_start(name)) + b"\0" for name in largest.names)
    trees_here = (*small, largest)
    is_packed = len(largest.names) >= PACKED_NAMES
    program = "\n".join(
        [
            f"m={mark} lister={quote(_LISTER)}; export lister",
            _PRELUDE,
            *([_PACK, "{"] if is_packed else []),
            f"machine {_quote_program(rsync_path)}",
            *(_make_tree_program(tree, index, from_stdin=False) for index, tree in enumerate(small)),
            _make_tree_program(largest, len(small), from_stdin=True),
            f"printf '%s=' \"$m\"\n({extra or ':'})",
            *(["} | pack"] if is_packed else []),
        ]
    )
    request = ListingRequest(program, names, trees_here)
    return [request, *(make_listing_requests(rest, mark=mark, rsync_path=rsync_path) if rest else [])]


def _make_tree_program(tree: Tree, index: int, *, from_stdin: bool) -> str:
    depth = "" if tree.max_depth is None else str(tree.max_depth)
    arguments = f"lister '{depth}' {int(tree.follow)}"
    if from_stdin:
        command = f'xargs -0 sh -c "$lister" {arguments}'
    else:
        names = " ".join(quote(_make_start(name)) for name in tree.names)
        command = f'sh -c "$lister" {arguments} {names} </dev/null'
    base = quote_path(tree.base)
    enter = f"if cd -P -- {base} 2>/dev/null; then {command}; else {_COMPLAIN}; fi"
    listing = f"if [ -d {base} ]; then ({enter}); fi" if tree.names else ":"
    return f"printf '%s %s\\n' \"$m\" {index} >&2; printf '%s=' \"$m\"; base {base}; {listing}"


def _quote_program(path: str) -> str:
    return quote_path(path)


def _make_start(name: str) -> str:
    return f"./{name}" if name else "."


def _count_name_bytes(tree: Tree) -> int:
    return sum(len(os.fsencode(quote(_make_start(name)))) + 1 for name in tree.names) + len(tree.base) * 5


@dataclass(frozen=True, slots=True)
class ListingAnswer:
    """The output of a request's program, cut into its parts, which are read when they are asked for.

    Attributes:
        machine: That it runs on.
        fields: Of the extra program.
        digest: Of all but the clock, the room and the version of rsync: the same as long as nothing of the listing
            changes.
    """

    machine: Machine
    fields: list[bytes]
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
    head, *sections, rest = content.split(mark.encode() + b"=")
    system, home, clock, rsync_version, _ = os.fsdecode(head).split("\0")
    machine = Machine(system, home, rsync_version, int(clock or 0) * 10**9)
    if len(sections) != len(request.trees):
        raise ValueError("the listing is cut")
    by_tree = _split_complaints(complaints, mark)
    said = [
        os.fsencode(system),
        *map(_drop_space, sections),
        rest,
        os.fsencode(repr(sorted(by_tree.items()))),
    ]
    digest = make_answer_digest(part.replace(mark.encode(), b"") for part in said)
    return ListingAnswer(machine, rest.split(b"\0")[:-1], digest, tuple(sections), by_tree, mark)


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
        unpacked = unpacker.decompress(content, MOST_BYTES)
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
        elif index >= 0:
            by_tree.setdefault(index, []).append(line)
    return by_tree


def _parse_section(section: bytes, complaints: list[str], mark: str) -> Listing:
    text = os.fsdecode(section)
    kind, nearest, base, free_bytes, free_inodes, records = text.split("\0", 5)
    found = _iter_gnu_records(records) if not records.startswith(mark) else _iter_stat_records(records, mark)
    return Listing(
        base=base[:-1] or "/",
        kind=_KINDS.get(kind, EntryKind.OTHER) if kind else None,
        entries=_join_followed(found),
        problems=tuple(_iter_problems(complaints)),
        space=Space(_parse_df(free_bytes, is_inodes=False), _parse_df(free_inodes, is_inodes=True)),
        nearest=_KINDS.get(nearest, EntryKind.OTHER),
    )


def _iter_gnu_records(records: str) -> Iterator[tuple[bool, Entry]]:
    fields = iter(records.split("\0"))
    for record, link_target in zip(fields, fields, strict=False):
        letter, size, mtime, inode, path = record.split(" ", 4)
        if letter == "Ef":  # nearly all are, and a call less counts
            seconds, _, fraction = mtime.partition(".")
            mtime_ns = int(seconds + fraction[:9]) if len(fraction) >= 9 and seconds[:1] != "-" else _parse_time(mtime)
            yield False, Entry(path[2:] if path[:2] == "./" else "", EntryKind.FILE, int(size), mtime_ns, int(inode))
            continue
        kind = _KINDS.get(letter[1], EntryKind.OTHER)
        yield letter[0] == "F", _make_entry(path, kind, size, _parse_time(mtime), inode, link_target)


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
        yield is_followed, _make_entry(path, kind, size, _parse_time(mtime), inode, "")


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


def _parse_time(text: str) -> int:
    """Read whole seconds, rounded down, and ten digits that are added to them, as nanoseconds.

    So a quarter of a second before the epoch is `-1.7500000000` (both fields of `struct timespec`, as they are).
    """
    seconds, _, fraction = text.partition(".")
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return int(seconds) * 10**9 + nanoseconds


def _parse_df(said: str, *, is_inodes: bool) -> int | None:
    """Read the free column in the last line of `df -P`: its numbers are total, used, free, percent.

    A total of 0 means unknown: btrfs says so of its inodes. The free column is negative where the reserve of the
    superuser is in use. macOS prints the inodes behind the blocks: used, free, percent (man df, `-i`).
    """
    words = said.strip().rpartition("\n")[2].split()[1:]
    numbers = [int(word) for word in words if re.fullmatch("-?[0-9]+", word)]
    if is_inodes and len(numbers) >= 5:
        return max(0, numbers[4])
    if len(numbers) < 3 or numbers[0] == 0:
        return None
    return max(0, numbers[2]) * (1 if is_inodes else 1024)


def _iter_problems(complaints: Sequence[str]) -> Iterator[Problem]:
    for line in complaints:
        if line.startswith(("find:", "stat:")) and "No such file" not in line:
            path = line.partition(": ")[2].rpartition(": ")[0].strip("'\u2018\u2019`\"")
            path = "" if path == "." else path.removeprefix("./")
            reason = line.rpartition(": ")[2]
            message = f"The folder cannot be read: {reason}"
            yield Problem(path, FOLDER_UNREADABLE, message, "Check its permissions.")
