"""The error for a shell that runs no commands; `show_bytes` is tried with ssh's diagnosis."""

from __future__ import annotations

import pytest

from hsm.remote.noise import make_no_shell_error


@pytest.mark.parametrize(
    ("noise", "complaint", "said", "expected"),
    [
        pytest.param(b"", b"", "", "it ended without a word", id="nothing"),
        pytest.param(b" Welcome\n", b"x", "", 'it answered "Welcome"', id="noise"),
        pytest.param(b"\n", b"no shell\n", "", 'it answered "no shell"', id="a complaint"),
        pytest.param(b"Welcome", b"", "the server refuses", "the server refuses", id="known"),
        pytest.param(b"x" * 201, b"", "", f'it answered "{"x" * 200}"...', id="much"),
    ],
)
def test_a_shell_without_commands_is_told_by_its_answer(
    noise: bytes, complaint: bytes, said: str, expected: str
) -> None:
    error = make_no_shell_error("desktop", command_line="ssh d", noise=noise, complaint=complaint, said=said)
    assert error.message == f"The shell of target desktop does not run commands: {expected}."
    assert "`ssh d true`" in error.hint
    assert error.kind == "noisy_shell"


def test_the_detail_is_the_end_of_all_that_came() -> None:
    error = make_no_shell_error("d", command_line="ssh d", noise=b"a" * 990, complaint=b"\xff" + b"b" * 20)
    assert error.detail == "a" * 979 + "\ufffd" + "b" * 20
