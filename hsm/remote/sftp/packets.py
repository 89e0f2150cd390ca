"""The stream of packets of one SFTP session: written and read in large chunks, given up once it is dead."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

SILENT_SECONDS = 120.0
"""After so long without an expected byte the connection is dead."""

_MOST_PACKET_BYTES = 1024 * 1024
_FLUSH_BYTES = 64 * 1024
_RECEIVE_BYTES = 256 * 1024

_Answer = TypeVar("_Answer")


class Stream(Protocol):
    """A channel to a server: paramiko's `Channel`, with a time limit of well under a second."""

    def send(self, content: bytes, /) -> int:
        """Send some of it; raises TimeoutError when nothing could be sent in time."""

    def recv(self, n_bytes: int, /) -> bytes:
        """Receive some; empty at the end; raises TimeoutError when nothing came in time."""

    def close(self) -> None:
        """End it."""


class SessionEndedError(Exception):
    """The connection broke, or the other end does not speak the protocol; nothing more can be asked here."""


class PacketStream:
    """Packets over a stream. Used by one thread at a time.

    Args:
        stream: Carries them.

    Attributes:
        check: Called before each sending and receiving, and several times a second meanwhile; raises what ends the
            work early.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._received = bytearray()
        self._place = 0
        self._unsent = bytearray()
        self.check: Callable[[], None] = check_nothing

    def put(self, head: bytes, body: bytes) -> None:
        """Send a packet, soon: small ones go together, at the latest before the next one is received."""
        self._unsent += head
        self._unsent += body
        if len(self._unsent) >= _FLUSH_BYTES:
            self._flush()

    def receive(self) -> tuple[int, bytes]:
        """Wait for a packet; its type, and what follows.

        Raises:
            SessionEndedError: The connection broke, or what came is no packet.
        """
        length = self._receive_length()
        while len(self._received) < self._place + 4 + length:
            self._receive_some()
        end = self._place + 4 + length
        kind = self._received[self._place + 4]
        body = bytes(memoryview(self._received)[self._place + 5 : end])
        self._place = end
        return kind, body

    def close(self) -> None:
        """End the stream. Nothing is raised where the connection is gone."""
        close_quietly(self._stream)

    def _receive_length(self) -> int:
        while len(self._received) < self._place + 4:
            self._receive_some()
        (length,) = struct.unpack_from(">I", self._received, self._place)
        # Text of a start-up file reads as a length of a thousand million bytes, which one would wait for.
        if not 0 < length <= _MOST_PACKET_BYTES:
            raise SessionEndedError("what came is no SFTP; a start-up file there may print text")
        return int(length)

    def _receive_some(self) -> None:
        """Wait for bytes, after all packets have been sent."""
        self._flush()
        chunk = self._call_patiently(lambda: self._stream.recv(_RECEIVE_BYTES))
        if not chunk:
            raise SessionEndedError("the connection was closed")
        del self._received[: self._place]  # once a chunk and not once a packet, which would move the rest each time
        self._place = 0
        self._received += chunk

    def _flush(self) -> None:
        content = bytes(self._unsent)
        self._unsent.clear()
        view = memoryview(content)
        while view:
            chunk = view[:_FLUSH_BYTES].tobytes()
            n_sent = self._call_patiently(lambda chunk=chunk: self._stream.send(chunk))  # type: ignore[misc]
            if not n_sent:
                raise SessionEndedError("the connection was closed")
            view = view[n_sent:]

    def _call_patiently(self, call: Callable[[], _Answer]) -> _Answer:
        """Call until it does not time out, the connection is dead or the work is ended."""
        began = time.monotonic()
        self.check()
        while True:
            try:
                return call()
            except TimeoutError as error:
                self.check()
                if time.monotonic() - began > SILENT_SECONDS:
                    raise SessionEndedError("nothing was heard for too long") from error
            except (OSError, EOFError) as error:
                raise SessionEndedError(str(error)) from error


def close_quietly(stream: Stream) -> None:
    """Close a stream; the error of one whose connection is gone was told by its last use already."""
    with contextlib.suppress(Exception):
        stream.close()


def check_nothing() -> None:
    """Let work go on, where nothing can end it early."""
