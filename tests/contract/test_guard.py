"""The contract of the guard: lock, own folders and receipt, on this machine and behind every shell."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hsm.endpoint import Endpoint, Tree
from hsm.errors import TargetError
from hsm.process.runner import Completed, Runner
from hsm.remote.guard import (
    Guard,
    GuardPlaces,
    LockHeld,
    LockTaken,
    MakeGuard,
    ReplacedFile,
    UnseenReplaced,
    get_replaced_folder,
)
from hsm.remote.local import LocalShell
from hsm.remote.sftp.endpoint import SftpEndpoint
from hsm.remote.sftp.guard import SftpGuard
from hsm.remote.sftp.session import SftpSession, SftpSessions
from hsm.remote.sftp.wire import FSYNC, HARD_LINK, Code, Reply, Request, SftpError
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.endpoint import RemoteEndpoint
from hsm.remote.shell_programs.guard import ShellGuard
from tests.contract.conftest import list_common
from tests.marks import parametrize

KINDS = ["local", "gnu", "busybox", "bsd", "tcsh", "open-gnu", "open-busybox", "open-fish", "paramiko", "sftp"]
pytestmark = parametrize("kind", KINDS, quick=list_common(KINDS))


def list_names(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@dataclass
class Bench:
    """A destination, and guards of two processes that want it."""

    root: Path
    make_guard: MakeGuard
    shell: RemoteShell | None
    endpoint: Endpoint
    places: GuardPlaces

    def guard(self, nonce: str) -> Guard:
        return self.make_guard(self.places, nonce)

    def need_shell(self) -> RemoteShell:
        if self.shell is None:
            pytest.skip("a stand-in for a shell, and there is none")
        return self.shell

    def guard_without(self, nonce: str, *, program: str, extension: str, is_offered: bool) -> Guard:
        """A guard where a program always fails, or over SFTP an extension."""
        if isinstance(self.endpoint, SftpEndpoint):
            sessions = OtherSessions(self.endpoint._sessions, extension, is_offered)
            return SftpGuard(sessions, self.places, nonce)  # type: ignore[arg-type]
        return ShellGuard(OtherShell(self.need_shell(), f"{program}() {{ false; }}"), self.places, nonce)

    def take(
        self, nonce: str, *, minutes: int = 15, stale: str | None = None, breaks: bool = False
    ) -> LockTaken | LockHeld:
        content = f"held by {nonce}\n".encode()
        return self.guard(nonce).take(content, minutes=minutes, stale=stale, breaks=breaks)

    @property
    def folder(self) -> Path:
        return Path(self.places.folder)

    def own(self, nonce: str) -> list[Path]:
        """The folders in which a holder writes."""
        return [Path(path) / nonce for path in self.places.temporary]

    def list_signs(self, nonce: str) -> list[Path]:
        """All that tells that a holder is alive."""
        return [self.folder / "lock", *map(Path, self.places.temporary), *self.own(nonce)]


@dataclass
class CutShell:
    """A shell whose connection breaks after the first bytes of what a program is to read."""

    shell: RemoteShell
    name: str = "cut"

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        return self.shell.run(program, stdin=stdin[:5])


@dataclass
class OtherShell:
    """A shell where a function stands in the place of a program."""

    shell: RemoteShell
    function: str
    name: str = "other"

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        return self.shell.run(f"{self.function}\n{program}", stdin=stdin)


class OtherSession:
    """An SFTP session of a server that refuses one extension, and may not even offer it."""

    def __init__(self, session: SftpSession, refused: str, *, is_offered: bool) -> None:
        self._session = session
        self._refused = refused
        names = session.extensions if is_offered else session.extensions.keys() - {refused}
        self.extensions = {name: session.extensions[name] for name in names}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def ask(self, *requests: Request, check: Callable[[], None] | None = None) -> list[Reply]:
        refused = [request for request in requests if self._refused.encode() in request.body]
        if refused:
            raise SftpError(Code.FAILURE, "Input/output error", refused[0].path)
        return self._session.ask(*requests, check=check)


@dataclass
class OtherSessions:
    """Sessions like those, all to one server."""

    sessions: SftpSessions
    refused: str
    is_offered: bool
    name: str = "other"

    def use_sftp(self, call: Callable[[Any, Callable[[], None]], Any]) -> Any:
        return self.sessions.use_sftp(
            lambda session, check: call(OtherSession(session, self.refused, is_offered=self.is_offered), check)
        )


TOUCHED_LONG_AGO = 'cat() { command cat "$@"; touch -t 202001010000 "$d/lock.$n" 2>/dev/null; }'
GIVEN_BACK_MEANWHILE = 'cat() { rm -f "$d/lock"; rmdir "$d" 2>/dev/null; command cat "$@"; }'


@pytest.fixture
def bench(kind: str, tmp_path: Path, make_endpoint: Callable[[str], Endpoint]) -> Bench:
    endpoint = make_endpoint(kind)
    shell: RemoteShell | None = LocalShell(Runner())
    if isinstance(endpoint, RemoteEndpoint | SftpEndpoint):
        shell = endpoint._shell if isinstance(endpoint, RemoteEndpoint) else None
    make_guard = (
        partial(SftpGuard, endpoint._sessions) if isinstance(endpoint, SftpEndpoint) else partial(ShellGuard, shell)
    )
    root = tmp_path / "it's there"
    places = GuardPlaces(
        folder=str(root / "sweeps/outputs/s 1/.hsm-sync"),
        temporary=tuple(str(root / name / ".hsm-tmp/s 1") for name in ("sweeps", "wandb")),
    )
    return Bench(root, make_guard, shell, endpoint, places)


def list_all(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_taking_makes_the_own_folders_and_giving_back_leaves_nothing(bench: Bench) -> None:
    assert bench.take("aaaa") == LockTaken({})
    assert all(path.is_dir() for path in bench.own("aaaa"))
    assert list_names(bench.folder) == ["lock"]
    assert bench.guard("aaaa").release(None) == LockTaken({})
    assert list_all(bench.root) == {"sweeps", "sweeps/outputs", "sweeps/outputs/s 1", "wandb"}


def test_a_second_process_is_told_who_holds_it(bench: Bench) -> None:
    bench.take("aaaa")
    answer = bench.take("bbbb")
    assert isinstance(answer, LockHeld)
    assert (answer.content, answer.is_fresh) == (b"held by aaaa\n", True)
    assert list_names(bench.folder) == ["lock"]


def test_a_repeated_call_of_the_holder_finds_it_taken(bench: Bench) -> None:
    assert bench.take("aaaa") == bench.take("aaaa") == LockTaken({})


def test_a_repeated_take_over_lets_go_of_the_lock_at_no_moment(bench: Bench) -> None:
    bench.take("aaaa")
    bench.take("bbbb", breaks=True)
    inode = (bench.folder / "lock").stat().st_ino
    assert bench.take("bbbb", breaks=True) == LockTaken({})
    assert (bench.folder / "lock").stat().st_ino == inode


def test_a_lock_is_stale_when_it_and_all_temporary_files_are_old(bench: Bench) -> None:
    bench.take("aaaa")
    part = bench.own("aaaa")[1] / "part"
    part.write_text("x")
    old = (1_600_000_000, 1_600_000_000)
    for path in bench.list_signs("aaaa"):
        os.utime(path, old)
    still_fresh = bench.take("bbbb")
    os.utime(part, old)
    os.utime(part.parent, old)
    stale = bench.take("bbbb")
    assert isinstance(still_fresh, LockHeld)
    assert isinstance(stale, LockHeld)
    assert (still_fresh.is_fresh, stale.is_fresh) == (True, False)


def test_a_lock_or_a_temporary_folder_is_a_sign_of_life_for_as_long_as_the_limit_says(bench: Bench) -> None:
    bench.take("aaaa")
    places = bench.list_signs("aaaa")
    answers: list[LockTaken | LockHeld] = []
    for young in places:
        for minutes in (14, 16):
            for path in places:
                changed_at = time.time() - 60 * minutes if path == young else 1_600_000_000
                os.utime(path, (changed_at, changed_at))
            answers.append(bench.take("bbbb", minutes=15))
    assert [answer.is_fresh for answer in answers if isinstance(answer, LockHeld)] == [True, False] * len(places)


def test_what_a_killed_probe_left_is_no_sign_of_life(bench: Bench) -> None:
    """It gives files times that are still to come."""
    bench.take("aaaa")
    left = Path(bench.places.temporary[0]) / "aaaa/probe/t/far"
    left.parent.mkdir(parents=True)
    left.touch()
    for path in [*bench.list_signs("aaaa"), left.parent.parent, left.parent]:
        os.utime(path, (1_600_000_000,) * 2)
    os.utime(left, (2**32 - 1,) * 2)
    answer = bench.take("bbbb")
    assert isinstance(answer, LockHeld)
    assert not answer.is_fresh


def test_a_part_that_grows_where_it_lies_is_a_sign_of_life(bench: Bench) -> None:
    bench.take("aaaa")
    part = bench.root / "wandb/run 1/files/.hsm-partial/model.bin"
    part.parent.mkdir(parents=True)
    part.write_text("half")
    old = (1_600_000_000, 1_600_000_000)
    for path in bench.list_signs("aaaa"):
        os.utime(path, old)
    fresh = bench.take("bbbb")
    os.utime(part, old)
    stale = bench.take("bbbb")
    assert isinstance(fresh, LockHeld)
    assert isinstance(stale, LockHeld)
    assert (fresh.is_fresh, stale.is_fresh) == (True, False)


def test_only_the_stale_lock_that_was_seen_is_taken_over(bench: Bench) -> None:
    bench.take("aaaa")
    seen = bench.take("bbbb")
    assert isinstance(seen, LockHeld)
    assert isinstance(bench.take("cccc", stale="1 2"), LockHeld)
    assert (bench.folder / "lock").read_text() == "held by aaaa\n"
    assert bench.take("bbbb", stale=seen.checksum) == LockTaken({})
    assert isinstance(bench.take("cccc", stale=seen.checksum), LockHeld)
    assert (bench.folder / "lock").read_text() == "held by bbbb\n"
    assert list_names(bench.folder) == ["lock"]


def test_a_lock_can_be_broken_and_its_old_holder_writes_nothing_any_more(bench: Bench) -> None:
    bench.take("aaaa")
    assert bench.take("bbbb", breaks=True) == LockTaken({})
    assert bench.guard("aaaa").release(("receipt-a.json", b"{}")) is None
    assert list_names(bench.folder) == ["lock"]
    assert (bench.folder / "lock").read_text() == "held by bbbb\n"


def test_whoever_takes_the_lock_leaves_the_last_holder_no_folder_to_rename_from(bench: Bench) -> None:
    bench.take("aaaa")
    for path in bench.own("aaaa"):
        (path / "left").write_text("x")
    seen = bench.take("bbbb")
    assert isinstance(seen, LockHeld)
    bench.take("bbbb", stale=seen.checksum)
    assert [list_names(path) for path in bench.places.temporary] == [["bbbb"], ["bbbb"]]
    assert [list_names(path) for path in bench.own("bbbb")] == [[], []]
    assert not bench.guard("aaaa").tidy()
    assert [list_names(path) for path in bench.places.temporary] == [["bbbb"], ["bbbb"]]


def test_who_holds_the_lock_is_told_so(bench: Bench) -> None:
    bench.take("aaaa")
    assert bench.guard("aaaa").is_held()
    bench.take("bbbb", breaks=True)
    assert (bench.guard("aaaa").is_held(), bench.guard("bbbb").is_held()) == (False, True)
    bench.guard("bbbb").release(None)
    assert not bench.guard("bbbb").is_held()


def put_replaced(bench: Bench, nonce: str, path: str = "run 1/it's") -> Path:
    """Put a file where an engine keeps what it replaced, below the second of the folders."""
    place = Path(get_replaced_folder(bench.places.temporary[1], nonce)) / path
    place.parent.mkdir(parents=True)
    place.write_text("somebody else's")
    return place


def test_what_was_replaced_stays_until_somebody_has_looked_at_it(bench: Bench) -> None:
    bench.take("aaaa")
    place = put_replaced(bench, "aaaa")
    receipt = ("receipt-a.json", b"{}\n")
    assert bench.guard("aaaa").release(receipt) == UnseenReplaced()
    assert list_names(bench.folder) == ["lock"], "nothing was done"
    bench.guard("aaaa").tidy()
    assert place.read_text() == "somebody else's"
    bench.guard("aaaa").release(None)
    assert place.read_text() == "somebody else's"
    taken = bench.take("bbbb")
    assert isinstance(taken, LockTaken)
    assert taken.replaced == {"aaaa"}
    assert isinstance(bench.guard("bbbb").release(receipt), LockTaken)
    assert place.read_text() == "somebody else's", "it is another holder's"
    bench.take("cccc")
    bench.guard("cccc").release(receipt, drops=["aaaa"])
    assert not (bench.root / "wandb/.hsm-tmp").exists()


def test_what_was_replaced_goes_with_the_lock_once_it_was_looked_at(bench: Bench) -> None:
    bench.take("aaaa")
    put_replaced(bench, "aaaa")
    assert isinstance(bench.guard("aaaa").release(("receipt-a.json", b"{}\n"), drops=["aaaa"]), LockTaken)
    assert not (bench.root / "wandb/.hsm-tmp").exists()


def test_what_was_replaced_stays_where_it_was_looked_at_and_is_kept(bench: Bench) -> None:
    bench.take("aaaa")
    place = put_replaced(bench, "aaaa")
    assert isinstance(bench.guard("aaaa").release(("receipt-a.json", b"{}\n"), has_looked=True), LockTaken)
    assert (place.read_text(), list_names(bench.folder)) == ("somebody else's", ["receipt-a.json"])


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param("run 1/it's", None, id="just as expected"),
        pytest.param("run 1/it's", lambda kept, _: kept.write_text("another"), id="of another size"),
        pytest.param("run 1/it's", lambda kept, _: os.utime(kept, (0, 1_000_000_000)), id="of another time"),
        pytest.param("run 1/it's", lambda kept, _: (kept.parent / "more").touch(), id="one more"),
        pytest.param("run 1/it's", lambda kept, _: (kept.parent / "more").symlink_to("x"), id="one more, a symlink"),
        pytest.param("run 1/it's", lambda kept, _: kept.rename(f"{kept}2"), id="of another name"),
        pytest.param("run 1/it's", lambda _, final: final.unlink(), id="without a successor"),
        pytest.param("run 1/two\nlines", lambda *_: None, id="a name of two lines"),
    ],
)
def test_what_was_replaced_goes_unseen_if_it_is_just_what_was_expected(
    bench: Bench, kind: str, name: str, change: Callable[[Path, Path], object] | None
) -> None:
    bench.take("aaaa")
    kept, second = put_replaced(bench, "aaaa", name), put_replaced(bench, "aaaa", "run 2/\udcff\t")
    os.utime(kept, ns=(0, 1_700_000_000_123_456_789))
    os.utime(second, ns=(0, -1_250_000_000))
    finals = [bench.root / "wandb" / path for path in (name, "run 2/\udcff\t")]
    for final in finals:
        final.parent.mkdir(parents=True)
        final.touch()
    listings = bench.endpoint.survey([Tree(str(path.parent)) for path in (kept, second)]).listings
    entries = [listing.entries[-1] for listing in listings]
    expected = [ReplacedFile(str(path), e.size, e.mtime_ns) for path, e in zip((kept, second), entries, strict=True)]
    if change is not None:
        change(kept, finals[0])
    answer = bench.guard("aaaa").release(("receipt-a.json", b"{}\n"), expected=expected)
    if change is None and kind != "sftp":
        assert isinstance(answer, LockTaken)
        assert not (bench.root / "wandb/.hsm-tmp").exists()
    else:
        assert answer == UnseenReplaced()
        assert list_names(bench.folder) == ["lock"], "nothing was done"


def test_nothing_is_put_back_through_a_symlink(bench: Bench, tmp_path: Path) -> None:
    bench.take("aaaa")
    place, outside = put_replaced(bench, "aaaa"), tmp_path / "outside"
    outside.mkdir()
    (outside / "it's").write_text("of the outside")
    (bench.root / "wandb/run 1").symlink_to(outside)
    assert bench.guard("aaaa").put_back([(str(place), str(bench.root / "wandb/run 1/it's"))]) == frozenset()
    assert (place.read_text(), (outside / "it's").read_text()) == ("somebody else's", "of the outside")


def test_what_was_replaced_gets_its_name_back(bench: Bench) -> None:
    bench.take("aaaa")
    place, other = put_replaced(bench, "aaaa"), put_replaced(bench, "aaaa", "run 2/new\nline")
    final, blocked = bench.root / "wandb/run 1/it's", bench.root / "wandb/run 2/new\nline"
    blocked.mkdir(parents=True)
    moves = [(str(place), str(final)), (str(other), str(blocked))]
    assert bench.guard("bbbb").put_back(moves) == frozenset(), "the lock is another's"
    assert bench.guard("aaaa").put_back(moves) == {str(final)}
    assert (final.read_text(), list_names(blocked)) == ("somebody else's", [])
    assert other.read_text() == "somebody else's"


def test_the_receipt_is_written_and_its_checksum_is_what_the_check_sees(bench: Bench) -> None:
    bench.take("aaaa")
    content = os.urandom(200_000)
    written = bench.guard("aaaa").release(("receipt-a.json", content))
    assert (bench.folder / "receipt-a.json").read_bytes() == content
    assert list_names(bench.folder) == ["receipt-a.json"]
    survey = bench.endpoint.survey([Tree(str(bench.root))], receipts=bench.places.folder)
    assert written == LockTaken(survey.receipts)
    assert bench.take("bbbb") == LockTaken(survey.receipts)
    (bench.folder / "receipt-b.json").write_text("another source")
    assert set(bench.endpoint.survey([Tree(str(bench.root))], receipts=bench.places.folder).receipts) == {
        "receipt-a.json",
        "receipt-b.json",
    }


def test_what_the_connection_cut_is_neither_a_lock_nor_a_receipt(bench: Bench) -> None:
    cut = CutShell(bench.need_shell())
    with pytest.raises(TargetError, match="broke"):
        ShellGuard(cut, bench.places, "aaaa").take(b"held by aaaa\n", minutes=15)
    assert list_all(bench.root) == {"sweeps", "sweeps/outputs", "sweeps/outputs/s 1"}
    bench.take("aaaa")
    (bench.folder / "receipt-a.json").write_text("the one before")
    with pytest.raises(TargetError, match="broke"):
        ShellGuard(cut, bench.places, "aaaa").release(("receipt-a.json", b"{}\n" * 1000), keeps_damaged=True)
    assert list_names(bench.folder) == ["receipt-a.json"]
    assert (bench.folder / "receipt-a.json").read_text() == "the one before"


def test_a_release_whose_answer_was_lost_can_be_repeated(bench: Bench) -> None:
    bench.take("aaaa")
    first = bench.guard("aaaa").release(("receipt-a.json", b"{}\n"))
    assert bench.guard("aaaa").release(("receipt-a.json", b"{}\n")) == first
    assert bench.guard("aaaa").release(("receipt-a.json", b"{ }\n")) is None
    assert (bench.folder / "receipt-a.json").read_text() == "{}\n"


def test_what_a_killed_worker_left_goes_with_the_lock(bench: Bench) -> None:
    bench.take("aaaa")
    for path in bench.own("aaaa"):
        (path / "model.bin.x1Yz9q").write_text("half")
    bench.guard("aaaa").release(("receipt-a.json", b"{}\n"))
    receipt = "sweeps/outputs/s 1/.hsm-sync/receipt-a.json"
    folders = {str(path) for path in Path(receipt).parents} - {"."}
    assert list_all(bench.root) == {*folders, receipt, "wandb"}


def test_giving_back_a_lock_that_was_lost_leaves_the_new_holder_its_folders(bench: Bench) -> None:
    bench.take("aaaa")
    bench.take("bbbb", breaks=True)
    assert bench.guard("aaaa").release(None) is None
    assert all(path.is_dir() for path in bench.own("bbbb"))
    assert list_names(bench.folder) == ["lock"]


def test_only_the_holder_empties_the_temporary_folders_meanwhile(bench: Bench) -> None:
    bench.take("aaaa")
    bench.take("bbbb", breaks=True)
    for path in bench.own("bbbb"):
        (path / "left").write_text("x")
    assert not bench.guard("aaaa").tidy()
    assert [list_names(path) for path in bench.own("bbbb")] == [["left"], ["left"]]
    assert bench.guard("bbbb").tidy()
    assert [list_names(path) for path in bench.own("bbbb")] == [[], []]
    assert list_names(bench.folder) == ["lock"]


@pytest.mark.parametrize(
    "act", [lambda guard: guard.tidy(), lambda guard: guard.release(None)], ids=["tidy", "release"]
)
def test_nothing_is_emptied_through_a_symlink_that_came_after_the_lock(
    bench: Bench, tmp_path: Path, act: Callable[[Guard], object]
) -> None:
    outside = tmp_path / "outside"
    (outside / "s 1").mkdir(parents=True)
    (outside / "s 1/theirs").write_text("x")
    bench.take("aaaa")
    shutil.rmtree(bench.root / "wandb/.hsm-tmp")
    (bench.root / "wandb/.hsm-tmp").symlink_to(outside)
    act(bench.guard("aaaa"))
    assert list_all(outside) == {"s 1", "s 1/theirs"}


def test_without_hard_links_a_lock_is_taken_once_too(bench: Bench) -> None:
    one, two = (
        bench.guard_without(nonce, program="ln", extension=HARD_LINK, is_offered=False) for nonce in ("aaaa", "bbbb")
    )
    assert one.take(b"held by aaaa\n", minutes=15) == LockTaken({})
    assert isinstance(two.take(b"held by bbbb\n", minutes=15), LockHeld)
    assert (bench.folder / "lock").read_text() == "held by aaaa\n"
    assert list_names(bench.folder) == ["lock"]
    assert one.release(None) == LockTaken({})
    assert two.take(b"held by bbbb\n", minutes=15) == LockTaken({})


def test_a_receipt_that_is_not_on_the_disk_does_not_take_its_name(bench: Bench) -> None:
    bench.take("aaaa")
    (bench.folder / "receipt-a.json").write_text("the one before")
    guard = bench.guard_without("aaaa", program="sync", extension=FSYNC, is_offered=True)
    with pytest.raises(TargetError):
        guard.release(("receipt-a.json", b"{}"), keeps_damaged=True)
    assert list_names(bench.folder) == ["receipt-a.json"]
    assert (bench.folder / "receipt-a.json").read_text() == "the one before"


def test_a_lock_that_cannot_be_used_is_not_kept(bench: Bench) -> None:
    (bench.root / "wandb").mkdir(parents=True)
    (bench.root / "wandb/.hsm-tmp").write_text("a file")
    with pytest.raises(TargetError):
        bench.take("aaaa")
    assert list_all(bench.root) == {"sweeps", "sweeps/outputs", "sweeps/outputs/s 1", "wandb", "wandb/.hsm-tmp"}


def test_whoever_takes_the_lock_removes_what_a_killed_holder_left_beside_it(bench: Bench) -> None:
    bench.folder.mkdir(parents=True)
    for name in ("lock.dead", "old.dead", "new.dead", "receipt-a.json"):
        (bench.folder / name).write_text("x")
    bench.take("aaaa")
    assert list_names(bench.folder) == ["lock", "receipt-a.json"]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path.parent.parent)])
def test_a_lock_that_is_no_file_is_refused(bench: Bench, make: Callable[[Path], object]) -> None:
    bench.folder.mkdir(parents=True)
    make(bench.folder / "lock")
    before = list_all(bench.root)
    with pytest.raises(TargetError, match="is no file"):
        bench.take("aaaa")
    assert list_all(bench.root) == before


def test_a_folder_in_the_receipts_place_is_not_written_into(bench: Bench) -> None:
    outside = bench.root / "outside"
    outside.mkdir(parents=True)
    bench.take("aaaa")
    (bench.folder / "receipt-a.json").symlink_to(outside)
    with pytest.raises(TargetError, match="is a folder"):
        bench.guard("aaaa").release(("receipt-a.json", b"{}"))
    assert list_names(outside) == []
    assert list_names(bench.folder) == ["receipt-a.json"]


def test_a_target_whose_clock_is_not_its_disks_never_calls_a_lock_stale(bench: Bench) -> None:
    """A stand-in for a file server that is two hours behind: `cat` gives what it writes an old time."""
    bench.take("aaaa")
    for path in bench.list_signs("aaaa"):
        os.utime(path, (1_600_000_000, 1_600_000_000))
    behind = OtherShell(bench.need_shell(), TOUCHED_LONG_AGO)
    answer = ShellGuard(behind, bench.places, "bbbb").take(b"held by bbbb\n", minutes=15)
    assert isinstance(answer, LockHeld)
    assert answer.is_fresh
    assert list_names(bench.folder) == ["lock"]


def test_a_damaged_receipt_is_set_aside(bench: Bench) -> None:
    bench.take("aaaa")
    (bench.folder / "receipt-a.json").write_text("half")
    bench.guard("aaaa").release(("receipt-a.json", b"whole"), keeps_damaged=True)
    assert (bench.folder / "receipt-a.json").read_text() == "whole"
    assert (bench.folder / "receipt-a.json.damaged").read_text() == "half"


@pytest.mark.parametrize("place", ["sweeps/outputs/s 1/.hsm-sync", "wandb/.hsm-tmp", "wandb/.hsm-tmp/s 1"])
def test_nothing_is_made_or_removed_through_a_symlink(bench: Bench, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    (outside / "s 1").mkdir(parents=True)
    (outside / "s 1/theirs").write_text("x")
    link = bench.root / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(TargetError, match="symlink"):
        bench.take("aaaa")
    assert list_all(outside) == {"s 1", "s 1/theirs"}


def test_a_folder_that_cannot_be_made_is_an_error(bench: Bench) -> None:
    bench.root.mkdir()
    (bench.root / "wandb").write_text("a file")
    with pytest.raises(TargetError):
        bench.take("aaaa")


def test_where_a_place_cannot_be_made_none_is_made_after_it(bench: Bench) -> None:
    (bench.root / "sweeps").mkdir(parents=True)
    (bench.root / "sweeps/.hsm-tmp").write_text("a file")
    with pytest.raises(TargetError):
        bench.take("aaaa")
    assert not (bench.root / "wandb").exists()


def test_what_a_failed_take_had_made_goes_although_another_place_became_a_symlink(bench: Bench, tmp_path: Path) -> None:
    bench.take("aaaa")
    place = Path(bench.places.temporary[1])
    (place / "aaaa").rmdir()
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(TargetError, match="symlink"):
        bench.take("aaaa")
    assert not Path(bench.places.temporary[0]).exists()
    assert not bench.folder.exists()


def test_a_full_disk_is_named(bench: Bench) -> None:
    guard = ShellGuard(bench.need_shell(), bench.places, "aaaa")
    bench.folder.mkdir(parents=True)
    (bench.folder / "lock.aaaa").symlink_to("/dev/full")
    with pytest.raises(TargetError, match="No space left"):
        guard.take(b"held by aaaa\n", minutes=15)
    assert not bench.folder.exists()


def test_a_lock_given_back_meanwhile_takes_no_folder_away(bench: Bench) -> None:
    bench.take("aaaa")
    for path in bench.own("aaaa"):
        path.rmdir()
        path.parent.rmdir()
    guard = ShellGuard(OtherShell(bench.need_shell(), GIVEN_BACK_MEANWHILE), bench.places, "bbbb")
    assert guard.take(b"held by bbbb\n", minutes=15) == LockTaken({})


def test_who_loses_its_own_file_leaves_no_empty_lock(bench: Bench) -> None:
    lost = OtherShell(bench.need_shell(), 'cat() { command cat "$@"; rm -f "$d/lock.$n"; }')
    assert isinstance(ShellGuard(lost, bench.places, "aaaa").take(b"held by aaaa\n", minutes=15), LockHeld)
    assert not (bench.folder / "lock").exists()


def test_a_receipt_that_cannot_be_read_is_there_all_the_same(bench: Bench) -> None:
    shell = OtherShell(bench.need_shell(), "cksum() { false; }")
    bench.folder.mkdir(parents=True)
    (bench.folder / "receipt-b.json").write_text("another source")
    assert ShellGuard(shell, bench.places, "aaaa").take(b"held by aaaa\n", minutes=15) == LockTaken(
        {"receipt-b.json": ""}
    )


def test_the_file_systems_are_measured_with_the_lock_and_not_without_it(bench: Bench) -> None:
    bench.folder.mkdir(parents=True)
    (bench.folder / "receipt-a.json").write_text("{}\n")
    own = [str(path) for path in bench.own("aaaa")]
    answer = bench.guard("aaaa").take(b"held by aaaa\n", minutes=15, measures=own)
    assert isinstance(answer, LockTaken)
    assert list(answer.file_systems) == own
    assert all(there.keeps_times and there.longest_name == 255 for there in answer.file_systems.values())
    assert list(answer.receipts) == ["receipt-a.json"]
    assert [list(path.iterdir()) for path in bench.own("aaaa")] == [[], []]
    others = [str(path) for path in bench.own("bbbb")]
    assert isinstance(bench.guard("bbbb").take(b"held by bbbb\n", minutes=15, measures=others), LockHeld)
    assert not any(map(os.path.exists, others))
    bench.guard("aaaa").release(None)
