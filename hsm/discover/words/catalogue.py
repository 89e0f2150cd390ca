"""Catalogue of a project: all its runs, and the sweeps that are no folders. It reads the log of every run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property

from hsm.discover.index import RunIndex
from hsm.discover.kinds.agent_files import read_agent_names
from hsm.discover.kinds.claims import RunClaims
from hsm.discover.kinds.hydra import find_jobs, make_hydra_sweep
from hsm.discover.kinds.receipts import Listed, find_all_receipts, read_listed
from hsm.discover.membership import Candidate, Membership
from hsm.discover.results import is_own
from hsm.discover.run_logs import read_facts
from hsm.discover.sweeps import Layout, Sweep, parse_timestamp
from hsm.discover.words.run_places import PlacedRun, RunListings, find_placed_runs, look_for_runs
from hsm.endpoint import Endpoint, Listing
from hsm.model import SweepKind
from hsm.sweep_folder import LOOSE, assign_ids, sweep_folder
from hsm.wandb_log.facts import LogFacts


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run folder of the project.

    Attributes:
        candidate: The folder.
        facts: Of its log.
        names: Of W&B sweeps and groups that it bears.
        inside: The id of the folder sweep in whose place it lies; empty where it lies with others'.
        is_loose: No sweep claims it.
        is_deep: As of a `PlacedRun`.
        hydra: Ids of the sweeps whose folder its arguments name, as submitit starts it.
    """

    candidate: Candidate
    facts: LogFacts
    names: frozenset[str] = frozenset()
    inside: str = ""
    is_loose: bool = False
    is_deep: bool = False
    hydra: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Catalogue:
    """All runs of a project, and the sweeps that are no folders.

    Attributes:
        runs: By the place of their folders.
        sweeps: Oldest first; the loose runs, if there are any, last.
        counts: The number of runs by the sweep's id.
        listed: What receipts say, by the sweep's id.
        blocked: A folder of results that has the id of the loose runs; empty where there is none.
        jobs: The number of jobs by the id of a Hydra sweep.
    """

    runs: tuple[KnownRun, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    listed: Mapping[str, Listed] = field(default_factory=dict)
    blocked: str = ""
    jobs: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Sweep]:
        """The sweeps that bear a name of logs, by that name."""
        return {sweep.name: sweep for sweep in self.sweeps if sweep.kind is SweepKind.WANDB}

    @cached_property
    def group_names(self) -> frozenset[str]:
        """The names that some log gives as a group; W&B's own sweeps are the others."""
        return frozenset(run.facts.group for run in self.runs if run.facts.group)


def read_catalogue(
    endpoint: Endpoint,
    layout: Layout,
    folders: Sequence[Sweep],
    *,
    index: RunIndex,
    is_deep: bool = False,
    synced: Collection[str] = (),
) -> Catalogue:
    """Read the catalogue, in one survey.

    Args:
        endpoint: The machine that the project lies on.
        layout: Its places, with all wandb folders.
        folders: Its folder sweeps.
        index: The cache of logs; takes what is read.
        is_deep: With the runs that lie deeper in the folders of sweeps than wandb folders are searched for.
        synced: Ids under which sweeps were brought before, which they keep.
    """
    ids = tuple(dict.fromkeys(sweep.id for sweep in folders))
    hydra = [make_hydra_sweep(layout, place) for place in layout.hydra]
    seen = look_for_runs(endpoint, layout, [*folders, *hydra], with_folders=is_deep)
    placed = find_placed_runs(seen, ids)
    facts = read_facts(endpoint, [run.candidate for run in placed], index=index, is_wanted=lambda _: False)
    listed = read_listed(endpoint, find_all_receipts(seen.receipts), index=index)
    return make_catalogue(seen, placed, facts, listed, ids, synced=synced)


