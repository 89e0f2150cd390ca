"""Faults of SFTP: cut connections, full disks, permissions, files of another type in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from private_sshd import PrivateSshd

from hsm.endpoint import Tree
from hsm.model import Root, SourceFile
from hsm.process.runner import CommandStoppedError, Runner
from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.sftp.endpoint import SftpEndpoint
from hsm.transfer.base import PARTIAL_FOLDER, Batch, BatchEnd, make_workspace
from hsm.transfer.seen import SeenFiles
from hsm.transfer.sftp.engine import SftpEngine
from tests.contract.conftest import start_sftp_only

WORKSPACE = make_workspace("sweep_1", "abc")
T = 1_760_000_000 * 10**9
LARGE = 80_000_000


@dataclass
class Bench:
    """Two folders, and a server that can be cut off."""

    sshd: PrivateSshd
    client: ParamikoClient
    source: Path
    root: Path
    pulls: bool
    runner: Runner
    seen: SeenFiles = field(default_factory=SeenFiles)

    def make_engine(self, **options: bool) -> SftpEngine:
        roots = {root: str(self.root) for root in Root}
        return SftpEngine(self.client, self.runner, roots, workspace=WORKSPACE, pulls=self.pulls, **options)

    def write(self, path: str, content: bytes, *, mtime_ns: int = T) -> SourceFile:
        place = self.source / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        os.utime(place, ns=(mtime_ns, mtime_ns))
        return SourceFile(Root.WANDB, path, str(self.source), len(content), mtime_ns, place.stat().st_ino)

    def send(self, engine: SftpEngine, *files: SourceFile) -> tuple[BatchEnd, list[int]]:
        Path(self.root, WORKSPACE).mkdir(parents=True, exist_ok=True)
        moved: list[int] = []
        return engine.send(Batch(Root.WANDB, files, self.seen), lambda n_bytes, _n_files: moved.append(n_bytes)), moved

    def cut(self, engine: SftpEngine, file: SourceFile) -> BatchEnd:
        """Send, and let the connection break in the middle."""
        is_cut = False

        def watch(n_bytes: int, _n_files: int) -> None:
            nonlocal is_cut
            if n_bytes > LARGE // 4 and not is_cut:
                is_cut = True
                self.sshd.kill_sessions()

        Path(self.root, WORKSPACE).mkdir(parents=True, exist_ok=True)
        return engine.send(Batch(Root.WANDB, (file,)), watch)


@pytest.fixture(params=["push", "pull"])
def direction(request: pytest.FixtureRequest) -> str:
    direction: str = request.param
    return direction


@pytest.fixture
def make_bench(
    direction: str, tmp_path: Path, start_sshd: Callable[..., PrivateSshd], make_paramiko: Callable[..., ParamikoClient]
) -> Callable[..., Bench]:
    """Return a function that makes a bench, with a server that runs commands or not."""

    def make(*, runs_commands: bool) -> Bench:
        sshd = start_sshd() if runs_commands else start_sftp_only(start_sshd, tmp_path)
        runner = Runner()
        client = make_paramiko(sshd, runner=runner)
        return Bench(sshd, client, tmp_path / "from", tmp_path / "to", direction == "pull", runner)

    return make


def test_a_broken_connection_goes_on_where_it_stopped(make_bench: Callable[..., Bench]) -> None:
    """Without commands there: what this process has seen arrive is certain."""
    bench = make_bench(runs_commands=False)
    content = os.urandom(LARGE)
    file = bench.write("run-1/big", content)
    engine = bench.make_engine()
    end = bench.cut(engine, file)
    assert end.error is not None
    assert end.error.kind == "connection_dropped"
    assert not (bench.root / "run-1/big").exists()
    again, moved = bench.send(engine, file)
    assert (again.is_clean, again.sent) == (True, {"run-1/big"})
    assert (bench.root / "run-1/big").read_bytes() == content
    assert moved[0] > LARGE // 8
    assert not (bench.root / "run-1" / PARTIAL_FOLDER).exists()


@pytest.mark.slow
def test_another_process_goes_on_with_a_part_whose_checksum_is_right(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(runs_commands=True)
    content = os.urandom(LARGE)
    file = bench.write("run-1/big", content)
    bench.cut(bench.make_engine(), file)
    again, moved = bench.send(bench.make_engine(), file)
    assert again.is_clean
    assert (bench.root / "run-1/big").read_bytes() == content
    assert moved[0] > LARGE // 8


@pytest.mark.parametrize("runs_commands", [True, False])
def test_a_part_that_is_not_the_beginning_is_not_gone_on_with(
    make_bench: Callable[..., Bench], *, runs_commands: bool
) -> None:
    bench = make_bench(runs_commands=runs_commands)
    content = os.urandom(LARGE // 4)
    file = bench.write("run-1/big", content)
    part = bench.root / "run-1" / PARTIAL_FOLDER / "big"
    part.parent.mkdir(parents=True)
    part.write_bytes(os.urandom(LARGE // 8))
    end, _ = bench.send(bench.make_engine(), file)
    assert end.is_clean
    assert (bench.root / "run-1/big").read_bytes() == content
    assert not part.parent.exists()


@pytest.mark.slow
def test_a_source_that_changed_meanwhile_is_sent_from_the_beginning(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(runs_commands=False)
    engine = bench.make_engine()
    bench.cut(engine, bench.write("run-1/big", os.urandom(LARGE)))
    content = os.urandom(LARGE)
    file = bench.write("run-1/big", content, mtime_ns=T + 10**9)
    end, _ = bench.send(engine, file)
    assert end.is_clean
    assert (bench.root / "run-1/big").read_bytes() == content


def test_an_interrupt_leaves_no_half_file_under_a_final_name(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(runs_commands=False)
    engine = bench.make_engine()
    old, new = b"old", os.urandom(LARGE)
    (bench.root / "run-1").mkdir(parents=True)
    (bench.root / "run-1/big").write_bytes(old)
    file = bench.write("run-1/big", new)
    Path(bench.root, WORKSPACE).mkdir(parents=True, exist_ok=True)
    with pytest.raises(CommandStoppedError):
        engine.send(Batch(Root.WANDB, (file,)), lambda n_bytes, _: engine.stop() if n_bytes else None)
    assert (bench.root / "run-1/big").read_bytes() == old


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("thing", ["folder", "symlink", "parent"])
def test_what_is_in_the_way_stays_and_the_rest_arrives(
    make_bench: Callable[..., Bench], tmp_path: Path, thing: str, *, is_large: bool
) -> None:
    bench = make_bench(runs_commands=False)
    outside = tmp_path / "outside"
    outside.mkdir()
    blocked = bench.write("run-1/f", os.urandom(5_000_000 if is_large else 10))
    good = bench.write("run-2/f", b"good")
    place = bench.root / ("run-1" if thing == "parent" else "run-1/f")
    place.parent.mkdir(parents=True)
    if thing == "folder":
        place.mkdir()
    else:
        place.symlink_to(outside)
    end, _ = bench.send(bench.make_engine(), blocked, good)
    assert (end.is_clean, end.sent) == (False, {"run-2/f"})
    assert end.error is not None
    assert end.error.kind == "type_conflict"
    assert set(end.complaints or {}) == {"run-1/f"}
    assert list(outside.iterdir()) == []
    assert place.is_symlink() == (thing != "folder")
    assert not [path for path in bench.root.rglob("*") if path.is_file() and path.name != "f"]


def test_what_is_newer_at_the_destination_is_left_when_asked(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(runs_commands=False)
    files = [bench.write(f"run-1/{name}", b"source") for name in ("newer", "same", "older", "missing")]
    (bench.root / "run-1").mkdir(parents=True)
    for name, mtime_ns in (("newer", T + 10**10), ("same", T), ("older", T - 10**10)):
        (bench.root / "run-1" / name).write_bytes(b"theirs")
        os.utime(bench.root / "run-1" / name, ns=(mtime_ns, mtime_ns))
    bench.seen = SeenFiles(is_checked=False)
    end, _ = bench.send(bench.make_engine(update_only=True), *files)
    assert (end.is_clean, end.sent) == (True, {"run-1/older", "run-1/missing"})
    assert (bench.root / "run-1/newer").read_bytes() == b"theirs"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a file system of 8 MB with 64 inodes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=64", "hsm-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(("n_files", "n_bytes", "kind"), [(20, 1_000_000, "no_space"), (100, 10, "no_inodes")])
def test_a_full_disk_is_told_and_nothing_half_is_left(
    make_bench: Callable[..., Bench], small_disk: Path, n_files: int, n_bytes: int, kind: str
) -> None:
    bench = make_bench(runs_commands=False)
    bench.root = small_disk / "root"
    files = [bench.write(f"run-1/{number}", os.urandom(n_bytes)) for number in range(n_files)]
    end, _ = bench.send(bench.make_engine(), *files)
    assert not end.is_clean
    assert end.error is not None
    assert end.error.kind == kind
    there = list((bench.root / "run-1").iterdir())
    assert {path.stat().st_size for path in there} == {n_bytes}
    assert list(Path(bench.root, WORKSPACE).iterdir()) == []


def test_a_listing_asks_for_many_folders_at_a_time(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(runs_commands=False)
    for number in range(200):
        bench.write(f"run-{number}/files/a", b"x")
    (listing,) = SftpEndpoint(bench.client).survey([Tree(str(bench.source))]).listings
    assert len(listing.entries) == 1 + 3 * 200
    with bench.client.open_sftp() as session:
        assert session.n_at_once >= 64
