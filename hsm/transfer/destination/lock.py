"""Contract of the lock that a transfer holds at its destination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class DestinationLock(Protocol):
    """Looks at the lock before what must not be done without it; `hsm.targets.lock.WatchedLock` is one.

    The lock is taken over by another process when this one has slept too long. What it does then is no longer safe.
    """

    @property
    def nonce(self) -> str:
        """The random word of the lock, which names the folder for files under way."""

    def check(self, *, at_once: bool = False) -> None:
        """Look at the lock there; without `at_once` only when the last look is some seconds old.

        Raises:
            LockLostError: Another process has it, or had it.
            HsmError: The destination is out of reach.
        """

    def tidy(self) -> None:
        """Empty the folder for files under way: an engine that still runs there has nothing to give a name to.

        Raises:
            LockLostError: Another process has the lock, or had it.
            HsmError: The destination is out of reach.
        """

    def put_back(self, moves: Sequence[tuple[str, str]]) -> frozenset[str]:
        """Give replaced files their names again; see `hsm.remote.guard.Guard.put_back`."""
