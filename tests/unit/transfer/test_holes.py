"""Holes of sparse files, and the chunks that are sent of one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.remote.sftp.session import CHUNK_BYTES
from hsm.transfer.disk.holes import is_zero, iter_data
from hsm.transfer.sftp.chunks import iter_steps

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def descriptor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return an open file of 4 MiB and a byte with data at 1 MiB, and zeros that are written at 3 MiB."""
    path = tmp_path_factory.mktemp("holes") / "f"
    with path.open("wb") as stream:
        stream.seek(MIB + 5)
        stream.write(b"x" * 10)
        stream.seek(3 * MIB)
        stream.write(bytes(MIB // 4))
        stream.truncate(4 * MIB + 1)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_ranges_cover_what_is_written(descriptor: int) -> None:
    ranges = list(iter_data(descriptor, 4 * MIB + 1))
    assert all(start < end for start, end in ranges)
    assert any(start <= MIB + 5 and end >= MIB + 15 for start, end in ranges)
    assert list(iter_data(descriptor, 0)) == []
    if len(ranges) > 1:  # a file system that tells holes
        assert sum(end - start for start, end in ranges) <= MIB


def test_a_file_system_that_tells_no_holes_has_data_alone() -> None:
    reading, writing = os.pipe()  # lseek refuses it, as some file systems refuse SEEK_DATA
    try:
        assert list(iter_data(reading, 100, begin=3)) == [(3, 100)]
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", True), (bytes(5), True), (b"\0x\0", False), (b"x\0", False), (b"\0x", False)],
)
def test_zeros(content: bytes, expected: bool) -> None:
    assert is_zero(content) is expected


@given(begin=st.integers(0, 4 * MIB + 1), leaves_holes=st.booleans())
def test_steps_are_the_file_whatever_is_left_out(descriptor: int, begin: int, leaves_holes: bool) -> None:
    size = 4 * MIB + 1
    copy, n_left, ends = bytearray(size), 0, []
    copy[:begin] = os.pread(descriptor, begin, 0)
    for chunks, n_hole_bytes, is_last in iter_steps(descriptor, begin, size, leaves_holes=leaves_holes):
        n_left += n_hole_bytes
        ends.append(is_last)
        for offset, chunk in chunks:
            assert (offset - begin) % CHUNK_BYTES == 0
            assert len(chunk) == min(CHUNK_BYTES, size - offset)
            copy[offset : offset + len(chunk)] = chunk
            n_left += len(chunk)
    assert bytes(copy) == os.pread(descriptor, size, 0)
    assert ends == [False] * (len(ends) - 1) + [True]
    assert n_left == size - begin
