"""What rsync's exit codes and complaints mean. Pure.

Exit codes: rsync's `errcode.h`; complaints: `strerror` texts in the C locale.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hsm.errors import HsmError, TargetError, UnreachableError
from hsm.model import SourceFile

_CONNECTION_CODES = frozenset({10, 12, 30, 35, 255})
_COMPLAINTS: tuple[tuple[str, str, str, str], ...] = (
    ("noisy_shell", r"is your shell clean", "The shell at {name} prints text before rsync can speak.",
     "Silence its start-up files for sessions without a terminal; `{ssh} true` must print nothing."),
    ("rsync_missing", r"command not found|rsync: not found|Unknown command|failed to exec",
     "There is no rsync at {name}.", "Install it there, or name it with `rsync_path`."),
    ("no_space", r"No space left on device \(28\)", "The disk at {name} is full.",
     "Free some space there, then run the same command again."),
    ("quota", r"Disk quota exceeded \(122\)", "Your quota at {name} is used up.",
     "Free some space or files there, then run the same command again."),
    ("read_only", r"Read-only file system \(30\)", "The file system at {name} is read-only.",
     "Choose other `paths`, or have it mounted for writing."),
    ("no_permission", r"Permission denied \(13\)|Operation not permitted \(1\)",
     "Permission is missing for a file or folder at {name} or here.",
     "Look at the paths below and their permissions."),
    ("vanished", r"has vanished|file has vanished", "A file vanished while it was sent.",
     "Run the same command again."),
)  # fmt: skip
_QUOTED_PATH = re.compile(r'"(?P<path>[^"]+)"')


def diagnose_rsync(returncode: int, text: str, *, name: str, ssh_command: str) -> HsmError:
    """Turn rsync's end into an error that names the next command.

    Args:
        returncode: Not 0.
        text: Its standard error.
        name: The target's name.
        ssh_command: How a person reaches the target.
    """
    detail = "\n".join(text.strip().splitlines()[-10:])
    for kind, expression, message, hint in _COMPLAINTS:
        if re.search(expression, text):
            words = {"name": name, "ssh": ssh_command}
            return TargetError(message.format(**words), hint=hint.format(**words), kind=kind, detail=detail)
    if returncode == 127:
        return TargetError(
            f"There is no rsync at {name}.",
            hint="Install it there, or name it with `rsync_path`.",
            kind="rsync_missing",
            detail=detail,
        )
    if returncode in _CONNECTION_CODES or returncode < 0:
        return UnreachableError(
            f"The connection to {name} broke while files were sent.",
            hint="Run the same command again: it goes on where it stopped.",
            kind="connection_dropped",
            detail=detail,
        )
    last = detail.splitlines()[-1] if detail else "it printed nothing"
    return TargetError(
        f"rsync to {name} ended with code {returncode}: {last}",
        hint="Run the same command again; with -v it shows what rsync said.",
        kind="rsync_failed",
        detail=detail,
    )


def find_complaints(text: str, files: Sequence[SourceFile]) -> dict[str, str]:
    """Assign rsync's complaints to the files that they name, by destination path.

    rsync quotes a path of the source, of the destination, or of its temporary file (`.name.XXXXXX`).
    """
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(file.path.rpartition("/")[2], []).append(file.path)
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _QUOTED_PATH.search(line)
        if match is None:
            continue
        quoted = match["path"]
        name = quoted.rpartition("/")[2]
        candidates = by_name.get(name) or by_name.get(re.sub(r"^\.(.*)\.\w{6}$", r"\1", name), [])
        for path in candidates:
            if len(candidates) == 1 or quoted.endswith(path):
                found.setdefault(path, line.partition(": ")[2] or line)
    return found
