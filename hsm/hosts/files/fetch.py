"""Fetch one file from several servers at once: by aria2c where it is installed, else by HTTP ranges.

A file is written beside its place and renamed when size and checksum are right: whoever looks sees the old or the new
one whole, whenever this is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.errors import TargetError, UsageError
from hsm.hosts.files.sources import FileSource, find_sources
from hsm.hosts.reach.race import gather
from hsm.hosts.reach.web import make_client, make_headers
from hsm.process.runner import CommandTimeoutError, ProgramMissingError, Runner

if TYPE_CHECKING:
    import httpx

ARIA2 = "aria2c"
PIECE_BYTES = 4 * 1024 * 1024
_PIECE_SECONDS = 60.0
_N_PER_SOURCE = 2
_MAX_FAILURES = 3
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that has arrived.

    Attributes:
        path: Where it is.
        size: Bytes.
        sha256: Its checksum, hex, as computed here.
        is_verified: Whether a server or the caller had said what the checksum must be.
        by: `aria2c`, `http`, or `nothing` where it was there already.
        sources: The URLs that it was fetched from.
        left_out: URLs that were not used -> why.
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
        to: Where it is to lie. Its folder must exist.
        sha256: What its checksum must be, hex; empty: what the servers say.
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
    names = tuple(source.url for source in choice.sources)
    if to.exists() and not overwrite:
        if expected and to.stat().st_size == size and make_sha256(to) == expected:
            return Fetched(to, size, expected, True, "nothing", (), choice.left_out)
        raise UsageError(f"{to} exists already.", hint="Remove it, or give --overwrite.", kind="file_exists")
    beside = to.with_name(f".hsm-fetch-{secrets.token_hex(8)}")
    try:
        uses_aria2 = may_use_aria2 and size > 0 and str(to.absolute()).isprintable() and bool(shutil.which(ARIA2))
        bring = _bring_by_aria2 if uses_aria2 else _bring_by_ranges
        bring(choice.sources, beside, timeout_seconds)
        found = _check(beside, size, expected)
        beside.replace(to)
        _sync_folder(to.parent)
    finally:
        beside.unlink(missing_ok=True)
        beside.with_name(f"{beside.name}.aria2").unlink(missing_ok=True)
    return Fetched(to, size, found, bool(expected), ARIA2 if uses_aria2 else "http", names, choice.left_out)


def make_sha256(path: Path) -> str:
    """Return a file's SHA-256, hex.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check(beside: Path, size: int, expected: str) -> str:
    """Make sure that what arrived is right and on disk; its checksum."""
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


def make_aria2_input(sources: Sequence[FileSource], beside: Path) -> str:
    """Return the input file of aria2c (aria2c(1), "Input File"): the token must not stand in a command line."""
    headers = [f"{name}: {value}" for name, value in make_headers().items()]
    options = [f"dir={beside.parent}", f"out={beside.name}", *(f"header={header}" for header in headers)]
    return "\n".join(["\t".join(source.url for source in sources), *(f"  {option}" for option in options)]) + "\n"


def _bring_by_aria2(sources: Sequence[FileSource], beside: Path, timeout_seconds: float) -> None:
    n_parts = min(16, _N_PER_SOURCE * len(sources))
    argv = [ARIA2, "--no-conf=true", "--input-file=-", "--quiet=true", "--no-netrc=true", "--all-proxy=",
            "--http-proxy=", "--https-proxy=", f"--split={n_parts}", f"--max-connection-per-server={_N_PER_SOURCE}",
            "--min-split-size=1M", "--file-allocation=none", "--auto-file-renaming=false", "--max-tries=3",
            "--retry-wait=1", "--connect-timeout=5", "--timeout=30", "--lowest-speed-limit=1K",
            "--follow-torrent=false", "--follow-metalink=false"]  # fmt: skip
    content = make_aria2_input(sources, beside.absolute()).encode()
    try:
        done = Runner().run(argv, stdin=content, timeout_seconds=timeout_seconds)
    except (ProgramMissingError, CommandTimeoutError) as error:
        raise TargetError(f"aria2c: {error}.", hint="Give more seconds with --timeout.", kind="fetch_failed") from error
    if done.returncode != 0:
        said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
        raise TargetError(
            f"aria2c failed with exit code {done.returncode}.",
            hint="Try again, or without aria2c: --no-aria2.",
            kind="fetch_failed",
            detail=said[-2000:],
        )


