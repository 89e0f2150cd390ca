"""The error for a shell that runs no commands; `show_bytes` is tried with ssh's diagnosis."""

from __future__ import annotations

import pytest

from hsm.remote.noise import make_no_shell_error


@pytest.mark.parametrize(
    ("noise", "complaint", "said", "expected"),
    [
        pytest.param(b"", b"", "", "it ended without a word", id="nothing"),
        pytest.param(b" Welcome\n", b"x", "", 'it answered "Welcome" and "x"', id="both"),
        pytest.param(b" Welcome\n", b"\n", "", 'it answered "Welcome"', id="noise"),
        pytest.param(
            b"",
            b"WARNING: Your password has expired.\r\nPassword change required but no TTY available.\r\n",
            "",
            'it answered "WARNING: Your password has expired. Password change required but no TTY available."',
            id="several lines",
        ),
        pytest.param(b"", b"\x1b[2Jgo\x07", "", r'it answered "\x1b[2Jgo\x07"', id="control characters"),
        pytest.param(
            b"",
            b'debug1: channel 0: setting env TOKEN = "secret"\nno shell\n',
            "",
            'it answered "no shell"',
            id="the log of a login",
        ),
        pytest.param(b"\n", b"no shell\n", "", 'it answered "no shell"', id="a complaint"),
        pytest.param(b"Welcome", b"", "the server refuses", "the server refuses", id="known"),
        pytest.param(b"x" * 301 + b"y", b"", "", f'it answered ..."{"x" * 299}y"', id="much"),
    ],
)
def test_a_shell_without_commands_is_told_by_its_answer(
    noise: bytes, complaint: bytes, said: str, expected: str
) -> None:
    error = make_no_shell_error("desktop", command_line="ssh d", noise=noise, complaint=complaint, said=said)
    assert error.message == f"The shell of target desktop does not run commands: {expected}."
    assert "`ssh d true`" in error.hint
    assert error.kind == "noisy_shell"
    assert "secret" not in error.message + error.detail


def test_the_detail_is_the_end_of_all_that_came() -> None:
    error = make_no_shell_error("d", command_line="ssh d", noise=b"a" * 990, complaint=b"\xff" + b"b" * 20)
    assert error.detail == "a" * 979 + "\ufffd" + "b" * 20
