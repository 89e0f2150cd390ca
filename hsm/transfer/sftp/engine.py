"""The SFTP engine: for targets and machines without rsync or ssh, in either direction."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence

from hsm.config.settings import ReceiveMode
from hsm.errors import HsmError
from hsm.model import EntryKind, Root
from hsm.plan.disk.file_system import SECOND_NS
from hsm.process.runner import Runner
from hsm.remote.sessions import MAX_SESSIONS
from hsm.remote.sftp.listing import get_kind, join
from hsm.remote.sftp.replies import parse_attributes
from hsm.remote.sftp.session import RequestBatch, SftpSession, Work
from hsm.remote.sftp.wire import Code, PacketType, SftpError, make_path
from hsm.transfer.base import Batch, BatchEnd, Capabilities, Comparison, OnMoved
from hsm.transfer.sftp.batch import BatchJob, BatchSetup, BatchTally, SftpClient
from hsm.transfer.sftp.checksums import READ_METHOD, read_sums, sum_here, sum_there
from hsm.transfer.sftp.diagnosis import diagnose_here, diagnose_sftp
from hsm.transfer.sftp.pull import PullBatch
from hsm.transfer.sftp.push import PushBatch
from hsm.transfer.sftp.remote_files import PATHS_PER_STEP

CAPABILITIES = Capabilities("sftp", resumes=True, sends_deltas=False, max_workers=MAX_SESSIONS)
"""Of every SFTP engine that sends."""


class SftpEngine:
    """Implements `hsm.transfer.base.Engine` with SFTP: every call of `send` has a channel of the one connection.

    It differs from the contract in one point: large files are not written in HSM's temporary folder, but where rsync
    keeps its parts (`PARTIAL_FOLDER`), so that they can be continued.

    Args:
        client: Of the remote end.
        runner: Interrupts what runs here too.
        roots: The destination's folders, real paths.
        workspace: Below each root, the folder for files under way (`hsm.transfer.base.make_workspace`).
        pulls: The source is the remote end.
        update_only: Skip files that are newer at the destination, or have the same size and time there.
        receive_mode: As the target's option says.
    """

    def __init__(
        self,
        client: SftpClient,
        runner: Runner,
        roots: Mapping[Root, str],
        *,
        workspace: str,
        pulls: bool = False,
        update_only: bool = False,
        receive_mode: ReceiveMode = "private",
    ) -> None:
        self._runner = runner.make_child()
        self._client = client
        self._pulls = pulls
        self._setup = BatchSetup(client, roots, workspace, self._check, update_only, receive_mode)

    @property
    def capabilities(self) -> Capabilities:
        """See `hsm.transfer.base.Engine.capabilities`."""
        return CAPABILITIES

    @property
    def time_step_ns(self) -> int:
        """See `hsm.transfer.base.Engine.time_step_ns`."""
        # What is fetched keeps the digits that its listing told (`choose_time`).
        return 1 if self._pulls else SECOND_NS

    def send(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        """See `hsm.transfer.base.Engine.send`."""
        self._check()
        tally = BatchTally(on_moved)
        make = PullBatch if self._pulls else PushBatch
        try:
            with self._client.open_sftp() as session:
                make(BatchJob(session, self._setup, batch, tally)).run()
        except HsmError as failure:
            return tally.make_end(failure)
        return tally.make_end()

    def compare(self, batch: Batch) -> Comparison:
        """See `hsm.transfer.base.Engine.compare`; by a program there where one may run, else by reading back."""
        root = self._setup.roots[batch.root]
        sizes = self._read_sizes([join(root, file.path) for file in batch.files])
        missing = {file.path for file, size in zip(batch.files, sizes, strict=True) if size is None}
        different = {file.path for file, size in zip(batch.files, sizes, strict=True) if size not in (None, file.size)}
        rest = [file for file in batch.files if file.path not in missing | different]
        sources = [join(file.prefix, file.path) for file in rest]
        copies = [join(root, file.path) for file in rest]
        here, there = (copies, sources) if self._pulls else (sources, copies)
        sums = self._sum_there(there)
        for file, path, (method, digest) in zip(rest, here, sums, strict=True):
            if not digest:
                error = SftpError(Code.FAILURE, "cannot be read", file.path)
                raise diagnose_sftp(error, name=self._client.name, room=None, n_bytes=0, writes=False)
            if not self._is_equal(path, method, digest):
                different.add(file.path)
        return Comparison(frozenset(different), frozenset(missing))

    def stop(self) -> None:
        """See `hsm.transfer.base.Engine.stop`."""
        self._runner.stop()

    def _check(self) -> None:
        """Raise CommandStoppedError once the user has interrupted."""
        self._runner.sleep(0)

    def _is_equal(self, path: str, method: str, digest: str) -> bool:
        try:
            return sum_here(path, method, check=self._check) == digest
        except OSError as error:
            raise diagnose_here(error) from error

    def _read_sizes(self, paths: Sequence[str]) -> list[int | None]:
        """Read the sizes of files at the destination: None where nothing is, -1 for what is no file."""
        if self._pulls:
            return [_read_size_here(path) for path in paths]
        found: dict[str, int | None] = {}

        def read(session: SftpSession, check: Callable[[], None]) -> None:
            groups = range(0, len(paths), PATHS_PER_STEP)
            session.run([_read_sizes(paths[start : start + PATHS_PER_STEP], found) for start in groups], check=check)

        self._client.use_sftp(read)
        return [found[path] for path in paths]

    def _sum_there(self, paths: Sequence[str]) -> list[tuple[str, str]]:
        found = sum_there(self._client, paths) if paths and self._client.can_run else []
        if found or not paths:
            return found
        read = self._client.use_sftp(lambda session, check: read_sums(session, paths, check=check))
        return [(READ_METHOD, read.get(path, "")) for path in paths]


def _read_sizes(paths: Sequence[str], found: dict[str, int | None]) -> Work:
    replies = yield RequestBatch([make_path(PacketType.LSTAT, path) for path in paths])
    for reply in replies:
        try:
            attributes = parse_attributes(reply)
        except SftpError:
            found[reply.path] = None
        else:
            found[reply.path] = attributes.size if get_kind(attributes) is EntryKind.FILE else -1


def _read_size_here(path: str) -> int | None:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
