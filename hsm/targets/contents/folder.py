"""Whole files in a folder of this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Collection, Iterable, Sequence

from hsm.process.runner import Runner
from hsm.targets.contents.checksums import read_checksum
from hsm.targets.contents.contract import Failures, Sizes
from hsm.targets.contents.marks import make_marks_here, remove_marks_here


class FolderContents:
    """Implements `hsm.targets.contents.contract.Contents` for a folder of this machine."""

    def __init__(self, name: str, runner: Runner) -> None:
        self._name = name
        self._runner = runner

    def check_flush(self) -> None:
        """See `hsm.targets.contents.contract.Contents.check_flush`."""

    def flush(self, files: Sequence[str], folders: Sequence[str]) -> Failures:
        """See `hsm.targets.contents.contract.Contents.flush`."""
        return flush_here([*files, *folders], lambda: self._runner.sleep(0))

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `hsm.targets.contents.contract.Contents.read_checksums`."""
        return read_checksums_here(sizes, lambda: self._runner.sleep(0))

    def find_linked(self, paths: Sequence[str]) -> frozenset[str]:
        """See `hsm.targets.contents.contract.Contents.find_linked`."""
        found = set()
        for path in paths:
            with contextlib.suppress(OSError):
                if os.lstat(path).st_nlink > 1:
                    found.add(path)
        return frozenset(found)

    def make_marks(self, folders: Collection[str], name: str) -> Failures:
        """See `hsm.targets.contents.contract.Contents.make_marks`."""
        return make_marks_here(folders, name)

    def remove_marks(self, folders: Collection[str], name: str) -> None:
        """See `hsm.targets.contents.contract.Contents.remove_marks`."""
        remove_marks_here(folders, name)


def read_checksums_here(paths: Sizes, check: Callable[[], None]) -> dict[str, str]:
    """Take the SHA-256 of plain files of this machine, none reached by a symlink of its own name."""
    sums = ((path, read_checksum(path, follows=False, check=check)) for path in paths)
    return {path: checksum for path, checksum in sums if checksum}


def flush_here(paths: Iterable[str], check: Callable[[], None]) -> Failures:
    """Write files and folders of this machine to the disk, and let what is read next come from there.

    Args:
        paths: Absolute.
        check: Called between them; may raise.
    """
    failures: Failures = {}
    for path in paths:
        check()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _flush(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            failures[path] = error.strerror or str(error)
    return failures


def _flush(descriptor: int) -> None:
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync(2) there leaves what was written in the memory of the disk itself
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:  # of a file system that does not know it
            os.fsync(descriptor)
    else:
        os.fsync(descriptor)
    if hasattr(os, "posix_fadvise"):  # drops the pages that have been written; what could not be written stays
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
