"""Drawing in a terminal: where it can be done, without harm to the work that is shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def can_draw(stream: TextIO) -> bool:
    """Tell whether lines that were written to a stream can be drawn over: it is a terminal, and no dumb one."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@contextmanager
def never_raise() -> Iterator[None]:
    """Let nothing out but an interrupt: what cannot be shown must not end the work it is about."""
    try:
        yield
    except (Exception, SystemExit):  # rich ends the program where the stream is a closed pipe
        return
