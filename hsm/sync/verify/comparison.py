"""Comparison of a plan with a listing of its destination: files there, missing, different, or only there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from hsm.model import EntryKind, FileKey, Problem, Reason, SourceFile, SyncPlan
from hsm.plan.collisions import fold_name, folds_names
from hsm.plan.destination import Destination


@dataclass(frozen=True, slots=True)
class Presence:
    """The files that count, by what a listing of the destination says of them.

    Attributes:
        there: Those that lie there as files; their content is to be compared.
        missing: Those that are not there.
        different: Those of another type there.
    """

    there: tuple[SourceFile, ...]
    missing: frozenset[FileKey]
    different: frozenset[FileKey]


def choose_fold(system: str) -> Callable[[str], str]:
    """Choose how names are compared at a destination, by what `uname -s` says there."""
    return fold_name if folds_names(system) else str


def counts(reason: Reason) -> bool:
    """Tell whether a file of a plan is to be the same at both ends."""
    return reason.is_send or reason in (Reason.SAME, Reason.CONFLICT)


def find_presence(plan: SyncPlan, destination: Destination, fold: Callable[[str], str]) -> Presence:
    """Sort the files that count by what lies at the destination under their names."""
    entries = {
        (root, fold(path)): entry for root, listed in destination.items() for path, entry in listed.entries.items()
    }
    there: list[SourceFile] = []
    missing: set[FileKey] = set()
    different: set[FileKey] = set()
    for item in plan.items:
        if not counts(item.reason):
            continue
        entry = entries.get((item.file.root, fold(item.file.path)))
        if entry is None:
            missing.add(item.file.key)
        elif entry.kind is EntryKind.FILE:
            there.append(item.file)
        else:
            different.add(item.file.key)
    return Presence(tuple(there), frozenset(missing), frozenset(different))


def find_only_there(plan: SyncPlan, destination: Destination, fold: Callable[[str], str]) -> set[FileKey]:
    """Find the files at the destination that the plan does not know."""
    known = {(item.file.root, fold(item.file.path)) for item in plan.items}
    return {
        (root, path)
        for root, listed in destination.items()
        for path, entry in listed.entries.items()
        if entry.kind is not EntryKind.FOLDER and (root, fold(path)) not in known
    }


def find_gone(plan: SyncPlan, known: Collection[str]) -> list[Problem]:
    """Find the runs that were verified there once and are no longer here: they cannot be compared."""
    message = "It was proven there and is no longer here, so it was not compared."
    here = {run.name for run in plan.runs}
    return [Problem(name, "gone_here", message) for name in sorted(known) if name and name not in here]


def count_skipped(plan: SyncPlan) -> dict[str, int]:
    """Count the files that do not count, by reason."""
    left = {"deeper": sum(plan.deeper.values())} if plan.deeper else {}
    for item in plan.items:
        if not counts(item.reason):
            left[item.reason.value] = left.get(item.reason.value, 0) + 1
    return left
