"""Places here in which a pulled sweep lands: where it lies already, and each run where a folder of its name lies."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from hsm.discover.files.folder_links import follow_folders, resolve_places
from hsm.discover.index import RunIndex
from hsm.discover.kinds.hydra import (
    check_places,
    list_hydra_trees,
    make_hydra_sweep,
    make_two_kinds_error,
)
from hsm.discover.kinds.synced_runs import find_synced_copies
from hsm.discover.membership import Candidate
from hsm.discover.sweeps import WANDB_NAMES, Layout, Sweep, is_run_name, pick_sweep
from hsm.discover.wandb_runs import find_candidates, find_job_runs, look_behind, make_wandb_tree
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import Problem, SweepKind
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import RECEIPT_FOLDER, make_hydra_id
from hsm.tree import Child, scan_folder


@dataclass(frozen=True, slots=True)
class RunPlaces:
    """Places of runs here that lie elsewhere than in the folder of runs that the configuration names.

    Attributes:
        folders: By run, the wandb folder that holds it.
        doubles: By run, its folders, where it lies in several.
        unseen: Runs that lie nowhere.
        problems: Notices of folders that could not be read, so that a run in one of these is not known.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    doubles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unseen: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()


class SweepsHere(Protocol):
    """Sweeps of this project and its folders, as `hsm.sync.places.find_places` finds them."""

    @property
    def layout(self) -> Layout:
        """With all folders of runs."""

    @property
    def sweeps(self) -> Sequence[Sweep]:
        """All that have a folder."""


class LookHere(Protocol):
    """Looks at this project."""

    def __call__(self, *, fresh: bool) -> SweepsHere:
        """Look; with `fresh`, whatever is remembered of its folders."""


@dataclass(frozen=True, slots=True)
class Landing:
    """Places here of one sweep and its runs.

    Attributes:
        home: The sweep, where it has a folder here.
        sweeps: The folder below which it is, or will be, `outputs/<id>`, or the folder of a Hydra sweep.
        wandb: The usual folder of runs.
        runs: Places of the runs that do not lie in the usual folder.
        own: The folder of sweeps, in which lock and receipts lie.
    """

    home: Sweep | None
    sweeps: str
    wandb: str
    runs: RunPlaces
    own: str


def find_landing(
    here: SweepsHere, sweep: str, runs: Collection[str], *, place: str = "", follow: Sequence[str] | None = None
) -> Landing:
    """Find where a sweep and its runs lie on this machine.

    Args:
        here: The project's sweeps, and all its folders of runs.
        sweep: The sweep's id.
        runs: The names of the runs that are looked for.
        place: Of a Hydra sweep: its folder, relative to the project.
        follow: As of `find_run_places`.

    Raises:
        UsageError: As `find_home` and `find_hydra_home`.
    """
    layout, known = here.layout, {sweep, *(each.id for each in here.sweeps)}
    if place:
        hydra = find_hydra_home(here, place)
        places = find_run_places(layout, hydra, runs, follow=follow, known_sweeps=known)
        return Landing(hydra if hydra.path else None, layout.project, layout.wandb, places, layout.sweeps)
    home = find_home(here.sweeps, sweep)
    places = find_run_places(layout, home or Sweep(sweep), runs, follow=follow, known_sweeps=known)
    prefix = home.prefix if home is not None else layout.sweeps
    return Landing(home, prefix, layout.wandb, places, prefix)


def find_hydra_home(here: SweepsHere, place: str) -> Sweep:
    """Find a Hydra sweep here; without a path where it has no folder.

    Args:
        here: The project's sweeps.
        place: Its folder, relative to the project.

    Raises:
        UsageError: Another folder here has its id.
    """
    found = make_hydra_sweep(here.layout, place)
    others = [other for other in here.layout.hydra if other != place and make_hydra_id(other) == found.id]
    for other in others:
        check_places({place, other}, found.id)  # raises
    for sweep in here.sweeps:
        if sweep.id == found.id and not (sweep.path and _holds_receipts(sweep.path)):
            raise make_two_kinds_error(found.id, [f"the folder {sweep.path or sweep.id}", f"Hydra's {place}"])
    return found if os.path.isdir(found.path) else replace(found, path="")  # noqa: PTH112 - as the bytes are


def _holds_receipts(folder: str) -> bool:
    return {child.name for child in scan_folder(folder)} <= {RECEIPT_FOLDER}


def find_home(known: Sequence[Sweep], sweep: str) -> Sweep | None:
    """Find the sweep here that has a folder; None where it has none. Pure.

    Args:
        known: The sweeps here.
        sweep: The sweep's id.

    Raises:
        UsageError: It lies in two places, so that nothing says which of the two is meant.
    """
    homes = [found for found in known if found.id == sweep and found.path and found.kind is SweepKind.FOLDER]
    return pick_sweep(homes, sweep) if homes else None


