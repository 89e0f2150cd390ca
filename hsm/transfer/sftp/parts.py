"""Memory of the parts of large files that have certainly arrived, so that a file is continued after a broken link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hsm.model import FileKey

PART_BYTES = 4 * 1024 * 1024
"""Files from this size on are written beside their place (`PARTIAL_FOLDER`), where a part of them stays.

The folder of temporary files is emptied after a broken connection.
"""


class PartKey(NamedTuple):
    """A file, and the source that it was read from.

    Attributes:
        file: At the destination.
        size: Of the source.
        mtime: Of the source.
        inode: Of the source; 0 where unknown.
    """

    file: FileKey
    size: int
    mtime: int
    inode: int


@dataclass(slots=True)
class _Part:
    key: PartKey
    n_bytes: int


class PartMemory:
    """The parts of one engine's files: of each the bytes that its other end has acknowledged."""

    def __init__(self) -> None:
        self._parts: dict[FileKey, _Part] = {}

    def begin(self, key: PartKey, n_bytes: int) -> None:
        """Remember a file under way, of which so many bytes are certain."""
        self._parts[key.file] = _Part(key, n_bytes)

    def note(self, file: FileKey, n_bytes: int) -> None:
        """Take how many bytes of a file are certain by now."""
        if file in self._parts:
            self._parts[file].n_bytes = n_bytes

    def forget(self, file: FileKey) -> None:
        """Forget a file that is whole."""
        self._parts.pop(file, None)

    def count(self, key: PartKey) -> int | None:
        """Return how many bytes are certain; None where nothing is known of this file from this source."""
        part = self._parts.get(key.file)
        return part.n_bytes if part is not None and part.key == key else None
