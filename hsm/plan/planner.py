"""The plan: two inventories in, what to send and what to leave out, each file with its reason. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from hsm.model import (
    Entry,
    EntryKind,
    Inventory,
    PlanItem,
    Problem,
    Reason,
    Root,
    Run,
    RunVersions,
    SourceFile,
    SyncPlan,
)
from hsm.plan.destination import Destination, DestinationRoot
from hsm.plan.versions import find_superseded, find_superseded_artifacts

_TIME_STEPS_NS = (100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
"""What keeps less than nanoseconds: CIFS; ext3 over some NFS; SFTP and rsync's protocol 29; exFAT."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What the user asks of the plan.

    Attributes:
        latest_only: Leave superseded versions out; `uploaded`: only of runs that wandb has already.
        exclude: gitignore patterns on paths in the sweep folder and in each run folder.
        is_checked: Compare with what is there; otherwise every file is offered.
        overwrite: Send what is newer at the destination after all.
    """

    latest_only: bool | Literal["uploaded"] = True
    exclude: tuple[str, ...] = ()
    is_checked: bool = True
    overwrite: bool = False


def make_plan(inventory: Inventory, destination: Destination, options: PlanOptions) -> SyncPlan:
    """Decide for every file of the inventory whether it is sent or left, and why.

    The same inputs give the same plan; it is sorted by root and path. Nothing is ever deleted, and a path whose
    type at the destination differs from the source's is never written.

    Args:
        inventory: What the source has.
        destination: What is there, for every root that the inventory's files land in.
        options: What the user asked for.
    """
    runs = {run.name: run for run in inventory.runs}
    is_excluded = _make_exclusion(options.exclude)
    items: list[PlanItem] = []
    problems = list(inventory.problems)
    for root in Root:
        files = sorted(file for file in inventory.files if file.root is root)
        if not files:
            continue
        comparison = _Comparison(destination[root], options)
        for run_name, group in groupby(files, key=lambda file: file.run):
            members = list(group)
            strip = _count_folder_characters(inventory.sweep, run_name)
            left = dict(_iter_left(members, strip, runs.get(run_name), inventory, options, is_excluded))
            items += [left.get(file.path) or comparison.compare(file) for file in members]
        problems += comparison.problems
    return SyncPlan(
        sweep=inventory.sweep,
        runs=inventory.runs,
        items=tuple(items),
        deeper=inventory.deeper,
        problems=tuple(problems),
        is_checked=options.is_checked,
    )


def is_same_time(source_ns: int, target_ns: int) -> bool:
    """Whether the target's time is the source's, or the source's cut to what some file system keeps."""
    return source_ns == target_ns or any(source_ns - source_ns % step == target_ns for step in _TIME_STEPS_NS)


def _count_folder_characters(sweep: str, run_name: str) -> int:
    """How much of a destination path is the run's or the sweep's own folder."""
    return len(run_name) + 1 if run_name else len(f"outputs/{sweep}/")


def _iter_left(
    files: Sequence[SourceFile],
    strip: int,
    run: Run | None,
    inventory: Inventory,
    options: PlanOptions,
    is_excluded: Callable[[str], bool],
) -> Iterator[tuple[str, PlanItem]]:
    """The files of one folder that are left out whatever the destination has, by path."""
    superseded = _find_superseded([file.path[strip:] for file in files], run, inventory.versions, options)
    for file in files:
        name = file.path[strip:]
        if is_excluded(name):
            yield file.path, PlanItem(file, Reason.EXCLUDED, "excluded by the configuration")
        elif run is not None and name == f"{run.log}.synced" and not run.has_exit_record:
            yield file.path, PlanItem(file, Reason.UNFINISHED, "the run has no exit record")
        elif name in superseded:
            yield file.path, PlanItem(file, Reason.SUPERSEDED, superseded[name])


def _find_superseded(
    names: Sequence[str], run: Run | None, versions: Mapping[str, RunVersions], options: PlanOptions
) -> dict[str, str]:
    wanted = options.latest_only
    if wanted is False or (wanted == "uploaded" and (run is None or not run.uploaded)):
        return {}
    found = find_superseded_artifacts(names)
    if run is not None and run.name in versions:
        found = {**found, **find_superseded(names, versions[run.name])}
    return found


