"""What a source that is not trusted may say: names that would leave their folder, symlinks that lead out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hsm.model import PlanItem, Problem, Reason, Root, Run, SourceFile, SweepInventory
from hsm.sweep_folder import OUTPUTS

LINK_OUTSIDE = "link_outside"
LINK_DETAIL = "its symlink leads out: "
MOST_NAMED = 20
_RUN_NAMES = ("run-", "offline-run-")


def drop_bad_names(inventory: SweepInventory) -> SweepInventory:
    """Leave out of an inventory whatever would not land in the sweep's folder or in a run's, with a problem for each.

    No file system gives such names; a far side that makes its answers up can.
    """
    files = tuple(file for file in inventory.files if _is_good(file, inventory.sweep))
    runs = tuple(run for run in inventory.runs if _is_run(run))
    if len(files) == len(inventory.files) and len(runs) == len(inventory.runs):
        return inventory
    good = set(files)
    paths = [file.path for file in inventory.files if file not in good]
    paths += [run.name for run in inventory.runs if not _is_run(run)]
    message = "This is no name that the source can have, so it is left out."
    problems = tuple(
        Problem(path, "bad_name", message, "Look at the source: something there answers wrongly.") for path in paths
    )
    return replace(inventory, files=files, runs=runs, problems=(*inventory.problems, *problems))


def leads_out(file: SourceFile, folders: Sequence[str]) -> bool:
    """Whether a symlink leads out of all of these folders, or where it leads is not known.

    Args:
        file: Of the source; one that is no symlink leads nowhere.
        folders: Real paths.
    """
    return file.is_link and not any(file.real.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def make_link_detail(file: SourceFile) -> str:
    """Why a symlink that leads out is left."""
    return f"{LINK_DETAIL}{file.leads_to[0] if file.leads_to else 'where to is not told there'}"


def make_link_notices(items: Iterable[PlanItem]) -> list[Problem]:
    """Name the symlinks that are left because they lead out: the first ones each, then how many more there are."""
    links = [item for item in items if item.reason is Reason.EXCLUDED and item.detail.startswith(LINK_DETAIL)]
    hint = "Put the file itself there, or set `project_root` of the target to a folder that holds what it leads to."
    notices = [
        Problem(item.file.path, LINK_OUTSIDE, f"Left out: {item.detail}", hint, is_failure=False)
        for item in links[:MOST_NAMED]
    ]
    n_more = len(links) - len(notices)
    if n_more > 0:
        message = f"{n_more:,} more symlinks lead out; `--dry-run -v` lists them."
        notices.append(Problem("", LINK_OUTSIDE, message, hint, is_failure=False))
    return notices


def _is_good(file: SourceFile, sweep: str) -> bool:
    parts = file.path.split("/")
    if not all(_is_name(part) for part in parts):
        return False
    if file.root is Root.SWEEPS:
        return len(parts) > 2 and parts[:2] == [OUTPUTS, sweep]
    return len(parts) > 1 and parts[0] == file.run and parts[0].startswith(_RUN_NAMES)


def _is_run(run: Run) -> bool:
    return _is_name(run.name) and "/" not in run.name and run.name.startswith(_RUN_NAMES)


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and "\0" not in part
