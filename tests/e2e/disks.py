"""Small file systems that run out of room for real: tmpfs, for the superuser alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REQUIRE_E2E

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 20


class SmallDisk:
    """A tmpfs on a folder of the test's own.

    Args:
        folder: Made when missing.
        options: Of mount, such as `size=20m` or `nr_inodes=100`.
    """

    def __init__(self, folder: Path, *, options: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._run("mount", "-t", "tmpfs", "-o", options, "hsm-test", str(folder))

    def remount(self, options: str) -> None:
        """Change its options, such as its size."""
        self._run("mount", "-o", f"remount,{options}", str(self.folder))

    def unmount(self) -> None:
        """Take it away; what still uses it keeps it until its end."""
        self._run("umount", "--lazy", str(self.folder))

    @property
    def free_bytes(self) -> int:
        """What may still be written."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    @property
    def free_inodes(self) -> int:
        """How many files may still be made."""
        return os.statvfs(self.folder).f_favail

    def _run(self, *argv: str) -> None:
        subprocess.run(argv, check=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, capture_output=True)


def check_can_mount(folder: Path) -> None:
    """Skip the test where no tmpfs can be mounted; under HSM_REQUIRE_E2E=1 fail."""
    reason = ""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        reason = "mounting a tmpfs needs the superuser"
    else:
        try:
            SmallDisk(folder, options="size=1m").unmount()
        except subprocess.CalledProcessError as error:
            reason = f"no tmpfs can be mounted here: {error.stderr.decode(errors='replace').strip()}"
    if reason and REQUIRE_E2E:
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
