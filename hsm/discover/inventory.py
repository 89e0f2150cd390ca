"""Reader of one sweep at the source: its folder's files and its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hsm.discover.files.folder_links import Places, resolve_places
from hsm.discover.files.links import resolve_links
from hsm.discover.files.sweep_files import SweepFiles, read_sweep_files
from hsm.discover.index import RunIndex
from hsm.discover.kinds.agent_files import read_agent_names
from hsm.discover.kinds.claims import RunClaims
from hsm.discover.kinds.receipts import (
    Listed,
    find_all_receipts,
    find_receipts,
    is_receipt_folder,
    make_receipt_trees,
    read_listed,
)
from hsm.discover.results import Results
from hsm.discover.run_files import read_run_files, read_run_versions
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.unseen_runs import iter_shared_problems, iter_wandb_problems, list_strays
from hsm.discover.wandb_runs import find_candidates, look_behind, make_wandb_tree, read_members
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Run, RunVersions, SweepInventory, SweepKind
from hsm.plan.symlinks.folder_links import make_run_problem, settle_links


@dataclass(frozen=True, slots=True)
class _Runs:
    """Part of an inventory that is about runs."""

    runs: tuple[Run, ...] = ()
    results: Results = field(default_factory=Results)
    versions: Mapping[str, RunVersions] = field(default_factory=dict)
    listed: Listed = field(default_factory=Listed)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What lies where files and runs of a sweep may lie.

    Attributes:
        folder: Everything in the sweep's folder, if it has one.
        wandb: The wandb folder, if runs are wanted.
        shared: Further wandb folders.
        receipts: Those of all sweeps, where they tell which runs are in none.
        now_ns: The clock there; 0 where unknown.
    """

    folder: Listing | None
    wandb: Listing | None
    shared: Sequence[Listing]
    receipts: Sequence[Listing]
    now_ns: int


def read_inventory(
    endpoint: Endpoint,
    layout: Layout,
    sweep: Sweep,
    *,
    max_depth: int | None,
    index: RunIndex,
    known_sweeps: Collection[str],
    include_sweep: bool = True,
    include_runs: bool = True,
    include_versions: bool = True,
    follow: Sequence[str] | None = None,
) -> SweepInventory:
    """Read the inventory of a sweep; changes nothing at the source.

    Args:
        endpoint: The source.
        layout: The places of its results.
        sweep: From `hsm.discover.sweeps`.
        max_depth: Levels of the sweep folder to take: 1 is the files directly in it, None all.
        index: The cache of its logs; takes what is read. The caller saves it.
        known_sweeps: The ids of all sweeps of the project.
        include_sweep: Take the files of the sweep folder.
        include_runs: Take the runs.
        include_versions: Read the media that are still needed, from the whole log of each run that has several
            versions. A run whose log cannot be read whole is not in `versions`: no file of it is known to be an old
            version.
        follow: Follow symlinked folders that lead into the project or below one of these paths; None for none.
            With it, `hsm.plan.symlinks.folder_links.settle_links` makes of the answer what one target wants.
    """
    seen = _look(endpoint, layout, sweep, known_sweeps, include_runs=include_runs)
    places = resolve_places(endpoint, layout, follow) if follow is not None else None
    folder = SweepFiles()
    if seen.folder is not None:
        # Where its files do not count, runs may lie in it.
        depth = max_depth if include_sweep else 0
        folder = read_sweep_files(endpoint, seen.folder, sweep, max_depth=depth, places=places, has_runs=include_runs)
    runs = _Runs()
    if seen.wandb is not None:
        runs = _read_runs(
            endpoint,
            replace(seen, folder=folder.listing),
            seen.wandb,
            sweep,
            known_sweeps=known_sweeps,
            index=index,
            include_versions=include_versions,
            places=places,
        )
    results = folder.results
    results.add(runs.results)
    inventory = SweepInventory(
        sweep=sweep.id,
        runs=runs.runs,
        files=resolve_links(endpoint, results.files),
        versions=runs.versions,
        deeper=dict(folder.deeper) if include_sweep else {},
        max_depth=max_depth,
        problems=tuple(results.problems),
        gaps=tuple(results.gaps),
        links=tuple(results.links),
        has_folder=bool(sweep.path) and not is_receipt_folder(folder.listing),
        kind=_judge_kind(sweep, folder.listing, runs.listed),
    )
    return settle_links(inventory, "skip") if follow is None else inventory


