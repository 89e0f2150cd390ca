"""Diagnosis of rsync's codes and complaints. The texts are rsync's own, 3.1 to 3.5, and the shells'."""

from __future__ import annotations

import pytest

from hsm.errors import ExitCode, NoRsyncError, TargetError, UnreachableError
from hsm.model import Root, SourceFile
from hsm.transfer.rsync.diagnosis import diagnose_rsync, find_complaints

FULL = """\
rsync: [receiver] write failed on "/data/wandb/run-1/a": No space left on device (28)
rsync error: error in file IO (code 11) at receiver.c(380) [receiver=3.2.7]
"""
INODES = """\
rsync: [receiver] mkstemp "/data/wandb/.hsm-tmp/s/.a.7Zq1xK" failed: No space left on device (28)
rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1338) [sender=3.2.7]
"""
CLOSED = "rsync: connection unexpectedly closed (0 bytes received so far) [sender]\n"


@pytest.mark.parametrize(
    ("returncode", "text", "kind"),
    [
        pytest.param(11, FULL, "no_space", id="a full disk"),
        pytest.param(23, INODES, "no_inodes", id="no inodes"),
        pytest.param(
            11,
            'rsync: [receiver] write failed on "/d/a": Disk quota exceeded (122)',
            "quota",
            id="quota",
        ),
        pytest.param(
            23,
            'rsync: [receiver] mkstemp "/d/.a.XXXXXX" failed: Read-only file system (30)',
            "read_only",
            id="read-only",
        ),
        pytest.param(
            23,
            'rsync: [sender] send_files failed to open "/p/wandb/run-1/a": Permission denied (13)',
            "no_permission",
            id="permission",
        ),
        pytest.param(24, 'file has vanished: "/p/wandb/run-1/a"', "vanished", id="vanished"),
        pytest.param(
            2,
            "protocol version mismatch -- is your shell clean?\n(see the rsync manpage for an explanation)",
            "noisy_shell",
            id="a shell that prints",
        ),
        pytest.param(127, "bash: line 1: rsync: command not found\n" + CLOSED, "rsync_missing", id="bash, none"),
        pytest.param(12, "bash: line 1: rsync: command not found\n" + CLOSED, "rsync_missing", id="bash, none, 12"),
        pytest.param(12, "sh: 1: rsync: not found\n" + CLOSED, "rsync_missing", id="dash, none"),
        pytest.param(12, "rsync: Command not found.\n" + CLOSED, "rsync_missing", id="tcsh, none"),
        pytest.param(12, "zsh:1: command not found: rsync\n" + CLOSED, "rsync_missing", id="zsh, none"),
        pytest.param(12, "fish: Unknown command: rsync\n" + CLOSED, "rsync_missing", id="fish, none"),
        pytest.param(127, CLOSED, "rsync_missing", id="none, by its code"),
        pytest.param(12, CLOSED, "connection_dropped", id="the stream broke"),
        pytest.param(10, "rsync error: error in socket IO (code 10)", "connection_dropped", id="socket"),
        pytest.param(30, "[sender] io timeout after 60 seconds -- exiting", "connection_dropped", id="timeout"),
        pytest.param(35, "rsync error: timeout waiting for daemon connection", "connection_dropped", id="35"),
        pytest.param(255, "rsync error: unexplained error (code 255)", "connection_dropped", id="ssh"),
        pytest.param(-9, "", "connection_dropped", id="killed"),
        pytest.param(
            23, 'rsync: [sender] link_stat "/p/a" failed: Stale file handle (116)', "failing_disk", id="a stale handle"
        ),
        pytest.param(5, "", "rsync_failed", id="nothing said"),
    ],
)
def test_an_end_has_a_kind_and_a_next_step(returncode: int, text: str, kind: str) -> None:
    error = diagnose_rsync(returncode, text, name="desktop", ssh_command="ssh -p 22 cluster")
    is_connection = kind == "connection_dropped"
    assert error.kind == kind
    assert isinstance(error, UnreachableError if is_connection else TargetError)
    assert error.exit_code == (ExitCode.UNREACHABLE if is_connection else ExitCode.PARTIAL)
    assert error.hint
    assert "{" not in error.message + error.hint
    assert error.detail == text.strip()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bash: line 1: /opt/rsync: No such file or directory\n" + CLOSED, "No such file"),
        ("sh: 1: /opt/rsync: Permission denied\n" + CLOSED, "Permission denied"),
        (CLOSED, "it names no version"),
    ],
)
def test_a_wrong_rsync_path_is_named(text: str, words: str) -> None:
    error = diagnose_rsync(127, text, name="desktop", ssh_command="ssh d", rsync_path="/opt/rsync")
    assert isinstance(error, NoRsyncError)
    assert error.message.startswith("/opt/rsync is no rsync that can be run at desktop: ")
    assert words in error.message


