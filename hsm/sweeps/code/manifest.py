"""Record of a snapshot: what each of its files was, so that the next one can share those that are the same."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hsm.files import USELESS_ERRORS, load_json, save_json

_SCHEMA = 1
_HASH_DIGITS = 20
_BLOCK_BYTES = 1024 * 1024


class SnapshotFile(NamedTuple):
    """File of a snapshot.

    Attributes:
        content: The SHA-256 of its content; of a symlink, where it leads to.
        mode: Its permissions; 0 for a symlink.
        size: In bytes.
        mtime_ns: The time of its content.
    """

    content: str
    mode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """Record of a snapshot.

    Attributes:
        files: By path.
        links: Path -> where it leads to in the project, relative to it.
    """

    files: Mapping[str, SnapshotFile] = field(default_factory=dict)
    links: tuple[str, ...] = ()

    def make_hash(self) -> str:
        """Make the name of the snapshot: the same for the same content."""
        digest = hashlib.sha256()
        for path, file in sorted(self.files.items()):
            digest.update(f"{path}\0{file.content}\0{file.mode:o}\0".encode("utf-8", "surrogateescape"))
        for path in self.links:
            digest.update(f"{path}\0link\0".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:_HASH_DIGITS]

    def save(self, path: Path) -> None:
        """Write the record. Raises OSError."""
        files = {name: list(file) for name, file in self.files.items()}
        save_json(path, {"files": files, "links": list(self.links)}, schema=_SCHEMA)

    @classmethod
    def load(cls, path: Path) -> SnapshotManifest:
        """Read a record; an empty one where there is none that can be used."""
        try:
            data = load_json(path, schema=_SCHEMA)
            if data is None:
                return cls()
            files, links = data["files"], data["links"]
            if not isinstance(files, dict) or not isinstance(links, list):
                return cls()
            return cls({name: SnapshotFile(*file) for name, file in files.items()}, tuple(map(str, links)))
        except USELESS_ERRORS:  # it only saves copies
            return cls()


def read_file(path: Path, *, copy: int | None = None) -> SnapshotFile:
    """Read what a file is, and copy it meanwhile.

    Args:
        path: A regular file or a symlink.
        copy: A file descriptor that takes the content.

    Raises:
        OSError: It cannot be read, or is neither.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return SnapshotFile(str(path.readlink()), 0, 0, 0)
    # Opened without waiting: a pipe in its place has no end.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "is no regular file", str(path))
        digest, size = hashlib.sha256(), 0
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            size += len(block)
            if copy is not None:
                _write(copy, block)
    # Without write permission: files are shared between snapshots, and one that is changed in place changes in all.
    mode = stat.S_IMODE(status.st_mode) & 0o555 | stat.S_IRUSR
    return SnapshotFile(digest.hexdigest(), mode, size, status.st_mtime_ns)


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


def is_untouched(path: Path, file: SnapshotFile) -> bool:
    """Tell whether a file of a snapshot is still what it was."""
    try:
        status = path.lstat()
        if not file.mode:
            return stat.S_ISLNK(status.st_mode) and str(path.readlink()) == file.content
    except OSError:
        return False
    found = (stat.S_ISREG(status.st_mode), stat.S_IMODE(status.st_mode), status.st_size, status.st_mtime_ns)
    return found == (True, file.mode, file.size, file.mtime_ns)
