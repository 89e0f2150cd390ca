"""One batch over SFTP, in either direction: what it needs, and what is counted while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hsm.config.settings import ReceiveMode
from hsm.errors import DiskError, HsmError, WorkspaceGoneError
from hsm.model import Root, SourceFile
from hsm.remote.sftp.listing import NANOSECONDS
from hsm.remote.sftp.session import RequestBatch, SftpSession, SftpSessions
from hsm.remote.sftp.wire import Reply
from hsm.remote.shell import RemoteShell
from hsm.transfer.base import Batch, BatchEnd, OnMoved
from hsm.transfer.sftp.checksums import sum_here, sum_there
from hsm.transfer.sftp.parts import PartKey, PartMemory

CHUNKS_UNDER_WAY = 64
"""Of one file: 2 MiB, as much as OpenSSH takes of one channel in one round trip."""

CHUNKS_PER_STEP = 8

_REPORT_SECONDS = 0.1
_REPORT_BYTES = 1024 * 1024

Talk = Generator[RequestBatch, list[Reply], Any]
"""A part of a piece of work: yields requests as `hsm.remote.sftp.session.Work` does, and may return something."""


class SftpClient(SftpSessions, RemoteShell, Protocol):
    """The client of a remote end that serves SFTP; `hsm.remote.paramiko.client.ParamikoClient` is one."""

    @property
    def can_run(self) -> bool:
        """True where programs may be run."""


@dataclass(frozen=True, slots=True)
class BatchSetup:
    """Everything that the batches of one engine share.

    Attributes:
        client: Of the remote end.
        roots: The destination's folders, real paths.
        workspace: Below each root, the folder for files under way (`hsm.transfer.base.make_workspace`).
        check: Raises what ends the work early.
        update_only: Skip files that are newer at the destination, or the same.
        receive_mode: As the target's option says.
        parts: Of large files; they outlive a broken connection.
    """

    client: SftpClient
    roots: Mapping[Root, str]
    workspace: str
    check: Callable[[], None]
    update_only: bool = False
    receive_mode: ReceiveMode = "private"
    parts: PartMemory = field(default_factory=PartMemory)

    def count_certain_bytes(self, key: PartKey, here: str, there: str, n_part: int) -> int:
        """Tell how much of a part that was found is certainly the beginning of the file.

        Either this process has seen it arrive, from the same source, or both ends have the same checksum of it. A new
        process at a target without commands has neither, and reading the part back costs what sending it costs.

        Args:
            key: Of the file and its source.
            here: The file, or the part, on this machine.
            there: The other one, at the remote end.
            n_part: Bytes of the part, not more than the file has.

        Returns:
            A number of bytes to continue from; 0 to begin anew.
        """
        known = self.parts.count(key)
        if known is not None:
            return min(n_part, known)
        if not n_part or not self.client.can_run:
            return 0
        sums = sum_there(self.client, [there], n_bytes=n_part)
        if not sums or not sums[0][1]:
            return 0
        method, digest = sums[0]
        return n_part if sum_here(here, method, n_bytes=n_part, check=self.check) == digest else 0


class BatchTally:
    """Counts of what arrived and what failed. Used by one thread."""

    def __init__(self, on_moved: OnMoved) -> None:
        self._on_moved = on_moved
        self._n_bytes = 0
        self._reported_at = 0.0
        self._n_reported = 0
        self._sent: set[str] = set()
        self._complaints: dict[str, str] = {}
        self._error: HsmError | None = None
        self._strangers: set[str] = set()

    @property
    def is_hopeless(self) -> bool:
        """True after an error that the other files would meet too."""
        return isinstance(self._error, DiskError | WorkspaceGoneError)

    def move(self, n_bytes: int) -> None:
        """Count bytes that have arrived."""
        self._n_bytes += n_bytes
        now = time.monotonic()
        if now - self._reported_at > _REPORT_SECONDS or self._n_bytes - self._n_reported >= _REPORT_BYTES:
            self._reported_at, self._n_reported = now, self._n_bytes
            self._on_moved(self._n_bytes, len(self._sent))

    def end_file(self, file: SourceFile) -> None:
        """Count a file that is at the destination."""
        self._sent.add(file.path)

    def fail(self, file: SourceFile, error: HsmError) -> None:
        """Note the error of a file; one that the others would meet too counts for the batch."""
        self._complaints[file.path] = error.detail or error.message
        if self._error is None or isinstance(error, DiskError | WorkspaceGoneError):
            self._error = error

    def leave(self, file: SourceFile) -> None:
        """Note a file whose name is taken by what the check did not see."""
        self._strangers.add(file.path)

    def make_end(self, failure: HsmError | None = None) -> BatchEnd:
        """Make the end of the batch; `failure` is the error that ended it early."""
        self._on_moved(self._n_bytes, len(self._sent))
        error = failure or self._error
        return BatchEnd(
            error is None, frozenset(self._sent), self._complaints or None, error, frozenset(self._strangers)
        )


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One batch to be carried over one session.

    Attributes:
        session: To the remote end.
        setup: Of the engine.
        batch: The files.
        tally: Takes what arrives and what fails.
    """

    session: SftpSession
    setup: BatchSetup
    batch: Batch
    tally: BatchTally

    @property
    def root(self) -> str:
        """The destination's folder, without a slash at its end."""
        return self.setup.roots[self.batch.root].rstrip("/")

    @property
    def temporary(self) -> str:
        """The destination's folder for files under way."""
        return f"{self.root}/{self.batch.get_workspace(self.setup.workspace)}"


def is_up_to_date(file: SourceFile, size: int, mtime: int) -> bool:
    """Tell whether a file at the destination is newer than the source's, or the same (rsync's `--update`)."""
    seconds = file.mtime_ns // NANOSECONDS
    return mtime > seconds or (mtime == seconds and size == file.size)


def choose_time(file: SourceFile, size: int, mtime: int) -> int:
    """Choose the time of a file that was read at whole seconds: with the digits that the plan knows, in nanoseconds."""
    if size == file.size and mtime == file.mtime_ns // NANOSECONDS:
        return file.mtime_ns
    return mtime * NANOSECONDS
