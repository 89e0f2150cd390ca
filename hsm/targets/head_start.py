"""A head start: the streams of a push open from hints while the destination is still being looked at.

A stream over a long link takes as long to open as everything else together, and what it needs to know, where the
folders lie and which rsync is there, is seldom another than the last time. So it is opened at once from the hints of
the last push, and used if the destination then says the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

from hsm.model import Root
from hsm.remote.openssh.hints import DestinationHint, HintFile

if TYPE_CHECKING:
    from hsm.transfer.rsync.engine import RsyncEngine


class MakeRsync(Protocol):
    """Makes the engine of a push from what is known of the destination."""

    def __call__(self, there: DestinationHint, *, workspace: str, update_only: bool) -> RsyncEngine:
        """Make it; raises HsmError where it could not work."""


class Link(Protocol):
    """The way to a target."""

    @property
    def round_trip_seconds(self) -> float | None:
        """As far as it is known; may be measured now."""


class HeadStart:
    """Opens streams from the hints of the last push. Used by one thread.

    Args:
        hints: Of the target; None where there can be none.
        route: Between which places, in a word: hints of another route say nothing.
        make: Makes engines.
        link: The way there, whose round trip is part of the next hint.
    """

    def __init__(self, hints: HintFile | None, route: str, make: MakeRsync, link: Link) -> None:
        self._hints = hints
        self._route = route
        self._make = make
        self._link = link
        self._begun: tuple[DestinationHint, str, bool, RsyncEngine] | None = None
        self._taken: RsyncEngine | None = None
        self._is_push = False  # staged artifacts and checks use engines too, whose folders are no hint
        self._found: tuple[Mapping[Root, str], str] | None = None

    def begin(self, changed: Collection[Root], *, workspace: str, update_only: bool) -> bool:
        """Open a stream for each folder in which something changed.

        Args:
            changed: The folders.
            workspace: As for the engine.
            update_only: As for the engine.

        Returns:
            Whether a stream is open; False where nothing changed, or the last push left no hint.

        Raises:
            HsmError: There cannot be a stream.
        """
        self.drop()
        self._is_push = True
        if not changed:
            return False
        there = self._hints.load().destination if self._hints is not None else None
        if there is None or there.route != self._route:
            return False
        engine = self._make(there, workspace=workspace, update_only=update_only)
        self._begun = there, workspace, update_only, engine
        # It is told no name: until it is used, nothing was sent. A sync with changes over a link of 40 ms gains 97 ms.
        engine.begin([root for root in changed if root in there.roots])
        return True

    def take(self, roots: Mapping[Root, str], rsync: str, *, workspace: str, update_only: bool) -> RsyncEngine | None:
        """Use the engine whose streams are open, if all is as hinted; `drop` ends the streams that it leaves over."""
        begun, self._begun = self._begun, None
        if self._is_push:
            self._found = dict(roots), rsync
        if begun is None:
            return None
        there, *rest, engine = begun
        is_same = all(there.roots.get(root) == path for root, path in roots.items()) and there.rsync == rsync
        if is_same and rest == [workspace, update_only]:
            self._taken = engine
            return engine
        engine.stop()
        return None

    def drop(self) -> None:
        """End all that was begun, taken or not: not every stream gets its files. What was found is the next hint."""
        begun, self._begun = self._begun, None
        taken, self._taken = self._taken, None
        found, self._found, self._is_push = self._found, None, False
        for engine in (begun[-1] if begun is not None else None, taken):
            if engine is not None:
                engine.stop()
        if found is not None and self._hints is not None:
            # Only here: the round trip may have to be measured, which costs one more.
            hint = DestinationHint(self._route, *found, self._link.round_trip_seconds)
            self._hints.remember_destination(hint)
