"""rsync's command line and file list, as text, and what a real rsync makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st

from hsm.model import Root, SourceFile
from hsm.process.runner import Runner
from hsm.transfer.base import count_name_bytes
from hsm.transfer.batches import make_batches
from hsm.transfer.rsync.command import RsyncCall, make_argv, make_file_list, make_names, make_remote_shell
from hsm.transfer.rsync.engine import RsyncEngine, get_max_name_bytes
from hsm.transfer.rsync.output import OutputReader
from hsm.transfer.rsync.setup import RsyncSetup, StreamDirection
from hsm.transfer.rsync.versions import RsyncPair, RsyncVersion

WORKSPACE = ".hsm-tmp/sweep_1/abc"
NEW = RsyncVersion((3, 2, 7), 31)
SETUP = RsyncSetup(StreamDirection.PUSH, {Root.WANDB: "/data/my wandb"}, WORKSPACE, RsyncPair(NEW, NEW))
PUSH = RsyncCall(SETUP, Root.WANDB, WORKSPACE, address="cluster", ssh_argv=("ssh", "-o", "ControlPath=/tmp/a b"))


def make_push(**changes: object) -> RsyncCall:
    """Make the usual call with another setup."""
    return replace(PUSH, setup=replace(SETUP, **changes))  # type: ignore[arg-type]


def make_push_to(there: RsyncVersion) -> RsyncCall:
    return make_push(pair=RsyncPair(NEW, there))


def make_local(tmp_path: Path, *, protocol: int = 31) -> RsyncCall:
    """Make a call between two folders of this machine, whose temporary folder is there."""
    (tmp_path / "there" / WORKSPACE).mkdir(parents=True)
    version = RsyncVersion((3, 2, 7), protocol)
    roots = {Root.WANDB: str(tmp_path / "there")}
    setup = RsyncSetup(StreamDirection.LOCAL, roots, WORKSPACE, RsyncPair(version, version))
    return RsyncCall(setup, Root.WANDB, WORKSPACE)


TEMPORARY = f"--temp-dir={WORKSPACE}"
BACKUP = ("--backup", f"--backup-dir={WORKSPACE}.old")
ALWAYS = [
    "rsync",
    "--files-from=-",
    "--from0",
    "--times",
    "--omit-dir-times",
    "--copy-links",
    "--chmod=Du+rwx,Fu+rw",
    TEMPORARY,
    *BACKUP,
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
            make_push(direction=StreamDirection.PULL),
            [*USUAL, *REMOTE],
            ["cluster:/", "/data/my wandb/"],
            id="pull",
        ),
        pytest.param(
            replace(make_push(direction=StreamDirection.LOCAL), address="", ssh_argv=()),
            USUAL,
            ["/", "/data/my wandb/"],
            id="local",
        ),
        pytest.param(make_push_to(RsyncVersion((3, 1, 3), 29)), ["--ignore-times", *REMOTE], None, id="protocol 29"),
        pytest.param(
            make_push_to(RsyncVersion((2, 6, 9), 29, is_openrsync=True)),
            ["--ignore-times", "--protocol=29", "--no-protect-args", REMOTE[1]],
            None,
            id="openrsync there",
        ),
        pytest.param(make_push_to(RsyncVersion((3, 1, 0), 30)), [*USUAL, *REMOTE], None, id="protocol 30"),
        pytest.param(
            make_push(update_only=True),
            ["--no-implied-dirs", "--update", "--modify-window=-1", *REMOTE],
            None,
            id="nothing was compared",
        ),
        pytest.param(
            make_push(rsync_path="~/bin/rsync"),
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
            make_push(roots={Root.WANDB: "/data/my wandb/"}),
            [*USUAL, *REMOTE],
            ["/", "cluster:/data/my wandb/"],
            id="a slash at the end",
        ),
    ],
)
def test_a_call_is_one_command_line(call: RsyncCall, options: list[str], ends: list[str] | None) -> None:
    argv = make_argv(call)
    assert argv[-3:] == ["--", *(ends or ["/", "cluster:/data/my wandb/"])]
    expected = [*ALWAYS, *options]
    if call.setup.pair.to_openrsync:  # which looks from where it was started
        expected[expected.index(TEMPORARY)] = f"--temp-dir=/data/my wandb/{WORKSPACE}"
        expected = [word for word in expected if word not in BACKUP]  # which it does not know
    assert sorted(argv[:-3]) == sorted(expected)


@pytest.mark.parametrize(
    "forbidden", ["--append", "--inplace", "--delete", "--archive", "-a", "--perms", "--owner", "--remove-source"]
)
def test_what_could_hurt_is_never_asked_for(forbidden: str) -> None:
    for direction in StreamDirection:
        argv = make_argv(make_push(direction=direction, update_only=True, rsync_path="x"))
        assert not [word for word in argv if word.startswith(forbidden) and not word.startswith("--out")]


@pytest.mark.parametrize(
    ("here", "there", "direction", "keeps", "tears"),
    [
        pytest.param(
            (3, 1, 2), (3, 1, 2), StreamDirection.PUSH, True, False, id="before parts were continued in place"
        ),
        pytest.param((3, 5, 0), (3, 2, 7), StreamDirection.PUSH, True, True, id="the receiver leaves what is behind"),
        pytest.param((3, 5, 0), (3, 2, 7), StreamDirection.PULL, True, False, id="the sender may be as old"),
        pytest.param((3, 3, 0), (3, 3, 0), StreamDirection.LOCAL, True, False, id="mended"),
    ],
)
def test_holes_are_kept_where_both_can(
    here: tuple[int, ...], there: tuple[int, ...], direction: StreamDirection, keeps: bool, tears: bool
) -> None:
    setup = replace(SETUP, direction=direction, pair=RsyncPair(RsyncVersion(here, 31), RsyncVersion(there, 31)))
    assert (setup.keeps_holes, setup.tears_sparse_parts) == (keeps, tears)
    assert "--sparse" in make_argv(replace(PUSH, keeps_holes=True))
    assert "--sparse" not in make_argv(PUSH)


def test_openrsync_keeps_no_holes() -> None:
    setup = replace(SETUP, pair=RsyncPair(NEW, RsyncVersion((2, 6, 9), 29, is_openrsync=True)))
    assert not setup.keeps_holes


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
            | {TEMPORARY, *BACKUP, "--chmod=Du+rwx,Fu+rw", "--info=progress2", "--outbuf=L"}
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
    call = make_local(tmp_path, protocol=protocol)
    given_names = make_names(files, StreamDirection.LOCAL, max_bytes=LIMIT) if by_names else ()
    argv = make_argv(replace(call, names=given_names))
    reader = OutputReader()
    stdin = b"" if by_names else make_file_list(files)
    completed = Runner().stream([argv[0], f"--protocol={protocol}", *argv[1:]], stdin=stdin, on_output=reader.read)
    assert (completed.returncode, completed.stderr) == (0, b"")
    assert reader.sent == {file.path for file in files}
    assert reader.n_bytes == sum(len(os.fsencode(file.path)) for file in files)
    for file in files:
        assert Path(f"{tmp_path}/there/{file.path}").read_bytes() == os.fsencode(file.path)


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


def test_a_pull_takes_several_lists_since_a_long_one_is_read_slowly() -> None:
    engine = RsyncEngine(Runner(), replace(SETUP, direction=StreamDirection.PULL))
    files = [make_file(f"run/{number:0100}") for number in range(10_000)]
    batches = make_batches(files, n_streams=1, max_name_bytes=engine.capabilities.max_name_bytes)
    assert [file for batch in sorted(batches, key=lambda batch: batch.files[0]) for file in batch.files] == files
    assert max(len(batch.files) for batch in batches) < 3000


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
    names = make_names(files, StreamDirection.LOCAL, max_bytes=limit)
    assert names
    call = replace(make_local(tmp_path), names=names, keeps_parts=False)
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
    call = make_local(tmp_path)
    argv = make_argv(replace(call, names=make_names(files, StreamDirection.LOCAL, max_bytes=LIMIT) if by_names else ()))
    reader = OutputReader()
    Runner().stream(argv, stdin=b"" if by_names else make_file_list(files), on_output=reader.read)
    assert reader.sent == {"run/b"}
    assert [path.name for path in (tmp_path / "there").rglob("*") if path.is_file()] == ["b"]
