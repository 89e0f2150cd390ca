"""Watch over a removal: what speaks for it is looked at again right before each unit goes, and after every pause."""

from __future__ import annotations

from collections.abc import Callable

from hsm.process.clock import read_clock

MOST_SECONDS = 30.0
"""A look is good for so long: far shorter than the minutes after which another process takes a lock for dead."""

_MOST_LOOKS = 3


class RemovalWatch:
    """Knows when the locks and the copies were last looked at. Used by one thread.

    A process that sleeps (a suspended laptop, SIGSTOP, a debugger) does not know it; the clock that goes on meanwhile
    tells. What lies between the reading of the clock and the call that removes one file cannot be seen by anybody.

    Args:
        look: Looks at locks and copies; raises where something is not as it was.
        clock: Seconds, sleep included.
    """

    def __init__(self, look: Callable[[], None], clock: Callable[[], float] = read_clock) -> None:
        self._look = look
        self._clock = clock
        self._seen_at = float("-inf")

    def look(self) -> None:
        """Look now; a look in which too much time went by is taken again.

        Raises:
            KeptError: What is at a target, or here, is not as it was.
            HsmError: A lock was lost, or a target is out of reach.
        """
        for _ in range(_MOST_LOOKS):
            begun_at = self._clock()
            self._look()
            self._seen_at = begun_at
            if self.is_fresh():
                return
        self._seen_at = self._clock()  # so slow is the target itself

    def is_fresh(self) -> bool:
        """Tell whether the last look is good still."""
        return self._clock() - self._seen_at <= MOST_SECONDS

    def keep_fresh(self) -> None:
        """Look again if the last look is too long ago. Called right before each step that cannot be undone.

        Raises:
            KeptError: As `look`.
            HsmError: As `look`.
        """
        if not self.is_fresh():
            self.look()
