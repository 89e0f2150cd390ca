"""The ledger: what journal, receipt and locks say after each way in which a sync may end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hsm.errors import ConnectionDroppedError, LockedError, LockLostError
from hsm.model import PlanItem, Reason, Root, Run, RunState, SourceFile, SweepInventory, SyncPlan
from hsm.process.runner import CommandStoppedError, Runner
from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import CleanedUnit, Cleaning, make_aside_name, make_cleaning_path, save_cleaning
from hsm.records.journal import Journal, Route, load_journal, save_journal
from hsm.records.lock import is_dead_here, parse_holder
from hsm.records.receipt import Receipt, Sender, get_receipt_name, make_receipt_content, parse_receipt
from hsm.records.record import SWEEP_FOLDER, RunRecord, make_records
from hsm.remote.cksum import make_checksum
from hsm.remote.guard import GuardPlaces, Replaced, get_replaced_folder
from hsm.remote.local import LocalEndpoint, LocalShell
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.ledger.holding import UnseenReplacedError
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.targets.lock import LOOK_SECONDS

SWEEP = "sweep_1"
T = 1_760_000_000_123_456_789
ROUTE = Route("push", "desktop", None, None, "/s", "/w")
SOURCE = Sender("a" * 16, "here", "/p")
NAME = get_receipt_name(SOURCE.id)
RUN = Run("run-1", "/p/wandb", state=RunState.FINISHED, exit_code=0)
FILES = [SourceFile(Root.WANDB, f"run-1/{name}", "/p/wandb", 10, T, 7, "run-1") for name in "ab"]


def make_plan(*reasons: Reason, run: Run = RUN) -> SyncPlan:
    """Make a plan of a run's files, each with its reason."""
    return SyncPlan(SWEEP, (run,), tuple(map(PlanItem, FILES, reasons)))


SAME = make_plan(Reason.SAME, Reason.SAME)
SENDS = make_plan(Reason.NEW, Reason.NEW)
SENT = {file.key: file for file in FILES}


def checksum_of(content: bytes) -> str:
    """Make the checksum of a receipt as a look at the destination gives it."""
    return make_checksum(content).replace(" ", "-")


