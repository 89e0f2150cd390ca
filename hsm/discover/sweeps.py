"""Finder of a project's sweeps that are folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hsm.endpoint import Endpoint, FolderSearch, FoundFolders, Listing, Tree
from hsm.errors import UsageError
from hsm.model import Entry, EntryKind, Root, SweepKind
from hsm.sweep_folder import LOOSE, OUTPUTS, sweep_folder

LATEST = "latest"
WANDB_NAMES = frozenset({"wandb", ".wandb"})
"""The two names wandb gives the folder that holds its runs."""

# Names of folders that file systems and network disks (Synology, QNAP) make themselves, in any folder.
_FOLDERS_OF_SYSTEMS = frozenset({"lost+found", "@eaDir", "#recycle", "#snapshot", "@Recycle", "$RECYCLE.BIN"})

_RUN_NAME = re.compile(r"(offline-|dry)?run-.+", re.DOTALL)
_TIMESTAMP = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})[_T-]?(\d{2})-?(\d{2})-?(\d{2})", re.ASCII)
_NUMBERS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of a project's results, as absolute paths on the endpoint.

    Attributes:
        project: The project's folder.
        sweeps: The folder whose `outputs/` holds sweeps.
        wandb: The folder of runs.
        shared: Further folders of runs, in which the logs say whose a run is.
        inner: Further folders of runs that lie in the folder of one sweep.
        hydra: Folders of Hydra sweeps, relative to the project (`hsm.discover.kinds.hydra`).
    """

    project: str
    sweeps: str
    wandb: str
    shared: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    hydra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep at the source.

    Attributes:
        id: Its name, for example `sweep_20251020_212836`.
        prefix: The absolute folder at the source below which it is `outputs/<id>`, or `place`; empty for a sweep that
            has only wandb runs.
        path: The absolute path of its folder; empty where `prefix` is.
        kind: What makes its runs one.
        name: The name that logs give, where it is of the kind `wandb`.
        place: Its folder relative to the project, where it is of the kind `hydra`.
        has_jobs: A search found Hydra's jobs in its folder, all of which count to every depth.
    """

    id: str
    prefix: str = ""
    path: str = ""
    kind: SweepKind = SweepKind.FOLDER
    name: str = ""
    place: str = ""
    has_jobs: bool = False

    @property
    def folder(self) -> str:
        """The path of its folder below `prefix`."""
        return sweep_folder(self.id, self.place)


def is_run_name(name: str) -> bool:
    """Tell whether wandb would give a run's folder this name: `run-...`, `offline-run-...`, up to 0.9 `dryrun-...`."""
    return _RUN_NAME.fullmatch(name) is not None


def parse_timestamp(name: str) -> str:
    """Read the time in the name of a sweep or a run as 14 digits, which compare like times; empty for none."""
    match = _TIMESTAMP.search(name)
    return "".join(match.groups()) if match else ""


def check_sweep_name(word: str) -> None:
    """Refuse a word that cannot be the name of a sweep, before anything looks for it.

    Raises:
        UsageError: It is empty, holds `/`, `..` or control characters, or begins with `-` or `.`.
    """
    if not word:
        what = "it is empty"
    elif "/" in word or ".." in word:
        what = "it is a name, not a path: no `/` and no `..`"
    elif word[0] in "-.":
        what = f"it begins with `{word[0]}`"
    elif any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in word):
        what = "it holds control characters"
    else:
        return
    raise UsageError(
        f"{word!r} is not the name of a sweep: {what}",
        hint="`hsm sync list --sweeps` shows the names. A folder is given with a `/`, as `./train/wandb`.",
        kind="bad_sweep_name",
    )


@dataclass(frozen=True, slots=True)
class SweepsFound:
    """Sweeps and folders at an endpoint.

    Attributes:
        layout: As asked for, with the home folder in place of `~`, and with the wandb folders in folders of sweeps.
        sweeps: Oldest first.
        folders: Real paths of the folders that are there: the sweeps', the runs' and the project's.
        missing: Those of the two folders that are not there.
        searched: The answer to the search; None where there was none.
    """

    layout: Layout
    sweeps: tuple[Sweep, ...]
    folders: tuple[str, ...] = ()
    missing: tuple[Root, ...] = ()
    searched: FoundFolders | None = None