def make_catalogue(
    seen: RunListings,
    placed: Iterable[PlacedRun],
    facts: Mapping[str, LogFacts],
    listed: Mapping[str, Listed],
    ids: Sequence[str],
    *,
    synced: Collection[str] = (),
) -> Catalogue:
    """Make the catalogue of what was seen. Pure.

    Args:
        seen: The places of runs.
        placed: The run folders that were found there.
        facts: Of their logs, by folder.
        listed: What the receipts say, by the sweep's id.
        ids: Of the folder sweeps.
        synced: As of `read_catalogue`.
    """
    hydra = {sweep: listing for sweep, listing in seen.folders.items() if sweep.kind is SweepKind.HYDRA}
    claims = RunClaims(
        LOOSE,
        SweepKind.LOOSE,
        known=frozenset(ids),
        agents=read_agent_names([seen.wandb, *seen.shared, *(listing for _, listing in seen.inner)]),
        listed={name: found.runs for name, found in listed.items()},
        places={name: sweep_folder(name) for name in ids} | {sweep.id: sweep.place for sweep in hydra},
    )
    runs = tuple(_make_run(run, facts[run.candidate.path], claims, now_ns=seen.now_ns) for run in placed)
    blocked = next((folder.base for folder in seen.loose if _holds_results(folder)), "")
    jobs = {sweep.id: len(find_jobs(listing, is_folder_sweep=False)) for sweep, listing in hydra.items()}
    return replace(_make_catalogue(runs, ids, tuple(hydra), listed, synced), blocked=blocked, jobs=jobs)


def _holds_results(folder: Listing) -> bool:
    return any(not is_own(entry.path.split("/")) for entry in folder.entries if entry.path)


def _make_run(run: PlacedRun, facts: LogFacts, claims: RunClaims, *, now_ns: int) -> KnownRun:
    candidate = run.candidate
    decided = Membership.NO if run.inside else claims.decide(candidate, facts)
    is_resting = decided is Membership.UNKNOWN and not facts.is_foreign and claims.is_loose(candidate, now_ns=now_ns)
    is_loose = decided is Membership.YES or is_resting
    names, hydra = claims.find_names(candidate, facts), claims.find_hydra_sweeps(facts)
    return KnownRun(candidate, facts, names, run.inside, is_loose, run.is_deep, hydra)


def _make_catalogue(
    runs: tuple[KnownRun, ...],
    folders: Sequence[str],
    hydra: Sequence[Sweep],
    listed: Mapping[str, Listed],
    synced: Collection[str],
) -> Catalogue:
    shared = [run for run in runs if not run.is_deep]
    ids = assign_ids({name for run in shared for name in run.names}, [*folders, *synced])
    members: dict[str, list[str]] = {}
    listed_by_run = _find_listed(hydra, listed)
    for run in shared:
        for sweep in _iter_sweeps(run, ids, {sweep.id for sweep in hydra}, listed_by_run):
            members.setdefault(sweep, []).append(run.candidate.name)
    found = [Sweep(ids[name], kind=SweepKind.WANDB, name=name) for name in ids if ids[name] not in folders]
    found += hydra
    found.sort(key=lambda sweep: (_find_age(sweep, members.get(sweep.id, ())), sweep.id))
    if LOOSE in members:
        found.append(Sweep(LOOSE, kind=SweepKind.LOOSE))
    counts = {sweep: len(set(names)) for sweep, names in members.items()}
    return Catalogue(runs, tuple(found), counts, listed)


def _iter_sweeps(
    run: KnownRun, ids: Mapping[str, str], hydra: AbstractSet[str], listed_by_run: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    yield from dict.fromkeys(ids[name] for name in run.names)
    yield from hydra & {run.inside, *run.hydra, *listed_by_run.get(run.candidate.name, ())}
    if run.is_loose:
        yield LOOSE


def _find_listed(hydra: Iterable[Sweep], listed: Mapping[str, Listed]) -> dict[str, list[str]]:
    """Find the Hydra sweeps whose receipts list a run, by the run's name."""
    found: dict[str, list[str]] = {}
    for sweep in hydra:
        for name in listed[sweep.id].runs if sweep.id in listed else ():
            found.setdefault(name, []).append(sweep.id)
    return found


def _find_age(sweep: Sweep, runs: Iterable[str]) -> str:
    """Find when a sweep began its newest run, as digits; by its own name where no run tells."""
    return max((parse_timestamp(name) for name in runs), default="") or parse_timestamp(sweep.id)
