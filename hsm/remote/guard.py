"""Contract of a guard: HSM's own files at a destination, which are the lock, the temporary folders and the receipts.

`hsm.remote.shell_programs.guard.ShellGuard` and `hsm.remote.sftp.guard.SftpGuard` implement it;
`tests/contract/test_guard.py` holds both to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hsm.errors import UnwritableError
from hsm.plan.disk.file_system import FileSystem


@dataclass(frozen=True, slots=True)
class GuardPlaces:
    """Absolute paths of HSM's own files at a destination.

    Attributes:
        folder: For the lock and the receipts.
        temporary: Folders that `take` empties and `release` removes. Files are written in a folder of the holder's own
            in each of them, which is named by its nonce.
    """

    folder: str
    temporary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LockTaken:
    """The lock is ours.

    Attributes:
        receipts: The checksum of every receipt there, by file name.
        replaced: The nonces of holders that left files which they had replaced (`get_replaced_folder`).
        mounts: Mount points below the folders that hold the temporary ones, as far as the system there tells.
        file_systems: Of the folders that were to be measured; one in which nothing could be made is missing.
    """

    receipts: Mapping[str, str] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    mounts: frozenset[str] = field(default=frozenset(), compare=False)
    file_systems: Mapping[str, FileSystem] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class UnseenReplaced:
    """Files that were replaced since the lock was taken lie in the holder's own folder, and nobody has looked at them.

    The lock is still ours, nothing was written.
    """


@dataclass(frozen=True, slots=True)
class LockHeld:
    """Another process has the lock.

    Attributes:
        content: The content of the lock file.
        checksum: Of that content, as `stale` of `Guard.take` wants it.
        is_fresh: The lock or one of HSM's own files there is younger than the limit, by the destination's clock; or
            that clock differs so much from the one of its disk that no age can be told.
    """

    content: bytes
    checksum: str
    is_fresh: bool


@dataclass(frozen=True, slots=True)
class ReplacedFile:
    """A file that a holder of the lock has replaced, and keeps.

    Attributes:
        path: Where it is kept, absolute.
        size: Bytes.
        mtime_ns: As a survey shows it there.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """Knowledge of a holder about the files that it has replaced, when it gives the lock back.

    Attributes:
        has_looked: They were looked at, so they may go.
        keeps_some: Some of them are somebody else's and have no other name: they stay.
        expected: Nobody has looked; they may go if they are just these, and each has a successor.
    """

    has_looked: bool = True
    keeps_some: bool = False
    expected: tuple[ReplacedFile, ...] = ()


REPLACED_SEEN = Replaced()
"""Everything that was replaced, if anything was, has been looked at."""

REPLACED_SUFFIX = ".old"
"""Ends the name of a folder of files that a holder has replaced."""


def get_replaced_folder(temporary: str, nonce: str) -> str:
    """Return the folder beside a holder's own one in which files lie that it replaced.

    Not in it: what is written there is removed with the lock at any time, this only once it has been looked at.
    """
    return f"{temporary}/{nonce}{REPLACED_SUFFIX}"


class Guard(Protocol):
    """Takes and gives back the lock of one sweep at one destination.

    It writes only below the folders of its `GuardPlaces`, never through a symlink there. A connection that breaks
    leaves each step done or not done, so every call may be repeated.
    """

    @property
    def nonce(self) -> str:
        """The random word of this process that stands in the lock's content."""

    def take(
        self,
        content: bytes,
        *,
        minutes: int,
        stale: str | None = None,
        breaks: bool = False,
        measures: Sequence[str] = (),
    ) -> LockTaken | LockHeld:
        """Take the lock; with it, empty the temporary folders, and make one named by the nonce in each.

        What an earlier holder was writing has no folder any more, and never gets it again: a holder that slept, and
        lost its lock, cannot give its file a name. Folders of files that it replaced stay.

        A second call with the same content finds the lock taken. Files that a killed holder left beside the lock are
        removed.

        Args:
            content: For the lock file: one line of ASCII, its end included, that holds the nonce.
            minutes: A younger lock counts as a sign of life.
            stale: The checksum of a lock that may be taken over. Only that very lock is: else two processes that
                found the same stale lock would both win.
            breaks: Take over any lock.
            measures: Folders of our own, absolute, in which it is tried how their file systems behave
                (`hsm.remote.probe`), once the lock is ours: in the same round trip where there is a shell, in three
                for each over SFTP. It leaves nothing behind.

        Raises:
            UnwritableError: A folder or file of HSM's own cannot be made; the lock is not kept.
        """

    def release(
        self,
        receipt: tuple[str, bytes] | None,
        *,
        keeps_damaged: bool = False,
        drops: Collection[str] = (),
        has_looked: bool = False,
        expected: Collection[ReplacedFile] = (),
    ) -> LockTaken | UnseenReplaced | None:
        """Write the receipt, if any, give the lock back and remove the temporary folders.

        The receipt is on disk before it takes its name. A second call finds it written.

        Args:
            receipt: File name and content.
            keeps_damaged: Rename the receipt that is there to `NAME.damaged` first.
            drops: The nonces of holders whose replaced files are needed no more. Those of others stay.
            has_looked: What this holder has replaced was looked at, also where `drops` does not name it.
            expected: What it has replaced goes, too, if it is just this, and each file has a successor. A guard may
                leave this look to the caller.

        Returns:
            The receipts there; None when the lock was no longer ours: then nothing was written. With a receipt,
            `UnseenReplaced` where this holder has replaced files that nobody has looked at: nothing was done.

        Raises:
            UnwritableError: The receipt could not be written; the lock has been given back.
        """

    def is_held(self) -> bool:
        """Tell whether the lock is still ours. One round trip; changes nothing."""

    def put_back(self, moves: Sequence[tuple[str, str]]) -> frozenset[str]:
        """Give files that were replaced their names again, while the lock is ours.

        Args:
            moves: The path of each, and the one it had, both absolute and on one file system.

        Returns:
            The paths that have their file again.
        """

    def tidy(self) -> bool:
        """Empty the folders for temporary files, while the lock is ours; False where it is not.

        An rsync that lost its client unnoticed keeps its part when it ends, by renaming it over the one that another
        rsync may be continuing by then; without its temporary file it cannot.
        """


MakeGuard = Callable[[GuardPlaces, str], Guard]
"""Makes a guard of places at one destination, with a nonce."""


def make_unwritable_error(name: str, reason: str, *, detail: str) -> UnwritableError:
    """Make the error for own files that cannot be written at a target. Pure."""
    return UnwritableError(
        f"HSM's own files cannot be written at {name}: {reason}",
        hint="Check `paths` of the target, the permissions and the free space there.",
        detail=detail,
    )