def _bring_by_ranges(sources: Sequence[FileSource], beside: Path, timeout_seconds: float) -> None:
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        pieces = _Pieces(sources, descriptor)
        answers = gather({"": pieces.bring}, timeout_seconds=timeout_seconds)
        if not answers.get(""):
            why = "; ".join(f"{url}: {reason}" for url, reason in pieces.reasons.items()) or "the time is over"
            raise TargetError(f"The file could not be fetched: {why}.", hint="Try again.", kind="fetch_failed")
    finally:
        os.close(descriptor)


class _Pieces:
    """The pieces of one file that are still to come. Whoever is free takes the next; what failed is given back."""

    def __init__(self, sources: Sequence[FileSource], descriptor: int) -> None:
        size = sources[0].size
        self._sources = [source for source in sources if source.has_ranges] or list(sources[:1])
        step = PIECE_BYTES if self._sources[0].has_ranges else max(size, 1)
        self._waiting = [(begin, min(begin + step, size)) for begin in range(0, size, step)][::-1]
        self._descriptor = descriptor
        self._n_open = len(self._waiting)
        self._failures: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}

    async def bring(self) -> bool:
        """Bring all pieces; whether all came."""
        workers = [self._work(source) for source in self._sources for _ in range(_N_PER_SOURCE)]
        await asyncio.gather(*workers)
        return self._n_open == 0

    async def _work(self, source: FileSource) -> None:
        async with make_client(_PIECE_SECONDS) as client:
            while self._n_open and self._failures[source.url] < _MAX_FAILURES:
                if not self._waiting:
                    await asyncio.sleep(0.05)  # another one may give its piece back
                    continue
                piece = self._waiting.pop()
                reason = await self._bring_piece(client, source, piece)
                if reason:
                    self._waiting.append(piece)
                    self._failures[source.url] += 1
                    self.reasons[source.url] = reason
                else:
                    self._n_open -= 1

    async def _bring_piece(self, client: httpx.AsyncClient, source: FileSource, piece: tuple[int, int]) -> str:
        """Bring one piece; why it failed, empty when it came."""
        import httpx  # noqa: PLC0415 - loaded already

        try:
            return await asyncio.wait_for(self._ask(client, source, piece), _PIECE_SECONDS)
        except (httpx.HTTPError, httpx.StreamError) as error:
            return str(error) or type(error).__name__
        except asyncio.TimeoutError:
            return "too slow"

    async def _ask(self, client: httpx.AsyncClient, source: FileSource, piece: tuple[int, int]) -> str:
        begin, end = piece
        headers = {"Range": f"bytes={begin}-{end - 1}"} if source.has_ranges else {}
        if source.etag and not source.etag.startswith("W/"):
            headers["If-Match"] = source.etag
        async with client.stream("GET", source.url, headers=headers) as response:
            if response.status_code != (206 if source.has_ranges else 200):
                return f"HTTP status {response.status_code}"
            if source.has_ranges and response.headers.get("content-range") != f"bytes {begin}-{end - 1}/{source.size}":
                return "it answers with another part than asked for"
            async for chunk in response.aiter_raw():
                if begin + len(chunk) > end:
                    return "it answers with more than asked for"
                os.pwrite(self._descriptor, chunk, begin)
                begin += len(chunk)
        return "" if begin == end else "it answers with less than asked for"
