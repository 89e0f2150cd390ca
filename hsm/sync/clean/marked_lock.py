"""Lock of a clean at a target, with a mark in each of the target's folders.

Addresses and paths cannot tell two places apart: aliases, bind mounts, NFS from two machines. A name that nobody asked
for before is in no cache, so where it is seen, the folder is the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hsm.errors import LockedError
from hsm.remote.guard import GuardPlaces, MakeGuard
from hsm.targets.lock import TargetLock, give_lock_back, take_target_lock
from hsm.transfer.base import TEMPORARY_FOLDER, get_temporary_folder


@dataclass(frozen=True, slots=True)
class MarkedLock:
    """A lock that is held, and its mark.

    Attributes:
        target: The target's name.
        sweep: Of which sweep.
        mark: A name below each of the target's folders that is there while the lock is held, and nowhere else. It
            lies in the sweep's temporary folder, which the next holder of the lock empties.
        lock: The lock.
    """

    target: str
    sweep: str
    mark: str
    lock: TargetLock

    @property
    def nonce(self) -> str:
        """The random word of the lock."""
        return self.lock.holder.nonce

    def confirm(self) -> None:
        """Make sure that the lock has been ours all the time, and that nobody has recorded anything there.

        Raises:
            LockedError: It has not.
            HsmError: The target is out of reach.
        """
        if not self.lock.is_intact():
            raise LockedError(
                f"Somebody broke the lock of {self.sweep} at {self.target} meanwhile.",
                hint="Run the same command again when nobody else does.",
                kind="lock_lost",
            )

    def give_back(self) -> None:
        """Give the lock back; a target out of reach keeps it, dead."""
        give_lock_back(self.lock.guard)


def take_marked_lock(
    make_guard: MakeGuard,
    places: GuardPlaces,
    folders: Iterable[str],
    *,
    source_id: str,
    sweep: str,
    target: str,
    others: Mapping[str, str],
) -> MarkedLock:
    """Take the lock at a target, with a mark in each of its folders that exist.

    Args:
        make_guard: Makes what keeps it.
        places: Folders of lock and receipts.
        folders: Those of the target's folders that are there, real paths.
        source_id: This project's.
        sweep: The sweep.
        target: The target's name.
        others: The targets whose locks this call holds already, by nonce.

    Raises:
        LockedError: A process that may be alive holds it.
        HsmError: One of `others` is the same place; or it cannot be done.
    """
    name = f"probe-{secrets.token_hex(8)}"
    own = {get_temporary_folder(folder, sweep) for folder in folders}
    marks = {f"{folder}/{name}" for folder in own}
    marked = replace(places, temporary=tuple(sorted(own | marks)))
    lock = take_target_lock(make_guard, marked, source_id=source_id, sweep=sweep, target=target, others=others)
    return MarkedLock(target, sweep, f"{TEMPORARY_FOLDER}/{sweep}/{name}", lock)
