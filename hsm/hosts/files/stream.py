"""Download of one file by one plain HTTP stream, from one server after another."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.errors import TargetError
from hsm.hosts.files.sources import FileSource
from hsm.hosts.reach.race import gather
from hsm.hosts.reach.web import make_client

if TYPE_CHECKING:
    import httpx

_N_ROUNDS = 3
_SILENCE_SECONDS = 60.0
# Of what comes in `_SILENCE_SECONDS`; about the lowest speed that aria2c is given, 1 KiB a second.
_LEAST_BYTES = 64 * 1024


def run_stream(sources: Sequence[FileSource], path: Path, *, timeout_seconds: float) -> tuple[str, ...]:
    """Fetch a file into a new file.

    Args:
        sources: The same file at several servers. Each is asked when the one before has failed, three times in all.
        path: Where it is to lie. A failure leaves a part of it.
        timeout_seconds: For all of it.

    Returns:
        The URLs that parts of it came from; none for an empty file.

    Raises:
        TargetError: It failed (kind `fetch_failed`).
        OSError: It could not be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        stream = _Stream(sources, descriptor)
        # In an event loop of its own, since httpx's limit is one for each read: see `hsm.hosts.reach.race`.
        answers = gather({"": stream.run}, timeout_seconds=timeout_seconds)
        if not answers.get(""):
            why = "; ".join(f"{url}: {reason}" for url, reason in stream.reasons.items()) or "the time is over"
            raise TargetError(f"The file could not be fetched: {why}.", hint="Try again.", kind="fetch_failed")
        return tuple(stream.parts)
    finally:
        os.close(descriptor)


class _Stream:
    """A download that goes on at the next server where one breaks off.

    Attributes:
        parts: The URLs that what has arrived came from, in order.
        reasons: URL -> why it failed the last time.
    """

    def __init__(self, sources: Sequence[FileSource], descriptor: int) -> None:
        self._sources = sources
        self._descriptor = descriptor
        self._size = sources[0].size
        self._n_arrived = 0
        self.parts: dict[str, None] = {}
        self.reasons: dict[str, str] = {}

    async def run(self) -> bool:
        """Fetch the file; True when all of it has come."""
        import httpx  # noqa: PLC0415 - loaded already

        if not self._size:
            return True
        # A fresh client for each: what was wrong with a connection is not taken along.
        for source in [*self._sources] * _N_ROUNDS:
            try:
                async with make_client(_SILENCE_SECONDS) as client:
                    reason = await self._read(client, source)
            except (httpx.HTTPError, httpx.StreamError) as error:
                reason = str(error) or type(error).__name__
            if not reason:
                return True
            self.reasons[source.url] = reason
        return False

    async def _read(self, client: httpx.AsyncClient, source: FileSource) -> str:
        """Read from one server to the end; the reason where that fails, else empty."""
        if not self._may_go_on(source):
            self._forget()
        begin = self._n_arrived
        async with client.stream("GET", source.url, headers=_make_part_headers(source, begin)) as response:
            # A server that does not do ranges sends the whole file with 200, which would land behind the part that is
            # there.
            if response.status_code != (206 if begin else 200):
                return f"HTTP status {response.status_code}"
            if begin and response.headers.get("content-range") != f"bytes {begin}-{self._size - 1}/{self._size}":
                return "it answers with another part than asked for"
            return await self._take(response, source.url)

    async def _take(self, response: httpx.Response, url: str) -> str:
        looked_at, n_then = time.monotonic(), self._n_arrived
        async for chunk in response.aiter_raw():
            if self._n_arrived + len(chunk) > self._size:
                self._forget()
                return "it answers with more than asked for"
            os.pwrite(self._descriptor, chunk, self._n_arrived)
            self._n_arrived += len(chunk)
            self.parts[url] = None
            if time.monotonic() - looked_at > _SILENCE_SECONDS:
                if self._n_arrived - n_then < _LEAST_BYTES:
                    return "too slow"
                looked_at, n_then = time.monotonic(), self._n_arrived
        return "" if self._n_arrived == self._size else "it answers with less than asked for"

    def _may_go_on(self, source: FileSource) -> bool:
        """Tell whether the rest may come from a server."""
        # Without a checksum nothing would show that the parts of two servers, or of two versions, do not fit.
        is_only_source = set(self.parts) <= {source.url} and _has_strong_tag(source)
        return source.has_ranges and (bool(source.sha256) or is_only_source)

    def _forget(self) -> None:
        self._n_arrived = 0
        self.parts.clear()


def _make_part_headers(source: FileSource, begin: int) -> dict[str, str]:
    headers = {"Range": f"bytes={begin}-"} if begin else {}
    if _has_strong_tag(source):
        headers["If-Match"] = source.etag
    return headers


def _has_strong_tag(source: FileSource) -> bool:
    """Tell whether the server's tag differs for any byte that differs; a weak one never meets `If-Match` (RFC 9110)."""
    return bool(source.etag) and not source.etag.startswith("W/")
