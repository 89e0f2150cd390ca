"""The search for wandb folders behind a shell, beside its contract: other programs there, and answers that are none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.endpoint import CutReason, CutSearch, FolderSearch, FoundFolders, SearchBounds
from hsm.process.runner import Completed, Runner
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.search_answer import parse_search

PROGRAMS = ("awk", "cat", "cksum", "date", "df", "env", "find", "sh", "stat", "tr", "uname", "xargs", "sleep")


class ShellHere:
    """Implements `hsm.remote.shell.RemoteShell` with /bin/sh of this machine and its own programs."""

    name = "desktop"

    def __init__(self, path: str, *prefix: str) -> None:
        self._prefix = (*prefix, "env", f"PATH={path}")

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        return Runner().run([*self._prefix, "/bin/sh", "-c", program], stdin=stdin, timeout_seconds=60)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("part/wandb", "slow/er/wandb"):
        (tmp_path / "project" / name).mkdir(parents=True)
    return tmp_path / "project"


@pytest.fixture
def with_programs(tmp_path: Path, require_program: Callable[..., None]) -> Callable[..., RemoteEndpoint]:
    """Return a function that makes an endpoint with few programs, some of them of one's own."""

    def make(*more: str, **scripts: str) -> RemoteEndpoint:
        require_program(*PROGRAMS, *more)
        folder = tmp_path / "programs"
        folder.mkdir()
        for name in {*PROGRAMS, *more} - scripts.keys():
            (folder / name).symlink_to(shutil.which(name) or "")
        for name, text in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        return RemoteEndpoint(ShellHere(str(folder)))

    return make


def search(endpoint: RemoteEndpoint, base: Path, **bounds: float) -> FoundFolders:
    given = SearchBounds(**{"seconds": 60, **bounds})  # type: ignore[arg-type]
    found = endpoint.survey([], search=FolderSearch(str(base), bounds=given)).found
    assert found is not None
    return found


@pytest.mark.parametrize("timer", [("timeout",), ("perl",), ()], ids=lambda timer: timer[0] if timer else "none")
def test_whatever_keeps_the_time_there_the_folders_are_found(
    with_programs: Callable[..., RemoteEndpoint], base: Path, timer: tuple[str, ...]
) -> None:
    assert search(with_programs(*timer), base).wandb == ("part/wandb", "slow/er/wandb")


def test_a_timeout_of_other_words_is_not_used(with_programs: Callable[..., RemoteEndpoint], base: Path) -> None:
    endpoint = with_programs(timeout='[ "$1" = -t ] || { echo "timeout: cannot run $1" >&2; exit 127; }')
    assert search(endpoint, base).wandb == ("part/wandb", "slow/er/wandb")


def test_without_awk_it_is_said_that_nothing_was_searched(
    with_programs: Callable[..., RemoteEndpoint], base: Path
) -> None:
    found = search(with_programs(awk="exit 127"), base)
    assert found == FoundFolders(str(base), cut=(CutSearch("", CutReason.UNREADABLE),))


@pytest.mark.parametrize("timer", ["timeout", "perl"])
def test_a_folder_that_takes_too_long_is_named(
    with_programs: Callable[..., RemoteEndpoint], base: Path, timer: str
) -> None:
    find = f'case "$*" in *slow/er*maxdepth*) exec sleep 30 ;; esac; exec {shutil.which("find")} "$@"'
    found = search(with_programs(timer, find=find), base, seconds=2)
    assert found.wandb == ("part/wandb",)
    assert found.cut == (CutSearch("slow/er", CutReason.TIME),)


def test_what_cannot_be_read_there_is_named(base: Path) -> None:
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        without = "-dac_override,-dac_read_search"
        prefix = ("setpriv", f"--bounding-set={without}", f"--inh-caps={without}")
    endpoint = RemoteEndpoint(ShellHere(os.environ["PATH"], *prefix))
    (base / "slow").chmod(0)
    try:
        expected = FoundFolders(str(base), ("part/wandb",), cut=(CutSearch("slow", CutReason.UNREADABLE),))
        assert search(endpoint, base) == expected
        assert search(endpoint, base / "slow") == FoundFolders(
            str(base / "slow"), cut=(CutSearch("", CutReason.UNREADABLE),)
        )
    finally:
        (base / "slow").chmod(0o700)


@pytest.mark.parametrize(
    "line",
    [
        b"W'../x/wandb'",
        b"W'./../x/wandb'",
        b"W'/x/wandb'",
        b"W'./a//wandb'",
        b"W'./a/./wandb'",
        b"W'./a/b/c/d/wandb'",
        b"W'./a\0b/wandb'",
        b"W./a/wandb",
        b"b'relative'",
        b"X'./a'",
        b"motd of the day",
        b"",
    ],
)
def test_an_answer_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match="search"):
        parse_search(b"b'/p'\n" + line + b"\n", FolderSearch("/p"), home="/home/me")


def test_a_base_that_is_not_there_is_told_as_asked() -> None:
    assert parse_search(b"", FolderSearch("~/p"), home="/home/me") == FoundFolders("/home/me/p")
    assert parse_search(b"", FolderSearch("/p"), home="/home/me") == FoundFolders("/p")
