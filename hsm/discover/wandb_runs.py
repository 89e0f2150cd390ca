"""Finder of the wandb run folders that belong to a sweep."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.discover.index import RunIndex
from hsm.discover.membership import Candidate, Membership, decide_membership, iter_sweep_names
from hsm.discover.run_logs import read_facts
from hsm.discover.sweeps import WANDB_NAMES, is_run_name, parse_timestamp
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Entry, EntryKind, Problem
from hsm.wandb_log.facts import LogFacts

SYMLINKED_RUN = "symlinked_run"
DOUBLE_RUN = "double_run"
MEMBERSHIP_UNKNOWN = "membership_unknown"
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Member:
    """A run of the sweep, and the facts of its log."""

    candidate: Candidate
    facts: LogFacts


@dataclass(slots=True)
class _Folder:
    """One run folder, as a listing shows it."""

    is_inside: bool
    is_symlink: bool = False
    logs: list[Entry] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)


def make_wandb_tree(wandb: str, sweep: str) -> Tree:
    """Make the request for the wandb folder, just deep enough for the logs of the runs that may be the sweep's.

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
    """Choose the candidates that belong to a sweep, reading the logs that `index` does not know.

    Args:
        endpoint: The machine that they lie on.
        candidates: From `find_candidates`.
        sweep: The sweep's id.
        known_sweeps: The ids of all sweeps of the project.
        index: The cache of their logs; takes what is read, and drops logs that are gone.

    Returns:
        The members by name, and problems of runs that cannot be told or must not be sent. Of two run folders of one
        name neither is a member, since they would land in one folder.
    """

    def is_wanted(facts: LogFacts) -> bool:
        """Tell whether a run may be the sweep's; one that names another sweep of the project is not."""
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


def _make_places(sweep: str) -> dict[tuple[str, ...], bool]:
    """Make the folders below the wandb folder that may hold runs, each with True where they are the sweep's alone."""
    shared: dict[tuple[str, ...], bool] = {(): False, **{(name,): False for name in WANDB_NAMES}}
    return {**shared, (sweep,): True, **{(sweep, name): True for name in WANDB_NAMES}}


def _find_place(parts: list[str], places: dict[tuple[str, ...], bool] | None) -> tuple[int, bool] | None:
    """Find the run folder in a path: its depth, and whether its place is the sweep's alone.

    Without `places`, in a sweep folder, it lies directly in the first `wandb` folder of the path.
    """
    if places is None:
        depth = next((depth for depth, part in enumerate(parts) if part in WANDB_NAMES), len(parts)) + 1
        while depth < len(parts) and parts[depth] in WANDB_NAMES:  # `wandb/wandb`, where WANDB_DIR names a wandb folder
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
    elif len(rest) == 1 and entry.kind is EntryKind.FILE and rest[0] not in folder.times:  # it may be in both listings
        folder.times[rest[0]] = entry.mtime_ns
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
        # A mark that is older than its log is none: the run has gone on since, and the upload is not of all of it.
        has_upload_mark=folder.times.get(f"{log_name}.synced", -1) >= log.mtime_ns,
        is_inside=folder.is_inside,
    )


def _iter_symlink_problems(
    symlinks: Sequence[tuple[str, str]], folders: Mapping[tuple[str, str], _Folder]
) -> Iterator[Problem]:
    hint = "Move the folder there in place of the symlink."
    for prefix, name in symlinks:
        if folders[prefix, name].is_inside:
            message = f"The run folder is a symlink and was left out: {prefix}/{name}"
            yield Problem(name, SYMLINKED_RUN, message, hint)
    shared = [name for prefix, name in symlinks if not folders[prefix, name].is_inside]
    if shared:
        message = f"Run folders that are symlinks are not looked into: {_join_names(shared)}"
        yield Problem(shared[0], SYMLINKED_RUN, message, hint, is_failure=False)


def _make_double_problem(name: str, members: Sequence[Member]) -> Problem:
    places = " and ".join(member.candidate.path for member in members)
    message = f"There are {len(members)} run folders of this name, so none is sent: {places}"
    return Problem(name, DOUBLE_RUN, message, "Delete or rename the copy that is not needed.")


def _iter_unknown_problems(unknown: Sequence[Candidate], sweep: str) -> Iterator[Problem]:
    """Name the runs whose log says nothing yet, newest first, in one problem for all.

    A run that began on a day before the sweep cannot belong to it.
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
        yield Problem(names[0], MEMBERSHIP_UNKNOWN, message, hint, is_failure=False)


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
