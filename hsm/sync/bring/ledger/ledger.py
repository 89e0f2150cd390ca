"""The ledger of one exchange: the lock and the journal here, the receipt at the destination."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.endpoint import Endpoint
from hsm.errors import HsmError, LockLostError
from hsm.model import FileKey, Problem, Root, SourceFile, SweepInventory, SyncPlan
from hsm.plan.destination import Destination
from hsm.process.runner import CommandStoppedError
from hsm.project_folder import ProjectFolder
from hsm.records.journal import Journal
from hsm.records.lock import hold_local_lock
from hsm.records.receipt import (
    Receipt,
    get_receipt_name,
    make_receipt_content,
    parse_receipt,
)
from hsm.records.record import RunRecord, merge_records
from hsm.records.scope import make_scope
from hsm.remote.guard import REPLACED_SEEN, GuardPlaces, Replaced
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.ledger.found_origins import FoundOrigins
from hsm.sync.bring.ledger.holding import Holding
from hsm.sync.bring.ledger.journal_file import JournalFile

if TYPE_CHECKING:
    from hsm.sync.bring.ledger.provenance import Provenance


class Ledger:
    """The records and locks of one sweep at one target. Used by one thread.

    Args:
        books: What all sweeps share.
        sweep: Its id.
        provenance: Of the files at the destination, where others copy there too; None where all are ours.
        place: The destination, for messages; by default the target.
        part: Names the folder of runs, where the sweep has several at the destination: what is remembered of its
            files is remembered apart from those of the others.

    Attributes:
        holding: The lock at the destination, and what keeps a transfer from destroying something there.
    """

    def __init__(
        self, books: Books, sweep: str, provenance: Provenance | None = None, *, place: str = "", part: str = ""
    ) -> None:
        self._books = books
        self._sweep = sweep
        self._provenance = provenance
        self._place = place or books.target
        self._part = part
        self._file = JournalFile(ProjectFolder(books.project).journal(books.target, sweep), books.route)
        self.holding = Holding(books, sweep, self._place, part=part)

    @property
    def file_systems_path(self) -> Path:
        """The record of the target's file systems."""
        return ProjectFolder(self._books.project).file_systems(self._books.target, is_pull=self._is_pull)

    @property
    def compared_path(self) -> Path:
        """The record of the files whose content was compared with the target's."""
        folder = ProjectFolder(self._books.project)
        return folder.compared(self._books.target, self._sweep, is_pull=self._is_pull, part=self._part)

    @property
    def _is_pull(self) -> bool:
        return self._books.route.direction == "pull"

    @property
    def notices(self) -> tuple[Problem, ...]:
        """Notices on the project, and why the journal on disk is not used, if it is not."""
        return (*self._books.notices, *self._file.notices)

    @property
    def _journal(self) -> Journal:
        return self._file.journal

    @property
    def digests(self) -> Mapping[str, str]:
        """By run: what was verified there, as a digest of paths, sizes and times."""
        return {name: record.digest for name, record in self._journal.runs.items()}

    @property
    def known(self) -> frozenset[str]:
        """The runs of which files are verified there; the sweep folder under its empty name."""
        return frozenset(name for name, record in self._journal.runs.items() if record.n_files)

    @property
    def is_known(self) -> bool:
        """Tell whether the sweep was ever synced there, as far as the journal knows."""
        return self._journal.updated_ns > 0

    def find_cleaned(self) -> frozenset[str]:
        """The runs that `hsm sync clean` removed here, so that a push does not miss them; a pull's source is not here.

        Raises:
            ConfigError: A record of a clean cannot be read.
        """
        if self._books.route.direction != "push":
            return frozenset()
        from hsm.records.cleaned_runs import find_cleaned_runs  # noqa: PLC0415 - few need it

        return frozenset(find_cleaned_runs(self._books.project, self._sweep, self.known))

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
            self._file.load(sets_aside=not is_dry_run)
            yield

    def peek(self) -> tuple[str, ...]:
        """Read the journal before the lock is held, and return the runs that it knows, for a guess."""
        return self._file.peek()

    def find_origins(self, inventory: SweepInventory, destination: Destination) -> FoundOrigins:
        """Find whose the files at the destination are that differ from the source's."""
        if self._provenance is None:
            return self._find_cleaned_files(inventory, destination)
        return self._provenance.find(inventory, destination, proven=self.digests)

    def _find_cleaned_files(self, inventory: SweepInventory, destination: Destination) -> FoundOrigins:
        """Find what a clean removed here and is here again, so that a push does not put it over the only copy."""
        project = self._books.project
        is_push = self._books.route.direction == "push"
        # Not `Path.is_dir`, which raises where the folder is another user's; reading the records says whose it is.
        if not (is_push and os.path.isdir(ProjectFolder(project).all_cleaned)):  # noqa: PTH112
            return FoundOrigins()
        from hsm.sync.bring.ledger.cleaned_files import find_cleaned_files  # noqa: PLC0415 - few need it

        return find_cleaned_files(project, inventory, destination)

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

    def is_current(self, plan: SyncPlan, receipts: Mapping[str, str]) -> bool:
        """Tell whether journal and receipt already say what a plan with nothing to send verifies."""
        # Journal and receipt name each other by checksum; with either lost, both are written anew.
        is_intact = receipts.get(self._receipt_name) == self._journal.receipt != ""
        scope = self._make_scope(plan, is_new=False)
        is_same = self._merge(plan, {}) == self._journal.runs and scope == self._journal.left
        return is_intact and is_same

    def record(
        self,
        plan: SyncPlan,
        sent: Mapping[FileKey, SourceFile],
        *,
        places: GuardPlaces,
        endpoint: Endpoint,
        error: str = "",
        unsettled: Mapping[FileKey, SourceFile | None] | None = None,
        replaced: Replaced = REPLACED_SEEN,
    ) -> tuple[Problem, ...]:
        """Write what is verified: the receipt first, with which the lock is given back, then the journal.

        Args:
            plan: What was planned.
            sent: What the transfer verified.
            places: Where the receipt lies.
            endpoint: Reads a receipt that the journal does not know.
            error: What went wrong all the same; empty when nothing did.
            unsettled: What changed at the source while it was sent, as it was there in the end.
            replaced: As for `Holding.release`.

        Returns:
            A notice where a receipt had to be set aside.

        Raises:
            UnseenReplacedError: Files were replaced that nobody has looked at; nothing was done.
            LockLostError: Another process has the lock; nothing was written, here neither.
            HsmError: The receipt could not be written; the journal has been, without it.
        """
        holding = self.holding
        if self._provenance is not None:
            self._provenance.note_arrived(plan, sent, unsettled or {})
        runs, left = self._merge(plan, sent), self._make_scope(plan, is_new=True)
        journal = replace(self._journal, runs=runs, left=left, updated_ns=_now_ns(), last_error=error)
        try:
            found, is_damaged = self._read_receipt(holding.receipts, places, endpoint)
            # A run that only its place gave to the sweep, and that is not here any more, has nothing but this list.
            runs = {name: record for name, record in found.runs.items() if name} | runs
            journal = replace(journal, runs=runs)
            generation = max(found.generation, self._journal.generation)
            content = make_receipt_content(self._make_receipt(plan, generation + 1, runs, left))
            name = self._receipt_name
            receipts = holding.release(
                (name, content),
                keeps_damaged=is_damaged,
                replaced=replaced,
            )
            journal = replace(journal, generation=generation + 1, receipt=receipts.get(name, ""))
        except LockLostError:
            # What arrived may have been replaced since by whoever has the lock now: the next sync looks again.
            journal = replace(self._journal, last_error=error)
            raise
        except (HsmError, CommandStoppedError):
            holding.lose()
            raise
        finally:
            if not holding.is_held:
                self._file.save(journal)
        if not is_damaged:
            return ()
        message = "The receipt there was damaged; it has been set aside and written anew."
        return (Problem(places.folder, "damaged_receipt", message, is_failure=False),)

    def record_here(self, plan: SyncPlan, sent: Mapping[FileKey, SourceFile], *, error: str) -> None:
        """Write what is verified into the journal alone; the destination's lock stays there, dead."""
        self.holding.lose()
        runs, left = self._merge(plan, sent), self._make_scope(plan, is_new=True)
        self._file.save(replace(self._journal, runs=runs, left=left, last_error=error))

    def note_error(self, message: str) -> None:
        """Keep what went wrong, for `status`."""
        self._file.save(replace(self._journal, last_error=message))

    @property
    def _receipt_name(self) -> str:
        return get_receipt_name(self._books.source.id)

    def _merge(self, plan: SyncPlan, sent: Mapping[FileKey, SourceFile]) -> dict[str, RunRecord]:
        return merge_records(self._journal.runs, plan, sent)

    def _make_scope(self, plan: SyncPlan, *, is_new: bool) -> dict[str, int]:
        return make_scope(plan, self._journal.left, self._journal.runs, is_new=is_new)

    def _read_receipt(
        self, receipts: Mapping[str, str], places: GuardPlaces, endpoint: Endpoint
    ) -> tuple[Receipt, bool]:
        """Read the receipt there if the journal does not know it, else an empty one; and tell whether it is damaged."""
        nothing = Receipt(self._sweep, self._books.source, 0, "", {})
        if receipts.get(self._receipt_name, "") == self._journal.receipt:
            return nothing, False
        from hsm.discover.kinds.receipts import check_receipt  # noqa: PLC0415 - few need it

        try:
            found = parse_receipt(endpoint.read_file(f"{places.folder}/{self._receipt_name}"))
            check_receipt(found, self._receipt_name, self._sweep)
        except FileNotFoundError:
            return nothing, False
        except ValueError:
            return nothing, True
        return found, False

    def _make_receipt(
        self, plan: SyncPlan, generation: int, runs: Mapping[str, RunRecord], left: Mapping[str, int]
    ) -> Receipt:
        written_at = _now().isoformat(timespec="seconds")
        source = self._books.source
        return Receipt(self._sweep, source, generation, written_at, runs, left, plan.kind, plan.place)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _now_ns() -> int:
    return int(_now().timestamp() * 10**9)