def _look(
    endpoint: Endpoint, layout: Layout, sweep: Sweep, known_sweeps: Collection[str], *, include_runs: bool
) -> _Seen:
    """Look at everything in one session."""
    folders = [Tree(sweep.path, follow=True)] if sweep.path else []
    wandb = [make_wandb_tree(layout.wandb, _list_own_places(sweep))] if include_runs else []
    # A name may be of runs that lie in the folder of a sweep; what lies there is not loose, and no other folder's.
    others = (*layout.shared, *(layout.inner if sweep.kind is SweepKind.WANDB else ()))
    shared = [make_wandb_tree(folder) for folder in others] if include_runs else []
    asks_receipts = include_runs and sweep.kind is SweepKind.LOOSE
    receipts = make_receipt_trees(layout, known_sweeps) if asks_receipts else []
    survey = endpoint.survey([*folders, *wandb, *shared, *receipts])
    listings = iter(survey.listings)
    return _Seen(
        folder=next(listings) if folders else None,
        wandb=next(listings) if wandb else None,
        shared=[next(listings) for _ in shared],
        receipts=[next(listings) for _ in receipts],
        now_ns=survey.machine.clock_ns,
    )


def _read_runs(
    endpoint: Endpoint,
    seen: _Seen,
    wandb: Listing,
    sweep: Sweep,
    *,
    known_sweeps: Collection[str],
    index: RunIndex,
    include_versions: bool,
    places: Places | None,
) -> _Runs:
    is_loose = sweep.kind is SweepKind.LOOSE
    candidates, symlinks = find_candidates(_list_own_places(sweep), wandb, seen.folder, seen.shared)
    candidates = (*candidates, *look_behind(endpoint, symlinks))
    receipts = find_all_receipts(seen.receipts) if is_loose else {sweep.id: find_receipts(seen.folder)}
    listed = read_listed(endpoint, receipts, index=index)
    claims = RunClaims(
        sweep.id,
        sweep.kind,
        known=frozenset(known_sweeps),
        agents=read_agent_names([wandb, *seen.shared]),
        listed={name: found.runs for name, found in listed.items()},
    )
    members, untold = read_members(endpoint, candidates, claims=claims, index=index, now_ns=seen.now_ns)
    behind = [member.candidate for member in members if member.candidate.real and places is None]
    members = tuple(member for member in members if not member.candidate.real or places is not None)
    runs, results = read_run_files(endpoint, members, now_ns=seen.now_ns, places=places)
    versions = read_run_versions(endpoint, members, results.files, index=index) if include_versions else {}
    found = Results(problems=[make_run_problem(candidate.name, candidate.path) for candidate in behind])
    # Of a run that is the sweep's, or may be, more is told than that something of it cannot be read.
    told = {problem.path.partition("/")[0] for problem in (*untold, *results.problems) if problem.is_failure}
    behind_links = iter_wandb_problems(endpoint, wandb, seen.folder, sweep.id)
    unseen = [*behind_links, *iter_shared_problems(seen.shared)]
    found.problems += [problem for problem in unseen if problem.is_failure or problem.path.split("/")[0] not in told]
    found.problems += untold
    found.add(list_strays(sweep.id, wandb, seen.folder))
    found.add(results)
    return _Runs(runs, found, versions, listed.get(sweep.id, Listed()))


def _list_own_places(sweep: Sweep) -> tuple[str, ...]:
    """List the sweeps in whose places below the wandb folder runs may be the sweep's; no place holds loose runs."""
    return () if sweep.kind is SweepKind.LOOSE else (sweep.id,)


def _judge_kind(sweep: Sweep, folder: Listing | None, listed: Listed) -> SweepKind:
    """Judge what kind a sweep is whose folder holds HSM's own files alone: what its receipts say."""
    if sweep.kind is not SweepKind.FOLDER or not is_receipt_folder(folder):
        return sweep.kind
    kinds = listed.kinds - {SweepKind.FOLDER}
    return next(iter(kinds)) if len(kinds) == 1 else sweep.kind
