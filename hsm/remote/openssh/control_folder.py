"""The folder of control sockets: short, since a socket's path ends at 104 bytes on macOS, and this user's alone."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from hsm.errors import UnreachableError


def make_control_folder() -> Path | None:
    """Make it if need be, and check its owner and mode.

    Returns:
        The folder; None where it cannot be made, as on a read-only disk.

    Raises:
        UnreachableError: Someone else owns it or may write to it.
    """
    # Not TMPDIR: that of macOS is so long that a socket's path, with the 17 characters that ssh appends, passes 104
    # bytes.
    folder = Path(f"/tmp/hsm-{os.getuid()}")  # noqa: S108 - owner and mode are checked below
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError:
        return None
    status = folder.lstat()  # not what a symlink of another user leads to
    is_private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o077 == 0
    if not is_private or status.st_uid != os.getuid():
        raise UnreachableError(
            f"{folder} must be a folder that belongs to you and that nobody else may enter.",
            hint=f"Remove it (`rm -r {folder}`), or ask the machine's administrator to.",
            kind="control_folder",
        )
    return folder


def find_control_folder() -> Path | None:
    """Return the folder if it is there and this user's alone; None otherwise."""
    folder = Path(f"/tmp/hsm-{os.getuid()}")  # noqa: S108 - as above
    try:
        status = folder.lstat()
    except OSError:
        return None
    is_private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) & 0o077 == 0
    return folder if is_private and status.st_uid == os.getuid() else None


def can_hold_sockets(folder: Path) -> bool:
    """Try whether sockets can be made in a folder: not on a disk that is full, read-only or knows none."""
    import socket  # noqa: PLC0415 - only before a login

    path = folder / f"probe-{secrets.token_hex(4)}"
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(path))
        except OSError:
            return False
    path.unlink(missing_ok=True)
    return True
