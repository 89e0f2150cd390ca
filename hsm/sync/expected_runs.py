"""Runs that a sweep should have, where none of it is found."""

from __future__ import annotations

from pathlib import Path

from hsm.discover.combinations import COMBINATIONS, count_combinations
from hsm.discover.sweeps import Layout, Sweep
from hsm.endpoint import Endpoint, Tree
from hsm.model import NO_RUNS, EntryKind, Problem, SweepInventory
from hsm.project_folder import ProjectFolder
from hsm.records.journal import list_journals


def find_missing_runs(
    endpoint: Endpoint,
    layout: Layout,
    sweep: Sweep,
    inventory: SweepInventory,
    project: Path,
    *,
    target: str = "",
) -> tuple[Problem, ...]:
    """Tell of a sweep with a folder of its own and no run, if it should have some; one that expects none is all right.

    It should where its folder lists combinations of parameters, where runs of it were synced before, and where the
    folder of runs is missing. A sweep that `hsm sync clean` removed runs of has none for that reason.

    Args:
        endpoint: The source.
        layout: Places of its results.
        sweep: Of which the inventory is.
        inventory: Read with its runs.
        project: The project here, which holds the journals.
        target: The one that is the source; empty for this machine.
    """
    if inventory.runs or not sweep.path:
        return ()
    why = "" if inventory.has_jobs else _find_unread_reason(endpoint, layout, sweep)
    why = why or _find_known_reason(layout, sweep, project, target)
    if not why or (not target and _was_cleaned(project, sweep.id)):
        return ()
    setting = f"`paths.wandb` of {target}" if target else "`source.wandb`"
    hint = f"Set {setting} to the folder that holds its runs, or `sync_wandb_runs: false` if none are to come."
    return (Problem(layout.wandb, NO_RUNS, f"No run of {sweep.id} was found: {why}.", hint),)


def _was_cleaned(project: Path, sweep: str) -> bool:
    """Tell whether a clean removed runs of a sweep, through this one or another that they are in too."""
    from hsm.records.cleaned_runs import find_cleaned_runs  # noqa: PLC0415 - few need it

    names = ProjectFolder(project).list_targets()
    known = {run for name in names for journal in list_journals(project, name, sweep) for run in journal.runs}
    return bool(find_cleaned_runs(project, sweep, known))


def _find_unread_reason(endpoint: Endpoint, layout: Layout, sweep: Sweep) -> str:
    """Say what tells that there should be some; Hydra's jobs need not be wandb's runs."""
    (wandb,) = endpoint.survey([Tree(layout.wandb, (), 0)]).listings
    if wandb.kind is not EntryKind.FOLDER:
        return f"there is no folder {layout.wandb}"
    n_combinations = count_combinations(endpoint, sweep.path)
    if n_combinations:
        return f"{COMBINATIONS} lists {n_combinations:,}, and none is in {layout.wandb}"
    return ""


def _find_known_reason(layout: Layout, sweep: Sweep, project: Path, target: str) -> str:
    names = [target] if target else ProjectFolder(project).list_targets()
    for name in names:
        for journal in list_journals(project, name, sweep.id):
            n_known = sum(1 for run, record in journal.runs.items() if run and record.n_files)
            if n_known:
                return f"{n_known:,} were synced with {name} before, and none is in {layout.wandb}"
    return ""
