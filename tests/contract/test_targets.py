"""The contract of a connection to a target (`hsm.targets.contract`), held by every kind, the fake included."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from private_sshd import PrivateSshd

from hsm.config.schema import parse_target
from hsm.config.settings import TargetSettings
from hsm.discover.sweeps import Layout
from hsm.endpoint import Tree
from hsm.model import Root, SourceFile
from hsm.process.runner import Runner
from hsm.progress import SilentReporter
from hsm.remote.guard import GuardPlaces, LockTaken
from hsm.targets.connect import connect
from hsm.targets.contents.marks import make_mark_name
from hsm.targets.contract import Connection
from hsm.transfer.base import Batch, get_temporary_folder, make_workspace
from tests.contract.conftest import make_settings, start_sftp_only
from tests.fake_target import FakeTarget

SWEEP = "sweep_1"
NONCE = "0123abcd"
WORKSPACE = make_workspace(SWEEP, NONCE)
PATH = "run-1/files/a b.txt"
CONTENT = b"content"
T = 1_760_000_000_000_000_000

pytestmark = pytest.mark.parametrize("kind", ["fake", "folder", "openssh", "auto", "paramiko", "sftp-only"])


class Bench:
    """A connection, and the folder of this machine that its target lies in."""

    def __init__(self, connection: Connection, here: Path, there: Path) -> None:
        self.connection = connection
        self.here = here
        self.roots = {root: str(there / root.value) for root in Root}

    @property
    def landing(self) -> Path:
        return Path(self.roots[Root.WANDB]) / PATH

    def write(self) -> SourceFile:
        """Write a file of a run here."""
        path = self.here / "wandb" / PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
        os.utime(path, ns=(T, T))
        return SourceFile(Root.WANDB, PATH, str(self.here / "wandb"), len(CONTENT), T, path.stat().st_ino, "run-1")

    def make_places(self) -> GuardPlaces:
        folder = f"{self.roots[Root.SWEEPS]}/outputs/{SWEEP}/.hsm-sync"
        return GuardPlaces(folder, tuple(get_temporary_folder(root, SWEEP) for root in self.roots.values()))

    def send(self, *files: SourceFile) -> frozenset[str]:
        """Send files as a push does, with the lock held."""
        guard = self.connection.make_guard(self.make_places(), NONCE)
        guard.take(b"content of a lock\n", minutes=15)
        try:
            engine = self.connection.make_engine(self.roots, workspace=WORKSPACE, update_only=False)
            end = engine.send(Batch(Root.WANDB, files), lambda _n_bytes, _n_files: None)
        finally:
            guard.release(None)
        assert end.is_clean, end.error
        return end.sent


@pytest.fixture
def bench(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    here, there = tmp_path / "here", tmp_path / "there with space"
    here.mkdir()
    if kind == "fake":
        connection: Connection = FakeTarget(there)
    else:
        settings = make_target_settings(kind, there, tmp_path, request)
        layout = Layout(str(here), str(here / "sweeps"), str(here / "wandb"))
        connection = connect("desktop", settings, Runner(), SilentReporter(), layout=layout)
    with connection.keep_open():
        connection.login()
        yield Bench(connection, here, there)
    connection.logout()


def make_target_settings(kind: str, there: Path, tmp_path: Path, request: pytest.FixtureRequest) -> TargetSettings:
    paths = {"paths": {root.value: str(there / root.value) for root in Root}}
    if kind == "folder":
        return parse_target({"engine": "copy", **paths})
    require: Callable[..., None] = request.getfixturevalue("require_program")
    start_sshd: Callable[..., PrivateSshd] = request.getfixturevalue("start_sshd")
    if kind in ("openssh", "auto"):
        require("rsync")
    sshd = start_sftp_only(start_sshd, tmp_path) if kind == "sftp-only" else start_sshd()
    client = {"paramiko": "paramiko", "sftp-only": "paramiko"}.get(kind, "auto")
    engine = {"openssh": "rsync", "auto": "auto"}.get(kind, "sftp")
    found = parse_target({"host": "x", **paths}).paths
    return replace(make_settings(sshd, client=client), engine=engine, paths=found)


def test_it_has_a_name_and_says_what_it_is(bench: Bench, kind: str) -> None:
    connection = bench.connection
    assert connection.name == connection.endpoint.name == "desktop"
    assert connection.is_folder is (kind == "folder")
    assert connection.endpoint.is_remote is not connection.is_folder
    assert connection.find_host() == ("" if connection.is_folder else "127.0.0.1")
    assert (connection.login_lasts_seconds > 0) is (kind in ("openssh", "auto"))
    assert connection.list_notices() == ()


def test_a_shell_runs_commands_where_they_may_run(bench: Bench, kind: str) -> None:
    shell = bench.connection.shell
    assert (shell is None) is (kind in ("folder", "sftp-only"))
    if shell is not None:
        assert shell.run("echo in").stdout == b"in\n"


def test_what_is_sent_is_what_a_survey_sees(bench: Bench) -> None:
    bench.connection.check_roots(bench.roots)
    assert bench.send(bench.write()) == {PATH}
    listing = bench.connection.endpoint.survey([Tree(bench.roots[Root.WANDB], ("run-1",))]).listings[0]
    entries = {entry.path: entry for entry in listing.entries}
    assert entries[PATH].size == len(CONTENT)
    assert entries[PATH].mtime_ns // 10**9 == T // 10**9
    assert bench.landing.read_bytes() == CONTENT


def test_a_time_that_cannot_be_kept_keeps_no_file_back(bench: Bench) -> None:
    """SFTP knows no time after 2106, and a disk may end sooner: what arrives with another time is known by the plan."""
    file = bench.write()
    os.utime(bench.here / "wandb" / PATH, ns=(2**33 * 10**9,) * 2)
    assert bench.send(file._replace(mtime_ns=2**33 * 10**9)) == {PATH}
    assert bench.landing.read_bytes() == CONTENT


def test_a_pull_brings_it_back(bench: Bench) -> None:
    bench.send(bench.write())
    back = {root: str(bench.here / "back" / root.value) for root in Root}
    Path(back[Root.WANDB], WORKSPACE).mkdir(parents=True)
    engine = bench.connection.make_engine(back, workspace=WORKSPACE, update_only=False, pulls=True)
    listing = bench.connection.endpoint.survey([Tree(bench.roots[Root.WANDB], (PATH,), 0)]).listings[0]
    entry = listing.entries[0]
    file = SourceFile(Root.WANDB, PATH, bench.roots[Root.WANDB], entry.size, entry.mtime_ns, entry.inode, "run-1")
    end = engine.send(Batch(Root.WANDB, (file,)), lambda _n_bytes, _n_files: None)
    assert (end.is_clean, end.sent) == (True, {PATH})
    assert (Path(back[Root.WANDB]) / PATH).read_bytes() == CONTENT


def test_the_content_of_what_is_there_can_be_told(bench: Bench) -> None:
    bench.send(bench.write())
    contents = bench.connection.contents()
    missing = str(bench.landing.with_name("missing"))
    sums = contents.read_checksums({str(bench.landing): len(CONTENT), missing: 1})
    assert sums == {str(bench.landing): hashlib.sha256(CONTENT).hexdigest()}


def test_what_is_there_can_be_flushed_to_its_disk(bench: Bench) -> None:
    bench.send(bench.write())
    contents = bench.connection.contents()
    contents.check_flush()
    assert contents.flush([str(bench.landing)], [str(bench.landing.parent)]) == {}
    assert contents.read_checksums({str(bench.landing): len(CONTENT)}) != {}


def test_a_flush_tells_of_each_file_that_it_failed_for(bench: Bench) -> None:
    """One that cannot be flushed says nothing of the others, and its words are the system's."""
    bench.send(bench.write())
    missing, link = str(bench.landing.with_name("missing\nfile")), bench.landing.with_name("link")
    failures = bench.connection.contents().flush([missing, str(bench.landing)], [])
    assert list(failures) == [missing]
    assert "o such file" in failures[missing]
    link.symlink_to("nowhere")
    assert list(bench.connection.contents().flush([str(link)], [])) == [str(link)]


