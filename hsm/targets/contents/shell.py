"""Whole files at a target where programs may run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence

from hsm.errors import TargetError
from hsm.remote.shell import RemoteShell, quote
from hsm.targets.contents.contract import Failures, Sizes
from hsm.targets.contents.flush import make_flush_error
from hsm.targets.contents.marks import get_mark_family
from hsm.transfer.sftp.checksums import READ_METHOD, sum_there

_FILES_AT_ONCE = 2000

# Of one session, which has a time limit.
_GROUP_FILES = 2000
_GROUP_BYTES = 8 * 1024**3

# Chooses a program that flushes one file and says whether it did. GNU's and BusyBox's `sync` take files; older ones
# and BSD's ignore what they are given, flush everything, and never fail. So each is first given a name that does not
# exist: who finds nothing wrong with that proves nothing by an exit status of 0. `fsync` is BusyBox's; macOS has perl.
_CHOOSE = r"""
perl='use IO::Handle; open(F, "<", $ARGV[0]) && defined(F->sync) or die "$!\n"'
python='import os, sys
try:
    os.fsync(os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK))
except OSError as error:
    sys.exit(error.strerror)'
knows() { "$@" / >/dev/null 2>&1 </dev/null && ! "$@" "$none" >/dev/null 2>&1 </dev/null; }
if knows sync --; then how=sync
elif knows fsync; then how=fsync
elif knows perl -e "$perl"; then how=perl
elif knows python3 -c "$python"; then how=python
else printf 'none\0'; exit 0; fi
export how perl python
"""

# One process for each file: Linux tells an error of writing once, so that a second try to find out which of many files
# it was would hear that all is well. `dd` of GNU drops the pages of a file that have been written, so that checksums
# are taken of what the disk has; others do not know `nocache`, which is no error here.
_FLUSH = r"""
write() {
  case $how in
    sync) sync -- "$1" ;;
    fsync) fsync "$1" ;;
    perl) perl -e "$perl" "$1" ;;
    *) python3 -c "$python" "$1" ;;
  esac
}
for f do
  if [ -L "$f" ]; then e="it is a symlink"
  elif e=$(write "$f" 2>&1 </dev/null); then e=
  else e=${e:-no reason was given}; fi
  if [ -n "$e" ]; then printf '%s\0%s\0' "$f" "$e"
  elif [ -f "$f" ]; then dd if="$f" iflag=nocache count=0 >/dev/null 2>&1 </dev/null; fi
done
"""

_MARK = r"""
for d do
  for o in "$d/$family"*; do if [ -f "$o" ] && [ ! -L "$o" ] && [ ! -s "$o" ]; then rm -f -- "$o"; fi; done
  e=$( (: >>"$d/$name") 2>&1) || printf '%s\0%s\0' "$d" "${e:-no reason was given}"
done
"""

_UNMARK = r"""
for d do rm -f -- "$d/$name"; done 2>/dev/null
"""

_FIND_LINKED = r"""
find "$@" -type f -links +1 -exec printf '%s\0' {} \; 2>/dev/null
"""

_DONE = b"done"


class ShellContents:
    """Implements `hsm.targets.contents.contract.Contents` by programs there."""

    def __init__(self, shell: RemoteShell) -> None:
        self._shell = shell

    def check_flush(self) -> None:
        """See `hsm.targets.contents.contract.Contents.check_flush`."""

    def flush(self, files: Sequence[str], folders: Sequence[str]) -> Failures:
        """See `hsm.targets.contents.contract.Contents.flush`."""
        head = f"none=/.hsm-none-{secrets.token_hex(8)}\n{_CHOOSE}"
        failures: Failures = {}
        for answer in self._each(_FLUSH, [*files, *folders], head=head):
            if answer[:1] == ["none"]:
                raise make_flush_error(
                    self._shell.name, "no program there flushes one file: sync, fsync, perl, python3"
                )
            failures |= _pair(answer)
        return failures

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `hsm.targets.contents.contract.Contents.read_checksums`."""
        found: dict[str, str] = {}
        for group in _cut(sizes):
            sums = sum_there(self._shell, group)
            if len(sums) != len(group) or any(method != READ_METHOD for method, _ in sums):
                raise TargetError(
                    f"{self._shell.name} has no program that takes SHA-256 checksums.",
                    hint="Install coreutils there, or compare sizes and times with --quick.",
                    kind="no_checksums",
                )
            found |= {path: checksum for path, (_, checksum) in zip(group, sums, strict=True) if checksum}
        return found

    def find_linked(self, paths: Sequence[str]) -> frozenset[str]:
        """See `hsm.targets.contents.contract.Contents.find_linked`."""
        return frozenset(path for answer in self._each(_FIND_LINKED, paths) for path in answer)

    def make_marks(self, folders: Collection[str], name: str) -> Failures:
        """See `hsm.targets.contents.contract.Contents.make_marks`."""
        failures: Failures = {}
        for answer in self._each(_MARK, folders, head=_name_mark(name)):
            failures |= _pair(answer)
        return failures

    def remove_marks(self, folders: Collection[str], name: str) -> None:
        """See `hsm.targets.contents.contract.Contents.remove_marks`."""
        for _ in self._each(_UNMARK, folders, head=_name_mark(name)):
            pass

    def _each(self, program: str, paths: Iterable[str], *, head: str = "") -> Iterator[list[str]]:
        """Run a program that is given paths, many at once; yield the fields that it prints.

        Raises:
            TargetError: It did not come to its end.
        """
        wanted = list(paths)
        for start in range(0, len(wanted), _FILES_AT_ONCE):
            names = b"".join(os.fsencode(path) + b"\0" for path in wanted[start : start + _FILES_AT_ONCE])
            completed = self._shell.run(f"{head}\nxargs -0 sh -c {quote(program)} each\nprintf 'done\\0'", stdin=names)
            *fields, last = completed.stdout.split(b"\0")[:-1] or [b""]
            if last != _DONE and not (last == b"none" and not fields):
                raise make_flush_error(self._shell.name, os.fsdecode(completed.stderr[-400:]))
            yield [os.fsdecode(field) for field in (fields if last == _DONE else [last])]


def _name_mark(name: str) -> str:
    return f"name={quote(name)} family={quote(get_mark_family(name))}\nexport name family"


def _pair(fields: Sequence[str]) -> Failures:
    """Read fields that are pairs of a path and the words of the system, of which the last line counts."""
    words = (word.strip().splitlines() or [""] for word in fields[1::2])
    return dict(zip(fields[::2], (lines[-1] for lines in words), strict=True))


def _cut(sizes: Sizes) -> Iterator[list[str]]:
    """Cut into groups of few enough files and bytes."""
    group: list[str] = []
    n_bytes = 0
    for path, size in sizes.items():
        if group and (len(group) >= _GROUP_FILES or n_bytes + size > _GROUP_BYTES):
            yield group
            group, n_bytes = [], 0
        group.append(path)
        n_bytes += size
    if group:
        yield group
