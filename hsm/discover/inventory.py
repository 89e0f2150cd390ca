"""Reader of one sweep at the source: its folder's files and its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.discover.files.folder_links import Places, resolve_places
from hsm.discover.files.links import resolve_links
from hsm.discover.files.sweep_files import SweepFiles, read_sweep_files
from hsm.discover.index import RunIndex
from hsm.discover.results import Results
from hsm.discover.run_files import read_run_files, read_run_versions
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.unseen_runs import iter_wandb_problems, list_strays
from hsm.discover.wandb_runs import find_candidates, look_behind, make_wandb_tree, read_members
from hsm.endpoint import Endpoint, Listing, Survey, Tree
from hsm.model import Run, RunVersions, SweepInventory
from hsm.plan.symlinks.folder_links import make_run_problem, settle_links


@dataclass(frozen=True, slots=True)
class _Runs:
    """Part of an inventory that is about runs."""

    runs: tuple[Run, ...] = ()
    results: Results = field(default_factory=Results)
    versions: Mapping[str, RunVersions] = field(default_factory=dict)


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
    trees = [Tree(sweep.path, follow=True)] if sweep.path else []
    if include_runs:
        trees.append(make_wandb_tree(layout.wandb, sweep.id))
    survey = endpoint.survey(trees)
    places = resolve_places(endpoint, layout, follow) if follow is not None else None
    folder = SweepFiles()
    if sweep.path:
        # Where its files do not count, runs may lie in it.
        depth = max_depth if include_sweep else 0
        folder = read_sweep_files(
            endpoint, survey.listings[0], sweep, max_depth=depth, places=places, has_runs=include_runs
        )
    runs = _Runs()
    if include_runs:
        runs = _read_runs(
            endpoint,
            survey,
            sweep,
            folder=folder.listing,
            index=index,
            known_sweeps=known_sweeps,
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
        has_folder=bool(sweep.path),
    )
    return settle_links(inventory, "skip") if follow is None else inventory


def _read_runs(
    endpoint: Endpoint,
    survey: Survey,
    sweep: Sweep,
    *,
    folder: Listing | None,
    index: RunIndex,
    known_sweeps: Collection[str],
    include_versions: bool,
    places: Places | None,
) -> _Runs:
    wandb = survey.listings[-1]
    candidates, symlinks = find_candidates(sweep.id, wandb, folder)
    candidates = (*candidates, *look_behind(endpoint, symlinks))
    members, untold = read_members(endpoint, candidates, sweep=sweep.id, known_sweeps=known_sweeps, index=index)
    behind = [member.candidate for member in members if member.candidate.real and places is None]
    members = tuple(member for member in members if not member.candidate.real or places is not None)
    runs, results = read_run_files(endpoint, members, now_ns=survey.machine.clock_ns, places=places)
    versions = read_run_versions(endpoint, members, results.files, index=index) if include_versions else {}
    found = Results(problems=[make_run_problem(candidate.name, candidate.path) for candidate in behind])
    # Of a run that is the sweep's, or may be, more is told than that something of it cannot be read.
    told = {problem.path.partition("/")[0] for problem in (*untold, *results.problems) if problem.is_failure}
    seen = iter_wandb_problems(endpoint, wandb, folder, sweep.id)
    found.problems += [problem for problem in seen if problem.is_failure or problem.path.partition("/")[0] not in told]
    found.problems += untold
    found.add(list_strays(sweep.id, wandb, folder))
    found.add(results)
    return _Runs(runs, found, versions)