def look_for_sweeps(endpoint: Endpoint, layout: Layout, search: FolderSearch | None = None) -> SweepsFound:
    """List the project's sweeps that are folders, oldest first, and those of its folders that are there.

    A sweep is a folder in `<sweeps>/outputs` or `<project>/outputs`, or one in `<wandb>` that holds runs or a
    `wandb` folder. A symlink counts where it leads to a folder of the same name elsewhere, as of a sweep moved to
    another disk; others are second names, such as `latest`. One for each place: a name that lies in both kinds of
    `outputs` is there twice.

    Age is the timestamp in the name; names without one come first, in the order in which people count. The times of
    folders tell nothing: a copy or a late task changes them.

    Args:
        endpoint: The machine that they lie on.
        layout: May begin with `~/`.
        search: For further wandb folders, in the same session.
    """
    bases = dict.fromkeys((layout.sweeps, layout.project))
    trees = [Tree(f"{base}/{OUTPUTS}", max_depth=1, follow=True) for base in bases]
    places = (layout.wandb, layout.sweeps, layout.project)  # no names of these: their real paths alone are wanted
    trees += [Tree(layout.wandb, max_depth=1), *(Tree(place, (), 0) for place in places)]
    survey = endpoint.survey(trees, search=search)
    wandb, *there = survey.listings[len(bases) :]
    home = survey.machine.home
    found: dict[tuple[str, str], Sweep] = {}
    shared: dict[str, str] = {}
    for base, listing in zip(bases, survey.listings, strict=False):
        prefix = _expand(base, home)
        for entry in listing.entries:
            if entry.path in WANDB_NAMES and entry.kind is EntryKind.FOLDER:
                shared.setdefault(f"{listing.base}/{entry.path}", f"{prefix}/{sweep_folder(entry.path)}")
        for name in _iter_sweep_names(listing):
            # By the real path, since one of the two may be a symlink to the other.
            found.setdefault((listing.base, name), Sweep(name, prefix, f"{prefix}/{sweep_folder(name)}"))
    known = {sweep.id for sweep in found.values()}
    only_runs = [Sweep(name) for name in _iter_run_groups(endpoint, wandb) if name not in known]
    roots = zip((Root.WANDB, Root.SWEEPS), there, strict=False)
    return SweepsFound(
        layout=replace(
            layout,
            project=_expand(layout.project, home),
            sweeps=_expand(layout.sweeps, home),
            wandb=_expand(layout.wandb, home),
            shared=tuple(
                dict.fromkeys([*layout.shared, *(path for real, path in shared.items() if real != wandb.base)])
            ),
        ),
        sweeps=tuple(sorted([*found.values(), *only_runs], key=_make_age_key)),
        folders=tuple(dict.fromkeys(listing.base for listing in there if listing.kind is EntryKind.FOLDER)),
        missing=tuple(root for root, listing in roots if listing.kind is not EntryKind.FOLDER),
        searched=survey.found,
    )


def _expand(path: str, home: str) -> str:
    return f"{home}{path[1:]}" if path.startswith("~/") else path


def pick_sweep(sweeps: Sequence[Sweep], name: str) -> Sweep:
    """Take the one sweep of a name; between two folders HSM does not guess."""
    first, *others = (sweep for sweep in sweeps if sweep.id == name)
    if others:
        raise UsageError(
            f"Sweep {name!r} lies in two places: {first.path} and {others[0].path}",
            hint="Both would land in the same folder. Rename or move one of them.",
            kind="ambiguous_sweep",
        )
    return first


def _iter_sweep_names(listing: Listing) -> Iterator[str]:
    for entry in listing.entries:
        if _is_sweep_folder(entry) and _is_sweep_name(entry.path):
            yield entry.path


def _is_sweep_folder(entry: Entry) -> bool:
    if entry.kind is EntryKind.SYMLINK and entry.followed is not None:
        own_name = entry.link_target.rstrip("/").rpartition("/")[2] == entry.path
        return own_name and entry.followed.kind is EntryKind.FOLDER
    return entry.kind is EntryKind.FOLDER


def _iter_run_groups(endpoint: Endpoint, wandb: Listing) -> Iterator[str]:
    """Name the folders in the wandb folder that hold the runs of one sweep each."""
    names = tuple(
        entry.path
        for entry in wandb.entries
        if entry.kind is EntryKind.FOLDER
        and not is_run_name(entry.path)
        and entry.path not in WANDB_NAMES
        and _is_sweep_name(entry.path)
    )
    if not names:
        return
    (listing,) = endpoint.survey([Tree(wandb.base, names=names, max_depth=1)]).listings
    inside = (entry.path.split("/") for entry in listing.entries if entry.kind is EntryKind.FOLDER)
    pairs = (parts for parts in inside if len(parts) == 2)
    yield from dict.fromkeys(name for name, child in pairs if child in WANDB_NAMES or is_run_name(child))


def _is_sweep_name(name: str) -> bool:
    if name in _FOLDERS_OF_SYSTEMS or name in WANDB_NAMES or name == LOOSE:
        return False
    try:
        check_sweep_name(name)
    except UsageError:
        return False
    return True


def _make_age_key(sweep: Sweep) -> tuple[str, list[tuple[int, str]], str]:
    parts = _NUMBERS.split(sweep.id)
    counted = [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]
    return (parse_timestamp(sweep.id), counted, sweep.path)  # the path, so that the order is the same on every day
