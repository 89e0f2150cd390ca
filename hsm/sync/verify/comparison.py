"""Comparison of a plan with a listing of its destination: files there, missing, different, or only there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from hsm.model import EntryKind, FileKey, Problem, Reason, Root, SourceFile, SyncPlan
from hsm.plan.destination import Destination
from hsm.plan.disk.file_system import FileSystem
from hsm.sweep_folder import sweep_folder


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


Fold = Callable[[Root, str], str]
"""Returns what all spellings of a path have in common that are one name below a root."""


def make_fold(file_systems: Mapping[Root, FileSystem]) -> Fold:
    """Make the comparison of names at a destination, as far as its file systems were measured."""

    def fold(root: Root, path: str) -> str:
        there = file_systems.get(root)
        return there.fold(there.spell(path)) if there is not None else path

    return fold


def counts(reason: Reason) -> bool:
    """Tell whether a file of a plan is to be the same at both ends."""
    return reason.is_send or reason in (Reason.SAME, Reason.THERE, Reason.CONFLICT)


def find_presence(plan: SyncPlan, destination: Destination, fold: Fold) -> Presence:
    """Sort the files that count by what lies at the destination under their names."""
    entries = {
        (root, fold(root, path)): entry
        for root, listed in destination.items()
        for path, entry in listed.entries.items()
    }
    there: list[SourceFile] = []
    missing: set[FileKey] = set()
    different: set[FileKey] = set()
    for item in plan.items:
        if not counts(item.reason):
            continue
        entry = entries.get((item.file.root, fold(item.file.root, item.file.path)))
        if entry is None:
            missing.add(item.file.key)
        elif entry.kind is EntryKind.FILE:
            there.append(item.file)
        else:
            different.add(item.file.key)
    return Presence(tuple(there), frozenset(missing), frozenset(different))


def find_only_there(plan: SyncPlan, destination: Destination, fold: Fold) -> set[FileKey]:
    """Find the files at the destination that the plan does not know."""
    known = {(item.file.root, fold(item.file.root, item.file.path)) for item in plan.items}
    return {
        (root, path)
        for root, listed in destination.items()
        for path, entry in listed.entries.items()
        if entry.kind is not EntryKind.FOLDER and (root, fold(root, path)) not in known
    }


def find_gone(plan: SyncPlan, known: Collection[str]) -> list[Problem]:
    """Find the runs that were verified there once and are no longer here, and the sweep's folder: nothing to compare.

    Args:
        plan: Of everything here.
        known: The runs of which files were verified there; the sweep's folder under its empty name.
    """
    message = "It was proven there and is no longer here, so it was not compared."
    here = {run.name for run in plan.runs} | {item.file.run for item in plan.items}
    hint = "Bring it back with `hsm sync from`, or mount the disk that it lies on."
    gone = [name for name in sorted(known) if name not in here]
    return [Problem(name or sweep_folder(plan.sweep, plan.place), "gone_here", message, hint) for name in gone]


def count_skipped(plan: SyncPlan) -> dict[str, int]:
    """Count the files that do not count, by reason."""
    left = {"deeper": sum(plan.deeper.values())} if plan.deeper else {}
    for item in plan.items:
        if not counts(item.reason):
            left[item.reason.value] = left.get(item.reason.value, 0) + 1
    return left
