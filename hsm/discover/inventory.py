"""Reader of one sweep at the source: its folder's files and its runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hsm.discover.files.folder_links import Places, resolve_places
from hsm.discover.files.links import resolve_links
from hsm.discover.files.sweep_files import SweepFiles, read_sweep_files
from hsm.discover.index import RunIndex
from hsm.discover.kinds.agent_files import read_agent_names
from hsm.discover.kinds.claims import RunClaims
from hsm.discover.kinds.hydra import (
    check_places,
    list_hydra_trees,
    make_claimed_places,
    make_hydra_sweep,
)
from hsm.discover.kinds.receipts import (
    Listed,
    find_all_receipts,
    find_receipts,
    is_receipt_folder,
    judge_kind,
    make_receipt_trees,
    read_listed,
)
from hsm.discover.kinds.synced_runs import find_synced_copies
from hsm.discover.results import Results
from hsm.discover.run_files import read_run_files, read_run_versions
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.unseen_runs import iter_shared_problems, iter_wandb_problems, list_strays
from hsm.discover.untold_runs import iter_unknown_problems
from hsm.discover.wandb_runs import (
    Member,
    find_candidates,
    find_job_runs,
    leave_other_folders,
    look_behind,
    make_wandb_tree,
    read_members,
)
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Problem, Run, RunState, RunVersions, SweepInventory, SweepKind
from hsm.plan.symlinks.folder_links import make_run_problem, settle_links
from hsm.sweep_folder import make_hydra_id


@dataclass(frozen=True, slots=True)
class _Runs:
    """Part of an inventory that is about runs."""

    runs: tuple[Run, ...] = ()
    results: Results = field(default_factory=Results)
    versions: Mapping[str, RunVersions] = field(default_factory=dict)
    listed: Listed = field(default_factory=Listed)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Listings of the places where files and runs of a sweep may lie.

    Attributes:
        folder: Everything in the sweep's folder, if it has one.
        wandb: The wandb folder, if runs are wanted.
        shared: Further wandb folders.
        jobs: The folders of Hydra sweeps, where a name may be of runs in them.
        receipts: Those of all sweeps where they tell which runs are in none, else those that lie in no sweep's folder.
        now_ns: The clock there; 0 where unknown.
    """

    folder: Listing | None
    wandb: Listing | None
    shared: Sequence[Listing]
    jobs: Sequence[Listing]
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
    folders: Collection[str] = (),
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
        folders: Absolute paths of run folders; of a run of such a name no other folder counts.
    """
    seen = _look(endpoint, layout, sweep, known_sweeps, include_runs=include_runs)
    settled = _settle_sweep(endpoint, layout, sweep, seen.folder, index)
    if settled is not sweep:
        sweep, seen = settled, _look(endpoint, layout, settled, known_sweeps, include_runs=include_runs)
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
            layout,
            replace(seen, folder=folder.listing),
            seen.wandb,
            sweep,
            known_sweeps=known_sweeps,
            index=index,
            include_versions=include_versions,
            places=places,
            folders=folders,
        )
    results = folder.results
    results.add(runs.results)
    inventory = SweepInventory(
        sweep=sweep.id,
        runs=runs.runs,
        files=resolve_links(endpoint, results.files),
        versions=runs.versions,
        deeper=dict(folder.deeper) if include_sweep else {},
        max_depth=None if sweep.place else max_depth,
        problems=tuple(results.problems),
        gaps=tuple(results.gaps),
        links=tuple(results.links),
        has_folder=bool(sweep.path) and not is_receipt_folder(folder.listing),
        kind=judge_kind(sweep, folder.listing, runs.listed),
        place=sweep.place,
        jobs=folder.jobs,
    )
    return settle_links(inventory, "skip") if follow is None else inventory


def _look(
    endpoint: Endpoint, layout: Layout, sweep: Sweep, known_sweeps: Collection[str], *, include_runs: bool
) -> _Seen:
    """Look at everything in one session."""
    folders = [Tree(sweep.path, follow=True)] if sweep.path else []
    wandb = [make_wandb_tree(layout.wandb, _list_own_places(sweep))] if include_runs else []
    shared = [make_wandb_tree(each) for each in _list_further(layout, sweep, known_sweeps)] if include_runs else []
    jobs = list_hydra_trees(layout) if include_runs and sweep.kind is SweepKind.WANDB else []
    receipts = _make_receipt_trees(layout, sweep, known_sweeps) if include_runs else []
    survey = endpoint.survey([*folders, *wandb, *shared, *jobs, *receipts])
    listings = iter(survey.listings)
    return _Seen(
        folder=next(listings) if folders else None,
        wandb=next(listings) if wandb else None,
        shared=[next(listings) for _ in shared],
        jobs=[next(listings) for _ in jobs],
        receipts=[next(listings) for _ in receipts],
        now_ns=survey.machine.clock_ns,
    )


def _list_further(layout: Layout, sweep: Sweep, known_sweeps: Collection[str]) -> tuple[str, ...]:
    """List further wandb folders in which runs may be the sweep's.

    A name may be of runs that lie in the place of a folder sweep; what lies there is not loose, and no other folder's.
    """
    if sweep.kind is not SweepKind.WANDB:
        return layout.shared
    places = (f"{layout.wandb}/{name}" for name in sorted(known_sweeps) if name != sweep.id)
    return (*layout.shared, *layout.inner, *places)


def _make_receipt_trees(layout: Layout, sweep: Sweep, known_sweeps: Collection[str]) -> list[Tree]:
    if sweep.kind is SweepKind.LOOSE:
        return make_receipt_trees(layout, (*known_sweeps, *map(make_hydra_id, layout.hydra)))
    return make_receipt_trees(layout, (sweep.id,)) if sweep.kind is SweepKind.HYDRA else []


def _settle_sweep(endpoint: Endpoint, layout: Layout, sweep: Sweep, folder: Listing | None, index: RunIndex) -> Sweep:
    """Settle what sweep it is whose folder holds receipts alone: of a Hydra sweep's, its files lie elsewhere.

    Raises:
        RefusedError: They name a place that it cannot have.
    """
    if sweep.kind is not SweepKind.FOLDER or not is_receipt_folder(folder):
        return sweep
    listed = read_listed(endpoint, {sweep.id: find_receipts(folder)}, index=index).get(sweep.id, Listed())
    if SweepKind.HYDRA not in listed.kinds and not listed.places:
        return sweep
    return make_hydra_sweep(layout, check_places(listed.places, sweep.id))


def _read_runs(
    endpoint: Endpoint,
    layout: Layout,
    seen: _Seen,
    wandb: Listing,
    sweep: Sweep,
    *,
    known_sweeps: Collection[str],
    index: RunIndex,
    include_versions: bool,
    places: Places | None,
    folders: Collection[str],
) -> _Runs:
    candidates, symlinks = find_candidates(_list_own_places(sweep), wandb, seen.folder, seen.shared)
    candidates = (*candidates, *look_behind(endpoint, symlinks), *find_job_runs(seen.jobs))
    candidates = leave_other_folders(candidates, folders)
    receipts = find_all_receipts(seen.receipts) if seen.receipts else {sweep.id: find_receipts(seen.folder)}
    listed = read_listed(endpoint, receipts, index=index)
    if sweep.id in listed and (listed[sweep.id].places or sweep.place):
        check_places({*listed[sweep.id].places, sweep.place} - {""}, sweep.id)
    claims = RunClaims(
        sweep.id,
        sweep.kind,
        known=frozenset(known_sweeps),
        agents=read_agent_names([wandb, *seen.shared]),
        listed={name: found.runs for name, found in listed.items()},
        places=make_claimed_places(layout, known_sweeps),
    )
    copies = find_synced_copies(endpoint, layout, candidates, usual=wandb.base, known_sweeps=known_sweeps, index=index)
    members, untold = read_members(
        endpoint, candidates, claims=claims, index=index, now_ns=seen.now_ns, copies=dict.fromkeys(copies, wandb.base)
    )
    behind = [member.candidate for member in members if member.candidate.real and places is None]
    members = tuple(member for member in members if not member.candidate.real or places is not None)
    runs, results = read_run_files(endpoint, members, now_ns=seen.now_ns, places=places)
    if sweep.kind is SweepKind.LOOSE:
        young = _find_young(members, runs)
        untold = (*untold, *_iter_young_problems(young, sweep))
        members, runs = _leave(members, runs, results, {member.candidate.name for member in young})
    versions = read_run_versions(endpoint, members, results.files, index=index) if include_versions else {}
    found = Results(problems=[make_run_problem(candidate.name, candidate.path) for candidate in behind])
    # Of a run that is the sweep's, or may be, more is told than that something of it cannot be read.
    told = {problem.path.partition("/")[0] for problem in (*untold, *results.problems) if problem.is_failure}
    behind_links = iter_wandb_problems(endpoint, wandb, seen.folder, sweep)
    unseen = [*behind_links, *iter_shared_problems(seen.shared)]
    found.problems += [problem for problem in unseen if problem.is_failure or problem.path.split("/")[0] not in told]
    found.problems += untold
    found.add(list_strays(sweep, wandb, seen.folder))
    found.add(results)
    return _Runs(runs, found, versions, listed.get(sweep.id, Listed()))


def _find_young(members: Sequence[Member], runs: Iterable[Run]) -> list[Member]:
    """Find the runs that have said nothing and still move: they may yet say that they are a sweep's."""
    moving = {run.name for run in runs if run.state is RunState.RUNNING}
    return [member for member in members if not member.facts.run_id and member.candidate.name in moving]


def _iter_young_problems(young: Sequence[Member], sweep: Sweep) -> Iterator[Problem]:
    facts = {member.candidate.path: member.facts for member in young}
    yield from iter_unknown_problems([member.candidate for member in young], sweep.id, facts)


def _leave(
    members: Sequence[Member], runs: Sequence[Run], results: Results, names: Collection[str]
) -> tuple[tuple[Member, ...], tuple[Run, ...]]:
    """Leave runs out, with all that was found of them."""
    if names:
        results.files = [file for file in results.files if file.run not in names]
        results.gaps = [gap for gap in results.gaps if gap.run not in names]
        results.links = [link for link in results.links if link.run not in names]
    return (
        tuple(member for member in members if member.candidate.name not in names),
        tuple(run for run in runs if run.name not in names),
    )


def _list_own_places(sweep: Sweep) -> tuple[str, ...]:
    """List the sweeps in whose places below the wandb folder runs may be the sweep's.

    No place holds loose runs, and a Hydra sweep's are in its own folder.
    """
    return () if sweep.kind in (SweepKind.LOOSE, SweepKind.HYDRA) else (sweep.id,)
