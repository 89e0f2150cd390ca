"""SHA-256 checksums of plain files of this machine."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator

_BLOCK_BYTES = 1024 * 1024


def read_checksum(path: str, *, follows: bool, check: Callable[[], None]) -> str:
    """Take the SHA-256 of a plain file; empty where it is none or cannot be read.

    Args:
        path: Absolute.
        follows: It may be a symlink, whose content is meant.
        check: Called now and then; may raise.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follows else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return ""
    try:
        is_plain = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return _sum(_iter_chunks(descriptor, check)) if is_plain else ""
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _iter_chunks(descriptor: int, check: Callable[[], None]) -> Iterator[bytes]:
    while chunk := os.read(descriptor, _BLOCK_BYTES):
        check()
        yield chunk


def _sum(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
