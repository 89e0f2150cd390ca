"""One SFTP session: many pieces of work at a time over one channel, so that latency does not set the speed.

A piece of work is a generator (`Work`): it yields requests, and gets the replies. While it waits, others go on; all
of it in one thread.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from hsm.remote.sftp.wire import (
    LIMITS,
    VERSION,
    PacketType,
    Reply,
    Request,
    SftpError,
    WireError,
    pack_text,
    parse_most_handles,
    parse_sftp_version,
)

LEAST_AT_ONCE = 64
"""Pieces of work: each has a file or a folder open, and servers allow 100 of these and more."""

MOST_AT_ONCE = 256
"""Where the server says that it allows so many."""

CHUNK_BYTES = 32 * 1024
"""Of one read or write; every server takes as much (draft-ietf-secsh-filexfer-02, section 3)."""

SILENT_SECONDS = 120.0
"""After so long without an answer that is waited for, the connection is dead."""

_MOST_PACKET_BYTES = 1024 * 1024
_FLUSH_BYTES = 64 * 1024
_RECEIVE_BYTES = 256 * 1024


_Answer = TypeVar("_Answer")


class RequestBatch(NamedTuple):
    """What a piece of work yields.

    Attributes:
        requests: To be sent.
        n_pending: With how many of its requests unanswered the work goes on.
    """

    requests: Sequence[Request]
    n_pending: int = 0


Work = Generator[RequestBatch, list[Reply], None]
"""Yields steps, and gets the replies that came since the last one, in the order of their requests."""


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


class _Job:
    """A piece of work under way."""

    __slots__ = ("is_started", "n_allowed", "n_pending", "replies", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.is_started = False
        self.n_pending = 0
        self.n_allowed = 0
        self.replies: list[tuple[int, Reply]] = []

    def go_on(self) -> RequestBatch:
        """Hand over the replies, in the order of their requests; raises StopIteration at the work's end."""
        if not self.is_started:
            self.is_started = True
            return next(self.work)
        replies = [reply for _, reply in sorted(self.replies)]
        self.replies = []
        return self.work.send(replies)


