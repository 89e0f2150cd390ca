"""Conversation with a program over a channel: it is fed and heard at the same time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from hsm.process.answer import MOST_ANSWER_BYTES, MOST_COMPLAINT_BYTES, AnswerTooLongError, KeptOutput
from hsm.process.pump import LOOK_SECONDS
from hsm.process.runner import Completed

if TYPE_CHECKING:
    from paramiko import Channel

_CHUNK_BYTES = 256 * 1024


def converse(channel: Channel, stdin: bytes, check: Callable[[], None], *, begin: bytes = b"") -> Completed:
    """Feed a program and take what it prints, until it has ended. Two threads read and write beside this one.

    Args:
        channel: Of the program, which has been started.
        stdin: All that it may read.
        check: Called several times a second; raises what ends the work early.
        begin: The beginning of the answer; only little text may come before it.

    Raises:
        AnswerTooLongError: It printed far too much.
    """
    stdout, complaint = KeptOutput("ssh", MOST_ANSWER_BYTES), KeptOutput("ssh", MOST_COMPLAINT_BYTES)
    stdout.expect(begin)
    helpers = [
        threading.Thread(target=_feed, args=(channel, stdin), daemon=True),
        threading.Thread(target=_drain_complaints, args=(channel, complaint), daemon=True),
    ]
    for helper in helpers:
        helper.start()
    _drain(channel.recv, stdout, check)
    while not channel.exit_status_ready() and not channel.closed:
        check()
        channel.status_event.wait(LOOK_SECONDS)
    helpers[1].join(LOOK_SECONDS * 10)  # the last complaints; a background process there may hold the channel open
    return Completed(channel.exit_status, bytes(stdout.content), bytes(complaint.content))


def _feed(channel: Channel, content: bytes) -> None:
    """Write all that a program reads; a program that does not read the rest is no error."""
    view = memoryview(content)
    with contextlib.suppress(OSError, EOFError):  # paramiko's word for a connection that is gone
        while view:
            with contextlib.suppress(socket.timeout):
                view = view[channel.send(view[:_CHUNK_BYTES].tobytes()) :]
        channel.shutdown_write()


def _drain_complaints(channel: Channel, into: KeptOutput) -> None:
    """Take complaints; one who complains without an end is cut off."""
    try:
        _drain(channel.recv_stderr, into, lambda: None)
    except AnswerTooLongError:
        channel.close()


def _drain(receive: Callable[[int], bytes], into: KeptOutput, check: Callable[[], None]) -> None:
    """Take bytes until the end; it comes also when the channel is closed."""
    while True:
        try:
            chunk = receive(_CHUNK_BYTES)
        except TimeoutError:
            check()
            continue
        if not chunk:
            return
        into.take(chunk)
