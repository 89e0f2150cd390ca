"""Diagnosis of refused SFTP requests and of errors of this machine's own files: the errors that rsync's complaints get.

Version 3 of the protocol answers "failure" to a full disk, a quota and much else, so the room on the file system is
asked for afterwards. Pure.
"""

from __future__ import annotations

import errno
import os

from hsm.errors import HsmError, TargetError
from hsm.remote.sftp.replies import Room
from hsm.remote.sftp.wire import Code, SftpError
from hsm.transfer.base import TEMPORARY_FOLDER, make_workspace_gone_error
from hsm.transfer.complaints import NO_INODES, NO_PERMISSION, NO_SPACE, READ_ONLY, explain_number

_IN_THE_WAY = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EEXIST})


class BlockedError(Exception):
    """Something of another type stands in the place of a file or a folder. Its text is the path."""


def diagnose_sftp(error: SftpError, *, name: str, room: Room | None, n_bytes: int, writes: bool) -> HsmError:
    """Turn a refused request into an error that names the next command.

    Args:
        error: As the server gave it.
        name: The target's name.
        room: On the file system there, asked for afterwards; None where unknown.
        n_bytes: The bytes that were to be written.
        writes: A file was to be written there.
    """
    if error.code == Code.NO_SUCH_FILE and writes and TEMPORARY_FOLDER in error.path:
        return make_workspace_gone_error(f"at {name}", detail=str(error))
    found = make_vanished() if error.code == Code.NO_SUCH_FILE and not writes else None
    found = found or _explain(error, f"at {name}", room if writes else None, n_bytes)
    if found is None:
        found = TargetError(
            f"The SFTP server of {name} refuses to {'write' if writes else 'read'} a file and gives no reason: "
            f"{error.text or error.code}.",
            hint="A quota may be used up there, or something of another type be in the way. Look at the paths that "
            "are named.",
            kind="sftp_failed",
        )
    found.detail = str(error)
    return found


def _explain(error: SftpError, at: str, room: Room | None, n_bytes: int) -> TargetError | None:
    if room is not None and room.is_read_only:
        return READ_ONLY.make_error(at)
    if error.code == Code.PERMISSION_DENIED:
        return NO_PERMISSION.make_error(at)
    if room is not None and room.n_inodes and not room.n_free_inodes:
        return NO_INODES.make_error(at)
    if room is not None and room.n_blocks and room.n_free * room.block_bytes <= n_bytes:
        return NO_SPACE.make_error(at)
    return None


def diagnose_here(error: OSError, *, is_making: bool = False) -> HsmError:
    """Turn an error of this machine's own files into an error that names the next command.

    Args:
        error: As it came.
        is_making: A file or folder was to be made.
    """
    number = error.errno or 0
    if number == errno.ENOENT and TEMPORARY_FOLDER in os.fsdecode(error.filename or ""):
        return make_workspace_gone_error("on this machine", detail=str(error))
    found = (
        make_vanished() if number == errno.ENOENT else explain_number(number, "on this machine", is_making=is_making)
    )
    if number in _IN_THE_WAY:
        found = make_blocked("on this machine")
    if found is None:
        found = TargetError(
            f"A file on this machine cannot be read or written: {error.strerror or error}.",
            hint="Look at the paths that are named, then run the same command again.",
            kind="copy_failed",
        )
    found.detail = str(error)
    return found


def make_vanished() -> TargetError:
    """Make the error for a file that is not there any more."""
    return TargetError("A file vanished while it was sent.", hint="Run the same command again.", kind="vanished")


def make_blocked(at: str, path: str = "") -> TargetError:
    """Make the error for something of another type in the way, at a place such as `at desktop`."""
    return TargetError(
        f"Something of another type is in the way of a file {at}.",
        hint="Move it away there, then run the same command again.",
        kind="type_conflict",
        detail=f"{path} is of another type" if path else "",
    )
