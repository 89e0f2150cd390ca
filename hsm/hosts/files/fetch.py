"""Download of one file that several servers have: from all at once by aria2c, else from one after another.

A file is written beside its place and renamed when size and checksum are right: whoever looks sees the old or the new
one whole, whenever this is killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hsm.errors import TargetError, UsageError
from hsm.hosts.files.aria2 import ARIA2, has_aria2, run_aria2
from hsm.hosts.files.sources import FileSource, find_sources
from hsm.hosts.files.stream import run_stream

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that has arrived.

    Attributes:
        path: Where it is.
        size: Bytes.
        sha256: Its checksum, hex, as computed here.
        is_verified: A server or the caller named the checksum.
        by: `aria2c`, `http`, or `nothing` where it was there already.
        sources: The URLs that it was fetched from; for aria2c all that it was given.
        left_out: URLs that were not used, because they fail or have another file -> why.
    """

    path: Path
    size: int
    sha256: str
    is_verified: bool
    by: str
    sources: tuple[str, ...]
    left_out: dict[str, str]


def fetch(
    urls: Sequence[str],
    to: Path,
    *,
    sha256: str = "",
    timeout_seconds: float = 3600.0,
    answer_seconds: float = 60.0,
    overwrite: bool = False,
    may_use_aria2: bool = True,
) -> Fetched:
    """Fetch one file.

    Args:
        urls: The same file at several servers.
        to: Its path here. The folder must exist.
        sha256: Its checksum, hex; empty for that which the servers name.
        timeout_seconds: For the transfer.
        answer_seconds: For all servers together to tell size and checksum.
        overwrite: Replace another file of this name.
        may_use_aria2: Let aria2c do it, where it is installed.

    Raises:
        TargetError: No server has it (kind `no_source`), the transfer failed (`fetch_failed`), or what arrived is not
            what was announced (`checksum`). Nothing of it is left, and a former file stays.
        UsageError: Another file of this name is there (kind `file_exists`).
        OSError: It could not be written.
    """
    choice = find_sources(urls, timeout_seconds=answer_seconds, sha256=sha256)
    size, expected = choice.sources[0].size, sha256 or choice.sources[0].sha256
    if to.exists() and not overwrite:
        if expected and to.stat().st_size == size and make_sha256(to) == expected:
            return Fetched(to, size, expected, True, "nothing", (), choice.left_out)
        raise UsageError(f"{to} exists already.", hint="Remove it, or give --overwrite.", kind="file_exists")
    # aria2c opens what is there. So the name is one that nobody in a shared folder can put a symlink under before.
    beside = to.with_name(f".hsm-fetch-{secrets.token_hex(8)}")
    uses_aria2 = may_use_aria2 and size > 0 and str(to.absolute()).isprintable() and has_aria2()
    try:
        names = _fetch_from(choice.sources, beside, timeout_seconds=timeout_seconds, uses_aria2=uses_aria2)
        found = _check(beside, size, expected)
        beside.replace(to)
        _sync_folder(to.parent)
    finally:
        beside.unlink(missing_ok=True)
        beside.with_name(f"{beside.name}.aria2").unlink(missing_ok=True)  # aria2c's notes for going on with a download
    return Fetched(to, size, found, bool(expected), ARIA2 if uses_aria2 else "http", names, choice.left_out)


def _fetch_from(
    sources: Sequence[FileSource], beside: Path, *, timeout_seconds: float, uses_aria2: bool
) -> tuple[str, ...]:
    """Fetch a file into a new one; the URLs that it came from."""
    if not uses_aria2:
        return run_stream(sources, beside, timeout_seconds=timeout_seconds)
    run_aria2(sources, beside, timeout_seconds=timeout_seconds)
    return tuple(source.url for source in sources)


def make_sha256(path: Path) -> str:
    """Make a file's SHA-256, hex.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check(beside: Path, size: int, expected: str) -> str:
    """Check size and checksum of what arrived, and put it on the disk before it takes its name; return the checksum."""
    arrived = beside.stat().st_size if beside.exists() else 0
    if arrived != size:
        raise TargetError(f"{arrived:,} bytes arrived of {size:,}.", hint="Try again.", kind="fetch_failed")
    found = make_sha256(beside)
    if expected and found != expected:
        raise TargetError(
            f"What arrived has the checksum {found}, not {expected}.",
            hint="The file may have changed meanwhile. Try again, with fewer servers.",
            kind="checksum",
        )
    descriptor = os.open(beside, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return found


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
