"""Planner: from two inventories to what is sent and what is left out, each file with its reason. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

from hsm.config.rules import SECRET_PATTERNS
from hsm.model import (
    CONFLICT,
    FOLDER_UNREADABLE,
    TYPE_CONFLICT,
    Entry,
    EntryKind,
    PlanItem,
    Problem,
    Reason,
    Root,
    SourceFile,
    SweepInventory,
    SyncPlan,
)
from hsm.plan.choice import RunChoice, choose
from hsm.plan.collisions import find_collisions, fold_name, make_collision_problems
from hsm.plan.destination import Destination, DestinationRoot
from hsm.plan.digest import make_digest
from hsm.plan.outside import make_link_notices
from hsm.plan.secrets import make_secret_notices
from hsm.plan.selection import Selection

_TIME_STEPS_NS = (100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
"""Steps of times that are coarser than nanoseconds: CIFS; ext3 over some NFS; SFTP and rsync's protocol 29; exFAT."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Wishes of the user, and what is known of the destination.

    Attributes:
        latest_only: Leave superseded versions out; `uploaded`: only of runs that wandb has already.
        exclude: gitignore patterns on paths in the sweep folder and in each run folder.
        secret_patterns: Likewise, of files that are left out as secrets.
        is_checked: Compare with what is there; otherwise every file is offered.
        overwrite: Send what is newer at the destination after all.
        folds_names: The destination takes names for one that differ only in case or Unicode form.
        proven: By run, the digest of what was proven at the destination before (`hsm.plan.digest`).
        foreign: Files at the destination that did not come from this source, by root and path, each with its owner in
            words: a file that differs from one of them is a conflict, whichever is newer.
        equal: Files whose content there is known to be the source's, even if their times differ.
        link_folders: Real paths at the source; symlinks that lead out of them are left out. None: all are followed.
        choice: Of runs, and of files in them, for this one call.
    """

    latest_only: bool | Literal["uploaded"] = True
    exclude: tuple[str, ...] = ()
    secret_patterns: tuple[str, ...] = SECRET_PATTERNS
    is_checked: bool = True
    overwrite: bool = False
    folds_names: bool = False
    proven: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[tuple[Root, str], str] = field(default_factory=dict)
    equal: frozenset[tuple[Root, str]] = frozenset()
    link_folders: tuple[str, ...] | None = None
    choice: RunChoice = field(default_factory=RunChoice)


def make_plan(inventory: SweepInventory, destination: Destination, options: PlanOptions) -> SyncPlan:
    """Decide for every file of the inventory whether it is sent or left out, and why.

    The same inputs give the same plan; it is sorted by root and path. Nothing is ever deleted, and a path whose
    type at the destination differs from the source's is never written.

    Args:
        inventory: What the source has.
        destination: What is there, for every root that the inventory's files land in.
        options: What the user asked for.
    """
    selection = Selection(
        latest_only=options.latest_only,
        exclude=options.exclude,
        secret_patterns=options.secret_patterns,
        link_folders=options.link_folders,
    )
    items: list[PlanItem] = []
    problems = [_judge(problem, options.proven) for problem in inventory.problems]
    for root in Root:
        files = sorted(file for file in inventory.files if file.root is root)
        if files:
            comparison = _Comparison(destination[root], options)
            items += _plan_root(files, inventory, selection, comparison)
            problems += comparison.problems
    problems += make_secret_notices(items)
    problems += make_link_notices(items)
    plan = SyncPlan(
        sweep=inventory.sweep,
        runs=inventory.runs,
        items=tuple(items),
        deeper=inventory.deeper,
        max_depth=inventory.max_depth,
        problems=tuple(problems),
        is_checked=options.is_checked,
    )
    return choose(plan, options.choice)


def _judge(problem: Problem, proven: Mapping[str, str]) -> Problem:
    """Make a failure of a run folder that cannot be read where it was copied before, and so is the sweep's."""
    is_known = problem.kind == FOLDER_UNREADABLE and problem.path.partition("/")[0] in proven
    return replace(problem, is_failure=True) if is_known else problem


def _plan_root(
    files: Sequence[SourceFile], inventory: SweepInventory, selection: Selection, comparison: _Comparison
) -> Iterator[PlanItem]:
    """Decide for the files of one root, which are sorted by path."""
    runs = {run.name: run for run in inventory.runs}
    groups = [(name, list(members)) for name, members in groupby(files, key=lambda file: file.run)]
    left: dict[str, PlanItem] = {}
    for run_name, members in groups:
        left |= selection.find_left(members, inventory, runs.get(run_name))
    # Of what is sent: a file that is left out takes no name from another.
    left |= comparison.find_collisions([file for file in files if file.path not in left])
    for run_name, members in groups:
        compared = [left.get(file.path) or comparison.compare(file) for file in members]
        yield from comparison.doubt_coarse_times(compared, run_name)


def is_same_time(source_ns: int, target_ns: int) -> bool:
    """Tell whether the target's time is the source's, or the source's cut to a step that some file system keeps."""
    return source_ns == target_ns or any(source_ns - source_ns % step == target_ns for step in _TIME_STEPS_NS)


