"""Watch over a destination: looks at lock, folders and files right before what cannot be undone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from hsm.endpoint import Endpoint
from hsm.model import Entry, EntryKind, FileKey, Root, SourceFile
from hsm.remote.guard import Replaced
from hsm.transfer.base import Capabilities, Replacing
from hsm.transfer.destination.lock import DestinationLock
from hsm.transfer.destination.mounts import Mounts
from hsm.transfer.destination.places import look_at_places
from hsm.transfer.destination.replaced import ReplacedFiles
from hsm.transfer.seen import SeenFiles

STRANGER = "Kept as it is: it appeared or changed at the destination after the check."


class DestinationWatch:
    """Stands between a transfer and what it could destroy at its destination. Used by one thread.

    Args:
        destination: Looked at.
        roots: Its folders, real paths.
        sweep: Whose lock is held.
        lock: The lock; None where nothing is shared with anybody.
        seen: What of the destination may be replaced.
        mounts: Below the roots; temporary files lie in each of them too.

    Attributes:
        replaced: What is known of the files that were replaced so far.
    """

    def __init__(
        self,
        destination: Endpoint,
        roots: Mapping[Root, str],
        sweep: str,
        lock: DestinationLock | None = None,
        seen: SeenFiles | None = None,
        mounts: Mounts | None = None,
    ) -> None:
        self._destination = destination
        self._roots = roots
        self._lock = lock
        self.seen = seen or SeenFiles()
        self.mounts = mounts or Mounts()
        self.replaced = Replaced(has_looked=False)
        self._replaced = (
            ReplacedFiles(destination, roots, sweep, lock, mounts=self.mounts) if lock is not None else None
        )

    def check(self, *, at_once: bool = False) -> None:
        """Look at the lock; see `hsm.transfer.destination.lock.DestinationLock.check`."""
        if self._lock is not None:
            self._lock.check(at_once=at_once)

    def tidy(self) -> None:
        """Leave nothing to an engine that still runs; see `hsm.transfer.destination.lock.DestinationLock.tidy`."""
        if self._lock is not None:
            self._lock.tidy()

    def look_before(self, files: Sequence[SourceFile], engine: Capabilities) -> dict[FileKey, str]:
        """Look at the places of files that an engine would take without looking. One round trip, if any.

        Returns:
            The files that must not be sent, each with the reason.

        Raises:
            HsmError: The destination is out of reach.
        """
        if not files or (engine.replacing is not Replacing.BLIND and not engine.follows_links):
            return {}
        there = look_at_places(self._destination, self._roots, _list_places(files))
        left: dict[FileKey, str] = {}
        for file in files:
            link = _find_link(file, there)
            entry = there.get(file.key)
            if link:
                left[file.key] = f"{link} became a symlink at the destination after the check."
            elif engine.replacing is Replacing.BLIND and entry is not None and self._is_strange(file, entry):
                left[file.key] = STRANGER
        return left

    def forget_look(self) -> None:
        """Take the beginning of a round: what it replaces has not been looked at."""
        self.replaced = Replaced(has_looked=False, keeps_some=self.replaced.keeps_some)

    def leave_look(self, files: Sequence[SourceFile]) -> bool:
        """Leave the look at what an engine has replaced to the guard, where it can tell.

        Args:
            files: All that were sent, in one round; each of them has arrived.

        Returns:
            Whether it can; else `look_after` has to.
        """
        if self._replaced is None or not self.seen.is_checked or not self.seen.there:
            return False
        expected = self._replaced.list_expected(files, self.seen)
        self.replaced = replace(self.replaced, expected=expected)
        return bool(expected)

    def look_after(self, files: Sequence[SourceFile], *, always: bool = False) -> dict[FileKey, str]:
        """Look at what an engine has replaced, where that can be any of these files, and put back what is not ours.

        Args:
            files: That it may have sent.
            always: Look even where the check saw nothing that could be replaced.

        Returns:
            The files that were left to somebody else, each in words.

        Raises:
            HsmError: The destination is out of reach.
        """
        if self._replaced is None or not (always or any(self._may_be_there(file) for file in files)):
            return {}
        found = self._replaced.find_strangers(files, self.seen)
        # What is kept must not go with the lock.
        keeps_some = self.replaced.keeps_some or bool(found.kept)
        self.replaced = Replaced(has_looked=not found.kept, keeps_some=keeps_some)
        kept = {
            key: f"Somebody wrote it at the destination after the check, and then another one: the first is {place}."
            for key, place in found.kept.items()
        }
        return {**dict.fromkeys(found.back, STRANGER), **kept}

    def _may_be_there(self, file: SourceFile) -> bool:
        return not self.seen.is_checked or file.key in self.seen.there

    def _is_strange(self, file: SourceFile, entry: Entry) -> bool:
        return entry.kind is not EntryKind.FILE or not self.seen.may_replace(file, entry.size, entry.mtime_ns)


def _list_places(files: Collection[SourceFile]) -> tuple[FileKey, ...]:
    """List files and all folders above them."""
    places = dict.fromkeys(file.key for file in files)
    for root, path in list(places):
        folder = path.rpartition("/")[0]
        while folder and (root, folder) not in places:
            places[root, folder] = None
            folder = folder.rpartition("/")[0]
    return tuple(places)


def _find_link(file: SourceFile, there: Mapping[FileKey, Entry]) -> str:
    """Find a folder above a file that is none."""
    parts = file.path.split("/")
    for count in range(1, len(parts)):
        folder = "/".join(parts[:count])
        entry = there.get((file.root, folder))
        if entry is not None and entry.kind is not EntryKind.FOLDER:
            return folder
    return ""
