"""Records of tasks, and their index."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import UsageError
from hsm.prepared_sweep.records import (
    INDEX_LINE_BYTES,
    DamagedRecordError,
    Filling,
    TaskRecord,
    check_place,
    decode_index_line,
    decode_record,
    encode_index,
    encode_record,
    fill_word,
)

TEXT = st.text().filter(lambda text: "\0" not in text)
WORDS = st.lists(TEXT | st.sampled_from(Filling), min_size=1, max_size=4).map(tuple)
PLACES = {filling: f"/{filling.name}" for filling in Filling}


@given(WORDS, st.lists(WORDS, min_size=1, max_size=5))
def test_a_record_is_read_as_it_was_written(parameters: tuple[str, ...], command: list[tuple[str, ...]]) -> None:
    record = TaskRecord(parameters, tuple(command))
    assert decode_record(encode_record(record)) == record


def test_an_empty_word_is_a_word() -> None:
    found = decode_record(encode_record(TaskRecord((), ((), ("x",)))))
    assert [fill_word(word, PLACES) for word in (found.parameters, *found.command)] == ["", "", "x"]


def test_a_nul_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        encode_record(TaskRecord(("{}",), (("a\0b",),)))


@pytest.mark.parametrize("content", [b"", b"La\0", b"La\0lb\0", b"La\0Lb", b"La\0Xb\0", b"La\0Tb\0", b"La\0\0"])
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(DamagedRecordError):
        decode_record(content)


def test_an_index_has_a_line_of_one_length_for_each_task() -> None:
    index = encode_index(1, [5, 10**12]) + encode_index(2, [7], offset=3)
    assert len(index) == 3 * INDEX_LINE_BYTES
    assert index.count(b"\n") == 3
    assert decode_index_line(index, 1) == (1, 0, 5)
    assert decode_index_line(index, 2) == (1, 5, 10**12)
    assert decode_index_line(index, 3) == (2, 3, 7)
    for number in (0, -1, 4):
        with pytest.raises(DamagedRecordError):
            decode_index_line(index, number)


@pytest.mark.parametrize("path", ["/a b/ü", "/a-b_c.d/#1", "/a,b=[c]{d}(e)"])
def test_a_plain_place_is_taken(path: str) -> None:
    check_place(path, "the project")


@pytest.mark.parametrize("character", "'\"\\$\n\x7f")
def test_a_place_that_would_end_a_quoted_value_is_refused(character: str) -> None:
    with pytest.raises(UsageError, match="the project"):
        check_place(f"/a{character}b", "the project")
