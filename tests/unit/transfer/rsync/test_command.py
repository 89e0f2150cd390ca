"""rsync's command line, file list and output, as text, and what a real rsync makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hsm.model import Root, SourceFile
from hsm.process.runner import Runner
from hsm.transfer.base import count_name_bytes
from hsm.transfer.rsync.command import (
    OutputReader,
    RsyncCall,
    StreamDirection,
    make_argv,
    make_file_list,
    make_names,
    make_remote_shell,
    unescape,
)
from hsm.transfer.rsync.engine import get_max_name_bytes

PUSH = RsyncCall(
    StreamDirection.PUSH,
    "/data/my wandb",
    "/data/my wandb/.tmp",
    address="cluster",
    ssh_argv=("ssh", "-o", "ControlPath=/tmp/a b"),
)
ALWAYS = [
    "rsync",
    "--files-from=-",
    "--from0",
    "--times",
    "--omit-dir-times",
    "--copy-links",
    "--chmod=Du+rwx,Fu+rw",
    "--temp-dir=/data/my wandb/.tmp",
    "--partial-dir=.hsm-partial",
    "--timeout=60",
    "--8-bit-output",
    "--no-human-readable",
    "--info=progress2",
    "--outbuf=L",
    "--out-format=hsm:%n",
]
REMOTE = ["--protect-args", '--rsh=ssh -o "ControlPath=/tmp/a b"']
USUAL = ["--no-implied-dirs", "--ignore-times"]


@pytest.mark.parametrize(
    ("call", "options", "ends"),
    [
        pytest.param(PUSH, [*USUAL, *REMOTE], ["/", "cluster:/data/my wandb/"], id="push"),
        pytest.param(
            replace(PUSH, direction=StreamDirection.PULL),
            [*USUAL, *REMOTE],
            ["cluster:/", "/data/my wandb/"],
            id="pull",
        ),
        pytest.param(
            replace(PUSH, direction=StreamDirection.LOCAL, address="", ssh_argv=()),
            USUAL,
            ["/", "/data/my wandb/"],
            id="local",
        ),
        pytest.param(replace(PUSH, protocol=29), ["--ignore-times", *REMOTE], None, id="protocol 29"),
        pytest.param(
            replace(PUSH, protocol=29, to_openrsync=True),
            ["--ignore-times", "--protocol=29", "--no-protect-args", REMOTE[1]],
            None,
            id="openrsync there",
        ),
        pytest.param(replace(PUSH, protocol=32), [*USUAL, *REMOTE], None, id="protocol 32"),
        pytest.param(
            replace(PUSH, skips_newer=True),
            ["--no-implied-dirs", "--update", "--modify-window=-1", *REMOTE],
            None,
            id="nothing was compared",
        ),
        pytest.param(
            replace(PUSH, rsync_path='"$HOME"/bin/rsync'),
            [*USUAL, *REMOTE, '--rsync-path="$HOME"/bin/rsync'],
            None,
            id="another rsync there",
        ),
        pytest.param(
            replace(PUSH, address="[2001:db8::1]"),
            [*USUAL, *REMOTE],
            ["/", "[2001:db8::1]:/data/my wandb/"],
            id="IPv6",
        ),
        pytest.param(
            replace(PUSH, destination="/data/my wandb/"),
            [*USUAL, *REMOTE],
            ["/", "cluster:/data/my wandb/"],
            id="a slash at the end",
        ),
    ],
)
def test_a_call_is_one_command_line(call: RsyncCall, options: list[str], ends: list[str] | None) -> None:
    argv = make_argv(call)
    assert argv[-3:] == ["--", *(ends or ["/", "cluster:/data/my wandb/"])]
    assert sorted(argv[:-3]) == sorted(ALWAYS + options)


@pytest.mark.parametrize(
    "forbidden", ["--append", "--inplace", "--delete", "--archive", "-a", "--perms", "--owner", "--remove-source"]
)
def test_what_could_hurt_is_never_asked_for(forbidden: str) -> None:
    for direction in StreamDirection:
        argv = make_argv(replace(PUSH, direction=direction, skips_newer=True, rsync_path="x"))
        assert not [word for word in argv if word.startswith(forbidden) and not word.startswith("--out")]


def test_another_rsync_here_is_the_program() -> None:
    assert make_argv(replace(PUSH, program="/opt/rsync"))[0] == "/opt/rsync"


WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["ssh", "-o", "ControlPath=/tmp/a b"], id="blank"),
        pytest.param(["ssh", "it's", 'a "b"', "", "\\"], id="quotes"),
        pytest.param(["ssh", "$HOME", "`x`", "*", "#", "~"], id="for a shell"),
        pytest.param(["ssh", "a\tb", "a\nb", "'", '"'], id="white space"),
    ],
)
def test_rsync_splits_the_remote_shell_as_it_was_joined(
    argv: list[str], require_program: Callable[..., None], tmp_path: Path
) -> None:
    require_program("rsync")
    script = tmp_path / "show"
    script.write_text(f'#!/bin/sh\nprintf "%s\\0" "$@" >{tmp_path}/words\nexit 1\n')
    script.chmod(0o755)
    shell = make_remote_shell([str(script), *argv])
    Runner().run(["rsync", f"--rsh={shell}", "--files-from=-", "/", "host:/x"], timeout_seconds=30)
    words = (tmp_path / "words").read_text().split("\0")
    assert words[: len(argv)] == argv
    assert words[len(argv)] == "host"


@pytest.mark.parametrize(
    ("call", "removed", "added"),
    [
        pytest.param(
            replace(PUSH, names=("/p/./a", "/p/./b")), {"--files-from=-", "--from0"}, {"--relative"}, id="names"
        ),
        pytest.param(replace(PUSH, keeps_parts=False), {"--partial-dir=.hsm-partial"}, set(), id="small files"),
        pytest.param(
            replace(PUSH, compression="zstd"),
            set(),
            {"--compress", "--compress-choice=zstd", "--compress-level=1"},
            id="compressed",
        ),
        pytest.param(replace(PUSH, compression="lz4"), set(), {"--compress", "--compress-choice=lz4"}, id="by lz4"),
        pytest.param(
            replace(PUSH, compares=True, names=("/p/./a",), compression="zstd"),
            {"--files-from=-", "--from0", "--partial-dir=.hsm-partial", "--ignore-times", "--timeout=60"}
            | {"--temp-dir=/data/my wandb/.tmp", "--chmod=Du+rwx,Fu+rw", "--info=progress2", "--outbuf=L"}
            | {"--no-human-readable", "--out-format=hsm:%n"},
            {"--relative", "--dry-run", "--checksum", "--out-format=hsm:%i %n"},
            id="compared",
        ),
    ],
)
def test_what_a_call_has_more_and_less_than_usual(call: RsyncCall, removed: set[str], added: set[str]) -> None:
    usual, argv = make_argv(PUSH), make_argv(call)
    place = argv.index("--")
    assert (set(usual[: usual.index("--")]) - set(argv[:place]), set(argv[:place]) - set(usual)) == (removed, added)
    assert argv[place + 1 :] == [*(call.names or ("/",)), "cluster:/data/my wandb/"]


def make_file(path: str, prefix: str = "/p/wandb") -> SourceFile:
    return SourceFile(Root.WANDB, path, prefix, 1, 0, 1)


@pytest.mark.parametrize(
    ("file", "entry"),
    [
        pytest.param(make_file("run-1/a"), b"./p/wandb/./run-1/a\0", id="usual"),
        pytest.param(make_file("a", "/p/wandb/"), b"./p/wandb/./a\0", id="a slash at the end"),
        pytest.param(make_file("a", "/#p"), b"./#p/./a\0", id="a comment's mark in the folder"),
        pytest.param(make_file(";a"), b"./p/wandb/./;a\0", id="a comment's mark in the name"),
        pytest.param(make_file("-n"), b"./p/wandb/./-n\0", id="an option"),
        pytest.param(make_file("a\nb"), b"./p/wandb/./a\nb\0", id="new line"),
        pytest.param(make_file("\udcff\u00fc"), b"./p/wandb/./\xff\xc3\xbc\0", id="bytes"),
    ],
)
def test_an_entry_says_where_the_kept_part_begins(file: SourceFile, entry: bytes) -> None:
    assert make_file_list([file]) == entry


def test_a_list_keeps_the_order() -> None:
    assert make_file_list(map(make_file, "ba")) == b"./p/wandb/./b\0./p/wandb/./a\0"
    assert make_file_list([]) == b""


@pytest.mark.parametrize("by_names", [False, True])
@pytest.mark.parametrize("protocol", [29, 30])
def test_rsync_takes_the_list_and_names_what_it_sends(
    protocol: int, by_names: bool, tmp_path: Path, require_program: Callable[..., None]
) -> None:
    require_program("rsync")
    names = [
        "#c",
        ";d",
        "-n",
        "a\nb",
        "\x1b[1m",
        "\udcff",
        "b\\#033",
        "b\\#777",
        "\\#134",
        "*",
        "[a]",
        "a b",
        "ü",
        ":x",
        "h:/x",
        "h::m",
        "--delete",
        " ",
        "~",
        "\\",
        "it's",
        "x" * 255,
    ]
    files = [make_file(f"run-1/{name}", str(tmp_path / "src")) for name in names]
    files += [make_file("run-2/x", str(tmp_path / "#other")), make_file("run-2/y", f"{tmp_path}/a:b *\n/")]
    for file in files:
        path = Path(f"{file.prefix}/{file.path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.path, errors="surrogateescape")
    (tmp_path / "there").mkdir()
    there = str(tmp_path / "there")
    (tmp_path / "tmp").mkdir()
    call = RsyncCall(StreamDirection.LOCAL, there, str(tmp_path / "tmp"), str(tmp_path / "part"), protocol=protocol)
    given_names = make_names(files, StreamDirection.LOCAL, max_bytes=LIMIT) if by_names else ()
    argv = make_argv(replace(call, names=given_names))
    reader = OutputReader()
    stdin = b"" if by_names else make_file_list(files)
    completed = Runner().stream([argv[0], f"--protocol={protocol}", *argv[1:]], stdin=stdin, on_output=reader.read)
    assert (completed.returncode, completed.stderr) == (0, b"")
    assert reader.sent == {file.path for file in files}
    assert reader.n_bytes == sum(len(os.fsencode(file.path)) for file in files)
    for file in files:
        assert Path(f"{there}/{file.path}").read_bytes() == os.fsencode(file.path)


LIMIT = 256 * 1024


@pytest.mark.parametrize("direction", [StreamDirection.PUSH, StreamDirection.LOCAL])
@pytest.mark.parametrize(
    ("files", "is_named"),
    [
        pytest.param([make_file("a")], True, id="one"),
        pytest.param([make_file("x" * (LIMIT - 21))], True, id="just fits"),
        pytest.param([make_file("x" * (LIMIT - 20))], False, id="just does not"),
        pytest.param([make_file(f"{number:05}") for number in range(10_485)], True, id="many that fit"),
        pytest.param([make_file(f"{number:05}") for number in range(10_486)], False, id="many that do not"),
        pytest.param([make_file("ü" * (LIMIT // 2))], False, id="bytes count, not signs"),
        pytest.param([make_file("\udcff" * (LIMIT - 21))], True, id="a byte that is no text"),
    ],
)
def test_files_are_named_as_words_while_they_fit(
    files: list[SourceFile], is_named: bool, direction: StreamDirection
) -> None:
    expected = tuple(f"/p/wandb/./{file.path}" for file in files) if is_named else ()
    assert make_names(files, direction, max_bytes=LIMIT) == expected


def test_a_pull_names_its_files_by_a_list() -> None:
    assert make_names([make_file("a")], StreamDirection.PULL, max_bytes=LIMIT) == ()


def test_as_many_names_as_fit_make_a_command_that_can_be_started(
    tmp_path: Path, require_program: Callable[..., None]
) -> None:
    require_program("rsync")
    prefix = tmp_path / "src"
    (prefix / "run").mkdir(parents=True)
    limit = get_max_name_bytes()
    n_files = (limit - 1) // count_name_bytes(make_file(f"run/{0:0200}", str(prefix)))
    files = [make_file(f"run/{number:0200}", str(prefix)) for number in range(n_files)]
    for file in files:
        (prefix / file.path).touch()
    assert len(files) > 500
    for name in ("there", "tmp"):
        (tmp_path / name).mkdir()
    names = make_names(files, StreamDirection.LOCAL, max_bytes=limit)
    assert names
    call = RsyncCall(
        StreamDirection.LOCAL, str(tmp_path / "there"), str(tmp_path / "tmp"), names=names, keeps_parts=False
    )
    reader = OutputReader()
    assert Runner().stream(make_argv(call), stdin=b"", on_output=reader.read).returncode == 0
    assert reader.sent == {file.path for file in files}


@pytest.mark.parametrize("by_names", [False, True])
def test_a_folder_in_a_files_place_is_not_sent(
    by_names: bool, tmp_path: Path, require_program: Callable[..., None]
) -> None:
    require_program("rsync")
    files = [make_file(f"run/{name}", str(tmp_path / "src")) for name in ("a", "b")]
    (tmp_path / "src/run/a").mkdir(parents=True)
    (tmp_path / "src/run/a/inside").touch()
    (tmp_path / "src/run/b").write_text("b")
    for name in ("there", "tmp"):
        (tmp_path / name).mkdir()
    call = RsyncCall(StreamDirection.LOCAL, str(tmp_path / "there"), str(tmp_path / "tmp"))
    argv = make_argv(replace(call, names=make_names(files, StreamDirection.LOCAL, max_bytes=LIMIT) if by_names else ()))
    reader = OutputReader()
    Runner().stream(argv, stdin=b"" if by_names else make_file_list(files), on_output=reader.read)
    assert reader.sent == {"run/b"}
    assert [path.name for path in (tmp_path / "there").rglob("*") if path.is_file()] == ["b"]


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
