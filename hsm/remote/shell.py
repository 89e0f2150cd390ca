"""Programs for the shell at the other end: built here, quoted once, their output found among noise. Pure but for marks.

The login shell there may be bash, tcsh or fish, and its start-up files may print. So a program travels as one
base64 word, which every shell passes on unchanged, runs in /bin/sh, and prints between random marks.
"""

from __future__ import annotations

import base64
import os
import shlex
from typing import Protocol

from hsm.process.runner import Completed


class RemoteShell(Protocol):
    """Runs programs at one end: `OpenSsh` at a target, `LocalShell` on this machine."""

    @property
    def name(self) -> str:
        """The target's name."""

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program there; see `hsm.remote.openssh.client.OpenSsh.run`."""


MAX_PROGRAM_BYTES = 48 * 1024
"""Room for a program's text: one argument of a process ends at 128 KiB, and base64 makes it a third longer."""


def quote(word: str) -> str:
    """Quote a word for /bin/sh. The only function of HSM that does."""
    return shlex.quote(word)


def quote_path(path: str) -> str:
    """Quote an absolute path or one that begins with `~/`, which stays the home folder's."""
    if path.startswith("~/"):
        return '"$HOME"/' + quote(path[2:])
    return quote(path)


def make_mark() -> str:
    """Make a word that no noise holds: 32 hex digits."""
    return os.urandom(16).hex()


def make_remote_command(program: str) -> str:
    """Make one shell line that runs `program` in /bin/sh with the session's own standard input."""
    # sh, bash, zsh, tcsh and fish all pass such a word on as it is; of a plain `2>&1` tcsh makes a file named `1`.
    word = base64.b64encode(program.encode("utf-8", "surrogateescape")).decode("ascii")
    # macOS before 13 spells it `-D`.
    decode = "(base64 -d 2>/dev/null||base64 -D||openssl base64 -d -A)"
    return f"exec /bin/sh -c 'eval \"$(echo {word}|{decode})\"'"


def frame(program: str, mark: str) -> str:
    """Make `program` print its standard output between two marks, and end with its exit status."""
    return f"printf '\\n%s<' {mark}\n{program}\nstatus_=$?\nprintf '%s>' {mark}\nexit $status_\n"


def make_begin(mark: str) -> bytes:
    """Make the words before the output of a program, both of a framed one and of one in an open shell."""
    return b"\n" + mark.encode() + b"<"


def parse_framed(output: bytes, mark: str) -> tuple[bytes | None, bytes]:
    """Find the output of a framed program.

    Returns:
        The output between the marks, or None where a mark is missing; and the noise before the first.
    """
    begin = make_begin(mark)
    end = mark.encode() + b">"
    noise, found, rest = output.partition(begin)
    if not found:
        return None, output
    content, found, _ = rest.rpartition(end)  # a background process may print after the last mark
    return (content if found else None), noise


MAX_WORDS_BYTES = 64 * 1024
"""The most that an open shell is told at once over a link without latency, where a new session costs hardly a wait."""

_BYTE_SECONDS = 0.27e-6
"""bash, ksh and zsh read a script from a pipe byte by byte, a system call for each: 68 ms for 250 KB.

dash and BusyBox read blocks.
"""

# Round trips until a new session has begun to read.
_SESSION_ROUND_TRIPS = 2

OPEN_SHELL = "exec /bin/sh"
"""The command of a session that is told programs on its standard input; every login shell knows it."""


def get_max_words_bytes(round_trip_seconds: float | None) -> int:
    """Return how much an open shell is told at once: as much as it reads while a new session would be opened.

    Args:
        round_trip_seconds: Of the link; None where it is not known yet.
    """
    return max(MAX_WORDS_BYTES, int((round_trip_seconds or 0.0) * _SESSION_ROUND_TRIPS / _BYTE_SECONDS))


def count_words_bytes(program: str, stdin: bytes) -> int:
    """Estimate how many bytes `make_shell_words` makes of them."""
    return len(program) + len(stdin) * 4 // 3


def make_shell_words(program: str, stdin: bytes, mark: str) -> bytes:
    """Make the words that let an open shell run `program` in a subshell and print its answer between marks.

    Standard input travels as a here-document, since programs come over the shell's own. The answer ends as `make_ends`
    says.
    """
    begin, end = [b"("], b")</dev/null"
    if stdin:
        # Silent: when the program reads less than all, the first decoder ends by SIGPIPE, and the others complain.
        decode = "base64 -d||base64 -D||openssl base64 -d"
        begin = [f"({decode})2>/dev/null <<'{mark}'|(".encode(), base64.encodebytes(stdin).rstrip(b"\n"), mark.encode()]
        end = b")"
    lines = [
        *begin,
        f"printf '\\n%s<' {mark}".encode(),
        program.encode("utf-8", "surrogateescape"),
        end,
        f"printf '%s?%s%s>' {mark} $? {mark}; printf '%s\\n' {mark} >&2".encode(),
        b"",
    ]
    return b"\n".join(lines)


def make_ends(mark: str) -> tuple[bytes, bytes]:
    """Make the words that end an answer on standard output and on standard error of an open shell."""
    return mark.encode() + b">", mark.encode() + b"\n"


def parse_answer(completed: Completed, mark: str) -> tuple[Completed, bytes]:
    """Read the answer to `make_shell_words`.

    Returns:
        The program's output with its exit status; and the noise before.

    Raises:
        ValueError: It is no such answer.
    """
    noise, found, rest = completed.stdout.partition(make_begin(mark))
    content, asked, tail = rest.partition(mark.encode() + b"?")
    if not (found and asked):
        raise ValueError("an answer without its marks")
    complaints = completed.stderr.rpartition(make_ends(mark)[1])[0]
    return Completed(int(tail.partition(mark.encode())[0]), content, complaints), noise
