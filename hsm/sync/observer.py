"""The observer of the work at one target: what happens is told, timed, and can be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hsm.progress import Reporter, StepStarted


class Stopwatch:
    """Adds up how long each step takes and tells the reporter which one begins."""

    def __init__(self, target: str, reporter: Reporter) -> None:
        self._target = target
        self._reporter = reporter
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside under `name`."""
        self._reporter.report(StepStarted(self._target, name))
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin


@dataclass(frozen=True, slots=True)
class Observer:
    """Everything that the work at a target is watched and stopped by.

    Attributes:
        reporter: Told what happens.
        stopwatch: Times the steps.
        sleep: Waits so many seconds; raises CommandStoppedError when the user interrupts.
    """

    reporter: Reporter
    stopwatch: Stopwatch
    sleep: Callable[[float], None]
