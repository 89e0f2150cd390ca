"""Forced end: after a second signal, or where a mount hangs, the program ends whatever its threads do.

A thread that waits for a file system which does not answer can be neither interrupted nor joined, and Python would join
it. A signal itself gets lost there: the kernel gives it to a thread that does not run, and a second one of its kind is
not kept. So a thread looks four times a second for signals that were taken, and for those that nobody takes.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from hsm.process.places import find_silent, list_places

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask the program to end."""

INTERRUPTED = 130
"""The exit status."""

last_steps: list[Callable[[], object]] = []
"""Called right before a forced end; they wait for nothing. Not imported by name, so that the program starts quickly."""

_LOOK_SECONDS = 0.25
# With a look before it less than two seconds. A disk that is busy answers within it.
_PATIENCE_SECONDS = 1.5

_SHOW_CURSOR = b"\x1b[?25h\r\n"


class Watch:
    """Watch over the end of this process. Runs in a thread of its own, once it is started.

    Attributes:
        taken: When the main thread took each signal, by the monotonic clock; appended to by its signal handler.
    """

    def __init__(self) -> None:
        self.taken: list[float] = []

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._watch, name="hsm-watch", daemon=True).start()

    def _watch(self) -> None:
        # Blocked in this thread alone, so that `sigpending` tells it of those that the main thread does not take.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        waiting_seconds = 0.0
        has_asked = False
        while True:
            time.sleep(_LOOK_SECONDS)
            is_waiting = bool(signal.sigpending() & set(ENDING))
            waiting_seconds = waiting_seconds + _LOOK_SECONDS if is_waiting else 0.0
            if not has_asked and (self.taken or waiting_seconds > _LOOK_SECONDS):
                has_asked = True
                if silent := find_silent(list_places(), seconds=_PATIENCE_SECONDS):
                    _end(f"{silent[0]} does not answer")
            if waiting_seconds > _PATIENCE_SECONDS:
                _end("a call of the system does not come back")
            if len(self.taken) > 1 and time.monotonic() - self.taken[1] > _PATIENCE_SECONDS:
                _end("its threads did not end")


def _end(reason: str) -> NoReturn:
    """End this process and all that it has started; what they held is found by the next call, as after a kill."""
    for step in last_steps:
        step()
    with contextlib.suppress(OSError, ValueError):
        cursor = _SHOW_CURSOR if os.isatty(2) else b""
        if select.select([], [2], [], 0)[1]:  # a pipe that nobody reads would hold this up too
            words = f"Error: Interrupted, and ended at once: {reason}.\n"
            hint = "Next: run the same command again once it answers; what has arrived is not sent again.\n"
            os.write(2, cursor + (words + hint).encode("utf-8", "backslashreplace"))
    os._exit(INTERRUPTED)
