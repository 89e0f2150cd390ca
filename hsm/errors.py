"""The one tree of exceptions, each with the exit code and the kind that the program reports.

An exception says that the whole call cannot go on. What concerns one file or one run is a
`hsm.model.Problem` in the result instead, and the rest goes on.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the program's exit status means."""

    DONE = 0
    PARTIAL = 1
    USAGE = 2
    BUG = 3
    UNREACHABLE = 10
    LOCKED = 11
    REFUSED = 12
    INTERRUPTED = 130


class HsmError(Exception):
    """The call cannot go on.

    Attributes:
        message: One sentence that says what is wrong and with what.
        hint: What to do next, where possible a command to type; may be empty.
        kind: A short stable word for scripts (`error.kind` in the JSON document).
        detail: Raw lines of the program that failed, shown under `-v`; never a secret.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str = "", kind: str = "error", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind
        self.detail = detail


class UsageError(HsmError):
    """The command line asks for something that does not exist or does not go together."""


class ConfigError(HsmError):
    """The configuration is missing or wrong; the message lists every problem of the file."""


class UnreachableError(HsmError):
    """A target cannot be reached or refuses the login; other targets go on."""

    exit_code = ExitCode.UNREACHABLE


class LockedError(HsmError):
    """Someone else is working on the same sweep at the same target."""

    exit_code = ExitCode.LOCKED


class RefusedError(HsmError):
    """A safety check refused the plan; nothing was sent."""

    exit_code = ExitCode.REFUSED


class TargetError(HsmError):
    """The target answers, but the work cannot be done there (no rsync, no permission, no space)."""

    exit_code = ExitCode.PARTIAL
