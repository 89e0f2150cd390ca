"""Source of a sync, the project on this machine: the sweeps that a command means, and everything there is of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hsm.config.loaded import LoadedConfig
from hsm.discover.index import load_index, save_index
from hsm.discover.sweeps import Layout, Sweep
from hsm.discover.words.lookup import Meaning
from hsm.endpoint import Endpoint, Tree
from hsm.errors import UsageError
from hsm.model import EntryKind, Problem, Root, SweepInventory
from hsm.plan.choice import RunChoice
from hsm.project_folder import ProjectFolder
from hsm.sync.meanings import find_meant, join_folders, join_meanings
from hsm.sync.places import ProjectPlaces, make_missing_problem

_MOST_PROJECTS = 5


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
        missing: Folders that the configuration names and that are not there, by the key of `source` that names them.
        target: The target that they lie at; empty for this machine.
        only: The names of the runs that alone are meant, by the sweep's id; a sweep that is meant whole is not in it.
        folders: Of runs that are meant by their path: the absolute paths of their folders.
        said: How words were understood, a line each.
        remember: Writes down what was found of the places, so that the next call need not look for it.
    """

    project: Path
    endpoint: Endpoint
    layout: Layout
    known: tuple[Sweep, ...]
    sweeps: tuple[Sweep, ...]
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    target: str = ""
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    said: tuple[str, ...] = ()
    remember: Callable[[], None] = field(default=lambda: None, compare=False)


def find_source(
    loaded: LoadedConfig, endpoint: Endpoint, words: Sequence[str], *, fresh: bool = False
) -> ProjectSource:
    """Find the sweeps that words of a command line mean (`hsm.discover.words.meanings`).

    Args:
        loaded: The configuration.
        endpoint: This machine.
        words: As typed; `ALL_SWEEPS` for every sweep.
        fresh: Search for wandb folders anew, whatever is remembered.

    Raises:
        UsageError: One of them means none, or several.
    """
    places, meanings = find_meant(loaded, endpoint, words, fresh=fresh)
    missing = _find_missing(loaded, endpoint, places)
    return make_source(loaded.project, places, meanings, missing=missing)


def make_source(
    project: Path,
    places: ProjectPlaces,
    meanings: Sequence[Meaning],
    *,
    missing: Mapping[str, tuple[str, ...]] | None = None,
) -> ProjectSource:
    """Make the source of what words mean.

    Args:
        project: The project's folder.
        places: Its places.
        meanings: Of the words.
        missing: As of `ProjectSource`.
    """
    return ProjectSource(
        project,
        places.endpoint,
        places.layout,
        places.sweeps,
        tuple(dict.fromkeys(meaning.sweep for meaning in meanings)),
        missing or {},
        only=join_meanings(meanings),
        folders=join_folders(meanings),
        said=tuple(meaning.said for meaning in meanings if meaning.said),
        remember=places.remember,
    )


def _find_missing(loaded: LoadedConfig, endpoint: Endpoint, places: ProjectPlaces) -> dict[str, tuple[str, ...]]:
    """Find the folders that the configuration names and that are missing; a default folder need not be there."""
    named = loaded.config.source_keys
    folders = {root.value: getattr(places.layout, root.value) for root in Root if root.value in named}
    missing = {"wandb_folders": places.absent} if places.absent else {}
    if not folders:
        return missing
    listings = endpoint.survey([Tree(folder, (), 0) for folder in folders.values()]).listings
    found = zip(folders.items(), listings, strict=True)
    return missing | {key: (folder,) for (key, folder), listing in found if listing.kind is not EntryKind.FOLDER}


def check_choice(choice: RunChoice, inventories: Iterable[SweepInventory], *, is_part: bool = False) -> None:
    """Refuse a choice of runs that no sweep has, before anything is brought.

    Args:
        choice: Of a command line.
        inventories: Of the sweeps that are meant.
        is_part: There are more of them, so that not every run need be in these, but some.

    Raises:
        UsageError: A run, or a project of wandb's, is none of them.
    """
    runs = [run for inventory in inventories for run in inventory.runs]
    known = {name for run in runs for name in (run.name, run.id)}
    missing = choice.names - known
    for name in () if is_part and missing != choice.names else sorted(missing):
        raise UsageError(
            f"There is no run {name!r} in what is meant.",
            hint="Give `--run` alone, or look for it with `hsm sync report`.",
            kind="unknown_run",
        )
    if choice.project and all(run.project != choice.project for run in runs):
        found = sorted({run.project for run in runs if run.project})
        hint = f"There are: {', '.join(found[:_MOST_PROJECTS])}." if found else "No log names a project."
        raise UsageError(f"No run is of the project {choice.project!r}.", hint=hint, kind="unknown_project")


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
    # A push has asked the target by now, and waits: 15 ms less before that.
    from hsm.discover.inventory import read_inventory  # noqa: PLC0415

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
            folders=source.folders,
        )
        for sweep in source.sweeps
        for max_depth in set(depths)
    }
    if saves_cache:
        notices += save_index(index, path)
    missing = tuple(
        make_missing_problem(folders, key)
        for key, folders in source.missing.items()
        if (Root.SWEEPS if key == Root.SWEEPS.value else Root.WANDB) in roots
    )
    unexpected = _find_missing_runs(source, inventories) if Root.WANDB in roots else {}
    return {
        key: replace(inventory, problems=(*notices, *missing, *inventory.problems, *unexpected.get(key[0], ())))
        for key, inventory in inventories.items()
    }


def _find_missing_runs(source: ProjectSource, inventories: Inventories) -> dict[str, tuple[Problem, ...]]:
    """Find the sweeps without runs that should have some; a folder that is said to be missing is told already."""
    if source.missing.keys() - {Root.SWEEPS.value}:
        return {}
    from hsm.sync.expected_runs import find_missing_runs  # noqa: PLC0415 - as above

    sweeps = {sweep.id: sweep for sweep in source.sweeps}
    return {
        sweep: find_missing_runs(
            source.endpoint, source.layout, sweeps[sweep], inventory, source.project, target=source.target
        )
        for (sweep, _), inventory in inventories.items()
    }
