"""Finder of the wandb run folders that belong to a sweep."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hsm.discover.index import RunIndex
from hsm.discover.kinds.claims import RunClaims
from hsm.discover.membership import Candidate, Membership
from hsm.discover.run_logs import read_facts
from hsm.discover.sweeps import WANDB_NAMES, is_run_name
from hsm.discover.untold_runs import iter_unknown_problems, make_double_problem, make_foreign_problem
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Entry, EntryKind, Problem, SweepKind
from hsm.wandb_log.facts import LogFacts
from hsm.wandb_log.format import FILE_HEADER


@dataclass(frozen=True, slots=True)
class Member:
    """A run of the sweep, and the facts of its log."""

    candidate: Candidate
    facts: LogFacts


@dataclass(slots=True)
class _Folder:
    """One run folder, as a listing shows it."""

    is_inside: bool
    kind: EntryKind = EntryKind.FOLDER
    is_unreadable: bool = False
    logs: list[Entry] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)


def make_wandb_tree(wandb: str, sweeps: Iterable[str] = ()) -> Tree:
    """Make the request for a wandb folder, just deep enough for the logs of the runs that may be a sweep's.

    Those lie in the folder itself, in `<sweep>/` and `<sweep>/wandb/`, and in `wandb/` where WANDB_DIR is the
    wandb folder.

    Args:
        wandb: The folder.
        sweeps: The ids of those whose runs count that lie in a place of theirs.
    """
    places = (place for place in make_run_places(sweeps) if place)
    return Tree(wandb, names=("", *("/".join(place) for place in places)), max_depth=2)


def find_candidates(
    sweeps: Iterable[str], wandb: Listing | None, sweep_folder: Listing | None, shared: Sequence[Listing] = ()
) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """Find the run folders that may be the sweep's. Pure.

    Args:
        sweeps: As for `make_wandb_tree`.
        wandb: The answer to `make_wandb_tree`, if there is such a folder.
        sweep_folder: The sweep folder's whole listing, if there is one.
        shared: The answers for further wandb folders, in which a place says nothing.

    Returns:
        The candidates by place and name, and those that are symlinks, which have not been looked behind.
    """
    folders: dict[tuple[str, str], _Folder] = {}
    others = ((listing, make_run_places()) for listing in shared)
    for listing, places in (*others, (wandb, make_run_places(sweeps)), (sweep_folder, None)):
        for entry in listing.entries if listing else ():
            parts = entry.path.split("/")
            place = find_place(parts, places)
            if listing is not None and place is not None:
                depth, is_inside = place
                key = ("/".join([listing.base, *parts[:depth]]), parts[depth])
                folder = folders.setdefault(key, _Folder(is_inside))
                folder.is_inside = folder.is_inside or is_inside
                _add_entry(folder, parts[depth + 1 :], entry)
        for problem in listing.problems if listing else ():
            parts = problem.path.split("/")
            place = find_place(parts, places)
            # What lies deeper in a run, or beside its log, says nothing of whose it is.
            if listing is not None and place is not None and all(map(_is_log, parts[place[0] + 1 :])):
                key = ("/".join([listing.base, *parts[: place[0]]]), parts[place[0]])
                folders.setdefault(key, _Folder(place[1])).is_unreadable = True
    candidates = [(_make_candidate(key, folder), folder) for key, folder in sorted(folders.items())]
    return (
        tuple(candidate for candidate, folder in candidates if folder.kind is EntryKind.FOLDER),
        tuple(candidate for candidate, folder in candidates if folder.kind is EntryKind.SYMLINK),
    )


def find_job_runs(listings: Iterable[Listing]) -> tuple[Candidate, ...]:
    """Find the runs in the folders of Hydra sweeps, which may bear the name of another sweep as well. Pure."""
    found = (candidate for listing in listings for candidate in find_candidates((), None, listing)[0])
    return tuple(replace(candidate, is_inside=False) for candidate in found)


def leave_other_folders(candidates: Sequence[Candidate], folders: Collection[str]) -> tuple[Candidate, ...]:
    """Leave the other folders of runs that are meant by their path. Pure.

    Args:
        candidates: Of all places.
        folders: Absolute paths of run folders.
    """
    names = {folder.rpartition("/")[2] for folder in folders}
    return tuple(each for each in candidates if each.name not in names or each.path in folders)


def look_behind(endpoint: Endpoint, symlinks: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Look behind the symlinks that have names of run folders, to tell whose runs these are; one survey.

    Args:
        endpoint: The source.
        symlinks: From `find_candidates`.

    Returns:
        Those that lead to a folder, with its log, and those that lead nowhere: a disk that is not mounted may hold it.
    """
    if not symlinks:
        return ()
    listings = endpoint.survey([Tree(candidate.path, max_depth=1) for candidate in symlinks]).listings
    found = []
    for candidate, listing in zip(symlinks, listings, strict=True):
        if listing.kind is None:  # also with a problem, as of one that leads in a circle
            found.append(replace(candidate, is_dangling=True))
        elif listing.kind is EntryKind.FOLDER or listing.problems:
            folder = _Folder(candidate.is_inside, is_unreadable=bool(listing.problems))
            for entry in listing.entries:
                _add_entry(folder, entry.path.split("/") if entry.path else [], entry)
            found.append(replace(_make_candidate((candidate.prefix, candidate.name), folder), real=listing.base))
    return tuple(found)


_NO_COPIES: Mapping[str, str] = {}


