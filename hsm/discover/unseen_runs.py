"""Places where runs of a sweep may lie unseen, and what lies among its runs without being of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hsm.discover.files.folder_links import find_real_paths
from hsm.discover.files.sweep_files import is_symlinked_wandb
from hsm.discover.results import Results, is_own, is_wandb_link
from hsm.discover.sweeps import WANDB_NAMES, Sweep, is_run_name
from hsm.discover.wandb_runs import find_place
from hsm.endpoint import Endpoint, Listing
from hsm.model import Entry, EntryKind, Gap, GapReason, Problem
from hsm.plan.symlinks.folder_links import SYMLINKED_FOLDER

STRAY_FILES = "stray_files"
_MOST_NAMES = 3


def iter_wandb_problems(endpoint: Endpoint, wandb: Listing, folder: Listing | None, sweep: Sweep) -> Iterator[Problem]:
    """Report the symlinks behind which runs may lie unseen, and the unreadable folders of the wandb folder.

    Those of other sweeps do not concern this one.
    """
    hint = "Move the folder there in place of the symlink."
    for entry in dict.fromkeys(wandb.entries):  # the request names folders within folders: entries may stand twice
        top, _, name = entry.path.partition("/")
        if entry.kind is EntryKind.SYMLINK and top == sweep.id and name in {"", *WANDB_NAMES}:
            yield Problem(entry.path, SYMLINKED_FOLDER, _make_runs_message(entry), hint)
        elif entry.kind is EntryKind.SYMLINK and entry.path in WANDB_NAMES:
            yield Problem(entry.path, SYMLINKED_FOLDER, _make_runs_message(entry), hint, is_failure=False)
    for entry in _list_symlinked_wandb(endpoint, wandb, folder):
        path = f"{sweep.folder}/{entry.path}"
        yield Problem(path, SYMLINKED_FOLDER, _make_runs_message(entry), f"{hint} Or let `folder_links` follow it.")
    for problem in dict.fromkeys(wandb.problems):
        top = problem.path.partition("/")[0]
        if is_run_name(top):  # `read_members` tells of those that may be the sweep's
            yield Problem(problem.path, problem.kind, problem.message, problem.hint, is_failure=False)
        elif not problem.path or top == sweep.id or top in WANDB_NAMES:
            yield problem


def iter_shared_problems(shared: Iterable[Listing]) -> Iterator[Problem]:
    """Report the further wandb folders that could not be read; runs in them may be anybody's."""
    for listing in shared:
        for problem in listing.problems:
            if not is_run_name(problem.path.partition("/")[0]):
                path = f"{listing.base}/{problem.path}".rstrip("/")
                yield Problem(path, problem.kind, problem.message, problem.hint, is_failure=False)


def list_strays(sweep: Sweep, wandb: Listing, folder: Listing | None) -> Results:
    """List what lies in a folder of this sweep's runs and in no run, so that it never comes.

    wandb's own symlinks are none of it.
    """
    strays: dict[str, None] = {}
    for entry in wandb.entries:
        parts = entry.path.split("/")
        is_run = any(map(is_run_name, parts[1:3]))
        if parts[0] == sweep.id and len(parts) > 1 and _is_stray(parts, entry, is_run=is_run):
            strays[entry.path] = None
    for entry in folder.entries if folder else ():
        parts = entry.path.split("/")
        is_inside = not WANDB_NAMES.isdisjoint(parts[:-1]) and entry.kind is not EntryKind.FOLDER
        if is_inside and _is_stray(parts, entry, is_run=find_place(parts, None) is not None):
            strays[f"{sweep.folder}/{entry.path}"] = None
    if not strays:
        return Results()
    names = list(strays)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    message = f"Not sent, since it lies in a wandb folder and in no run of it: {', '.join(names[:_MOST_NAMES])}{more}"
    notice = Problem(names[0], STRAY_FILES, message, "Move it out of the wandb folder.", is_failure=False)
    return Results(gaps=[Gap("", name, GapReason.STRAY) for name in names], problems=[notice])


def _is_stray(parts: list[str], entry: Entry, *, is_run: bool) -> bool:
    # A folder counts by what is seen in it, or where the listing ends.
    is_end = entry.kind is not EntryKind.FOLDER or (len(parts) == 3 and parts[1] not in WANDB_NAMES)
    return is_end and not is_run and not is_own(parts) and not is_wandb_link(entry)


def _list_symlinked_wandb(endpoint: Endpoint, wandb: Listing, folder: Listing | None) -> list[Entry]:
    """List the wandb folders of a sweep's folder that are symlinks; the runs of the project's own are seen anyway."""
    if folder is None:
        return []
    found = {
        f"{folder.base}/{entry.path}": entry
        for entry in folder.entries
        if is_symlinked_wandb(entry.path.split("/"), entry) and WANDB_NAMES.isdisjoint(entry.path.split("/")[:-1])
    }
    real = find_real_paths(endpoint, list(found))
    return [entry for path, entry in found.items() if real.get(path) != wandb.base]


def _make_runs_message(entry: Entry) -> str:
    return f"The wandb folder is a symlink, so its runs are not looked at: {entry.link_target}"
