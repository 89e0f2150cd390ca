"""Logs of tasks: where they lie, and what their ends say. Pure."""

from __future__ import annotations

import re
from pathlib import Path

from hsm.prepared_sweep.folder import PreparedFolder

TAIL_BYTES = 4096
_N_LINES = 3
_MOST_LINE = 300
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+(?:[.:]\d+)*")
_PATHS = re.compile(r"(?:/[^\s'\":,()]+)+")


def get_log(folder: str, number: int, attempt: int, *, errors: bool = False) -> str:
    """Return the path of the output of a task's attempt, or of its standard error."""
    return f"{PreparedFolder(Path(folder)).logs}/task_{number}.{attempt}.{'err' if errors else 'out'}"


def parse_log_ends(tail: bytes) -> tuple[str, ...]:
    """Return the last lines that say something, without control characters; a bar that redraws itself is one line."""
    lines: list[str] = []
    for line in reversed(tail.decode("utf-8", "replace").splitlines()):
        text = "".join(char for char in line if char.isprintable()).strip()[:_MOST_LINE]
        if text:
            lines.append(text)
        if len(lines) == _N_LINES:
            break
    return tuple(reversed(lines))


def fold_line(line: str) -> str:
    """Return a line with its numbers and paths folded, so that errors of one kind are one."""
    return _NUMBERS.sub("N", _PATHS.sub("PATH", line))
