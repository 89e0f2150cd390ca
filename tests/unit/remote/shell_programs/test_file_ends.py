"""Reading the ends of very many files behind a shell: one way for all, another for what changes meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hsm.endpoint import FileEnds
from hsm.process.runner import Completed, Runner
from hsm.remote.local import LocalEndpoint
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.file_ends import EndsRequest, parse_ends

MARK = "0" * 32
SIZES = (0, 1, 7, 8191, 8192, 8193, 32767, 32768, 32769, 65536, 65537, 5 * 32768, 5 * 32768 + 1)


class CountingShell:
    """/bin/sh of this machine, which counts what is asked of it."""

    name = "hpc"

    def __init__(self, folder: Path | None = None) -> None:
        self.path = f"{folder}:/usr/local/bin:/usr/bin:/bin" if folder else "/usr/local/bin:/usr/bin:/bin"
        self.n_runs = 0

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        self.n_runs += 1
        argv = ["env", f"PATH={self.path}", "/bin/sh", "-c", program]
        return Runner().run(argv, stdin=stdin, timeout_seconds=60)


@pytest.fixture
def with_programs(tmp_path: Path) -> Callable[[dict[str, str]], CountingShell]:
    """Return a function that makes a shell where some programs are other ones."""

    def make(programs: dict[str, str]) -> CountingShell:
        folder = tmp_path / "programs"
        folder.mkdir()
        for name, script in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return CountingShell(folder)

    return make


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Return files of all sizes that matter."""
    folder = tmp_path / "files"
    folder.mkdir()
    for size in SIZES:
        (folder / f"f{size}").write_bytes(os.urandom(size))
    return [str(folder / f"f{size}") for size in SIZES]


@pytest.mark.parametrize("find", ["", "exit 1"], ids=["many at once", "one after another"])
@pytest.mark.parametrize(("n_blocks", "head_bytes"), [(2, None), (1, 8192), (0, 8192), (0, 2**40), (1, None)])
def test_both_ways_read_what_this_machine_reads(
    with_programs: Callable[[dict[str, str]], CountingShell],
    files: list[str],
    find: str,
    n_blocks: int,
    head_bytes: int | None,
) -> None:
    shell = with_programs({"find": find} if find else {})
    there = list(RemoteEndpoint(shell).read_ends(files, n_blocks=n_blocks, head_bytes=head_bytes))
    assert there == list(LocalEndpoint().read_ends(files, n_blocks=n_blocks, head_bytes=head_bytes))
    assert [ends.path for ends in there] == files
    assert shell.n_runs == 1


def test_a_file_that_grows_while_it_is_read_is_read_again_with_care(
    with_programs: Callable[[dict[str, str]], CountingShell], files: list[str]
) -> None:
    grown = files[-1]
    flag = f"{grown}.grown"
    grow = f"if [ ! -e {flag} ]; then touch {flag}; printf more >>{grown}; fi"
    shell = with_programs({"tail": f'{grow}; exec {shutil.which("tail")} "$@"'})
    found = list(RemoteEndpoint(shell).read_ends(files, n_blocks=1))
    assert found == list(LocalEndpoint().read_ends(files, n_blocks=1))
    assert (found[-1].size, found[-1].tail[-4:]) == (SIZES[-1] + 4, b"more")
    assert shell.n_runs == 2


def test_content_that_looks_like_the_head_of_the_next_file_is_content(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a", "b", "c")]
    lie = b"".join(f"\n==> {path} <==\n".encode() for path in paths)
    for path in paths:
        Path(path).write_bytes(lie * 2)
    found = list(RemoteEndpoint(CountingShell()).read_ends(paths, n_blocks=0, head_bytes=50))
    assert found == [FileEnds(path, 2 * len(lie), lie[:50], b"", 2 * len(lie)) for path in paths]


@pytest.mark.slow
def test_ten_thousand_files_take_one_session(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number:05}") for number in range(10_000)]
    for path in paths:
        Path(path).write_bytes(path.encode())
    shell = CountingShell()
    found = list(RemoteEndpoint(shell).read_ends([*paths, str(tmp_path / "missing")], n_blocks=2))
    assert [(ends.path, ends.head) for ends in found] == [(path, path.encode()) for path in paths]
    assert shell.n_runs == 1


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(f"{MARK}@", id="cut after the first part"),
        pytest.param(f"{MARK}#/a", id="no size"),
        pytest.param(f"{MARK}#/a\0many\0x", id="a size that is no number"),
        pytest.param(f"{MARK}@x /a\0{MARK}@{MARK}@{MARK}@", id="a size that is no number, of many"),
    ],
)
def test_the_output_of_another_program_is_an_error(output: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - int() and unpacking have words of their own
        parse_ends(output.encode(), EndsRequest(2, 65536, MARK))
