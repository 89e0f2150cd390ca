"""The guard of a destination where commands run: a small /bin/sh program for each call.

One program does what belongs together in one round trip.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence

from hsm.errors import UnwritableError
from hsm.plan.disk.file_system import FileSystem
from hsm.remote.cksum import make_checksum
from hsm.remote.guard import GuardPlaces, LockHeld, LockTaken, ReplacedFile, UnseenReplaced, make_unwritable_error
from hsm.remote.shell import RemoteShell, quote
from hsm.remote.shell_programs.receipts import RECEIPTS, parse_receipt_checksums

# $d the folder, $n the nonce, $size the length that standard input must have (it is shorter after a broken connection),
# $minutes the limit. `ours` gives a command the temporary folders, `above` those that hold them. The programs start few
# processes, since each takes a while on a busy login node: 9 to take the lock, 11 to release it.
_COMMON = r"""
give() { printf '%s\0' "$1"; }
first() { l=; if [ -f "$1" ]; then IFS= read -r l <"$1"; fi; } 2>/dev/null
mine() { first "$d/lock"; case $l in *"$n"*) ;; *) false ;; esac; }
check() {
  for o do
    if [ -L "$o" ] || [ -L "${o%/*}" ]; then echo "$o is or lies below a symlink"; return 1; fi
  done
}
make() { for o do mkdir -p -- "$o/$n" 2>/dev/null || mkdir -p -- "$o/$n" || return; done; }
# Folders of files that a holder replaced (NONCE.old) stay until somebody has looked at them.
empty() {
  for o do
    [ -e "$o" ] || continue
    if [ ! -d "$o" ]; then rm -f -- "$o" || return; continue; fi
    for f in "$o"/* "$o"/.[!.]*; do
      case $f in *.old) ;; *) rm -rf -- "$f" || return ;; esac
    done
  done
}
"""

# - The lock is a hard link of a file that was written first: `ln` fails where the name is taken, on NFS as well, and
#   the lock is never there half written. Without hard links the shell's `noclobber` makes it.
# - `begin` makes a file of our own at once, and twice where it must: a holder that gives its lock back meanwhile
#   removes the folder, unless something lies in it.
# - A stale lock is moved aside and compared: two processes that found the same one would else both win.
# - A file that was made this moment must be young; if not, the clock differs from the one of its disk (NFS), and no
#   age can be told.
_TAKE = r"""
begin() { mkdir -p -- "$d" && printf '' >"$d/lock.$n"; }
unmake() { for o do check "$o" || return; rmdir -- "$o/$n"; rmdir -- "$o"; rmdir -- "${o%/*}"; done; }
# A probe that was killed may leave a file of the year 9999.
young() { for o do find "$o" ! -path "*/probe/*" -mmin "-$minutes"; done; }
# rsync continues a part where it lies, so that one is a sign of life as well.
parts() { for o do find "${o%/*/*}" -path "*/.hsm-partial/*" -type f -mmin "-$minutes"; done; }
fail() {
  rm -f -- "$d/lock.$n"
  if mine; then ours unmake >/dev/null 2>&1; rm -f -- "$d/lock"; fi
  rmdir -- "$d" 2>/dev/null
  give failed; give "$1"; exit 0
}
if [ -L "$d" ]; then give failed; give "$d is a symlink"; exit 0; fi
e=$( { begin 2>/dev/null || begin; } 2>&1) || fail "$e"
if [ -L "$d/lock" ] || { [ -e "$d/lock" ] && [ ! -f "$d/lock" ]; }; then fail "$d/lock is no file"; fi
e=$( { cat >"$d/lock.$n"; } 2>&1) || fail "$e"
first "$d/lock.$n"; c=$l
if [ -e "$d/lock.$n" ] && [ "$((${#c} + 1))" -ne "$size" ]; then fail "the connection broke"; fi
if [ -n "$break" ] && ! cmp -s "$d/lock.$n" "$d/lock"; then
  mv -- "$d/lock" "$d/old.$n" 2>/dev/null
  if [ "$break" = stale ] && [ "$(cksum <"$d/old.$n" 2>/dev/null)" != "$stale" ]; then
    ln -- "$d/old.$n" "$d/lock" 2>/dev/null
  fi
  rm -f -- "$d/old.$n"
fi
if ln -- "$d/lock.$n" "$d/lock" 2>/dev/null; then r=taken
elif cmp -s "$d/lock.$n" "$d/lock"; then r=taken
elif [ -n "$c" ] && [ ! -e "$d/lock" ] && (set -C; printf '%s\n' "$c" >"$d/lock") 2>/dev/null; then r=taken
else r=held; fi
if [ $r = held ]; then
  give held; cat "$d/lock" 2>/dev/null; give ''
  give "$(cksum <"$d/lock" 2>/dev/null)"
  fresh=$( {
    find "$d/lock" -mmin "-$minutes"; ours check && ours young
    find "$d/lock.$n" -mmin -2 | grep -q . || echo "its clock is not its disk's"
  } 2>/dev/null | head -n 1)
  [ -n "$fresh" ] || fresh=$( { ours check && ours parts; } 2>/dev/null | head -n 1)
  give "$fresh"
  rm -f -- "$d/lock.$n"
  exit 0
fi
rm -f -- "$d"/lock.?* "$d"/old.?* "$d"/new.?*
e=$( { ours check && { ours empty; ours make; }; } 2>&1) || fail "$e"
olds() {
  for o do
    for f in "$o"/*.old; do if [ -d "$f" ]; then f=${f##*/}; printf '%s ' "${f%.old}"; fi; done
  done
}
# proc(5), mountinfo: the fifth field is the mount point, its blanks and backslashes as octal numbers, as in $bases.
mounts() {
  [ -r /proc/self/mountinfo ] || return
  while read -r _ _ _ _ point _; do
    for base in $bases; do case $point in "$base"/*) printf '%s\n' "$point" ;; esac; done
  done </proc/self/mountinfo
}
give taken; give "$(ours olds)"; give "$(mounts)"; receipts
"""

# After a broken connection: without its temporary file, an old rsync that has not noticed has nothing to rename.
_TIDY = r"""
clear() { for o do rm -rf -- "$o/$n"; done; }
if mine; then { ours check && { ours clear; ours make; }; } >/dev/null 2>&1; give tidied; else give lost; fi
"""

# The receipt is written and the lock given back by one program, which first looks for its nonce: a process that has
# lost the lock writes no receipt.
_RELEASE = r"""
whole() { [ $(($(wc -c <"$1"))) -eq "$size" ] || { echo "the connection broke"; return 1; }; }
write() {
  cat >"$d/new.$n" && whole "$d/new.$n" && { sync "$d/new.$n" 2>/dev/null || sync; } || return
  if [ -n "$aside" ] && [ ! -d "$d/$receipt.damaged" ]; then mv -f -- "$d/$receipt" "$d/$receipt.damaged"; fi
  if [ -d "$d/$receipt" ]; then echo "$d/$receipt is a folder"; return 1; fi
  mv -f -- "$d/new.$n" "$d/$receipt"
}
unseen() { for o do [ -d "$o/$n.old" ] && return; done; return 1; }
drop() { for o do for f in $drop; do rm -rf -- "$o/$f.old"; done; done; }
# A look at what was replaced in this same round trip: `expected` is the checksum of its list, sorted.
olds() {
  for o do shift; if [ -d "$o/$n.old" ]; then set -- "$@" "$o/$n.old"; fi; done
  find "$@" -type f -printf '%s %T@ %p\n' -o ! -type d -print 2>/dev/null && return
  if stat -c %f / >/dev/null 2>&1; then
    find "$@" -type f -exec stat -c '%s %Y.0000000000 %n' {} + -o ! -type d -print
  else find "$@" -type f -exec stat -f '%z %Fm0 %N' {} + -o ! -type d -print; fi
}
as_expected() (
  list=$(ours olds | LC_ALL=C sort)
  [ "$(printf '%s\n' "$list" | cksum)" = "$expected" ] || return
  set -f; IFS='
'
  for l in $list; do
    f=${l#* * } final=${f%%/.hsm-tmp/*}/${f#*"/$n.old/"}
    [ -f "$final" ] && [ ! -L "$final" ] || return
  done
)
r=released
case " $drop " in *" $n "*) looked=1 ;; esac
if [ -n "$receipt" ] && [ -z "$looked" ] && mine && ours check >/dev/null && ours unseen; then
  if [ -n "$expected" ] && as_expected; then drop="$drop $n"; else give replaced; give ''; exit 0; fi
fi
if ! mine; then
  r=lost
  if [ -n "$receipt" ] && cmp -s - "$d/$receipt"; then r=released; fi
elif [ -n "$receipt" ]; then
  e=$(write 2>&1) || { rm -f -- "$d/new.$n"; r=failed; }
fi
give "$r"; give "$e"
receipts
if mine; then
  { ours check && { ours drop; ours empty; ours rmdir --; above rmdir --; }; } >/dev/null 2>&1
  rm -f -- "$d/lock"
fi
rmdir -- "$d" 2>/dev/null
exit 0
"""

# What stands in the name of a folder that anybody could have made.
_NONCE = re.compile(r"[0-9a-z]+")

_HELD = "if mine; then give held; else give lost; fi\n"

# `put OLD FINAL` for each file that goes back to its place; a folder that came there meanwhile stays.
_PUT_BACK = r"""
# The roots are real paths, so a folder whose real path is another one has got a symlink on its way.
put() {
  [ ! -d "$2" ] && [ ! -L "$2" ] || return
  mkdir -p -- "${2%/*}" && [ "$(cd -P -- "${2%/*}" && printf '%s/' "$PWD")" = "${2%/*}/" ] && mv -f -- "$1" "$2"
}
if ! mine; then give lost; exit 0; fi
give back
"""


class ShellGuard:
    """Implements `hsm.remote.guard.Guard` with programs for a shell; each call is one round trip.

    Args:
        shell: Runs the programs there; on this machine `hsm.remote.local.LocalShell`.
        places: Of HSM's own files.
        nonce: This process's, as in the lock's content.
    """

    def __init__(self, shell: RemoteShell, places: GuardPlaces, nonce: str) -> None:
        self._shell = shell
        self._places = places
        self.nonce = nonce

    def take(
        self,
        content: bytes,
        *,
        minutes: int,
        stale: str | None = None,
        breaks: bool = False,
        measures: Sequence[str] = (),
    ) -> LockTaken | LockHeld:
        """See `hsm.remote.guard.Guard.take`."""
        how = "any" if breaks else "stale" if stale else ""
        bases = {path.rpartition("/")[0].rpartition("/")[0] for path in self._places.temporary}
        words = " ".join(sorted(filter(None, map(_escape_point, bases))))
        head = f"minutes={int(minutes)} break={how} stale={quote(stale or '')} bases={quote(words)}"
        answer, *fields = self._run(f"{head}\n{_TAKE}{_make_disk_probe(measures)}", content)
        if answer == b"held":
            return LockHeld(fields[0], fields[1].decode(), is_fresh=bool(fields[2]))
        if answer != b"taken":
            raise self._make_error(fields)
        replaced = frozenset(filter(_NONCE.fullmatch, os.fsdecode(fields[0]).split()))
        mounts = frozenset(map(_unescape_point, fields[1].split(b"\n"))) - {""}
        receipts, measured = _cut_measured(fields[2:], measures)
        return LockTaken(parse_receipt_checksums(receipts), replaced, mounts, measured)

    def release(
        self,
        receipt: tuple[str, bytes] | None,
        *,
        keeps_damaged: bool = False,
        drops: Collection[str] = (),
        has_looked: bool = False,
        expected: Collection[ReplacedFile] = (),
    ) -> LockTaken | UnseenReplaced | None:
        """See `hsm.remote.guard.Guard.release`."""
        name, content = receipt or ("", b"")
        words = quote(" ".join(drops))
        flags = f"aside={int(keeps_damaged) or ''} looked={int(has_looked) or ''}"
        head = f"receipt={quote(name)} drop={words} {flags} expected={quote(_sum_replaced(expected))}"
        answer, complaint, *fields = self._run(f"{head}\n{_RELEASE}", content)
        if answer == b"replaced":
            return UnseenReplaced()
        if answer not in (b"released", b"lost"):
            raise self._make_error([complaint])
        return None if answer == b"lost" else LockTaken(parse_receipt_checksums(fields))

    def is_held(self) -> bool:
        """See `hsm.remote.guard.Guard.is_held`."""
        return self._run(_HELD, b"") == [b"held"]

    def tidy(self) -> bool:
        """See `hsm.remote.guard.Guard.tidy`."""
        return self._run(_TIDY, b"") == [b"tidied"]

    def put_back(self, moves: Sequence[tuple[str, str]]) -> frozenset[str]:
        """See `hsm.remote.guard.Guard.put_back`."""
        lines = [f"if put {quote(old)} {quote(final)}; then give {n}; fi" for n, (old, final) in enumerate(moves)]
        answer, *done = self._run("\n".join([_PUT_BACK, *lines, ""]), b"")
        return frozenset(moves[int(n)][1] for n in done) if answer == b"back" else frozenset()

    def _run(self, program: str, stdin: bytes) -> list[bytes]:
        places = self._places
        parents = tuple(dict.fromkeys(path.rpartition("/")[0] for path in places.temporary))
        head = [
            f"d={quote(places.folder)} n={quote(self.nonce)} size={len(stdin)} e=",
            f'ours() {{ "$@" {_quote_all(places.temporary)}; }}',
            f'above() {{ "$@" {_quote_all(parents)}; }}',
        ]
        completed = self._shell.run("\n".join([*head, _COMMON, RECEIPTS, f"({program})"]), stdin=stdin)
        fields = completed.stdout.split(b"\0")[:-1]
        if not fields:
            raise self._make_error([completed.stderr])
        return fields

    def _make_error(self, complaint: Sequence[bytes]) -> UnwritableError:
        text = os.fsdecode(complaint[0]).strip() if complaint else ""
        last = text.splitlines()[-1] if text else "no reason was given"
        return make_unwritable_error(self._shell.name, last, detail=text)


def _make_disk_probe(folders: Sequence[str]) -> str:
    if not folders:
        return ""
    from hsm.remote.shell_programs.probe import make_disk_probe  # noqa: PLC0415 - once for a file system

    return make_disk_probe(folders)


def _cut_measured(fields: list[bytes], folders: Sequence[str]) -> tuple[list[bytes], dict[str, FileSystem]]:
    """Cut off what the probe has printed behind the checksums of the receipts, which are all of two words."""
    if not folders:
        return fields, {}
    from hsm.remote.shell_programs.probe import FOLDER_MARK, parse_probe  # noqa: PLC0415 - as above

    begin = fields.index(FOLDER_MARK) if FOLDER_MARK in fields else len(fields)
    return fields[:begin], parse_probe(b"\0".join([*fields[begin:], b""]), folders)


def _sum_replaced(files: Collection[ReplacedFile]) -> str:
    """Make the checksum of the list that the program makes of these files; empty where it would not tell them."""
    if not files or any("\n" in file.path for file in files):
        return ""
    lines = sorted(
        b"%d %d.%09d0 %s" % (file.size, *divmod(file.mtime_ns, 10**9), os.fsencode(file.path)) for file in files
    )
    return make_checksum(b"\n".join([*lines, b""]))


def _escape_point(path: str) -> str:
    return re.sub(r"[ \t\n\\*?\[]", lambda match: f"\\{ord(match[0]):03o}", path)


def _unescape_point(path: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 255]), path))


def _quote_all(paths: Sequence[str]) -> str:
    return " ".join(quote(path) for path in paths)
