"""Errors of the file system in words: what is wrong, whose it is, and what to do."""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path

_HINTS = {
    errno.ENOSPC: "Free some space on that disk, then run it again.",
    errno.EDQUOT: "Free some space or files there (a quota is used up), then run it again.",
    errno.EROFS: "It is mounted read-only: have it mounted for writing, or work in a copy of the project.",
    errno.EMFILE: "Allow more open files (`ulimit -n 1024`), then run it again.",
    errno.ENFILE: "This machine has too many files open: end some programs, then run it again.",
    errno.EFBIG: "Allow larger files (`ulimit -f unlimited`), then run it again.",
    errno.EAGAIN: "Allow more processes (`ulimit -u`), or end some, then run it again.",
    errno.ENOMEM: "Free some memory of this machine, then run it again.",
    errno.ENOENT: "See whether it was removed meanwhile, then run it again.",
    errno.ENOTDIR: "Move away the file that stands in the place of a folder.",
    errno.EISDIR: "Move away the folder that stands in the place of a file.",
    errno.ELOOP: "Remove the symlink that leads in a circle.",
}
_OTHER_HINT = "Look whether the disk and its mount are well (`df`, `ls`), then run it again."


def explain_os_error(error: OSError, path: Path | None = None) -> tuple[str, str]:
    """Say why something could not be done with a file.

    Args:
        error: As the system raised it.
        path: The file, where the error does not name it or names one beside it.

    Returns:
        The reason, in the system's words and, where access was denied, with who denies it; and what to do about it.
    """
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in (errno.EACCES, errno.EPERM):
        place = path or (Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None)
        denying = _find_denying(place) if place is not None else None
        return _explain_denied(reason, denying) if denying else (reason, "Check owners and modes with `ls -ld`.")
    return reason, _HINTS.get(error.errno or 0, _OTHER_HINT)


def find_owner(status: os.stat_result) -> str:
    """Return the name of the owner of a file."""
    try:
        return pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        return f"user {status.st_uid}"


def _explain_denied(reason: str, place: Path) -> tuple[str, str]:
    status = place.lstat()
    if status.st_uid == os.geteuid():
        return f"{reason}: {place} is yours, but its mode denies it", f"`chmod u+rwX {place}`, then run it again."
    owner = find_owner(status)
    if ".hsm" in place.parts:  # HSM writes each of its files for its user alone
        hint = f"HSM's records in a project are one user's: ask {owner} to do it, or work in a copy of your own."
    else:
        hint = f"Ask {owner} for access, or work in a copy of your own."
    return f"{reason}: {place} belongs to {owner}", hint


def _find_denying(path: Path) -> Path | None:
    """Find the folder above a file, or the file itself, that keeps this user out."""
    path = path.absolute()
    try:
        for folder in reversed(path.parents):
            if folder.exists() and not os.access(folder, os.X_OK):
                return folder
        if path.exists() and not os.access(path, os.R_OK):
            return path
        # What may be read is in the way of writing: the file, or the nearest folder, which makes its names.
        nearest = next(place for place in (path, *path.parents) if place.exists())
        return next((place for place in (nearest, nearest.parent) if not os.access(place, os.W_OK)), None)
    except OSError:
        return None
