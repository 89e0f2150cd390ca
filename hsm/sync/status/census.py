"""Census of the sweeps at one place: their runs by state, and their files, out of one survey of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.discover.index import RunIndex
from hsm.discover.membership import Candidate, Membership, decide_membership, iter_sweep_names, make_run
from hsm.discover.results import is_own
from hsm.discover.run_logs import read_facts
from hsm.discover.sweeps import WANDB_NAMES, Sweep, is_run_name
from hsm.discover.wandb_runs import find_candidates
from hsm.endpoint import Endpoint, Listing
from hsm.model import Entry, EntryKind, RunState
from hsm.wandb_log.facts import LogFacts

_Candidates = Sequence[Candidate]


@dataclass(slots=True)
class FileTotal:
    """Files added up.

    Attributes:
        n_files: Number of files.
        n_bytes: Their bytes.
        newest_ns: The newest time of any of them; 0 where there is none.
    """

    n_files: int = 0
    n_bytes: int = 0
    newest_ns: int = 0

    def add(self, n_files: int, n_bytes: int, newest_ns: int) -> None:
        """Add files."""
        self.n_files += n_files
        self.n_bytes += n_bytes
        self.newest_ns = max(self.newest_ns, newest_ns)


@dataclass(frozen=True, slots=True)
class SweepCount:
    """Count of one sweep: its runs by state, the files of its folder and its runs."""

    states: Counter[RunState] = field(default_factory=Counter)
    files: FileTotal = field(default_factory=FileTotal)


def take_census(
    endpoint: Endpoint,
    sweeps: Sequence[Sweep],
    folders: Mapping[str, Listing],
    wandb: Listing,
    index: RunIndex,
    *,
    now_ns: int,
) -> list[tuple[str, SweepCount]]:
    """Count all sweeps of a place.

    Args:
        endpoint: Reads the logs that the index does not know.
        sweeps: Those of the place.
        folders: Everything in each sweep's folder, by its path.
        wandb: Everything in the wandb folder, where runs of all sweeps may lie together.
        index: Facts of logs that were read before; takes those that are read.
        now_ns: The clock there; 0 where unknown.

    Returns:
        The sweeps' ids in their order, each with its count.
    """
    runs: dict[str, FileTotal] = {}
    rests = {path: _sum_files(listing, runs, is_sweep=True) for path, listing in folders.items()}
    _sum_files(wandb, runs, is_sweep=False)
    shared, inside = _find_candidates(sweeps, folders, wandb)
    everything = [*shared, *(candidate for found in inside.values() for candidate in found)]
    facts = read_facts(endpoint, everything, index=index)
    members = _sort_members(shared, inside, facts, {sweep.id for sweep in sweeps})
    counts: list[tuple[str, SweepCount]] = []
    for sweep in sweeps:
        count = SweepCount(files=rests.get(sweep.path, FileTotal()))
        for candidate in members.get(sweep.id, {}).values():
            files = runs.get(candidate.path, FileTotal())
            count.files.add(files.n_files, files.n_bytes, files.newest_ns)
            run = make_run(candidate, facts[candidate.path], newest_ns=files.newest_ns, now_ns=now_ns)
            count.states[run.state] += 1
        counts.append((sweep.id, count))
    return counts


def _sum_files(listing: Listing, runs: dict[str, FileTotal], *, is_sweep: bool) -> FileTotal:
    """Add up the files of each run folder, into `runs` by its path, and in a sweep folder those of no run."""
    rest = FileTotal()
    for entry in listing.entries:
        if entry.kind is not EntryKind.FILE:
            continue
        parts = entry.path.split("/")
        depth = next((depth for depth, part in enumerate(parts[:-1]) if is_run_name(part)), None)
        # In a sweep's folder only what lies in a folder `wandb` is a run: a user may name any folder `run-...`.
        if depth is not None and (not is_sweep or (depth and parts[depth - 1] in WANDB_NAMES)):
            path = "/".join([listing.base, *parts[: depth + 1]])
            runs.setdefault(path, FileTotal()).add(1, entry.size, entry.mtime_ns)
        elif not is_own(parts) and WANDB_NAMES.isdisjoint(parts[:-1]):
            rest.add(1, entry.size, entry.mtime_ns)
    return rest


def _find_candidates(
    sweeps: Iterable[Sweep], folders: Mapping[str, Listing], wandb: Listing
) -> tuple[_Candidates, dict[str, _Candidates]]:
    """Find the run folders that lie where all sweeps' do, and those that lie with one sweep, by its id."""
    by_top: dict[str, list[Entry]] = {}
    for entry in wandb.entries:
        top = entry.path.partition("/")[0]
        is_shared = is_run_name(top) or top in WANDB_NAMES
        by_top.setdefault("" if is_shared else top, []).append(entry)

    def list_part(top: str) -> Listing:
        return Listing(wandb.base, wandb.kind, tuple(by_top.get(top, ())))

    shared, _ = find_candidates((), list_part(""), None)
    inside: dict[str, _Candidates] = {
        sweep.id: find_candidates([sweep.id], list_part(sweep.id), folders.get(sweep.path))[0] for sweep in sweeps
    }
    return shared, inside


def _sort_members(
    shared: Iterable[Candidate],
    inside: Mapping[str, Iterable[Candidate]],
    facts: Mapping[str, LogFacts],
    known: set[str],
) -> dict[str, dict[str, Candidate]]:
    """Sort candidates into their sweeps, by sweep and name; of two of one name one counts."""
    members: dict[str, dict[str, Candidate]] = {}
    for sweep, candidate in [*_iter_shared(shared, facts, known), *_iter_inside(inside, facts, known)]:
        members.setdefault(sweep, {})[candidate.name] = candidate
    return members


def _iter_shared(
    shared: Iterable[Candidate], facts: Mapping[str, LogFacts], known: set[str]
) -> Iterator[tuple[str, Candidate]]:
    """Yield runs that lie together with those of other sweeps: their log decides."""
    for candidate in shared:
        for sweep in known.intersection(iter_sweep_names(facts[candidate.path])):
            yield sweep, candidate


def _iter_inside(
    inside: Mapping[str, Iterable[Candidate]], facts: Mapping[str, LogFacts], known: set[str]
) -> Iterator[tuple[str, Candidate]]:
    """Yield runs that lie with one sweep: the place decides, unless the log names another sweep."""
    for sweep, found in inside.items():
        for candidate in found:
            names, is_told = iter_sweep_names(facts[candidate.path]), bool(facts[candidate.path].run_id)
            membership = decide_membership(candidate, names, is_told=is_told, sweep=sweep, known_sweeps=known)
            if membership is Membership.YES:
                yield sweep, candidate
