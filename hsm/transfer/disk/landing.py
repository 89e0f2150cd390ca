"""The last step of a file on this machine: from a temporary name to its own, after a look at what is there."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from hsm.model import SourceFile
from hsm.transfer.seen import SeenFiles

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class StrangerError(Exception):
    """The file's name is taken by something that the check did not see."""


@contextlib.contextmanager
def open_folder(root: str, folder: str) -> Iterator[int]:
    """Open a folder below a root, which may be a symlink itself, without walking through one.

    A descriptor stays with its folder: nobody can put a symlink into its place between a look and the rename.

    Raises:
        OSError: It is missing, or something on the way is no folder.
    """
    descriptor = os.open(root or "/", _FOLDER)
    try:
        for name in folder.split("/") if folder else ():
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def give_name(temporary: str, root: str, file: SourceFile, seen: SeenFiles) -> None:
    """Rename a file that is whole to its name below a root.

    Raises:
        StrangerError: The name is taken by what must not be replaced.
        OSError: It cannot be renamed.
    """
    folder, _, name = file.path.rpartition("/")
    with open_folder(root, folder) as descriptor:
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            # A folder needs no look: no rename replaces it by a file.
            is_strange = not stat.S_ISDIR(there.st_mode) and not (
                stat.S_ISREG(there.st_mode) and seen.may_replace(file, there.st_size, there.st_mtime_ns)
            )
            if is_strange:
                raise StrangerError
        os.rename(temporary, name, dst_dir_fd=descriptor)