def test_the_way_to_a_noisy_shell_is_named() -> None:
    error = diagnose_rsync(
        2, "protocol version mismatch -- is your shell clean?\n", name="desktop", ssh_command="ssh -p 22 cluster"
    )
    assert "`ssh -p 22 cluster true`" in error.hint


def test_an_unknown_end_shows_code_and_last_line() -> None:
    error = diagnose_rsync(13, "one\ntwo\n", name="desktop", ssh_command="")
    assert "code 13: two" in error.message


def make_files(*paths: str) -> list[SourceFile]:
    return [SourceFile(Root.WANDB, path, "/p/wandb", 1, 0, 1) for path in paths]


SAME_NAMES = ("run-1/output.log", "run-2/output.log", "other-run-1/output.log")


@pytest.mark.parametrize(
    ("line", "paths", "named"),
    [
        pytest.param(
            'rsync: [sender] send_files failed to open "/p/wandb/run-1/a": Permission denied (13)',
            ("run-1/a", "run-1/b"),
            {"run-1/a"},
            id="a path of the source",
        ),
        pytest.param(
            'rsync: [receiver] mkstemp "/d/.hsm-tmp/.a.7Zq1xK" failed: No space left on device (28)',
            ("run-1/a", "run-1/b"),
            {"run-1/a"},
            id="a temporary file",
        ),
        pytest.param(
            'rsync: [sender] link_stat "/p/wandb/run-1/output.log" failed: No such file or directory (2)',
            SAME_NAMES,
            {"run-1/output.log"},
            id="the same name in many runs",
        ),
        pytest.param(
            'rsync: [sender] link_stat "/p/wandb/other-run-1/output.log" failed: No such file or directory (2)',
            SAME_NAMES,
            {"other-run-1/output.log"},
            id="a run whose name ends like another's",
        ),
        pytest.param('file has vanished: "/p/wandb/run-1/a"', ("run-1/a",), {"run-1/a"}, id="vanished"),
        pytest.param(
            'rsync: [receiver] mkstemp "/d/.hsm-tmp/.output.log.7Zq1xK" failed: No space left on device (28)',
            SAME_NAMES,
            set(),
            id="nobody knows of which run",
        ),
        pytest.param('rsync: "/p/wandb/run-9/z" strange', ("run-1/a",), set(), id="another file"),
        pytest.param("rsync error: some files (code 23)", ("run-1/a",), set(), id="no file"),
        pytest.param("", ("run-1/a",), set(), id="nothing"),
    ],
)
def test_complaints_are_assigned_to_their_files(line: str, paths: tuple[str, ...], named: set[str]) -> None:
    found = find_complaints(f"{line}\n", make_files(*paths))
    assert set(found) == named
    assert all(line.endswith(message) and '"' in message for message in found.values())


def test_of_two_complaints_about_a_file_the_first_counts() -> None:
    text = 'rsync: "/p/wandb/run-1/a": first\nrsync: "/p/wandb/run-1/a": second\n'
    assert find_complaints(text, make_files("run-1/a"))["run-1/a"].endswith("first")
