"""Web servers of every kind on loopback addresses, good ones and bad ones, and hosts files."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

STATUS = {"name": "good", "version": "1"}


def answer(connection: socket.socket, *, status: str = "200 OK", headers: str = "", body: bytes = b"") -> None:
    """Read a request and answer it."""
    request = b""
    while b"\r\n\r\n" not in request and (chunk := connection.recv(4096)):
        request += chunk
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    connection.sendall(head.encode() + body)


def be_good(connection: socket.socket) -> None:
    answer(connection, body=json.dumps(STATUS).encode())


def be_silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def be_rubbish(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"SSH-2.0-rubbish\r\n\x00\xff\xfe\r\n\r\n")


def be_endless(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def be_trickling(connection: socket.socket) -> None:
    """Headers without an end, a byte at a time."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"a")
        time.sleep(0.05)


def be_html(connection: socket.socket) -> None:
    answer(connection, body=b"<html></html>")


def be_list(connection: socket.socket) -> None:
    answer(connection, body=b"[1, 2]")


def be_deep(connection: socket.socket) -> None:
    answer(connection, body=b"[" * 500_000)


def be_large(connection: socket.socket) -> None:
    answer(connection, body=b'{"a": "' + b"x" * 2_000_000 + b'"}')


def be_forbidden(connection: socket.socket) -> None:
    answer(connection, status="401 Unauthorized", body=json.dumps(STATUS).encode())


def be_compressed(connection: socket.socket) -> None:
    answer(connection, headers="Content-Encoding: gzip\r\n", body=b"{}")


BAD = {
    behaviour.__name__: behaviour
    for behaviour in (
        be_large, be_silent, be_rubbish, be_endless, be_trickling, be_html, be_list, be_deep,
        be_forbidden, be_compressed,
    )
}  # fmt: skip


class Server:
    """A server on a loopback address, one thread a connection."""

    def __init__(self, behave: Callable[[socket.socket], None], address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family)
        self._behave = behave
        self._connections: list[socket.socket] = []
        self.n_connections = 0
        self.address = address
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.n_connections += 1
                self._connections.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._behave(connection)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Return a function that starts a server: `serve(be_good, "127.0.0.2", port)`; all are stopped after the test."""
    started: list[Server] = []

    def start(behave: Callable[[socket.socket], None] = be_good, address: str = "127.0.0.1", port: int = 0) -> Server:
        server = Server(behave, address, port)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def write_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes `.hsm/hosts.yaml` of a project, which becomes the working folder."""

    def write(content: str | dict[str, Any]) -> Path:
        path = tmp_path / "project" / ".hsm" / "hosts.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        monkeypatch.chdir(tmp_path / "project")
        return path

    return write


def find_free_port() -> int:
    """A port that is free at all loopback addresses at this moment."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
    return port
