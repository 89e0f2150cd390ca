"""Waiting for a dropped connection to come back. Both SSH clients do it alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from hsm.errors import ConnectionDroppedError, PassingError, SessionsRefusedError, UnreachableError

PAUSES_SECONDS = (5.0, 15.0, 45.0)
"""How long to wait before each further try after a dropped connection."""

_PASSING_AT_FIRST = (ConnectionDroppedError, SessionsRefusedError)
"""A server that throttles drops connections; any other failure of the first contact will come again."""

OnWait = Callable[[float, UnreachableError], None]
"""Told the seconds of a pause, and what went wrong."""

_Answer = TypeVar("_Answer")


def retry(
    call: Callable[[], _Answer],
    *,
    pauses_seconds: Sequence[float],
    has_connected: Callable[[], bool],
    forget: Callable[[], None],
    sleep: Callable[[float], None],
    on_wait: OnWait | None,
) -> _Answer:
    """Call until the connection holds, or no pause is left, or waiting would not help.

    Args:
        call: What needs the connection.
        pauses_seconds: Before each further call, but for jitter.
        has_connected: Whether the connection has ever stood.
        forget: Called after each failure: the next call connects anew.
        sleep: Waits.
        on_wait: Told of each pause.
    """
    for pause in pauses_seconds:
        try:
            return call()
        except UnreachableError as error:
            forget()
            if not isinstance(error, PassingError if has_connected() else _PASSING_AT_FIRST):
                raise
            seconds = pause * random.uniform(1.0, 1.2)  # noqa: S311 - spreads tries, keeps no secret
            if on_wait is not None:
                on_wait(seconds, error)
            sleep(seconds)
    return call()
