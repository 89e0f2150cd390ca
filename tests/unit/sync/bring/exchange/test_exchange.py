"""The states of an exchange: what a source, a destination and their mishaps make of it, each case by itself."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hsm.errors import (
    ConnectionDroppedError,
    DiskError,
    ExitCode,
    LockedError,
    NoRsyncError,
    UnreachableError,
)
from hsm.model import Root, Run, RunState, SourceFile, SweepInventory, SyncPlan
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.planner import PlanOptions
from hsm.process.runner import CommandStoppedError
from hsm.progress import Event
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import CleanedUnit, Cleaning, make_aside_name, make_cleaning_path, save_cleaning
from hsm.records.journal import Route
from hsm.records.receipt import Sender
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import receipt_folder
from hsm.sync.bring.exchange.exchange import Exchange
from hsm.sync.bring.exchange.setup import Direction, ExchangeSetup
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.ledger.found_origins import FoundOrigins
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.options import ExchangeOptions, select_wanted
from hsm.sync.observer import Observer, Stopwatch
from hsm.sync.reports import State, TargetReport
from hsm.transfer.outcome import Outcome, Patience
from tests.fake_target import FakeTarget, Script, fail

SWEEP = "sweep_1"
RUN = "run-20260101_000000-a"
LOG = f"{RUN}/run-a.wandb"
MEDIA = f"{RUN}/files/media/page.html"
CONFIG = f"outputs/{SWEEP}/config.yaml"
ALL = {LOG, MEDIA, CONFIG}
T = 1_760_000_000_000_000_000
SOURCE_ID = "a" * 16


class Recorder:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def report(self, event: Event) -> None:
        self.events.append(event)


class Bench:
    """A project with one finished run of one sweep, and a target."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.script = Script()
        self.target = FakeTarget(folder / "there", self.script)
        self.provenance: Any = None
        self.recorder = Recorder()
        for path in ALL:
            self.write(path)

    @property
    def receipt(self) -> Path:
        return self.there / "sweeps" / receipt_folder(SWEEP) / f"receipt-{SOURCE_ID}.json"

    @property
    def lock(self) -> Path:
        return self.there / "sweeps" / receipt_folder(SWEEP) / "lock"

    @property
    def journal(self) -> Path:
        return ProjectFolder(self.project).journal("desktop", SWEEP)

    @property
    def there(self) -> Path:
        return self.target.folder

    def place(self, root: Path, path: str) -> Path:
        return root / ("sweeps" if path.startswith("outputs/") else "wandb") / path

    def write(self, path: str, content: bytes = b"content", *, mtime_ns: int = T, root: Path | None = None) -> Path:
        place = self.place(root or self.project, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        os.utime(place, ns=(mtime_ns, mtime_ns))
        return place

    def read_inventory(self) -> SweepInventory:
        files = []
        for path in sorted(ALL):
            place = self.place(self.project, path)
            if place.exists():
                status, is_log = place.stat(), not path.startswith("outputs/")
                root = Root.WANDB if is_log else Root.SWEEPS
                prefix = str(self.project / root.value)
                files.append(
                    SourceFile(
                        root,
                        path,
                        prefix,
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ino,
                        RUN if is_log else "",
                    )
                )
        run = Run(RUN, str(self.project / "wandb"), "run-a.wandb", RunState.FINISHED, 0)
        runs = (run,) if any(file.run for file in files) else ()
        return SweepInventory(SWEEP, runs, tuple(sorted(files)))

    def exchange(self, **changes: Any) -> TargetReport:
        options = replace(ExchangeOptions(patience=Patience(settle_seconds=(0.0,), n_fruitless_rounds=2)), **changes)
        source = Sender(SOURCE_ID, "here", str(self.project))
        books = Books(self.project, "desktop", Route("push", "desktop", None, None, "/s", "/w"), source)
        direction = Direction(LocalEndpoint(), self.target.endpoint, self.target.roots, self.target.make_guard)
        wanted = select_wanted(self.read_inventory(), options)
        observer = Observer(self.recorder, Stopwatch("desktop", self.recorder), self.target.runner.sleep)
        ledger = Ledger(books, SWEEP, self.provenance)
        return Exchange(ExchangeSetup(self.target, direction, wanted, options, ledger, observer)).run()

    def list_there(self) -> set[str]:
        """The results that lie at the target."""
        return {path for path in ALL if self.place(self.there, path).exists()}

    def read_journal(self) -> Mapping[str, Any]:
        journal: Mapping[str, Any] = json.loads(self.journal.read_text()) if self.journal.exists() else {}
        return journal


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def push_once(bench: Bench) -> None:
    """Have everything there already."""
    assert bench.exchange().state is State.DONE
    bench.script.seen.clear()


def append_to_log(bench: Bench) -> None:
    bench.write(LOG, b"content, and more", mtime_ns=T + 10**9)


def change_there(bench: Bench) -> None:
    """Something newer, and different, lies at the target."""
    push_once(bench)
    bench.write(MEDIA, b"edited there", mtime_ns=T + 5 * 10**9, root=bench.there)


def rewrite_in_one_second(bench: Bench) -> None:
    """The target keeps whole seconds, and a file is written anew within one, as long as before."""
    bench.write(MEDIA, b"before", mtime_ns=T + 1)
    push_once(bench)
    os.utime(bench.place(bench.there, MEDIA), ns=(T, T))
    bench.write(MEDIA, b"after!", mtime_ns=T + 2)


def clean_run(bench: Bench) -> None:
    """A clean has removed the run here."""
    push_once(bench)
    unit = CleanedUnit(RUN, str(bench.project / "wandb"), RUN, make_aside_name())
    cleaning = Cleaning(SWEEP, "2026-01-02T03:04:05+00:00", "here", is_quick=False, places={}, units=(unit,))
    save_cleaning(make_cleaning_path(bench.project, cleaning), cleaning)
    shutil.rmtree(bench.project / "wandb" / RUN)


def fold_names(bench: Bench) -> None:
    """The target takes names for one that differ in case, and has a file whose name differs so."""
    bench.write(MEDIA.replace("page", "PAGE"), b"edited there", mtime_ns=T + 5 * 10**9, root=bench.there)
    bench.target.file_system = FileSystem(folds_case=True)


def put_receipt(bench: Bench, name: str = "receipt-bbbbbbbbbbbbbbbb.json") -> Callable[[], None]:
    """Be somebody else who brings the same sweep there, each time another word."""
    count = iter(range(100))

    def act() -> None:
        bench.receipt.parent.mkdir(parents=True, exist_ok=True)
        (bench.receipt.parent / name).write_text(f"{next(count)}")

    return act


def hold_lock_there(bench: Bench) -> None:
    bench.lock.parent.mkdir(parents=True)
    bench.lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "nonce": "f" * 16, "since": "now"}))


