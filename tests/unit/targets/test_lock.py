"""The lock of a sweep at a target: from whom it is taken over, and when it is still ours."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from hsm.errors import LockedError, NoAnswerError, TargetError
from hsm.process.runner import CommandStoppedError, Runner
from hsm.records.lock import Holder, abandon, make_holder, make_lock_content
from hsm.remote.guard import Guard, GuardPlaces, LockHeld, LockTaken
from hsm.remote.local import LocalShell
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.targets.lock import TargetLock, give_lock_back, take_target_lock

SWEEP = "sweep_1"


@dataclass
class FakeGuard:
    """A guard of a lock that one other process holds, until it is taken over by its checksum or broken."""

    places: GuardPlaces
    nonce: str
    holder: Holder | None = None
    is_fresh: bool = True
    content: bytes = b""
    release_error: BaseException | None = None
    calls: list[dict[str, object]] = field(default_factory=list)

    def take(
        self,
        content: bytes,  # noqa: ARG002
        *,
        minutes: int,
        stale: str | None = None,
        breaks: bool = False,
        measures: Collection[str] = (),
    ) -> LockTaken | LockHeld:
        assert measures == ()
        self.calls.append({"minutes": minutes, "stale": stale, "breaks": breaks})
        held = self.content or (make_lock_content(self.holder) if self.holder is not None else b"")
        if held and not breaks and stale != "checksum":
            return LockHeld(held, "checksum", is_fresh=self.is_fresh)
        return LockTaken({"receipt-1.json": "1 2"})

    def release(self, receipt: tuple[str, bytes] | None, *, drops: Collection[str] = ()) -> LockTaken | None:
        assert (receipt, drops) == (None, ())
        self.calls.append({"release": True})
        if self.release_error is not None:
            raise self.release_error
        return LockTaken()

    def tidy(self) -> None:
        raise AssertionError


class Bench:
    """Takes locks with a guard that is made once."""

    def __init__(self, **options: object) -> None:
        self.options = options
        self.guard: FakeGuard | None = None

    def make_guard(self, places: GuardPlaces, nonce: str) -> Guard:
        self.guard = FakeGuard(places, nonce, **self.options)  # type: ignore[arg-type]
        return self.guard

    def take(self, *, breaks: bool = False, others: Mapping[str, str] | None = None) -> TargetLock:
        places = GuardPlaces("/t/.hsm-sync", ("/t/.hsm-tmp/s",))
        more = {} if others is None else {"others": others}
        return take_target_lock(
            self.make_guard, places, source_id="here", sweep=SWEEP, target="nas", breaks=breaks, **more
        )

    def list_calls(self) -> list[dict[str, object]]:
        assert self.guard is not None
        return self.guard.calls


def make_dead_holder() -> Holder:
    """Make the holder of a lock whose process, of this machine, has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return Holder(**{**asdict(make_holder("there", "then")), "pid": process.pid})


ELSEWHERE = Holder("0123", "there", "another-machine", 1, "then", "m")


def test_a_free_lock_is_taken_with_the_places_and_a_fresh_nonce() -> None:
    bench = Bench()
    one, two = bench.take(), bench.take()
    assert bench.guard is not None
    assert bench.guard.places == GuardPlaces("/t/.hsm-sync", ("/t/.hsm-tmp/s",))
    assert (two.holder.source_id, two.holder.pid, two.holder.host) == ("here", os.getpid(), socket.gethostname())
    assert two.guard.nonce == two.holder.nonce != one.holder.nonce
    assert two.receipts == {"receipt-1.json": "1 2"}


