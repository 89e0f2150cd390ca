"""Parts of a pull: the sweep's folder and the usual folder of runs, and each further folder of runs here. Pure.

An exchange has one folder for runs at its destination. Where runs lie in several, each folder is an exchange of its
own, one after another. Receipt, journal and origins are the same for all of them; what is remembered of the files at a
destination is so for each folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hsm.discover.untold_runs import make_double_problem
from hsm.model import Problem, Root, SweepInventory
from hsm.sync.bring.landing import RunPlaces


@dataclass(frozen=True, slots=True)
class SweepPart:
    """Part of a sweep that lands in one folder of sweeps and one of runs.

    Attributes:
        inventory: What the source has of it.
        roots: Those of the two folders that it needs.
        wandb: The folder of its runs here; empty for the usual one.
    """

    inventory: SweepInventory
    roots: tuple[Root, ...]
    wandb: str = ""

    @property
    def name(self) -> str:
        """A word for the names of its records; empty for the usual folder."""
        return hashlib.sha256(self.wandb.encode("utf-8", "surrogateescape")).hexdigest()[:8] if self.wandb else ""


def split_inventory(inventory: SweepInventory, roots: Sequence[Root], places: RunPlaces) -> tuple[SweepPart, ...]:
    """Split what comes by where it lands; the part with the sweep's folder is the first.

    The last one speaks for the sweep as a whole: it has the problems that are nobody's, and until it is done the sweep
    counts as not asked for as a whole.

    Args:
        inventory: What the source has, as `hsm.plan.planner.select` leaves it.
        roots: Those of the two folders that are wanted.
        places: Where runs lie here.
    """
    runs = {run.name for run in inventory.runs}
    doubles = places.doubles.keys() & runs
    elsewhere = {name: places.folders[name] for name in places.folders.keys() & runs}
    double = (make_double_problem(name, places.doubles[name]) for name in sorted(doubles))
    whole = replace(inventory, problems=(*inventory.problems, *double, *places.problems))
    if not (doubles or elsewhere):
        return (SweepPart(whole, tuple(roots)),)
    usual = runs - doubles - elsewhere.keys()
    # Where the source has no folder of the sweep, the one here is its own: nothing of it comes, and nothing is missed.
    has_folder = inventory.has_folder or not elsewhere
    here = tuple(root for root in roots if usual or (root is Root.SWEEPS and has_folder))
    parts = [SweepPart(_take(whole, {"", *usual}), here)] if here or not elsewhere else []
    for folder in sorted(set(elsewhere.values())):
        names = {name for name, place in elsewhere.items() if place == folder}
        parts.append(SweepPart(_take(whole, names), (Root.WANDB,), folder))
    return (*map(_make_partial, parts[:-1]), parts[-1])


def add_failures(part: SweepPart, found: Sequence[Problem]) -> SweepPart:
    """Add what went wrong in the parts before, so that the last one's record counts all of it."""
    failures = tuple(problem for problem in found if problem.is_failure)
    return replace(part, inventory=replace(part.inventory, problems=(*part.inventory.problems, *failures)))


def _take(inventory: SweepInventory, names: Collection[str]) -> SweepInventory:
    """Take the files of some runs; the sweep's folder goes by the empty name."""
    return replace(
        inventory,
        runs=tuple(run for run in inventory.runs if run.name in names),
        files=tuple(file for file in inventory.files if file.run in names),
        versions={name: found for name, found in inventory.versions.items() if name in names},
        deeper=inventory.deeper if "" in names else {},
        gaps=tuple(gap for gap in inventory.gaps if gap.run in names),
        links=tuple(link for link in inventory.links if link.run in names),
    )


def _make_partial(part: SweepPart) -> SweepPart:
    """Let the record of a part say that the runs were not asked for as a whole, as for `--sweep-only`."""
    left = {**part.inventory.left_roots, Root.WANDB: True}
    return replace(part, inventory=replace(part.inventory, problems=(), left_roots=left))