def test_files_with_a_second_name_are_found(bench: Bench, kind: str) -> None:
    bench.send(bench.write())
    paths = [str(bench.landing), str(bench.landing.with_name("missing"))]
    assert bench.connection.contents().find_linked(paths) == frozenset()
    bench.landing.with_name("hard").hardlink_to(bench.landing)
    expected = frozenset() if kind == "sftp-only" else {str(bench.landing)}  # SFTP tells neither inodes nor names
    assert bench.connection.contents().find_linked(paths) == expected


def test_a_mark_is_made_and_removed_and_says_where_it_could_not_be(bench: Bench) -> None:
    bench.send(bench.write())
    folder, contents = bench.landing.parent, bench.connection.contents()
    name = make_mark_name("sweep_1")
    before = sorted(folder.iterdir())
    failures = contents.make_marks([f"{folder}/none", str(folder)], name)
    assert list(failures) == [f"{folder}/none"]
    assert failures[f"{folder}/none"]
    assert (folder / name).read_bytes() == b""
    contents.remove_marks([f"{folder}/none", str(folder)], name)
    assert sorted(folder.iterdir()) == before


def test_what_a_killed_call_left_goes_with_the_next_mark_of_its_purpose(bench: Bench, kind: str) -> None:
    if kind == "sftp-only":
        pytest.skip("it would take a listing of each folder")
    bench.send(bench.write())
    folder, contents = bench.landing.parent, bench.connection.contents()
    left, filled, living = make_mark_name("sweep_1"), make_mark_name("sweep_1"), make_mark_name("sweep_2")
    for each, text in ((left, ""), (living, ""), (filled, "nobody's mark")):
        (folder / each).write_text(text)
    contents.make_marks([str(folder)], make_mark_name("sweep_1"))
    assert [(folder / each).exists() for each in (left, filled, living)] == [False, True, True]


