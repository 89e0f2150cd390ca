"""Connections of the data server: those that ask for nothing give way to those that do.

uvicorn has no time limit before the first request of a connection, and its `limit_concurrency` counts connections that
ask for nothing: two hundred of them, held open by anybody, would close the server for all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

WAITING_SECONDS = 10.0
"""For a request, from the beginning of a connection or the end of the answer before."""

MOST_WAITING = 512
"""Connections without a request; the one that waits longest gives way. Open files are limited to 1024 as a rule."""

_Address = tuple[str, int]


class Connections:
    """The connections that wait for a request. Used by the server's thread alone.

    Args:
        waiting_seconds: A connection that waits longer is closed.
        most_waiting: Of those that wait at the same time.
    """

    def __init__(self, *, waiting_seconds: float = WAITING_SECONDS, most_waiting: int = MOST_WAITING) -> None:
        self._waiting_seconds = waiting_seconds
        self._most_waiting = most_waiting
        self._open: dict[_Address, asyncio.Transport] = {}
        self._waiting: dict[_Address, asyncio.TimerHandle] = {}  # in the order in which they began to wait

    def add(self, address: _Address, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request of a connection."""
        self._open[address] = transport
        self._wait(address)

    def begin(self, address: _Address) -> None:
        """Note that a request has come."""
        timer = self._waiting.pop(address, None)
        if timer is not None:
            timer.cancel()

    def end(self, address: _Address) -> None:
        """Note that it is answered; the connection waits for another one."""
        if address in self._open:
            self._wait(address)

    def remove(self, address: _Address) -> None:
        """Note that the connection has ended."""
        self.begin(address)
        self._open.pop(address, None)

    def _wait(self, address: _Address) -> None:
        self.begin(address)
        if len(self._waiting) >= self._most_waiting:
            self._close(next(iter(self._waiting)))
        loop = asyncio.get_running_loop()
        self._waiting[address] = loop.call_later(self._waiting_seconds, self._close, address)

    def _close(self, address: _Address) -> None:
        transport = self._open.get(address)
        self.remove(address)
        if transport is not None:
            transport.abort()


class CountedRequests:
    """ASGI application around another one, which tells when the request of a connection begins and ends."""

    def __init__(self, app: ASGIApp, connections: Connections) -> None:
        self._app = app
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        client = scope.get("client")
        if scope["type"] != "http" or client is None:
            await self._app(scope, receive, send)
            return
        address = (client[0], client[1])
        self._connections.begin(address)
        try:
            await self._app(scope, receive, send)
        finally:
            self._connections.end(address)


def make_protocol(connections: Connections) -> type[asyncio.Protocol]:
    """Make the protocol of a server that tells when connections come and go."""

    class CountedProtocol(H11Protocol):
        """uvicorn's own, with a note of each connection."""

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as in uvicorn
            super().connection_made(transport)
            if self.client is not None:
                connections.add(self.client, transport)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.client is not None:
                connections.remove(self.client)
            super().connection_lost(exc)

    return CountedProtocol


def allow_open_files() -> None:
    """Let this process have as many files open as the system grants it: a file and a connection for each answer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
