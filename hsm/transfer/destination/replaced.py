"""Files that an engine replaced: looked at before they go, and put back where they are somebody else's.

Between the check and the moment in which a file takes its name hours may pass. rsync cannot be told what it may
replace: `--update` replaces a stranger's file with an older time, and skips with exit code 0 what the target has
rounded up. So it keeps what it replaces (`--backup`), and here is decided about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.endpoint import Endpoint, Tree
from hsm.model import Entry, EntryKind, FileKey, Root, SourceFile
from hsm.remote.guard import ReplacedFile, get_replaced_folder
from hsm.transfer.base import get_temporary_folder
from hsm.transfer.destination.lock import DestinationLock
from hsm.transfer.destination.mounts import Mounts
from hsm.transfer.destination.places import look_at_places
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
        mounts: Below the roots.
        nonce: Of the holder that replaced them; empty for this one.
    """

    def __init__(
        self,
        destination: Endpoint,
        roots: Mapping[Root, str],
        sweep: str,
        lock: DestinationLock,
        *,
        mounts: Mounts,
        nonce: str = "",
    ) -> None:
        self._destination = destination
        self._roots = roots
        self._lock = lock
        self._mounts = mounts
        self._folders = {
            (root, base): get_replaced_folder(get_temporary_folder(_join(path, base), sweep), nonce or lock.nonce)
            for root, path in roots.items()
            for base in mounts.list_bases(root)
        }

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders in which they lie, those that are there or not."""
        return tuple(self._folders.values())

    def list_expected(self, files: Iterable[SourceFile], seen: SeenFiles) -> tuple[ReplacedFile, ...]:
        """List what lies there after a round in which all of these files arrived, if nobody else wrote any of them.

        None where a guard cannot tell the names that they had: below a mount point they lie elsewhere.
        """
        there = {file.key: seen.there[file.key] for file in files if file.key in seen.there}
        if any(self._mounts.below.values()) or any(entry.kind is not EntryKind.FILE for entry in there.values()):
            return ()
        return tuple(ReplacedFile(self._get_kept(key), entry.size, entry.mtime_ns) for key, entry in there.items())

    def find_strangers(self, files: Sequence[SourceFile], seen: SeenFiles) -> Strangers:
        """Put back what was replaced and is not what the check saw, or has lost its name. One or two round trips.

        Args:
            files: All that the transfer may have sent.
            seen: What they may replace.

        Raises:
            HsmError: The destination is out of reach.
        """
        wanted = {file.key: file for file in files}
        # Of what the check saw the names are asked for along with what was kept: one round trip of every sync that
        # replaces something.
        listed, there = self._list([key for key in wanted if key in seen.there])
        kept = {key: entry for key, entry in listed.items() if key in wanted}
        strange = {key for key, entry in kept.items() if not _may_go(wanted[key], entry, seen)}
        asked = wanted.keys() & seen.there.keys()
        there |= look_at_places(self._destination, self._roots, kept.keys() - asked)
        found = self._put_back(kept, there, strange, wanted, seen)
        return Strangers(found.back & strange, found.kept)

    def restore(self, files: Sequence[SourceFile], seen: SeenFiles) -> Strangers:
        """Do the same for a holder that was killed: what it did not say that it may replace is somebody else's."""
        wanted = {file.key: file for file in files}
        kept, _ = self._list()
        known = {key for key, entry in kept.items() if key in wanted and _may_go(wanted[key], entry, seen)}
        there = look_at_places(self._destination, self._roots, kept)
        return self._put_back(kept, there, kept.keys() - known, wanted, seen)

    def _put_back(
        self,
        kept: Mapping[FileKey, Entry],
        there: Mapping[FileKey, Entry],
        strange: Collection[FileKey],
        wanted: Mapping[FileKey, SourceFile],
        seen: SeenFiles,
    ) -> Strangers:
        """Put back what has lost its name, and of what is somebody else's that of which the name holds our own."""
        lost = kept.keys() - there.keys()
        free = {key for key in strange if key in there and key in wanted and seen.is_own(wanted[key], there[key])}
        moves = {_join(self._roots[root], path): (root, path) for root, path in lost | free}
        done = self._lock.put_back([(self._get_kept(key), final) for final, key in moves.items()]) if moves else ()
        back = frozenset(key for final, key in moves.items() if final in done)
        return Strangers(back, {key: self._get_kept(key) for key in (lost | set(strange)) - back})

    def _list(self, keys: Iterable[FileKey] = ()) -> tuple[dict[FileKey, Entry], dict[FileKey, Entry]]:
        """List what was kept, and in the same round trip what has these names."""
        names: dict[Root, list[str]] = {}
        for root, path in keys:
            names.setdefault(root, []).append(path)
        trees = [
            *(Tree(folder) for folder in self._folders.values()),
            *(Tree(self._roots[root], tuple(paths), 0) for root, paths in names.items()),
        ]
        listings = iter(self._destination.survey(trees).listings)
        kept = {
            (root, entry.path): entry
            for (root, _), listing in zip(self._folders, listings, strict=False)
            if listing.kind is EntryKind.FOLDER
            for entry in listing.entries
            if entry.kind is not EntryKind.FOLDER
        }
        there = {(root, e.path): e for root, listing in zip(names, listings, strict=True) for e in listing.entries}
        return kept, there

    def _get_kept(self, key: FileKey) -> str:
        return f"{self._folders[key[0], self._mounts.find(_make_file(key))]}/{key[1]}"


# Not the one of `hsm.remote.sftp.listing`, which imports all of SFTP: 7 ms of every sync.
def _join(base: str, name: str) -> str:
    return f"{base.rstrip('/')}/{name}" if name else base


def _make_file(key: FileKey) -> SourceFile:
    return SourceFile(*key, "", 0, 0, 0)


def _may_go(file: SourceFile, entry: Entry, seen: SeenFiles) -> bool:
    return entry.kind is EntryKind.FILE and seen.may_replace(file, entry.size, entry.mtime_ns)
