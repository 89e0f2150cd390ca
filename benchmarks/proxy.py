"""A link with a round trip: a TCP proxy on 127.0.0.1, run as a process of its own.

    python -m benchmarks.proxy --to PORT --round-trip-ms 40 --megabytes-per-second 100

Every chunk leaves half a round trip after it came, in either direction, and a new connection costs one round trip
before anything else, as TCP's handshake does. TCP's own windows end at the proxy, so what limits a stream is the
window of the protocol inside (OpenSSH: 2 MiB a channel), as on a well-tuned link. The proxy prints its port in the
first line and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

HOST = "127.0.0.1"
_CHUNK_BYTES = 256 * 1024
_SOCKET_BYTES = 1024 * 1024
_MOST_UNDER_WAY_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Link:
    """What a link is like.

    Attributes:
        delay_seconds: How long a byte is under way, in either direction: half the round trip.
        bytes_per_second: The most that one direction carries, over all connections; 0: no limit.
    """

    delay_seconds: float = 0.0
    bytes_per_second: float = 0.0

    @property
    def most_under_way(self) -> int:
        """How many bytes of a connection may wait in the proxy before it stops to read."""
        if not self.bytes_per_second:
            return _MOST_UNDER_WAY_BYTES
        return int(self.bytes_per_second * self.delay_seconds * 2) + _CHUNK_BYTES


class Lane:
    """One direction of a link: says when what comes now will have passed. Thread-safe."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._free_at = 0.0
        self._lock = threading.Lock()

    def find_arrival(self, n_bytes: int, now: float) -> float:
        """Take up so many bytes, and return when they arrive at the other side."""
        if not self._link.bytes_per_second:
            return now + self._link.delay_seconds
        with self._lock:
            self._free_at = max(self._free_at, now) + n_bytes / self._link.bytes_per_second
            return self._free_at + self._link.delay_seconds


class _Pipe:
    """Carries one direction of one connection: a thread reads, another writes when it is time."""

    def __init__(self, source: socket.socket, sink: socket.socket, lane: Lane, link: Link) -> None:
        self._source = source
        self._sink = sink
        self._lane = lane
        self._limit = link.most_under_way
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._n_bytes = 0
        self._changed = threading.Condition()

    def start(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._write)]
        for thread in threads:
            thread.start()
        return threads

    def _read(self) -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = self._source.recv(_CHUNK_BYTES)
            except OSError:
                chunk = b""
            due = self._lane.find_arrival(len(chunk), time.monotonic())
            with self._changed:
                self._waiting.append((due, chunk))
                self._n_bytes += len(chunk)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._n_bytes < self._limit)

    def _write(self) -> None:
        chunk = b"-"
        is_open = True
        while chunk:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                due, chunk = self._waiting.popleft()
            early = due - time.monotonic()
            if early > 0:
                time.sleep(early)
            if chunk and is_open:
                try:
                    self._sink.sendall(chunk)
                except OSError:
                    is_open = False
                    with contextlib.suppress(OSError):
                        self._source.shutdown(socket.SHUT_RD)
            with self._changed:
                self._n_bytes -= len(chunk)
                self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)


class Proxy:
    """Listens on a free port of 127.0.0.1, and forwards to another one. For use within a process of its own.

    Args:
        to_port: Where connections go.
        link: What the link is like.
    """

    def __init__(self, to_port: int, link: Link) -> None:
        self._to_port = to_port
        self._link = link
        self._up, self._down = Lane(link), Lane(link)
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Take connections until the process ends."""
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        time.sleep(2 * self._link.delay_seconds)
        with client:
            try:
                server = socket.create_connection((HOST, self._to_port), timeout=5)
            except OSError:
                return
            with server:
                server.settimeout(None)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BYTES)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
                threads = _Pipe(client, server, self._up, self._link).start()
                threads += _Pipe(server, client, self._down, self._link).start()
                for thread in threads:
                    thread.join()


class ProxyProcess:
    """The proxy in a process of its own. A context manager.

    Args:
        to_port: Where connections go.
        round_trip_ms: Milliseconds there and back.
        megabytes_per_second: The most that one direction carries; 0: no limit.
    """

    def __init__(self, to_port: int, *, round_trip_ms: float, megabytes_per_second: float = 0.0) -> None:
        self._argv = [sys.executable, "-m", "benchmarks.proxy", "--to", str(to_port)]
        self._argv += ["--round-trip-ms", str(round_trip_ms), "--megabytes-per-second", str(megabytes_per_second)]
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> ProxyProcess:
        self._process = subprocess.Popen(
            self._argv,
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = int(self._process.stdout.readline() if self._process.stdout else "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            with self._process:  # closes its standard input, at which it ends
                self._process.kill()


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description="A TCP proxy on 127.0.0.1 that adds latency and caps the rate.")
    parser.add_argument("--to", type=int, required=True, help="the port to forward to")
    parser.add_argument("--round-trip-ms", type=float, default=0.0)
    parser.add_argument("--megabytes-per-second", type=float, default=0.0, help="0: no limit")
    arguments = parser.parse_args()
    link = Link(arguments.round_trip_ms / 2000, arguments.megabytes_per_second * 1e6)
    proxy = Proxy(arguments.to, link)
    print(proxy.port, flush=True)
    threading.Thread(target=proxy.serve, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
