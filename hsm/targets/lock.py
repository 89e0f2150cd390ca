"""Lock of a sweep at a target: taken and given back in the same way by every workflow that writes there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from types import MappingProxyType

from hsm.errors import HsmError, LockLostError, TargetError
from hsm.plan.disk.file_system import FileSystem
from hsm.process.clock import read_clock
from hsm.process.runner import CommandStoppedError
from hsm.records.lock import (
    STALE_MINUTES,
    Holder,
    abandon,
    is_dead_here,
    make_holder,
    make_lock_content,
    make_locked_error,
    parse_holder,
)
from hsm.remote.guard import Guard, GuardPlaces, LockHeld, MakeGuard

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TargetLock:
    """A lock that is held.

    Attributes:
        guard: Keeps it.
        holder: This process.
        receipts: The checksums of the receipts there, at the moment of taking.
        replaced: The nonces of earlier holders that left files which they had replaced.
        mounts: As in `hsm.remote.guard.LockTaken`.
        file_systems: As there.
    """

    guard: Guard
    holder: Holder
    receipts: Mapping[str, str]
    replaced: frozenset[str] = frozenset()
    mounts: frozenset[str] = frozenset()
    file_systems: Mapping[str, FileSystem] = field(default_factory=dict)

    def is_intact(self) -> bool:
        """Tell whether the lock has been ours all the time, and the receipts there are the same. One round trip.

        A holder finds its own lock taken. Somebody who broke it has it still, or has written a receipt since.

        Raises:
            HsmError: The target is out of reach.
        """
        answer = self.guard.take(make_lock_content(self.holder), minutes=STALE_MINUTES)
        return not isinstance(answer, LockHeld) and answer.receipts == self.receipts


def take_target_lock(
    make_guard: MakeGuard,
    places: GuardPlaces,
    *,
    source_id: str,
    sweep: str,
    target: str,
    breaks: bool = False,
    others: Mapping[str, str] = _NONE,
    nonce: str = "",
    measures: Sequence[str] = (),
) -> TargetLock:
    """Take a lock, and make HSM's own folders there. A lock whose holder is dead is taken over.

    Args:
        make_guard: Makes what keeps it.
        places: Folders of the lock and of temporary files.
        source_id: This project's.
        sweep: For the message.
        target: For the message.
        breaks: Take it from any holder (`--break-lock`).
        others: The targets whose locks this call holds already, by nonce.
        nonce: Of the lock, from `hsm.records.lock.make_nonce`; empty for a new one.
        measures: As for `hsm.remote.guard.Guard.take`.

    Raises:
        LockedError: A process that may be alive holds it.
        TargetError: One of `others` is the same place; or HSM's own files cannot be written there.
    """
    holder = make_holder(source_id, datetime.now(timezone.utc).isoformat(timespec="seconds"), nonce=nonce)
    guard = make_guard(places, holder.nonce)
    content = make_lock_content(holder)
    answer = guard.take(content, minutes=STALE_MINUTES, breaks=breaks, measures=measures)
    if isinstance(answer, LockHeld):
        found = parse_holder(answer.content)
        if found is not None and found.nonce in others:
            raise _make_same_place_error(target, others[found.nonce])
        if not answer.is_fresh or (found is not None and is_dead_here(found)):
            # By its checksum, so that of two that found the same stale lock only one wins.
            answer = guard.take(content, minutes=STALE_MINUTES, stale=answer.checksum, measures=measures)
        if isinstance(answer, LockHeld):
            raise make_locked_error(found, sweep=sweep, target=target)
    return TargetLock(guard, holder, answer.receipts, answer.replaced, answer.mounts, answer.file_systems)


LOOK_SECONDS = 10.0
"""A look at the lock is good for so long: far shorter than the 15 minutes after which another process takes it."""


class WatchedLock:
    """Implements `hsm.transfer.destination.lock.DestinationLock`. Used by one thread.

    Args:
        lock: Has just been taken.
        sweep: For the message.
        target: For the message.
    """

    def __init__(self, lock: TargetLock, *, sweep: str, target: str) -> None:
        self._lock = lock
        self._sweep = sweep
        self._target = target
        self._seen_at = read_clock()

    @property
    def nonce(self) -> str:
        """See `hsm.transfer.destination.lock.DestinationLock.nonce`."""
        return self._lock.guard.nonce

    def check(self, *, at_once: bool = False) -> None:
        """See `hsm.transfer.destination.lock.DestinationLock.check`."""
        if at_once or read_clock() - self._seen_at > LOOK_SECONDS:
            self._take_look(self._lock.guard.is_held())

    def tidy(self) -> None:
        """See `hsm.transfer.destination.lock.DestinationLock.tidy`."""
        self._take_look(self._lock.guard.tidy())

    def put_back(self, moves: Sequence[tuple[str, str]]) -> frozenset[str]:
        """See `hsm.transfer.destination.lock.DestinationLock.put_back`."""
        return self._lock.guard.put_back(moves)

    def _take_look(self, is_held: bool) -> None:
        if not is_held:
            raise make_lock_lost_error(self._sweep, self._target)
        self._seen_at = read_clock()


def make_lock_lost_error(sweep: str, target: str) -> LockLostError:
    """Make the error of a lock that another process has taken over. Pure."""
    return LockLostError(
        f"The lock of {sweep} at {target} is no longer ours: this process slept for long, or somebody broke the lock.",
        hint="What arrived before stays there. Run the same command again when nobody else does.",
    )


def widen_lock(lock: TargetLock, make_guard: MakeGuard, places: GuardPlaces) -> TargetLock:
    """Make further temporary folders with a lock that is held.

    Raises:
        LockLostError: It is ours no more.
        TargetError: They cannot be made.
    """
    guard = make_guard(places, lock.guard.nonce)
    answer = guard.take(make_lock_content(lock.holder), minutes=STALE_MINUTES)
    if isinstance(answer, LockHeld):
        raise LockLostError("The lock there is no longer ours.", hint="Run the same command again.")
    return replace(lock, guard=guard)


def give_lock_back(guard: Guard, *, drops: Collection[str] = ()) -> None:
    """Give a lock back without a receipt; a target out of reach keeps it, and the next call takes it for dead.

    Args:
        guard: Keeps it.
        drops: As for `hsm.remote.guard.Guard.release`.
    """
    try:
        guard.release(None, drops=drops)
    except (HsmError, CommandStoppedError):
        abandon(guard.nonce)


def _make_same_place_error(target: str, other: str) -> TargetError:
    return TargetError(
        f"{target} is the same place as {other}, so it is no further copy.",
        hint="Name targets in different places with --target.",
        kind="same_place",
    )
