"""The one tree of exceptions, each with the exit code and the kind that the program reports.

An exception says that the whole call cannot go on. What concerns one file or one run is a
`hsm.model.Problem` in the result instead, and the rest goes on.

Code that decides catches a class. The kind is finer, is made for scripts, and is never compared: an unknown class is
an error at once, a mistyped kind never is.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self


class ExitCode(IntEnum):
    """Meanings of the program's exit status."""

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
        hint: The next thing to do, where possible a command to type; may be empty.
        kind: A short stable word for scripts (`error.kind` in the JSON document); where none is given, the class's.
        detail: Raw lines of the program that failed, printed under `-v`; never a secret.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE
    kind: str = "error"

    def __init__(self, message: str, *, hint: str = "", kind: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.kind = kind or self.kind
        self.detail = detail

    def reword(self, message: str, *, hint: str) -> Self:
        """Make the same error in other words: class, kind and detail stay."""
        return type(self)(message, hint=hint, kind=self.kind, detail=self.detail)


class UsageError(HsmError):
    """The command line asks for something that does not exist or does not go together."""


class SweepWordError(UsageError):
    """A word means no sweep, or several.

    Attributes:
        word: As typed; empty where it does not matter.
        choices: Words that may have been meant.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        kind: str = "",
        detail: str = "",
        word: str = "",
        choices: Sequence[str] = (),
    ) -> None:
        super().__init__(message, hint=hint, kind=kind, detail=detail)
        self.word = word
        self.choices = tuple(choices)

    def reword(self, message: str, *, hint: str) -> Self:
        """Make the same error in other words."""
        return type(self)(message, hint=hint, kind=self.kind, detail=self.detail, word=self.word, choices=self.choices)


class AmbiguousSweepError(SweepWordError):
    """A word means several sweeps."""

    kind = "ambiguous_sweep"


class UnknownSweepError(SweepWordError):
    """A word means no sweep there."""

    kind = "unknown_sweep"


class UntoldSweepError(UnknownSweepError):
    """A word means no sweep there, and might mean that of a run whose log is not there."""

    exit_code = ExitCode.PARTIAL
    kind = "not_a_log"


class ConfigError(HsmError):
    """The configuration is missing or wrong; the message lists every problem of the file."""


class NoConfigError(ConfigError):
    """Neither the folder nor one above it holds a configuration."""

    kind = "no_config"


class UnreachableError(HsmError):
    """A target cannot be reached or refuses the login; other targets go on."""

    exit_code = ExitCode.UNREACHABLE


class NoSshError(UnreachableError):
    """This machine has no ssh."""

    kind = "ssh_missing"


class UnexplainedError(UnreachableError):
    """ssh gave up and said nothing that HSM knows."""

    kind = "unreachable"


class JumpFailedError(UnreachableError):
    """The way through a jump host ended before the target answered."""

    kind = "jump_failed"


class PassingError(UnreachableError):
    """The link is away, which may pass by itself once a connection has stood."""


class HostUnknownError(PassingError):
    """The target's name does not resolve."""

    kind = "host_unknown"


class NoAnswerError(PassingError):
    """Nothing answers at the target's port."""


class ConnectionDroppedError(PassingError):
    """The connection broke, or a server that throttles closed it; may pass at the first contact too."""

    kind = "connection_dropped"


class SessionsRefusedError(PassingError):
    """The server allows no further session over the login; may pass at the first contact too."""

    kind = "sessions_refused"


class LoginRefusedError(UnreachableError):
    """A person has to put something right; a server may ban whoever tries again and again."""

    kind = "login_refused"


class BadSshConfigError(LoginRefusedError):
    """ssh does not accept its configuration."""

    kind = "bad_ssh_configuration"


class NotSshError(LoginRefusedError):
    """The server that answers speaks no SSH, or none that both ends know."""


class HostKeyError(LoginRefusedError):
    """The target's host key is not one to trust."""


class UnknownHostKeyError(HostKeyError):
    """The host key is stored nowhere here."""

    kind = "host_key_unknown"


class ChangedHostKeyError(HostKeyError):
    """Another host key is stored than the one that is offered."""

    kind = "host_key_changed"


class LockedError(HsmError):
    """Someone else is working on the same sweep at the same target."""

    exit_code = ExitCode.LOCKED


class LockLostError(LockedError):
    """The lock at the target was ours and is no more: this process slept, or somebody broke it."""

    kind = "lock_lost"


class RefusedError(HsmError):
    """A safety check refused the plan; nothing was sent."""

    exit_code = ExitCode.REFUSED


class TargetError(HsmError):
    """The target answers, but the work cannot be done there (no rsync, no permission, no space)."""

    exit_code = ExitCode.PARTIAL


class SamePlaceError(TargetError):
    """The target is this very project, or the same place as another target, by another name."""

    kind = "same_place"


class NoShellError(TargetError):
    """The target's shell runs no commands, or prints text of its own before they can speak."""

    kind = "noisy_shell"


class NoRsyncError(TargetError):
    """An end has no rsync that can be used; SFTP can carry the files."""

    kind = "rsync_missing"


class NoRsyncHereError(NoRsyncError):
    """This machine has no rsync."""

    kind = "rsync_missing_here"


class UnwritableError(TargetError):
    """HSM cannot write its own files at the target."""

    kind = "cannot_make_folder"


class WorkspaceGoneError(TargetError):
    """The folder in which files are written before they take their names was removed while it was in use."""

    kind = "workspace_gone"


class DiskError(TargetError):
    """A file system is full, read-only or failing: further files would fail as well."""


class NoSpaceError(DiskError):
    """The disk is full."""

    kind = "no_space"


class NoInodesError(DiskError):
    """The file system has no room for further files, or for their names."""

    kind = "no_inodes"


class DamagedScoresError(TargetError):
    """A database of scores is damaged."""

    kind = "damaged_scores"
