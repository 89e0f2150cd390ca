"""What the logs of many runs say, read in few sessions: those that the cache knows are not opened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from hsm.discover.index import RunIndex
from hsm.discover.membership import Candidate, iter_sweep_names
from hsm.endpoint import Endpoint, FileEnds
from hsm.wandb_log.facts import LogFacts, read_log
from hsm.wandb_log.format import BLOCK_BYTES, FILE_HEADER

_HEAD_BLOCKS = 2
_MORE_BLOCKS = 32
_SMALL_HEAD_BYTES = 8 * 1024
_MOST_BYTES_AT_ONCE = 32 * 1024 * 1024
_MOST_BYTES_IN_MEMORY = 256 * 1024 * 1024
_METADATA = "files/wandb-metadata.json"
_NO_FACTS = LogFacts(is_empty=True)

_File = TypeVar("_File")


def read_facts(
    endpoint: Endpoint,
    candidates: Iterable[Candidate],
    *,
    index: RunIndex,
    is_wanted: Callable[[LogFacts], bool] | None = None,
) -> Mapping[str, LogFacts]:
    """Read what the candidates' logs say, by run folder; known logs are not opened.

    From a far endpoint everything comes in one session, whatever the number of logs. Where the ends of all of them
    are much to bring, it brings small heads, and a second session the ends of the runs that are wanted.

    Args:
        endpoint: Where they lie.
        candidates: The run folders.
        index: What is known already; takes what is read.
        is_wanted: Whether it matters how far a run has come, by what the head of its log says; None where it
            matters of every run.
    """
    facts: dict[str, LogFacts] = {}
    unread: dict[str, Candidate] = {}
    for candidate in candidates:
        known = index.get_facts(candidate.log_path, size=candidate.log_size, mtime_ns=candidate.log_mtime_ns)
        facts[candidate.path] = known or _NO_FACTS
        if known is None or (known.is_head and (is_wanted is None or is_wanted(known))):
            unread[candidate.log_path] = candidate
    reading = _Reading(endpoint, unread, facts)
    logs = [path for path, candidate in unread.items() if candidate.log_size > len(FILE_HEADER)]
    if endpoint.is_remote and sum(unread[path].log_size for path in logs) > _MOST_BYTES_AT_ONCE:
        reading.read_ends(logs, n_blocks=int(is_wanted is None), head_bytes=_SMALL_HEAD_BYTES)
        logs = [path for path in logs if path in reading.sizes and reading.is_open(path, is_wanted)]
    for n_blocks in (_HEAD_BLOCKS, _MORE_BLOCKS):
        reading.read_ends(logs, n_blocks=n_blocks)
        logs = [path for path in logs if path in reading.sizes and not facts[unread[path].path].is_whole]
    reading.add_arguments()
    for path, size in reading.sizes.items():
        candidate = unread[path]
        if size == candidate.log_size:
            index.put_facts(path, size=size, mtime_ns=candidate.log_mtime_ns, facts=facts[candidate.path])
    return facts


class _Reading:
    """Reads logs, and beside them the arguments that older and online runs keep in a file of metadata.

    On this machine those files are opened for runs whose log names no sweep; from a far one they come with the
    logs, so that they cost no session of their own.
    """

    def __init__(self, endpoint: Endpoint, unread: Mapping[str, Candidate], facts: dict[str, LogFacts]) -> None:
        self._endpoint = endpoint
        self._unread = unread
        self._facts = facts
        self._metadata: dict[str, bytes] = {}
        self._asked: set[str] = set()
        self.sizes: dict[str, int] = {}

    def read_ends(self, logs: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> None:
        n_head = n_blocks * BLOCK_BYTES if head_bytes is None else head_bytes
        most = n_head + n_blocks * BLOCK_BYTES
        for part in cut_by_bytes(logs, lambda path: min(most, self._unread[path].log_size)):
            paths = self._with_metadata(part)
            for ends in self._endpoint.read_ends(paths, n_blocks=n_blocks, head_bytes=n_head):
                self._take(ends, is_head=not n_blocks and ends.size > len(ends.head))

    def is_open(self, path: str, is_wanted: Callable[[LogFacts], bool] | None) -> bool:
        """Whether more must be read of a log of which a small head, or that and the last block, was read."""
        facts = self._facts[self._unread[path].path]
        if self.sizes[path] <= _SMALL_HEAD_BYTES:
            return False
        if is_wanted is not None:
            return is_wanted(facts)
        return not facts.is_whole or not any(iter_sweep_names(facts))

    def add_arguments(self) -> None:
        """Add the arguments in the metadata of runs whose log names no sweep."""
        silent = [
            candidate
            for candidate in self._unread.values()
            if not candidate.is_inside and not any(iter_sweep_names(self._facts[candidate.path]))
        ]
        missing = [path for path in map(_get_metadata_path, silent) if path not in self._asked]
        for ends in self._endpoint.read_ends(missing, n_blocks=1) if missing else ():
            self._metadata[ends.path] = ends.head
        for candidate in silent:
            args = _parse_arguments(self._metadata.get(_get_metadata_path(candidate), b""))
            if args:
                self._facts[candidate.path] = replace(self._facts[candidate.path], args=args)

    def _with_metadata(self, logs: Sequence[str]) -> list[str]:
        if not self._endpoint.is_remote:
            return list(logs)
        found = (self._unread[path] for path in logs)
        paths = [_get_metadata_path(candidate) for candidate in found if not candidate.is_inside]
        paths = [path for path in paths if path not in self._asked]
        self._asked.update(paths)
        return [*logs, *paths]

    def _take(self, ends: FileEnds, *, is_head: bool) -> None:
        candidate = self._unread.get(ends.path)
        if candidate is None:
            self._metadata[ends.path] = ends.head
            return
        self._facts[candidate.path] = replace(read_log(ends), is_head=is_head)
        self.sizes[ends.path] = ends.size


def cut_by_bytes(
    paths: Iterable[_File], get_bytes: Callable[[_File], int], *, most_bytes: int = _MOST_BYTES_IN_MEMORY
) -> Iterator[list[_File]]:
    """Cut a list of files into parts of what may be in memory at the same time; one large file is a part."""
    part: list[_File] = []
    n_bytes = 0
    for path in paths:
        n_more = get_bytes(path)
        if part and n_bytes + n_more > most_bytes:
            yield part
            part, n_bytes = [], 0
        part.append(path)
        n_bytes += n_more
    if part:
        yield part


def _get_metadata_path(candidate: Candidate) -> str:
    return f"{candidate.path}/{_METADATA}"


def _parse_arguments(metadata: bytes) -> tuple[str, ...]:
    try:
        args = json.loads(metadata)["args"]
        return tuple(argument for argument in args if isinstance(argument, str))
    except (ValueError, TypeError, KeyError, RecursionError):
        return ()
