"""One batch over SFTP: how much of a part is certain, and what counts for the batch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import pytest

from hsm.errors import DiskError, HsmError, NoSpaceError, TargetError
from hsm.model import Root, SourceFile
from hsm.process.runner import Completed
from hsm.transfer.modes import choose_mode
from hsm.transfer.sftp.batch import BatchSetup, BatchTally, SftpClient, choose_time, is_up_to_date
from hsm.transfer.sftp.parts import PartKey

KEY = PartKey((Root.WANDB, "run-1/big"), 10, 20, 30)
SECOND = 10**9


class FarEnd:
    """A remote end that takes one checksum, or runs no programs."""

    name = "desktop"

    def __init__(self, answer: str | None) -> None:
        self.can_run = answer is not None
        self._answer = answer or ""
        self.asked: list[str] = []

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:  # noqa: ARG002
        self.asked.append(stdin.decode())
        return Completed(0, self._answer.encode(), b"")


def make_setup(end: FarEnd) -> BatchSetup:
    return BatchSetup(cast(SftpClient, end), {}, "sweep_1", lambda: None)


def make_answer(content: bytes) -> str:
    return f"sha256\0{hashlib.sha256(content).hexdigest()}\0"


@pytest.mark.parametrize(
    ("known", "n_part", "certain"),
    [
        pytest.param(3, 5, 3, id="the end of the part was not acknowledged"),
        pytest.param(5, 3, 3, id="the part has become shorter"),
        pytest.param(0, 5, 0, id="nothing was acknowledged"),
    ],
)
def test_what_this_process_has_seen_needs_no_checksum(known: int, n_part: int, certain: int) -> None:
    end = FarEnd(make_answer(b"x"))
    setup = make_setup(end)
    setup.parts.begin(KEY, known)
    assert setup.count_certain_bytes(KEY, "/here", "/there", n_part) == certain
    assert end.asked == []


@pytest.mark.parametrize(
    ("answer", "certain"),
    [
        pytest.param(make_answer(b"abc"), 3, id="the same beginning"),
        pytest.param(make_answer(b"abx"), 0, id="another content"),
        pytest.param("sha256\0\0", 0, id="it cannot be read there"),
        pytest.param("none\0", 0, id="no program takes checksums there"),
        pytest.param(None, 0, id="no program runs there"),
    ],
)
def test_a_part_of_another_process_counts_by_its_checksum(answer: str | None, certain: int, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"abcdef")
    setup = make_setup(FarEnd(answer))
    assert setup.count_certain_bytes(KEY, str(tmp_path / "big"), "/there", 3) == certain


def make_file(mtime_ns: int) -> SourceFile:
    return SourceFile(Root.WANDB, "run-1/a", "/p", 10, mtime_ns, 1)


@pytest.mark.parametrize(
    ("size", "mtime", "expected"),
    [
        pytest.param(10, 100, True, id="the same"),
        pytest.param(11, 100, False, id="another size at the same second"),
        pytest.param(1, 101, True, id="newer"),
        pytest.param(10, 99, False, id="older"),
    ],
)
def test_what_is_there_is_up_to_date_by_whole_seconds(size: int, mtime: int, expected: bool) -> None:
    assert is_up_to_date(make_file(100 * SECOND + 7), size, mtime) is expected


def test_a_time_keeps_the_digits_that_the_plan_knows() -> None:
    file = make_file(100 * SECOND + 7)
    assert choose_time(file, 10, 100) == 100 * SECOND + 7
    assert choose_time(file, 11, 100) == choose_time(file, 10, 100) - 7
    assert choose_time(file, 10, 101) == 101 * SECOND


def test_a_file_that_is_replaced_keeps_its_mode() -> None:
    assert (choose_mode(0o755, None), choose_mode(0o755, 0o444)) == (0o755, 0o644)


def test_an_error_that_others_would_meet_counts_for_the_batch() -> None:
    moved: list[Any] = []
    tally = BatchTally(lambda n_bytes, n_files: moved.append((n_bytes, n_files)))
    first, full = TargetError("no permission", detail="raw"), NoSpaceError("full")
    tally.fail(make_file(1), first)
    assert not tally.is_hopeless
    tally.end_file(make_file(1))
    tally.fail(make_file(1)._replace(path="run-1/b"), full)
    tally.fail(make_file(1)._replace(path="run-1/c"), HsmError("another"))
    assert tally.is_hopeless
    end = tally.make_end()
    assert (end.is_clean, end.error, end.sent) == (False, full, {"run-1/a"})
    assert end.complaints == {"run-1/a": "raw", "run-1/b": "full", "run-1/c": "another"}
    assert isinstance(tally.make_end(DiskError("the link")).error, DiskError)
    assert moved[-1] == (0, 1)
