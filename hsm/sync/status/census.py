"""Census of the sweeps of all kinds at one place: their runs by state, and their files, out of one survey.

A run counts where `hsm.discover.inventory.read_inventory` would find it. What the inventories of all sweeps would ask
run by run and sweep by sweep is asked here once for each run: 51 sweeps and 10,000 runs are half a million questions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hsm.discover.index import RunIndex
from hsm.discover.kinds.hydra import find_jobs, make_hydra_sweep
from hsm.discover.kinds.receipts import Listed, find_all_receipts, judge_kind, read_listed
from hsm.discover.membership import Candidate, Membership, decide_membership, make_ids, make_run
from hsm.discover.results import is_own
from hsm.discover.run_logs import read_facts
from hsm.discover.sweeps import WANDB_NAMES, Layout, Sweep, is_run_name, parse_timestamp
from hsm.discover.words.catalogue import Catalogue, KnownRun, make_catalogue
from hsm.discover.words.run_places import RunListings, find_placed_runs, look_for_runs
from hsm.endpoint import Endpoint, Listing
from hsm.model import EntryKind, RunState, SweepKind

_NOTHING = Listed()


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
    """Count of one sweep: its runs by state, the files of its folder and its runs.

    Attributes:
        sweep: The sweep, with the kind that it has by its receipts where its folder holds nothing else.
        states: The number of its runs in each state.
        files: Of its folder and its runs.
        began: The time in its id, else the newest in its runs' names, as digits; empty for none.
        wandb: The folders in which its runs lie, each once, with the names that the layout has for them.
    """

    sweep: Sweep
    states: Counter[RunState] = field(default_factory=Counter)
    files: FileTotal = field(default_factory=FileTotal)
    began: str = ""
    wandb: tuple[str, ...] = ()


def take_census(
    endpoint: Endpoint, layout: Layout, folders: Sequence[Sweep], index: RunIndex, *, synced: Collection[str] = ()
) -> list[SweepCount]:
    """Count all sweeps of a place.

    Args:
        endpoint: The machine that it lies on.
        layout: Its places, with all wandb folders and those of Hydra sweeps.
        folders: Its folder sweeps.
        index: Facts of logs that were read before; takes those that are read.
        synced: Ids under which sweeps were brought before, which they keep.

    Returns:
        The folders in their order, then the other sweeps, oldest first; the loose runs, if there are any, last.
    """
    ids = tuple(dict.fromkeys(sweep.id for sweep in folders))
    hydra = [make_hydra_sweep(layout, place) for place in layout.hydra]
    seen = look_for_runs(endpoint, layout, [*folders, *hydra], with_folders=True, with_files=True)
    placed = find_placed_runs(seen, ids)
    facts = read_facts(endpoint, [run.candidate for run in placed], index=index)
    listed = read_listed(endpoint, find_all_receipts(seen.receipts), index=index)
    catalogue = make_catalogue(seen, placed, facts, listed, ids, synced=synced)
    runs: dict[str, FileTotal] = {}
    rests = {sweep: _sum_files(listing, runs, is_sweep=True) for sweep, listing in seen.folders.items()}
    for listing in (seen.wandb, *seen.shared):
        _sum_files(listing, runs, is_sweep=False)
    bases = (seen.wandb.base, *(listing.base for listing in seen.shared))
    names = dict(zip(bases, (layout.wandb, *layout.shared), strict=True))
    members = _Members(seen, catalogue, ids)
    counts = []
    for sweep in (*folders, *catalogue.sweeps):
        kind = judge_kind(sweep, seen.folders.get(sweep), listed.get(sweep.id, _NOTHING))
        found = members.find(sweep)
        states, files = _count(found.values(), runs, rests.get(sweep, FileTotal()), now_ns=seen.now_ns)
        if sweep.kind is SweepKind.HYDRA and sweep in seen.folders:
            states = _count_jobs(seen.folders[sweep], found.values()) or states
        began = parse_timestamp(sweep.id) or max(map(parse_timestamp, found), default="")
        wandb = dict.fromkeys(_name_folder(run.candidate.prefix, names) for run in found.values())
        counts.append(SweepCount(replace(sweep, kind=kind), states, files, began, tuple(wandb)))
    return counts


def _count(
    members: Iterable[KnownRun], runs: Mapping[str, FileTotal], files: FileTotal, *, now_ns: int
) -> tuple[Counter[RunState], FileTotal]:
    """Count runs by state, and add their files to those of the sweep's folder."""
    states: Counter[RunState] = Counter()
    for run in members:
        own = runs.get(run.candidate.path, FileTotal())
        files.add(own.n_files, own.n_bytes, own.newest_ns)
        states[make_run(run.candidate, run.facts, newest_ns=own.newest_ns, now_ns=now_ns).state] += 1
    return states, files


