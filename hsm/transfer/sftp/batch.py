"""What sending one batch over SFTP keeps count of, in either direction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hsm.errors import DiskError, HsmError
from hsm.model import FileKey, Root, SourceFile
from hsm.remote.paramiko.client import ParamikoClient
from hsm.transfer.base import BatchEnd, OnMoved, get_temporary_folder
from hsm.transfer.sftp.checksums import sum_here, sum_there

PART_BYTES = 4 * 1024 * 1024
"""Files from this size on are written where a part of them stays when they are cut off."""

CHUNKS_UNDER_WAY = 64
"""Of one file: 2 MiB, as much as OpenSSH takes of one channel in one round trip."""

NANOSECONDS = 10**9
_REPORT_SECONDS = 0.1
_REPORT_BYTES = 1024 * 1024

Identity = tuple[int, int, int]
"""Size, time and inode of a file as it was read."""


@dataclass(slots=True)
class ArrivedPart:
    """What certainly has arrived of a large file under way.

    Attributes:
        identity: As what it was read.
        n_bytes: Of its beginning.
    """

    identity: Identity
    n_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BatchSetup:
    """What every batch of an engine shares.

    Attributes:
        client: Reaches the remote end.
        roots: The destination's folders, real paths.
        sweep: Whose files are sent.
        check: Raises what ends the work early.
        update_only: Leave what is newer at the destination, or the same.
        kept: Of large files; it outlives a broken connection.
    """

    client: ParamikoClient
    roots: Mapping[Root, str]
    sweep: str
    check: Callable[[], None]
    update_only: bool = False
    kept: dict[FileKey, ArrivedPart] = field(default_factory=dict)

    def get_temporary(self, root: Root) -> str:
        """Where files are written before they take their names."""
        return get_temporary_folder(self.roots[root], self.sweep)

    def count_kept(self, key: FileKey, identity: Identity, here: str, there: str, n_part: int) -> int:
        """Tell how much of a part that was found is certainly the beginning of the file.

        Either this process has seen it arrive, from the same source, or both ends have the same checksum of it.

        Args:
            key: Of the file.
            identity: As what it is read.
            here: The file, or the part, on this machine.
            there: The other one, at the remote end.
            n_part: Bytes of the part, not more than the file has.

        Returns:
            A number of bytes to go on from; 0 to begin anew.
        """
        known = self.kept.get(key)
        if known is not None and known.identity == identity:
            return min(n_part, known.n_bytes)
        if not n_part or not self.client.can_run:
            return 0
        sums = sum_there(self.client, [there], n_bytes=n_part)
        if not sums or not sums[0][1]:
            return 0
        method, digest = sums[0]
        return n_part if sum_here(here, method, n_bytes=n_part, check=self.check) == digest else 0


class BatchTally:
    """Counts what arrived and what failed. Used by one thread."""

    def __init__(self, on_moved: OnMoved) -> None:
        self._on_moved = on_moved
        self._n_bytes = 0
        self._reported_at = 0.0
        self._n_reported = 0
        self._sent: set[str] = set()
        self._complaints: dict[str, str] = {}
        self._error: HsmError | None = None

    @property
    def is_hopeless(self) -> bool:
        """Whether the other files would fail as well."""
        return isinstance(self._error, DiskError)

    def move(self, n_bytes: int) -> None:
        """So much has arrived."""
        self._n_bytes += n_bytes
        now = time.monotonic()
        if now - self._reported_at > _REPORT_SECONDS or self._n_bytes - self._n_reported >= _REPORT_BYTES:
            self._reported_at, self._n_reported = now, self._n_bytes
            self._on_moved(self._n_bytes, len(self._sent))

    def end_file(self, file: SourceFile) -> None:
        """A file is there."""
        self._sent.add(file.path)

    def fail(self, file: SourceFile, error: HsmError) -> None:
        """A file did not arrive."""
        self._complaints[file.path] = error.detail or error.message
        if self._error is None or isinstance(error, DiskError):
            self._error = error

    def make_end(self, failure: HsmError | None = None) -> BatchEnd:
        """How the batch ended; `failure` is what ended it early."""
        self._on_moved(self._n_bytes, len(self._sent))
        error = failure or self._error
        return BatchEnd(error is None, frozenset(self._sent), self._complaints or None, error)


def is_to_be_left(file: SourceFile, size: int, mtime: int) -> bool:
    """Whether a file at the destination is newer than the source's, or the same (rsync's `--update`)."""
    seconds = file.mtime_ns // NANOSECONDS
    return mtime > seconds or (mtime == seconds and size == file.size)


def choose_time(file: SourceFile, size: int, mtime: int) -> int:
    """The time of a file that was read at whole seconds, with the digits that the plan knows, in nanoseconds."""
    if size == file.size and mtime == file.mtime_ns // NANOSECONDS:
        return file.mtime_ns
    return mtime * NANOSECONDS


def choose_mode(source: int, there: int | None) -> int:
    """As rsync without `--perms`: what is replaced keeps its mode, what is new has the source's under the umask."""
    return (source if there is None else there) & 0o777 | 0o600
