"""Whose the files here are: what a pull's ledger remembers, also after a pull that was killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from hsm.endpoint import Tree
from hsm.model import PlanItem, Reason, Root, Run, SourceFile, SweepInventory, SyncPlan
from hsm.plan.destination import Destination, make_destination_root
from hsm.process.runner import Runner
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Route
from hsm.records.origins import Origins, save_origins
from hsm.records.receipt import Sender, get_receipt_name
from hsm.remote.guard import GuardPlaces
from hsm.remote.local import LocalEndpoint, LocalShell
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.sweep_folder import receipt_folder
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.ledger.provenance import Provenance

SWEEP = "sweep_1"
PATH = "run-1/x"
KEY = (Root.WANDB, PATH)
T = 1_760_000_000_000_000_000


class Case:
    """A file of a run at a target, and one here."""

    def __init__(self, folder: Path) -> None:
        self.here = folder / "here"
        self.far = folder / "far"
        self.vouched = {"hpc", "lab"}

    @property
    def receipt(self) -> Path:
        return self.here / "sweeps" / receipt_folder(SWEEP) / get_receipt_name("hpc")

    def write(self, root: Path, content: bytes, mtime_ns: int) -> None:
        path = root / "wandb" / PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(mtime_ns, mtime_ns))

    def make_ledger(self, target: str = "hpc") -> Ledger:
        route = Route("pull", target, None, None, "/s", "/w")
        books = Books(self.here, target, route, Sender(target, "h", "/p"))
        provenance = Provenance(
            books,
            SWEEP,
            source=LocalEndpoint(),
            sweeps=str(self.here / "sweeps"),
            vouches=lambda sender: sender.id in self.vouched,
        )
        return Ledger(books, SWEEP, provenance)

    def read(self) -> tuple[SourceFile, Destination]:
        state = (self.far / "wandb" / PATH).stat()
        prefix = str(self.far / "wandb")
        file = SourceFile(Root.WANDB, PATH, prefix, state.st_size, state.st_mtime_ns, state.st_ino, "run-1")
        survey = LocalEndpoint().survey([Tree(str(self.here / "wandb"), ("run-1",))])
        return file, {Root.WANDB: make_destination_root(survey.listings)}

    def find_foreign(self, target: str = "hpc") -> dict[tuple[Root, str], str]:
        file, destination = self.read()
        found = self.make_ledger(target).find_origins(
            SweepInventory(SWEEP, (Run("run-1", "/p"),), (file,)), destination
        )
        return dict(found.foreign)

    def pull(
        self,
        target: str = "hpc",
        *,
        reason: Reason = Reason.NEW,
        arrives: bytes | None,
        mtime_ns: int = T,
        proven: bool,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Be a pull that brings `arrives`, or nothing; `then` something happens here before it ends."""
        ledger = self.make_ledger(target)
        file, destination = self.read()
        ledger.find_origins(SweepInventory(SWEEP, (Run("run-1", "/p"),), (file,)), destination)
        plan = SyncPlan(SWEEP, (Run("run-1", "/p"),), (PlanItem(file, reason),))
        places = GuardPlaces(str(self.receipt.parent), ())
        arrived = file if arrives is None else file._replace(size=len(arrives), mtime_ns=mtime_ns)
        with ledger.open(is_dry_run=False):
            ledger.holding.take(places, partial(ShellGuard, LocalShell(Runner())))
            ledger.begin(plan)
            if arrives is not None:
                self.write(self.here, arrives, mtime_ns)
            then()
            ledger.record(
                plan,
                {KEY: arrived} if proven else {},
                unsettled={} if proven else {KEY: file._replace(mtime_ns=file.mtime_ns + 3_000)},
                places=places,
                endpoint=LocalEndpoint(),
            )

    def be_killed(self, target: str = "hpc") -> None:
        """Be a pull that is killed while it sends."""
        file, destination = self.read()
        ledger = self.make_ledger(target)
        ledger.find_origins(SweepInventory(SWEEP, (Run("run-1", "/p"),), (file,)), destination)
        ledger.begin(SyncPlan(SWEEP, items=(PlanItem(file, Reason.NEW),)))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """Return a case in which the target has a file."""
    case = Case(tmp_path)
    case.write(case.far, b"far, second", T + 10)
    return case