def test_what_is_prepared_changes_nothing_and_ends_with_its_release(bench: Bench) -> None:
    bench.send(bench.write())
    there = Path(bench.roots[Root.WANDB]).parent
    before = sorted(there.rglob("*"))
    for _ in range(2):
        bench.connection.prepare([*Root], workspace=WORKSPACE, update_only=False)
        assert sorted(there.rglob("*")) == before
    bench.connection.release()
    bench.connection.release()
    assert bench.send(bench.write()) <= {PATH}


def test_a_lock_keeps_others_out(bench: Bench) -> None:
    guard = bench.connection.make_guard(bench.make_places(), "n" * 16)
    other = bench.connection.make_guard(bench.make_places(), "m" * 16)
    guard.take(b"one with " + b"n" * 16 + b"\n", minutes=15)
    held = other.take(b"one with " + b"m" * 16 + b"\n", minutes=15)
    assert b"n" * 16 in held.content  # type: ignore[union-attr]
    assert guard.release(None) is not None


def test_whatever_is_asked_of_folders_that_are_missing_is_an_answer(bench: Bench) -> None:
    listing = bench.connection.endpoint.survey([Tree(bench.roots[Root.WANDB], ("run-1",))]).listings[0]
    assert (listing.kind, listing.entries) == (None, ())
    assert bench.connection.contents().read_checksums({f"{bench.roots[Root.WANDB]}/x": 1}) == {}


def test_a_probe_says_how_the_disk_there_behaves(bench: Bench, kind: str) -> None:
    guard = bench.connection.make_guard(bench.make_places(), NONCE)
    folders = [f"{root}/{WORKSPACE}" for root in bench.roots.values()]
    try:
        answer = guard.take(b"content of a lock\n", minutes=15, measures=folders)
        assert isinstance(answer, LockTaken)
        found = answer.file_systems
        left = [list(Path(folder).iterdir()) for folder in folders]
    finally:
        guard.release(None)
    assert list(found) == folders
    assert left == [[], []]
    assert {there.sent_step_ns for there in found.values()} == {10**9 if kind == "sftp-only" else 1}
