"""Framing: whole records from any piece of a log, and fewer records, but no error, from a broken one."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.wandb_log.format import BLOCK_BYTES, iter_fields, parse_records
from tests.unit.wandb_log.log_writer import HEADER, field, frame

sizes = st.one_of(st.integers(0, 200), st.integers(BLOCK_BYTES - 40, BLOCK_BYTES + 40), st.integers(0, 3 * BLOCK_BYTES))


def make_records(lengths: list[int]) -> list[bytes]:
    """Make records of random bytes, the same for the same lengths, no two alike from eight bytes on."""
    source = random.Random(str(lengths))
    return [source.randbytes(length) for length in lengths]


def is_subsequence(some: tuple[bytes, ...], all_of_them: list[bytes]) -> bool:
    rest = iter(all_of_them)
    return all(record in rest for record in some)


@given(st.lists(sizes, max_size=12))
def test_reads_what_was_written(lengths: list[int]) -> None:
    records = make_records(lengths)
    found = parse_records(frame(records))
    assert list(found.payloads) == records
    assert not found.is_damaged


@given(st.lists(sizes, min_size=3, max_size=12), st.integers(0, 12))
def test_reads_the_end_from_any_block(lengths: list[int], block: int) -> None:
    records = make_records(lengths)
    log = frame(records)
    offset = min(block, (len(log) - 1) // BLOCK_BYTES) * BLOCK_BYTES
    found = parse_records(log[offset:], offset=offset)
    assert list(found.payloads) == records[len(records) - len(found.payloads) :]
    assert not found.is_damaged


def test_a_log_cut_at_any_byte_gives_the_records_before_it() -> None:
    records = make_records([10, 0, 300, 7])
    log = frame(records)
    for end in range(len(log) + 1):
        found = parse_records(log[:end])
        assert list(found.payloads) == records[: len(found.payloads)]
        assert not found.is_damaged, end
    assert parse_records(log).payloads == tuple(records)


@given(st.lists(sizes, min_size=1, max_size=6), st.data())
def test_a_flipped_byte_costs_records_and_nothing_else(lengths: list[int], data: st.DataObject) -> None:
    records = make_records(lengths)
    log = bytearray(frame(records))
    for _ in range(data.draw(st.integers(1, 3))):
        log[data.draw(st.integers(0, len(log) - 1))] ^= data.draw(st.integers(1, 255))
    assert is_subsequence(parse_records(bytes(log)).payloads, records)


def test_what_follows_a_damaged_block_is_read() -> None:
    records = make_records([100, 2 * BLOCK_BYTES, 100, 50])
    log = bytearray(frame(records))
    log[BLOCK_BYTES + 500] ^= 1
    found = parse_records(bytes(log))
    assert found.payloads == (records[0], records[2], records[3])
    assert found.is_damaged


def test_a_damaged_length_does_not_lead_out_of_its_block() -> None:
    records = make_records([100, 2 * BLOCK_BYTES, 50])
    log = bytearray(frame(records))
    log[11:13] = b"\xff\xff"
    found = parse_records(bytes(log))
    assert found.payloads == (records[2],)
    assert found.is_damaged


def test_a_damaged_length_does_not_end_the_log_before_its_end() -> None:
    """It leads beyond the end, where a whole one would be of a chunk that is still being written."""
    records = make_records([100, BLOCK_BYTES, 50])
    log = bytearray(frame(records))
    log[11:13] = b"\xff\xff"
    found = parse_records(bytes(log))
    assert (found.payloads, found.is_damaged) == ((records[2],), True)


@pytest.mark.parametrize("place", ["its first byte", "its last byte", "its checksum", "its type"])
def test_a_record_of_which_a_byte_changed_is_not_read(place: str) -> None:
    records = make_records([10, 10, 10])
    log = bytearray(frame(records))
    start = log.index(records[1])
    log[start + {"its first byte": 0, "its last byte": 9, "its checksum": -7, "its type": -1}[place]] ^= 4
    found = parse_records(bytes(log))
    assert (found.payloads, found.is_damaged) == ((records[0],), True)


@pytest.mark.parametrize("n_left", range(10))
@pytest.mark.parametrize("length", [0, 1, 20, BLOCK_BYTES + 20])
def test_a_record_that_begins_near_the_end_of_a_block_is_read(n_left: int, length: int) -> None:
    """With 7 bytes left its first chunk has a header and no content; with fewer it begins with the next block."""
    records = make_records([BLOCK_BYTES - len(HEADER) - 7 - n_left, length, 30])
    log = frame(records)
    assert parse_records(log).payloads == tuple(records)
    assert parse_records(log[BLOCK_BYTES:], offset=BLOCK_BYTES).payloads[-1:] == (records[2],)


@pytest.mark.parametrize("data", [b"", HEADER[:3], HEADER])
def test_a_young_log_is_not_damaged(data: bytes) -> None:
    assert parse_records(data) == parse_records(HEADER)


def test_zeros_where_a_record_should_be_are_the_end_of_the_block() -> None:
    found = parse_records(HEADER + bytes(5000))
    assert found.payloads == ()
    assert not found.is_damaged


def chunk(kind: int, content: bytes) -> bytes:
    return struct.pack("<IHB", zlib.crc32(bytes([kind]) + content), len(content), kind) + content


def test_a_record_that_passes_its_block_is_damage_though_its_checksum_fits() -> None:
    found = parse_records(HEADER + chunk(1, bytes(BLOCK_BYTES)))
    assert (found.payloads, found.is_damaged) == ((), True)


def test_a_record_that_breaks_off_takes_nothing_of_a_later_one() -> None:
    first, full, last = (chunk(kind, content) for kind, content in ((2, b"begins"), (1, b"whole"), (4, b"ends")))
    assert parse_records(HEADER + first + full + last + full).payloads == (b"whole", b"whole")
    assert parse_records(HEADER + first + first + last).payloads == (b"beginsends",)
    assert parse_records(HEADER + last + chunk(3, b"goes on") + last + full).payloads == (b"whole",)


@given(st.binary(max_size=300), st.booleans(), st.sampled_from([0, BLOCK_BYTES]))
def test_foreign_bytes_never_raise(data: bytes, with_header: bool, offset: int) -> None:
    parse_records(HEADER + data if with_header else data, offset=offset)


def test_another_file_is_damaged() -> None:
    assert parse_records(b"PK\x03\x04 something else").is_damaged


@given(st.binary(max_size=200))
def test_a_message_of_foreign_bytes_never_raises(data: bytes) -> None:
    assert all(number > 0 for number, _ in iter_fields(data))


def test_reads_every_kind_of_field() -> None:
    message = field(1, 300) + field(16, b"x") + b"\x19" + bytes(8) + b"\x25" + bytes(4) + field(5, -1)
    expected = [(1, 300), (16, b"x"), (3, bytes(8)), (4, bytes(4)), (5, 2**64 - 1)]
    assert list(iter_fields(message)) == expected


@pytest.mark.parametrize(
    "rest",
    [b"\x08", b"\x08\xff", b"\x08" + b"\xff" * 12, b"\x12\x05abc", b"\x12", b"\x0b", b"\x02\x01a", b"\x11abc"],
    ids=[
        "no value",
        "half a value",
        "endless value",
        "too short",
        "no length",
        "group",
        "field 0",
        "half a double",
    ],
)
def test_a_broken_field_ends_the_message(rest: bytes) -> None:
    assert list(iter_fields(field(2, b"good") + rest)) == [(2, b"good")]
