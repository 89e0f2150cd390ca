"""Holding of a destination: what is looked at between taking its lock and writing there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hsm.model import Entry, FileKey, Problem, SyncPlan
from hsm.transfer.mounts import find_mounts
from hsm.transfer.seen import SeenFiles

if TYPE_CHECKING:
    from hsm.endpoint import Endpoint
    from hsm.remote.guard import MakeGuard
    from hsm.sync.bring.ledger import Ledger
    from hsm.sync.bring.survey import DestinationState
    from hsm.transfer.watch import DestinationWatch


class Holding:
    """The lock at a destination, and all that keeps a transfer from destroying something there. Used by one thread.

    Args:
        ledger: Holds the lock.
        destination: Looked at.
        make_guard: Makes what keeps the lock.

    Attributes:
        notices: What was found that an earlier sync had left.
    """

    def __init__(self, ledger: Ledger, destination: Endpoint, make_guard: MakeGuard) -> None:
        self._ledger = ledger
        self._destination = destination
        self._make_guard = make_guard
        self.notices: tuple[Problem, ...] = ()

    def begin(self, there: DestinationState, plan: SyncPlan) -> DestinationWatch:
        """Make ready for a transfer: temporary folders on each file system, the record of what will be replaced.

        Raises:
            HsmError: The destination is out of reach, or something cannot be written.
        """
        from hsm.transfer.watch import DestinationWatch  # noqa: PLC0415 - where nothing is sent, it is not needed

        mounts = find_mounts(self._ledger.mounts, there.roots).choose(plan.sends)
        self._ledger.widen(there.places, there.roots, mounts, self._make_guard)
        seen = _find_seen(there, plan)
        self._ledger.note_replacing(plan.sends, seen)
        known = SeenFiles(seen, is_checked=plan.is_checked)
        return DestinationWatch(self._destination, there.roots, plan.sweep, self._ledger.watch(), known, mounts)

    def settle_left(self, there: DestinationState, sweep: str) -> bool:
        """Look at what killed syncs had replaced: what they had seen goes, what somebody else wrote comes back.

        Returns:
            Something came back, so the destination is no longer as the survey found it.

        Raises:
            HsmError: The destination is out of reach.
        """
        lock, nonces = self._ledger.watch(), sorted(self._ledger.left_replaced)
        if lock is None or not nonces:
            return False
        from hsm.transfer.replaced import ReplacedFiles  # noqa: PLC0415 - seldom needed

        known = self._ledger.load_replacing()
        mounts = find_mounts(self._ledger.mounts, there.roots)
        self.notices, has_changed = (), False
        for nonce in nonces:
            left = ReplacedFiles(self._destination, there.roots, sweep, lock, mounts=mounts, nonce=nonce)
            found = left.restore(known.files if nonce == known.nonce else (), SeenFiles(known.seen))
            has_changed = has_changed or bool(found.back)
            if found.kept:
                self.notices += (_make_notice(len(found.kept), left.folders),)
            else:
                self._ledger.drop_replaced(nonce)
        return has_changed


def _find_seen(there: DestinationState, plan: SyncPlan) -> dict[FileKey, Entry]:
    entries: Mapping[object, Mapping[str, Entry]] = {root: found.entries for root, found in there.destination.items()}
    seen: dict[FileKey, Entry] = {}
    for file in plan.sends:
        with contextlib.suppress(KeyError):
            seen[file.key] = entries[file.root][file.path]
    return seen


def _make_notice(n_files: int, folders: tuple[str, ...]) -> Problem:
    message = f"A sync from elsewhere was killed there; {n_files} files that it had replaced are kept."
    hint = f"Look at them in {' and '.join(folders)}, then remove that folder."
    return Problem(folders[0], "replaced_kept", message, hint, is_failure=False)
