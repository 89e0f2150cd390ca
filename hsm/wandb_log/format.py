"""Framing and wire format of a `.wandb` log, without the meaning of its records.

The file is a LevelDB log with a header and a checksum of its own: 7 bytes `:W&B`, u16 0xBEE1, u8 0; then, in
blocks of 32,768 bytes counted from the file's beginning, chunks of CRC-32 (of type and data), u16 length, u8
type (1 full, 2 first, 3 middle, 4 last) and data, all little-endian. Fewer than 7 bytes left in a block are zero
padding. Each record is one protobuf message. Source: `wandb/sdk/internal/datastore.py` (up to 0.29) and the
leveldb package of wandb-core.

Nothing here raises on torn, damaged or foreign bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

BLOCK_BYTES = 32768
FILE_HEADER = b":W&B\xe1\xbe\x00"

# Beginning of the text file that git leaves in place of a large file until `git lfs pull` fetches it. Source: the
# specification in https://github.com/git-lfs/git-lfs.
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"

_CHUNK_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
# The checksum covers the type before the data. Nearly all chunks are whole records, so theirs begins here.
_CHECKSUM_OF_FULL = zlib.crc32(bytes([_FULL]))
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
# 64 bits, seven of them in each byte.
_MOST_VARINT_BYTES = 10


@dataclass(frozen=True, slots=True)
class Records:
    """Records of a piece of a log.

    Attributes:
        payloads: The whole records, in order.
        is_damaged: Something before the end could not be read. A torn end is no damage: every live log has one.
    """

    payloads: tuple[bytes, ...]
    is_damaged: bool = False


def is_foreign(head: bytes) -> bool:
    """Tell whether a file is no log, by its first bytes. A live log may have less than its header, down to nothing."""
    return not FILE_HEADER.startswith(head[: len(FILE_HEADER)])


def is_lfs_pointer(head: bytes) -> bool:
    """Tell whether a file only stands for one that Git LFS keeps elsewhere, by its first bytes."""
    return head.startswith(_LFS_POINTER)


def parse_records(data: bytes, *, offset: int = 0) -> Records:
    """Read the records that lie whole in a piece of a log.

    Args:
        data: The piece.
        offset: Where it begins in the file: 0, or a multiple of `BLOCK_BYTES`. A record that began before it is
            skipped.
    """
    position = 0
    if offset == 0:
        if not data.startswith(FILE_HEADER):
            # A live log may have less than its header: 0.19 leaves 0 bytes until the first 32 KiB are full.
            return Records((), is_damaged=not FILE_HEADER.startswith(data))
        position = len(FILE_HEADER)
    payloads: list[bytes] = []
    parts: list[bytes] = []
    is_damaged = False
    while True:
        # A faster way through what `_parse_chunk` reads one by one, for logs of hundreds of megabytes.
        position = _take_full(data, position, payloads, parts)
        chunk = _parse_chunk(data, position)
        if chunk is None:
            break
        kind, content, position = chunk
        if kind == 0:
            is_damaged, parts = True, []
        elif kind == _FULL:
            payloads.append(content)
            parts = []
        elif kind == _FIRST:
            parts = [content]
        elif parts:
            parts.append(content)
            if kind == _LAST:
                payloads.append(b"".join(parts))
                parts = []
    return Records(tuple(payloads), is_damaged)


def _take_full(data: bytes, position: int, payloads: list[bytes], parts: list[bytes]) -> int:
    """Take the records that lie whole in chunks of their own, which most do; return where the first other begins."""
    size, unpack, checksum_of, take = _CHUNK_HEADER.size, _CHUNK_HEADER.unpack_from, zlib.crc32, payloads.append
    before = position
    limit = min(position - position % BLOCK_BYTES + BLOCK_BYTES, len(data))
    while position + size <= limit:
        checksum, length, kind = unpack(data, position)
        end = position + size + length
        if kind != _FULL or end > limit:
            break
        content = data[position + size : end]
        if checksum_of(content, _CHECKSUM_OF_FULL) != checksum:
            break
        take(content)
        position = end
    if position != before:
        parts.clear()
    return position


def _parse_chunk(data: bytes, position: int) -> tuple[int, bytes, int] | None:
    """Read the next chunk: its type, its content, and where the one after it begins; None at the end.

    The type is 0 where no chunk can be read; the one after it then begins with the next block.
    """
    block_end = position - position % BLOCK_BYTES + BLOCK_BYTES
    # Padding. A header of zeros is none of a chunk, whose type would be 0.
    if block_end - position < _CHUNK_HEADER.size or not any(data[position : position + _CHUNK_HEADER.size]):
        position, block_end = block_end, block_end + BLOCK_BYTES
    start = position + _CHUNK_HEADER.size
    if start > len(data):
        return None
    checksum, length, kind = _CHUNK_HEADER.unpack_from(data, position)
    end = start + length
    # A length that leads out of its block is damage wherever it stands; one that leads out of the file is a torn end.
    if not _FULL <= kind <= _LAST or end > block_end:
        return 0, b"", block_end
    if end > len(data):
        return None
    # Type and data lie side by side, so both are covered by one view, without a copy.
    if zlib.crc32(memoryview(data)[start - 1 : end]) != checksum:
        return 0, b"", block_end
    return kind, data[start:end], end


def iter_fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Read a protobuf message field by field: number, and an integer or bytes.

    Fixed-width fields come as bytes. From the first thing on that is no field nothing is read.
    """
    position, end = 0, len(message)
    while position < end:
        tag = message[position]  # nearly all numbers here are one byte, and a call less counts
        position += 1
        if tag >= 0x80:
            tag, position = parse_varint(message, position - 1)
        wire = tag & 7
        if tag < 8:  # a field has no number 0
            return
        if wire == _VARINT:
            value, position = parse_varint(message, position)
            if value < 0:
                return
            yield tag >> 3, value
            continue
        if wire == _LENGTH and position < end and message[position] < 0x80:
            length = message[position]
            position += 1
        elif wire == _LENGTH:
            length, position = parse_varint(message, position)
        else:
            length = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if length < 0 or position + length > end:
            return
        yield tag >> 3, message[position : position + length]
        position += length


def parse_varint(message: bytes, position: int) -> tuple[int, int]:
    """Read a base-128 number, and the position after it; -1 when it has no end."""
    value = 0
    for shift, byte in enumerate(message[position : position + _MOST_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, position + shift + 1
    return -1, len(message)
