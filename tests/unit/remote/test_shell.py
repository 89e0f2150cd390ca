"""Programs on their way through login shells, and their output among noise."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hsm.process.dialogue import Dialogue
from hsm.process.runner import Completed, Runner
from hsm.remote.shell import (
    MAX_PROGRAM_BYTES,
    MAX_WORDS_BYTES,
    count_words_bytes,
    frame,
    get_max_words_bytes,
    make_ends,
    make_mark,
    make_remote_command,
    make_shell_words,
    parse_answer,
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


STAND_INS = {
    "sh": ["sh"],
    "bash": ["bash"],
    "bash as sh": ["bash", "--posix"],
    "dash": ["dash"],
    "busybox": ["busybox", "sh"],
    "zsh as sh": ["zsh", "--emulate", "sh"],
    "zsh": ["zsh", "-f"],
    "ksh": ["ksh"],
}
"""Shells that may be /bin/sh at a target."""


@pytest.fixture(params=STAND_INS)
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dialogue]:
    """An open shell of each kind, in an empty folder."""
    argv = STAND_INS[request.param]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    with closing(Dialogue(Runner(), argv)) as dialogue:
        yield dialogue
        assert list(Path.cwd().iterdir()) == []


def tell(shell: Dialogue, program: str, stdin: bytes = b"") -> tuple[Completed, bytes]:
    mark = make_mark()
    completed = shell.ask(make_shell_words(program, stdin, mark), ends=make_ends(mark), timeout_seconds=30)
    assert completed.returncode == 0, completed
    return parse_answer(completed, mark)


PROGRAMS = [
    pytest.param("true", b"", Completed(0, b"", b""), id="nothing"),
    pytest.param("", b"", Completed(0, b"", b""), id="no program"),
    pytest.param("", b"unread", Completed(0, b"", b""), id="no program, unread input"),
    pytest.param("cat", b"", Completed(0, b"", b""), id="no input"),
    pytest.param("cat", b"\0\n\xff\r\n\n", Completed(0, b"\0\n\xff\r\n\n", b""), id="bytes"),
    pytest.param("printf 'a\\000\\377b'", b"", Completed(0, b"a\0\xffb", b""), id="bytes printed"),
    pytest.param("echo out; echo err >&2; exit 7", b"", Completed(7, b"out\n", b"err\n"), id="exits"),
    pytest.param("cat; exit 7; echo never", b"in", Completed(7, b"in", b""), id="exits after its input"),
    pytest.param("exit 3", b"x" * 20_000, Completed(3, b"", b""), id="exits without its input"),
    pytest.param("false", b"", Completed(1, b"", b""), id="fails"),
    pytest.param("sh -c 'exit 200'", b"", Completed(200, b"", b""), id="a child fails"),
    pytest.param("for x in a b\ndo\n echo $x\ndone\n", b"", Completed(0, b"a\nb\n", b""), id="a loop in lines"),
    pytest.param("f() {\n echo $1\n}\nf x # why", b"", Completed(0, b"x\n", b""), id="a function, a comment"),
    pytest.param("case a in\na) echo 1;;\n*) echo 2;;\nesac", b"", Completed(0, b"1\n", b""), id="case"),
    pytest.param("echo 'it\"s )\n\n(' \\\n more", b"", Completed(0, b'it"s )\n\n( more\n', b""), id="a quote in lines"),
    pytest.param("cat <<E\na $((1+1))\nE\ncat", b"in", Completed(0, b"a 2\nin", b""), id="a here-document"),
    pytest.param(
        'while read -r line; do echo "<$line>"; done', b"a\nb\n", Completed(0, b"<a>\n<b>\n", b""), id="reads lines"
    ),
    pytest.param("cd /; x=1; set -e; trap 'echo bye' EXIT", b"", Completed(0, b"bye\n", b""), id="changes its shell"),
    pytest.param("printf '%s' 'a<b>c?'", b"", Completed(0, b"a<b>c?", b""), id="the signs of the marks"),
]


@pytest.mark.parametrize(("program", "stdin", "expected"), PROGRAMS)
def test_an_open_shell_runs_one_program_after_the_other(
    shell: Dialogue, program: str, stdin: bytes, expected: Completed
) -> None:
    for _ in range(2):
        assert tell(shell, program, stdin) == (expected, b"")
        assert tell(shell, 'pwd; echo "<$x>"; false; echo on') == (
            Completed(0, os.fsencode(Path.cwd()) + b"\n<>\non\n", b""),
            b"",
        )


def test_an_open_shell_gets_hostile_words_as_they_are(shell: Dialogue) -> None:
    words = " ".join(map(quote, HOSTILE))
    answer, _ = tell(shell, f"printf '%s\\0' {words}", stdin=b"x")
    assert answer.stdout == b"".join(os.fsencode(word) + b"\0" for word in HOSTILE)


def test_an_open_shell_takes_the_most_that_it_is_told(shell: Dialogue) -> None:
    content = os.urandom(MAX_WORDS_BYTES)
    assert tell(shell, "cat", content)[0].stdout == content
    assert tell(shell, "cat; cat >&2", b"y" * MAX_WORDS_BYTES)[0].stdout == b"y" * MAX_WORDS_BYTES
    program = "printf %s " + quote("'" * 100 + "x" * (MAX_WORDS_BYTES - 600)) + " | wc -c"
    assert int(tell(shell, program)[0].stdout) == MAX_WORDS_BYTES - 500


def test_a_program_that_leaves_something_running_is_answered_all_the_same(shell: Dialogue) -> None:
    assert tell(shell, "sleep 30 >/dev/null 2>&1 & echo $!; exit 2")[0].returncode == 2
    assert tell(shell, "echo on")[0].stdout == b"on\n"


@pytest.mark.parametrize(
    "base64",
    [
        pytest.param('[ "$1" = -D ] || exit 64; exec /usr/bin/openssl base64 -d', id="spelt -D"),
        pytest.param("exit 127", id="only openssl"),
    ],
)
def test_an_open_shell_unpacks_input_where_base64_differs(
    base64: str, tmp_path: Path, require_program: Callable[..., None]
) -> None:
    require_program("openssl")
    openssl = "exit 127" if "-D" in base64 else f'exec {shutil.which("openssl")} "$@"'
    for name, script in (("base64", base64), ("openssl", openssl)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    content = os.urandom(10_000)
    with closing(Dialogue(Runner(), ["env", f"PATH={tmp_path}:/usr/bin:/bin", "sh"])) as shell:
        assert tell(shell, "cat", content) == (Completed(0, content, b""), b"")


def test_noise_before_the_first_answer_is_found() -> None:
    script = "printf 'Welcome\\n> '; printf 'motd' >&2; exec sh"
    with closing(Dialogue(Runner(), ["sh", "-c", script])) as shell:
        first, noise = tell(shell, "cat; echo err >&2", b"in")
        assert (first.stdout, noise) == (b"in", b"Welcome\n> ")
        assert first.stderr.endswith(b"err\n")
        assert tell(shell, "echo x") == (Completed(0, b"x\n", b""), b"")


@pytest.fixture(scope="module")
def open_sh() -> Iterator[Dialogue]:
    with closing(Dialogue(Runner(), ["sh"])) as dialogue:
        yield dialogue


@given(stdin=st.binary(max_size=3000))
@example(stdin=b"\0")
@example(stdin=MARK.encode() + b"\n" + MARK.encode() + b">")
@example(stdin=b"\n" * 1000)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_bytes_a_program_is_fed_come_back(open_sh: Dialogue, stdin: bytes) -> None:
    answer = open_sh.ask(make_shell_words("cat; exit 5", stdin, MARK), ends=make_ends(MARK), timeout_seconds=30)
    if MARK.encode() + b">" in stdin:
        return  # no noise holds a mark
    assert parse_answer(answer, MARK) == (Completed(5, stdin, b""), b"")


M = MARK.encode()


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        pytest.param(BEGIN + b"x" + M + b"?0" + M + b">", M + b"\n", (Completed(0, b"x", b""), b""), id="nothing else"),
        pytest.param(
            b"hi" + BEGIN + M + b"?130" + M + b">",
            b"err" + M + b"\n",
            (Completed(130, b"", b"err"), b"hi"),
            id="noise, a code, a complaint without a line's end",
        ),
        pytest.param(
            BEGIN + b"\0?\n<>\xff" + M + b"?7" + M + b">rest",
            b"a\nb\n" + M + b"\nlate",
            (Completed(7, b"\0?\n<>\xff", b"a\nb\n"), b""),
            id="bytes, and what came after",
        ),
    ],
)
def test_an_answer_is_read(stdout: bytes, stderr: bytes, expected: tuple[Completed, bytes]) -> None:
    assert parse_answer(Completed(0, stdout, stderr), MARK) == expected


@pytest.mark.parametrize(
    "stdout",
    [
        b"",
        b"Welcome",
        BEGIN + b"x",
        b"x" + M + b"?0" + M + b">",
        BEGIN + b"x" + M + b"?",
        BEGIN + M + b"?what" + M + b">",
    ],
)
def test_what_is_no_answer_is_refused(stdout: bytes) -> None:
    with pytest.raises(ValueError, match=r"without its marks|invalid literal"):
        parse_answer(Completed(0, stdout, M + b"\n"), MARK)


@pytest.mark.parametrize(
    ("round_trip_seconds", "n_bytes"),
    [
        pytest.param(None, 64 * 1024, id="not known yet"),
        pytest.param(0.0001, 64 * 1024, id="a fast link"),
        pytest.param(0.04, 296_296, id="a long one"),
        pytest.param(0.2, 1_481_481, id="a very long one"),
    ],
)
def test_an_open_shell_is_told_what_it_reads_while_another_would_be_opened(
    round_trip_seconds: float | None, n_bytes: int
) -> None:
    assert get_max_words_bytes(round_trip_seconds) == n_bytes


@given(st.text("abc '\n", max_size=40), st.binary(max_size=400))
def test_words_are_about_as_long_as_they_count(program: str, stdin: bytes) -> None:
    words = make_shell_words(program, stdin, make_mark())
    assert 0 <= len(words) - count_words_bytes(program, stdin) < 400
