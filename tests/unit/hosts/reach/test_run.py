"""Lines of a command on many machines."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import ExitCode
from hsm.hosts.reach.run import MAX_LINE_BYTES, HostRun, LineReader, get_run_exit_code, make_program

MARK = "0123456789abcdef"


def read(*chunks: bytes) -> tuple[list[str], bool]:
    lines: list[str] = []
    reader = LineReader(MARK, lines.append)
    for chunk in chunks:
        reader.feed(chunk)
    reader.end()
    return lines, reader.is_whole


def frame(output: bytes) -> bytes:
    return b"noise\n\n" + MARK.encode() + b"<" + output + MARK.encode() + b">"


def test_lines_without_noise_and_marks() -> None:
    assert read(frame(b"one\ntwo\r\n\nlast")) == (["one", "two", "", "last"], True)
    assert read(frame(b"one\n")) == (["one"], True)
    assert read(frame(b"")) == ([], True)


def test_what_is_cut_is_not_whole() -> None:
    assert read(frame(b"one\ntw")[:-3]) == (["one", "tw" + MARK[:-2]], False)
    assert read(b"no frame at all\n") == ([], False)
    assert read() == ([], False)


def test_a_line_without_an_end_comes_in_parts() -> None:
    lines, is_whole = read(frame(b"x" * (3 * MAX_LINE_BYTES)))
    assert ("".join(lines), is_whole) == ("x" * (3 * MAX_LINE_BYTES), True)
    assert max(map(len, lines)) <= MAX_LINE_BYTES + len(MARK) + 1


@given(st.binary(max_size=60), st.lists(st.integers(0, 90), max_size=6))
def test_cutting_makes_no_difference(output: bytes, cuts: list[int]) -> None:
    content = frame(output)
    places = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    chunks = [content[begin:end] for begin, end in itertools.pairwise(places)]
    assert read(*chunks) == read(content)


def test_one_word_is_a_line_several_are_quoted() -> None:
    assert make_program(["cd /x && ls"]) == "cd /x && ls"
    assert make_program(["echo", "a b", "$HOME"]) == "echo 'a b' '$HOME'"


def test_exit_codes() -> None:
    good, bad, away = HostRun("a", 0), HostRun("b", 3), HostRun("c", None, "x")
    assert get_run_exit_code([good, good]) is ExitCode.DONE
    assert get_run_exit_code([good, bad]) is ExitCode.PARTIAL
    assert get_run_exit_code([good, away]) is ExitCode.PARTIAL
    assert get_run_exit_code([away, away]) is ExitCode.UNREACHABLE
