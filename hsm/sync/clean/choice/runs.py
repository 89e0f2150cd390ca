"""Runs of a sweep that a clean asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from hsm.errors import UsageError
from hsm.model import Root, Run, SweepInventory
from hsm.plan.choice import RunChoice, find_left_runs
from hsm.records.cleaned import CleanedUnit


@dataclass(frozen=True, slots=True)
class AskedRuns:
    """Part of a sweep that is asked for.

    Attributes:
        inventory: With these runs alone.
        leftovers: Those that an interrupted clean left of such runs.
        n_others: The number of runs that are not asked for; they stay.
    """

    inventory: SweepInventory
    leftovers: tuple[CleanedUnit, ...]
    n_others: int = 0


def choose_asked(
    inventory: SweepInventory, leftovers: Sequence[CleanedUnit], choice: RunChoice, only: frozenset[str]
) -> AskedRuns:
    """Choose the runs that are asked for.

    Args:
        inventory: Everything here of the sweep.
        leftovers: From `hsm.sync.clean.units.find_leftovers`.
        choice: By options.
        only: The names of the runs that words mean; empty for all.

    Raises:
        UsageError: A run that `--run` names is not the sweep's.
    """
    if only:
        choice = replace(choice, names=only)
    if choice.is_everything:
        return AskedRuns(inventory, tuple(leftovers))
    _check_names(choice.names, inventory, leftovers)
    left = find_left_runs(choice, inventory.runs, ())
    runs = tuple(run for run in inventory.runs if run.name not in left)
    # Of what an interrupted clean left, nothing says any more of which project it was.
    rest = tuple(unit for unit in leftovers if choice.names and _is_one_of(unit, choice.names))
    return AskedRuns(replace(inventory, runs=runs), rest, len(left))


def leave_folder(roots: Sequence[Root]) -> tuple[Root, ...]:
    """Leave the sweep's folder out of what is asked for, since single runs are.

    Raises:
        UsageError: Nothing is left.
    """
    if Root.WANDB not in roots:
        raise UsageError(
            "--sweep-only leaves nothing of single runs.",
            hint="Give one of the two.",
            kind="nothing_selected",
        )
    return (Root.WANDB,)


def _check_names(names: Iterable[str], inventory: SweepInventory, leftovers: Sequence[CleanedUnit]) -> None:
    known = {name for run in inventory.runs for name in _list_names(run)}
    for name in sorted(names):
        if name not in known and not any(_is_one_of(unit, (name,)) for unit in leftovers):
            raise UsageError(
                f"{inventory.sweep} has no run {name!r} here.",
                hint="Give the id or the name of its folder.",
                kind="unknown_run",
            )


def _list_names(run: Run) -> tuple[str, str]:
    return run.name, run.id


def _is_one_of(unit: CleanedUnit, names: Iterable[str]) -> bool:
    return any(unit.name == name or unit.name.endswith(f"-{name}") for name in names)
