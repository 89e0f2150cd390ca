r"""A look into the small text files to be sent: whether they hold what looks like a key or a password.

The forms, none of which is ever shown again:
W&B: `WANDB_API_KEY=...`, 40 hex digits behind `api_key` or behind netrc's `password`. Hugging Face:
https://huggingface.co/docs/hub/security-tokens. GitHub: https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/.
OpenAI, Anthropic and others: `sk-...`. AWS: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html.
Private keys: RFC 7468, PGP and OpenSSH.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from hsm.discover.run_logs import cut_by_bytes
from hsm.endpoint import Endpoint
from hsm.model import Problem, SourceFile
from hsm.plan.safety import POSSIBLE_SECRET

MOST_BYTES = 256 * 1024
MOST_NAMED = 20
_TEXT_BYTES = 8 * 1024
_N_READERS = 8

SLOW_SECONDS = 0.0005
"""For a file: from then on it is the file system that is waited for, and several readers wait less. On a fast one they
wait for each other, and one is done twice as soon."""

_MOST_BYTES_AT_ONCE = 1024 * 1024
_FILE_COST_BYTES = 16 * 1024
"""As which each file counts at least: at most 64 are looked at together."""


class _Form(NamedTuple):
    """What one sort of secret looks like.

    Attributes:
        what: In words.
        marks: One of these is in every text that has it, all letters made small; looking for them is cheap.
        pattern: Exactly.
    """

    what: str
    marks: tuple[bytes, ...]
    pattern: re.Pattern[bytes]


_FORMS = (
    _Form(
        "a W&B API key",
        (b"wandb_api_key",),
        re.compile(rb"""WANDB_API_KEY["']?[ \t]*[=:][ \t]*["']?[^\s"'$<{*\\]"""),
    ),
    _Form(
        "an API key",
        (b"api_key", b"api-key", b"apikey"),
        re.compile(rb"[aA][pP][iI][_-]?[kK][eE][yY][^0-9A-Za-z\n]{1,16}(?:local-)?[0-9a-fA-F]{40}(?![0-9A-Za-z])"),
    ),
    _Form("an API key", (b"password",), re.compile(rb"password[ \t]+(?:local-)?[0-9a-fA-F]{40}(?![0-9A-Za-z])")),
    _Form("a Hugging Face token", (b"hf_",), re.compile(rb"hf_(?<![0-9A-Za-z_]hf_)[0-9A-Za-z]{20,}")),
    _Form(
        "a GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
        re.compile(rb"gh[opusr]_(?<![0-9A-Za-z_]gh[opusr]_)[0-9A-Za-z]{20,}"),
    ),
    _Form("a GitHub token", (b"github_pat_",), re.compile(rb"github_pat_[0-9A-Za-z_]{20,}")),
    _Form(
        "an API key (sk-...)",
        (b"sk-",),
        re.compile(rb"sk-(?<![0-9A-Za-z_-]sk-)(?:(?:[a-z0-9]{2,10}-){0,3}[0-9A-Za-z_]{20}|[0-9A-Za-z_-]{40})"),
    ),
    _Form(
        "an AWS access key",
        (b"akia", b"asia"),
        re.compile(rb"A[KS]IA(?<![0-9A-Za-z]A[KS]IA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    ),
    _Form(
        "a private key",
        (b"private key",),
        re.compile(rb"-----BEGIN [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"),
    ),
)
_HINT = (
    "Look at them; `exclude` leaves files out, `secrets: refuse` of the target refuses to send such files, "
    "`secrets: ignore` does not look."
)


def scan_files(endpoint: Endpoint, files: Iterable[SourceFile]) -> tuple[Problem, ...]:
    """Look for secrets in the small text files among those to be sent.

    Looked into are files up to 256 KiB that have no NUL byte in their first 8 KiB. A remote source is not looked
    into: every file would have to come here first. Files that vanish or cannot be read are passed over; sending
    them says so.

    Args:
        endpoint: The source.
        files: Those that the plan sends.

    Returns:
        One notice (kind `possible_secret`) for each sort of secret in a file, with the first line that it is in,
        in the order of `files`, and never the secret; beyond 20 only how many more there are.
    """
    if endpoint.is_remote:
        return ()
    small = [file for file in files if 0 < file.size <= MOST_BYTES]
    parts = list(cut_by_bytes(small, lambda file: max(file.size, _FILE_COST_BYTES), most_bytes=_MOST_BYTES_AT_ONCE))
    if not parts:
        return ()
    begin = time.monotonic()
    found = _scan(parts[0])
    is_slow = time.monotonic() - begin > SLOW_SECONDS * len(parts[0])
    with ThreadPoolExecutor(_N_READERS if is_slow else 1, thread_name_prefix="hsm-scan") as executor:
        found += [problem for part in executor.map(_scan, parts[1:]) for problem in part]
    return tuple(_sum_up(found))


def find_in_text(content: bytes) -> dict[str, tuple[int, int]]:
    """Look for secrets in the content of a file. Pure.

    Returns:
        What it looks like, in words -> the first line, counted from 1, and how many places there are; empty for a
        file that is no text.
    """
    return {} if _is_binary(content) else _find_forms(content, _choose_forms(content))


def _is_binary(content: bytes) -> bool:
    return b"\0" in content[:_TEXT_BYTES]


def _choose_forms(content: bytes) -> list[_Form]:
    """The forms of which there may be some in a text, or in several in a row."""
    small = content.lower()
    return [form for form in _FORMS if any(mark in small for mark in form.marks)]


def _find_forms(content: bytes, forms: Sequence[_Form]) -> dict[str, tuple[int, int]]:
    places: dict[str, list[int]] = {}
    for form in forms:
        places.setdefault(form.what, []).extend(match.start() for match in form.pattern.finditer(content))
    return {what: (content.count(b"\n", 0, min(starts)) + 1, len(starts)) for what, starts in places.items() if starts}


def _scan(files: Sequence[SourceFile]) -> list[Problem]:
    """Look into several files, at first at all of them together: nearly always there is nothing."""
    read = ((file, _read_text(f"{file.prefix}/{file.path}")) for file in files)
    texts = [(file, content) for file, content in read if not _is_binary(content)]
    forms = _choose_forms(b"\0".join(content for _, content in texts))
    return [problem for file, content in texts if forms for problem in _iter_problems(file, content, forms)]


def _iter_problems(file: SourceFile, content: bytes, forms: Sequence[_Form]) -> Iterator[Problem]:
    for what, (line, n_places) in _find_forms(content, forms).items():
        more = f", and {n_places - 1:,} more below" if n_places > 1 else ""
        message = f"Line {line} looks as if it held {what}{more}."
        yield Problem(file.path, POSSIBLE_SECRET, message, _HINT, is_failure=False)


def _read_text(path: str) -> bytes:
    """The beginning of a file; of one that is no text just as much as shows it, of one that cannot be read nothing."""
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
