"""Reader of a sweep's own folder: its files to a depth, and what of it is no file that can be sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from hsm.discover.files.folder_links import Followed, Places, follow_folders
from hsm.discover.files.junk import mark_junk, may_hold_junk
from hsm.discover.kinds.hydra import find_jobs
from hsm.discover.results import Results, is_own
from hsm.discover.sweeps import WANDB_NAMES, Sweep
from hsm.endpoint import Endpoint, Listing
from hsm.model import Entry, EntryKind, Problem, Root, SweepKind


@dataclass(frozen=True, slots=True)
class SweepFiles:
    """Files of a sweep folder.

    Attributes:
        listing: Of the folder, with what lies behind the symlinks in it that are followed.
        results: Its files, and what cannot be sent.
        deeper: Folder in it -> number of files that lie too deep below it.
        jobs: Hydra's job folders in it, relative to it.
    """

    listing: Listing | None = None
    results: Results = field(default_factory=Results)
    deeper: Counter[str] = field(default_factory=Counter)
    jobs: tuple[str, ...] = ()


def read_sweep_files(
    endpoint: Endpoint,
    listing: Listing,
    sweep: Sweep,
    *,
    max_depth: int | None,
    places: Places | None,
    has_runs: bool,
) -> SweepFiles:
    """Read the listing of a sweep folder.

    Args:
        endpoint: The source.
        listing: Of the whole folder.
        sweep: Of which it is the folder.
        max_depth: Levels whose files count; None for all. In a job of Hydra's every level does.
        places: Follow symlinked folders that lead into these; None for none.
        has_runs: Runs are looked for in it, so that what cannot be read may hide some.
    """
    followed = follow_folders(endpoint, listing, places) if places is not None else Followed(listing, {})
    jobs = find_jobs(followed.listing, is_folder_sweep=sweep.kind is not SweepKind.HYDRA)
    found = SweepFiles(followed.listing, jobs=jobs)
    whole = frozenset(jobs) if max_depth != 0 else frozenset()
    max_depth = None if sweep.kind is SweepKind.HYDRA and max_depth != 0 else max_depth
    for entry in followed.listing.entries:
        if entry.kind is EntryKind.FOLDER and not entry.link_target:
            continue
        parts = entry.path.split("/")
        if not entry.path or is_in_wandb(parts, entry):
            continue
        path = f"{sweep.folder}/{entry.path}"
        if max_depth is None or len(parts) <= max_depth or (whole and _lies_in(parts, whole)):
            found.results.take(entry, Root.SWEEPS, path, sweep.prefix, "", places=followed.places.get(entry.path))
        elif entry.kind is not EntryKind.FOLDER:  # what lies behind it is counted by itself
            found.deeper[parts[0]] += 1
    for problem in followed.listing.problems:
        _take_problem(problem, sweep, found, max_depth=max_depth, has_runs=has_runs)
    if may_hold_junk(file.path for file in found.results.files):
        start = f"{sweep.prefix}/{sweep.folder}"
        listed = frozenset(f"{start}/{entry.path}" for entry in followed.listing.entries)
        found.results.files = mark_junk(endpoint, found.results.files, listed)
    return found


def _lies_in(parts: Sequence[str], folders: Collection[str]) -> bool:
    return any("/".join(parts[:count]) in folders for count in range(1, len(parts)))


def is_in_wandb(parts: Sequence[str], entry: Entry) -> bool:
    """Tell whether a path of the sweep folder is HSM's own, or a wandb folder's, whose runs come as runs."""
    return is_own(parts) or not WANDB_NAMES.isdisjoint(parts[:-1]) or is_symlinked_wandb(parts, entry)


def is_symlinked_wandb(parts: Sequence[str], entry: Entry) -> bool:
    """Tell whether an entry is a wandb folder that is a symlink and was not followed."""
    leads_to_file = entry.followed is not None and entry.followed.kind is EntryKind.FILE
    return entry.kind is EntryKind.SYMLINK and parts[-1] in WANDB_NAMES and not leads_to_file


def _take_problem(problem: Problem, sweep: Sweep, found: SweepFiles, *, max_depth: int | None, has_runs: bool) -> None:
    """Take what could not be read; a notice where it lies too deep to be sent, and can hide no run."""
    parts = problem.path.split("/") if problem.path else []
    path = "/".join([sweep.folder, *parts])
    if has_runs or max_depth is None or len(parts) < max_depth:
        found.results.take_unreadable(Problem(path, problem.kind, problem.message, problem.hint), "")
        return
    found.results.problems.append(Problem(path, problem.kind, problem.message, problem.hint, is_failure=False))
    if parts:
        found.deeper[parts[0]] += 1