def break_lock(bench: Bench) -> Callable[[], None]:
    """Be somebody else who breaks the lock."""

    def act() -> None:
        bench.lock.write_text("somebody else's")

    return act


def remove(bench: Bench, path: str) -> Callable[[], None]:
    return lambda: bench.place(bench.project, path).unlink(missing_ok=True)


def keep_writing(bench: Bench) -> Callable[[], None]:
    """Be a run that writes into its log whenever it has just been sent."""
    count = iter(range(1, 100))

    def act() -> None:
        n = next(count)
        bench.write(LOG, b"more" * (n + 1), mtime_ns=T + n * 10**9)

    return act


NO_NET = ConnectionDroppedError("the connection dropped", hint="wait")
NO_SPACE = DiskError("the disk is full", kind="no_space")


@dataclass(frozen=True)
class Case:
    """What happens, and what has to come of it.

    Attributes:
        state: Of the report, with its exit code.
        there: The results at the target afterwards.
        before: Done before the exchange.
        acts: By moment, made with the bench.
        options: Of the exchange.
        error: Part of the report's error message; empty where there is none.
        problems: Kinds of the report's problems.
        has_receipt: A receipt of this source lies there afterwards.
        moments: Those that must not come.
        last_error: Part of what the journal keeps for `status`.
    """

    state: tuple[State, ExitCode]
    there: frozenset[str] | set[str] = frozenset()
    before: Callable[[Bench], object] = lambda _bench: None
    acts: Mapping[str, Callable[[Bench], object]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    problems: tuple[str, ...] = ()
    has_receipt: bool = True
    without: tuple[str, ...] = ()
    last_error: str = ""


CASES = {
    "nothing is there": Case((State.DONE, ExitCode.DONE), ALL),
    "everything is there": Case((State.NOTHING_TO_DO, ExitCode.DONE), ALL, push_once, without=("take", "make_engine")),
    "a log has grown": Case((State.DONE, ExitCode.DONE), ALL, lambda bench: (push_once(bench), append_to_log(bench))),
    "a file was rewritten within the second that the target keeps": Case(
        (State.DONE, ExitCode.DONE), ALL, rewrite_in_one_second
    ),
    "a dry run with nothing there": Case(
        (State.PLANNED, ExitCode.DONE), options={"is_dry_run": True}, has_receipt=False, without=("take", "send")
    ),
    "a dry run with everything there": Case(
        (State.PLANNED, ExitCode.DONE), ALL, push_once, options={"is_dry_run": True}, without=("take", "make_engine")
    ),
    "a dry run to which no engine can be made": Case(
        (State.FAILED, ExitCode.PARTIAL),
        acts={"make_engine": lambda _: fail(NoRsyncError("no rsync there"))},
        options={"is_dry_run": True},
        error="no rsync there",
        has_receipt=False,
    ),
    "the journal was lost": Case(
        (State.NOTHING_TO_DO, ExitCode.DONE),
        ALL,
        lambda bench: (push_once(bench), bench.journal.unlink()),
        without=("send",),
    ),
    "the receipt was lost": Case(
        (State.NOTHING_TO_DO, ExitCode.DONE),
        ALL,
        lambda bench: (push_once(bench), bench.receipt.unlink()),
        without=("send",),
    ),
    "the receipt is damaged": Case(
        (State.NOTHING_TO_DO, ExitCode.DONE),
        ALL,
        lambda bench: (push_once(bench), bench.receipt.write_text("{")),
        problems=("damaged_receipt",),
    ),
    "what is there is newer": Case(
        (State.PARTIAL, ExitCode.PARTIAL), ALL, change_there, problems=("conflict",), without=("send",)
    ),
    "what is there is newer and nothing is compared": Case(
        (State.PARTIAL, ExitCode.PARTIAL),
        ALL,
        change_there,
        options={"plan": PlanOptions(is_checked=False)},
        problems=("conflict",),
    ),
    "what is there is newer and is overwritten": Case(
        (State.DONE, ExitCode.DONE), ALL, change_there, options={"plan": PlanOptions(overwrite=True)}
    ),
    "a folder is in the way": Case(
        (State.PARTIAL, ExitCode.PARTIAL),
        ALL,
        lambda bench: bench.place(bench.there, MEDIA).mkdir(parents=True),
        problems=("type_conflict",),
    ),
    "the source has lost everything": Case(
        (State.REFUSED, ExitCode.REFUSED),
        ALL,
        lambda bench: (push_once(bench), [remove(bench, path)() for path in ALL]),
        error="",
        without=("take",),
        last_error=" ",
    ),
    "a clean has removed the run here": Case((State.NOTHING_TO_DO, ExitCode.DONE), ALL, clean_run, without=("send",)),
    "only the sweep's folder": Case((State.DONE, ExitCode.DONE), {CONFIG}, options={"roots": (Root.SWEEPS,)}),
    "only the runs": Case((State.DONE, ExitCode.DONE), {LOG, MEDIA}, options={"roots": (Root.WANDB,)}),
    "the target cannot be reached": Case(
        (State.UNREACHABLE, ExitCode.UNREACHABLE),
        acts={"survey": lambda _: fail(UnreachableError("nobody answers"))},
        error="nobody answers",
        has_receipt=False,
        last_error="nobody answers",
    ),
    "no engine can be made": Case(
        (State.FAILED, ExitCode.PARTIAL),
        acts={"make_engine": lambda _: fail(NoRsyncError("no rsync there"))},
        error="no rsync there",
        has_receipt=False,
        without=("take",),
        last_error="no rsync there",
    ),
    "somebody holds the lock there": Case(
        (State.LOCKED, ExitCode.LOCKED),
        before=hold_lock_there,
        error="the lock there is held",
        has_receipt=False,
        without=("send",),
    ),
    "somebody was there between survey and lock": Case(
        (State.DONE, ExitCode.DONE), ALL, acts={"take": lambda bench: (put_receipt(bench), None)}
    ),
    "somebody is there every time": Case(
        (State.LOCKED, ExitCode.LOCKED),
        acts={"take": put_receipt},
        error="keeps changing",
        has_receipt=False,
        without=("send",),
        last_error="keeps changing",
    ),
    "the connection breaks before anything is sent": Case(
        (State.UNREACHABLE, ExitCode.UNREACHABLE),
        acts={"send": lambda _: fail(NO_NET)},
        error="dropped",
        has_receipt=False,
        last_error="dropped",
    ),
    "the connection breaks once": Case((State.DONE, ExitCode.DONE), ALL, acts={"send": lambda _: (fail(NO_NET), None)}),
    "the connection breaks when all has arrived": Case(
        (State.DONE, ExitCode.DONE), ALL, acts={"sent": lambda _: (fail(NO_NET), None)}
    ),
    "the disk there is full": Case(
        (State.FAILED, ExitCode.PARTIAL), acts={"send": lambda _: fail(NO_SPACE)}, error="full", last_error="full"
    ),
    "a file goes while it is to be sent": Case(
        (State.PARTIAL, ExitCode.PARTIAL),
        {LOG, CONFIG},
        acts={"send": lambda bench: (remove(bench, MEDIA), None)},
        problems=("vanished",),
    ),
    "a log is written to once while it is sent": Case(
        (State.DONE, ExitCode.DONE), ALL, acts={"sent": lambda bench: (lambda: append_to_log(bench), None)}
    ),
    "a log is written to all the time": Case(
        (State.PARTIAL, ExitCode.PARTIAL), ALL, acts={"sent": keep_writing}, problems=("unsettled",)
    ),
    "the lock is broken while files are sent": Case(
        (State.LOCKED, ExitCode.LOCKED),
        ALL,
        acts={"release": break_lock},
        error="no longer ours",
        problems=("lock_lost",),
        has_receipt=False,
    ),
    "the connection breaks at the receipt": Case(
        (State.PARTIAL, ExitCode.PARTIAL),
        ALL,
        acts={"release": lambda _: fail(NO_NET)},
        error="dropped",
        problems=("connection_dropped",),
        has_receipt=False,
    ),
    "the user interrupts the survey": Case(
        (State.INTERRUPTED, ExitCode.INTERRUPTED),
        acts={"survey": lambda _: fail(CommandStoppedError())},
        has_receipt=False,
    ),
    "the user interrupts the transfer": Case(
        (State.INTERRUPTED, ExitCode.INTERRUPTED), acts={"send": lambda _: fail(CommandStoppedError())}
    ),
    "a secret is refused": Case(
        (State.REFUSED, ExitCode.REFUSED),
        before=lambda bench: bench.write(CONFIG, b"aws_access_key_id: AKIAIOSFODNN7QWERTYU\n"),
        options={"secrets": "refuse"},
        error="secret",
        problems=("possible_secret",),
        has_receipt=False,
        without=("take",),
        last_error="secret",
    ),
    "a secret is warned of": Case(
        (State.DONE, ExitCode.DONE),
        ALL,
        before=lambda bench: bench.write(CONFIG, b"aws_access_key_id: AKIAIOSFODNN7QWERTYU\n"),
        problems=("possible_secret",),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_becomes_of_an_exchange(bench: Bench, case: Case) -> None:
    case.before(bench)
    for moment, make in case.acts.items():
        made = make(bench)
        bench.script.at(moment, *(made if isinstance(made, tuple) else (made,)))  # type: ignore[arg-type]
    report = bench.exchange(**case.options)
    assert (report.state, report.exit_code) == case.state, (report.error, report.problems)
    assert case.error in (report.error.message if report.error is not None else ""), report.error
    assert (report.error is not None) is bool(case.error) or case.state[0] is State.REFUSED
    assert {problem.kind for problem in report.problems} == set(case.problems)
    assert bench.list_there() == case.there
    assert bench.receipt.exists() is case.has_receipt
    assert not [moment for moment in bench.script.seen if moment in case.without]
    assert case.last_error.strip() in bench.read_journal().get("last_error", "")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whatever_becomes_of_it_the_next_one_goes_on(bench: Bench, case: Case) -> None:
    """Nothing that an exchange leaves behind keeps the next one from its end, once what was wrong is over."""
    case.before(bench)
    for moment, make in case.acts.items():
        made = make(bench)
        bench.script.at(moment, *(made if isinstance(made, tuple) else (made,)))  # type: ignore[arg-type]
    bench.exchange(**case.options)
    bench.script.acts.clear()
    if bench.lock.exists() and case.before is hold_lock_there:
        bench.lock.unlink()
    if "somebody else's" in (bench.lock.read_text() if bench.lock.exists() else ""):
        bench.lock.unlink()
    for path in ALL:
        if not bench.place(bench.project, path).exists():
            bench.write(path)
    place = bench.place(bench.there, MEDIA)
    if place.is_dir():
        place.rmdir()
    report = bench.exchange(plan=PlanOptions(overwrite=True))
    assert report.state in (State.DONE, State.NOTHING_TO_DO), (report.error, report.problems)
    assert bench.list_there() == ALL
    for path in ALL:
        assert bench.place(bench.there, path).read_bytes() == bench.place(bench.project, path).read_bytes()
    assert not list(bench.there.rglob(".hsm-tmp/*/*"))
    assert not bench.lock.exists()
    assert bench.exchange().state is State.NOTHING_TO_DO


def test_only_what_arrived_is_written_down(bench: Bench) -> None:
    """Of a run that changed while it was sent, the journal claims nothing that is not there."""
    bench.script.at("sent", keep_writing(bench))
    report = bench.exchange()
    assert report.result is not None
    outcomes = {path: outcome for (_, path), outcome in report.result.outcomes.items()}
    assert outcomes[LOG] is Outcome.UNSETTLED
    record = bench.read_journal()["runs"][RUN]
    assert (record["n_files"], record["is_complete"]) == (1, False)
    assert bench.read_journal()["runs"][""]["is_complete"]


def test_names_that_the_target_takes_for_one_are_one(bench: Bench) -> None:
    fold_names(bench)
    report = bench.exchange()
    assert (report.state, {problem.kind for problem in report.problems}) == (State.PARTIAL, {"name_collision"})
    assert bench.list_there() == {LOG, CONFIG}


def test_what_a_broken_connection_left_open_is_gone_before_the_rest_is_sent(bench: Bench) -> None:
    own = bench.there / "wandb/.hsm-tmp" / SWEEP
    seen: list[bool] = []

    def break_off() -> None:
        (folder,) = own.iterdir()
        (folder / "part").write_text("half")
        raise NO_NET

    bench.script.at("send", break_off, lambda: seen.append(any(own.glob("*/part"))))
    assert bench.exchange().state is State.DONE
    assert seen
    assert not any(seen)


def test_an_error_between_lock_and_transfer_gives_the_lock_back(bench: Bench) -> None:
    class FullHere:
        """A record of what is whose that cannot be written, since the disk here is full."""

        def find(self, *_: Any, **__: Any) -> FoundOrigins:
            return FoundOrigins()

        def begin(self, _plan: SyncPlan) -> None:
            raise NO_SPACE

    bench.provenance = FullHere()
    report = bench.exchange()
    assert (report.state, bench.script.seen.count("take")) == (State.FAILED, 1)
    assert (bench.list_there(), bench.lock.exists()) == (set(), False)


def test_a_lock_of_this_side_keeps_a_second_call_out(bench: Bench) -> None:
    answers: list[TargetReport] = []

    def meanwhile() -> None:
        other = Bench.__new__(Bench)
        other.__dict__.update(bench.__dict__, script=Script())
        other.target = FakeTarget(bench.there, other.script)
        thread = threading.Thread(target=lambda: answers.append(other.exchange()))
        thread.start()
        thread.join(20)

    bench.script.at("send", meanwhile, None)
    assert bench.exchange().state is State.DONE
    assert [(answer.state, type(answer.error)) for answer in answers] == [(State.LOCKED, LockedError)]


def test_the_transfer_is_prepared_for_what_has_changed_here(bench: Bench) -> None:
    asked: list[frozenset[Root]] = []

    def prepare(changed: Any, **_: object) -> None:
        asked.append(frozenset(changed))

    bench.target.prepare = prepare  # type: ignore[method-assign]
    bench.exchange()
    bench.write(CONFIG, b"new", mtime_ns=4_000_000_000_000_000_000)
    bench.exchange()
    bench.exchange(is_dry_run=True)
    assert asked == [frozenset(), frozenset({Root.SWEEPS})]  # a first sync needs no stream that is open early


def test_at_a_destination_that_is_here_what_arrived_is_written_down_after_a_break(bench: Bench) -> None:
    """A local rsync that was killed counts as a dropped connection; the folder is within reach all the same."""
    bench.target.endpoint.is_remote = False
    bench.script.at("send", None, fail(NO_NET))
    bench.script.at("sent", fail(NO_NET))
    bench.exchange()
    assert bench.receipt.exists()
    assert not bench.lock.exists()
