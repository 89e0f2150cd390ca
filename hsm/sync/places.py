"""Places of a project's results on this machine or at a target: its folders of sweeps, and every folder of runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.config.loaded import LoadedConfig
from hsm.config.settings import TargetSettings
from hsm.discover.index import load_index, save_index
from hsm.discover.kinds.hydra import list_hydra_places, mark_jobs, settle_marks
from hsm.discover.kinds.wandb_folders import list_search_notes, name_folders, recall_folders, remember_folders
from hsm.discover.sweeps import Layout, Sweep, SweepsFound, look_for_sweeps
from hsm.discover.words.lookup import Lookup
from hsm.endpoint import Endpoint, FolderSearch, FoundFolders, SearchBounds, Tree
from hsm.model import EntryKind, Problem, Root, SweepKind
from hsm.project_folder import ProjectFolder
from hsm.sweep_folder import OUTPUTS, RECEIPT_FOLDER, make_hydra_id

if TYPE_CHECKING:
    from hsm.discover.words.catalogue import Catalogue

SOURCE_MISSING = "source_missing"


@dataclass(frozen=True, slots=True)
class ProjectPlaces:
    """Places of one project.

    Attributes:
        endpoint: The machine that they lie on.
        layout: With all folders of runs.
        sweeps: The folder sweeps, oldest first.
        cache: Of the logs of its runs.
        problems: Found while looking.
        folders: As of `SweepsFound`.
        missing: As of `SweepsFound`.
        absent: Wandb folders that the configuration names and that are not there.
        is_remembered: What a search found is up to ten minutes old.
        list_synced: Lists the ids under which sweeps were brought from here before.
    """

    endpoint: Endpoint
    layout: Layout
    sweeps: tuple[Sweep, ...]
    cache: Path
    problems: tuple[Problem, ...] = ()
    folders: tuple[str, ...] = ()
    missing: tuple[Root, ...] = ()
    absent: tuple[str, ...] = ()
    is_remembered: bool = False
    list_synced: Callable[[], Collection[str]] = field(default=frozenset, compare=False)
    _found: list[Callable[[], object]] = field(default_factory=list, compare=False)

    def make_lookup(self, *, working_folder: str = "") -> Lookup:
        """Make what words are looked up in.

        Args:
            working_folder: From which paths count; empty where the project lies at a target.
        """
        return Lookup(
            self.sweeps,
            self.layout,
            self.read_catalogue,
            find_receipt_folders=self.find_receipt_folders,
            working_folder=working_folder,
        )

    def find_receipt_folders(self, sweeps: Sequence[Sweep]) -> frozenset[str]:
        """Find those of the folder sweeps whose folders hold nothing but receipts of sweeps of other kinds."""
        from hsm.discover.kinds.receipts import (  # noqa: PLC0415 - few words are beginnings, or `latest`
            find_receipts,
            is_receipt_folder,
            read_listed,
        )

        own = [sweep for sweep in sweeps if sweep.path]
        trees = [Tree(sweep.path, ("", RECEIPT_FOLDER), 1) for sweep in own]
        listings = self.endpoint.survey(trees).listings if trees else ()
        receipts = {
            sweep.id: find_receipts(listing)
            for sweep, listing in zip(own, listings, strict=True)
            if is_receipt_folder(listing)
        }
        index, _ = load_index(self.cache)
        listed = read_listed(self.endpoint, receipts, index=index) if receipts else {}
        self._found.append(lambda: save_index(index, self.cache))
        return frozenset(name for name, found in listed.items() if SweepKind.FOLDER not in found.kinds)

    def read_catalogue(self, is_deep: bool = False) -> Catalogue:
        """Read the catalogue of all runs."""
        from hsm.discover.words.catalogue import read_catalogue  # noqa: PLC0415 - folder sweeps are found without it

        index, _ = load_index(self.cache)
        synced = self.list_synced()
        catalogue = read_catalogue(self.endpoint, self.layout, self.sweeps, index=index, is_deep=is_deep, synced=synced)
        self._found.append(lambda: save_index(index, self.cache))
        return catalogue

    def remember(self) -> None:
        """Write down what was found, so that it need not be looked for again; by a call that may write."""
        for save in self._found:
            save()
        self._found.clear()


def make_layout(loaded: LoadedConfig) -> Layout:
    """Make the layout of the project: its folders of sweeps and runs on this machine, as configured."""
    project = loaded.project
    source = loaded.config.source
    return Layout(str(project), str(project / source.sweeps), str(project / source.wandb))


def find_places(loaded: LoadedConfig, endpoint: Endpoint, *, fresh: bool = False) -> ProjectPlaces:
    """Find the places of this project. Writes nothing.

    Args:
        loaded: Its configuration.
        endpoint: This machine.
        fresh: Search for wandb folders anew, whatever is remembered.
    """
    folder = ProjectFolder(loaded.project)
    cache, layout = folder.folders_cache(), make_layout(loaded)
    search = FolderSearch(layout.project, list_local_folders(loaded.config.sync_targets.values()))
    known = None if fresh else recall_folders(cache, search)
    found = look_for_sweeps(endpoint, layout, search if known is None else None)
    searched = known
    if known is None and found.searched is not None:
        searched = settle_marks(endpoint, found.searched, found.layout)
    named = name_folders(searched, loaded.config.source.wandb_folders) if searched is not None else None
    places = make_project_places(endpoint, found, named, folder.runs_cache())
    if absent := _list_absent(endpoint, places.layout, loaded.config.source.wandb_folders):
        problem = make_missing_problem(absent, "wandb_folders")
        places = replace(places, absent=absent, problems=(*places.problems, problem))
    places = replace(places, list_synced=folder.list_journals)
    if known is None and searched is not None:
        places._found.append(lambda: remember_folders(cache, search, searched))
    return replace(places, is_remembered=known is not None)


def make_missing_problem(folders: Sequence[str], setting: str) -> Problem:
    """Make the problem of folders that the configuration names and that are not there.

    Args:
        folders: At least one.
        setting: Of `source`, which names them.
    """
    message = f"There is no folder {' and no folder '.join(folders)}."
    return Problem(folders[0], SOURCE_MISSING, message, f"Mount it, or correct `source.{setting}`.")


def list_known_words(loaded: LoadedConfig, endpoint: Endpoint) -> tuple[str, ...]:
    """List words that mean sweeps, oldest first, without a search and without reading a log.

    Folder sweeps are looked for; the others are those that were there as the caches were written.

    Args:
        loaded: Its configuration.
        endpoint: This machine.
    """
    from hsm.discover.words.remembered import list_remembered_words  # noqa: PLC0415 - for completion alone

    folder = ProjectFolder(loaded.project)
    found = look_for_sweeps(endpoint, make_layout(loaded))
    search = FolderSearch(found.layout.project, list_local_folders(loaded.config.sync_targets.values()))
    searched = recall_folders(folder.folders_cache(), search)
    hydra = list_hydra_places(searched, found.layout) if searched is not None else ()
    index, _ = load_index(folder.runs_cache())
    ids = (*(sweep.id for sweep in found.sweeps), *map(make_hydra_id, hydra))
    return (*dict.fromkeys(ids), *list_remembered_words(index, found.sweeps))


def find_far_places(endpoint: Endpoint, layout: Layout, cache: Path, *, apart: Endpoint | None = None) -> ProjectPlaces:
    """Find the places of a project at a target; it is searched below `project_root`, where that is named.

    Args:
        endpoint: The target's end.
        layout: Its folders, as configured.
        cache: Of the logs of its runs.
        apart: The same end for the first look, where it refuses folders that are this project's own.
    """
    search = None if layout.project == layout.sweeps else FolderSearch(layout.project)
    found = look_for_sweeps(apart or endpoint, layout, search)
    searched = found.searched and settle_marks(endpoint, found.searched, found.layout)
    return make_project_places(endpoint, found, searched, cache)


def find_received_places(project: Path, endpoint: Endpoint) -> ProjectPlaces:
    """Find the places of a project that has no configuration: at a target, or where runs were copied to.

    Args:
        project: The folder that holds `sweeps/` and `wandb/`.
        endpoint: This machine.
    """
    layout = Layout(str(project), str(project / "sweeps"), str(project / "wandb"))
    return find_far_places(endpoint, layout, ProjectFolder(project).runs_cache())


def make_project_places(
    endpoint: Endpoint, found: SweepsFound, searched: FoundFolders | None, cache: Path
) -> ProjectPlaces:
    """Make the places of a project, with the wandb folders that a search found.

    Args:
        endpoint: The machine that it lies on.
        found: Its folders of sweeps.
        searched: What the search below the project's folder found; None where there was none.
        cache: Of the logs of its runs.
    """
    if searched is not None:
        found = replace(found, sweeps=mark_jobs(found.sweeps, searched))
        found = _leave_receipts(endpoint, replace(found, layout=_add_folders(endpoint, found, searched)))
    notes = () if searched is None else list_search_notes(searched, bounds=SearchBounds())
    return ProjectPlaces(endpoint, found.layout, found.sweeps, cache, notes, found.folders, found.missing)


def list_local_folders(targets: Iterable[TargetSettings]) -> tuple[str, ...]:
    """List the real paths of the folders of targets that are folders of this machine."""
    paths = [target.paths for target in targets if not target.host]
    names = [name for each in paths for name in (each.sweeps, each.wandb, each.project_root) if name]
    return tuple(os.path.realpath(os.path.expanduser(name)) for name in names)  # noqa: PTH111


def _list_absent(endpoint: Endpoint, layout: Layout, named: Sequence[str]) -> tuple[str, ...]:
    if not named:
        return ()
    folders = [name if name.startswith("/") else f"{layout.project}/{name}" for name in named]
    listings = endpoint.survey([Tree(folder, (), 0) for folder in folders]).listings
    found = zip(folders, listings, strict=True)
    return tuple(folder for folder, listing in found if listing.kind is not EntryKind.FOLDER)


def _add_folders(endpoint: Endpoint, found: SweepsFound, searched: FoundFolders) -> Layout:
    layout = replace(found.layout, hydra=list_hydra_places(searched, found.layout))
    known = {_resolve(endpoint, path) for path in (layout.wandb, *layout.shared)}
    shared, inner = list(layout.shared), list(layout.inner)
    for name in searched.wandb:
        path = name if name.startswith("/") else f"{layout.project}/{name}"
        if any(f"{name}/".startswith(f"{place}/") for place in layout.hydra):
            continue  # below a sweep of Hydra's every depth is looked into
        if _resolve(endpoint, path) in known or f"{searched.base}/{name}" in known:
            continue
        is_inner = any(f"{path}/".startswith(f"{sweep.path}/") for sweep in found.sweeps if sweep.path)
        (inner if is_inner else shared).append(path)
    return replace(layout, shared=tuple(shared), inner=tuple(inner))


def _leave_receipts(endpoint: Endpoint, found: SweepsFound) -> SweepsFound:
    """Leave the folders that hold nothing but the receipts of a Hydra sweep; one survey where an id is that of both."""
    layout = found.layout
    ids = {make_hydra_id(place) for place in layout.hydra}.intersection(sweep.id for sweep in found.sweeps)
    if not ids:
        return found
    from hsm.discover.kinds.receipts import is_receipt_folder  # noqa: PLC0415 - few projects have two of an id

    bases = dict.fromkeys((layout.sweeps, layout.project))
    survey = endpoint.survey([Tree(f"{base}/{OUTPUTS}", tuple(ids), 1) for base in bases])
    listings = dict(zip(bases, survey.listings, strict=True))

    def is_left(sweep: Sweep) -> bool:
        return sweep.id in ids and bool(sweep.prefix) and is_receipt_folder(listings[sweep.prefix], sweep.id)

    return replace(found, sweeps=tuple(sweep for sweep in found.sweeps if not is_left(sweep)))


def _resolve(endpoint: Endpoint, path: str) -> str:
    return path if endpoint.is_remote else os.path.realpath(path)
