"""A link that can be slow, cut or frozen: a TCP proxy on 127.0.0.1 in front of a private sshd."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

HOST = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024
_SHORT_BYTES = 16 * 1024  # a question whose program is longer would find the link quick
_POLL_SECONDS = 0.02


@dataclass(eq=False)
class _Pair:
    """The two ends of one connection, and whether bytes pass between them."""

    client: socket.socket
    server: socket.socket
    flows: threading.Event = field(default_factory=threading.Event)


class LinkProxy:
    """Forwards connections to a port of this machine. A context manager; leaving it closes everything.

    A frozen link loses nothing and forwards nothing: bytes and the ends of connections wait in both directions until
    it thaws, as when a cable is out. New connections are accepted then too, and stay mute.

    Args:
        to_port: Where connections go.
        bytes_per_second: The most that goes to the server, over all connections; None: as fast as it can.
        delay_seconds: What every short message waits on its way to the server, so that the link seems long.
        counts_answers: Bytes that come from the server are counted and limited, not those that go to it.
    """

    def __init__(
        self,
        to_port: int,
        *,
        bytes_per_second: float | None = None,
        delay_seconds: float = 0.0,
        counts_answers: bool = False,
    ) -> None:
        self._to_port = to_port
        self._delay_seconds = delay_seconds
        self._counts_answers = counts_answers
        self.bytes_per_second = bytes_per_second
        self.n_bytes = 0
        self.n_connections = 0
        self._is_over = False
        self._drops = False
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._threads: list[threading.Thread] = []
        self._events: list[tuple[int, Callable[[], object]]] = []
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> LinkProxy:
        self._start_thread(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        self._flows.set()
        self.release()
        self.cut()
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def freeze(self) -> None:
        """Forward nothing from now on."""
        self._flows.clear()

    def thaw(self) -> None:
        """Forward again, first what has waited."""
        self._flows.set()

    def strand(self) -> None:
        """Freeze the connections of this moment; new ones pass. What the client closes the server still has open."""
        with self._lock:
            for pair in self._pairs:
                pair.flows.clear()

    def release(self) -> None:
        """Let stranded connections go on: the server learns that its client has gone."""
        with self._lock:
            for pair in self._pairs:
                pair.flows.set()

    def cut(self, *, is_closed: bool = False) -> None:
        """End every connection that is not stranded; with `is_closed`, each new one too until `mend()`."""
        with self._lock:
            self._drops = is_closed
            pairs = [pair for pair in self._pairs if pair.flows.is_set()]
        for pair in pairs:
            for end in (pair.client, pair.server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let new connections pass again."""
        self._drops = False

    def at_bytes(self, n_bytes: int, act: Callable[[], object]) -> None:
        """Act once so many further bytes have gone to the server, before the next ones go."""
        with self._lock:
            self._events.append((self.n_bytes + n_bytes, act))

    def _start_thread(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._is_over:
            if not select.select([self._listener], [], [], _POLL_SECONDS)[0]:
                continue
            client, _ = self._listener.accept()
            self.n_connections += 1
            if self._drops:
                client.close()
                continue
            try:
                server = socket.create_connection((HOST, self._to_port), timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self._start_thread(self._serve, client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Forward in both directions until either end closes, then close both."""
        pair = _Pair(client, server)
        pair.flows.set()
        with self._lock:
            self._pairs.add(pair)
        back = threading.Thread(target=self._forward, args=(pair, server, client), daemon=True)
        back.start()
        self._forward(pair, client, server)
        back.join()
        with self._lock:
            self._pairs.discard(pair)
        client.close()
        server.close()

    def _forward(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                self._wait(pair)
                is_answer = source is pair.server
                if not is_answer and len(chunk) < _SHORT_BYTES and not self._is_over:
                    time.sleep(self._delay_seconds)
                if is_answer == self._counts_answers:
                    self._count(len(chunk))
                    self._wait(pair)
                sink.sendall(chunk)
        self._wait(pair)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _wait(self, pair: _Pair) -> None:
        self._flows.wait()
        pair.flows.wait()

    def _count(self, n_bytes: int) -> None:
        with self._turn:
            with self._lock:
                self.n_bytes += n_bytes
                due = [event for event in self._events if event[0] <= self.n_bytes]
                self._events = [event for event in self._events if event not in due]
            for _, act in due:
                act()
            if self.bytes_per_second and not self._is_over:
                time.sleep(n_bytes / self.bytes_per_second)
