"""Limits of a source that is not trusted: names stay in their folder, symlinks do not lead out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hsm.model import PlanItem, Problem, Reason, Root, Run, SourceFile, SweepInventory
from hsm.plan.notices import make_notices
from hsm.sweep_folder import sweep_folder

LINK_OUTSIDE = "link_outside"
LINK_DETAIL = "its symlink leads out: "
_RUN_NAMES = ("run-", "offline-run-", "dryrun-")


def drop_bad_names(inventory: SweepInventory) -> SweepInventory:
    """Leave out of an inventory what would not land in the sweep's folder or in a run's, with a problem for each.

    No file system gives such names; a far side that makes its answers up can.
    """
    files = tuple(file for file in inventory.files if _is_good(file, sweep_folder(inventory.sweep, inventory.place)))
    runs = tuple(run for run in inventory.runs if _is_run(run))
    # A record is made of each of them, by the name of its run.
    names = {"", *(run.name for run in runs)}
    gaps = tuple(gap for gap in inventory.gaps if gap.run in names)
    links = tuple(link for link in inventory.links if link.run in names)
    kept = (files, runs, gaps, links)
    if kept == (inventory.files, inventory.runs, inventory.gaps, inventory.links):
        return inventory
    good = set(files)
    paths = [file.path for file in inventory.files if file not in good]
    paths += [run.name for run in inventory.runs if not _is_run(run)]
    paths += [gap.path for gap in inventory.gaps if gap.run not in names]
    paths += [link.path for link in inventory.links if link.run not in names]
    message = "This is no name that the source can have, so it is left out."
    problems = tuple(
        Problem(path, "bad_name", message, "Look at the source: something there answers wrongly.") for path in paths
    )
    return replace(inventory, files=files, runs=runs, gaps=gaps, links=links, problems=(*inventory.problems, *problems))


def leads_out(file: SourceFile, folders: Sequence[str]) -> bool:
    """Tell whether a symlink leads out of all of these folders, or where it leads is not known.

    Args:
        file: Of the source; one that is no symlink leads nowhere.
        folders: Real paths.
    """
    # Else any symlink there could bring any file that the login there may read. wandb links saved files to where they
    # are; those in the project come.
    # The slash keeps `/p/project-2` out of `/p/project`.
    return file.is_link and not any(file.real.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def make_link_detail(file: SourceFile) -> str:
    """Say why a symlink that leads out is left out."""
    return f"{LINK_DETAIL}{file.leads_to[0] if file.leads_to else 'where to is not told there'}"


def make_link_notices(items: Iterable[PlanItem]) -> list[Problem]:
    """Name the symlinks of a plan that are left out because they lead out."""
    return make_notices(
        [item for item in items if item.reason is Reason.EXCLUDED and item.detail.startswith(LINK_DETAIL)],
        kind=LINK_OUTSIDE,
        describe=lambda item: f"Left out: {item.detail}",
        more="symlinks lead out",
        hint="Put the file itself there, or set `project_root` of the target to a folder that holds what it leads to.",
    )


def _is_good(file: SourceFile, folder: str) -> bool:
    parts = file.path.split("/")
    # Checked part by part, before any path is joined: `..` in the middle leads out as well.
    if not all(_is_name(part) for part in parts):
        return False
    if file.root is Root.SWEEPS:
        return file.path.startswith(f"{folder}/")
    return len(parts) > 1 and parts[0] == file.run and parts[0].startswith(_RUN_NAMES)


def _is_run(run: Run) -> bool:
    return _is_name(run.name) and "/" not in run.name and run.name.startswith(_RUN_NAMES)


def _is_name(part: str) -> bool:
    return part not in ("", ".", "..") and "\0" not in part
