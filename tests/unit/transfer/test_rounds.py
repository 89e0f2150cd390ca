"""Transfers, with an engine and endpoints that keep their contracts in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.endpoint import Listing, Machine, Survey, Tree
from hsm.errors import (
    ConnectionDroppedError,
    DiskError,
    HsmError,
    NoRsyncError,
    NoShellError,
    NoSpaceError,
    SessionsRefusedError,
    TargetError,
)
from hsm.model import Entry, EntryKind, Root, SourceFile
from hsm.process.runner import CommandStoppedError
from hsm.progress import Event, ProblemFound, TransferMoved, TransferStarted
from hsm.remote.guard import Replaced, ReplacedFile
from hsm.transfer.base import Batch, BatchEnd, Capabilities, OnMoved, Replacing
from hsm.transfer.destination.watch import DestinationWatch
from hsm.transfer.outcome import Outcome, TransferResult
from hsm.transfer.rounds import Patience, Transfer
from hsm.transfer.seen import SeenFiles

LARGE = 20 * 1024 * 1024
"""Of this size, each file is a batch of its own where there are as many workers as files."""
T = 1_760_000_000_123_456_789
PREFIX = "/p/wandb"
ROOTS = {Root.SWEEPS: "/d/sweeps", Root.WANDB: "/d/wandb"}
DROPPED = ConnectionDroppedError("dropped", hint="again")
NO_SPACE = NoSpaceError("The disk is full.", hint="Free some space.")
FAILED = TargetError("rsync ended with code 23.", hint="Look.", kind="rsync_failed")

Files = dict[str, Entry]
"""By absolute path."""


class MemoryEndpoint:
    """An end whose files are a dictionary."""

    name = "memory"
    is_remote = False

    def __init__(self, files: Files, error: HsmError | None = None) -> None:
        self.files = files
        self.error = error
        self.asked: list[str] = []

    def survey(self, trees: Sequence[Tree], **_more: Any) -> Survey:
        if self.error is not None:
            raise self.error
        return Survey(Machine(), tuple(self._list(tree) for tree in trees))

    def _list(self, tree: Tree) -> Listing:
        paths = [f"{tree.base}/{name}" for name in tree.names]
        self.asked += paths
        found = [self.files[path]._replace(path=path[len(tree.base) + 1 :]) for path in paths if path in self.files]
        return Listing(tree.base, EntryKind.FOLDER, tuple(found))

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a transfer does not ask for {name}")


@dataclass
class World:
    """A source, a destination, and an engine between them that does what `acts` says, batch by batch."""

    here: Files = field(default_factory=dict)
    there: Files = field(default_factory=dict)
    act: Callable[[World, Batch, OnMoved], BatchEnd] = lambda world, batch, on_moved: world.bring_all(batch, on_moved)
    max_workers: int = 8
    events: list[Event] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    sent: list[Batch] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    n_running: int = 0
    n_most_running: int = 0
    destination_error: HsmError | None = None
    destination: MemoryEndpoint = field(init=False)
    n_sent_when_tidied: list[int] = field(default_factory=list)
    looks: list[bool] = field(default_factory=list)
    lock_error: HsmError | None = None
    replacing: Replacing = Replacing.LOOKS
    seen: SeenFiles = field(default_factory=SeenFiles)
    leaves_look: bool = False
    transfer: Transfer = field(init=False)

    def add(self, path: str, *, size: int = LARGE, root: Root = Root.WANDB) -> SourceFile:
        self.here[f"{PREFIX}/{path}"] = Entry("", EntryKind.FILE, size, T, 7)
        return SourceFile(root, path, PREFIX, size, T, 7, path.partition("/")[0])

    def change(self, path: str, *, size: int) -> None:
        self.here[f"{PREFIX}/{path}"] = Entry("", EntryKind.FILE, size, T + size, 7)

    def bring(self, files: Iterable[SourceFile]) -> None:
        for file in files:
            entry = self.here.get(f"{file.prefix}/{file.path}")
            if entry is not None:
                self.there[f"{ROOTS[file.root]}/{file.path}"] = entry

    def bring_all(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        self.bring(batch.files)
        on_moved(batch.n_bytes, len(batch.files))
        return BatchEnd(is_clean=True, sent=frozenset(file.path for file in batch.files))

    # The engine.

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            "memory", resumes=False, sends_deltas=False, max_workers=self.max_workers, replacing=self.replacing
        )

    @property
    def time_step_ns(self) -> int:
        return 1

    def send(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        if self.stopped.is_set():
            raise CommandStoppedError
        with self.lock:
            self.sent.append(batch)
            self.n_running += 1
            self.n_most_running = max(self.n_most_running, self.n_running)
        try:
            return self.act(self, batch, on_moved)
        finally:
            with self.lock:
                self.n_running -= 1

    def stop(self) -> None:
        self.stopped.set()

    # The lock.

    nonce = "abc"

    def check(self, *, at_once: bool = False) -> None:
        self.looks.append(at_once)
        if self.lock_error is not None:
            raise self.lock_error

    def tidy(self) -> None:
        self.n_sent_when_tidied.append(len(self.sent))

    def put_back(self, moves: Sequence[tuple[str, str]]) -> frozenset[str]:
        return frozenset(final for _, final in moves)

    # The reporter.

    def report(self, event: Event) -> None:
        self.events.append(event)

    def run(self, *files: SourceFile, n_workers: int = 8, patience: Patience | None = None) -> TransferResult:
        self.destination = MemoryEndpoint(self.there, self.destination_error)
        self.transfer = Transfer(
            self,
            source=MemoryEndpoint(self.here),
            destination=self.destination,
            roots=ROOTS,
            reporter=self,
            target="desktop",
            sleep=self.pauses.append,
            patience=patience or Patience(settle_seconds=(3.0, 6.0)),
            watch=DestinationWatch(self.destination, ROOTS, "sweep_1", self, self.seen),
            leaves_look=self.leaves_look,
        )
        return self.transfer.run(files, n_workers=n_workers)


def outcomes(result: TransferResult) -> dict[str, str]:
    return {path: outcome.value for (_, path), outcome in result.outcomes.items()}


def unclean(error: HsmError, complaints: dict[str, str] | None = None) -> BatchEnd:
    return BatchEnd(is_clean=False, complaints=complaints, error=error)


def test_nothing_to_send_asks_nobody() -> None:
    world = World()
    assert world.run() == TransferResult()
    assert (world.sent, world.events) == ([], [])


@pytest.mark.parametrize("n_workers", [0, 1, 3, 99])
def test_what_the_engine_vouches_for_is_sent(n_workers: int) -> None:
    world = World()
    files = [world.add("a", root=Root.SWEEPS), *(world.add(f"run-{number}/f") for number in range(5))]
    result = world.run(*files, n_workers=n_workers)
    assert result.outcomes == {(file.root, file.path): Outcome.SENT for file in files}
    assert result.files == {(file.root, file.path): file for file in files}
    assert (result.problems, result.error, result.is_interrupted) == ((), None, False)
    assert world.n_most_running <= max(1, n_workers)


def test_no_more_workers_than_the_engine_allows() -> None:
    world = World(max_workers=2)
    assert set(outcomes(world.run(*(world.add(f"{number}") for number in range(6)))).values()) == {"sent"}
    assert 1 <= world.n_most_running <= 2


def test_after_an_unclean_batch_the_destination_decides() -> None:
    def act(world: World, batch: Batch, _on_moved: OnMoved) -> BatchEnd:
        world.bring(file for file in batch.files if file.path == "arrived")
        world.there["/d/wandb/other size"] = Entry("", EntryKind.FILE, 9, T, 1)
        world.there["/d/wandb/other time"] = Entry("", EntryKind.FILE, 10, T - 10**10, 1)
        world.there["/d/wandb/folder"] = Entry("", EntryKind.FOLDER, 10, T, 1)
        return unclean(FAILED, {"other size": 'failed on "other size"'})

    world = World(act=act)
    names = ("arrived", "folder", "missing", "other size", "other time")
    result = world.run(*(world.add(name, size=10) for name in names))
    assert outcomes(result) == {**dict.fromkeys(names, "failed"), "arrived": "sent"}
    assert {problem.path: problem.message for problem in result.problems} == {
        "folder": FAILED.message,
        "missing": FAILED.message,
        "other size": 'failed on "other size"',
        "other time": FAILED.message,
    }
    assert {(problem.kind, problem.hint) for problem in result.problems} == {("rsync_failed", "Look.")}
    assert result.error is None


def test_an_unclean_batch_that_brought_everything_is_no_problem() -> None:
    def act(world: World, batch: Batch, _on_moved: OnMoved) -> BatchEnd:
        world.bring(batch.files)
        return unclean(DROPPED)

    world = World(act=act)
    result = world.run(world.add("a"), world.add("b"))
    assert outcomes(result) == {"a": "sent", "b": "sent"}
    assert result.problems == ()


def test_what_was_not_brought_is_not_sent_though_the_engine_named_it() -> None:
    named = frozenset({"a"})
    world = World(act=lambda *_: BatchEnd(is_clean=False, sent=named, error=FAILED))
    assert outcomes(world.run(world.add("a"))) == {"a": "failed"}


def test_what_a_clean_batch_left_alone_is_a_conflict() -> None:
    def act(world: World, batch: Batch, _on_moved: OnMoved) -> BatchEnd:
        world.bring(batch.files[:1])
        return BatchEnd(is_clean=True, sent=frozenset({batch.files[0].path}))

    world = World(act=act)
    result = world.run(world.add("a", size=1), world.add("b", size=1))
    assert outcomes(result) == {"a": "sent", "b": "skipped"}
    assert [(problem.path, problem.kind) for problem in result.problems] == [("b", "conflict")]


def test_what_a_clean_batch_left_alone_and_is_there_is_unchanged() -> None:
    def act(world: World, batch: Batch, _on_moved: OnMoved) -> BatchEnd:
        world.bring(batch.files)
        return BatchEnd(is_clean=True)

    world = World(act=act)
    result = world.run(file := world.add("a"))
    assert (outcomes(result), result.problems) == ({"a": "unchanged"}, ())
    assert result.files == {(Root.WANDB, "a"): file}


def test_a_file_that_changed_is_sent_again_as_it_is_now() -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        end = world.bring_all(batch, on_moved)
        if len(world.sent) == 1:
            world.change("log", size=11)
        return end

    world = World(act=act)
    result = world.run(world.add("log", size=10), world.add("rests", size=1))
    assert outcomes(result) == {"log": "sent", "rests": "sent"}
    assert result.files[Root.WANDB, "log"].size == world.there["/d/wandb/log"].size == 11
    assert [[file.path for file in batch.files] for batch in world.sent] == [["log", "rests"], ["log"]]
    assert (world.pauses, result.problems) == ([3.0], ())


def test_a_file_that_never_rests_is_unsettled() -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        end = world.bring_all(batch, on_moved)
        world.change("log", size=100 + len(world.sent))
        return end

    world = World(act=act)
    result = world.run(world.add("log", size=10))
    assert outcomes(result) == {"log": "unsettled"}
    assert [(problem.path, problem.kind) for problem in result.problems] == [("log", "unsettled")]
    assert (world.pauses, len(world.sent)) == ([3.0, 6.0], 3)
    assert result.files == {}


def test_a_file_that_vanished_is_not_sent_again() -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        end = world.bring_all(batch, on_moved)
        world.here.pop(f"{PREFIX}/gone", None)
        return end

    world = World(act=act)
    result = world.run(world.add("gone"), world.add("stays"))
    assert outcomes(result) == {"gone": "unsettled", "stays": "sent"}
    assert [(problem.path, problem.kind) for problem in result.problems] == [("gone", "vanished")]
    assert sum(file.path == "gone" for batch in world.sent for file in batch.files) == 1


@pytest.mark.parametrize("kind", [NoSpaceError, DiskError, NoRsyncError, NoShellError])
def test_an_error_that_all_would_meet_ends_the_other_workers(kind: type[TargetError]) -> None:
    error = kind("stop", hint="do")
    both = threading.Barrier(2)

    def act(world: World, batch: Batch, _on_moved: OnMoved) -> BatchEnd:
        both.wait(20)
        if batch.files[0].path == "a":
            return unclean(error)
        if not world.stopped.wait(20):
            raise AssertionError("the other worker was not ended")
        raise CommandStoppedError

    world = World(act=act, max_workers=2)
    result = world.run(*(world.add(name) for name in "abc"))
    assert outcomes(result) == dict.fromkeys("abc", "failed")
    assert (result.error, result.is_interrupted) == (error, False)
    assert sorted(batch.files[0].path for batch in world.sent) == ["a", "b"]


def test_an_error_of_single_files_stops_nobody() -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        return unclean(FAILED) if batch.files[0].path == "a" else world.bring_all(batch, on_moved)

    world = World(act=act, max_workers=3)
    result = world.run(*(world.add(name) for name in "abc"))
    assert outcomes(result) == {"a": "failed", "b": "sent", "c": "sent"}
    assert (result.error, world.stopped.is_set()) == (None, False)


def test_after_a_broken_connection_the_rest_goes_over_a_new_one() -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        if len(world.sent) == 1:
            world.bring(batch.files[:1])
            return unclean(DROPPED)
        return world.bring_all(batch, on_moved)

    world = World(act=act)
    result = world.run(*(world.add(name, size=1) for name in "abc"))
    assert outcomes(result) == dict.fromkeys("abc", "sent")
    assert [[file.path for file in batch.files] for batch in world.sent] == [["a", "b", "c"], ["b", "c"]]
    assert (result.error, result.problems) == (None, ())
    assert world.n_sent_when_tidied == [1], "between the two: what the first left open is taken away there"


def test_a_connection_that_never_holds_is_given_up() -> None:
    world = World(act=lambda *_: unclean(DROPPED))
    result = world.run(world.add("a"), patience=Patience(n_fruitless_rounds=3))
    assert outcomes(result) == {"a": "failed"}
    assert (result.error, result.problems) == (DROPPED, ())
    assert len(world.sent) == 3


def test_rounds_that_bring_something_are_not_counted() -> None:
    def act(world: World, batch: Batch, _on_moved: OnMoved) -> BatchEnd:
        world.bring(batch.files[:1])
        return unclean(DROPPED)

    world = World(act=act)
    result = world.run(*(world.add(f"{number}", size=1) for number in range(7)), patience=Patience((), 2))
    assert set(outcomes(result).values()) == {"sent"}
    assert len(world.sent) == 7


@pytest.mark.parametrize(
    ("max_workers", "names"),
    [pytest.param(2, "abc", id="more batches than workers"), pytest.param(8, "ab", id="more workers than batches")],
)
def test_refused_sessions_make_fewer_workers(max_workers: int, names: str) -> None:
    turns = itertools.count()
    refused, again = threading.Event(), threading.Event()
    n_after: list[int] = []

    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        turn = next(turns)
        if turn == 1:
            refused.set()
            return unclean(SessionsRefusedError("no more"))
        if turn == 0:
            refused.wait(20)
            again.wait(0.3)  # which only a worker too many would set meanwhile
        else:
            n_after.append(world.n_running)
            again.set()
        return world.bring_all(batch, on_moved)

    world = World(act=act, max_workers=max_workers)
    result = world.run(*(world.add(name) for name in names))
    assert outcomes(result) == dict.fromkeys(names, "sent")
    assert (result.error, result.problems, n_after) == (None, (), [1])


def test_refused_sessions_are_not_asked_for_again_in_later_rounds() -> None:
    turns = itertools.count()
    refused, together = threading.Event(), threading.Event()
    n_after: list[int] = []

    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        turn = next(turns)
        if turn == 1:
            refused.set()
            return unclean(SessionsRefusedError("no more"))
        if turn == 0:
            refused.wait(20)
            together.wait(0.3)  # until the refusal has been taken; nobody else runs meanwhile
        end = world.bring_all(batch, on_moved)
        if turn <= 2:  # in the first round each file changes meanwhile
            world.change(batch.files[0].path, size=LARGE + 1)
        else:
            n_after.append(world.n_running)
            together.wait(0.3) if world.n_running == 1 else together.set()
        return end

    world = World(act=act)
    result = world.run(world.add("a"), world.add("b"))
    assert outcomes(result) == {"a": "sent", "b": "sent"}
    assert set(n_after) == {1}


def test_a_single_worker_without_a_session_gives_up() -> None:
    error = SessionsRefusedError("no more")
    world = World(act=lambda *_: unclean(error))
    result = world.run(world.add("a"), world.add("b"), n_workers=2)
    assert outcomes(result) == {"a": "failed", "b": "failed"}
    assert result.error == error


def test_an_interrupt_keeps_what_is_proven() -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        if batch.files[0].path == "a":
            return world.bring_all(batch, on_moved)
        world.bring(file for file in batch.files if file.path == "b")
        raise CommandStoppedError

    world = World(act=act, max_workers=3)
    result = world.run(*(world.add(name) for name in "abc"))
    assert outcomes(result) == {"a": "sent", "b": "sent"}
    assert (result.is_interrupted, result.error) == (True, None)


def test_an_interrupt_while_waiting_keeps_what_is_proven() -> None:
    class Interrupted(list[float]):
        def append(self, _seconds: float) -> None:
            raise CommandStoppedError

    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        end = world.bring_all(batch, on_moved)
        world.change("log", size=100 + len(world.sent))
        return end

    world = World(act=act, pauses=Interrupted())
    result = world.run(world.add("log", size=1), world.add("rests", size=1))
    assert (result.is_interrupted, outcomes(result)) == (True, {"log": "unsettled", "rests": "sent"})


def test_a_destination_that_is_away_does_not_undo_what_the_engine_vouched_for() -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        return unclean(DROPPED) if batch.files[0].path == "b" else world.bring_all(batch, on_moved)

    world = World(act=act, destination_error=DROPPED)
    result = world.run(world.add("a"), world.add("b"), n_workers=2)
    assert outcomes(result) == {"a": "sent", "b": "failed"}


@pytest.mark.parametrize("torn_rounds", [{2}, {2, 3}], ids=["once", "once more, by when nothing broke"])
def test_after_a_broken_connection_nothing_is_taken_on_trust(torn_rounds: set[int]) -> None:
    """What was left running at the other end may have replaced a part that was gone on with."""

    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        if len(world.sent) == 1:
            return unclean(DROPPED)
        end = world.bring_all(batch, on_moved)
        if len(world.sent) in torn_rounds:
            world.there["/d/wandb/a"] = world.there["/d/wandb/a"]._replace(size=1)
        return end

    world = World(act=act)
    result = world.run(world.add("a"), patience=Patience(n_fruitless_rounds=9))
    assert (outcomes(result), result.error, len(world.sent)) == ({"a": "sent"}, None, 2 + len(torn_rounds))


def test_after_a_broken_connection_a_destination_that_is_away_proves_nothing() -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        if len(world.sent) == 1:
            return unclean(DROPPED)
        world.destination.error = DROPPED
        return world.bring_all(batch, on_moved)

    world = World(act=act)
    result = world.run(world.add("a"))
    assert (outcomes(result), result.files, result.error) == ({"a": "failed"}, {}, DROPPED)


def test_a_full_disk_ends_it_also_where_a_file_changed_meanwhile() -> None:
    def act(world: World, *_: object) -> BatchEnd:
        world.change("log", size=11)
        return unclean(NO_SPACE)

    world = World(act=act)
    result = world.run(world.add("log", size=10), world.add("rests", size=1))
    assert outcomes(result) == {"log": "unsettled", "rests": "failed"}
    assert (world.pauses, len(world.sent), isinstance(result.error, NoSpaceError)) == ([], 1, True)


def test_a_destination_that_is_away_leaves_the_rest_failed() -> None:
    world = World(act=lambda *_: unclean(DROPPED), destination_error=DROPPED)
    result = world.run(world.add("a"))
    assert (outcomes(result), result.error) == ({"a": "failed"}, DROPPED)


def test_a_bug_of_the_engine_is_not_hidden() -> None:
    def act(*_: object) -> BatchEnd:
        raise ZeroDivisionError

    world = World(act=act)
    with pytest.raises(ZeroDivisionError):
        world.run(world.add("a"))


def test_problems_are_told_as_they_stand_in_the_result() -> None:
    world = World(act=lambda *_: unclean(FAILED))
    result = world.run(world.add("a"), world.add("b"))
    told = [event.problem for event in world.events if isinstance(event, ProblemFound)]
    assert (tuple(told), len(told)) == (result.problems, 2)


def test_a_complaint_of_one_worker_is_told_before_the_others_end() -> None:
    told: list[list[str]] = []

    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        told.append([event.problem.path for event in world.events if isinstance(event, ProblemFound)])
        paths = {file.path for file in batch.files}
        if "run-1/bad" in paths:
            return BatchEnd(is_clean=False, complaints={"run-1/bad": "Permission denied (13)"}, error=FAILED)
        return world.bring_all(batch, on_moved)

    world = World(act=act, max_workers=1)
    result = world.run(world.add("run-1/bad", size=2 * LARGE), world.add("outputs/s/f", root=Root.SWEEPS))
    problems = [event.problem for event in world.events if isinstance(event, ProblemFound)]
    assert told == [[], ["run-1/bad"]]
    assert [problem.path for problem in problems] == ["run-1/bad"]
    assert problems == list(result.problems)


MOVES = st.lists(st.tuples(st.integers(0, 3 * LARGE), st.integers(0, 9)), max_size=6)


@given(st.lists(MOVES, min_size=1, max_size=5), st.lists(st.booleans(), max_size=5), st.integers(1, 3))
def test_progress_never_goes_back_and_never_passes_the_plan(
    moves: list[list[tuple[int, int]]], breaks: list[bool], n_workers: int
) -> None:
    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        number = len(world.sent) - 1
        for n_bytes, n_files in moves[number % len(moves)]:
            on_moved(n_bytes, n_files)
        if number < len(breaks) and breaks[number]:
            return unclean(DROPPED)
        return world.bring_all(batch, on_moved)

    world = World(act=act)
    files = [world.add(f"run-{number}/f") for number in range(4)]
    result = world.run(*files, n_workers=n_workers, patience=Patience((), 9))
    started, *rest = world.events
    moved = [event for event in rest if isinstance(event, TransferMoved)]
    assert started == TransferStarted("desktop", 4, 4 * LARGE, 4)
    for values in ([event.n_bytes for event in moved], [event.n_files for event in moved]):
        assert values == sorted(values)
    assert (moved[-1].n_bytes, moved[-1].n_files) == (4 * LARGE, 4)
    assert set(outcomes(result).values()) == {"sent"}


def test_every_file_has_an_outcome_whatever_happens() -> None:
    errors = iter([FAILED, DROPPED, NO_SPACE, DROPPED, FAILED, NO_SPACE])
    world = World(act=lambda *_: unclean(next(errors)), max_workers=2)
    files = [world.add(f"{number}") for number in range(3)]
    result = world.run(*files)
    assert result.outcomes.keys() == {(file.root, file.path) for file in files}


def make_keeping_world(*, leaves_look: bool) -> tuple[World, SourceFile, SourceFile]:
    """A world whose engine keeps what it replaces, with a file that is replaced and one that is new."""
    world = World(replacing=Replacing.KEEPS, leaves_look=leaves_look)
    old, new = world.add("run-1/old"), world.add("run-1/new")
    world.seen = SeenFiles({old.key: Entry(old.path, EntryKind.FILE, 3, T - 10**10, 1)})
    return world, old, new


@pytest.mark.parametrize("leaves_look", [True, False])
def test_the_look_at_what_was_replaced_is_left_to_the_guard_where_all_arrived_at_once(leaves_look: bool) -> None:
    world, old, new = make_keeping_world(leaves_look=leaves_look)
    world.run(old, new)
    place = "/d/wandb/.hsm-tmp/sweep_1/abc.old"
    expected = (ReplacedFile(f"{place}/{old.path}", 3, T - 10**10),)
    assert world.transfer.replaced == (Replaced(has_looked=False, expected=expected) if leaves_look else Replaced())
    assert (f"{place}/" in world.destination.asked) is not leaves_look


def test_the_look_at_what_was_replaced_is_not_left_after_a_round_that_broke() -> None:
    world, old, new = make_keeping_world(leaves_look=True)

    def act(world: World, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        if len(world.sent) > 1:
            return world.bring_all(batch, on_moved)
        world.bring([old])
        return unclean(DROPPED)

    world.act = act
    assert set(outcomes(world.run(old, new, n_workers=1)).values()) == {"sent"}
    assert world.transfer.replaced == Replaced(has_looked=False)


def test_the_look_at_what_was_replaced_is_not_left_where_a_file_is_missing() -> None:
    world, old, new = make_keeping_world(leaves_look=True)
    world.act = lambda *_: unclean(NO_SPACE)
    world.run(old, new, n_workers=1)
    assert world.transfer.replaced == Replaced()
