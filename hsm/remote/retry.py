"""Waiting for a dropped connection to come back, in the same way for both SSH clients."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from hsm.errors import ConnectionDroppedError, PassingError, SessionsRefusedError, UnreachableError

PAUSES_SECONDS = (5.0, 15.0, 45.0)
"""The pauses before each further try after a dropped connection."""

# A server that throttles drops connections; any other failure of the first contact will come again.
_PASSING_AT_FIRST = (ConnectionDroppedError, SessionsRefusedError)

OnWait = Callable[[float, UnreachableError], None]
"""Takes the seconds of a pause, and the error before it."""

_Answer = TypeVar("_Answer")


class Retry:
    """The tries of one client.

    Args:
        sleep: Waits; raises when the user interrupts.
        pauses_seconds: Before each further try, but for jitter; without any there is one try.
        on_wait: Told of each pause.

    Attributes:
        has_connected: A connection has stood, so that any failure of the link may pass.
    """

    def __init__(self, sleep: Callable[[float], None], pauses_seconds: Sequence[float], on_wait: OnWait | None) -> None:
        self._sleep = sleep
        self.pauses_seconds = pauses_seconds
        self.on_wait = on_wait
        self.has_connected = False

    def call(self, call: Callable[[], _Answer], *, forget: Callable[[], None]) -> _Answer:
        """Call until the connection holds, the pauses are used up, or waiting would not help.

        Args:
            call: Needs the connection.
            forget: Called after each failure, so that the next try connects anew.
        """
        for pause in self.pauses_seconds:
            try:
                return call()
            except UnreachableError as error:
                forget()
                if not isinstance(error, PassingError if self.has_connected else _PASSING_AT_FIRST):
                    raise
                # Jitter: the targets and workers of one call must not all come back at the same moment.
                seconds = pause * random.uniform(1.0, 1.2)  # noqa: S311 - no secret
                if self.on_wait is not None:
                    self.on_wait(seconds, error)
                self._sleep(seconds)
        return call()