def find_run_places(
    layout: Layout,
    sweep: Sweep,
    runs: Collection[str],
    *,
    follow: Sequence[str] | None = None,
    known_sweeps: Collection[str] = (),
) -> RunPlaces:
    """Find where runs of a sweep lie on this machine, by the names of folders alone.

    Args:
        layout: The project's folders.
        sweep: The sweep, with its folder where it has one here.
        runs: Their names.
        follow: As of `hsm.discover.inventory.read_inventory`: what is sent from behind a symlink lies there.
        known_sweeps: Those here whose receipts may list a run; by default the sweep alone.
    """
    names = frozenset(runs)
    if not names:
        return RunPlaces()
    endpoint = LocalEndpoint(scan=_scan_places if follow is None else _scan_links)
    found, problems = _look(endpoint, layout, sweep, names, follow)
    usual = os.path.realpath(layout.wandb)
    copies = find_synced_copies(
        LocalEndpoint(), layout, found, usual=usual, known_sweeps=known_sweeps or [sweep.id], index=RunIndex()
    )
    # A copy that a sync brought here is where the next one lands; the run where it was made is left alone.
    found = [candidate for candidate in found if candidate.name not in copies or candidate.prefix == usual]
    places: dict[str, list[Candidate]] = {}
    for candidate in _leave_second_names(found, resolve=os.path.realpath if follow is not None else str):
        places.setdefault(candidate.name, []).append(candidate)
    single = {name: found[0].prefix for name, found in places.items() if len(found) == 1}
    return RunPlaces(
        folders={name: folder for name, folder in single.items() if folder != usual},
        doubles={
            name: tuple(candidate.path for candidate in found) for name, found in places.items() if len(found) > 1
        },
        unseen=names - places.keys(),
        problems=problems,
    )


def _look(
    endpoint: Endpoint, layout: Layout, sweep: Sweep, names: Collection[str], follow: Sequence[str] | None
) -> tuple[list[Candidate], tuple[Problem, ...]]:
    """Look into every folder here that may hold runs of the sweep, whatever its log says of a run."""
    own = [Tree(sweep.path, follow=follow is not None)] if sweep.path else []
    others = [make_wandb_tree(folder) for folder in dict.fromkeys((*layout.shared, *layout.inner))]
    jobs = [tree for tree in list_hydra_trees(layout) if tree.base != sweep.path]
    survey = endpoint.survey([make_wandb_tree(layout.wandb, [sweep.id]), *own, *others, *jobs])
    wandb, *listings = survey.listings
    if own and follow is not None:
        listings[0] = follow_folders(endpoint, listings[0], resolve_places(endpoint, layout, follow)).listing
    wandb, *listings = (_choose(listing, names) for listing in (wandb, *listings))
    folder, shared = (listings[0] if own else None), listings[len(own) : len(own) + len(others)]
    candidates, symlinks = find_candidates([sweep.id], wandb, folder, shared)
    candidates = (*candidates, *find_job_runs(listings[len(own) + len(others) :]))
    found = [candidate for candidate in (*candidates, *look_behind(endpoint, symlinks)) if candidate.name in names]
    problems = [*_iter_unread(wandb, sweep.id), *(problem for listing in listings for problem in _iter_unread(listing))]
    return found, tuple(problems)


def _iter_unread(listing: Listing, sweep: str = "") -> Iterator[Problem]:
    """Name the folders that may hold runs of the sweep and cannot be read."""
    for problem in listing.problems:
        if not sweep or problem.path.partition("/")[0] in ("", sweep, *WANDB_NAMES):
            path = f"{listing.base}/{problem.path}"
            message = f"{problem.message}. A run that lies in it may come here a second time."
            yield Problem(path, problem.kind, message, problem.hint, is_failure=False)


def _choose(listing: Listing, names: Collection[str]) -> Listing:
    """Leave what is not one of the runs; a project may hold thousands of others."""
    entries = tuple(entry for entry in listing.entries if entry.path.rpartition("/")[2] in names)
    return replace(listing, entries=entries)


def _scan_places(folder: str) -> Sequence[Child]:
    """Read a folder for what may be, or hold, a run: no files, whose number may be large, and nothing in runs."""
    if is_run_name(os.path.basename(folder)):  # noqa: PTH119 - as the bytes are
        return ()
    return [child for child in scan_folder(folder) if child.is_dir(follow_symlinks=False) or is_run_name(child.name)]


def _scan_links(folder: str) -> Sequence[Child]:
    """Read a folder as `_scan_places`, with its symlinks, which may lead to folders."""
    if is_run_name(os.path.basename(folder)):  # noqa: PTH119 - as the bytes are
        return ()
    return [child for child in scan_folder(folder) if not child.is_file(follow_symlinks=False)]


def _leave_second_names(candidates: Sequence[Candidate], *, resolve: Callable[[str], str]) -> list[Candidate]:
    """Leave symlinks that lead to one of the others, and folders that were reached in two ways.

    Args:
        candidates: Of all places.
        resolve: Makes a real path; where no symlink was followed, all are real.
    """
    folders: dict[str, Candidate] = {}
    links: dict[str, Candidate] = {}
    for candidate in candidates:
        real = candidate.real or resolve(candidate.path)
        prefix, _, name = real.rpartition("/")
        if candidate.real or candidate.is_dangling or name != candidate.name:
            links.setdefault(real, candidate)
        else:
            folders[real] = replace(candidate, prefix=prefix)
    return [*folders.values(), *(candidate for real, candidate in links.items() if real not in folders)]
