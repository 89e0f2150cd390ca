"""Complaints of real rsyncs and real shells, for which no file's name is ever taken."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.errors import HsmError
from hsm.transfer.rsync.diagnosis import diagnose_rsync

TMPFS = ["unshare", "--mount", "--map-root-user"] if os.geteuid() else ["unshare", "--mount"]
ENVIRONMENT = {**os.environ, "LC_ALL": "C"}


@pytest.fixture(autouse=True)
def _programs(require_program: Callable[..., None]) -> None:
    require_program("rsync")


def diagnose(completed: subprocess.CompletedProcess[str], **options: bool | str | bytes) -> HsmError:
    assert completed.returncode != 0
    words = {"name": "desktop", "ssh_command": "ssh cluster", **options}
    return diagnose_rsync(completed.returncode, completed.stderr, **words)  # type: ignore[arg-type]


def run(*argv: str | Path, cwd: Path | None = None, user: str | None = None) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in argv]
    return subprocess.run(
        words, check=False, capture_output=True, text=True, timeout=30, cwd=cwd, user=user, env=ENVIRONMENT
    )


@pytest.mark.parametrize(
    ("options", "program", "kind", "words"),
    [
        pytest.param(
            "size=1m", "rsync -r {source}/ {mount}/", "no_space", "The disk at desktop is full", id="no space"
        ),
        pytest.param(
            "nr_inodes=8", "rsync -r {source}/ {mount}/", "no_inodes", "no free inodes", id="no inodes for files"
        ),
        pytest.param(
            "nr_inodes=3",
            "touch {mount}/a {mount}/b; rsync -r --mkpath {source}/ {mount}/x/y/",
            "no_inodes",
            "no free inodes",
            id="no inodes for folders",
        ),
        pytest.param("ro", "rsync -r {source}/ {mount}/", "read_only", "at desktop is read-only", id="read-only"),
    ],
)
def test_a_destination_that_takes_nothing_more(
    options: str, program: str, kind: str, words: str, tmp_path: Path
) -> None:
    mount, source = tmp_path / "mkdir mount", tmp_path / "source"
    for folder in (mount, source):
        folder.mkdir()
    for number in range(20):
        (source / f"file-{number}").write_text("x")
    (source / "large").write_bytes(b"x" * 3_000_000)
    if shutil.which("unshare") is None or run(*TMPFS, "mount", "-t", "tmpfs", "tmpfs", mount).returncode:
        pytest.skip("a file system cannot be mounted here")
    script = program.format(source="source", mount="'mkdir mount'")
    mounting = f"mount -t tmpfs -o {options} tmpfs 'mkdir mount'"
    error = diagnose(run(*TMPFS, "sh", "-c", f"{mounting} && {{ {script}; }}", cwd=tmp_path))
    assert error.kind == kind
    assert words in error.message
    assert "rsync" in error.detail


def is_open(folder: Path) -> bool:
    return folder.stat().st_mode & 0o011 == 0o011


@pytest.fixture
def as_nobody(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a program without the superuser's rights."""

    def call(*argv: str | Path) -> subprocess.CompletedProcess[str]:
        if os.geteuid():
            return run(*argv)
        folders = [folder for folder in (tmp_path, *tmp_path.parents[:-1]) if folder.stat().st_uid == os.geteuid()]
        completed = None
        while completed is None or not all(map(is_open, folders)):  # a pytest that begins closes their common folder
            for folder in folders:
                folder.chmod(folder.stat().st_mode | 0o011)
            completed = run(*argv, user="nobody")
        return completed

    return call