class Desk:
    """A project, and the folder of receipts at a destination."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.receipts = folder / "there/outputs" / SWEEP / ".hsm-sync"
        self.places = GuardPlaces(str(self.receipts), (str(folder / "there/.hsm-tmp" / SWEEP),))
        self.journal_path = ProjectFolder(self.project).journal("desktop", SWEEP)
        self.ledger = self.make_ledger()
        self.guards: list[ShellGuard] = []

    def make_ledger(self, direction: str = "push") -> Ledger:
        return Ledger(Books(self.project, "desktop", replace(ROUTE, direction=direction), SOURCE), SWEEP)

    def make_guard(self, places: GuardPlaces, nonce: str) -> ShellGuard:
        self.guards.append(ShellGuard(LocalShell(Runner()), places, nonce))
        return self.guards[-1]

    @property
    def lock(self) -> Path:
        return self.receipts / "lock"

    def read_journal(self) -> Journal:
        return load_journal(self.journal_path, ROUTE, sets_aside=False)[0]

    def read_receipt(self) -> Receipt:
        return parse_receipt((self.receipts / NAME).read_bytes())

    def write_receipt(self, generation: int) -> str:
        """Put a receipt of this source there, and return its checksum."""
        content = make_receipt_content(Receipt(SWEEP, SOURCE, generation, "", {SWEEP_FOLDER: RunRecord()}))
        return self.write_there(content)

    def write_there(self, content: bytes) -> str:
        self.receipts.mkdir(parents=True, exist_ok=True)
        (self.receipts / NAME).write_bytes(content)
        return make_checksum(content)

    def sync(self, plan: SyncPlan = SENDS, sent: Mapping[Any, SourceFile] = SENT, *, error: str = "") -> list[str]:
        """Be a sync from the lock to the record, and return the kinds of what it tells."""
        ledger = self.make_ledger()
        with ledger.open(is_dry_run=False):
            ledger.holding.take(self.places, self.make_guard)
            return [problem.kind for problem in self.record(ledger, plan, sent, error=error)]

    def record(self, ledger: Ledger, plan: SyncPlan = SENDS, sent: Mapping[Any, SourceFile] = SENT, **more: Any) -> Any:
        return ledger.record(plan, sent, places=self.places, endpoint=LocalEndpoint(), **more)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def taken(desk: Desk) -> Iterator[Desk]:
    """Return a desk whose ledger holds both locks."""
    with desk.ledger.open(is_dry_run=False):
        desk.ledger.holding.take(desk.places, desk.make_guard)
        yield desk


def test_a_sync_leaves_a_journal_and_a_receipt_that_name_each_other_and_no_lock(desk: Desk) -> None:
    assert desk.sync(error="one file failed") == []
    journal, receipt = desk.read_journal(), desk.read_receipt()
    records = make_records(SENDS, SENT)
    assert (journal.generation, receipt.generation, journal.runs) == (1, 1, records)
    assert receipt.runs == {SWEEP_FOLDER: RunRecord(), **records}
    assert journal.receipt == checksum_of((desk.receipts / NAME).read_bytes())
    assert journal.last_error == "one file failed"
    assert journal.updated_ns > T
    assert [path.name for path in desk.receipts.iterdir()] == [NAME]
    assert not list(desk.project.rglob("*.lock"))
    assert desk.sync(SAME, {}) == []
    assert (desk.read_journal().generation, desk.read_receipt().generation) == (2, 2)


# -- nothing to do ----------------------------------------------------------------------------------------------------

RUNNING = replace(RUN, state=RunState.RUNNING, exit_code=None)


@pytest.mark.parametrize(
    ("before", "plan", "receipts", "is_current"),
    [
        pytest.param(SAME, SAME, {NAME: "12 345"}, True, id="as it was recorded"),
        pytest.param(SAME, SAME, {NAME: "12 345", "receipt-b.json": "1 2"}, True, id="another source was there"),
        pytest.param(SAME, SAME, {}, False, id="the receipt is gone"),
        pytest.param(SAME, SAME, {NAME: "54 321"}, False, id="another receipt"),
        pytest.param(SAME, SAME, {NAME: ""}, False, id="a receipt that cannot be read"),
        pytest.param(
            make_plan(Reason.SAME, Reason.SAME, run=RUNNING), SAME, {NAME: "12 345"}, False, id="the run has ended"
        ),
        pytest.param(
            SAME, make_plan(Reason.SAME, Reason.EXCLUDED), {NAME: "12 345"}, False, id="a file is left out now"
        ),
        pytest.param(
            make_plan(Reason.SAME), SAME, {NAME: "12 345"}, False, id="a file was copied there by other means"
        ),
    ],
)
def test_nothing_to_do_is_said_only_where_both_records_say_so(
    desk: Desk, before: SyncPlan, plan: SyncPlan, receipts: Mapping[str, str], is_current: bool
) -> None:
    save_journal(desk.journal_path, Journal(ROUTE, 1, "12 345", T, runs=make_records(before, {})))
    with desk.ledger.open(is_dry_run=True):
        assert desk.ledger.is_current(plan, receipts) is is_current


def test_a_receipt_of_one_part_claims_nothing_of_the_other(desk: Desk) -> None:
    def is_current(plan: SyncPlan) -> bool:
        ledger = desk.make_ledger()
        with ledger.open(is_dry_run=True):
            return ledger.is_current(plan, {NAME: desk.read_journal().receipt})

    notes = SourceFile(Root.SWEEPS, f"outputs/{SWEEP}/notes.txt", "/p/sweeps", 1, T, 8)
    folder = SyncPlan(SWEEP, items=(PlanItem(notes, Reason.NEW),), left_roots={Root.WANDB: True})
    desk.sync()
    assert is_current(replace(folder, items=()))  # the old receipt stays, of its time
    desk.sync(folder, {notes.key: notes})
    assert desk.read_receipt().left == desk.read_journal().left == {"runs not asked for": 1}
    assert not is_current(SAME)
    desk.sync(SAME, {})
    assert desk.read_receipt().left == desk.read_journal().left == {}


def test_a_journal_without_a_receipt_is_never_current(desk: Desk) -> None:
    save_journal(desk.journal_path, Journal(ROUTE, 1, "", T, runs=make_records(SAME, {})))
    with desk.ledger.open(is_dry_run=True):
        assert not desk.ledger.is_current(SAME, {NAME: ""})
        assert not desk.ledger.is_current(SAME, {})


# -- generations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("journal", "there", "generation", "kinds"),
    [
        pytest.param(None, None, 1, [], id="the first sync"),
        pytest.param((3, "known"), 3, 4, [], id="both as they were left"),
        pytest.param(None, 7, 8, [], id="the journal was lost"),
        pytest.param((3, "other"), 7, 8, [], id="an older journal"),
        pytest.param((7, "other"), 3, 8, [], id="an older receipt"),
        pytest.param((7, "other"), None, 8, [], id="the receipt was lost"),
        pytest.param((7, "other"), b"{", 8, ["damaged_receipt"], id="the receipt is damaged"),
    ],
)
def test_a_generation_is_never_used_twice(
    desk: Desk, journal: tuple[int, str] | None, there: int | bytes | None, generation: int, kinds: list[str]
) -> None:
    checksum = ""
    if there is not None:
        checksum = desk.write_there(there) if isinstance(there, bytes) else desk.write_receipt(there)
    if journal is not None:
        known = checksum if journal[1] == "known" else "1 2"
        save_journal(desk.journal_path, Journal(ROUTE, journal[0], known, T))
    assert desk.sync() == kinds
    assert (desk.read_journal().generation, desk.read_receipt().generation) == (generation, generation)
    kept = desk.receipts / f"{NAME}.damaged"
    assert (kept.read_bytes() if kept.exists() else None) == (there if isinstance(there, bytes) else None)


# -- when it goes wrong -----------------------------------------------------------------------------------------------


def test_without_the_lock_no_receipt_is_written_and_it_is_told(taken: Desk) -> None:
    taken.lock.write_text("somebody else's")
    with pytest.raises(LockLostError):
        taken.record(taken.ledger)
    assert (taken.lock.read_text(), (taken.receipts / NAME).exists()) == ("somebody else's", False)
    journal = taken.read_journal()
    assert (journal.generation, journal.receipt, set(journal.runs)) == (0, "", set()), "what arrived may be replaced"


@pytest.mark.parametrize(
    "error", [ConnectionDroppedError("the connection dropped", hint="wait"), CommandStoppedError()], ids=repr
)
def test_a_receipt_that_cannot_be_written_leaves_the_journal_and_a_lock_that_is_dead(
    taken: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(taken.guards[0], "release", fail)
    with pytest.raises(type(error)):
        taken.record(taken.ledger)
    journal = taken.read_journal()
    assert (journal.generation, journal.receipt, journal.runs) == (0, "", make_records(SENDS, SENT))
    assert not taken.ledger.is_current(SAME, {})
    holder = parse_holder(taken.lock.read_bytes())
    assert holder is not None
    assert is_dead_here(holder)


def test_a_target_out_of_reach_is_recorded_here_alone_and_its_lock_is_dead(taken: Desk) -> None:
    taken.ledger.record_here(SENDS, {FILES[0].key: FILES[0]}, error="nobody answers")
    journal = taken.read_journal()
    assert (journal.runs["run-1"].n_files, journal.runs["run-1"].is_complete) == (1, False)
    assert (journal.last_error, journal.receipt) == ("nobody answers", "")
    taken.ledger.holding.give_back()
    holder = parse_holder(taken.lock.read_bytes())
    assert holder is not None
    assert is_dead_here(holder)


def test_an_error_is_noted_beside_what_was_verified_before(desk: Desk) -> None:
    desk.sync()
    before = desk.read_journal()
    with desk.ledger.open(is_dry_run=False):
        desk.ledger.note_error("no rsync there")
    assert desk.read_journal() == replace(before, last_error="no rsync there")


def test_a_lock_that_was_given_back_is_not_given_back_again(taken: Desk) -> None:
    taken.ledger.holding.give_back()
    assert not taken.receipts.exists()
    taken.make_ledger().holding.take(taken.places, taken.make_guard)
    taken.ledger.holding.give_back()
    assert taken.lock.exists()


# -- what is asked of it ----------------------------------------------------------------------------------------------


def test_a_dry_run_holds_no_lock_and_leaves_a_journal_that_it_cannot_use(desk: Desk) -> None:
    desk.journal_path.parent.mkdir(parents=True)
    desk.journal_path.write_text("{")
    with desk.make_ledger().hold():
        with pytest.raises(LockedError), desk.make_ledger().open(is_dry_run=False):
            pass
        with desk.ledger.open(is_dry_run=True):
            assert [notice.kind for notice in desk.ledger.notices] == ["damaged_journal"]
    assert [path.name for path in desk.journal_path.parent.iterdir()] == [desk.journal_path.name]
    with desk.ledger.open(is_dry_run=False):
        assert not desk.journal_path.exists()


def test_only_runs_of_which_files_are_verified_are_known(desk: Desk) -> None:
    runs = {"run-1": RunRecord(n_files=1), "run-2": RunRecord(), SWEEP_FOLDER: RunRecord(n_files=2)}
    save_journal(desk.journal_path, Journal(ROUTE, runs=runs))
    with desk.ledger.open(is_dry_run=True):
        assert desk.ledger.known == {"run-1", SWEEP_FOLDER}


@pytest.mark.parametrize(("direction", "found"), [("push", {"run-9"}), ("pull", set())])
def test_what_a_clean_removed_here_is_not_missed_in_a_push(desk: Desk, direction: str, found: set[str]) -> None:
    unit = CleanedUnit("run-9", "/p/wandb", "run-9", make_aside_name())
    cleaning = Cleaning(SWEEP, "2026-01-02T03:04:05+00:00", "here", is_quick=False, places={}, units=(unit,))
    save_cleaning(make_cleaning_path(desk.project, cleaning), cleaning)
    assert desk.make_ledger(direction).find_cleaned() == found


def test_a_run_that_was_removed_as_another_sweeps_is_not_missed(desk: Desk) -> None:
    save_journal(desk.journal_path, Journal(ROUTE, runs={"run-9": RunRecord(n_files=1), "run-8": RunRecord(n_files=1)}))
    unit = CleanedUnit("run-9", "/p/wandb", "run-9", make_aside_name())
    cleaning = Cleaning("dev", "2026-01-02T03:04:05+00:00", "here", is_quick=False, places={}, units=(unit,))
    save_cleaning(make_cleaning_path(desk.project, cleaning), cleaning)
    with desk.ledger.open(is_dry_run=True):
        assert desk.ledger.find_cleaned() == {"run-9"}


def test_what_a_receipt_lists_stays_listed_where_the_journal_does_not_know_it(desk: Desk) -> None:
    """By its list alone a pull finds a run that is not here any more and whose log names no sweep."""
    before = RunRecord("finished", 0, True, True, 2, 20, "d" * 32)
    runs = {SWEEP_FOLDER: before, "run-9": before, "run-1": before}
    desk.write_there(make_receipt_content(Receipt(SWEEP, SOURCE, 4, "", runs)))
    for generation in (5, 6):
        desk.sync()
        found = desk.read_receipt()
        assert (found.generation, found.runs["run-9"]) == (generation, before)
        assert found.runs["run-1"] == make_records(SENDS, SENT)["run-1"]
        assert found.runs[SWEEP_FOLDER] == RunRecord(), "of the sweep's folder only what is known here counts"
        assert desk.read_journal().runs["run-9"] == before


@pytest.mark.parametrize(
    "receipt",
    [Receipt("sweep_2", SOURCE, 4, "", {"run-9": RunRecord()}), Receipt(SWEEP, SOURCE, 4, "", {"../x": RunRecord()})],
    ids=["of another sweep", "with a name that is no run's"],
)
def test_a_receipt_that_is_not_sound_is_set_aside_and_lists_nothing(desk: Desk, receipt: Receipt) -> None:
    desk.write_there(make_receipt_content(replace(receipt, runs={SWEEP_FOLDER: RunRecord(), **receipt.runs})))
    assert desk.sync() == ["damaged_receipt"]
    assert set(desk.read_receipt().runs) == {SWEEP_FOLDER, "run-1"}


@pytest.mark.parametrize(
    ("mtime_ns", "changed"),
    [(T - 1, set()), (T, set()), (T + 1, {Root.WANDB})],
    ids=["before the last sync", "at the last sync", "after it"],
)
def test_a_root_has_changed_where_a_file_is_younger_than_the_last_sync(
    desk: Desk, mtime_ns: int, changed: set[Root]
) -> None:
    save_journal(desk.journal_path, Journal(ROUTE, updated_ns=T))
    with desk.ledger.open(is_dry_run=True):
        files = (FILES[0]._replace(mtime_ns=mtime_ns), FILES[1]._replace(mtime_ns=T - 9))
        assert desk.ledger.find_changed(SweepInventory(SWEEP, (RUN,), files)) == changed


def test_the_lock_is_watched_while_it_is_held(taken: Desk) -> None:
    watch = taken.ledger.holding._watch()
    watch.check(at_once=True)
    left = Path(taken.places.temporary[0]) / watch.nonce / "left"
    assert str(left.parent).endswith(taken.ledger.holding.workspace)
    left.write_text("x")
    watch.tidy()
    assert not left.exists()
    taken.lock.write_text("somebody else's")
    for look in (watch.tidy, lambda: watch.check(at_once=True)):
        with pytest.raises(LockLostError):
            look()


def test_a_look_at_the_lock_is_good_for_some_seconds(taken: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("hsm.targets.lock.read_clock", lambda: now[0])
    watch = taken.ledger.holding._watch()
    taken.lock.write_text("somebody else's")
    watch.check()
    now[0] += LOOK_SECONDS + 1
    with pytest.raises(LockLostError):
        watch.check()


def test_files_that_were_replaced_are_looked_at_before_they_go(taken: Desk) -> None:
    place = (
        Path(get_replaced_folder(taken.places.temporary[0], taken.ledger.holding.workspace.rpartition("/")[2]))
        / "run-1/x"
    )
    place.parent.mkdir(parents=True)
    place.write_text("somebody else's")
    with pytest.raises(UnseenReplacedError):
        taken.record(taken.ledger, replaced=Replaced(has_looked=False))
    assert (place.exists(), taken.lock.exists(), (taken.receipts / NAME).exists()) == (True, True, False)
    taken.record(taken.ledger)
    assert (place.exists(), taken.lock.exists(), (taken.receipts / NAME).exists()) == (False, False, True)
