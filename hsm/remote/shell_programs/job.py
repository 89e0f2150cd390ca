"""Remote jobs: commands that may take hours, started apart from the session, then asked after.

A session has a time limit, and a connection may break. So the program runs in a process group of its own, with its
output in a private folder below TMPDIR, which is removed at the end; each question after it takes a few seconds at
most.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hsm.errors import HsmError, TargetError
from hsm.process.runner import CommandStoppedError
from hsm.remote.shell import RemoteShell, quote

LIMIT_SECONDS = 6 * 3600.0
"""A command is ended after so long: one that waits for ever would keep HSM waiting."""

_OUTPUT_BYTES = 64 * 1024
# Of a second, the wait of one question: as long as a break of the connection may stay unnoticed.
_MOST_TENTHS = 50

_FOLDER = "hsm-job."
_NUMBER = re.compile("[0-9]{1,10}")

# A program that arrives cut is not begun. A shell without setsid(1), as on macOS, makes a group by `set -m`.
_START = r"""
umask 077
d=$(mktemp -d "${TMPDIR:-/tmp}/hsm-job.XXXXXX") || exit 1
cat >"$d/program" && [ $(($(wc -c <"$d/program"))) -eq "$size" ] || { rm -rf -- "$d"; exit 1; }
w='sh "$1/program" >"$1/output" 2>&1; echo $? >"$1/new"; mv -f "$1/new" "$1/status"'
if command -v setsid >/dev/null 2>&1; then setsid sh -c "$w" job "$d" </dev/null >/dev/null 2>&1 &
else set -m; sh -c "$w" job "$d" </dev/null >/dev/null 2>&1 & fi
printf '%s\0%s\0' "$d" "$!"
"""

_ASK = r"""
i=0
while [ ! -f "$d/status" ] && kill -0 "$p" 2>/dev/null && [ $i -lt "$tenths" ]; do
  sleep 0.1 2>/dev/null || { sleep 1; i=$((i + 9)); }
  i=$((i + 1))
done
if [ -f "$d/status" ]; then
  printf 'ended\0%s\0' "$(cat "$d/status")"
  tail -c "$size" "$d/output"
elif kill -0 "$p" 2>/dev/null; then printf 'running\0'
else printf 'lost\0'; fi
"""

_END = r"""
# dash knows no `--` here.
[ -f "$d/status" ] || kill -TERM "-$p" 2>/dev/null || kill -TERM "$p" 2>/dev/null
rm -rf -- "$d"
"""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """The end of a command.

    Attributes:
        status: Its exit status; None when it was ended because it took too long, or was killed without a word.
        output: The last 64 KiB of both its outputs; bytes that are no UTF-8 are replaced.
    """

    status: int | None
    output: str


def run_job(shell: RemoteShell, program: str, *, limit_seconds: float = LIMIT_SECONDS) -> JobEnd:
    """Run a /bin/sh program to its end, with empty standard input.

    It is ended when this is interrupted. When the connection breaks for good, it goes on there.

    Args:
        shell: Of the machine.
        program: Its text.
        limit_seconds: It is ended after so long.

    Raises:
        HsmError: The machine is out of reach, or the program cannot be begun there.
        CommandStoppedError: The user interrupted; the program has been told to end.
    """
    content = program.encode("utf-8", "surrogateescape")
    completed = shell.run(f"size={len(content)}\n{_START}", stdin=content)
    words = completed.stdout.decode("utf-8", "surrogateescape").split("\0")
    # It is going to be removed with all it holds: only a folder that is certainly a job's.
    if len(words) != 3 or _FOLDER not in words[0] or not words[0].startswith("/") or not _NUMBER.fullmatch(words[1]):
        raise TargetError(
            f"No command could be begun at {shell.name}.",
            hint="Is there room in its TMPDIR, or in /tmp?",
            kind="no_room_for_command",
            detail=completed.stderr_text[-400:],
        )
    place = f"d={quote(words[0])} p={words[1]}\n"
    with _ending(shell, place):
        return _await(shell, place, time.monotonic() + limit_seconds)


def _await(shell: RemoteShell, place: str, deadline: float) -> JobEnd:
    while True:
        tenths = max(1, min(_MOST_TENTHS, int(10 * (deadline - time.monotonic()))))
        answer = shell.run(f"{place}size={_OUTPUT_BYTES} tenths={tenths}\n{_ASK}").stdout
        word, _, rest = answer.partition(b"\0")
        if word == b"ended":
            status, _, output = rest.partition(b"\0")
            is_number = _NUMBER.fullmatch(status.decode("ascii", "replace"))
            return JobEnd(int(status) if is_number else None, output.decode("utf-8", "replace"))
        if word != b"running" or time.monotonic() > deadline:
            return JobEnd(None, "")


@contextmanager
def _ending(shell: RemoteShell, place: str) -> Iterator[None]:
    """End the program, if it still runs, and remove its folder; a machine out of reach is not asked again."""
    try:
        yield
    except HsmError:  # out of reach: the next question would wait as long again
        raise
    except BaseException:
        _end(shell, place)
        raise
    _end(shell, place)


def _end(shell: RemoteShell, place: str) -> None:
    with contextlib.suppress(HsmError, CommandStoppedError):
        shell.run(place + _END)
