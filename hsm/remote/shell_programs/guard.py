"""What HSM keeps at a destination while and after it works there: the lock, its own folders, the receipt.

Everything is done by small /bin/sh programs, so that one round trip does what belongs together. They write only
below the folders they are given, never through a symlink, and a cut connection leaves each step done or not done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hsm.errors import UnwritableError
from hsm.remote.shell import RemoteShell, quote

_RECEIPTS = r"""
receipts() {
  for f in "$d"/receipt-*.json; do
    if [ -f "$f" ]; then k=$(cksum <"$f"); printf '%s %s\0' "${k:+${k%% *}-${k##* }}" "${f##*/}"; fi
  done
}
"""

# $d the folder, $n the nonce, $size what standard input must bring (a broken connection brings less), $minutes.
# `ours` gives a command the temporary folders, `above` those that hold them. Few processes are begun: on a busy login
# node each takes a while.
_COMMON = r"""
give() { printf '%s\0' "$1"; }
first() { l=; if [ -f "$1" ]; then IFS= read -r l <"$1"; fi; } 2>/dev/null
mine() { first "$d/lock"; case $l in *"$n"*) ;; *) false ;; esac; }
check() {
  for o do
    if [ -L "$o" ] || [ -L "${o%/*}" ]; then echo "$o is or lies below a symlink"; return 1; fi
  done
}
make() { for o do mkdir -p -- "$o" 2>/dev/null || mkdir -p -- "$o" || return; done; }
"""

# A file of our own keeps the folder, which whoever gives the lock back would remove, from now on.
_TAKE = r"""
begin() { mkdir -p -- "$d" && printf '' >"$d/lock.$n"; }
unmake() { for o do check "$o" || return; rmdir -- "$o"; rmdir -- "${o%/*}"; done; }
young() { for o do find "$o" -mmin "-$minutes"; done; }
# rsync goes on with a part where it lies, so that one is a sign of life as well.
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
e=$( { ours check && { ours rm -rf --; ours make; }; } 2>&1) || fail "$e"
give taken; receipts
"""

_TIDY = r"""
if mine; then { ours check && { ours rm -rf --; ours make; }; } >/dev/null 2>&1; fi
printf 'tidied\0'
"""

_RELEASE = r"""
whole() { [ $(($(wc -c <"$1"))) -eq "$size" ] || { echo "the connection broke"; return 1; }; }
write() {
  cat >"$d/new.$n" && whole "$d/new.$n" && { sync "$d/new.$n" 2>/dev/null || sync; } || return
  if [ -n "$aside" ] && [ ! -d "$d/$receipt.damaged" ]; then mv -f -- "$d/$receipt" "$d/$receipt.damaged"; fi
  if [ -d "$d/$receipt" ]; then echo "$d/$receipt is a folder"; return 1; fi
  mv -f -- "$d/new.$n" "$d/$receipt"
}
r=released
if ! mine; then
  r=lost
  if [ -n "$receipt" ] && cmp -s - "$d/$receipt"; then r=released; fi
elif [ -n "$receipt" ]; then
  e=$(write 2>&1) || { rm -f -- "$d/new.$n"; r=failed; }
fi
give "$r"; give "$e"
receipts
if mine; then { ours check && { ours rm -rf --; above rmdir --; }; } >/dev/null 2>&1; rm -f -- "$d/lock"; fi
rmdir -- "$d" 2>/dev/null
exit 0
"""


@dataclass(frozen=True, slots=True)
class GuardPlaces:
    """Where HSM's own things lie at a destination, absolute paths.

    Attributes:
        folder: For the lock and the receipts.
        temporary: Emptied by whoever takes the lock, and removed when it is given back.
    """

    folder: str
    temporary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """The lock is ours.

    Attributes:
        receipts: The checksum of every receipt there, by file name.
    """

    receipts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else has the lock.

    Attributes:
        content: What the lock file holds.
        checksum: Of that content, to take over just this lock.
        is_fresh: The lock or something in HSM's own folders there is younger than the limit, by the destination's
            clock; or that clock differs so much from the one of its disk that nothing can be said.
    """

    content: bytes
    checksum: str
    is_fresh: bool


class Keeper(Protocol):
    """Keeps the lock, the own folders and the receipt of one sweep at one destination, by whatever means work there.

    `Guard` does it by programs of a shell; its methods say what each call promises, and
    `tests/contract/test_guard.py` holds every keeper to it.
    """

    @property
    def nonce(self) -> str:
        """This process's, as in the lock's content."""

    def take(self, content: bytes, *, minutes: int, stale: str | None = None, breaks: bool = False) -> Taken | Held:
        """See `Guard.take`."""

    def release(self, receipt: tuple[str, bytes] | None, *, sets_aside: bool = False) -> Taken | None:
        """See `Guard.release`."""

    def tidy(self) -> None:
        """See `Guard.tidy`."""


