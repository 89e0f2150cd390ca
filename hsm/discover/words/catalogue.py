"""Catalogue of a project: all its runs, and the sweeps that are no folders. It reads the log of every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hsm.discover.index import RunIndex
from hsm.discover.kinds.agent_files import read_agent_names
from hsm.discover.kinds.claims import RunClaims
from hsm.discover.kinds.receipts import Listed, find_all_receipts, make_receipt_trees, read_listed
from hsm.discover.membership import Candidate, Membership
from hsm.discover.run_logs import read_facts
from hsm.discover.sweeps import Layout, Sweep, parse_timestamp
from hsm.discover.wandb_runs import find_candidates, make_wandb_tree
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import SweepKind
from hsm.sweep_folder import LOOSE, assign_ids
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
    """

    candidate: Candidate
    facts: LogFacts
    names: frozenset[str] = frozenset()
    inside: str = ""
    is_loose: bool = False


@dataclass(frozen=True)
class Catalogue:
    """All runs of a project, and the sweeps that are no folders.

    Attributes:
        runs: By the place of their folders.
        sweeps: Oldest first; the loose runs, if there are any, last.
        counts: The number of runs by the sweep's id.
        listed: What receipts say, by the sweep's id.
    """

    runs: tuple[KnownRun, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    listed: Mapping[str, Listed] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, Sweep]:
        """The sweeps that bear a name of logs, by that name."""
        return {sweep.name: sweep for sweep in self.sweeps if sweep.kind is SweepKind.WANDB}

    @cached_property
    def group_names(self) -> frozenset[str]:
        """The names that some log gives as a group; W&B's own sweeps are the others."""
        return frozenset(run.facts.group for run in self.runs if run.facts.group)


def read_catalogue(
    endpoint: Endpoint, layout: Layout, folders: Sequence[Sweep], *, index: RunIndex, is_deep: bool = False
) -> Catalogue:
    """Read the catalogue, in one survey.

    Args:
        endpoint: The machine that the project lies on.
        layout: Its places, with all wandb folders.
        folders: Its folder sweeps.
        index: The cache of logs; takes what is read.
        is_deep: With the runs that lie deeper in the folders of sweeps than wandb folders are searched for.
    """
    ids = tuple(dict.fromkeys(sweep.id for sweep in folders))
    bare = tuple(sweep.id for sweep in folders if not sweep.path)
    others = (*layout.shared, *layout.inner)
    further = [*map(make_wandb_tree, others), *make_receipt_trees(layout, ids)]
    whole = [Tree(sweep.path) for sweep in folders if sweep.path] if is_deep else []
    survey = endpoint.survey([make_wandb_tree(layout.wandb, bare), *further, *whole])
    wandb, *rest = survey.listings
    shared, receipts, deep = rest[: len(others)], rest[len(others) : len(further)], rest[len(further) :]
    found = [find_candidates(bare, wandb, None, shared)[0], *(find_candidates((), None, each)[0] for each in deep)]
    candidates = tuple({candidate.path: candidate for part in found for candidate in part}.values())
    facts = read_facts(endpoint, candidates, index=index, is_wanted=lambda _: False)
    listed = read_listed(endpoint, find_all_receipts(receipts), index=index)
    claims = RunClaims(
        LOOSE,
        SweepKind.LOOSE,
        known=frozenset(ids),
        agents=read_agent_names([wandb, *shared]),
        listed={name: found.runs for name, found in listed.items()},
    )
    places = _Places(wandb, folders, bare)
    runs = tuple(
        _make_run(candidate, facts[candidate.path], claims, places, now_ns=survey.machine.clock_ns)
        for candidate in candidates
    )
    return _make_catalogue(runs, ids, listed)


class _Places:
    """The folders in which the runs of one folder sweep lie."""

    def __init__(self, wandb: Listing, folders: Iterable[Sweep], bare: Iterable[str]) -> None:
        self._places = {f"{wandb.base}/{sweep}": sweep for sweep in bare}
        self._places |= {sweep.path: sweep.id for sweep in folders if sweep.path}

    def find(self, folder: str) -> str:
        """Find the sweep in whose place a folder lies; empty for none."""
        parts = folder.split("/")
        for count in range(len(parts), 1, -1):
            if sweep := self._places.get("/".join(parts[:count])):
                return sweep
        return ""


def _make_run(candidate: Candidate, facts: LogFacts, claims: RunClaims, places: _Places, *, now_ns: int) -> KnownRun:
    inside = places.find(candidate.prefix)
    decided = Membership.NO if inside else claims.decide(candidate, facts)
    is_resting = decided is Membership.UNKNOWN and not facts.is_foreign and claims.is_loose(candidate, now_ns=now_ns)
    is_loose = decided is Membership.YES or is_resting
    return KnownRun(candidate, facts, claims.find_names(candidate, facts), inside, is_loose)


def _make_catalogue(runs: tuple[KnownRun, ...], folders: Sequence[str], listed: Mapping[str, Listed]) -> Catalogue:
    ids = assign_ids({name for run in runs for name in run.names}, folders)
    members: dict[str, list[str]] = {}
    for run in runs:
        for sweep in _iter_sweeps(run, ids):
            members.setdefault(sweep, []).append(run.candidate.name)
    found = [Sweep(ids[name], kind=SweepKind.WANDB, name=name) for name in ids if ids[name] not in folders]
    found.sort(key=lambda sweep: (_find_age(sweep, members.get(sweep.id, ())), sweep.id))
    if LOOSE in members:
        found.append(Sweep(LOOSE, kind=SweepKind.LOOSE))
    counts = {sweep: len(set(names)) for sweep, names in members.items()}
    return Catalogue(runs, tuple(found), counts, listed)


def _iter_sweeps(run: KnownRun, ids: Mapping[str, str]) -> Iterator[str]:
    yield from dict.fromkeys(ids[name] for name in run.names)
    if run.is_loose:
        yield LOOSE


def _find_age(sweep: Sweep, runs: Iterable[str]) -> str:
    """Find when a sweep began its newest run, as digits; by its own name where no run tells."""
    return max((parse_timestamp(name) for name in runs), default="") or parse_timestamp(sweep.id)
