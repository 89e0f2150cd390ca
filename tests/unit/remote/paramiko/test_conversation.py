"""A conversation over a channel whose connection goes while a program is still being fed."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from hsm.remote.paramiko.conversation import converse


class LostChannel:
    """A channel, as `converse` uses it, whose connection is gone.

    Args:
        error: What writing to it raises.
    """

    closed = True
    exit_status = -1

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.status_event = threading.Event()

    def send(self, data: bytes) -> int:  # noqa: ARG002 - as of a channel
        raise self._error

    def shutdown_write(self) -> None:
        raise self._error

    def recv(self, n_bytes: int) -> bytes:  # noqa: ARG002 - as of a channel
        return b""

    def recv_stderr(self, n_bytes: int) -> bytes:  # noqa: ARG002 - as of a channel
        return b""

    def exit_status_ready(self) -> bool:
        return True


@pytest.mark.parametrize("error", [EOFError(), OSError("gone")], ids=["end", "error"])
def test_a_connection_that_goes_ends_the_feeding_without_a_word(error: Exception) -> None:
    before = set(threading.enumerate())
    completed = converse(cast(Any, LostChannel(error)), b"x" * 10, lambda: None)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert (completed.returncode, completed.stdout) == (-1, b"")