HOSTILE = [
    "No space left on device (28)",
    "Disk quota exceeded (122)",
    "Read-only file system (30)",
    "rsync: command not found",
    "is your shell clean",
    'x" failed: No space left on device (28)',
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_named_like_a_complaint_is_none(
    name: str, tmp_path: Path, as_nobody: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / name).write_text("x")
    (tmp_path / name).chmod(0)
    (tmp_path / "there").mkdir(mode=0o777)
    (tmp_path / "there").chmod(0o777)
    completed = as_nobody("rsync", tmp_path / name, tmp_path / "there")
    assert name.replace('"', "") in completed.stderr.replace('"', "")
    error = diagnose(completed)
    assert error.kind == "no_permission"
    assert "on this machine" in error.message
    vanished = diagnose_rsync(24, f'file has vanished: "/p/{name}"\n', name="desktop", ssh_command="")
    assert vanished.kind == "vanished"


@pytest.mark.parametrize(
    ("pulls", "end", "place"),
    [
        (False, "source", "on this machine"),
        (False, "destination", "at desktop"),
        (True, "source", "at desktop"),
        (True, "destination", "on this machine"),
    ],
)
def test_the_end_that_lacks_permission_is_named(
    pulls: bool, end: str, place: str, tmp_path: Path, as_nobody: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for name in ("source", "destination"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    (tmp_path / "source" / "file").write_text("x")
    if end == "source":
        (tmp_path / "source" / "file").chmod(0)
    else:
        (tmp_path / "destination").chmod(0o555)
    completed = as_nobody("rsync", tmp_path / "source" / "file", f"{tmp_path}/destination/")
    assert diagnose(completed, pulls=pulls).message == f"Permission is missing for a file or folder {place}."


@pytest.fixture
def start_there(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return a function that lets rsync reach an end where this shell line stands for what is started there."""
    (tmp_path / "file").write_text("x")

    def start(line: str) -> subprocess.CompletedProcess[str]:
        remote = tmp_path / "remote.sh"
        remote.write_text(f"#!/bin/sh\n{line}\n")
        remote.chmod(0o755)
        return run("rsync", "-e", remote, tmp_path / "file", "cluster:there")

    return start


@pytest.mark.parametrize(
    "shell",
    ["sh -c", "bash -c", "bash --norc -ic", "zsh -c", "ksh -c", "tcsh -fc", "fish -c", "busybox sh -c", "env --"],
)
@pytest.mark.parametrize("program", ["no-rsync", "/no/such/bin/no-rsync"])
def test_every_shell_is_understood_when_rsync_is_missing(
    shell: str,
    program: str,
    start_there: Callable[[str], subprocess.CompletedProcess[str]],
    require_program: Callable[..., None],
) -> None:
    require_program(shell.split(maxsplit=1)[0])
    completed = start_there(f"{shell} '{program}'\nexit 12")
    error = diagnose(completed, rsync_path=program)
    assert (error.kind, "rsync_path" in error.hint) == ("rsync_missing", True)


def test_another_missing_program_is_not_rsync(start_there: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    completed = start_there("module load rsync 2>&1 | sed 's/^.*$/bash: module: command not found/' >&2; exit 12")
    assert "module: command not found" in completed.stderr
    assert diagnose(completed).kind == "connection_dropped"


def test_noise_is_shown(start_there: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    completed = start_there("echo Welcome to the cluster; exec rsync --server . there")
    error = diagnose(completed, noise=b"Welcome\x1b[0m\n")
    assert error.kind == "noisy_shell"
    assert r'"Welcome\x1b[0m\n"' in error.message
    assert "`ssh cluster true`" in error.hint


def test_an_rsync_that_lacks_an_option_is_too_old(
    start_there: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    assert diagnose(start_there("exec rsync --server --no-such-option . there")).kind == "rsync_too_old"


def test_a_stream_without_life_is_a_dropped_connection(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    sleeper = f"{sys.executable} -c 'import time; time.sleep(20)'"
    completed = run("rsync", "--timeout=1", "-e", sleeper, tmp_path / "file", "cluster:there")
    error = diagnose(completed)
    assert (completed.returncode, error.kind) == (30, "connection_dropped")
    assert "nothing moved" in error.message


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        pytest.param('rsync: [receiver] close failed on "/d/a": Disk quota exceeded (122)', "quota", id="quota, Linux"),
        pytest.param('rsync: mkstemp "/d/.a.XXXXXX" failed: Disc quota exceeded (69)', "quota", id="quota, macOS"),
        pytest.param(
            'rsync: [receiver] write failed on "/d/a": Auf dem Gerät ist kein Speicherplatz mehr verfügbar (28)',
            "no_space",
            id="another language",
        ),
        pytest.param('rsync: write failed on "/d/a": No space left on device (28)', "no_space", id="rsync 3.1"),
        pytest.param(
            'rsync: [receiver] write failed on "/d/a": No space left on device (28)\n'
            'rsync: [sender] send_files failed to open "/p/b": Permission denied (13)',
            "no_space",
            id="the worse of two",
        ),
        pytest.param(
            'rsync: [receiver] write failed on "/d/a": Input/output error (5)', "failing_disk", id="a bad disk"
        ),
    ],
)
def test_the_number_of_an_error_counts_not_its_words(line: str, kind: str) -> None:
    assert diagnose_rsync(23, f"{line}\n", name="desktop", ssh_command="").kind == kind


@pytest.mark.parametrize(
    "line",
    [
        "Welcome. rsync: the disk was: full (28)",
        'skipping "/p/rsync: a: b (28)"',
        "created directory /d/rsync: a: b (13)",
    ],
)
def test_what_is_no_line_of_rsync_has_no_number(line: str) -> None:
    assert diagnose_rsync(23, f"{line}\n", name="desktop", ssh_command="").kind == "rsync_failed"
