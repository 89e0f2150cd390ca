"""The contract of transfer engines, `hsm.transfer.base.Engine`, held by each of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from private_sshd import PrivateSshd

from hsm.config.settings import ReceiveMode
from hsm.endpoint import Endpoint, Tree
from hsm.errors import LockLostError
from hsm.model import Entry, EntryKind, Root, SourceFile
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import SilentReporter
from hsm.records.lock import make_holder
from hsm.remote.guard import GuardPlaces, LockTaken
from hsm.remote.local import LocalEndpoint, LocalShell
from hsm.remote.openssh.client import OpenSsh
from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.sftp.endpoint import SftpEndpoint
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.targets.lock import TargetLock, WatchedLock
from hsm.transfer.base import (
    PARTIAL_FOLDER,
    TEMPORARY_FOLDER,
    Batch,
    BatchEnd,
    Engine,
    get_temporary_folder,
    make_workspace,
)
from hsm.transfer.destination.mounts import find_mounts
from hsm.transfer.destination.watch import DestinationWatch
from hsm.transfer.disk.engine import CopyEngine
from hsm.transfer.outcome import Outcome
from hsm.transfer.rounds import Patience, Transfer
from hsm.transfer.rsync.engine import RsyncEngine
from hsm.transfer.rsync.setup import RsyncSetup, StreamDirection
from hsm.transfer.rsync.versions import RsyncPair, read_local_version
from hsm.transfer.seen import SeenFiles
from hsm.transfer.sftp.engine import SftpEngine
from tests.contract.conftest import start_sftp_only
from tests.marks import parametrize

SWEEP = "sweep_1"
WORKSPACE = make_workspace(SWEEP, "abc")
SECOND = 10**9
MIB = 1024 * 1024
T = 1_760_000_000_123_456_789
HOSTILE = [
    "it's",
    'a "b"',
    "-n",
    "#c",
    ";d",
    "$(touch x)",
    "new\nline",
    "esc\x1b[31m",
    "back\\#033",
    "*?[",
    "x" * 255,
]

KINDS = [
    "rsync-push",
    "rsync-pull",
    "rsync-local",
    "copy-local",
    "sftp-push",
    "sftp-pull",
    "sftp-only-push",
    "sftp-only-pull",
]
"""The engine and its direction; `sftp-only`: the server lets no command run."""

pytestmark = parametrize("kind", KINDS, quick=["rsync-push", "rsync-pull", "copy-local", "sftp-push", "sftp-only-pull"])


@dataclass
class Bench:
    """An engine between two folders, and the ends it works between."""

    engine: Engine
    source: Endpoint
    destination: Endpoint
    source_folder: Path
    roots: dict[Root, str]
    runner: Runner
    grain_ns: int = 1
    seen: SeenFiles = field(default_factory=SeenFiles)
    sent: tuple[SourceFile, ...] = ()

    def keeps(self, mtime_ns: int) -> int:
        """Cut a time as the destination does."""
        return mtime_ns - mtime_ns % self.grain_ns

    def write(self, path: str, content: bytes = b"content", *, mtime_ns: int = T, prefix: str = "wandb") -> SourceFile:
        target = self.source_folder / prefix / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        os.utime(target, ns=(mtime_ns, mtime_ns))
        status = target.stat()
        told = isinstance(self.source, SftpEndpoint)  # which knows whole seconds and no inodes
        return SourceFile(
            Root.WANDB,
            path,
            str(self.source_folder / prefix),
            len(content),
            self.keeps(mtime_ns) if told else mtime_ns,
            0 if told else status.st_ino,
            path.split("/")[0],
        )

    def send(self, *files: SourceFile) -> BatchEnd:
        """Send files as one transfer does, which knows what it has sent before."""
        self.make_own_folders()
        self.seen.step_ns = self.engine.time_step_ns
        self.seen.note_sent(self.sent)
        self.sent = files
        return self.engine.send(Batch(Root.WANDB, files, self.seen), lambda _n_bytes, _n_files: None)

    def make_own_folders(self) -> None:
        for root in self.roots.values():
            Path(root, WORKSPACE).mkdir(parents=True, exist_ok=True)

    def there(self, path: str) -> Path:
        return Path(self.roots[Root.WANDB]) / path


@pytest.fixture
def receive_mode(request: pytest.FixtureRequest) -> ReceiveMode:
    """Return the option of the target; a test may give another one."""
    mode: ReceiveMode = getattr(request, "param", "private")
    return mode


@pytest.fixture
def bench(
    kind: str,
    receive_mode: ReceiveMode,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    require_program: Callable[..., None],
) -> Bench:
    if kind.startswith("rsync"):
        require_program("rsync")
    roots = {root: str(tmp_path / "there with space" / root.value) for root in Root}
    runner = Runner()
    here = LocalEndpoint()
    if kind == "rsync-local":
        return Bench(
            RsyncEngine(runner, make_setup(StreamDirection.LOCAL, roots, receive_mode)),
            here,
            here,
            tmp_path / "src",
            roots,
            runner,
        )
    if kind == "copy-local":
        copy = CopyEngine(runner, roots, workspace=WORKSPACE, receive_mode=receive_mode)
        return Bench(copy, here, here, tmp_path / "src", roots, runner)
    pulls = kind.endswith("-pull")
    if kind.startswith("sftp"):
        start_sshd = request.getfixturevalue("start_sshd")
        is_only = kind.startswith("sftp-only")
        client: ParamikoClient = request.getfixturevalue("make_paramiko")(
            start_sftp_only(start_sshd, tmp_path) if is_only else start_sshd(), runner=runner
        )
        far: Endpoint = SftpEndpoint(client) if is_only else RemoteEndpoint(client)
        source, destination = (far, here) if pulls else (here, far)
        sftp = SftpEngine(client, runner, roots, workspace=WORKSPACE, pulls=pulls, receive_mode=receive_mode)
        return Bench(sftp, source, destination, tmp_path / "src", roots, runner, SECOND if kind != "sftp-pull" else 1)
    sshd: PrivateSshd = request.getfixturevalue("sshd")
    ssh: OpenSsh = request.getfixturevalue("make_ssh")(sshd)
    there = RemoteEndpoint(ssh)
    source, destination = (there, here) if pulls else (here, there)
    setup = make_setup(StreamDirection.PULL if pulls else StreamDirection.PUSH, roots, receive_mode)
    engine = RsyncEngine(runner, setup, ssh)
    return Bench(engine, source, destination, tmp_path / "src", roots, runner)


def make_setup(direction: StreamDirection, roots: dict[Root, str], receive_mode: ReceiveMode) -> RsyncSetup:
    version = read_local_version(Runner())
    return RsyncSetup(direction, roots, WORKSPACE, RsyncPair(version, version), receive_mode=receive_mode)


def make_transfer(bench: Bench, watch: DestinationWatch | None = None) -> Transfer:
    bench.seen.step_ns = bench.engine.time_step_ns
    bench.seen.note_sent(bench.sent)
    return Transfer(
        bench.engine,
        source=bench.source,
        destination=bench.destination,
        roots=bench.roots,
        reporter=SilentReporter(),
        target="desktop",
        sleep=bench.runner.sleep,
        patience=Patience(settle_seconds=()),
        watch=watch or DestinationWatch(bench.destination, bench.roots, SWEEP, seen=bench.seen),
    )


@pytest.mark.parametrize("receive_mode", ["private", "umask"], indirect=True)
def test_a_private_file_stays_private_unless_the_umask_decides(bench: Bench, receive_mode: ReceiveMode) -> None:
    modes = {"run-1/private": 0o600, "run-1/open": 0o644, "run-1/program": 0o700, "run-1/deep/private": 0o600}
    files = [bench.write(path) for path in modes]
    for file in files:
        Path(file.prefix, file.path).chmod(modes[file.path])
    before = os.umask(0o022)
    try:
        assert bench.send(*files).is_clean
    finally:
        os.umask(before)
    umask = dict.fromkeys(modes, 0o644) | {"run-1/program": 0o755}
    found = {path: bench.there(path).stat().st_mode & 0o7777 for path in modes}
    assert found == (modes if receive_mode == "private" else umask)


def test_files_arrive_whole_with_their_times_from_many_folders(bench: Bench) -> None:
    files = [
        bench.write("run-1/files/a", b"a" * 1000),
        bench.write("run-2/empty", b"", prefix="wandb/s_1/wandb"),
        bench.write("run-3/deep/er/x", os.urandom(300_000), prefix="tasks/t 1/wandb"),
    ]
    end = bench.send(*files)
    assert (end.is_clean, end.sent) == (True, {file.path for file in files})
    for file in files:
        there = bench.there(file.path)
        assert there.read_bytes() == (Path(file.prefix) / file.path).read_bytes()
        assert there.stat().st_mtime_ns == bench.keeps(T)
    assert {path.name for path in bench.there("").iterdir()} == {
        "run-1",
        "run-2",
        "run-3",
        TEMPORARY_FOLDER,
    }


@pytest.mark.parametrize(
    ("data", "size"),
    [
        pytest.param((), 8 * MIB, id="nothing but a hole"),
        pytest.param((0,), 8 * MIB, id="a hole at the end"),
        pytest.param((8 * MIB - 5000,), 8 * MIB, id="a hole at the beginning"),
        pytest.param((70_001, 4 * MIB + 3), 8 * MIB + 1, id="data between holes"),
        pytest.param((MIB,), 2 * MIB, id="a file that no part is kept of"),
    ],
)
def test_a_sparse_file_takes_no_more_room_there(bench: Bench, data: tuple[int, ...], size: int) -> None:
    file = bench.write("run-1/replay.mmap", b"")
    source = Path(file.prefix) / file.path
    with source.open("wb") as stream:
        for offset in data:
            stream.seek(offset)
            stream.write(os.urandom(5000))
        stream.truncate(size)
    os.utime(source, ns=(T, T))
    if source.stat().st_blocks * 512 >= size:
        pytest.skip("the file system here makes no holes")
    (entry,) = bench.source.survey([Tree(file.prefix, (file.path,), max_depth=0)]).listings[0].entries
    assert (entry.disk_bytes is None) is isinstance(bench.source, SftpEndpoint)
    end = bench.send(file._replace(size=size, inode=entry.inode, disk_bytes=entry.disk_bytes))
    assert (end.is_clean, end.sent) == (True, {file.path})
    there = bench.there(file.path)
    assert there.read_bytes() == source.read_bytes()
    assert there.stat().st_mtime_ns == bench.keeps(T)
    assert there.stat().st_blocks * 512 <= 256 * 1024


def test_hostile_names_arrive_as_they_are(bench: Bench) -> None:
    raw = os.fsdecode(b"\xff\xfe")
    files = [bench.write(f"run-1/{name}", name.encode("utf-8", "surrogateescape")) for name in (*HOSTILE, raw)]
    end = bench.send(*files)
    assert (end.is_clean, end.sent) == (True, {file.path for file in files})
    assert sorted(os.listdir(bench.there("run-1"))) == sorted((*HOSTILE, raw))
    assert not list(bench.source_folder.parent.rglob("x"))


def test_a_symlink_travels_as_its_content(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("content")
    os.utime(tmp_path / "outside", ns=(T, T))
    file = bench.write("run-1/link")
    link = Path(file.prefix) / file.path
    link.unlink()
    link.symlink_to(tmp_path / "outside")
    assert bench.send(file._replace(is_link=True)).is_clean
    assert not bench.there(file.path).is_symlink()
    assert bench.there(file.path).read_text() == "content"


def test_only_what_is_named_is_sent_and_nothing_is_deleted(bench: Bench) -> None:
    bench.write("run-1/unnamed")
    bench.there("run-1").mkdir(parents=True)
    bench.there("run-1/theirs").write_text("theirs")
    assert bench.send(bench.write("run-1/named")).is_clean
    assert {path.name for path in bench.there("run-1").iterdir()} == {"named", "theirs"}


def test_a_changed_file_replaces_the_old_one_in_one_step(bench: Bench) -> None:
    bench.send(bench.write("run-1/f", b"old" * 1000))
    before = bench.there("run-1/f").stat().st_ino
    end = bench.send(bench.write("run-1/f", b"new" * 1000))
    assert end.sent == {"run-1/f"}
    assert bench.there("run-1/f").read_bytes() == b"new" * 1000
    assert bench.there("run-1/f").stat().st_ino != before


def test_an_equal_file_is_sent_again_when_asked(bench: Bench) -> None:
    file = bench.write("run-1/f")
    assert bench.send(file).sent == bench.send(file).sent == {"run-1/f"}


def test_a_missing_file_leaves_the_batch_unclean_but_the_rest_arrives(bench: Bench) -> None:
    good, gone = bench.write("run-1/good"), bench.write("run-1/gone")
    (Path(gone.prefix) / gone.path).unlink()
    end = bench.send(good, gone)
    assert not end.is_clean
    assert end.error is not None
    assert bench.there("run-1/good").read_bytes() == b"content"
    assert not bench.there("run-1/gone").exists()


def test_permissions_are_the_destinations_and_files_stay_writable(bench: Bench) -> None:
    file = bench.write("run-1/f")
    (Path(file.prefix) / file.path).chmod(0o400)
    assert bench.send(file).is_clean
    assert bench.there("run-1/f").stat().st_mode & 0o777 == 0o600


def test_cut_files_of_one_name_go_on_apart_and_end_equal(bench: Bench) -> None:
    """A shared folder for parts let two workers write into one file, which ended torn under a final name."""
    content = {f"run-{number}": os.urandom(3_000_000) for number in range(4)}
    files = [bench.write(f"{run}/big.bin", data) for run, data in content.items()]
    for file in files:
        part = bench.there(file.path).parent / PARTIAL_FOLDER / "big.bin"
        part.parent.mkdir(parents=True)
        part.write_bytes(content[file.run][:1_500_000])
    bench.sent = tuple(files)
    transfer = make_transfer(bench)
    bench.make_own_folders()
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda file: bench.engine.send(Batch(Root.WANDB, (file,)), lambda _b, _f: None), files))
    result = transfer.run(sorted(files), n_workers=4)
    assert set(result.outcomes.values()) == {Outcome.SENT}
    for run, data in content.items():
        assert bench.there(f"{run}/big.bin").read_bytes() == data
    assert not list(bench.there("").rglob(PARTIAL_FOLDER))


@pytest.mark.parametrize("is_older", [True, False], ids=["of an older version", "of its own beginning"])
def test_holes_hide_nothing_of_the_part_that_a_sparse_file_goes_on_with(bench: Bench, is_older: bool) -> None:
    content = os.urandom(MIB) + bytes(4 * MIB) + os.urandom(5000) + bytes(3 * MIB)
    file = bench.write("run-1/replay.mmap", content)
    source = Path(file.prefix) / file.path
    with source.open("r+b") as stream:
        for start, end in ((MIB, 5 * MIB), (5 * MIB + 8192, len(content))):
            subprocess.run(
                ["fallocate", "--punch-hole", "--offset", str(start), "--length", str(end - start), str(source)],
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=10,
            )
        stream.flush()
    os.utime(source, ns=(T, T))
    part = bench.there(file.path).parent / PARTIAL_FOLDER / "replay.mmap"
    part.parent.mkdir(parents=True)
    part.write_bytes(os.urandom(len(content)) if is_older else content[: 3 * MIB])
    (entry,) = bench.source.survey([Tree(file.prefix, (file.path,), max_depth=0)]).listings[0].entries
    assert bench.send(file._replace(disk_bytes=entry.disk_bytes)).is_clean
    assert bench.there(file.path).read_bytes() == content


def test_a_comparison_tells_what_differs_in_content_and_changes_nothing(bench: Bench) -> None:
    names = ["run-1/same", "run-1/it's\n2", "run-1/other-time", "run-1/other-content", "run-1/longer", "run-1/missing"]
    files = [bench.write(name, b"content") for name in names]
    bench.send(*files[:-1])
    os.utime(bench.there(names[2]), ns=(T - 10**12, T - 10**12))
    bench.there(names[3]).write_bytes(b"CONTENT")
    os.utime(bench.there(names[3]), ns=(T, T))
    bench.there(names[4]).write_bytes(b"content and more")
    before = {path: path.stat() for path in bench.there("").rglob("*")}
    found = bench.engine.compare(Batch(Root.WANDB, tuple(files)))
    assert found.different == {names[3], names[4]}
    assert found.missing == {names[5]}
    after = {path: path.stat() for path in bench.there("").rglob("*")}
    assert {path: (s.st_ino, s.st_mtime_ns) for path, s in after.items()} == {
        path: (s.st_ino, s.st_mtime_ns) for path, s in before.items()
    }


def test_progress_only_grows(bench: Bench) -> None:
    seen: list[tuple[int, int]] = []
    files = tuple(bench.write(f"run-1/{number}", os.urandom(500_000)) for number in range(5))
    bench.make_own_folders()
    bench.engine.send(Batch(Root.WANDB, files), lambda n_bytes, n_files: seen.append((n_bytes, n_files)))
    assert seen == sorted(seen)
    assert seen[-1][1] == 5
    assert seen[-1][0] >= 2_500_000


def test_after_a_stop_nothing_is_started(bench: Bench) -> None:
    file = bench.write("run-1/f")
    bench.make_own_folders()
    bench.runner.stop()
    with pytest.raises(CommandStoppedError):
        bench.engine.send(Batch(Root.WANDB, (file,)), lambda _n_bytes, _n_files: None)
    assert not bench.there("run-1/f").exists()


@pytest.mark.parametrize("n_workers", [1, 4])
def test_a_transfer_proves_what_it_sent(bench: Bench, n_workers: int) -> None:
    files = [bench.write(f"run-{number}/f", os.urandom(100_000)) for number in range(30)]
    changed, gone = files[3], files[7]
    os.utime(Path(changed.prefix) / changed.path, ns=(T + SECOND, T + SECOND))
    (Path(gone.prefix) / gone.path).unlink()
    bench.make_own_folders()
    transfer = make_transfer(bench)
    result = transfer.run(sorted(files), n_workers=n_workers)
    outcomes = {path: outcome for (_, path), outcome in result.outcomes.items()}
    expected = dict.fromkeys((file.path for file in files), Outcome.SENT)
    expected[changed.path] = expected[gone.path] = Outcome.UNSETTLED
    assert outcomes == expected
    assert {problem.path for problem in result.problems} == {changed.path, gone.path}


def hold_lock(bench: Bench, nonce: str = "abc") -> WatchedLock:
    """Take the lock at the destination, which lies on this machine whatever the way there."""
    places = GuardPlaces(
        f"{bench.roots[Root.SWEEPS]}/outputs/{SWEEP}/.hsm-sync",
        tuple(get_temporary_folder(root, SWEEP) for root in bench.roots.values()),
    )
    for root in bench.roots.values():
        Path(root).mkdir(parents=True, exist_ok=True)
    guard = ShellGuard(LocalShell(bench.runner, name="there"), places, nonce)
    taken = guard.take(f"held by {nonce}\n".encode(), minutes=15, breaks=True)
    assert isinstance(taken, LockTaken)
    holder = make_holder("here", "now", nonce=nonce)
    return WatchedLock(TargetLock(guard, holder, {}, mounts=taken.mounts), sweep=SWEEP, target="there")


def put_there(bench: Bench, path: str, content: str, mtime_ns: int) -> Entry:
    place = bench.there(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)
    os.utime(place, ns=(mtime_ns, mtime_ns))
    return Entry(path, EntryKind.FILE, len(content), mtime_ns, 0)


def test_what_came_or_changed_at_the_destination_since_the_check_is_left(bench: Bench) -> None:
    files = {name: bench.write(f"run-1/{name}", b"ours") for name in ("new", "known", "came", "came older", "changed")}
    known = [put_there(bench, f"run-1/{name}", "was seen", T - 10**10) for name in ("known", "changed")]
    seen = SeenFiles({(Root.WANDB, entry.path): entry for entry in known})
    lock = hold_lock(bench)
    for name, mtime_ns in (("came", T + 10**11), ("came older", T - 10**11), ("changed", T - 10**10 + 5 * 10**9)):
        put_there(bench, f"run-1/{name}", "theirs", mtime_ns)
    transfer = make_transfer(bench, DestinationWatch(bench.destination, bench.roots, SWEEP, lock, seen))
    result = transfer.run(sorted(files.values()), n_workers=1)
    result = transfer.look_at_replaced()
    assert {name: bench.there(f"run-1/{name}").read_text() for name in files} == {
        "new": "ours",
        "known": "ours",
        "came": "theirs",
        "came older": "theirs",
        "changed": "theirs",
    }
    assert {path for (_, path), end in result.outcomes.items() if end is Outcome.SENT} == {"run-1/new", "run-1/known"}
    assert {(problem.path, problem.kind) for problem in result.problems} == {
        (f"run-1/{name}", "conflict") for name in ("came", "came older", "changed")
    }
    assert isinstance(lock._lock.guard.release(("receipt-1.json", b"{}\n"), drops=["abc"]), LockTaken)
    assert sorted(path.name for path in bench.there("").iterdir()) == ["run-1"]


def test_who_lost_the_lock_gives_no_file_a_name(bench: Bench) -> None:
    files = [bench.write("run-1/new", b"ours"), bench.write("run-1/large", os.urandom(5_000_000))]
    old = put_there(bench, "run-1/old", "was seen", T - 10**10)
    seen = SeenFiles({(Root.WANDB, "run-1/old"): old})
    lock = hold_lock(bench)
    hold_lock(bench, "def")
    result = make_transfer(bench, DestinationWatch(bench.destination, bench.roots, SWEEP, lock, seen)).run(
        sorted([*files, bench.write("run-1/old", b"ours, and newer")]), n_workers=1
    )
    assert isinstance(result.error, LockLostError)
    assert not result.files
    assert [path.name for path in bench.there("run-1").iterdir() if path.is_file()] == ["old"]
    assert bench.there("run-1/old").read_text() == "was seen"


def test_a_symlink_that_came_into_a_folders_place_is_not_followed(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    lock = hold_lock(bench)
    bench.there("run-1").symlink_to(outside)
    watch = DestinationWatch(bench.destination, bench.roots, SWEEP, lock)
    result = make_transfer(bench, watch).run([bench.write("run-1/f"), bench.write("run-2/f")], n_workers=1)
    assert list(outside.iterdir()) == []
    assert {path for (_, path), end in result.outcomes.items() if end is Outcome.SENT} == {"run-2/f"}


@pytest.fixture
def disk_below(bench: Bench) -> Iterator[Path]:
    """A file system of 1 MB of its own below the destination's folder."""
    folder = bench.there("run-1")
    folder.mkdir(parents=True)
    argv = ["mount", "-t", "tmpfs", "-o", "size=1m", "hsm-test", str(folder)]
    if shutil.which("mount") is None or subprocess.run(argv, check=False, capture_output=True).returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("fits", [True, False], ids=["fits", "full"])
def test_a_file_system_below_the_root_holds_the_old_file_or_the_new_one(
    bench: Bench, disk_below: Path, fits: bool
) -> None:
    old = put_there(bench, "run-1/f", "o" * 300_000, T - 10**10)
    if not fits:
        put_there(bench, "run-1/filler", "x" * 500_000, T)
    lock = hold_lock(bench)
    mounts = find_mounts(lock._lock.mounts, bench.roots)
    assert mounts.below[Root.WANDB] == ("run-1",)
    (disk_below / get_temporary_folder("", SWEEP).strip("/") / "abc").mkdir(parents=True)  # as `Ledger.widen` does
    watch = DestinationWatch(
        bench.destination, bench.roots, SWEEP, lock, SeenFiles({(Root.WANDB, "run-1/f"): old}), mounts
    )
    file = bench.write("run-1/f", os.urandom(600_000))
    result = make_transfer(bench, watch).run([file], n_workers=1)
    assert (result.outcomes[file.key] is Outcome.SENT) == fits
    new = (Path(file.prefix) / file.path).read_bytes()
    assert bench.there("run-1/f").read_bytes() == (new if fits else b"o" * 300_000)
