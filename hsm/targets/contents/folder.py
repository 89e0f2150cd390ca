"""Whole files in a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from hsm.process.runner import Runner
from hsm.targets.contents.checksums import read_checksum
from hsm.targets.contents.contract import Sizes
from hsm.targets.contents.flush import list_with_folders, make_flush_error


class FolderContents:
    """Implements `hsm.targets.contents.contract.Contents` for a folder of this machine."""

    def __init__(self, name: str, runner: Runner) -> None:
        self._name = name
        self._runner = runner

    def check_flush(self) -> None:
        """See `hsm.targets.contents.contract.Contents.check_flush`."""

    def flush(self, paths: Sequence[str]) -> None:
        """See `hsm.targets.contents.contract.Contents.flush`."""
        flush_here(paths, name=self._name)

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `hsm.targets.contents.contract.Contents.read_checksums`."""
        return read_checksums_here(sizes, lambda: self._runner.sleep(0))


def read_checksums_here(paths: Sizes, check: Callable[[], None]) -> dict[str, str]:
    """Take the SHA-256 of plain files of this machine, none reached by a symlink of its own name."""
    sums = ((path, read_checksum(path, follows=False, check=check)) for path in paths)
    return {path: checksum for path, checksum in sums if checksum}


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
