"""Which wandb run folders belong to a sweep."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hsm.discover.index import RunIndex
from hsm.discover.membership import Candidate, Membership, decide_membership, iter_sweep_names
from hsm.discover.sweeps import WANDB_NAMES, is_run_name, parse_timestamp
from hsm.discover.wandb_format import BLOCK_BYTES, FILE_HEADER
from hsm.discover.wandb_log import LogFacts, read_log
from hsm.endpoint import Endpoint, FileEnds, Listing, Tree
from hsm.model import Entry, EntryKind, Problem

_HEAD_BLOCKS = 2
_MORE_BLOCKS = 32
_SMALL_HEAD_BYTES = 8 * 1024
_MOST_BYTES_AT_ONCE = 32 * 1024 * 1024
_MOST_BYTES_IN_MEMORY = 256 * 1024 * 1024
_METADATA = "files/wandb-metadata.json"
_MOST_NAMES = 3
_NO_FACTS = LogFacts(is_empty=True)


@dataclass(frozen=True, slots=True)
class Member:
    """A run of the sweep, and what its log says."""

    candidate: Candidate
    facts: LogFacts


@dataclass(slots=True)
class _Folder:
    """What a listing says of one run folder."""

    is_inside: bool
    is_symlink: bool = False
    logs: list[Entry] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


def make_wandb_tree(wandb: str, sweep: str) -> Tree:
    """Ask for the project's wandb folder, just deep enough to see the logs of the runs that may be the sweep's.

    Those lie in the folder itself, in `<sweep>/` and `<sweep>/wandb/`, and in `wandb/` where WANDB_DIR is the
    wandb folder.
    """
    places = (place for place in _make_places(sweep) if place)
    return Tree(wandb, names=("", *("/".join(place) for place in places)), max_depth=2)


def find_candidates(
    sweep: str, wandb: Listing | None, sweep_folder: Listing | None
) -> tuple[tuple[Candidate, ...], tuple[Problem, ...]]:
    """Find the run folders that may be the sweep's. Pure.

    Args:
        sweep: The sweep's id.
        wandb: The answer to `make_wandb_tree`, if there is such a folder.
        sweep_folder: The sweep folder's whole listing, if there is one.

    Returns:
        The candidates by place and name, and a problem for each run folder that is a symlink.
    """
    folders: dict[tuple[str, str], _Folder] = {}
    for listing, places in ((wandb, _make_places(sweep)), (sweep_folder, None)):
        for entry in listing.entries if listing else ():
            parts = entry.path.split("/")
            place = _find_place(parts, places)
            if listing is not None and place is not None:
                depth, is_inside = place
                key = ("/".join([listing.base, *parts[:depth]]), parts[depth])
                folder = folders.setdefault(key, _Folder(is_inside))
                folder.is_inside = folder.is_inside or is_inside
                _add_entry(folder, parts[depth + 1 :], entry)
    candidates = [_make_candidate(key, folder) for key, folder in sorted(folders.items()) if not folder.is_symlink]
    symlinks = [key for key, folder in sorted(folders.items()) if folder.is_symlink]
    return tuple(candidates), tuple(_iter_symlink_problems(symlinks, folders))


def read_members(
    endpoint: Endpoint,
    candidates: Sequence[Candidate],
    *,
    sweep: str,
    known_sweeps: Collection[str],
    index: RunIndex,
) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
    """Tell which candidates belong to a sweep, reading the logs that `index` does not know.

    Args:
        endpoint: Where they lie.
        candidates: From `find_candidates`.
        sweep: The sweep's id.
        known_sweeps: The ids of all sweeps of the project.
        index: What is known already; takes what is read. Logs that are gone are dropped from it.

    Returns:
        The members by name, and what could not be told or must not be sent. Of two run folders of one name
        neither is a member, since they would land in one folder.
    """

    def is_wanted(facts: LogFacts) -> bool:
        """Whether a run may be the sweep's; one that names another sweep of the project is not."""
        names = frozenset(iter_sweep_names(facts))
        return sweep in names or names.isdisjoint(known_sweeps)

    facts = read_facts(endpoint, candidates, index=index, is_wanted=is_wanted)
    index.drop_vanished(
        {candidate.prefix for candidate in candidates},
        {candidate.log_path for candidate in candidates if candidate.log},
    )
    members: dict[str, list[Member]] = {}
    unknown: list[Candidate] = []
    for candidate in candidates:
        found = facts[candidate.path]
        membership = decide_membership(candidate, found, sweep=sweep, known_sweeps=known_sweeps)
        if membership is Membership.YES:
            members.setdefault(candidate.name, []).append(Member(candidate, found))
        elif membership is Membership.UNKNOWN:
            unknown.append(candidate)
    problems = [_make_double_problem(name, found) for name, found in sorted(members.items()) if len(found) > 1]
    problems.extend(_iter_unknown_problems(unknown, sweep))
    return tuple(found[0] for _, found in sorted(members.items()) if len(found) == 1), tuple(problems)


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
    paths: Iterable[str], get_bytes: Callable[[str], int], *, most_bytes: int = _MOST_BYTES_IN_MEMORY
) -> Iterator[list[str]]:
    """Cut a list of files into parts of what may be in memory at the same time; one large file is a part."""
    part: list[str] = []
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