@pytest.mark.parametrize(
    ("holder", "is_fresh", "is_taken"),
    [
        pytest.param(ELSEWHERE, True, False, id="of another machine, fresh"),
        pytest.param(ELSEWHERE, False, True, id="of another machine, stale"),
        pytest.param(make_holder("there", "then"), True, False, id="of this machine, alive"),
        pytest.param(make_dead_holder(), True, True, id="of this machine, dead"),
    ],
)
def test_only_a_lock_whose_holder_is_dead_is_taken_over(holder: Holder, is_fresh: bool, is_taken: bool) -> None:
    bench = Bench(holder=holder, is_fresh=is_fresh)
    if is_taken:
        bench.take()
        assert [call["stale"] for call in bench.list_calls()] == [None, "checksum"]
        return
    with pytest.raises(LockedError, match=f"process {holder.pid} on {holder.host}") as caught:
        bench.take()
    assert caught.value.kind == "locked"
    assert [call["stale"] for call in bench.list_calls()] == [None]


@pytest.mark.parametrize(("is_fresh", "is_taken"), [(True, False), (False, True)])
def test_a_damaged_lock_is_held_by_somebody_unknown(is_fresh: bool, is_taken: bool) -> None:
    bench = Bench(content=b"\xff no lock", is_fresh=is_fresh)
    if is_taken:
        bench.take()
        return
    with pytest.raises(LockedError, match="somebody unknown"):
        bench.take()


def test_break_lock_takes_it_from_any_holder() -> None:
    bench = Bench(holder=make_holder("there", "then"))
    bench.take(breaks=True)
    assert [call["breaks"] for call in bench.list_calls()] == [True]


def test_a_lock_that_this_call_holds_at_another_target_is_the_same_place() -> None:
    """Even where the clock there says that it is old: taking it over would make two copies of one."""
    holder = make_holder("here", "now")
    for is_fresh in (True, False):
        bench = Bench(holder=holder, is_fresh=is_fresh)
        with pytest.raises(TargetError, match="nas is the same place as disk") as caught:
            bench.take(others={"other": "tape", holder.nonce: "disk"})
        assert caught.value.kind == "same_place"
        assert [call["stale"] for call in bench.list_calls()] == [None]


@pytest.mark.parametrize("error", [NoAnswerError("away"), CommandStoppedError()])
def test_a_lock_that_cannot_be_given_back_is_dead_for_this_process(error: BaseException) -> None:
    lock = Bench(release_error=error).take()
    give_lock_back(lock.guard)
    Bench(holder=lock.holder).take()


def test_a_bug_while_giving_back_flies() -> None:
    lock = Bench(release_error=KeyError("bug")).take()
    with pytest.raises(KeyError):
        give_lock_back(lock.guard)


# -- with the guard's own programs -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t/own").mkdir(parents=True)
    return tmp_path / "t"


def take_real(folder: Path, **options: object) -> TargetLock:
    shell = LocalShell(Runner(), name="nas")
    places = GuardPlaces(str(folder / "own"), (str(folder / ".hsm-tmp/s"),))
    return take_target_lock(
        lambda found, nonce: ShellGuard(shell, found, nonce),
        places,
        source_id="here",
        sweep=SWEEP,
        target="nas",
        **options,  # type: ignore[arg-type]
    )


def test_a_lock_is_intact_until_it_is_broken(folder: Path) -> None:
    lock = take_real(folder)
    assert lock.is_intact()
    assert lock.is_intact()
    other = take_real(folder, breaks=True)
    assert not lock.is_intact()
    assert other.is_intact()
    give_lock_back(lock.guard)
    assert other.is_intact(), "who has lost a lock gives back nobody else's"


def test_a_lock_is_not_intact_once_somebody_wrote_a_receipt(folder: Path) -> None:
    lock = take_real(folder)
    (folder / "own/receipt-0123456789abcdef.json").write_text("{}")
    assert not lock.is_intact()


def test_a_lock_that_was_abandoned_is_taken_over(folder: Path) -> None:
    lock = take_real(folder)
    with pytest.raises(LockedError):
        take_real(folder)
    abandon(lock.holder.nonce)
    assert take_real(folder).is_intact()
    assert not lock.is_intact()
