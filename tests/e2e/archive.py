"""Files of Debian's archive, unpacked into a folder and never installed: an older rsync, and a clock that is wrong."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

OLD_RSYNC = ("rsync=3.2.7-1+deb12u6", "usr/bin/rsync")
FAKE_CLOCK = ("libfaketime", "usr/lib/*/faketime/libfaketime.so.1")
_SECONDS = 60


def get_from_archive(package: tuple[str, str], factory: pytest.TempPathFactory) -> Path:
    """Return a file of a package, fetched once for all workers; skip the test where it cannot be had.

    Args:
        package: As apt-get names it, and the file in it, which may hold `*`.
        factory: Knows the folder of this run of the tests.
    """
    base = factory.getbasetemp()
    folder = (
        base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    ) / f"archive-{package[0].partition('=')[0]}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done"
        if not done.exists():
            done.write_text(_fetch(folder, package[0]))
        reason = done.read_text()
    found = sorted(folder.glob(package[1]))
    if reason or not found:
        pytest.skip(f"{package[0]} cannot be had here: {reason or f'it holds no {package[1]}'}")
    return found[0]


def _fetch(folder: Path, package: str) -> str:
    """Fetch and unpack a package; return why it did not work, or nothing."""
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    options = ("-q", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10")
    reason = _run(folder, "apt-get", *options, "download", package)
    for found in [] if reason else folder.glob("*.deb"):
        reason = reason or _run(folder, "dpkg", "-x", found.name, ".")
    return reason


def _run(folder: Path, *argv: str) -> str:
    try:
        completed = subprocess.run(
            argv, cwd=folder, check=False, capture_output=True, text=True, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (completed.stderr.strip()[-200:] or f"{argv[0]} failed") if completed.returncode else ""
