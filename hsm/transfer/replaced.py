"""Files that an engine replaced: looked at before they go, and put back where they are somebody else's.

Between the check and the moment in which a file takes its name hours may pass. rsync cannot be told what it may
replace: `--update` replaces a stranger's file with an older time, and skips with exit code 0 what the target has
rounded up. So it keeps what it replaces (`--backup`), and here is decided about it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.endpoint import Endpoint, Tree
from hsm.model import Entry, EntryKind, FileKey, Root, SourceFile
from hsm.remote.guard import get_replaced_folder
from hsm.transfer.base import get_temporary_folder
from hsm.transfer.destination_lock import DestinationLock
from hsm.transfer.seen import SeenFiles


@dataclass(frozen=True, slots=True)
class Strangers:
    """Files of somebody else that an engine had replaced.

    Attributes:
        back: They have their names again.
        kept: By file, the path where it lies instead: its name has been taken by yet another file.
    """

    back: frozenset[FileKey] = frozenset()
    kept: Mapping[FileKey, str] = field(default_factory=dict)


class ReplacedFiles:
    """The files that one holder of the lock has replaced. Used by one thread.

    Args:
        destination: Looked at.
        roots: The destination's folders, real paths.
        sweep: Whose lock is held.
        lock: The lock.
    """

    def __init__(self, destination: Endpoint, roots: Mapping[Root, str], sweep: str, lock: DestinationLock) -> None:
        self._destination = destination
        self._roots = roots
        self._lock = lock
        self._folders = {
            root: get_replaced_folder(get_temporary_folder(path, sweep), lock.nonce) for root, path in roots.items()
        }

    def find_strangers(self, files: Sequence[SourceFile], seen: SeenFiles) -> Strangers:
        """Put back what was replaced and is not what the check saw, or has lost its name. One or two round trips.

        Args:
            files: All that the transfer may have sent.
            seen: What they may replace.

        Raises:
            HsmError: The destination is out of reach.
        """
        wanted = {file.key: file for file in files}
        kept = {key: entry for key, entry in self._list().items() if key in wanted}
        there = self._look([wanted[key] for key in kept])
        lost = {key for key in kept if key not in there}
        strange = {key for key, entry in kept.items() if not _may_go(wanted[key], entry, seen)}
        free = {key for key in strange & there.keys() if seen.is_own(wanted[key], there[key])}
        moves = {f"{self._roots[root]}/{path}": (root, path) for root, path in lost | free}
        done = self._lock.put_back([(self._get_kept(key), final) for final, key in moves.items()]) if moves else ()
        back = frozenset(key for final, key in moves.items() if final in done)
        places = {key: self._get_kept(key) for key in (strange | lost) - back}
        return Strangers(back & strange, places)

    def _list(self) -> dict[FileKey, Entry]:
        listings = self._destination.survey([Tree(folder) for folder in self._folders.values()]).listings
        return {
            (root, entry.path): entry
            for root, listing in zip(self._folders, listings, strict=True)
            if listing.kind is EntryKind.FOLDER
            for entry in listing.entries
            if entry.kind is not EntryKind.FOLDER
        }

    def _look(self, files: Collection[SourceFile]) -> dict[FileKey, Entry]:
        """Look at what has the names of files."""
        names = {root: tuple(file.path for file in files if file.root is root) for root in self._roots}
        trees = {root: Tree(self._roots[root], paths, 0) for root, paths in names.items() if paths}
        listings = self._destination.survey(list(trees.values())).listings if trees else ()
        return {
            (root, entry.path): entry
            for root, listing in zip(trees, listings, strict=True)
            for entry in listing.entries
        }

    def _get_kept(self, key: FileKey) -> str:
        return f"{self._folders[key[0]]}/{key[1]}"


def _may_go(file: SourceFile, entry: Entry, seen: SeenFiles) -> bool:
    return entry.kind is EntryKind.FILE and seen.may_replace(file, entry.size, entry.mtime_ns)
