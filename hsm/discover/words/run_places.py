"""All places of a project in which runs may lie, looked at in one session, and the run folders found there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hsm.discover.kinds.receipts import make_receipt_trees
from hsm.discover.membership import Candidate
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.wandb_runs import find_candidates, make_wandb_tree
from hsm.endpoint import Endpoint, Listing, Tree
from hsm.model import SweepKind
from hsm.sweep_folder import LOOSE, sweep_folder


class PlacedRun(NamedTuple):
    """A run folder, and whose place it lies in.

    Attributes:
        candidate: The folder.
        inside: The id of the sweep in whose place it lies; empty where it lies with others'.
        is_deep: It lies deeper in the sweep's folder than wandb folders are searched for, so no other sweep has it.
    """

    candidate: Candidate
    inside: str = ""
    is_deep: bool = False


@dataclass(frozen=True, slots=True)
class RunListings:
    """Listings of the places where runs may lie.

    Attributes:
        wandb: The wandb folder.
        shared: Further wandb folders, in the order of the layout.
        inner: Those in the folders of sweeps, each with the id of the sweep.
        folders: Everything in the folders of sweeps, where it was asked for; always of Hydra's.
        receipts: Those of all sweeps.
        loose: The folders that have the id of the loose runs.
        now_ns: The clock there; 0 where unknown.
    """

    wandb: Listing
    shared: Sequence[Listing] = ()
    inner: Sequence[tuple[str, Listing]] = ()
    folders: Mapping[Sweep, Listing] = field(default_factory=dict)
    receipts: Sequence[Listing] = ()
    loose: Sequence[Listing] = ()
    now_ns: int = 0


def look_for_runs(
    endpoint: Endpoint,
    layout: Layout,
    sweeps: Sequence[Sweep],
    *,
    with_folders: bool = False,
    with_files: bool = False,
) -> RunListings:
    """Look at every place in which runs of a project may lie, in one session.

    Args:
        endpoint: The machine that it lies on.
        layout: Its places, with all wandb folders.
        sweeps: Those that are folders, also Hydra's.
        with_folders: List everything in the folders of sweeps. In Hydra's every depth counts in any case.
        with_files: List everything in wandb folders, not only what tells whose the runs are.
    """
    ids = tuple(dict.fromkeys(sweep.id for sweep in sweeps))
    wandb = Tree(layout.wandb) if with_files else make_wandb_tree(layout.wandb, ids)
    shared = [Tree(folder) if with_files else make_wandb_tree(folder) for folder in layout.shared]
    inner = [make_wandb_tree(folder) for folder in layout.inner]
    own = [sweep for sweep in sweeps if sweep.path and (with_folders or sweep.kind is SweepKind.HYDRA)]
    bases = dict.fromkeys((layout.sweeps, layout.project))
    loose = [Tree(f"{base}/{sweep_folder(LOOSE)}", max_depth=1) for base in bases]
    parts = [[wandb], shared, inner, [Tree(sweep.path) for sweep in own], make_receipt_trees(layout, ids), loose]
    survey = endpoint.survey([tree for part in parts for tree in part])
    found = iter(survey.listings)
    first, shared_found, inner_found, folders, receipts, loose_found = ([next(found) for _ in part] for part in parts)
    return RunListings(
        wandb=first[0],
        shared=shared_found,
        inner=[(_find_owner(sweeps, path), listing) for path, listing in zip(layout.inner, inner_found, strict=True)],
        folders=dict(zip(own, folders, strict=True)),
        receipts=receipts,
        loose=loose_found,
        now_ns=survey.machine.clock_ns,
    )


def find_placed_runs(seen: RunListings, ids: Sequence[str]) -> tuple[PlacedRun, ...]:
    """Find all run folders, each once. Pure.

    Args:
        seen: The places.
        ids: Of the folder sweeps.
    """
    found: dict[str, PlacedRun] = {}
    for run in (*_iter_shared(seen, ids), *_iter_inner(seen)):
        path = run.candidate.path
        known = found.setdefault(path, run)
        if run.inside and not known.inside:  # a wandb folder may be named that lies in a sweep's folder
            found[path] = run
    return tuple(found.values())


def _iter_shared(seen: RunListings, ids: Sequence[str]) -> Iterator[PlacedRun]:
    """Yield the runs in wandb folders, where below the first of them each sweep may have a place of its own."""
    own = {f"{seen.wandb.base}/{sweep}": sweep for sweep in ids}
    for candidate in find_candidates(ids, seen.wandb, None, seen.shared)[0]:
        parent = candidate.prefix.rpartition("/")[0]
        inside = own.get(candidate.prefix) or own.get(parent, "") if candidate.is_inside else ""
        yield PlacedRun(candidate, inside)


def _iter_inner(seen: RunListings) -> Iterator[PlacedRun]:
    """Yield the runs in the folders of sweeps."""
    for sweep, listing in seen.inner:
        yield from (PlacedRun(candidate, sweep) for candidate in find_candidates((), None, None, [listing])[0])
    for owner, listing in seen.folders.items():
        is_deep = owner.kind is SweepKind.FOLDER
        yield from (PlacedRun(candidate, owner.id, is_deep) for candidate in find_candidates((), None, listing)[0])


def _find_owner(sweeps: Sequence[Sweep], path: str) -> str:
    """Find the sweep in whose folder a wandb folder lies, both as they are written, not resolved."""
    return next((sweep.id for sweep in sweeps if sweep.path and f"{path}/".startswith(f"{sweep.path}/")), "")
