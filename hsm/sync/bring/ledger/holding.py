"""Hold of a destination: its lock, and all that is looked at between taking it and giving it back."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.errors import TargetError
from hsm.model import Entry, FileKey, Problem, Root, SyncPlan
from hsm.plan.disk.file_system import FileSystem
from hsm.project_folder import ProjectFolder
from hsm.records.lock import abandon, make_nonce
from hsm.records.replacing import drop_replacing, load_replacing, save_replacing
from hsm.remote.guard import GuardPlaces, MakeGuard, Replaced, UnseenReplaced
from hsm.sync.bring.ledger.books import Books
from hsm.targets.lock import TargetLock, WatchedLock, give_lock_back, make_lock_lost_error, take_target_lock, widen_lock
from hsm.transfer.base import get_temporary_folder, make_workspace
from hsm.transfer.destination.mounts import Mounts, find_mounts
from hsm.transfer.seen import SeenFiles

if TYPE_CHECKING:
    from hsm.endpoint import Endpoint
    from hsm.sync.bring.survey import DestinationState
    from hsm.transfer.destination.watch import DestinationWatch


class UnseenReplacedError(Exception):
    """The engine has replaced files that nobody has looked at."""


class Holding:
    """The lock of a sweep at a destination. Used by one thread.

    Args:
        books: What all sweeps share.
        sweep: The sweep's id.
        place: The destination, for messages.
        part: As for `hsm.sync.bring.ledger.ledger.Ledger`.

    Attributes:
        notices: What was found that an earlier sync had left.
        came_back: Files of somebody else that an earlier sync of this project had replaced and that have their names
            again.
    """

    def __init__(self, books: Books, sweep: str, place: str, *, part: str = "") -> None:
        self.notices: tuple[Problem, ...] = ()
        self.came_back: frozenset[FileKey] = frozenset()
        self._books = books
        self._sweep = sweep
        self._place = place
        self._nonce = make_nonce()
        self._lock: TargetLock | None = None
        self._settled: set[str] = set()
        # Read by the next call alone: see `hsm.records.replacing`.
        journal = ProjectFolder(books.project).journal(books.target, sweep)
        self._records = journal.with_suffix(f".{part}") if part else journal.with_suffix("")

    @property
    def workspace(self) -> str:
        """The folder below each of the destination's in which files are written while the lock there is held."""
        return make_workspace(self._sweep, self._nonce)

    @property
    def is_held(self) -> bool:
        """The lock was taken, and neither given back nor lost."""
        return self._lock is not None

    @property
    def receipts(self) -> Mapping[str, str]:
        """The checksums of the receipts there when the lock was taken."""
        return self._need_lock().receipts

    @property
    def file_systems(self) -> Mapping[str, FileSystem]:
        """Measurements that were made when the lock was taken."""
        return self._need_lock().file_systems

    def take(self, places: GuardPlaces, make_guard: MakeGuard, *, measures: Sequence[str] = ()) -> Mapping[str, str]:
        """Take the lock and make HSM's own folders there.

        Args:
            places: Where they lie there.
            make_guard: Makes what keeps them.
            measures: As for `hsm.remote.guard.Guard.take`.

        Returns:
            The checksums of the receipts there, at the moment of taking.

        Raises:
            LockedError: A process that may be alive holds it.
            TargetError: HSM's own files cannot be written there.
        """
        self._lock = take_target_lock(
            make_guard,
            places,
            source_id=self._books.source.id,
            sweep=self._sweep,
            target=self._place,
            breaks=self._books.breaks_lock,
            nonce=self._nonce,
            measures=measures,
        )
        return self._lock.receipts

    def settle_left(self, there: DestinationState, plan: SyncPlan, destination: Endpoint) -> bool:
        """Look at what killed syncs had replaced: what they had seen goes, what somebody else wrote comes back.

        Returns:
            Something came back, so the destination is no longer as the survey found it.

        Raises:
            HsmError: The destination is out of reach.
        """
        lock = self._need_lock()
        nonces = sorted(lock.replaced - self._settled)
        if not nonces:
            return False
        from hsm.transfer.destination.replaced import ReplacedFiles  # noqa: PLC0415 - seldom needed

        watched = self._watch()
        mounts = find_mounts(lock.mounts, there.roots)
        self.notices, has_changed = (), False
        for nonce in nonces:
            known = load_replacing(self._get_record(nonce))
            left = ReplacedFiles(destination, there.roots, self._sweep, watched, mounts=mounts, nonce=nonce)
            # What our own killed call sends where the check found nothing is not in its record: it is planned now too.
            ours = {**{item.file.key: item.file for item in plan.items}, **{file.key: file for file in known.files}}
            is_own = nonce == known.nonce
            found = left.restore(list(ours.values()) if is_own else (), SeenFiles(known.seen))
            has_changed = has_changed or bool(found.back)
            self.came_back |= found.back if is_own else frozenset()
            if found.kept:
                self.notices += (_make_notice(len(found.kept), left.folders, is_own=is_own),)
            else:
                self._settled.add(nonce)
                drop_replacing(self._get_record(nonce))
        return has_changed

    def begin(
        self,
        there: DestinationState,
        plan: SyncPlan,
        destination: Endpoint,
        make_guard: MakeGuard,
        *,
        step_ns: int,
    ) -> DestinationWatch:
        """Make ready for a transfer: temporary folders on each file system, the record of what will be replaced.

        Args:
            there: The destination.
            plan: What is sent.
            destination: Looked at.
            make_guard: Makes what keeps the lock.
            step_ns: As in `hsm.transfer.seen.SeenFiles`.

        Raises:
            HsmError: The destination is out of reach, or something cannot be written.
        """
        from hsm.transfer.destination.watch import DestinationWatch  # noqa: PLC0415 - where nothing is sent, it is not needed

        mounts = find_mounts(self._need_lock().mounts, there.roots).choose(plan.sends)
        self._widen(there.places, there.roots, mounts, make_guard)
        seen = _find_seen(there, plan)
        self._drop_old_records()
        self._note_replacing(plan, seen)
        known = SeenFiles(seen, is_checked=plan.is_checked, step_ns=step_ns)
        return DestinationWatch(destination, there.roots, plan.sweep, self._watch(), known, mounts)

    def release(self, receipt: tuple[str, bytes], *, keeps_damaged: bool, replaced: Replaced) -> Mapping[str, str]:
        """Write the receipt and give the lock back.

        Args:
            receipt: File name and content.
            keeps_damaged: As for `hsm.remote.guard.Guard.release`.
            replaced: What is known of the files that were replaced.

        Returns:
            The checksums of the receipts there.

        Raises:
            UnseenReplacedError: Files were replaced that nobody has looked at; nothing was done.
            LockLostError: Another process has the lock; nothing was written.
            HsmError: The receipt could not be written.
        """
        drops = {*self._settled, *((self._nonce,) if replaced.has_looked and not replaced.keeps_some else ())}
        answer = self._need_lock().guard.release(
            receipt,
            keeps_damaged=keeps_damaged,
            drops=drops,
            has_looked=replaced.has_looked,
            expected=replaced.expected,
        )
        if isinstance(answer, UnseenReplaced):
            raise UnseenReplacedError
        if answer is None:
            self.lose()
            raise make_lock_lost_error(self._sweep, self._place)
        self._lock = None
        if not replaced.keeps_some:
            drop_replacing(self._get_record(self._nonce))
        return answer.receipts

    def give_back(self) -> None:
        """Give the lock back without a receipt; a destination out of reach keeps it, dead."""
        lock, self._lock = self._lock, None
        if lock is not None:
            give_lock_back(lock.guard, drops=self._settled)

    def lose(self) -> None:
        """Forget a lock that cannot be given back; the next call of this machine takes it over."""
        lock, self._lock = self._lock, None
        if lock is not None:
            abandon(lock.guard.nonce)

    def _drop_old_records(self) -> None:
        """Remove the records of holders of which nothing lies at the destination any more."""
        needed = {self._get_record(nonce).name for nonce in self._need_lock().replaced - self._settled}
        with contextlib.suppress(OSError):
            for path in self._records.parent.iterdir():
                own, _, nonce = path.name.removesuffix(".replacing").rpartition(".")
                is_record = path.suffix == ".replacing" and own == self._records.name and bool(nonce)
                if is_record and path.name not in needed:
                    drop_replacing(path)

    def _get_record(self, nonce: str) -> Path:
        return self._records.with_name(f"{self._records.name}.{nonce}.replacing")

    def _need_lock(self) -> TargetLock:
        if self._lock is None:
            raise AssertionError("the lock is not held")
        return self._lock

    def _watch(self) -> WatchedLock:
        return WatchedLock(self._need_lock(), sweep=self._sweep, target=self._place)

    def _widen(self, places: GuardPlaces, roots: Mapping[Root, str], mounts: Mounts, make_guard: MakeGuard) -> None:
        """Make temporary folders on the file systems below the destination's folders, where there are any."""
        more = tuple(
            get_temporary_folder(f"{roots[root].rstrip('/')}/{base}", self._sweep)
            for root, bases in mounts.below.items()
            for base in bases
        )
        if more:
            self._lock = widen_lock(
                self._need_lock(), make_guard, replace(places, temporary=(*places.temporary, *more))
            )

    def _note_replacing(self, plan: SyncPlan, seen: Mapping[FileKey, Entry]) -> None:
        try:
            save_replacing(self._get_record(self._nonce), self._nonce, plan.sends, seen)
        except OSError as error:
            raise TargetError(
                f"{self._get_record(self._nonce)} cannot be written: {error.strerror}.",
                hint="Check the free space and the permissions of .hsm/ here.",
                kind="journal_unwritable",
            ) from error


def _find_seen(there: DestinationState, plan: SyncPlan) -> dict[FileKey, Entry]:
    entries = {root: found.entries for root, found in there.destination.items()}
    return {
        file.key: entries[file.root][file.path]
        for file in plan.sends
        if file.root in entries and file.path in entries[file.root]
    }


def _make_notice(n_files: int, folders: tuple[str, ...], *, is_own: bool) -> Problem:
    who = "An earlier sync" if is_own else "A sync from elsewhere"
    message = f"{who} was cut off there; {n_files} files of somebody else that it had replaced are kept."
    hint = f"Look at them in {' and '.join(folders)}, then remove that folder."
    return Problem(folders[0], "replaced_kept", message, hint, is_failure=is_own)