def read_members(
    endpoint: Endpoint,
    candidates: Sequence[Candidate],
    *,
    claims: RunClaims,
    index: RunIndex,
    now_ns: int,
    copies: Mapping[str, str] = _NO_COPIES,
) -> tuple[tuple[Member, ...], tuple[Problem, ...]]:
    """Choose the candidates that belong to a sweep, reading the logs that `index` does not know.

    Args:
        endpoint: The machine that they lie on.
        candidates: From `find_candidates`.
        claims: Of the sweep, and of others.
        index: The cache of their logs; takes what is read, and drops logs that are gone.
        now_ns: The clock there; 0 where unknown.
        copies: Of runs that lie in two folders, one of which a sync brought: by name, the folder that holds that one.

    Returns:
        The members by name, and problems of runs that cannot be told or must not be sent. Of two run folders of one
        name neither is a member, since they would land in one folder.
    """
    facts = read_facts(endpoint, candidates, index=index, is_wanted=claims.may_be_member)
    index.drop_vanished(
        {candidate.prefix for candidate in candidates},
        {candidate.log_path for candidate in candidates if candidate.log},
    )
    members: dict[str, list[Member]] = {}
    unknown: list[Candidate] = []
    for candidate in candidates:
        found = facts[candidate.path]
        membership = claims.decide(candidate, found)
        if membership is Membership.UNKNOWN and not found.is_foreign and claims.is_loose(candidate, now_ns=now_ns):
            membership = Membership.YES if claims.kind is SweepKind.LOOSE else Membership.NO
        if candidate.is_dangling:
            unknown.append(candidate)
        elif membership is Membership.YES:
            members.setdefault(candidate.name, []).append(Member(candidate, found))
        elif membership is Membership.UNKNOWN:
            # A log that holds something and of which nothing came.
            is_unread = found.is_empty and candidate.log_size > len(FILE_HEADER)
            unknown.append(replace(candidate, is_unreadable=candidate.is_unreadable or is_unread))
    single = _leave_second_names(members)
    single.update({name: [_choose_copy(single[name], folder)] for name, folder in copies.items() if name in single})
    problems = [
        make_double_problem(name, [member.candidate.path for member in found], is_at_source=True)
        for name, found in single.items()
        if len(found) > 1
    ]
    taken = [found[0] for found in single.values() if len(found) == 1]
    problems.extend(make_foreign_problem(run.candidate.name, run.facts) for run in taken if run.facts.is_foreign)
    problems.extend(iter_unknown_problems(unknown, claims.sweep, facts))
    return tuple(taken), tuple(problems)


def _choose_copy(found: Sequence[Member], folder: str) -> Member:
    """Choose between a run where it was made and the copy that a sync brought: the copy, unless the run went on since.

    What was verified is the copy, and a clean elsewhere relies on it. A log only grows, and not after its exit record.
    """
    copy = next((member for member in found if member.candidate.prefix == folder), found[0])
    longest = max(found, key=lambda member: member.candidate.log_size)
    has_gone_on = copy.facts.exit_code is None and longest.candidate.log_size > copy.candidate.log_size
    return longest if has_gone_on else copy


def _leave_second_names(members: Mapping[str, Sequence[Member]]) -> dict[str, list[Member]]:
    """Leave the symlinks to run folders that are members by themselves, or by another symlink of the same name."""
    own = {member.candidate.path for found in members.values() for member in found if not member.candidate.real}
    single: dict[str, list[Member]] = {}
    for name, found in sorted(members.items()):
        folders: dict[str, Member] = {}
        for member in found:
            if member.candidate.real not in own:
                folders.setdefault(member.candidate.real or member.candidate.path, member)
        if folders:
            single[name] = list(folders.values())
    return single


def make_run_places(sweeps: Iterable[str] = ()) -> dict[tuple[str, ...], bool]:
    """Make the folders below a wandb folder that may hold runs, each with True where they are one sweep's alone.

    Args:
        sweeps: The ids of those whose runs count too.
    """
    places: dict[tuple[str, ...], bool] = {(): False, **{(name,): False for name in WANDB_NAMES}}
    for sweep in sweeps:
        places[(sweep,)] = True
        places.update({(sweep, name): True for name in WANDB_NAMES})
    return places


def find_place(parts: list[str], places: dict[tuple[str, ...], bool] | None) -> tuple[int, bool] | None:
    """Find the run folder in a path: its depth, and whether its place is the sweep's alone.

    Args:
        parts: The path's names.
        places: Of the wandb folder. Without them, in a sweep folder, it lies directly in the first `wandb` folder of
            the path.
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
        folder.kind = entry.kind
    elif len(rest) == 1 and entry.kind is EntryKind.FILE and rest[0] not in folder.times:  # it may be in both listings
        folder.times[rest[0]] = entry.mtime_ns
        if _is_log(rest[0]):
            folder.logs.append(entry)
    elif len(rest) == 1 and entry.kind is EntryKind.SYMLINK and _is_log(rest[0]):
        folder.is_unreadable = True  # its own time would not tell whether it rests


def _is_log(name: str) -> bool:
    return name.startswith("run-") and name.endswith(".wandb")


def _make_candidate(key: tuple[str, str], folder: _Folder) -> Candidate:
    prefix, name = key
    if not folder.logs:
        newest_ns = max(folder.times.values(), default=0)
        return Candidate(
            name, prefix, is_inside=folder.is_inside, is_unreadable=folder.is_unreadable, newest_ns=newest_ns
        )
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
        is_unreadable=folder.is_unreadable,
        newest_ns=max(folder.times.values(), default=0),
    )
