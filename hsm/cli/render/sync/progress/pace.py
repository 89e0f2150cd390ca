"""Speed of a transfer, and its time left: numbers that people can believe.

A bar that jumps back or a time left that leaps is taken for a lie about the rest as well.
"""

from __future__ import annotations

import math
from collections import deque

_RATE_SECONDS = 10.0
# What goes out first fills buffers on the way: 10 MB of a link of 4 MB/s, which would promise half the time.
_BURST_SECONDS = 2.0
# Before that a rate is a guess, and no time left is said.
_WARM_SECONDS = 5.0
_MOST_SETTLE_SECONDS = 8.0


class Rate:
    """Bytes a second over the last ten seconds; the first two count only until there is something better."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._begin: float | None = None

    def add(self, now: float, n_bytes: int) -> None:
        """Note how much has moved by now."""
        self._begin = now if self._begin is None else self._begin
        self._samples.append((now, n_bytes))
        is_warm = now - self._begin >= _WARM_SECONDS
        oldest = max(now - _RATE_SECONDS, self._begin + _BURST_SECONDS if is_warm else self._begin)
        while self._samples[0][0] < oldest and len(self._samples) > 2:
            self._samples.popleft()

    @property
    def bytes_per_second(self) -> float:
        """The rate; 0 while it is not known."""
        if len(self._samples) < 2:
            return 0.0
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - begin) if end > begin else 0.0


class Estimate:
    """Time left as it is shown: it counts down with the clock, and moves towards what the rate says.

    Each time it moves by a part of the difference, as quickly as a fifth of itself, in eight seconds at most. Nothing
    is said in the first five seconds, when the rate is a guess.
    """

    def __init__(self) -> None:
        self._begin: float | None = None
        self._at = 0.0
        self._seconds: float | None = None

    @property
    def seconds(self) -> float | None:
        """The time left; None while it is not known."""
        return self._seconds

    def take(self, now: float, rate: Rate, n_bytes_left: int) -> None:
        """Take what the rate says by now; a rate of 0 says nothing."""
        self._begin = now if self._begin is None else self._begin
        speed = rate.bytes_per_second
        if speed <= 0 or now - self._begin < _WARM_SECONDS:
            return
        said = n_bytes_left / speed
        if self._seconds is None:
            self._seconds = said
        else:
            passed = now - self._at
            # Far from the end a link that stutters must not turn minutes into hours; near it only the truth is of use.
            settle_seconds = max(0.5, min(_MOST_SETTLE_SECONDS, said / 5))
            expected = max(0.0, self._seconds - passed)
            self._seconds = expected + (said - expected) * (1 - math.exp(-passed / settle_seconds))
        self._at = now
