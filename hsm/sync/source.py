"""Source of a sync, the project on this machine: the sweeps that a command means, and everything there is of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hsm.config.load import LoadedConfig
from hsm.discover.index import load_index, save_index
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.words.lookup import ALL_SWEEPS, LOOSE_WORD, Lookup, Meaning
from hsm.discover.words.meanings import find_meanings, list_all_meanings
from hsm.endpoint import Endpoint, Tree
from hsm.errors import UnknownSweepError, UsageError
from hsm.model import EntryKind, Problem, Root, SweepInventory, SweepKind
from hsm.project_folder import ProjectFolder
from hsm.sweep_folder import LOOSE, make_sweep_id
from hsm.sync.expected_runs import find_missing_runs
from hsm.sync.places import ProjectPlaces, find_places

SOURCE_MISSING = "source_missing"


Inventories = Mapping[tuple[str, int | None], SweepInventory]
"""By sweep id and depth of the sweep folder."""


@dataclass(frozen=True, slots=True)
class ProjectSource:
    """Sweeps that a command means.

    Attributes:
        project: The project's folder.
        endpoint: This machine.
        layout: Folders of sweeps and runs.
        known: All sweeps of the project.
        sweeps: Those that are meant, each once, in the order asked for.
        missing: Folders that the configuration names and that are not there, by what should lie in them.
        target: The target that they lie at; empty for this machine.
        only: The names of the runs that alone are meant, by the sweep's id; a sweep that is meant whole is not in it.
        said: How words were understood, a line each.
        remember: Writes down what was found of the places, so that the next call need not look for it.
    """

    project: Path
    endpoint: Endpoint
    layout: Layout
    known: tuple[Sweep, ...]
    sweeps: tuple[Sweep, ...]
    missing: Mapping[Root, str] = field(default_factory=dict)
    target: str = ""
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    remember: Callable[[], None] = field(default=lambda: None, compare=False)


def find_source(loaded: LoadedConfig, endpoint: Endpoint, words: Sequence[str]) -> ProjectSource:
    """Find the sweeps that words of a command line mean (`hsm.discover.words.meanings`).

    Args:
        loaded: The configuration.
        endpoint: This machine.
        words: As typed; `ALL_SWEEPS` for every sweep.

    Raises:
        UsageError: One of them means none, or several.
    """
    places = find_places(loaded, endpoint)
    try:
        meanings = _find_here(places, loaded.project, words)
    except UsageError:  # of a folder that has come since the last search nothing is known
        if not places.is_remembered:
            raise
        places = find_places(loaded, endpoint, fresh=True)
        meanings = _find_here(places, loaded.project, words)
    return ProjectSource(
        loaded.project,
        endpoint,
        places.layout,
        places.sweeps,
        tuple(dict.fromkeys(meaning.sweep for meaning in meanings)),
        _find_missing(loaded, endpoint, places.layout),
        only=join_meanings(meanings),
        said=tuple(meaning.said for meaning in meanings if meaning.said),
        remember=places.remember,
    )


def _find_here(places: ProjectPlaces, project: Path, words: Sequence[str]) -> tuple[Meaning, ...]:
    lookup = places.make_lookup(working_folder=os.getcwd())  # noqa: PTH109 - as the bytes are
    return find_known_meanings(lookup, project, words)


def find_known_meanings(
    lookup: Lookup, project: Path, words: Sequence[str], *, target: str = ""
) -> tuple[Meaning, ...]:
    """Find what words mean; a sweep that was synced before counts even if nothing of it is here any more.

    The plan then refuses it as vanished, which says more than an unknown name.

    Args:
        lookup: Of the source.
        project: Holds the journals.
        words: As of `find_source`.
        target: The one whose journals count; by default all.

    Raises:
        UsageError: A word means none, or several.
    """
    found: list[Meaning] = []
    for word in words:
        try:
            found += list_all_meanings(lookup) if word == ALL_SWEEPS else find_meanings(lookup, word)
        except UnknownSweepError:
            folder = ProjectFolder(project)
            targets = (target,) if target else folder.list_targets()
            # A journal bears the id of its sweep. Not `Path.is_file`, which raises where the folder is another user's.
            ids = (LOOSE if word == LOOSE_WORD else word, make_sweep_id(word))
            known = [each for each in ids if any(os.path.isfile(folder.journal(name, each)) for name in targets)]  # noqa: PTH113
            if not known:
                raise
            found.append(Meaning(make_gone_sweep(known[0])))
    return tuple(found)


def make_gone_sweep(sweep: str) -> Sweep:
    """Make the sweep of which there is only a journal: what is left of it bears its name, or is in no sweep."""
    return Sweep(sweep, kind=SweepKind.LOOSE if sweep == LOOSE else SweepKind.WANDB)


def join_meanings(meanings: Iterable[Meaning]) -> dict[str, frozenset[str]]:
    """Join the runs that alone are meant, by sweep; a sweep that is also meant as a whole is not in it."""
    only: dict[str, frozenset[str]] = {}
    whole = {meaning.sweep.id for meaning in meanings if not meaning.runs}
    for meaning in meanings:
        if meaning.sweep.id not in whole:
            only[meaning.sweep.id] = only.get(meaning.sweep.id, frozenset()) | meaning.runs
    return only


def _find_missing(loaded: LoadedConfig, endpoint: Endpoint, layout: Layout) -> dict[Root, str]:
    """Find the folders that the configuration names and that are missing; a default folder need not be there."""
    named = loaded.config.source.model_fields_set
    folders = {root: getattr(layout, root.value) for root in Root if root.value in named}
    if not folders:
        return {}
    listings = endpoint.survey([Tree(folder, (), 0) for folder in folders.values()]).listings
    found = dict(zip(folders, listings, strict=True))
    return {root: folders[root] for root, listing in found.items() if listing.kind is not EntryKind.FOLDER}


def read_inventories(
    source: ProjectSource,
    *,
    depths: Collection[int | None],
    roots: Collection[Root],
    with_versions: bool,
    saves_cache: bool,
    follow: Sequence[str] | None = None,
) -> Inventories:
    """Read everything there is of the sweeps that are meant.

    Args:
        source: The sweeps.
        depths: Levels of the sweep folder, each wanted once.
        roots: Those of the two folders that are wanted.
        with_versions: Find old versions of media too.
        saves_cache: Remember what was read of the runs.
        follow: As of `read_inventory`.
    """
    path = ProjectFolder(source.project).runs_cache(source.target)
    if saves_cache:
        source.remember()
    index, notices = load_index(path)
    ids = frozenset(sweep.id for sweep in source.known)
    inventories = {
        (sweep.id, max_depth): read_inventory(
            source.endpoint,
            source.layout,
            sweep,
            max_depth=max_depth,
            index=index,
            known_sweeps=ids,
            include_sweep=Root.SWEEPS in roots,
            include_runs=Root.WANDB in roots,
            include_versions=with_versions,
            follow=follow,
        )
        for sweep in source.sweeps
        for max_depth in set(depths)
    }
    if saves_cache:
        notices += save_index(index, path)
    missing = tuple(
        Problem(folder, SOURCE_MISSING, f"There is no folder {folder}.", f"Mount it, or correct `source.{root.value}`.")
        for root, folder in source.missing.items()
        if root in roots
    )
    unexpected = _find_missing_runs(source, inventories) if Root.WANDB in roots else {}
    return {
        key: replace(inventory, problems=(*notices, *missing, *inventory.problems, *unexpected.get(key[0], ())))
        for key, inventory in inventories.items()
    }


def _find_missing_runs(source: ProjectSource, inventories: Inventories) -> dict[str, tuple[Problem, ...]]:
    """Find the sweeps without runs that should have some; a folder that is said to be missing is told already."""
    if Root.WANDB in source.missing:
        return {}
    sweeps = {sweep.id: sweep for sweep in source.sweeps}
    return {
        sweep: find_missing_runs(
            source.endpoint, source.layout, sweeps[sweep], inventory, source.project, target=source.target
        )
        for (sweep, _), inventory in inventories.items()
    }
