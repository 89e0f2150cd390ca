"""One SFTP session, with a server that answers as it likes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from hsm.remote.sftp.packets import SessionEndedError
from hsm.remote.sftp.replies import (
    parse_handle,
)
from hsm.remote.sftp.session import RequestBatch, SftpSession, Work
from hsm.remote.sftp.wire import (
    PacketType,
    make_path,
    pack_text,
)

VERSION = struct.pack(">I", 3)
OK = struct.pack(">I", 0) + pack_text("Success") + pack_text("")


class Server:
    """A stream whose other end answers requests, several at a time and in an order of its own."""

    def __init__(self, answer: Callable[[list[tuple[int, int]]], bytes], *, version: bytes = VERSION) -> None:
        self._answer = answer
        self._received = bytearray()
        self._outgoing = bytearray(struct.pack(">IB", 1 + len(version), PacketType.VERSION) + version)
        self._has_begun = False
        self.is_closed = False

    def send(self, content: bytes, /) -> int:
        self._received += content
        return len(content)

    def recv(self, n_bytes: int, /) -> bytes:
        requests: list[tuple[int, int]] = []
        while len(self._received) >= 9:
            length, kind, number = struct.unpack_from(">IBI", self._received)
            del self._received[: 4 + length]
            if kind != PacketType.INIT:
                requests.append((kind, number))
        if requests:
            self._outgoing += self._answer(requests)
        chunk = bytes(self._outgoing[: min(n_bytes, 5)])
        del self._outgoing[:5]
        return chunk

    def close(self) -> None:
        self.is_closed = True


def make_packet(number: int, kind: int = PacketType.STATUS, body: bytes = OK) -> bytes:
    return struct.pack(">IBI", 5 + len(body), kind, number) + body


def answer_backwards(requests: list[tuple[int, int]]) -> bytes:
    return b"".join(make_packet(number, PacketType.HANDLE, pack_text(str(number))) for _, number in reversed(requests))


def test_replies_come_in_the_order_of_their_requests_however_the_server_answers() -> None:
    session = SftpSession(Server(answer_backwards))
    found = session.ask(*(make_path(PacketType.OPENDIR, str(number)) for number in range(9)))
    numbers = [int(parse_handle(reply)) for reply in found]
    assert numbers == sorted(numbers)
    assert [reply.path for reply in found] == [str(number) for number in range(9)]


def test_many_works_go_on_at_a_time_but_no_more_than_allowed() -> None:
    running = 0
    most = 0

    def work() -> Work:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            yield RequestBatch([make_path(PacketType.STAT, "x")])
        running -= 1

    SftpSession(Server(answer_backwards)).run([work() for _ in range(50)], n_at_once=7)
    assert (running, most) == (0, 7)


def test_a_window_stays_full() -> None:
    seen: list[int] = []

    def work() -> Work:
        n_sent = n_back = 0
        for _ in range(10):
            replies = yield RequestBatch([make_path(PacketType.STAT, "x")] * 2, n_pending=4)
            n_sent, n_back = n_sent + 2, n_back + len(replies)
            seen.append(n_sent - n_back)
        replies = yield RequestBatch([])
        assert n_back + len(replies) == n_sent

    SftpSession(Server(lambda requests: b"".join(make_packet(number) for _, number in requests))).run([work()])
    assert max(seen) == 4


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: b"",
        lambda _: make_packet(4711),
        lambda _: struct.pack(">I", 2**31),
        lambda _: b"Last login: today\r\n",
        lambda _: struct.pack(">IB", 1, PacketType.STATUS),
    ],
    ids=["closed", "unasked", "too long", "text", "short"],
)
def test_what_is_no_answer_ends_the_session(answer: Callable[[object], bytes]) -> None:
    server = Server(answer)
    session = SftpSession(server)
    with pytest.raises(SessionEndedError):
        session.ask(make_path(PacketType.STAT, "x"))
    assert (session.is_broken, server.is_closed) == (True, True)


class LostServer(Server):
    """One whose connection breaks while something is sent, as paramiko's channels tell it."""

    is_lost = False

    def send(self, content: bytes, /) -> int:
        if self.is_lost:
            raise EOFError
        return super().send(content)

    def close(self) -> None:
        super().close()
        raise EOFError


def test_a_connection_that_breaks_while_something_is_sent_is_told_once() -> None:
    server = LostServer(answer_backwards)
    session = SftpSession(server)
    server.is_lost = True
    with pytest.raises(SessionEndedError):
        session.ask(make_path(PacketType.STAT, "x"))
    assert (session.is_broken, server.is_closed) == (True, True)


@pytest.mark.parametrize("version", [struct.pack(">I", 2), b"", VERSION + b"\0\0\0\x09x"])
def test_another_protocol_is_refused(version: bytes) -> None:
    with pytest.raises(SessionEndedError):
        SftpSession(Server(answer_backwards, version=version))


def test_what_ends_the_work_early_closes_the_session() -> None:
    server = Server(answer_backwards)
    session = SftpSession(server)
    is_closed: list[bool] = []

    def work() -> Work:
        try:
            while True:
                yield RequestBatch([make_path(PacketType.STAT, "x")])
        finally:
            is_closed.append(True)

    calls = iter(range(20))

    def check() -> None:
        if next(calls) == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.run([work(), work()], check=check, n_at_once=2)
    assert is_closed == [True, True]
    assert server.is_closed