def test_what_nobody_brought_is_foreign(case: Case) -> None:
    case.write(case.here, b"mine", T)
    assert "did not come from hpc" in case.find_foreign()[KEY]


@pytest.mark.parametrize("proven", [True, False], ids=["proven", "changed on its way"])
def test_what_this_target_brought_is_its_own_until_it_is_changed_here(case: Case, proven: bool) -> None:
    case.pull(arrives=b"far, first", proven=proven)
    assert case.find_foreign() == {}
    case.write(case.here, b"mine", T)
    assert KEY in case.find_foreign()


def test_what_a_pull_that_was_killed_left_is_its_own(case: Case) -> None:
    case.be_killed()
    case.write(case.here, b"far, second", T + 10)
    case.write(case.far, b"far, and third", T + 20)
    assert case.find_foreign() == {}
    assert "did not come from lab" in case.find_foreign("lab")[KEY]


def test_what_comes_here_from_elsewhere_after_a_kill_is_not_its_own(case: Case) -> None:
    case.be_killed()
    for content, mtime_ns in ((b"of the lab", T), (b"of the lab", T + 10), (b"lab, second", T + 10**10)):
        case.write(case.here, content, mtime_ns)
        assert "did not come from hpc" in case.find_foreign()[KEY]


def test_what_comes_here_from_elsewhere_after_two_kills_is_not_its_own(case: Case) -> None:
    case.be_killed()
    case.write(case.here, b"far, second", T + 10)
    case.write(case.far, b"far, and third", T + 20)
    case.be_killed()
    assert case.find_foreign() == {}  # still as the first brought it
    case.write(case.here, b"of the lab", T + 15)
    assert KEY in case.find_foreign()


def test_what_lay_here_before_a_pull_that_was_killed_stays_its_own(case: Case) -> None:
    case.pull(arrives=b"far, second", mtime_ns=T + 10, proven=True)
    case.receipt.unlink()
    case.write(case.far, b"far, and third", T + 20)
    case.be_killed()
    case.write(case.far, b"far, fourth", T + 30)
    assert case.find_foreign() == {}


def test_a_log_that_grew_while_a_pull_that_was_killed_brought_it_is_its_own(case: Case) -> None:
    case.write(case.far, b"one\n", T)
    case.be_killed()
    case.write(case.here, b"one\ntwo\n", T + 10**10)
    case.write(case.far, b"one\ntwo\nthree\n", T + 2 * 10**10)
    assert case.find_foreign() == {}
    case.write(case.here, b"one\nTwo\n", T + 10**10)
    assert KEY in case.find_foreign()


def test_without_a_kill_the_beginning_of_a_log_is_a_file_like_any_other(case: Case) -> None:
    case.write(case.here, b"far,", T)
    assert KEY in case.find_foreign()


def test_what_an_older_version_saw_coming_is_its_own_where_it_is_the_beginning(case: Case) -> None:
    path = ProjectFolder(case.here).origins("hpc", SWEEP)
    save_origins(path, Origins(Route("pull", "hpc", None, None, "/s", "/w"), {}, {KEY: None}))
    case.write(case.here, b"far,", T)
    assert case.find_foreign() == {}
    case.write(case.here, b"of the lab", T)
    assert KEY in case.find_foreign()


@pytest.mark.parametrize("proven", [True, False], ids=["proven", "changed on its way"])
def test_what_somebody_writes_here_during_a_pull_is_theirs(case: Case, proven: bool) -> None:
    def write() -> None:
        (case.here / "wandb" / PATH).write_bytes(b"my own work")

    case.pull(arrives=b"far, second", mtime_ns=T + 10, proven=proven, then=write)
    case.write(case.far, b"far, and third", T + 20)
    assert KEY in case.find_foreign()


