"""Background calls: work that begins before its answer is needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Found = TypeVar("_Found")


class BackgroundCall(Generic[_Found]):
    """A call in a thread of its own, whose answer or error waits until it is asked for.

    Args:
        work: Is called at once.
        name: The thread's.
    """

    def __init__(self, work: Callable[[], _Found], *, name: str) -> None:
        self._answer: list[_Found] = []
        self._error: BaseException | None = None
        self._work = work
        # A daemon: a call that hangs in the network must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def take(self) -> _Found:
        """Wait for the answer; raises what `work` raised. May be called twice."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._answer[0]

    def _run(self) -> None:
        try:
            self._answer.append(self._work())
        except BaseException as error:
            self._error = error
