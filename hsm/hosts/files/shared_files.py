"""Opener of files below a root, out of which no path and no symlink leads."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from hsm.config.rules.values import SECRET_PATTERNS
from hsm.plan.patterns import Patterns

CHUNK_BYTES = 256 * 1024
_MAX_PATH_CHARACTERS = 4096
_MAX_DIGESTS = 1000
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Non-blocking: to open a pipe would else wait until somebody writes to it.
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class RangeError(Exception):
    """The range that is asked for lies outside of the file."""


@dataclass(frozen=True, slots=True)
class SharedFile:
    """An open file.

    Attributes:
        descriptor: To read from.
        size: Bytes when it was opened.
        etag: Changes with device, inode, size and time; with its quotes.
        identity: These four, as a key.
    """

    descriptor: int
    size: int
    etag: str
    identity: tuple[int, ...]

    def close(self) -> None:
        """Close it; once."""
        os.close(self.descriptor)


def open_shared(root: Path, path: str) -> SharedFile:
    """Open a regular file below a root; the caller closes it.

    A symlink may lead to another file below the root. Hidden names and names of secrets count as absent.

    Raises:
        FileNotFoundError: There is no such file, or it is not to be shared.
    """
    return describe_open(_open(root, path))


def describe_open(descriptor: int) -> SharedFile:
    """Read an open file's size and the tags that tell its versions apart."""
    status = os.fstat(descriptor)
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    tag = hashlib.sha256(repr(identity).encode()).hexdigest()[:32]
    return SharedFile(descriptor, status.st_size, f'"{tag}"', identity)


def _open(root: Path, path: str) -> int:
    if len(path) > _MAX_PATH_CHARACTERS or "\0" in path:
        raise FileNotFoundError(path)
    try:
        base = root.resolve(strict=True)
        real = (base / path.lstrip("/")).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise FileNotFoundError(path) from error
    if not real.is_relative_to(base) or real == base or not _is_shown(real.relative_to(base)):
        raise FileNotFoundError(path)
    try:
        # Walked again without following anything: a symlink that was put there meanwhile leads nowhere.
        return _walk(base, real.relative_to(base).parts)
    except OSError as error:
        raise FileNotFoundError(path) from error


def _is_shown(relative: Path) -> bool:
    # Judged by where the path really leads, so that no symlink with a harmless name shows `.ssh` or a key.
    if any(part.startswith(".") for part in relative.parts):
        return False
    return not Patterns(SECRET_PATTERNS).find_matches([relative.as_posix()])


def _walk(base: Path, parts: tuple[str, ...]) -> int:
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
            os.close(folder)
            folder = below
        descriptor = os.open(parts[-1], _FILE_FLAGS, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(parts[-1])
    return descriptor


class Digests:
    """SHA-256 of files, made once for each version of each. Thread-safe."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, ...], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, file: SharedFile) -> bytes:
        """Make the SHA-256 of an open file; its position does not move."""
        with self._lock:
            if file.identity in self._known:
                return self._known[file.identity]
        digest = hashlib.sha256()
        offset = 0
        while chunk := os.pread(file.descriptor, CHUNK_BYTES, offset):
            digest.update(chunk)
            offset += len(chunk)
        with self._lock:
            if describe_open(file.descriptor).identity == file.identity:  # else it changed while it was read
                self._known[file.identity] = digest.digest()
                while len(self._known) > _MAX_DIGESTS:
                    self._known.popitem(last=False)
        return digest.digest()


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Read a `Range` header (RFC 9110, 14.2).

    Returns:
        First byte and the byte after the last; None where the header is to be ignored, as one of several ranges.

    Raises:
        RangeError: No byte of it is in the file.
    """
    unit, _, text = header.partition("=")
    first, dash, last = text.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or not all(_is_number(part) for part in (first, last)):
        return None
    if not first:
        begin, end = max(0, size - int(last or 0)), size
        if not last or int(last) == 0:
            raise RangeError
    else:
        begin, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < begin:
            return None
    if begin >= end:
        raise RangeError
    return begin, end


def _is_number(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and len(text) <= 18)
