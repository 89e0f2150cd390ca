"""Whole files at a target that speaks SFTP alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.sftp.endpoint import open_file
from hsm.remote.sftp.replies import check_status, parse_handle
from hsm.remote.sftp.session import RequestBatch, SftpSession, Work
from hsm.remote.sftp.wire import (
    FSYNC,
    Open,
    PacketType,
    SftpError,
    make_fsync,
    make_handle,
    make_open,
    make_path,
)
from hsm.targets.contents.contract import Failures, Sizes
from hsm.targets.contents.flush import make_flush_error
from hsm.transfer.sftp.checksums import read_sums


class SftpContents:
    """Implements `hsm.targets.contents.contract.Contents` where no program may run: files are read back whole."""

    def __init__(self, client: ParamikoClient) -> None:
        self._client = client

    def check_flush(self) -> None:
        """See `hsm.targets.contents.contract.Contents.check_flush`."""
        name = self._client.name
        self._client.use_sftp(lambda session, _: check_flush(session, name=name))

    def flush(self, files: Sequence[str], folders: Sequence[str]) -> Failures:  # noqa: ARG002 - SFTP opens files alone
        """See `hsm.targets.contents.contract.Contents.flush`."""
        name = self._client.name
        return self._client.use_sftp(lambda session, check: flush_by_sftp(session, files, name=name, check=check))

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `hsm.targets.contents.contract.Contents.read_checksums`."""
        return dict(self._client.use_sftp(lambda session, check: read_sums(session, list(sizes), check=check)))

    def find_linked(self, paths: Sequence[str]) -> frozenset[str]:  # noqa: ARG002 - version 3 has neither inodes nor names
        """See `hsm.targets.contents.contract.Contents.find_linked`."""
        return frozenset()

    def make_marks(self, folders: Collection[str], name: str) -> Failures:
        """See `hsm.targets.contents.contract.Contents.make_marks`; what a killed call left stays."""

        def mark(session: SftpSession, check: Callable[[], None]) -> Failures:
            failures: Failures = {}
            session.run([_mark_one(folder, name, failures) for folder in folders], check=check)
            return failures

        return self._client.use_sftp(mark)

    def remove_marks(self, folders: Collection[str], name: str) -> None:
        """See `hsm.targets.contents.contract.Contents.remove_marks`."""

        def unmark(session: SftpSession, check: Callable[[], None]) -> None:
            session.run([_unmark_one(f"{folder}/{name}") for folder in folders], check=check)

        self._client.use_sftp(unmark)


def flush_by_sftp(session: SftpSession, paths: Sequence[str], *, name: str, check: Callable[[], None]) -> Failures:
    """Have files written to the disk where no program may run, by OpenSSH's extension of SFTP.

    Source: OpenSSH's PROTOCOL, section 4.5, `fsync@openssh.com`.

    Returns:
        What could not be flushed, with the server's words.

    Raises:
        TargetError: The server does not know the extension.
    """
    check_flush(session, name=name)
    failures: Failures = {}
    session.run([_flush_one(path, failures) for path in paths], check=check)
    return failures


def check_flush(session: SftpSession, *, name: str) -> None:
    """Make sure that a server knows the extension of `flush_by_sftp`.

    Raises:
        TargetError: It does not.
    """
    if FSYNC not in session.extensions:
        raise make_flush_error(name, "the server does not offer fsync@openssh.com")


def _flush_one(path: str, failures: Failures) -> Work:
    try:
        handle, _ = yield from open_file(path)
    except SftpError as error:
        failures[path] = str(error)
        return
    replies = yield RequestBatch([make_fsync(handle, path), make_handle(PacketType.CLOSE, handle, path)])
    try:
        check_status(replies[0])
    except SftpError as error:
        failures[path] = str(error)


def _mark_one(folder: str, name: str, failures: Failures) -> Work:
    path = f"{folder}/{name}"
    # Not exclusive: after a dropped connection it is asked for once more.
    (reply,) = yield RequestBatch([make_open(path, Open.WRITE | Open.CREATE)])
    try:
        handle = parse_handle(reply)
    except SftpError as error:
        failures[folder] = str(error)
        return
    yield RequestBatch([make_handle(PacketType.CLOSE, handle, path)])


def _unmark_one(path: str) -> Work:
    yield RequestBatch([make_path(PacketType.REMOVE, path)])
