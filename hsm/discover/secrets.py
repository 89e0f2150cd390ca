"""Scanner of the small text files to be sent, for what looks like a key or a password."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from hsm.discover.parts import cut_by_bytes
from hsm.discover.secret_forms import SecretForm, choose_forms, find_forms
from hsm.endpoint import Endpoint
from hsm.model import Problem, SourceFile
from hsm.plan.safety import POSSIBLE_SECRET

MOST_BYTES = 256 * 1024
MOST_NAMED = 20
_TEXT_BYTES = 8 * 1024
_N_READERS = 8

SLOW_SECONDS = 0.0005
"""For a file. Then it is the file system that is waited for, and several readers wait less. On a fast one they wait for
each other, and one reader is done twice as soon."""

_MOST_BYTES_AT_ONCE = 1024 * 1024
# The least that a file counts: at most 64 are looked at together.
_FILE_COST_BYTES = 16 * 1024

_HINT = (
    "Look at them; `exclude` leaves files out, `secrets: refuse` of the target refuses to send such files, "
    "`secrets: ignore` does not look."
)


def scan_files(endpoint: Endpoint, files: Iterable[SourceFile]) -> tuple[Problem, ...]:
    """Look for secrets in the small text files among those to be sent.

    It reads files up to 256 KiB that have no NUL byte in their first 8 KiB. Nothing is read of a remote source: every
    file would have to come here first. Files that vanish or cannot be read are skipped; sending them says so.

    Args:
        endpoint: The source.
        files: Those that the plan sends, so that an unchanged sweep costs nothing.

    Returns:
        One notice (kind `possible_secret`) for each sort of secret in a file, with the first line that it is in,
        in the order of `files`, and never the secret, since notices end up in logs; beyond 20 only their number.
    """
    if endpoint.is_remote:
        return ()
    small = [file for file in files if 0 < file.size <= MOST_BYTES]
    parts = list(cut_by_bytes(small, lambda file: max(file.size, _FILE_COST_BYTES), most_bytes=_MOST_BYTES_AT_ONCE))
    if not parts:
        return ()
    begin = time.monotonic()
    found = _scan(parts[0])
    is_slow = time.monotonic() - begin > SLOW_SECONDS * len(parts[0])  # the first part shows it
    with ThreadPoolExecutor(_N_READERS if is_slow else 1, thread_name_prefix="hsm-scan") as executor:
        found += [problem for part in executor.map(_scan, parts[1:]) for problem in part]
    return tuple(_sum_up(found))


def _is_binary(content: bytes) -> bool:
    return b"\0" in content[:_TEXT_BYTES]


def _scan(files: Sequence[SourceFile]) -> list[Problem]:
    """Look into several files, first into all of them together: nearly always there is nothing."""
    read = ((file, _read_text(f"{file.prefix}/{file.path}")) for file in files)
    texts = [(file, content) for file, content in read if not _is_binary(content)]
    forms = choose_forms(b"\0".join(content for _, content in texts))
    return [problem for file, content in texts if forms for problem in _iter_problems(file, content, forms)]


def _iter_problems(file: SourceFile, content: bytes, forms: Sequence[SecretForm]) -> Iterator[Problem]:
    for what, (line, n_places) in find_forms(content, forms).items():
        more = f", and {n_places - 1:,} more below" if n_places > 1 else ""
        message = f"Line {line} looks as if it held {what}{more}."
        yield Problem(file.path, POSSIBLE_SECRET, message, _HINT, is_failure=False)


def _read_text(path: str) -> bytes:
    """Read the beginning of a file; less of one that is no text, and nothing of one that cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # a file object takes half as long again
    except OSError:
        return b""
    try:
        head = os.read(descriptor, _TEXT_BYTES)
        return head if _is_binary(head) else head + _read_rest(descriptor, MOST_BYTES - len(head))
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _read_rest(descriptor: int, n_bytes: int) -> bytes:
    """Read on until there is enough, or the end: a read may answer with less than was asked for."""
    rest = bytearray()
    while len(rest) < n_bytes and (piece := os.read(descriptor, n_bytes - len(rest))):
        rest += piece
    return bytes(rest)


def _sum_up(problems: Sequence[Problem]) -> Iterator[Problem]:
    yield from problems[:MOST_NAMED]
    n_more = len(problems) - MOST_NAMED
    if n_more > 0:
        yield Problem(
            "", POSSIBLE_SECRET, f"{n_more:,} more places look as if they held secrets.", _HINT, is_failure=False
        )