def _make_exclusion(patterns: Sequence[str]) -> Callable[[str], bool]:
    if not patterns:
        return lambda _name: False
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - most configurations exclude nothing

    return GitIgnoreSpec.from_lines(patterns).match_file


class _Comparison:
    """Compares files with one root of the destination, and collects what stands in the way."""

    def __init__(self, there: DestinationRoot, options: PlanOptions) -> None:
        self._entries = there.entries
        self._options = options
        self._obstacles: dict[str, str | None] = {"": None}
        self._unreadable = {problem.path for problem in there.problems}
        self.problems: list[Problem] = list(there.problems)

    def compare(self, file: SourceFile) -> PlanItem:
        entry = self._entries.get(file.path)
        obstacle = self._find_obstacle(file.path.rpartition("/")[0])
        if obstacle is not None:
            return PlanItem(file, Reason.CONFLICT, f"{obstacle} is in the way")
        if entry is not None and entry.kind is not EntryKind.FILE:
            self._add_type_problem(file.path, entry.kind, "a file")
            return PlanItem(file, Reason.CONFLICT, f"{_describe(entry.kind)} there")
        if not self._options.is_checked:
            return PlanItem(file, Reason.UNCHECKED)
        if entry is None:
            return PlanItem(file, Reason.NEW)
        return self._compare_content(file, entry)

    def _compare_content(self, file: SourceFile, entry: Entry) -> PlanItem:
        same_time = is_same_time(file.mtime_ns, entry.mtime_ns)
        if file.size == entry.size and same_time:
            return PlanItem(file, Reason.SAME)
        conflict = ""
        if file.path.endswith(".wandb") and file.size < entry.size:
            conflict = f"the log there is longer ({entry.size} bytes, here {file.size})"
        elif entry.mtime_ns > file.mtime_ns and not same_time:
            conflict = "newer at the destination"
        if conflict and not self._options.overwrite:
            hint = "Look at both; `--overwrite` sends this one after all."
            self.problems.append(Problem(file.path, "conflict", f"Kept as it is: {conflict}.", hint))
            return PlanItem(file, Reason.CONFLICT, conflict)
        if conflict:
            return PlanItem(file, Reason.OVERWRITE, conflict)
        return PlanItem(file, Reason.SIZE if file.size != entry.size else Reason.TIME)

    def _find_obstacle(self, folder: str) -> str | None:
        """The nearest parent that is no folder there, or cannot be read; each told once."""
        if folder not in self._obstacles:
            above = self._find_obstacle(folder.rpartition("/")[0])
            entry = self._entries.get(folder)
            if above is None and folder in self._unreadable:
                above = folder
            if above is None and entry is not None and entry.kind is not EntryKind.FOLDER:
                self._add_type_problem(folder, entry.kind, "a folder")
                above = folder
            self._obstacles[folder] = above
        return self._obstacles[folder]

    def _add_type_problem(self, path: str, kind: EntryKind, expected: str) -> None:
        message = f"There is {_describe(kind)} at the destination where the source has {expected}."
        hint = "Nothing is replaced. Move it away there, then run the same command again."
        self.problems.append(Problem(path, "type_conflict", message, hint))


def _describe(kind: EntryKind) -> str:
    names = {
        EntryKind.FILE: "a file",
        EntryKind.FOLDER: "a folder",
        EntryKind.SYMLINK: "a symlink",
        EntryKind.OTHER: "a device, socket or pipe",
    }
    return names[kind]


def select(inventory: Inventory, roots: Iterable[Root]) -> Inventory:
    """The part of an inventory that lands below `roots` (`--sweep-only`, `--wandb-only`)."""
    kept = frozenset(roots)
    return Inventory(
        sweep=inventory.sweep,
        runs=inventory.runs if Root.WANDB in kept else (),
        files=tuple(file for file in inventory.files if file.root in kept),
        versions=inventory.versions,
        deeper=inventory.deeper if Root.SWEEPS in kept else {},
        problems=inventory.problems,
        is_present=inventory.is_present,
    )