def _make_places(sweep: str) -> dict[tuple[str, ...], bool]:
    """Say in which folders below the wandb folder runs are looked for, and whether they are the sweep's alone."""
    shared: dict[tuple[str, ...], bool] = {(): False, **{(name,): False for name in WANDB_NAMES}}
    return {**shared, (sweep,): True, **{(sweep, name): True for name in WANDB_NAMES}}


def _find_place(parts: list[str], places: dict[tuple[str, ...], bool] | None) -> tuple[int, bool] | None:
    """Find the run folder in a path: its depth, and whether it lies where only the sweep's runs do.

    Without `places`, in a sweep folder, that is directly in the first `wandb` folder of the path.
    """
    if places is None:
        depth = next((depth for depth, part in enumerate(parts) if part in WANDB_NAMES), len(parts)) + 1
        while depth < len(parts) and parts[depth] in WANDB_NAMES:
            depth += 1
        return (depth, True) if depth < len(parts) and is_run_name(parts[depth]) else None
    for depth, part in enumerate(parts[:3]):
        if is_run_name(part):
            is_inside = places.get(tuple(parts[:depth]))
            return None if is_inside is None else (depth, is_inside)
    return None


def _add_entry(folder: _Folder, rest: list[str], entry: Entry) -> None:
    if not rest:
        folder.is_symlink = entry.kind is not EntryKind.FOLDER
    elif len(rest) == 1 and entry.kind is EntryKind.FILE and rest[0] not in folder.names:
        folder.names.add(rest[0])
        if rest[0].startswith("run-") and rest[0].endswith(".wandb"):
            folder.logs.append(entry)


def _make_candidate(key: tuple[str, str], folder: _Folder) -> Candidate:
    prefix, name = key
    if not folder.logs:
        return Candidate(name, prefix, is_inside=folder.is_inside)
    log = max(folder.logs, key=lambda entry: (entry.size, entry.path))
    log_name = log.path.rpartition("/")[2]
    return Candidate(
        name,
        prefix,
        log=log_name,
        log_size=log.size,
        log_mtime_ns=log.mtime_ns,
        has_upload_mark=f"{log_name}.synced" in folder.names,
        is_inside=folder.is_inside,
    )


def _iter_symlink_problems(
    symlinks: Sequence[tuple[str, str]], folders: Mapping[tuple[str, str], _Folder]
) -> Iterator[Problem]:
    hint = "Move the folder there in place of the symlink."
    for prefix, name in symlinks:
        if folders[prefix, name].is_inside:
            message = f"The run folder is a symlink and was left out: {prefix}/{name}"
            yield Problem(name, "symlinked_run", message, hint)
    shared = [name for prefix, name in symlinks if not folders[prefix, name].is_inside]
    if shared:
        message = f"Run folders that are symlinks are not looked into: {_join_names(shared)}"
        yield Problem(shared[0], "symlinked_run", message, hint, is_failure=False)


def _make_double_problem(name: str, members: Sequence[Member]) -> Problem:
    places = " and ".join(member.candidate.path for member in members)
    message = f"There are {len(members)} run folders of this name, so none is sent: {places}"
    return Problem(name, "double_run", message, "Delete or rename the copy that is not needed.")


def _iter_unknown_problems(unknown: Sequence[Candidate], sweep: str) -> Iterator[Problem]:
    """Name the runs whose log says nothing yet, newest first, in one line however many there are.

    A run that began on a day before the sweep cannot be its own.
    """
    began = parse_timestamp(sweep)[:8]
    names = sorted((candidate.name for candidate in unknown), key=parse_timestamp, reverse=True)
    names = [name for name in names if not began or not parse_timestamp(name) or parse_timestamp(name) >= began]
    if names:
        one = len(names) == 1
        message = (
            f"{'This run has' if one else f'{len(names)} runs have'} written nothing yet that says whose "
            f"{'it is' if one else 'they are'}, not sent: {_join_names(names)}"
        )
        hint = "Sync again later. A run that died that early stays so."
        yield Problem(names[0], "membership_unknown", message, hint, is_failure=False)


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
