"""Taking and giving back a lock at a target: what every workflow that writes there does in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from hsm.errors import HsmError
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
from hsm.remote.shell_programs.guard import GuardPlaces, Held, Keeper, MakeKeeper


@dataclass(frozen=True, slots=True)
class TargetLock:
    """A lock that is held.

    Attributes:
        guard: Keeps it.
        holder: This process.
        receipts: The checksums of the receipts there, at the moment of taking.
    """

    guard: Keeper
    holder: Holder
    receipts: Mapping[str, str]


def take_target_lock(
    make_guard: MakeKeeper,
    make_places: Callable[[str], GuardPlaces],
    *,
    source_id: str,
    sweep: str,
    target: str,
    breaks: bool = False,
    check_holder: Callable[[Holder], None] = lambda _holder: None,
) -> TargetLock:
    """Take a lock, and make HSM's own folders there. A lock whose holder is dead is taken over.

    Args:
        make_guard: Makes what keeps it.
        make_places: Where lock and folders lie, given the nonce.
        source_id: This project's.
        sweep: For the message.
        target: For the message.
        breaks: Take it whoever holds it (`--break-lock`).
        check_holder: Called with another holder before anything is said of it; may raise an error of its own.

    Raises:
        LockedError: Somebody who may be alive holds it.
        TargetError: HSM's own files cannot be written there.
    """
    holder = make_holder(source_id, datetime.now(timezone.utc).isoformat(timespec="seconds"))
    guard = make_guard(make_places(holder.nonce), holder.nonce)
    content = make_lock_content(holder)
    answer = guard.take(content, minutes=STALE_MINUTES, breaks=breaks)
    if isinstance(answer, Held):
        found = parse_holder(answer.content)
        if found is not None:
            check_holder(found)
        if not answer.is_fresh or (found is not None and is_dead_here(found)):
            answer = guard.take(content, minutes=STALE_MINUTES, stale=answer.checksum)
        if isinstance(answer, Held):
            raise make_locked_error(found, sweep=sweep, target=target)
    return TargetLock(guard, holder, answer.receipts)


def give_lock_back(guard: Keeper) -> None:
    """Give a lock back without a receipt; a target out of reach keeps it, dead."""
    try:
        guard.release(None)
    except (HsmError, CommandStoppedError):
        abandon(guard.nonce)
