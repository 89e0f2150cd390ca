"""Clock that goes on while the machine sleeps."""

from __future__ import annotations

import time

# `time.monotonic` stands still in a suspended Linux, so that a laptop whose lid was closed for an hour would take what
# it saw an hour ago for new. macOS has no CLOCK_BOOTTIME; its CLOCK_MONOTONIC counts sleep (clock_gettime(3) there).
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_clock() -> float:
    """Read the seconds since the machine was started, sleep included; they never go back."""
    return time.clock_gettime(_CLOCK)
