"""Proof of what arrived: a fresh look at the source, and after a failure one at the destination.

rsync names a file before the receiver has it, so a name proves nothing; and exit code 0 does not prove a consistent
source: a file that is rewritten meanwhile arrives torn. A file is sent when the engine claims it after a clean end, or
the destination has it under its final name with the planned size and time (which are set before the rename), and when
the source did not change meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby

from hsm.endpoint import Endpoint, Space, Tree
from hsm.errors import HsmError, UnreachableError
from hsm.model import Entry, EntryKind, FileKey, Root, SourceFile
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.disk.times import TimeMatch, match_times
from hsm.transfer.base import PARTIAL_FOLDER, Engine
from hsm.transfer.batches import make_batches
from hsm.transfer.workers import RoundEnd


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of an engine about the batches of a round that ended well.

    Attributes:
        sent: Files that it sent.
        skipped: Files that it was offered and did not send, since the destination has a newer one, or the same.
    """

    sent: frozenset[FileKey]
    skipped: frozenset[FileKey]


def read_claims(end: RoundEnd) -> Claims:
    """Read the claims of an engine. Pure."""
    clean = [(batch, answer) for batch, answer in end.ends if answer.is_clean]
    sent = frozenset((batch.root, path) for batch, answer in clean for path in answer.sent)
    offered = frozenset((batch.root, file.path) for batch, _ in clean for file in batch.files)
    return Claims(sent, offered - sent)


def refresh(source: Endpoint, files: Sequence[SourceFile]) -> dict[FileKey, SourceFile | None]:
    """Look at the source again.

    Returns:
        Every file as it is now, equal to what was given where size, time and inode are the same; None for one
        that is gone or no file any more.
    """
    groups = {prefix: list(members) for prefix, members in groupby(sorted(files, key=_get_prefix), key=_get_prefix)}
    if not groups:
        return {}
    trees = [
        Tree(prefix, tuple(file.path for file in members), max_depth=0, follow=True)
        for prefix, members in groups.items()
    ]
    now: dict[FileKey, SourceFile | None] = {}
    survey = source.survey(trees)
    for members, listing in zip(groups.values(), survey.listings, strict=True):
        entries = {entry.path: entry for entry in listing.entries}
        now.update((file.key, _renew(file, entries.get(file.path))) for file in members)
    return now


@dataclass(frozen=True, slots=True)
class ContentAnswer:
    """Files whose content is not the same at both ends; the others' is.

    Attributes:
        different: Files that differ.
        missing: Files that are not at the destination.
    """

    different: frozenset[FileKey]
    missing: frozenset[FileKey]


