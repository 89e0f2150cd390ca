"""An older rsync of Debian's archive, unpacked into a folder and never installed."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

OLD_VERSION = "3.2.7"
_PACKAGE = "rsync=3.2.7-1+deb12u6"
_SECONDS = 60


class NoOldRsyncError(Exception):
    """It cannot be had here; the text says why."""


def get_old_rsync(folder: Path) -> Path:
    """Return the program, fetched once for all that name the same folder.

    Raises:
        NoOldRsyncError: Another system, no network, or the archive no longer has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program, failure = folder / "usr/bin/rsync", folder / "failure"
        if failure.exists():
            raise NoOldRsyncError(failure.read_text())
        if not program.exists():
            try:
                _fetch(folder, program)
            except (NoOldRsyncError, subprocess.SubprocessError, OSError) as error:
                failure.write_text(f"rsync {OLD_VERSION} cannot be had here: {error}")
                raise NoOldRsyncError(failure.read_text()) from error
    return program


def _fetch(folder: Path, program: Path) -> None:
    for needed in ("apt-get", "dpkg"):
        if shutil.which(needed) is None:
            raise NoOldRsyncError(f"there is no {needed}")
    _run(folder, "apt-get", "-q", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10", "download", _PACKAGE)
    (package,) = folder.glob("rsync_*.deb")
    _run(folder, "dpkg", "-x", package.name, ".")
    said = _run(folder, str(program), "--version")
    if f"version {OLD_VERSION} " not in said:
        raise NoOldRsyncError(f"it says {said[:80]}")


def _run(folder: Path, *argv: str) -> str:
    completed = subprocess.run(
        argv, cwd=folder, check=False, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
    )
    if completed.returncode:
        raise NoOldRsyncError(completed.stderr.strip()[-200:] or f"{argv[0]} ended with {completed.returncode}")
    return completed.stdout
