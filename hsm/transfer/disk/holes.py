"""Holes of sparse files: ranges that are read as zeros and occupy no room, so that copies leave them out too."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from hsm.tree import BLOCK_BYTES, LARGE_BYTES

HOLE_BYTES = 4096
"""Fewer zeros than a block of most file systems make no hole."""


def may_have_holes(status: os.stat_result) -> bool:
    """Tell whether a file is large and occupies less than its size; a disk that compresses looks like that, too."""
    return status.st_size >= LARGE_BYTES and status.st_blocks * BLOCK_BYTES < status.st_size


def iter_data(descriptor: int, size: int, *, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a file that hold data, as start and end; all of it where the file system tells no holes.

    Args:
        descriptor: Of the file; its offset moves.
        size: What lies beyond does not count.
        begin: What lies before does not count.
    """
    while begin < size:
        try:
            start = os.lseek(descriptor, begin, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # which says that only a hole is left: lseek(2)
                yield begin, size
            return
        if start < size:
            yield start, min(end, size)
        begin = end


def is_zero(content: bytes) -> bool:
    """Tell whether content is zeros alone; most is told by its first or last byte."""
    return not content or (content[0] == content[-1] == 0 and content == bytes(len(content)))
