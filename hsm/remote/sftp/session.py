"""One SFTP session: many pieces of work at a time over one channel, so that latency does not set the speed.

A piece of work is a generator (`Work`): it yields requests, and gets the replies. While it waits, others go on; all of
it in one thread.
"""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar

from hsm.remote.sftp.packets import PacketStream, SessionEndedError, Stream, check_nothing
from hsm.remote.sftp.replies import WireError, parse_most_handles, parse_sftp_version
from hsm.remote.sftp.wire import (
    LIMITS,
    VERSION,
    PacketType,
    Reply,
    Request,
    SftpError,
    pack_text,
)

LEAST_AT_ONCE = 64
"""Pieces of work: each has a file or a folder open, and servers allow 100 of these and more."""

MOST_AT_ONCE = 256
"""Pieces of work where the server says that it allows so many."""

CHUNK_BYTES = 32 * 1024
"""Of one read or write; every server takes as much (draft-ietf-secsh-filexfer-02, section 3)."""

_Answer = TypeVar("_Answer")


class RequestBatch(NamedTuple):
    """One step of a piece of work: requests that are sent together.

    Attributes:
        requests: To be sent.
        n_pending: With how many of its requests unanswered the work goes on.
    """

    requests: Sequence[Request]
    n_pending: int = 0


Work = Generator[RequestBatch, list[Reply], None]
"""Yields steps, and gets the replies that came since the last one, in the order of their requests."""


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
        # A server may answer in any order (draft-ietf-secsh-filexfer-02, section 3.1).
        replies = [reply for _, reply in sorted(self.replies)]
        self.replies = []
        return self.work.send(replies)


class SftpSession:
    """An SFTP session. Used by one thread at a time.

    Args:
        stream: Carries it; closed with it.

    Attributes:
        is_broken: It was closed; nothing more can be asked.
        extensions: Those that the server offers, by name.

    Raises:
        SessionEndedError: The other end does not speak SFTP, version 3.
    """

    def __init__(self, stream: Stream) -> None:
        self._packets = PacketStream(stream)
        self._jobs: dict[int, tuple[_Job, Request]] = {}
        self._number = 0
        self._n_at_once: int | None = None
        self.is_broken = False
        self._packets.put(struct.pack(">IBI", 5, PacketType.INIT, VERSION), b"")
        kind, body = self._packets.receive()
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
        self._packets.close()

    def run(
        self, works: Iterable[Work], *, check: Callable[[], None] | None = None, n_at_once: int | None = None
    ) -> None:
        """Do pieces of work, several at a time, until all are done.

        Args:
            works: Taken one after another, as there is room for a further one; a deque may be added to meanwhile.
            check: Called before each sending and receiving, and five times a second meanwhile; raises what ends the
                work early.
            n_at_once: The most that may be under way; by default as many as the server has handles for.

        Raises:
            SessionEndedError: The connection broke.
            Exception: The error of a piece of work or of `check`; the others are dropped then, and the session is
                closed where replies were still under way.
        """
        n_at_once = n_at_once or self.n_at_once
        self._packets.check = check or check_nothing
        try:
            queue = works if isinstance(works, deque) else deque(works)
            self._run(queue, n_at_once)
        except BaseException:
            if self._jobs:  # replies that still come would meet the requests of the next work
                self.close()
            for job in {id(job): job for job, _ in self._jobs.values()}.values():
                job.work.close()
            self._jobs.clear()
            raise
        finally:
            self._packets.check = check_nothing

    @property
    def n_at_once(self) -> int:
        """The most pieces of work that may have a file or a folder open at the same time. Asks the server once."""
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
                self._packets.check()
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
        # Sent without waiting for the answer to the one before, unlike by paramiko's client: 1,500 small files with six
        # requests each would be 9,000 round trips, six minutes at 40 ms.
        self._packets.put(struct.pack(">IBI", 5 + len(request.body), request.kind, self._number), request.body)

    def _take_reply(self) -> _Job:
        kind, body = self._packets.receive()
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

    def open_sftp(self) -> AbstractContextManager[SftpSession]:
        """Open a session for this thread alone while inside. Logs in if need be, once.

        Raises:
            hsm.errors.UnreachableError: The target cannot be reached, refuses a session, or the connection broke
                inside.
            hsm.errors.TargetError: There is no SFTP, or none that can be understood.
        """
