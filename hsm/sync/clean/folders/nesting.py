"""Nesting of a sweep's and its jobs' folders: one stays because of what lies in it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from hsm.sync.clean.names import is_receipt
from hsm.sync.clean.values import UnitVerdict


def keep_around(verdicts: Sequence[UnitVerdict]) -> list[UnitVerdict]:
    """Let a unit stay in which another one lies that stays."""
    inside: dict[str, list[UnitVerdict]] = {verdict.unit.path: [] for verdict in verdicts}
    for verdict in verdicts:
        for path in list_holders(verdict.unit.path, inside) if not verdict.goes else ():
            inside[path].append(verdict)
    return [_keep_if_holding(verdict, inside[verdict.unit.path]) for verdict in verdicts]


def _keep_if_holding(verdict: UnitVerdict, staying: Sequence[UnitVerdict]) -> UnitVerdict:
    if not verdict.goes or not staying:
        return verdict
    first = staying[0].unit
    what = f"{first.name or first.job} lies in it and stays"
    return replace(verdict, goes=False, reasons=(what,), is_open=all(each.is_open for each in staying))


def list_holders(path: str, known: Collection[str]) -> list[str]:
    """List the folders above a path that are among some others, the innermost first."""
    return [parent for parent in map(str, PurePosixPath(path).parents) if parent in known]


def keep_folder(
    folder: UnitVerdict, runs: Sequence[UnitVerdict], *, removes_runs: bool, jobs: Sequence[UnitVerdict] = ()
) -> UnitVerdict:
    """Let the sweep's folder stay while anything of the sweep goes on, or lies in it, or is of it by a receipt in it.

    Args:
        folder: The decision for the folder alone.
        runs: Those for all runs of the sweep that are here.
        removes_runs: Runs are removed in this call too.
        jobs: Those for all of Hydra's jobs that are here.
    """
    open_jobs = [verdict for verdict in jobs if not verdict.goes]
    if open_jobs:
        what = "1 job of the sweep stays" if len(open_jobs) == 1 else f"{len(open_jobs)} jobs of the sweep stay"
        is_open = all(verdict.is_open for verdict in open_jobs)
        return replace(
            folder,
            goes=False,
            reasons=(what, *folder.reasons),
            is_open=folder.is_open or (folder.goes and is_open),
        )
    staying = [verdict for verdict in runs if not (removes_runs and verdict.goes)]
    inside = [verdict for verdict in staying if verdict.unit.path.startswith(f"{folder.unit.path}/")]
    is_over = all(verdict.unit.run is not None and verdict.unit.run.has_exit_record for verdict in staying)
    has_receipt = any(is_receipt(path, is_folder=True) for path in folder.unit.entries)
    is_needed = has_receipt and any(verdict.unit.needs_receipt for verdict in staying)
    if not staying or not (removes_runs or inside or not is_over or is_needed):
        return folder
    what = "1 run of the sweep stays" if len(staying) == 1 else f"{len(staying)} runs of the sweep stay"
    return UnitVerdict(
        unit=folder.unit,
        goes=False,
        copies=folder.copies,
        reasons=(what, *folder.reasons),
        lacks=folder.lacks,
        is_open=folder.is_open or (folder.goes and all(verdict.is_open for verdict in staying)),
    )