MakeKeeper = Callable[[GuardPlaces, str], Keeper]
"""Makes a keeper of places at one destination, for a process's nonce; `partial(Guard, shell)` is one."""


class Guard:
    """Keeps `Keeper` with programs for a shell.

    Args:
        shell: Runs the programs there; on this machine `hsm.remote.local.LocalShell`.
        places: Where they lie.
        nonce: This process's, as in the lock's content.
    """

    def __init__(self, shell: RemoteShell, places: GuardPlaces, nonce: str) -> None:
        self._shell = shell
        self._places = places
        self.nonce = nonce

    def take(self, content: bytes, *, minutes: int, stale: str | None = None, breaks: bool = False) -> Taken | Held:
        """Take the lock; with it, empty the temporary folders and make the own ones. One round trip.

        A repeated call with the same content finds the lock taken. What a holder that was killed left beside the
        lock is removed.

        Args:
            content: For the lock file: one line of ASCII, its end included, that holds the nonce.
            minutes: What is younger counts as a sign of life.
            stale: The checksum of a lock that may be taken over.
            breaks: Take over whatever lock is there.

        Raises:
            UnwritableError: A folder or file of HSM's own cannot be made; the lock is not kept.
        """
        how = "any" if breaks else "stale" if stale else ""
        head = f"minutes={int(minutes)} break={how} stale={quote(stale or '')}"
        answer, *fields = self._run(f"{head}\n{_TAKE}", content)
        if answer == b"held":
            return Held(fields[0], fields[1].decode(), is_fresh=bool(fields[2]))
        if answer != b"taken":
            raise self._make_error(fields)
        return Taken(parse_receipt_checksums(fields))

    def release(self, receipt: tuple[str, bytes] | None, *, sets_aside: bool = False) -> Taken | None:
        """Write the receipt, if any, give the lock back and remove the temporary folders. One round trip.

        The receipt is on disk before it takes its name. A repeated call finds it written.

        Args:
            receipt: File name and content.
            sets_aside: Keep the one that is there under another name.

        Returns:
            The receipts there, or None when the lock was no longer ours: then nothing was written.

        Raises:
            UnwritableError: The receipt could not be written; the lock has been given back.
        """
        name, content = receipt or ("", b"")
        head = f"receipt={quote(name)} aside={int(sets_aside) or ''}"
        answer, complaint, *fields = self._run(f"{head}\n{_RELEASE}", content)
        if answer not in (b"released", b"lost"):
            raise self._make_error([complaint])
        return None if answer == b"lost" else Taken(parse_receipt_checksums(fields))

    def tidy(self) -> None:
        """Empty the temporary folders, while the lock is ours. One round trip.

        An rsync that lost its client unnoticed keeps its part when it ends, by renaming it over the one that
        another rsync may be going on with by then; without its temporary file it cannot.
        """
        self._run(_TIDY, b"")

    def _run(self, program: str, stdin: bytes) -> list[bytes]:
        places = self._places
        parents = tuple(dict.fromkeys(path.rpartition("/")[0] for path in places.temporary))
        head = [
            f"d={quote(places.folder)} n={quote(self.nonce)} size={len(stdin)} e=",
            f'ours() {{ "$@" {_quote_all(places.temporary)}; }}',
            f'above() {{ "$@" {_quote_all(parents)}; }}',
        ]
        completed = self._shell.run("\n".join([*head, _COMMON, _RECEIPTS, f"({program})"]), stdin=stdin)
        fields = completed.stdout.split(b"\0")[:-1]
        if not fields:
            raise self._make_error([completed.stderr])
        return fields

    def _make_error(self, complaint: Sequence[bytes]) -> UnwritableError:
        text = os.fsdecode(complaint[0]).strip() if complaint else ""
        last = text.splitlines()[-1] if text else "no reason was given"
        return UnwritableError(
            f"HSM's own files cannot be written at {self._shell.name}: {last}",
            hint="Check `paths` of the target, the permissions and the free space there.",
            detail=text,
        )


def make_receipts_program(folder: str) -> str:
    """A program that prints the checksums of the receipts in a folder given as a quoted shell word."""
    return f"d={folder}\n{_RECEIPTS}\nreceipts"


def parse_receipt_checksums(fields: Sequence[bytes]) -> dict[str, str]:
    """Read what `receipts` printed: `checksum name` in each field."""
    pairs = (os.fsdecode(field).partition(" ") for field in fields if field)
    return {name: checksum for checksum, _, name in pairs}


def _quote_all(paths: Sequence[str]) -> str:
    return " ".join(quote(path) for path in paths)