def _count_jobs(folder: Listing, members: Collection[KnownRun]) -> Counter[RunState]:
    """Count the jobs of a Hydra sweep; nothing where each of them has one run below it, whose state is the job's."""
    jobs = frozenset(find_jobs(folder, is_folder_sweep=False))
    places = (run.candidate.prefix.removeprefix(f"{folder.base}/").split("/") for run in members)
    above = ("/".join(parts[:count]) for parts in places for count in range(1, len(parts) + 1))
    below = Counter(job for job in above if job in jobs)
    is_single = all(below[job] == 1 for job in jobs) and below.total() == len(members)
    return Counter() if is_single else Counter({RunState.UNKNOWN: len(jobs)})


def _name_folder(folder: str, names: Mapping[str, str]) -> str:
    """Name a wandb folder as the layout does, which need not be its real path."""
    for base, name in names.items():
        if f"{folder}/".startswith(f"{base}/"):
            return f"{name}{folder[len(base) :]}"
    return folder


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


class _Members:
    """Finder of the runs of each sweep, as `read_inventory` finds them; of two of one name one counts.

    Args:
        seen: All places of runs.
        catalogue: Made of these.
        ids: Of the folder sweeps.
    """

    def __init__(self, seen: RunListings, catalogue: Catalogue, ids: Sequence[str]) -> None:
        self._bases = {sweep: listing.base for sweep, listing in seen.folders.items()}
        self._wandb = seen.wandb.base
        self._catalogue = catalogue
        self._ids = frozenset(ids)
        self._claimed: dict[str, list[KnownRun]] = {}
        self._shared: dict[str, list[KnownRun]] = {}
        self._inside: dict[str, list[KnownRun]] = {}
        others = {sweep.id for sweep in catalogue.sweeps}
        for run in catalogue.runs:
            # A folder has the name as it is.
            for sweep in make_ids(run.names) | (run.names - others) | run.hydra if not run.is_deep else ():
                self._claimed.setdefault(sweep, []).append(run)
            by_place, place = (self._inside, run.inside) if run.inside else (self._shared, run.candidate.name)
            by_place.setdefault(place, []).append(run)

    def find(self, sweep: Sweep) -> dict[str, KnownRun]:
        """Find the runs of a sweep, by their names."""
        if sweep.kind is SweepKind.LOOSE:
            found: Iterable[KnownRun] = (run for run in self._catalogue.runs if run.is_loose)
        elif sweep.kind is SweepKind.WANDB:
            found = self._claimed.get(sweep.id, ())
        else:
            found = self._iter_own(sweep)
        return {run.candidate.name: run for run in found}

    def _iter_own(self, sweep: Sweep) -> Iterator[KnownRun]:
        """Yield the runs of a sweep with a folder: by names, by receipts, by their place."""
        listed = self._catalogue.listed.get(sweep.id, _NOTHING).runs
        yield from (run for run in self._claimed.get(sweep.id, ()) if not run.inside)
        for name in listed:
            yield from self._shared.get(name, ())
        for run in self._inside.get(sweep.id, ()):
            if self._lies_in(run.candidate, sweep) and (run.candidate.name in listed or self._is_own(run, sweep)):
                yield run

    def _is_own(self, run: KnownRun, sweep: Sweep) -> bool:
        """Tell whether a run in a sweep's place is its own: it may have been started there for another one."""
        if sweep.kind is SweepKind.HYDRA or sweep.id in run.hydra:
            return True
        candidate, is_told = replace(run.candidate, is_inside=True), bool(run.facts.run_id)
        decided = decide_membership(candidate, run.names, is_told=is_told, sweep=sweep.id, known_sweeps=self._ids)
        return decided is Membership.YES

    def _lies_in(self, candidate: Candidate, sweep: Sweep) -> bool:
        """Tell which of two folders of one id a run lies in."""
        places = (self._bases.get(sweep, ""), f"{self._wandb}/{sweep.id}")
        return any(f"{candidate.prefix}/".startswith(f"{place}/") for place in places if place)
