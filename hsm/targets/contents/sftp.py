"""Whole files at a target that speaks SFTP alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.sftp.endpoint import open_file
from hsm.remote.sftp.replies import check_status
from hsm.remote.sftp.session import RequestBatch, SftpSession, Work
from hsm.remote.sftp.wire import (
    FSYNC,
    PacketType,
    SftpError,
    make_fsync,
    make_handle,
)
from hsm.targets.contents.contract import Sizes
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

    def flush(self, paths: Sequence[str]) -> None:
        """See `hsm.targets.contents.contract.Contents.flush`."""
        name = self._client.name
        self._client.use_sftp(lambda session, check: flush_by_sftp(session, paths, name=name, check=check))

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `hsm.targets.contents.contract.Contents.read_checksums`."""
        return dict(self._client.use_sftp(lambda session, check: read_sums(session, list(sizes), check=check)))


def flush_by_sftp(session: SftpSession, paths: Sequence[str], *, name: str, check: Callable[[], None]) -> None:
    """Have files written to the disk where no program may run, by OpenSSH's extension of SFTP.

    Source: OpenSSH's PROTOCOL, section 4.5, `fsync@openssh.com`.

    Raises:
        TargetError: The server does not know the extension, or a file cannot be flushed.
    """
    check_flush(session, name=name)
    failures: list[str] = []
    session.run([_flush_one(path, failures) for path in paths], check=check)
    if failures:
        raise make_flush_error(name, failures[0])


def check_flush(session: SftpSession, *, name: str) -> None:
    """Make sure that a server knows the extension of `flush_by_sftp`.

    Raises:
        TargetError: It does not.
    """
    if FSYNC not in session.extensions:
        raise make_flush_error(name, "the server does not offer fsync@openssh.com")


def _flush_one(path: str, failures: list[str]) -> Work:
    try:
        handle, _ = yield from open_file(path)
    except SftpError as error:
        failures.append(f"{path}: {error}")
        return
    replies = yield RequestBatch([make_fsync(handle, path), make_handle(PacketType.CLOSE, handle, path)])
    try:
        check_status(replies[0])
    except SftpError as error:
        failures.append(f"{path}: {error}")
