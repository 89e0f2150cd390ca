"""Programs on their way through login shells, and their output among noise."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.remote.command import Completed, Runner
from hsm.remote.shell import (
    MAX_PROGRAM_BYTES,
    frame,
    make_mark,
    make_remote_command,
    parse_framed,
    quote,
    quote_path,
)

MARK = "0123456789abcdef0123456789abcdef"
SHELLS = ["sh", "bash", "dash", "zsh", "ksh", "tcsh", "csh", "fish"]
HOSTILE = [
    "",
    "a b",
    "it's",
    '"',
    "$HOME",
    "$(touch x)",
    "`y`",
    "a\nb",
    "\\",
    "!1",
    "*",
    "~",
    "-n",
    "#c",
    "ü",
    "\udcff",
]


def run_in(shell: str, command: str, *, stdin: bytes = b"", path: str | None = None) -> Completed:
    """Run a line as sshd does: by the login shell's `-c`."""
    argv = [shell, "-c", command]
    if path is not None:
        argv = ["env", f"PATH={path}", *argv]
    return Runner().run(argv, stdin=stdin, timeout_seconds=30)


@given(st.text())
def test_a_quoted_word_is_one_word(word: str) -> None:
    assert shlex.split(quote(word)) == [word]


def test_a_shell_reads_quoted_words_as_they_are() -> None:
    line = "printf '%s\\0' " + " ".join(map(quote, HOSTILE))
    assert run_in("sh", line).stdout == b"".join(os.fsencode(word) + b"\0" for word in HOSTILE)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a b/$x", "/a b/$x", id="absolute"),
        pytest.param("~/a b/$x", "HOME/a b/$x", id="below the home folder"),
        pytest.param("/a/~/b", "/a/~/b", id="a tilde inside"),
        pytest.param("rsync", "rsync", id="a bare name"),
    ],
)
def test_a_quoted_path_keeps_its_home_folder(path: str, expected: str, tmp_path: Path) -> None:
    home = str(tmp_path / "it's home")
    printed = run_in("sh", f"HOME={quote(home)}; printf %s {quote_path(path)}").stdout
    assert printed.decode() == expected.replace("HOME", home)


def test_marks_are_new_words_every_time() -> None:
    marks = {make_mark() for _ in range(100)}
    assert len(marks) == 100
    assert all(len(mark) == 32 and int(mark, 16) >= 0 for mark in marks)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_program_passes_every_login_shell(shell: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    monkeypatch.chdir(tmp_path)
    words = " ".join(map(quote, HOSTILE))
    program = f"printf '%s\\0' {words}\ncat\necho complaint >&2\nsh -c 'exit 7'"
    completed = run_in(shell, make_remote_command(frame(program, MARK)), stdin=b"in\0put")
    content, noise = parse_framed(completed.stdout, MARK)
    assert content == b"".join(os.fsencode(word) + b"\0" for word in HOSTILE) + b"in\0put"
    assert (noise, completed.stderr, completed.returncode) == (b"", b"complaint\n", 7)
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def test_the_largest_program_fits_an_argument() -> None:
    program = "printf %s " + quote("'" * 100 + "x" * (MAX_PROGRAM_BYTES - 600)) + " | wc -c"
    assert int(run_in("sh", make_remote_command(program)).stdout) == MAX_PROGRAM_BYTES - 500


@pytest.mark.parametrize(
    "base64",
    [
        pytest.param('[ "$1" = -D ] || exit 64; exec /usr/bin/openssl base64 -d -A', id="spelt -D"),
        pytest.param("exit 127", id="only openssl"),
    ],
)
def test_the_program_is_unpacked_where_base64_differs(
    base64: str, tmp_path: Path, require_program: Callable[..., None]
) -> None:
    require_program("openssl")
    openssl = "exit 127" if "-D" in base64 else f'exec {shutil.which("openssl")} "$@"'
    for name, script in (("base64", base64), ("openssl", openssl)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    completed = run_in("sh", make_remote_command("echo unpacked"), path=f"{tmp_path}:/usr/bin:/bin")
    assert completed.stdout == b"unpacked\n"


BEGIN, END = b"\n" + MARK.encode() + b"<", MARK.encode() + b">"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(BEGIN + b"x" + END, (b"x", b""), id="nothing else"),
        pytest.param(BEGIN + END, (b"", b""), id="a program that prints nothing"),
        pytest.param(b"Welcome\n>>" + BEGIN + b"x" + END + b"bye\n", (b"x", b"Welcome\n>>"), id="noise around"),
        pytest.param(BEGIN + b"\0\n<>\xff" + END, (b"\0\n<>\xff", b""), id="bytes"),
        pytest.param(BEGIN + b"x" + BEGIN + END, (b"x" + BEGIN, b""), id="the beginning twice"),
        pytest.param(BEGIN + b"cut", (None, b""), id="no end"),
        pytest.param(BEGIN + b"cut" + END[:-1], (None, b""), id="half an end"),
        pytest.param(b"x" + END, (None, b"x" + END), id="no beginning"),
        pytest.param(b"This account is closed.\n", (None, b"This account is closed.\n"), id="noise alone"),
        pytest.param(b"", (None, b""), id="nothing"),
    ],
)
def test_output_is_found_among_noise(output: bytes, expected: tuple[bytes | None, bytes]) -> None:
    assert parse_framed(output, MARK) == expected


def test_a_program_that_exits_has_no_end() -> None:
    completed = run_in("sh", make_remote_command(frame("echo x; exit 3", MARK)))
    assert (parse_framed(completed.stdout, MARK)[0], completed.returncode) == (None, 3)
