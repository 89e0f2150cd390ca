"""Connections of the data server that ask for nothing."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from hsm.hosts.server.connections import Connections


class FakeTransport:
    """The end of a connection, which notes that it was closed."""

    is_closed = False

    def abort(self) -> None:
        self.is_closed = True


def add(connections: Connections, port: int) -> FakeTransport:
    transport = FakeTransport()
    connections.add(("127.0.0.1", port), cast("asyncio.Transport", transport))
    return transport


async def settle(seconds: float) -> None:
    await asyncio.sleep(seconds)


def test_the_one_that_waits_longest_gives_way() -> None:
    async def crowd() -> list[bool]:
        connections = Connections(waiting_seconds=60, most_waiting=2)
        transports = [add(connections, port) for port in (1, 2)]
        connections.begin(("127.0.0.1", 1))  # asks for something, so it does not count
        transports += [add(connections, port) for port in (3, 4)]
        for port in (1, 2, 3, 4):
            connections.remove(("127.0.0.1", port))
        return [transport.is_closed for transport in transports]

    assert asyncio.run(crowd()) == [False, True, False, False]


def test_one_that_asks_for_nothing_is_closed_after_a_while() -> None:
    async def wait() -> list[bool]:
        connections = Connections(waiting_seconds=0.05, most_waiting=9)
        silent, asking, ended = (add(connections, port) for port in (1, 2, 3))
        connections.begin(("127.0.0.1", 2))
        connections.begin(("127.0.0.1", 3))
        connections.end(("127.0.0.1", 3))
        await settle(0.3)
        return [silent.is_closed, asking.is_closed, ended.is_closed]

    assert asyncio.run(wait()) == [True, False, True]


def test_an_answer_that_ends_after_its_connection_leaves_nothing() -> None:
    async def end() -> bool:
        connections = Connections(waiting_seconds=0.01, most_waiting=1)
        gone = add(connections, 1)
        connections.remove(("127.0.0.1", 1))
        connections.end(("127.0.0.1", 1))
        other = add(connections, 2)
        connections.begin(("127.0.0.1", 2))
        await settle(0.1)
        return gone.is_closed or other.is_closed

    assert not asyncio.run(end())


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a running `hsm hosts serve`."""
    argv = [sys.executable, "-m", "hsm", "hosts", "serve", "--port", "0", "--root", str(tmp_path)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            yield int(server.stderr.readline().rpartition(":")[2].partition(",")[0])
        finally:
            server.terminate()
            server.communicate(timeout=30)


def test_a_crowd_that_holds_connections_open_does_not_close_the_server_for_others(port: int, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("result")
    crowd = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(260)]
    try:
        for connection in crowd[:20]:
            connection.sendall(b"GET /files/file.txt HTTP/1.1\r\nHost: ")  # half a request
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/files/file.txt", timeout=30) as answer:
            assert (answer.status, answer.read()) == (200, b"result")
    finally:
        for connection in crowd:
            connection.close()
