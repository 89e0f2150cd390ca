from __future__ import annotations

import os
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsm.transfer.rsync.output import OutputReader, unescape

OUTPUT = (
    b"\r              0   0%    0.00kB/s    0:00:00  \n"
    b"hsm:run-1/\n"
    b"hsm:run-1/a\n"
    b"\r         32,768  12%   31.25MB/s    0:00:00  "
    b"\r        100,000  40%   47.68MB/s    0:00:00 (xfr#1, to-chk=1/3)\n"
    b"hsm:run-1/b\\#012c\n"
    b"hsm:run-1/99 100%\n"
    b"\r        250,000 100%   47.68MB/s    0:00:00 (xfr#2, to-chk=0/3)\n"
)


@given(st.lists(st.integers(1, len(OUTPUT))))
@example(list(range(1, len(OUTPUT))))
@example([])
def test_output_is_read_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    reader = OutputReader()
    places = sorted({0, *cuts, len(OUTPUT)})
    seen = []
    for begin, end in pairwise(places):
        reader.read(OUTPUT[begin:end])
        seen.append(reader.n_bytes)
    assert reader.sent == {"run-1/a", "run-1/b\nc", "run-1/99 100%"}
    assert reader.n_bytes == 250_000
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(b"", (set(), 0), id="nothing"),
        pytest.param(b"created directory x\nWelcome 10%\n", (set(), 0), id="other lines"),
        pytest.param(b"hsm:a", (set(), 0), id="a line without its end"),
        pytest.param(b"hsm:hsm:a\n", ({"hsm:a"}, 0), id="a name like the prefix"),
        pytest.param(b"hsm: a \n", ({" a "}, 0), id="blanks"),
        pytest.param(b"hsm:\xff\n", ({"\udcff"}, 0), id="bytes"),
        pytest.param(b"  1.234.567   5%\r", (set(), 1_234_567), id="another locale's thousands"),
        pytest.param(b"  200   5%\r  100  5%\r", (set(), 200), id="never back"),
    ],
)
def test_lines_of_output(output: bytes, expected: tuple[set[str], int]) -> None:
    reader = OutputReader()
    reader.read(output)
    assert (reader.sent, reader.n_bytes) == expected


def escape(name: bytes) -> str:
    r"""Write a name as rsync does with --8-bit-output (log.c, filtered_fwrite)."""
    written = bytearray()
    for place, byte in enumerate(name):
        after = name[place + 1 : place + 5]
        is_like_escape = byte == ord("\\") and len(after) == 4 and after[:1] == b"#" and after[1:].isdigit()
        is_control = (byte < 0x20 and byte != 0x09) or byte == 0x7F
        written += b"\\#%03o" % byte if is_like_escape or is_control else bytes([byte])
    return os.fsdecode(bytes(written))


@given(st.one_of(st.binary(), st.text("\\#0123789a\n").map(str.encode)))
@example(b"\\#033\\#777\\#12")
def test_escaped_names_come_back(name: bytes) -> None:
    assert unescape(escape(name)) == os.fsdecode(name)


@given(st.text("\\#0123456789a"))
@example("\\#777")
def test_whatever_rsync_prints_is_a_name(text: str) -> None:
    assert isinstance(unescape(text), str)
