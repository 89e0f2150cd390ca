"""Hydra's sweeps: folders with `multirun.yaml`, and folders whose jobs say that they are of a multirun.

Hydra writes `multirun.yaml` before the first job; its Optuna sweeper writes none (hydra-optuna-sweeper 1.3). Each job's
folder holds `.hydra/hydra.yaml`, in which `hydra.mode` is MULTIRUN or RUN (hydra-core 1.3, `hydra/core/utils.py` and
`hydra/_internal/hydra.py`). `.hydra` alone is no sign: the parent of single jobs looks alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from hsm.discover.results import is_own
from hsm.discover.sweeps import WANDB_NAMES, Layout, Sweep
from hsm.endpoint import Endpoint, FoundFolders, Listing, Tree
from hsm.errors import RefusedError, UsageError
from hsm.model import EntryKind, SweepKind
from hsm.sweep_folder import OUTPUTS, make_hydra_id, sweep_folder
from hsm.wandb_log.plain_yaml import parse_plain_yaml

HYDRA_FOLDER = ".hydra"
MULTIRUN_FILE = "multirun.yaml"
MOST_YAML_BYTES = 1024 * 1024
"""Far more than Hydra writes; of a larger file nothing is read."""

_MODE = b"MULTIRUN"


def settle_marks(endpoint: Endpoint, found: FoundFolders, layout: Layout) -> FoundFolders:
    """Tell which folders of jobs are sweeps; costs a session where there are some that nothing else tells of.

    Args:
        endpoint: The machine that they lie on.
        found: By a search below the project.
        layout: The project's folders; what lies directly in a folder of sweeps is a sweep in any case.

    Returns:
        The same, with all sweeps in `multiruns`, and in `jobs` what is in none of these.
    """
    places = _list_outputs(found.base, layout)
    parents: dict[str, list[str]] = {}
    for job in found.jobs:
        parent = job.rpartition("/")[0]
        if parent and found.get_path(parent).rpartition("/")[0] not in places:
            parents.setdefault(parent, []).append(job)
    paths = {
        f"{found.get_path(job)}/{HYDRA_FOLDER}/hydra.yaml": parent for parent, jobs in parents.items() for job in jobs
    }
    multiruns = set(found.multiruns)
    for ends in endpoint.read_ends(list(paths), n_blocks=0, head_bytes=MOST_YAML_BYTES) if paths else ():
        parent = paths[ends.path]
        if parent not in multiruns and ends.size <= MOST_YAML_BYTES and is_multirun(ends.head):
            multiruns.add(parent)
    # Jobs whose names hold a `/` lie deeper: the outermost folder is the sweep.
    outermost = tuple(sorted(name for name in multiruns if not _lies_below(name, multiruns)))
    return replace(
        found, multiruns=outermost, jobs=tuple(job for job in found.jobs if not _lies_below(job, set(outermost)))
    )


def is_multirun(content: bytes) -> bool:
    """Tell whether a job's `.hydra/hydra.yaml` says that the job is one of several. Pure."""
    if _MODE not in content:  # a text is looked through a thousand times as fast as YAML is parsed
        return False
    found = read_mapping(content).get("hydra")
    return isinstance(found, Mapping) and found.get("mode") == _MODE.decode()


def read_mapping(content: bytes) -> Mapping[object, object]:
    """Read a mapping in YAML, as Hydra writes it; empty where it is none. Pure."""
    try:
        found = parse_plain_yaml(content.decode(errors="replace"))
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def list_hydra_places(found: FoundFolders, layout: Layout) -> tuple[str, ...]:
    """List the folders of Hydra sweeps that are sweeps of that kind, relative to the project. Pure.

    None is one that lies directly in a folder of sweeps, which is a sweep by its name, and none that holds one of the
    project's own folders.

    Args:
        found: As `settle_marks` leaves it.
        layout: The project's folders.
    """
    places = _list_outputs(found.base, layout)
    own = {*places, found.base, layout.project, layout.sweeps, layout.wandb}
    paths = {name: found.get_path(name) for name in found.multiruns if name}
    return tuple(
        name
        for name, path in paths.items()
        if path.rpartition("/")[0] not in places and not any(f"{folder}/".startswith(f"{path}/") for folder in own)
    )


