"""The ledger of one exchange: the locks of both sides, the journal here, the receipt at the destination."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from hsm.endpoint import Endpoint
from hsm.errors import ConfigError, HsmError, TargetError
from hsm.model import FileKey, Problem, Root, SourceFile, SweepInventory, SyncPlan
from hsm.plan.destination import Destination
from hsm.process.runner import CommandStoppedError
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Journal, load_journal, save_journal
from hsm.records.lock import abandon, hold_local_lock
from hsm.records.receipt import (
    Receipt,
    get_receipt_name,
    make_receipt_content,
    parse_receipt,
)
from hsm.records.record import RunRecord, merge_records
from hsm.remote.shell_programs.guard import GuardPlaces, Keeper, MakeKeeper
from hsm.sync.bring.books import Books
from hsm.sync.bring.provenance import FoundOrigins, Provenance
from hsm.targets.lock import give_lock_back, take_target_lock


class Ledger:
    """The records and locks of one sweep at one target. Used by one thread.

    Args:
        books: What all sweeps share.
        sweep: Its id.
        provenance: Of the files at the destination, where others copy there too; None where all are ours.
        place: The destination, for messages; by default the target.
    """

    def __init__(self, books: Books, sweep: str, provenance: Provenance | None = None, *, place: str = "") -> None:
        self._books = books
        self._sweep = sweep
        self._provenance = provenance
        self._place = place or books.target
        self._peeked: list[int] | None = None
        self._path = ProjectFolder(books.project).journal(books.target, sweep)
        self._journal = Journal(books.route)
        self.notices: tuple[Problem, ...] = ()
        self._guard: Keeper | None = None
        self._receipts: Mapping[str, str] = {}

    @property
    def digests(self) -> Mapping[str, str]:
        """By run: what was proven there, as a digest of paths, sizes and times."""
        return {name: record.digest for name, record in self._journal.runs.items()}

    @property
    def known(self) -> frozenset[str]:
        """The runs of which files are proven there; the sweep folder under its empty name."""
        return frozenset(name for name, record in self._journal.runs.items() if record.n_files)

    def find_cleaned(self) -> frozenset[str]:
        """The runs that `hsm sync clean` removed here, so that a push does not miss them; a pull's source is not here.

        Raises:
            ConfigError: A record of a clean cannot be read.
        """
        if self._books.route.direction != "push":
            return frozenset()
        from hsm.records.cleaned import find_cleaned  # noqa: PLC0415 - few need it

        return frozenset(find_cleaned(self._books.project, self._sweep))

    def hold(self) -> AbstractContextManager[None]:
        """Hold this side's lock while inside.

        Raises:
            LockedError: Another process holds it.
        """
        path = ProjectFolder(self._books.project).lock(self._books.target, self._sweep)
        return hold_local_lock(path, sweep=self._sweep, target=self._place, breaks=self._books.breaks_lock)

    @contextmanager
    def open(self, *, is_dry_run: bool) -> Iterator[None]:
        """Hold this side's lock while inside, with the journal read; a dry run only reads it.

        Raises:
            LockedError: Another process holds it.
        """
        with contextlib.nullcontext() if is_dry_run else self.hold():
            if self._peeked is None or self._peeked != _read_stamp(self._path):
                self._journal, self.notices = load_journal(self._path, self._books.route, sets_aside=not is_dry_run)
            yield

    def peek(self) -> tuple[str, ...]:
        """Read the journal before the lock is held, and return the runs it knows: a guess at what will be asked for.

        Large journals take long to read, so `open` reads this one again only if it is another by then.
        """
        stamp = _read_stamp(self._path)
        try:
            self._journal, self.notices = load_journal(self._path, self._books.route, sets_aside=False)
        except ConfigError:  # `open` will say it
            return ()
        self._peeked = stamp if not self.notices else None
        return tuple(name for name in self._journal.runs if name)

    def take(self, places: GuardPlaces, make_guard: MakeKeeper) -> Mapping[str, str]:
        """Take the destination's lock and make HSM's own folders there.

        Args:
            places: Where they lie there.
            make_guard: Makes what keeps them.

        Returns:
            The checksums of the receipts there, at the moment of taking.

        Raises:
            LockedError: Somebody who may be alive holds it.
            TargetError: HSM's own files cannot be written there.
        """
        lock = take_target_lock(
            make_guard,
            places,
            source_id=self._books.source.id,
            sweep=self._sweep,
            target=self._place,
            breaks=self._books.breaks_lock,
        )
        self._guard, self._receipts = lock.guard, lock.receipts
        return lock.receipts

    def find_origins(self, inventory: SweepInventory, destination: Destination) -> FoundOrigins:
        """Find whose the files at the destination are that differ from the source's."""
        if self._provenance is None:
            return FoundOrigins()
        return self._provenance.find(inventory, destination, proven=self.digests)

    def find_changed(self, inventory: SweepInventory) -> frozenset[Root]:
        """The folders for which something has been written here since the last sync, as far as times tell."""
        since = self._journal.updated_ns
        return frozenset(file.root for file in inventory.files if file.mtime_ns > since)

    def begin(self, plan: SyncPlan) -> None:
        """Note, with both locks held, what is about to be sent.

        Raises:
            TargetError: It could not be written down.
        """
        if self._provenance is not None:
            self._provenance.begin(plan)

    def tidy(self) -> None:
        """Empty the destination's temporary folders in the middle of the work.

        Raises:
            HsmError: The destination is out of reach.
        """
        if self._guard is not None:
            self._guard.tidy()

    def give_back(self) -> None:
        """Give the destination's lock back without a receipt; a destination out of reach keeps it, dead."""
        guard, self._guard = self._guard, None
        if guard is not None:
            give_lock_back(guard)

    def is_current(self, plan: SyncPlan, receipts: Mapping[str, str]) -> bool:
        """Whether journal and receipt say already what a plan without anything to send proves."""
        is_intact = receipts.get(self._receipt_name) == self._journal.receipt != ""
        return is_intact and self._merge(plan, {}) == self._journal.runs

    def record(
        self,
        plan: SyncPlan,
        sent: Mapping[FileKey, SourceFile],
        *,
        places: GuardPlaces,
        endpoint: Endpoint,
        error: str = "",
    ) -> tuple[Problem, ...]:
        """Write what is proven: the receipt first, with which the lock is given back, then the journal.

        Args:
            plan: What was planned.
            sent: What the transfer proved.
            places: Where the receipt lies.
            endpoint: Reads a receipt that the journal does not know.
            error: What went wrong all the same; empty when nothing did.

        Returns:
            A notice where a receipt had to be set aside, a failure where the lock was lost meanwhile.

        Raises:
            HsmError: The receipt could not be written; the journal has been, without it.
        """
        if self._provenance is not None:
            self._provenance.note_arrived(plan, sent)
        runs = self._merge(plan, sent)
        journal = replace(self._journal, runs=runs, updated_ns=_now_ns(), last_error=error)
        guard, self._guard = self._guard, None
        if guard is None:
            raise AssertionError("record() follows take()")
        problems: list[Problem] = []
        try:
            generation, is_damaged = self._find_generation(places, endpoint)
            receipt = self._make_receipt(generation + 1, runs)
            name = self._receipt_name
            answer = guard.release((name, make_receipt_content(receipt)), sets_aside=is_damaged)
            if answer is None:
                message = f"Somebody broke the lock of {self._sweep}, so no receipt was written there."
                hint = "Run the same command again when nobody else does."
                problems.append(Problem(places.folder, "lock_lost", message, hint))
            else:
                journal = replace(journal, generation=generation + 1, receipt=answer.receipts.get(name, ""))
            if is_damaged:
                message = "The receipt there was damaged; it has been set aside and written anew."
                problems.append(Problem(places.folder, "damaged_receipt", message, is_failure=False))
        except (HsmError, CommandStoppedError):
            abandon(guard.nonce)
            raise
        finally:
            self._save(journal)
        return tuple(problems)

    def record_here(self, plan: SyncPlan, sent: Mapping[FileKey, SourceFile], *, error: str) -> None:
        """Write what is proven into the journal alone; the destination's lock stays there, dead."""
        if self._guard is not None:
            abandon(self._guard.nonce)
            self._guard = None
        self._save(replace(self._journal, runs=self._merge(plan, sent), last_error=error))

    def note_error(self, message: str) -> None:
        """Keep what went wrong, for `status`."""
        self._save(replace(self._journal, last_error=message))

    @property
    def _receipt_name(self) -> str:
        return get_receipt_name(self._books.source.id)

    def _merge(self, plan: SyncPlan, sent: Mapping[FileKey, SourceFile]) -> dict[str, RunRecord]:
        return merge_records(self._journal.runs, plan, sent)

    def _find_generation(self, places: GuardPlaces, endpoint: Endpoint) -> tuple[int, bool]:
        """The generation to go on from, and whether the receipt there is damaged."""
        if self._receipts.get(self._receipt_name, "") == self._journal.receipt:
            return self._journal.generation, False
        try:
            found = parse_receipt(endpoint.read_file(f"{places.folder}/{self._receipt_name}"))
        except FileNotFoundError:
            return self._journal.generation, False
        except ValueError:
            return self._journal.generation, True
        return max(found.generation, self._journal.generation), False

    def _make_receipt(self, generation: int, runs: Mapping[str, RunRecord]) -> Receipt:
        written_at = _now().isoformat(timespec="seconds")
        return Receipt(self._sweep, self._books.source, generation, written_at, runs)

    def _save(self, journal: Journal) -> None:
        self._journal = journal
        try:
            save_journal(self._path, journal)
        except OSError as error:
            raise TargetError(
                f"The journal {self._path} cannot be written: {error.strerror}.",
                hint="Check the free space and the permissions of .hsm/ here.",
                kind="journal_unwritable",
            ) from error


def _read_stamp(path: Path) -> list[int]:
    """Read what differs once a file is another; nothing where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - one call, as the rest of the module's paths
    except OSError:
        return []
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _now_ns() -> int:
    return int(_now().timestamp() * 10**9)
