"""Content of a file to be sent, cut into chunks of one write each, a step of them at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from hsm.remote.sftp.session import CHUNK_BYTES
from hsm.transfer.disk.holes import is_zero, iter_data
from hsm.transfer.sftp.batch import CHUNKS_PER_STEP

_STEP_BYTES = CHUNKS_PER_STEP * CHUNK_BYTES


class ChunkStep(NamedTuple):
    """Chunks that are sent together.

    Attributes:
        chunks: Each with its offset.
        n_hole_bytes: Of holes before and among them, which are not sent.
        is_last: The file ends with them.
    """

    chunks: list[tuple[int, bytes]]
    n_hole_bytes: int
    is_last: bool


def iter_steps(descriptor: int, begin: int, size: int, *, leaves_holes: bool) -> Iterator[ChunkStep]:
    """Yield the content as far as it was when the file was opened.

    Args:
        descriptor: Of the file.
        begin: Where to begin; all chunks are counted from there.
        size: Of the file when it was opened.
        leaves_holes: Leave out what is zeros, but for the last chunk: written, it gives the copy its size.
    """
    offset = begin
    if leaves_holes:
        offset = begin + max(0, size - 1 - begin) // CHUNK_BYTES * CHUNK_BYTES
        yield from _iter_data_steps(descriptor, begin, offset)
    is_last = False
    while not is_last:
        content = os.pread(descriptor, min(_STEP_BYTES, size - offset), offset)
        is_last = len(content) < _STEP_BYTES  # a file of whole steps ends with an empty one
        yield ChunkStep(_cut(content, offset), 0, is_last)
        offset += len(content)


def _iter_data_steps(descriptor: int, begin: int, end: int) -> Iterator[ChunkStep]:
    offset, n_left = begin, 0
    for start, stop in iter_data(descriptor, end, begin=begin):
        # Whole chunks, as of any file: what is certain of a part is counted by them.
        first = max(offset, begin + (start - begin) // CHUNK_BYTES * CHUNK_BYTES)
        n_left += first - offset
        offset = first
        while offset < stop and (content := os.pread(descriptor, min(_STEP_BYTES, end - offset), offset)):
            chunks = [(at, chunk) for at, chunk in _cut(content, offset) if not is_zero(chunk)]
            n_left += len(content) - sum(len(chunk) for _, chunk in chunks)
            if chunks:
                yield ChunkStep(chunks, n_left, is_last=False)
                n_left = 0
            offset += len(content)
    yield ChunkStep([], n_left + max(0, end - offset), is_last=False)


def _cut(content: bytes, offset: int) -> list[tuple[int, bytes]]:
    return [(offset + at, content[at : at + CHUNK_BYTES]) for at in range(0, len(content), CHUNK_BYTES)]
