"""The lister: the program that lists folders at the other end, as text. Pure.

GNU find prints every record itself (`-printf`), with all digits of the time. Where `find` cannot (BusyBox, BSD, macOS),
`stat` does, with the random mark of the session before each record: names may hold anything but NUL, and `stat` ends
records with a line break. For 150,000 files at 40 ms this takes 1.6 to 2.0 s, where rsync's own comparison takes 11 s.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from hsm.endpoint import Tree
from hsm.remote.shell import MAX_PROGRAM_BYTES, quote, quote_path

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
  version=$("$1" --version 2>/dev/null </dev/null)
  if [ -z "$version" ] && [ "$1" != rsync ]; then version=$(why "$1"); fi
  field "$version"
}
why() {
  case $1 in */*) [ -e "$1" ] || printf 'missing: ' ;; esac
  ("$1" --version) 2>&1 </dev/null | head -n 1
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

# The lister, run by `xargs` or directly: $1 depth ('' = all), $2 follow (0 or 1), then the starting points. It runs
# itself with --leads for symlinks alone: `find -L` on the whole would walk into the folders that they lead to. Of files
# of 1 MiB and more (2048 blocks) the blocks are told too, which shows holes.
_LISTER = r"""
d=$1 f=$2; shift 2
one() {
  case $how in
  gnu) find "$@" -type f -size +2047 -printf 'B%y %s %T@ %i %b %p\0%l\0' -o -printf 'E%y %s %T@ %i %p\0%l\0' ;;
  busybox) printf '%s' "$m"E; find "$@" -exec stat -c "$m%f %s %Y %i %n" {} + ;;
  bsd) printf '%s' "$m"E; find "$@" -exec stat -f "$m%Xp %z %Fm %i %N" {} + ;;
  esac
}
leads() {
  case $how in
  gnu)
    find -L "$@" -maxdepth 0 -type f -size +2047 -printf 'G%y %s %T@ %i %b %p\0%l\0' -o -printf 'F%y %s %T@ %i %p\0%l\0'
    ;;
  busybox) printf '%s' "$m"F; for l do stat -L -c "$m%f %s %Y %i %n" "$l"; done ;;
  bsd) printf '%s' "$m"F; for l do stat -L -f "$m%Xp %z %Fm %i %N" "$l"; done ;;
  esac
}
if [ "${1-}" = --leads ]; then shift; leads "$@"; exit; fi
if [ -n "$d" ]; then set -- "$@" -maxdepth "$d"; fi
one "$@"
if [ "$f" = 1 ]; then find "$@" -type l -print0 | xargs -0 sh -c "$lister" lister '' 0 --leads 2>/dev/null; fi
"""

# An answer that is packed begins with the word gzip, ended by NUL.
_PACK = r"""
pack() { if command -v gzip >/dev/null 2>&1; then field gzip; gzip -1; else cat; fi; }
"""

PACKED_NAMES = 500
"""From so many starting points on an answer is compressed: it has megabytes then, and shrinks to an eighth."""

# The complaint about a base that may not be entered, in the form of find's own.
_COMPLAIN = "echo 'find: .: Permission denied' >&2"


@dataclass(frozen=True, slots=True)
class ListingRequest:
    """The work of one session: a program, and its input.

    Attributes:
        program: For /bin/sh at the other end.
        stdin: Starting points of one tree, NUL-separated.
        trees: In the order of the answer.
        has_search: A search comes last.
    """

    program: str
    stdin: bytes
    trees: tuple[Tree, ...]
    has_search: bool = False


def make_listing_requests(
    trees: Sequence[Tree], *, mark: str, rsync_path: str, extra: str = "", search: str = ""
) -> list[ListingRequest]:
    """Cut a survey into sessions: one, unless two trees have very many starting points.

    The tree with the most starting points is read from standard input, since one argument of a process ends at
    128 KiB; the others stand in the program.

    Args:
        trees: At least one.
        mark: Separates the answers.
        rsync_path: The rsync whose version is told; of another program than `rsync` itself also why there is none.
        extra: A program that prints fields ended by NUL, run after the listings.
        search: The program of a search for folders, run last.
    """
    largest = max(trees, key=_count_name_bytes)
    small: list[Tree] = []
    rest: list[Tree] = []
    room = MAX_PROGRAM_BYTES
    for tree in trees:  # as many as fit go along with the largest
        if tree is not largest:
            room -= _count_name_bytes(tree)
            (small if room > 0 else rest).append(tree)
    names = b"".join(os.fsencode(_make_start(name)) + b"\0" for name in largest.names)
    trees_here = (*small, largest)
    is_packed = len(largest.names) >= PACKED_NAMES
    # The machine comes first and the extra programs last, so that the marks between them count the trees.
    program = "\n".join(
        [
            f"m={mark} lister={quote(_LISTER)}; export lister",
            _PRELUDE,
            *([_PACK, "{"] if is_packed else []),
            f"machine {_quote_program(rsync_path)}",
            *(_make_tree_program(tree, index, from_stdin=False) for index, tree in enumerate(small)),
            _make_tree_program(largest, len(small), from_stdin=True),
            f"printf '%s=' \"$m\"\n({extra or ':'})",
            *([f"printf '%s=' \"$m\"\n{search}"] if search else []),
            *(["} | pack"] if is_packed else []),
        ]
    )
    request = ListingRequest(program, names, trees_here, has_search=bool(search))
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
    # A base that cannot be entered is not a base that is missing.
    enter = f"if cd -P -- {base} 2>/dev/null; then {command}; else {_COMPLAIN}; fi"
    listing = f"if [ -d {base} ]; then ({enter}); fi" if tree.names else ":"
    return f"printf '%s %s\\n' \"$m\" {index} >&2; printf '%s=' \"$m\"; base {base}; {listing}"


def _quote_program(path: str) -> str:
    return quote_path(path)


def _make_start(name: str) -> str:
    return f"./{name}" if name else "."


def _count_name_bytes(tree: Tree) -> int:
    return sum(len(os.fsencode(quote(_make_start(name)))) + 1 for name in tree.names) + len(tree.base) * 5
