"""A head start: what the journal knows to have changed here gets its stream while the check still looks.

A stream over a long link takes as long to open as everything else together, and what it needs to know, where the
folders lie and which rsync is there, is seldom another than the last time. So it is opened at once from memory, and
used if the check then says the same. It has been told no name by then: whatever becomes of it, nothing was sent.
Where nothing is known of a target yet, the rsync of this machine is asked what it can do, at least.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Protocol

from hsm.model import Root
from hsm.records.journal import Memory
from hsm.remote.openssh.client import OpenSsh

if TYPE_CHECKING:
    from hsm.transfer.rsync.engine import RsyncEngine


class MakeRsync(Protocol):
    """Makes the engine between two ends from what is known of the other one."""

    def __call__(self, memory: Memory, *, sweep: str, skips_newer: bool, pulls: bool) -> RsyncEngine:
        """Make it; raises HsmError where it could not work."""


class HeadStart:
    """Opens streams from memory. Used by one thread.

    Args:
        ssh: The client.
        make: Makes engines.
        prepare: Begins with what is needed for one and has to do with this machine alone.
    """

    def __init__(self, ssh: OpenSsh, make: MakeRsync, prepare: Callable[[], object]) -> None:
        self._ssh = ssh
        self._make = make
        self._prepare = prepare
        self._begun: tuple[Memory, str, bool, RsyncEngine] | None = None
        self._taken: RsyncEngine | None = None

    def begin(self, memory: Memory | None, changed: Collection[Root], *, sweep: str, skips_newer: bool) -> None:
        """Open a stream for each folder that something has changed for.

        Args:
            memory: What was there the last time; without it no stream can be opened.
            changed: The folders.
            sweep: Whose files are to be sent.
            skips_newer: As for the engine.

        Raises:
            HsmError: There cannot be one; whoever goes on without it will hear the same.
        """
        self.drop()
        if memory is None:
            self._prepare()
            return
        engine = self._make(memory, sweep=sweep, skips_newer=skips_newer, pulls=False)
        self._begun = memory, sweep, skips_newer, engine
        engine.begin([root for root in changed if root in memory.roots])

    def take(self, roots: Mapping[Root, str], rsync: str, *, sweep: str, skips_newer: bool) -> RsyncEngine | None:
        """Use the engine whose streams are open, if all is as it was remembered; `drop` ends what it leaves over."""
        begun, self._begun = self._begun, None
        if begun is None:
            return None
        memory, *rest, engine = begun
        is_same = all(memory.roots.get(root) == path for root, path in roots.items()) and memory.rsync == rsync
        if is_same and rest == [sweep, skips_newer]:
            self._taken = engine
            return engine
        engine.stop()
        return None

    def make_memory(self, roots: Mapping[Root, str], rsync: str) -> Memory:
        """Make what the next call may begin with."""
        return Memory(dict(roots), rsync, self._ssh.round_trip_seconds)

    def drop(self) -> None:
        """End all that was begun, taken or not: not every stream gets its files."""
        begun, self._begun = self._begun, None
        taken, self._taken = self._taken, None
        for engine in (begun[-1] if begun is not None else None, taken):
            if engine is not None:
                engine.stop()
