"""Files at a destination on this machine: folders made for a batch, parts that are continued or removed."""

from __future__ import annotations

import contextlib
import os
import stat

from hsm.remote.sftp.listing import join
from hsm.transfer.base import PARTIAL_FOLDER
from hsm.transfer.sftp.diagnosis import BlockedError


class LocalFolders:
    """The folders of one batch. Used by one thread.

    Args:
        root: The destination's folder, which is there.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._has_parts: dict[str, bool] = {}

    def make(self, folder: str) -> None:
        """Make a folder below the root, once, without walking through a symlink; look for parts of files in it.

        Raises:
            BlockedError: Something of another type is in the way.
            OSError: It cannot be made.
        """
        if folder in self._has_parts:
            return
        path = self._root
        for name in folder.split("/") if folder else ():
            path = f"{path}/{name}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)  # noqa: PTH102 - bytes that are no UTF-8 stay as they are
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise BlockedError(path)
        try:
            self._has_parts[folder] = stat.S_ISDIR(os.lstat(self._get_parts(folder)).st_mode)
        except FileNotFoundError:
            self._has_parts[folder] = False

    def make_part_place(self, folder: str, name: str) -> str:
        """Make the folder for parts of files in a folder; return the path of one file's part.

        Raises:
            BlockedError: Something of another type is in the way.
            OSError: It cannot be made.
        """
        parts = self._get_parts(folder)
        with contextlib.suppress(FileExistsError):
            os.mkdir(parts)  # noqa: PTH102 - as above
        if not stat.S_ISDIR(os.lstat(parts).st_mode):
            raise BlockedError(parts)
        self._has_parts[folder] = True
        return f"{parts}/{name}"

    def drop_part(self, folder: str, name: str) -> None:
        """Remove the part of a file that is whole, if there is one."""
        if self._has_parts[folder]:
            with contextlib.suppress(OSError):
                os.unlink(f"{self._get_parts(folder)}/{name}")  # noqa: PTH108 - as above

    def drop_empty(self) -> None:
        """Remove the folders of parts that have become empty."""
        for folder, has_parts in self._has_parts.items():
            if has_parts:
                with contextlib.suppress(OSError):
                    os.rmdir(self._get_parts(folder))  # noqa: PTH106 - as above

    def _get_parts(self, folder: str) -> str:
        return f"{join(self._root, folder)}/{PARTIAL_FOLDER}"


def create_file(path: str, mode: int) -> int:
    """Create a file that is not there, and open it to write."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def open_part(path: str, begin: int, mode: int) -> int:
    """Open a part to continue it, or a new file in its place."""
    if begin:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.ftruncate(descriptor, begin)
        return descriptor
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - as above
    return create_file(path, mode)


def write_at(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of it at an offset."""
    left = memoryview(content)
    while left:
        n_written = os.pwrite(descriptor, left, offset)
        left, offset = left[n_written:], offset + n_written


def get_file_size(path: str) -> int:
    """Return the bytes of a file; 0 for what is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def read_mode(path: str) -> int | None:
    """Read the mode of a file that will be replaced.

    Raises:
        BlockedError: Something of another type stands there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise BlockedError(path)
    return mode