class SftpSession:
    """An SFTP session. Used by one thread at a time.

    Args:
        stream: Carries it; closed with it.

    Raises:
        SessionEndedError: The other end does not speak SFTP, version 3.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._received = bytearray()
        self._place = 0
        self._unsent = bytearray()
        self._jobs: dict[int, tuple[_Job, Request]] = {}
        self._number = 0
        self._check: Callable[[], None] = _check_nothing
        self.is_broken = False
        self._n_at_once: int | None = None
        self._unsent += struct.pack(">IBI", 5, PacketType.INIT, VERSION)
        self._flush()
        kind, body = self._receive_packet()
        if kind != PacketType.VERSION:
            self.close()
            raise SessionEndedError("the other end does not speak SFTP")
        try:
            self.extensions: Mapping[str, str] = parse_sftp_version(body)
        except WireError as error:
            self.close()
            raise SessionEndedError(str(error)) from error

    def close(self) -> None:
        """End it. Nothing is raised where the connection is gone."""
        self.is_broken = True
        close_quietly(self._stream)

    def run(
        self, works: Iterable[Work], *, check: Callable[[], None] | None = None, n_at_once: int | None = None
    ) -> None:
        """Do pieces of work, several at a time, until all are done.

        Args:
            works: Taken one after another, as there is room for a further one; a deque may be added to meanwhile.
            check: Called before each sending and receiving, and five times a second meanwhile; raises what ends the
                work early.
            n_at_once: How many may be under way; by default as many as the server has handles for.

        Raises:
            SessionEndedError: The connection broke.
            Exception: What a piece of work or `check` raises; the others are dropped then, and the session is closed
                where replies were still under way.
        """
        n_at_once = n_at_once or self.n_at_once
        self._check = check or _check_nothing
        try:
            queue = works if isinstance(works, deque) else deque(works)
            self._run(queue, n_at_once)
        except BaseException:
            if self._jobs:
                self.close()
            for job in {id(job): job for job, _ in self._jobs.values()}.values():
                job.work.close()
            self._jobs.clear()
            raise
        finally:
            self._check = _check_nothing

    @property
    def n_at_once(self) -> int:
        """How many pieces of work may have a file or a folder open at the same time. Asks the server once."""
        if self._n_at_once is None:
            self._n_at_once = LEAST_AT_ONCE
            if LIMITS in self.extensions:
                (reply,) = self.ask(Request(PacketType.EXTENDED, pack_text(LIMITS)))
                with contextlib.suppress(SftpError, WireError):
                    self._n_at_once = max(LEAST_AT_ONCE, min(parse_most_handles(reply) // 2, MOST_AT_ONCE))
        return self._n_at_once

    def ask(self, *requests: Request, check: Callable[[], None] | None = None) -> list[Reply]:
        """Send requests at once and wait for all replies, which have the order of the requests; raises as `run`."""
        found: list[Reply] = []

        def work() -> Work:
            found.extend((yield RequestBatch(requests)))

        self.run([work()], check=check, n_at_once=1)
        return found

    def _run(self, queue: deque[Work], n_at_once: int) -> None:
        n_running = 0
        while queue or n_running:
            while queue and n_running < n_at_once:
                self._check()
                n_running += self._go_on(_Job(queue.popleft()))
            if n_running:
                job = self._take_reply()
                if job.n_pending <= job.n_allowed and not self._go_on(job):
                    n_running -= 1

    def _go_on(self, job: _Job) -> bool:
        """Let a piece of work go on until it has to wait; False when it is done."""
        while job.n_pending <= job.n_allowed:
            try:
                step = job.go_on()
            except StopIteration:
                return False
            for request in step.requests:
                self._send(job, request)
            job.n_allowed = step.n_pending
        return True

    def _send(self, job: _Job, request: Request) -> None:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._jobs[self._number] = (job, request)
        job.n_pending += 1
        self._unsent += struct.pack(">IBI", 5 + len(request.body), request.kind, self._number)
        self._unsent += request.body
        if len(self._unsent) >= _FLUSH_BYTES:
            self._flush()

    def _take_reply(self) -> _Job:
        kind, body = self._receive_packet()
        if len(body) < 4:
            raise SessionEndedError("a packet is cut")
        (number,) = struct.unpack_from(">I", body)
        try:
            job, request = self._jobs.pop(number)
        except KeyError as error:
            raise SessionEndedError("an answer to nothing") from error
        job.n_pending -= 1
        job.replies.append((number, Reply(kind, body[4:], request.path, request.tag)))
        return job

    def _receive_packet(self) -> tuple[int, bytes]:
        length = self._receive_length()
        end = self._place + 4 + length
        while len(self._received) < end:
            self._receive()
            end = self._place + 4 + length
        kind = self._received[self._place + 4]
        body = bytes(memoryview(self._received)[self._place + 5 : end])
        self._place = end
        return kind, body

    def _receive_length(self) -> int:
        while len(self._received) < self._place + 4:
            self._receive()
        (length,) = struct.unpack_from(">I", self._received, self._place)
        if not 0 < length <= _MOST_PACKET_BYTES:
            raise SessionEndedError("what came is no SFTP; a start-up file there may print text")
        return int(length)

    def _receive(self) -> None:
        """Wait for bytes, after everything has been sent that is to be."""
        self._flush()
        chunk = self._patiently(lambda: self._stream.recv(_RECEIVE_BYTES))
        if not chunk:
            raise SessionEndedError("the connection was closed")
        del self._received[: self._place]
        self._place = 0
        self._received += chunk

    def _flush(self) -> None:
        content = bytes(self._unsent)
        self._unsent.clear()
        view = memoryview(content)
        while view:
            n_sent = self._patiently(lambda view=view: self._stream.send(view[:_FLUSH_BYTES].tobytes()))  # type: ignore[misc]
            if not n_sent:
                raise SessionEndedError("the connection was closed")
            view = view[n_sent:]

    def _patiently(self, call: Callable[[], _Answer]) -> _Answer:
        """Call until it does not time out, the connection is dead or the work is ended."""
        began = time.monotonic()
        self._check()
        while True:
            try:
                return call()
            except TimeoutError as error:
                self._check()
                if time.monotonic() - began > SILENT_SECONDS:
                    raise SessionEndedError("nothing was heard for too long") from error
            except (OSError, EOFError) as error:
                raise SessionEndedError(str(error)) from error


class SftpSessions(Protocol):
    """Source of sessions to one target; `hsm.remote.paramiko.client.ParamikoClient` is one."""

    @property
    def name(self) -> str:
        """The target's name."""

    def use_sftp(self, call: Callable[[SftpSession, Callable[[], None]], _Answer]) -> _Answer:
        """Call with a session, once more after a dropped connection: doing it twice must do no harm.

        Args:
            call: Takes the session and a function that raises once the work has to end, `check` of `SftpSession.run`.

        Raises:
            hsm.errors.UnreachableError: The target cannot be reached.
            hsm.errors.TargetError: It offers no SFTP.
            hsm.process.runner.CommandStoppedError: The user interrupted.
        """


def close_quietly(stream: Stream) -> None:
    """Close a stream; one whose connection is gone may want to say so again, which its last use has told already."""
    with contextlib.suppress(Exception):
        stream.close()


def _check_nothing() -> None:
    """Where nothing can end the work early."""
