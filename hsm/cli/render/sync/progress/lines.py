"""Progress as lines: for log files, pipes and terminals that cannot draw."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import TextIO

from hsm.cli.render.sync.progress.milestones import Milestones, TargetProgress
from hsm.cli.render.words import escape_text
from hsm.progress import Event, WordUnderstood

Clock = Callable[[], float]


class LineReporter:
    """Writes a line for each milestone.

    Args:
        stream: Where to.
        clock: Seconds that never go back.
    """

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = threading.Lock()
        self._targets: dict[str, tuple[TargetProgress, Milestones]] = {}

    def report(self, event: Event) -> None:
        """See `hsm.progress.Reporter.report`."""
        # A log file on a full disk must not end the transfer.
        with contextlib.suppress(Exception), self._lock:
            if isinstance(event, WordUnderstood):
                write_line(self._stream, event.said)
                return
            progress, milestones = self._targets.setdefault(event.target, (TargetProgress(), Milestones()))
            progress.take(event)
            line = milestones.make_line(event, progress, self._clock())
            if line is not None:
                write_line(self._stream, line)


def write_line(stream: TextIO, line: str) -> None:
    """Write one line at once, escaped, and with an escape for what the stream's encoding lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = escape_text(line).encode(encoding, "backslashreplace").decode(encoding)
    stream.write(f"{text}\n")
    stream.flush()
