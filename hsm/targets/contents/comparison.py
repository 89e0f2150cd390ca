"""Content of files at both ends of a pull, compared where size and time cannot tell whose a file is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from hsm.endpoint import Endpoint, FileEnds
from hsm.model import FileKey, Root, SourceFile
from hsm.remote.local import LocalEndpoint

# Content is compared only where a conflict may be none. Both ends read it, over the network.
_MOST_COMPARED_BYTES = 1024 * 1024  # metadata and small tables that two clusters wrote alike
_MOST_BEGUN_BYTES = 64 * 1024 * 1024  # logs that grew while a pull that was killed brought them
_MOST_TOGETHER_BYTES = 64 * 1024 * 1024  # in one session, whose answer lies in memory
_MOST_FILES = 500


class ContentComparison:
    """Comparison of files of the source with those here, by their first bytes.

    Args:
        source: The end that the files come from.
        roots: The folders here.
        sizes: Of the files here.
    """

    def __init__(self, source: Endpoint, roots: Mapping[Root, str], sizes: Mapping[FileKey, int]) -> None:
        self._source = source
        self._roots = roots
        self._sizes = sizes

    def find_equal(self, files: Iterable[SourceFile]) -> frozenset[FileKey]:
        """Find the files with the same content here and there; only small ones are looked into."""
        small = (file for file in files if file.size <= _MOST_COMPARED_BYTES and self._sizes.get(file.key) == file.size)
        return frozenset(
            file.key
            for file, mine, theirs in self._iter_read(list(islice(small, _MOST_FILES)))
            if theirs.size == mine.size and theirs.head == mine.head
        )

    def find_begun(self, files: Iterable[SourceFile]) -> frozenset[FileKey]:
        """Find the files whose content there begins with all that is here: nothing is lost where they are replaced."""
        shorter = (file for file in files if self._sizes.get(file.key, file.size) < min(file.size, _MOST_BEGUN_BYTES))
        return frozenset(
            file.key
            for file, mine, theirs in self._iter_read(list(islice(shorter, _MOST_FILES)))
            if theirs.size > mine.size and theirs.head.startswith(mine.head)
        )

    def _iter_read(self, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, FileEnds, FileEnds]]:
        """Read the files here whole, and as much of those there; one that cannot be read, or grew here, is left out."""
        for part in self._iter_parts(files):
            n_bytes = max(1, *(self._sizes[file.key] for file in part))
            there = _read_heads(self._source, [f"{file.prefix}/{file.path}" for file in part], n_bytes)
            here = _read_heads(LocalEndpoint(), [f"{self._roots[file.root]}/{file.path}" for file in part], n_bytes)
            for file in part:
                mine = here.get(f"{self._roots[file.root]}/{file.path}")
                theirs = there.get(f"{file.prefix}/{file.path}")
                if mine is not None and theirs is not None and mine.size == len(mine.head) == self._sizes[file.key]:
                    yield file, mine, theirs

    def _iter_parts(self, files: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
        """Cut files into parts, each for one session: as much is asked of each as the longest of the part has."""
        part: list[SourceFile] = []
        for file in sorted(files, key=lambda file: self._sizes[file.key]):
            if part and (len(part) + 1) * self._sizes[file.key] > _MOST_TOGETHER_BYTES:
                yield part
                part = []
            part.append(file)
        if part:
            yield part


def _read_heads(endpoint: Endpoint, paths: Sequence[str], n_bytes: int) -> dict[str, FileEnds]:
    return {ends.path: ends for ends in endpoint.read_ends(paths, n_blocks=0, head_bytes=n_bytes)}