def make_hydra_sweep(layout: Layout, place: str) -> Sweep:
    """Make the sweep of a folder. Pure.

    Args:
        layout: The project's folders.
        place: Relative to the project.
    """
    path = f"{layout.project}/{place}"
    return Sweep(make_hydra_id(place), layout.project, path, SweepKind.HYDRA, place=place, has_jobs=True)


def mark_jobs(sweeps: Iterable[Sweep], found: FoundFolders) -> tuple[Sweep, ...]:
    """Mark the folder sweeps in which a search found jobs. Pure."""
    folders = {found.get_path(name) for name in (*found.multiruns, *(job.rpartition("/")[0] for job in found.jobs))}
    return tuple(replace(sweep, has_jobs=True) if sweep.path in folders else sweep for sweep in sweeps)


def make_claimed_places(layout: Layout, folders: Iterable[str]) -> dict[str, str]:
    """Make the folders that an argument of a run may name, by the sweep's id. Pure.

    Args:
        layout: With the folders of Hydra sweeps.
        folders: The ids of the folder sweeps, which may hold Hydra's jobs as well.
    """
    return {name: sweep_folder(name) for name in folders} | {make_hydra_id(place): place for place in layout.hydra}


def find_jobs(listing: Listing | None, *, is_folder_sweep: bool) -> tuple[str, ...]:
    """Find the job folders in the listing of a sweep's folder, sorted. Pure.

    Args:
        listing: Of the whole folder, if there is one.
        is_folder_sweep: In a sweep that is none of Hydra's jobs count that lie directly in it.
    """
    entries = listing.entries if listing is not None else ()
    every = is_folder_sweep and not any(entry.path == MULTIRUN_FILE for entry in entries)
    found = {
        "/".join(parts[:-1])
        for parts in (entry.path.split("/") for entry in entries if entry.kind is EntryKind.FOLDER)
        if len(parts) > 1 and parts[-1] == HYDRA_FOLDER and WANDB_NAMES.isdisjoint(parts) and not is_own(parts)
    }
    return tuple(sorted(job for job in found if not (every and "/" in job) and HYDRA_FOLDER not in job.split("/")))


def list_hydra_trees(layout: Layout) -> list[Tree]:
    """List the requests for all of each Hydra sweep's folder."""
    return [Tree(f"{layout.project}/{place}") for place in layout.hydra]


def check_places(places: Collection[str], sweep: str) -> str:
    """Take the one folder of a Hydra sweep out of what receipts say, which anybody may have written. Pure.

    Args:
        places: As the receipts say.
        sweep: Their sweep.

    Raises:
        RefusedError: One leads out of the project, or into a folder that no search enters (`.git`, `.hsm`, `wandb`).
        UsageError: They are several.
    """
    for place in sorted(places) or [""]:
        parts = place.split("/")
        is_bad = any(part == "" or part.startswith(".") or part.casefold() in WANDB_NAMES for part in parts)
        if is_bad or any(ord(char) < 0x20 for char in place) or make_hydra_id(place) != sweep:
            raise RefusedError(
                f"The receipt of {sweep} names a place that it cannot have: {place[:200]!r}. Nothing is written.",
                hint=f"Look who wrote into {sweep_folder(sweep)} there; `hsm sync to` writes a new receipt.",
                kind="bad_place",
            )
    if len(places) > 1:
        raise UsageError(
            f"Sweep {sweep!r} lies in two places: {' and '.join(sorted(places)[:2])}",
            hint="Both have one journal and one receipt. Rename one of them.",
            kind="ambiguous_sweep",
        )
    return next(iter(places))


def make_two_kinds_error(sweep: str, places: Collection[str]) -> UsageError:
    """Make the error of an id that sweeps of several kinds have. Pure.

    Args:
        sweep: The id.
        places: What has it, in words.
    """
    return UsageError(
        f"{sweep!r} is the id of {len(places)} sweeps: {' and '.join(places)}",
        hint="They would have one journal and one receipt. Rename one of the folders.",
        kind="ambiguous_sweep",
    )


def _list_outputs(base: str, layout: Layout) -> set[str]:
    """List the folders whose children are sweeps; the search says real paths, the layout those of the configuration."""
    return {f"{folder}/{OUTPUTS}" for folder in (base, layout.project, layout.sweeps)}


def _lies_below(name: str, folders: Collection[str]) -> bool:
    parts = name.split("/")
    return any("/".join(parts[:count]) in folders for count in range(1, len(parts)))
