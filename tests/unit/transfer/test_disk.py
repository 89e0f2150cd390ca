"""The plain copy, beyond what the contract of all engines asks (`tests/contract/test_engines.py`)."""

import errno
import os
import stat
from pathlib import Path

import pytest

from hsm.model import Root, SourceFile
from hsm.process.runner import CommandStoppedError, Runner
from hsm.transfer.base import PARTIAL_FOLDER, Batch, make_workspace
from hsm.transfer.complaints import explain_number
from hsm.transfer.disk.engine import CopyEngine
from hsm.transfer.seen import SeenFiles

WORKSPACE = make_workspace("s", "abc")

T = 1_760_000_000_123_456_789


class Bench:
    def __init__(self, folder: Path, *, update_only: bool = False) -> None:
        self.source = folder / "src"
        self.there = folder / "there"
        Path(self.there, WORKSPACE).mkdir(parents=True)
        self.engine = CopyEngine(Runner(), {Root.WANDB: str(self.there)}, workspace=WORKSPACE, update_only=update_only)

    def write(self, path: str, content: bytes = b"content", *, mtime_ns: int = T) -> SourceFile:
        target = self.source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, ns=(mtime_ns, mtime_ns))
        return SourceFile(Root.WANDB, path, str(self.source), len(content), mtime_ns, target.stat().st_ino, "run-1")

    def put(self, path: str, content: bytes, *, mtime_ns: int = T) -> Path:
        target = self.there / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, ns=(mtime_ns, mtime_ns))
        return target

    def list_temporary(self) -> list[str]:
        return os.listdir(self.there / WORKSPACE)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ignore(_n_bytes: int, _n_files: int) -> None:
    pass


def test_a_stop_in_the_middle_of_a_file_leaves_the_old_one_and_nothing_beside(bench: Bench) -> None:
    file = bench.write("run-1/big", os.urandom(5_000_000))
    old = bench.put("run-1/big", b"old")
    with pytest.raises(CommandStoppedError):
        bench.engine.send(Batch(Root.WANDB, (file,)), lambda _n_bytes, _n_files: bench.engine.stop())
    assert old.read_bytes() == b"old"
    assert bench.list_temporary() == []


def test_a_symlinked_folder_at_the_destination_is_not_walked(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (bench.there / "run-1").symlink_to(outside)
    end = bench.engine.send(Batch(Root.WANDB, (bench.write("run-1/f"), bench.write("run-2/f"))), ignore)
    assert (end.is_clean, end.sent, list(end.complaints or {})) == (False, {"run-2/f"}, ["run-1/f"])
    assert list(outside.iterdir()) == []


def test_a_folder_in_a_files_place_is_one_files_failure(bench: Bench) -> None:
    (bench.there / "run-1/f/theirs").mkdir(parents=True)
    end = bench.engine.send(Batch(Root.WANDB, (bench.write("run-1/f"), bench.write("run-1/g"))), ignore)
    assert (end.is_clean, end.sent) == (False, {"run-1/g"})
    assert end.error is not None
    assert (end.error.kind, end.complaints) == ("copy_failed", {"run-1/f": "Is a directory"})
    assert (bench.there / "run-1/f/theirs").is_dir()
    assert bench.list_temporary() == []


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        pytest.param(0o644, None, 0o640, id="new files have the source's mode under the umask"),
        pytest.param(0o755, None, 0o750, id="with its right to run"),
        pytest.param(0o400, None, 0o600, id="but can be written"),
        pytest.param(0o644, 0o600, 0o600, id="replaced files keep theirs"),
    ],
)
def test_modes(bench: Bench, here: int, there: int | None, expected: int) -> None:
    file = bench.write("run-1/f")
    (bench.source / file.path).chmod(here)
    if there is not None:
        bench.put("run-1/f", b"old").chmod(there)
    old = os.umask(0o027)
    try:
        assert bench.engine.send(Batch(Root.WANDB, (file,)), ignore).is_clean
    finally:
        os.umask(old)
    assert stat.S_IMODE((bench.there / file.path).stat().st_mode) == expected


@pytest.mark.parametrize(
    ("content", "shift_ns", "is_sent"),
    [
        pytest.param(b"CONTENT", 0, False, id="same size and time"),
        pytest.param(b"other", 1, False, id="newer there"),
        pytest.param(b"other", 0, True, id="another size"),
        pytest.param(b"CONTENT", -1, True, id="older there"),
    ],
)
def test_what_was_not_compared_before_is_left_where_it_is_newer(
    tmp_path: Path, content: bytes, shift_ns: int, is_sent: bool
) -> None:
    bench = Bench(tmp_path, update_only=True)
    there = bench.put("run-1/f", content, mtime_ns=T + shift_ns)
    end = bench.engine.send(Batch(Root.WANDB, (bench.write("run-1/f"),), SeenFiles(is_checked=False)), ignore)
    assert (end.is_clean, bool(end.sent)) == (True, is_sent)
    assert there.read_bytes() == (b"content" if is_sent else content)


def test_only_the_parts_that_rsync_kept_of_these_files_go(bench: Bench) -> None:
    bench.put(f"run-1/{PARTIAL_FOLDER}/f", b"half")
    other = bench.put(f"run-2/{PARTIAL_FOLDER}/theirs", b"half")
    bench.put(f"run-2/{PARTIAL_FOLDER}/f", b"half")
    assert bench.engine.send(Batch(Root.WANDB, (bench.write("run-1/f"), bench.write("run-2/f"))), ignore).is_clean
    assert [path.relative_to(bench.there) for path in bench.there.rglob(f"{PARTIAL_FOLDER}/*")] == [
        other.relative_to(bench.there)
    ]


@pytest.mark.parametrize(
    ("number", "is_making", "kind"),
    [
        (errno.ENOSPC, False, "no_space"),
        (errno.ENOSPC, True, "no_inodes"),
        (errno.EDQUOT, False, "quota"),
        (errno.EROFS, True, "read_only"),
        (errno.EACCES, False, "no_permission"),
        (errno.ESTALE, False, "failing_disk"),
    ],
)
def test_numbers_of_errors(number: int, is_making: bool, kind: str) -> None:
    error = explain_number(number, "on this machine", is_making=is_making)
    assert error is not None
    assert error.kind == kind
    assert "{at}" not in error.message


def test_a_number_that_says_nothing_of_the_place() -> None:
    assert explain_number(errno.EISDIR, "on this machine") is None
