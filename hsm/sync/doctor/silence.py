"""Places that do not answer: a hung mount, an NFS server that is away, a FUSE daemon that is dead.

Whoever looks at such a place waits for ever, so it is asked first, with a time limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence

from hsm.errors import TargetError
from hsm.process.places import find_silent
from hsm.remote.sftp.session import SftpSession, SftpSessions
from hsm.remote.sftp.wire import PacketType, make_path
from hsm.remote.shell import RemoteShell, quote_path

ANSWER_SECONDS = 8
"""With the login before it the doctor tells of such a place within ten seconds."""

# `df` goes to the server or daemon behind a mount, where a look at the folder may be answered from a cache. It is
# killed when it takes too long, by timeout(1) or, on macOS, by a process that goes on to sleep after it.
_ASK = r"""
ask() {
  if command -v timeout >/dev/null 2>&1; then timeout -k 1 "$s" df -P -- "$1" >/dev/null 2>&1 </dev/null; return; fi
  df -P -- "$1" >/dev/null 2>&1 </dev/null & p=$!
  (sleep "$s"; kill -9 "$p") >/dev/null 2>&1 </dev/null & w=$!
  wait "$p"; c=$?; kill "$w" 2>/dev/null; return "$c"
}
"""
_KILLED = (124, 137, 143)  # timeout(1), and the shell's word for SIGKILL and SIGTERM


class SilentPlaceError(TargetError):
    """A place does not answer."""

    kind = "place_silent"


def check_answers_here(paths: Iterable[str]) -> None:
    """Ask the file systems of paths on this machine, all at once; a missing path is an answer.

    Raises:
        SilentPlaceError: One does not answer in time.
    """
    expanded = [os.path.expanduser(path) for path in paths]  # noqa: PTH111 - Path.expanduser raises without a home
    if silent := find_silent(expanded, seconds=ANSWER_SECONDS):
        raise _make_error(silent[0], "this machine")


def check_answers_there(shell: RemoteShell, paths: Sequence[str]) -> None:
    """Ask the file systems of paths behind a shell, one after the other, in one session.

    Raises:
        SilentPlaceError: One does not answer in time.
    """
    # What comes after a silent place is most often on the same disk, and would take as long again.
    asked = [f"[ $c -ge {_KILLED[0]} ] || {{ ask {quote_path(path)}; c=$?; printf '%s\\0' $c; }}" for path in paths]
    found = shell.run("\n".join([f"s={ANSWER_SECONDS} c=0", _ASK, *asked])).stdout.split(b"\0")
    for path, code in zip(paths, found, strict=False):
        if code in {str(killed).encode() for killed in _KILLED}:
            raise _make_error(path, shell.name)


def check_answers_by_sftp(sessions: SftpSessions, paths: Sequence[str]) -> None:
    """Ask the server for paths; a missing one is an answer.

    Raises:
        SilentPlaceError: It does not answer in time.
    """
    for path in paths:

        def ask(session: SftpSession, check: Callable[[], None], path: str = path) -> None:
            deadline = time.monotonic() + ANSWER_SECONDS

            def check_both() -> None:
                check()
                if time.monotonic() > deadline:
                    raise _make_error(path, sessions.name)

            session.ask(make_path(PacketType.STAT, path.removeprefix("~/")), check=check_both)

        sessions.use_sftp(ask)


def _make_error(path: str, machine: str) -> SilentPlaceError:
    return SilentPlaceError(
        f"{path} does not answer: {machine} was asked for its file system, and there was nothing for "
        f"{ANSWER_SECONDS} s.",
        hint="Look at the server or daemon behind its mount (`mount`), or unmount it (`umount -l`). Then run "
        "`hsm sync doctor` again.",
    )
