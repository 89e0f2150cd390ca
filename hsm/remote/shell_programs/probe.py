"""The probe behind a shell: one program that tries, in HSM's own temporary folders, how their file systems behave.

It works with GNU's tools, BusyBox and BSD's, and starts 11 processes for a folder, 2 for a further one on the same file
system. Times are read with the tool that the lister uses there, so that what it does not show counts as not kept.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from hsm.plan.disk.file_system import SECOND_NS, FileSystem
from hsm.plan.disk.names import RULES
from hsm.remote.probe import (
    CASE_MADE,
    CASE_TRIED,
    EVEN_NS,
    FAR_SECONDS,
    LENGTHS,
    ODD_NS,
    PROBE_FOLDER,
    UNICODE_MADE,
    UNICODE_TRIED,
    Observation,
    make_file_system,
)
from hsm.remote.shell import RemoteShell, quote
from hsm.remote.shell_programs.listing import parse_time

# Functions of the program; each answer is `key=value`, ended by NUL. `printf` makes the files, since a redirection that
# fails ends the shell where a special built-in has it. Times come last: a file with one in the far future, left behind
# by a kill, would pass for a sign of life.
_PRELUDE = r"""
LC_ALL=C TZ=UTC0; export LC_ALL TZ
if find / -maxdepth 0 -printf '' 2>/dev/null; then how=gnu
elif stat -c %f / >/dev/null 2>&1; then how=busybox
else how=bsd; fi
give() { printf '%s\0' "$1"; }
make() { { printf '' >"$1"; } 2>/dev/null; }
shown() { for o in "$1"/*; do if [ -e "$o" ]; then give "$2=${o##*/}"; fi; done; }
set_time() {
  make "$p/t/$1" || return
  if touch -d "$2" "$p/t/$1" 2>/dev/null; then give "given=$1 fine"
  elif touch -t "$3" "$p/t/$1" 2>/dev/null; then give "given=$1 coarse"; fi
}
list_times() {
  case $how in
  gnu) find "$@" -maxdepth 0 -printf 'time=%T@ %p\0' ;;
  busybox) stat -c 'time=%Y %n' "$@" | tr '\n' '\0' ;;
  bsd) stat -f 'time=%Fm %N' "$@" | tr '\n' '\0' ;;
  esac
}
"""

# Where a hard link leads from the first folder to another one, they are on one file system, whose times are known.
_PROBE = r"""
p=$f/probe
if [ -e "$p" ]; then rm -rf -- "$p" 2>/dev/null; fi
mkdir -- "$p" "$p/n" "$p/l" "$p/c" "$p/u" "$p/t" 2>/dev/null && make "$p/t/fresh" && give made=1
names; shown "$p/n" name
lengths; shown "$p/l" long
make "$p/c/$case_made"; if [ -e "$p/c/$case_tried" ]; then give case=1; fi
make "$p/u/$unicode_made"; if [ -e "$p/u/$unicode_tried" ]; then give unicode=1; fi
shown "$p/u" shown
make "$p/c/new"; make "$p/c/old"
if [ -n "$first" ] && ln -- "$first/c/old" "$p/c/link" 2>/dev/null; then give same=1; else
first=${first:-$p}
if mv -f -- "$p/c/new" "$p/c/old" 2>/dev/null && [ ! -e "$p/c/new" ]; then give replaces=1; fi
if ln -s nothing "$p/c/symlink" 2>/dev/null && [ -L "$p/c/symlink" ]; then give symlinks=1; fi
if ln -- "$p/c/old" "$p/c/link" 2>/dev/null && [ -e "$p/c/link" ]; then give links=1; fi
set_times
list_times "$p/t/"* 2>/dev/null
fi
"""

FOLDER_MARK = b"folder="
"""The field before the answers of each folder."""

# Answers that hold for all folders of one file system.
_OF_ALL = ("given", "time", "replaces", "symlinks", "links")

_ODD, _EVEN, _FRESH = "odd", "even", "fresh"


def probe_by_shell(shell: RemoteShell, folders: Sequence[str]) -> dict[str, FileSystem]:
    """Try how file systems behave, in one round trip. Leaves nothing behind.

    Args:
        shell: Of the machine.
        folders: HSM's temporary folders, which are there and writable, absolute.

    Returns:
        By folder; a folder in which nothing could be made is missing.
    """
    completed = shell.run(make_disk_probe(folders))
    return parse_probe(completed.stdout, folders)


def make_disk_probe(folders: Sequence[str]) -> str:
    """Make the program that tries all folders."""
    head = [
        f"case_made={quote(CASE_MADE)} case_tried={quote(CASE_TRIED)}",
        f"unicode_made={quote(UNICODE_MADE)} unicode_tried={quote(UNICODE_TRIED)}",
        _make_function("names", [f'make "$p/n/"{quote(rule.sample)}' for rule in RULES]),
        _make_function("lengths", [f'make "$p/l/{"n" * length}"' for length in LENGTHS]),
        _make_function("set_times", [f"set_time {name} {_quote_time(given)}" for name, given in _GIVEN.items()]),
    ]
    tries = [f"printf 'folder=\\0'; f={quote(folder)}{_PROBE}" for folder in folders]
    made = " ".join(quote(f"{folder}/{PROBE_FOLDER}") for folder in folders)
    return "\n".join([_PRELUDE, *head, "(first=", *tries, f"rm -rf -- {made} 2>/dev/null", ")"])


def parse_probe(content: bytes, folders: Sequence[str]) -> dict[str, FileSystem]:
    """Read the answer of a program of `make_disk_probe`."""
    sections = os.fsdecode(content).split("folder=\0")[1:]
    found: dict[str, FileSystem] = {}
    first: dict[str, list[str]] = {}
    for folder, section in zip(folders, sections, strict=False):
        answers: dict[str, list[str]] = {}
        for answer in section.split("\0")[:-1]:
            key, _, value = answer.partition("=")
            answers.setdefault(key, []).append(value)
        if "made" in answers:
            first = first or answers
            answers.update((key, first.get(key, [])) for key in _OF_ALL if "same" in answers and key in first)
            found[folder] = make_file_system(_observe(answers))
    return found


# The times that are given, by the name of the file; the farthest last.
_GIVEN: Mapping[str, int] = {
    _EVEN: EVEN_NS,
    _ODD: ODD_NS,
    **{f"far{seconds}": seconds * SECOND_NS for seconds in sorted(FAR_SECONDS, key=abs)},
}


def _observe(answers: Mapping[str, list[str]]) -> Observation:
    given = dict(answer.split(" ") for answer in answers.get("given", ()))
    seen = {
        path.rpartition("/")[2]: parse_time(time)
        for time, _, path in (answer.partition(" ") for answer in answers.get("time", ()))
    }
    return Observation(
        odd=_pair(_ODD, given, seen),
        even=_pair(_EVEN, given, seen),
        fresh=[seen[_FRESH]] if "fine" not in given.values() and _FRESH in seen else [],
        far={
            seconds: seen[name] if (name := f"far{seconds}") in given and name in seen else None
            for seconds in FAR_SECONDS
        },
        names=frozenset(answers.get("name", ())),
        lengths=frozenset(map(len, answers.get("long", ()))) & frozenset(LENGTHS),
        folds_case="case" in answers,
        folds_unicode="unicode" in answers,
        shown=frozenset(answers.get("shown", ())),
        replaces="replaces" in answers,
        has_symlinks="symlinks" in answers,
        has_hard_links="links" in answers,
    )


def _pair(name: str, given: Mapping[str, str], seen: Mapping[str, int]) -> tuple[int, int] | None:
    if name not in given or name not in seen:
        return None
    time = _GIVEN[name] if given[name] == "fine" else _GIVEN[name] // SECOND_NS * SECOND_NS
    return time, seen[name]


def _quote_time(time_ns: int) -> str:
    """Write a time for `touch -d` and for `touch -t`."""
    seconds, nanoseconds = divmod(time_ns, SECOND_NS)
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    fraction = f".{nanoseconds:09d}" if nanoseconds else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z {moment:%Y%m%d%H%M.%S}"


def _make_function(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"{name}() {{", *lines, ":", "}"])


assert PROBE_FOLDER == "probe"  # noqa: S101 - the programs spell it out
