"""The folder of control sockets: short, since a socket's path ends at 104 bytes, and this user's alone."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from hsm.errors import UnreachableError


def make_control_folder() -> Path:
    """Make it if need be, and check whose it is.

    Raises:
        UnreachableError: Someone else owns it or may write to it.
    """
    folder = Path(f"/tmp/hsm-{os.getuid()}")  # noqa: S108 - owner and mode are checked below
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    is_private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o077 == 0
    if not is_private or status.st_uid != os.getuid():
        raise UnreachableError(
            f"{folder} must be a folder that belongs to you and that nobody else may enter.",
            hint=f"Remove it (`rm -r {folder}`), or ask the machine's administrator to.",
            kind="control_folder",
        )
    return folder
