"""Reader of one sweep at the source: its folder's files and its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hsm.discover.index import RunIndex
from hsm.discover.links import resolve_links
from hsm.discover.results import SYMLINKED_FOLDER, is_own, make_file
from hsm.discover.run_files import read_run_files, read_run_versions
from hsm.discover.sweeps import WANDB_NAMES, Layout, SweepFolder, is_run_name
from hsm.discover.wandb_runs import find_candidates, make_wandb_tree, read_members
from hsm.endpoint import Endpoint, Listing, Survey, Tree
from hsm.model import Entry, EntryKind, Problem, Root, Run, RunVersions, SourceFile, SweepInventory
from hsm.sweep_folder import sweep_folder


@dataclass(frozen=True, slots=True)
class _Runs:
    """Part of an inventory that is about runs."""

    runs: tuple[Run, ...] = ()
    files: Sequence[SourceFile] = ()
    versions: Mapping[str, RunVersions] = field(default_factory=dict)
    problems: Sequence[Problem] = ()


def read_inventory(
    endpoint: Endpoint,
    layout: Layout,
    sweep: SweepFolder,
    *,
    max_depth: int | None,
    index: RunIndex,
    known_sweeps: Collection[str],
    include_sweep: bool = True,
    include_runs: bool = True,
    include_versions: bool = True,
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
    """
    trees = [Tree(sweep.path, follow=True)] if sweep.path else []
    if include_runs:
        trees.append(make_wandb_tree(layout.wandb, sweep.id))
    survey = endpoint.survey(trees)
    folder = survey.listings[0] if sweep.path else None
    files: list[SourceFile] = []
    problems: list[Problem] = []
    deeper: Counter[str] = Counter()
    if folder is not None:
        depth = max_depth if include_sweep else 0  # its files do not count, but runs may lie in it
        files.extend(_iter_sweep_files(folder, sweep, max_depth=depth, deeper=deeper, problems=problems))
        problems.extend(_iter_unreadable(folder, sweep, max_depth=depth))
    runs = _Runs()
    if include_runs:
        runs = _read_runs(
            endpoint,
            survey,
            sweep,
            index=index,
            known_sweeps=known_sweeps,
            include_versions=include_versions,
        )
    return SweepInventory(
        sweep=sweep.id,
        runs=runs.runs,
        files=resolve_links(endpoint, (*files, *runs.files)),
        versions=runs.versions,
        deeper=dict(deeper) if include_sweep else {},
        max_depth=max_depth,
        problems=(*problems, *runs.problems),
    )


def _read_runs(
    endpoint: Endpoint,
    survey: Survey,
    sweep: SweepFolder,
    *,
    index: RunIndex,
    known_sweeps: Collection[str],
    include_versions: bool,
) -> _Runs:
    wandb = survey.listings[-1]
    folder = survey.listings[0] if sweep.path else None
    candidates, symlinks = find_candidates(sweep.id, wandb, folder)
    members, untold = read_members(endpoint, candidates, sweep=sweep.id, known_sweeps=known_sweeps, index=index)
    runs, files, unsent = read_run_files(endpoint, members, now_ns=survey.machine.clock_ns)
    versions = read_run_versions(endpoint, members, files, index=index) if include_versions else {}
    unseen = _iter_wandb_problems(wandb, folder, sweep.id)
    return _Runs(runs, files, versions, (*symlinks, *unseen, *untold, *unsent))


def _iter_sweep_files(
    folder: Listing,
    sweep: SweepFolder,
    *,
    max_depth: int | None,
    deeper: Counter[str],
    problems: list[Problem],
) -> Iterator[SourceFile]:
    """Read the sweep folder's listing; files that lie too deep are counted by top-level folder."""
    for entry in folder.entries:
        parts = entry.path.split("/")
        if not entry.path or entry.kind is EntryKind.FOLDER or _is_left_out(parts, entry):
            continue
        if max_depth is not None and len(parts) > max_depth:
            leads_to = entry.followed or entry
            deeper[parts[0]] += leads_to.kind is EntryKind.FILE
            continue
        file = make_file(entry, Root.SWEEPS, f"{sweep_folder(sweep.id)}/{entry.path}", sweep.prefix, "", problems)
        if file is not None:
            yield file


def _is_left_out(parts: Sequence[str], entry: Entry) -> bool:
    """Tell whether a path of the sweep folder is HSM's own, or a wandb folder's, whose runs come as runs."""
    return is_own(parts) or not WANDB_NAMES.isdisjoint(parts[:-1]) or _is_symlinked_wandb(parts, entry)


def _is_symlinked_wandb(parts: Sequence[str], entry: Entry) -> bool:
    leads_to_file = entry.followed is not None and entry.followed.kind is EntryKind.FILE
    return entry.kind is EntryKind.SYMLINK and parts[-1] in WANDB_NAMES and not leads_to_file


def _iter_unreadable(folder: Listing, sweep: SweepFolder, *, max_depth: int | None) -> Iterator[Problem]:
    """Report the folders of the sweep folder that could not be read; a notice where they lie too deep to be sent."""
    for problem in folder.problems:
        parts = problem.path.split("/") if problem.path else []
        is_too_deep = max_depth is not None and len(parts) >= max_depth
        is_failure = not is_too_deep or any(part in WANDB_NAMES for part in parts)
        path = "/".join([sweep_folder(sweep.id), *parts])
        yield Problem(path, problem.kind, problem.message, problem.hint, is_failure=is_failure)


def _iter_wandb_problems(wandb: Listing, folder: Listing | None, sweep: str) -> Iterator[Problem]:
    """Report the symlinks behind which runs may lie unseen, and the unreadable folders of the wandb folder.

    Those of other sweeps do not concern this one.
    """
    hint = "Move the folder there in place of the symlink."
    for entry in dict.fromkeys(wandb.entries):  # the request names folders within folders: entries may stand twice
        top, _, name = entry.path.partition("/")
        if entry.kind is EntryKind.SYMLINK and top == sweep and name in {"", *WANDB_NAMES}:
            yield Problem(entry.path, SYMLINKED_FOLDER, _make_runs_message(entry), hint)
    for entry in folder.entries if folder else ():
        parts = entry.path.split("/")
        if _is_symlinked_wandb(parts, entry) and WANDB_NAMES.isdisjoint(parts[:-1]):
            path = f"{sweep_folder(sweep)}/{entry.path}"
            yield Problem(path, SYMLINKED_FOLDER, _make_runs_message(entry), hint, is_failure=False)
    for problem in dict.fromkeys(wandb.problems):
        top = problem.path.partition("/")[0]
        if not problem.path or top == sweep or is_run_name(top):
            is_failure = not is_run_name(top)
            yield Problem(problem.path, problem.kind, problem.message, problem.hint, is_failure=is_failure)


def _make_runs_message(entry: Entry) -> str:
    return f"The wandb folder is a symlink, so its runs are not looked at: {entry.link_target}"