def compare_content(engine: Engine, files: Sequence[SourceFile], *, n_workers: int) -> ContentAnswer:
    """Compare files by checksum; both ends read all of them.

    Args:
        engine: Between the two ends.
        files: In any order.
        n_workers: Wanted; the engine may allow fewer.

    Raises:
        HsmError: A file could not be read, or the connection broke: nothing is known.
    """
    if not files:
        return ContentAnswer(frozenset(), frozenset())
    can = engine.capabilities
    batches = make_batches(sorted(files), n_streams=n_workers, max_name_bytes=can.max_name_bytes)
    with ThreadPoolExecutor(max(1, min(n_workers, can.max_workers))) as executor:
        found = list(executor.map(engine.compare, batches))
    pairs = list(zip(batches, found, strict=True))
    return ContentAnswer(
        frozenset((batch.root, path) for batch, answer in pairs for path in answer.different),
        frozenset((batch.root, path) for batch, answer in pairs for path in answer.missing),
    )


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The look at a destination that tells which files have arrived.

    Attributes:
        destination: Looked at.
        roots: Its folders, real paths.
        file_systems: Of these, as far as they were measured.
        alike: Files that were to be replaced although what was there looked like them: size and time show nothing.
    """

    destination: Endpoint
    roots: Mapping[Root, str]
    file_systems: Mapping[Root, FileSystem] = field(default_factory=dict)
    alike: Collection[FileKey] = frozenset()

    def find(
        self, files: Sequence[SourceFile], engine: Engine, *, skipped: Collection[FileKey] = frozenset()
    ) -> set[FileKey]:
        """Look at the destination after an end that was not clean.

        Args:
            files: That may have arrived.
            skipped: Those that the engine itself has compared, and calls the same.
            engine: Compares the content of those whose size and time do not tell. Of what the disk keeps of times the
                old copy may have as much as the new one.

        Returns:
            The files that lie there as they were planned.

        Raises:
            UnreachableError: One of the ends is out of reach.
        """
        there = self._look(files)
        arrived: set[FileKey] = set()
        doubtful: list[SourceFile] = []
        for file in files:
            entry = there.get(self._get_place(file))
            # A name alone proves nothing: rsync told 24 of which 20 had arrived on a full disk, 60 of which 29 without
            # inodes.
            # Both are set before the rename, so a final name with them is a whole file.
            if entry is None or entry.kind is not EntryKind.FILE or entry.size != file.size:
                continue
            match = match_times(file.mtime_ns, entry.mtime_ns, self.file_systems.get(file.root))
            if match is TimeMatch.SAME or (
                match is TimeMatch.CUT and (file.key not in self.alike or file.key in skipped)
            ):
                arrived.add(file.key)
            elif match is not TimeMatch.OTHER:
                doubtful.append(file)
        return arrived | _find_equal(engine, doubtful)

    def _look(self, files: Sequence[SourceFile]) -> dict[FileKey, Entry]:
        trees = {
            root: Tree(self.roots[root], tuple(self._get_place(file)[1] for file in members), max_depth=0)
            for root, members in groupby(sorted(files), key=lambda file: file.root)
        }
        if not trees:  # a survey wants at least one
            return {}
        survey = self.destination.survey(list(trees.values()))
        return {
            (root, entry.path): entry
            for root, listing in zip(trees, survey.listings, strict=True)
            for entry in listing.entries
        }

    def _get_place(self, file: SourceFile) -> FileKey:
        there = self.file_systems.get(file.root)
        return file.root, there.spell(file.path) if there is not None else file.path


def _find_equal(engine: Engine, files: Sequence[SourceFile]) -> set[FileKey]:
    """Find the files with the same content at both ends; where it cannot be read, none is shown to be the same."""
    try:
        answer = compare_content(engine, files, n_workers=1)
    except UnreachableError:
        raise
    except HsmError:
        return set()
    return {file.key for file in files} - answer.different - answer.missing


def measure_lack(destination: Endpoint, roots: Mapping[Root, str], files: Sequence[SourceFile]) -> tuple[int, int]:
    """Measure how much room a destination that ran full lacks for `files`.

    Returns:
        How many bytes and how many files have no room there; 0 where they have, or it is not known. It is a lower
        bound: a part of a file that waits in `PARTIAL_FOLDER` counts as there, folders do not count.
    """
    by_root = {root: tuple(members) for root, members in groupby(sorted(files), key=lambda file: file.root)}
    if not by_root:
        return 0, 0
    trees = [
        Tree(roots[root], (*(file.path for file in members), *map(_get_partial_path, members)), max_depth=0)
        for root, members in by_root.items()
    ]
    needs: dict[Space, tuple[int, int]] = {}  # two folders with the same figures are on one file system
    for members, listing in zip(by_root.values(), destination.survey(trees).listings, strict=True):
        sizes = {entry.path: entry.size for entry in listing.entries}
        n_bytes, n_files = needs.get(listing.space, (0, 0))
        n_bytes += sum(max(0, file.n_needed_bytes - sizes.get(_get_partial_path(file), 0)) for file in members)
        n_files += sum(file.path not in sizes for file in members)
        needs[listing.space] = (n_bytes, n_files)
    return (
        sum(max(0, needed[0] - space.free_bytes) for space, needed in needs.items() if space.free_bytes is not None),
        sum(max(0, needed[1] - space.free_inodes) for space, needed in needs.items() if space.free_inodes is not None),
    )


def _get_partial_path(file: SourceFile) -> str:
    folder, slash, name = file.path.rpartition("/")
    return f"{folder}{slash}{PARTIAL_FOLDER}/{name}"


def _get_prefix(file: SourceFile) -> str:
    return file.prefix


def _renew(file: SourceFile, entry: Entry | None) -> SourceFile | None:
    is_link = entry is not None and entry.kind is EntryKind.SYMLINK
    content = entry.followed if entry is not None and is_link else entry
    if content is None or content.kind is not EntryKind.FILE:
        return None
    return file._replace(size=content.size, mtime_ns=content.mtime_ns, inode=content.inode, is_link=is_link)