class _Comparison:
    """Comparison of files with one root of the destination; collects what is in their way."""

    def __init__(self, there: DestinationRoot, options: PlanOptions) -> None:
        self._entries = there.entries
        self._options = options
        self._obstacles: dict[str, str | None] = {"": None}  # by folder, so that each is looked up and told once
        self._coarse: set[str] = set()
        self._unreadable = {problem.path for problem in there.problems}
        self._folded: dict[str, Entry] = {}
        if options.folds_names:
            self._folded = {fold_name(path): entry for path, entry in there.entries.items()}
            self._unreadable |= {fold_name(path) for path in self._unreadable}
        self.problems: list[Problem] = list(there.problems)

    def compare(self, file: SourceFile) -> PlanItem:
        entry = self._find_entry(file.path)
        obstacle = self._find_obstacle(file.path.rpartition("/")[0])
        if obstacle is not None:
            return PlanItem(file, Reason.CONFLICT, f"{obstacle} is in the way")
        if entry is not None and entry.kind is not EntryKind.FILE:
            self._add_type_problem(file.path, entry.kind, "a file")
            return PlanItem(file, Reason.CONFLICT, f"{_describe(entry.kind)} there")
        if not self._options.is_checked:  # rsync's own --update compares then
            return PlanItem(file, Reason.UNCHECKED)
        if entry is None:
            return PlanItem(file, Reason.NEW)
        return self._compare_content(file, entry)

    def find_collisions(self, files: Sequence[SourceFile]) -> dict[str, PlanItem]:
        """Find the files that are skipped because others take their names, by path."""
        if not self._options.folds_names:
            return {}
        collisions = find_collisions((file.path for file in files), self._entries)
        self.problems += make_collision_problems(collisions)
        return {
            file.path: PlanItem(file, Reason.CONFLICT, f"its name is taken by {collisions[file.path]}")
            for file in files
            if file.path in collisions
        }

    def doubt_coarse_times(self, items: list[PlanItem], run_name: str) -> list[PlanItem]:
        """Send what only seems the same because times are cut there, if the run has changed since it was verified.

        A source time other than the verified one is a change, however the destination shows it.
        """
        proven = self._options.proven.get(run_name)
        if proven is None or not any(item.file.path in self._coarse for item in items):
            return items
        counting = [item.file for item in items if item.reason is Reason.SAME or item.reason.is_send]
        if make_digest(counting) == proven:
            return items
        return [
            PlanItem(item.file, Reason.TIME, "the run has changed, and the time there is cut")
            if item.reason is Reason.SAME and item.file.path in self._coarse
            else item
            for item in items
        ]

    def _compare_content(self, file: SourceFile, entry: Entry) -> PlanItem:
        # rsync itself compares whole seconds, and misses a file that was rewritten within one at the same size.
        same_time = is_same_time(file.mtime_ns, entry.mtime_ns)
        if file.size == entry.size and same_time:
            if file.mtime_ns != entry.mtime_ns:  # only the digest of what was verified tells (`doubt_coarse_times`)
                self._coarse.add(file.path)
            return PlanItem(file, Reason.SAME)
        if file.key in self._options.equal:
            return PlanItem(file, Reason.SAME, "the same content, with another time")
        conflict = self._options.foreign.get(file.key, "")
        # wandb only ever appends to a log, so a longer one there has rows that are missing here.
        if not conflict and file.path.endswith(".wandb") and file.size < entry.size:
            conflict = f"the log there is longer ({entry.size} bytes, here {file.size})"
        elif not conflict and entry.mtime_ns > file.mtime_ns and not same_time:
            conflict = "newer at the destination"
        if conflict and not self._options.overwrite:
            hint = "Look at both; `--overwrite` sends this one after all."
            self.problems.append(Problem(file.path, CONFLICT, f"Kept as it is: {conflict}.", hint))
            return PlanItem(file, Reason.CONFLICT, conflict)
        if conflict:
            return PlanItem(file, Reason.OVERWRITE, conflict)
        return PlanItem(file, Reason.SIZE if file.size != entry.size else Reason.TIME)

    def _find_entry(self, path: str) -> Entry | None:
        """Find what is there under a name, or a spelling that the destination takes for the same."""
        entry = self._entries.get(path)
        return self._folded.get(fold_name(path)) if entry is None and self._folded else entry

    def _list_spellings(self, path: str) -> tuple[str, ...]:
        return (path, fold_name(path)) if self._options.folds_names else (path,)

    def _find_obstacle(self, folder: str) -> str | None:
        """Find the nearest parent that is no folder there, or cannot be read; each is told once."""
        if folder not in self._obstacles:
            above = self._find_obstacle(folder.rpartition("/")[0])
            entry = self._find_entry(folder)
            if above is None and not self._unreadable.isdisjoint(self._list_spellings(folder)):
                above = folder
            if above is None and entry is not None and entry.kind is not EntryKind.FOLDER:
                self._add_type_problem(folder, entry.kind, "a folder")
                above = folder
            self._obstacles[folder] = above
        return self._obstacles[folder]

    def _add_type_problem(self, path: str, kind: EntryKind, expected: str) -> None:
        message = f"There is {_describe(kind)} at the destination where the source has {expected}."
        hint = "Nothing is replaced. Move it away there, then run the same command again."
        self.problems.append(Problem(path, TYPE_CONFLICT, message, hint))


def _describe(kind: EntryKind) -> str:
    names = {
        EntryKind.FILE: "a file",
        EntryKind.FOLDER: "a folder",
        EntryKind.SYMLINK: "a symlink",
        EntryKind.OTHER: "a device, socket or pipe",
    }
    return names[kind]


def select(inventory: SweepInventory, roots: Iterable[Root]) -> SweepInventory:
    """Return the part of an inventory that lands below `roots` (`--sweep-only`, `--wandb-only`)."""
    kept = frozenset(roots)
    return replace(
        inventory,
        runs=inventory.runs if Root.WANDB in kept else (),
        files=tuple(file for file in inventory.files if file.root in kept),
        deeper=inventory.deeper if Root.SWEEPS in kept else {},
    )
