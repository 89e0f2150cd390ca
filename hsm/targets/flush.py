"""Having files at a target written to its disk, by whatever means work there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from hsm.errors import TargetError
from hsm.remote.sftp.endpoint import open_file
from hsm.remote.sftp.session import RequestBatch as SftpStep
from hsm.remote.sftp.session import SftpSession, Work
from hsm.remote.sftp.wire import FSYNC, PacketType, SftpError, check_status, make_fsync, make_handle
from hsm.remote.shell import RemoteShell

_FILES_AT_ONCE = 2000

# GNU's sync takes files and folders; others flush everything, whatever they are given (sync(1), sync(8) of BSD).
_PROGRAM = r"""
xargs -0 sh -c 'sync -- "$@" 2>/dev/null || sync' each && printf 'flushed\0'
"""


def flush_by_shell(shell: RemoteShell, paths: Iterable[str]) -> None:
    """Have files and the folders they lie in written to the disk, by programs there.

    Args:
        shell: Runs them.
        paths: Absolute paths of files.

    Raises:
        TargetError: It cannot be done there.
    """
    wanted = list_with_folders(paths)
    for start in range(0, len(wanted), _FILES_AT_ONCE):
        names = b"".join(os.fsencode(path) + b"\0" for path in wanted[start : start + _FILES_AT_ONCE])
        completed = shell.run(_PROGRAM, stdin=names)
        if not completed.stdout.endswith(b"flushed\0"):
            raise make_flush_error(shell.name, os.fsdecode(completed.stderr[-400:]))


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


def flush_here(paths: Iterable[str], *, name: str) -> None:
    """Write files of this machine, and the folders they lie in, to the disk.

    Raises:
        TargetError: One of them cannot be flushed.
    """
    for path in list_with_folders(paths):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise make_flush_error(name, f"{path}: {error.strerror}") from error


def list_with_folders(paths: Iterable[str]) -> list[str]:
    """Files, then the folders that hold them, each once. Pure."""
    files = list(paths)
    return [*files, *sorted({path.rpartition("/")[0] or "/" for path in files})]


def make_flush_error(name: str, reason: str) -> TargetError:
    """The error that says why a target's copies do not count."""
    return TargetError(
        f"{name} cannot be asked to write its files to the disk, so what lies there does not count.",
        hint="Name another target with --target.",
        kind="cannot_flush",
        detail=reason,
    )


def _flush_one(path: str, failures: list[str]) -> Work:
    try:
        handle, _ = yield from open_file(path)
    except SftpError as error:
        failures.append(f"{path}: {error}")
        return
    replies = yield SftpStep([make_fsync(handle, path), make_handle(PacketType.CLOSE, handle, path)])
    try:
        check_status(replies[0])
    except SftpError as error:
        failures.append(f"{path}: {error}")
