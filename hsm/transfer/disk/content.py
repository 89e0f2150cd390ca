"""Content of files on disks of this machine: read, and copied with its holes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from hsm.transfer.disk.holes import is_zero, iter_data, may_have_holes

_CHUNK_BYTES = 1024 * 1024


def copy_content(
    source: int, copy: int, status: os.stat_result, *, check: Callable[[], None], on_bytes: Callable[[int], None]
) -> None:
    """Copy a file into a new, empty one.

    Args:
        source: Its descriptor.
        copy: Descriptor of the new one.
        status: Of the source when it was opened.
        check: Called for each piece; may raise.
        on_bytes: Told how many bytes are done, holes included.

    Raises:
        OSError: It cannot be read or written, or not everything that was written is there.
    """
    copying = _copy_data if may_have_holes(status) else _copy_all
    n_bytes = copying(source, copy, status.st_size, check, on_bytes)
    found = os.fstat(copy).st_size
    if found != n_bytes:
        raise OSError(errno.EIO, f"{n_bytes} bytes were written, {found} are there")


def iter_chunks(descriptor: int, *, check: Callable[[], None], n_bytes: int | None = None) -> Iterator[bytes]:
    """Read a file in pieces, as many bytes as are wanted, or to its end, wherever that is by now."""
    left = _CHUNK_BYTES if n_bytes is None else n_bytes
    while left and (chunk := os.read(descriptor, min(_CHUNK_BYTES, left))):
        check()
        yield chunk
        left = left if n_bytes is None else left - len(chunk)


def read_bytes(descriptor: int, n_bytes: int) -> bytes:
    """Read so many bytes, or to the end."""
    parts = bytearray()
    while len(parts) < n_bytes and (chunk := os.read(descriptor, n_bytes - len(parts))):
        parts += chunk
    return bytes(parts)


def _copy_all(source: int, copy: int, _size: int, check: Callable[[], None], on_bytes: Callable[[int], None]) -> int:
    n_bytes = 0
    for chunk in iter_chunks(source, check=check):
        _write(copy, chunk)
        n_bytes += len(chunk)
        on_bytes(len(chunk))
    return n_bytes


def _copy_data(source: int, copy: int, size: int, check: Callable[[], None], on_bytes: Callable[[int], None]) -> int:
    """Copy what a sparse file holds, and leave the holes."""
    done = 0
    for start, end in iter_data(source, size):
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(copy, start, os.SEEK_SET)
        on_bytes(start - done)
        done = start
        for chunk in iter_chunks(source, check=check, n_bytes=end - start):
            if is_zero(chunk):  # a hole that the file system does not tell of
                os.lseek(copy, len(chunk), os.SEEK_CUR)
            else:
                _write(copy, chunk)
            done += len(chunk)
            on_bytes(len(chunk))
    os.ftruncate(copy, size)
    on_bytes(size - done)
    return size


def _write(descriptor: int, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        left = left[os.write(descriptor, left) :]