def test_what_somebody_puts_here_during_a_pull_that_leaves_it_is_theirs(case: Case) -> None:
    case.pull(arrives=None, proven=False, then=lambda: case.write(case.here, b"of the lab", T - 10**10))
    assert KEY in case.find_foreign()


def test_what_another_target_brought_where_a_pull_was_killed_is_not_its_own(case: Case) -> None:
    case.be_killed()
    case.pull("lab", arrives=b"of the lab", proven=True)
    assert case.find_foreign() == {KEY: "it came from lab, and differs"}


def test_what_was_overwritten_since_another_target_brought_it_is_its_own(case: Case) -> None:
    case.pull("lab", arrives=b"of the lab", proven=True)
    case.pull(reason=Reason.OVERWRITE, arrives=b"far, first", mtime_ns=T + 1, proven=True)
    assert case.find_foreign() == {}


def test_a_pull_that_was_killed_forgets_nothing_of_those_before(case: Case) -> None:
    case.pull(arrives=b"far, first", proven=True)
    file, _ = case.read()
    other = file._replace(path="run-1/y")
    case.make_ledger().begin(SyncPlan(SWEEP, items=(PlanItem(other, Reason.NEW),)))
    assert case.find_foreign() == {}


def test_an_overwrite_that_did_not_arrive_leaves_the_file_whose_it_was(case: Case) -> None:
    case.write(case.here, b"mine", T)
    case.pull(reason=Reason.OVERWRITE, arrives=None, proven=False)
    assert KEY in case.find_foreign()
    case.pull(reason=Reason.OVERWRITE, arrives=b"far, first", proven=False)
    assert case.find_foreign() == {}


def test_a_target_under_another_name_is_the_same_place(case: Case) -> None:
    case.pull(arrives=b"far, first", proven=True)
    (case.here / ".hsm/sync/hpc").rename(case.here / ".hsm/sync/cluster")
    assert case.find_foreign() == {}


def test_what_was_here_the_same_is_its_own_from_then_on(case: Case) -> None:
    case.write(case.here, b"far, second", T + 10)
    case.pull(reason=Reason.SAME, arrives=None, proven=False)
    case.receipt.unlink()
    case.write(case.far, b"far, and third", T + 20)
    assert case.find_foreign() == {}


def test_a_run_that_lies_here_as_a_receipt_of_the_source_says_is_its_own(case: Case) -> None:
    """So a pull knows what the source pushed here."""
    case.pull(arrives=b"far, second", mtime_ns=T + 10, proven=True)
    ProjectFolder(case.here).origins("hpc", SWEEP).unlink()
    case.write(case.far, b"far, and third", T + 20)
    assert case.find_foreign() == {}
    case.vouched = {"lab"}
    assert KEY in case.find_foreign()
    case.vouched = {"hpc"}
    case.write(case.here, b"mine", T)
    assert KEY in case.find_foreign()


def test_the_same_content_is_equal_whatever_its_time(case: Case) -> None:
    case.write(case.here, b"far, second", T - 10)
    file, destination = case.read()
    found = case.make_ledger().find_origins(SweepInventory(SWEEP, (Run("run-1", "/p"),), (file,)), destination)
    assert (found.equal, found.foreign) == (frozenset({KEY}), {})


@pytest.mark.parametrize("content", [b"far, secone", b"far, second!"], ids=["as many bytes", "more at its end"])
def test_other_content_is_foreign_however_small_the_difference(case: Case, content: bytes) -> None:
    case.write(case.here, content, T - 10)
    file, destination = case.read()
    found = case.make_ledger().find_origins(SweepInventory(SWEEP, (Run("run-1", "/p"),), (file,)), destination)
    assert (found.equal, set(found.foreign)) == (frozenset(), {KEY})
