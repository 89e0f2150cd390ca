"""Planner: from two inventories to what is sent and what is left out, each file with its reason. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal

from hsm.config.rules.values import SECRET_PATTERNS
from hsm.model import (
    FOLDER_UNREADABLE,
    NO_RUNS,
    FileKey,
    PlanItem,
    Problem,
    Reason,
    Root,
    RunState,
    SourceFile,
    SweepInventory,
    SyncPlan,
)
from hsm.plan.choice import RunChoice, choose
from hsm.plan.comparison import Known, RootComparison
from hsm.plan.destination import Destination
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.secrets import make_secret_notices
from hsm.plan.selection import Selection
from hsm.plan.symlinks.folder_links import FolderLinks, settle_links
from hsm.plan.symlinks.outside import make_link_notices


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Wishes of the user, and what is known of the destination.

    Attributes:
        latest_only: Leave superseded versions out; `uploaded`: only of runs that wandb has already.
        exclude: gitignore patterns on paths in the sweep folder and in each run folder.
        secret_patterns: Likewise, of files that are left out as secrets.
        is_checked: Compare with what is there; otherwise every file is offered.
        overwrite: Send what is newer at the destination after all.
        file_systems: Of the destination's roots, as a probe has measured them; one that has not is missing.
        proven: By run, the digest of what was proven at the destination before (`hsm.plan.digest`).
        foreign: Files at the destination that did not come from this source, by root and path, each with its owner in
            words: a file that differs from one of them is a conflict, whichever is newer.
        equal: Files whose content there is known to be the source's, even if their times differ.
        different: Files whose content there is known to be another, even if size and time are alike.
        link_folders: Real paths at the source; symlinks that lead out of them are left out. None: all are followed.
        choice: Of runs, and of files in them, for this one call.
    """

    latest_only: bool | Literal["uploaded"] = True
    exclude: tuple[str, ...] = ()
    secret_patterns: tuple[str, ...] = SECRET_PATTERNS
    is_checked: bool = True
    overwrite: bool = False
    file_systems: Mapping[Root, FileSystem] = field(default_factory=dict)
    proven: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[FileKey, str] = field(default_factory=dict)
    equal: frozenset[FileKey] = frozenset()
    different: frozenset[FileKey] = frozenset()
    link_folders: tuple[str, ...] | None = None
    choice: RunChoice = field(default_factory=RunChoice)

    def make_known(self) -> Known:
        """Return what a comparison rests on."""
        return Known(self.is_checked, self.overwrite, self.proven, self.foreign, self.equal, self.different)


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
    doubts: list[SourceFile] = []
    asks_file_system = False
    problems = [_judge(problem, options.proven) for problem in inventory.problems]
    for root in Root:
        files = sorted(file for file in inventory.files if file.root is root)
        if files:
            comparison = RootComparison(destination[root], options.file_systems.get(root), options.make_known())
            items += _plan_root(files, inventory, selection, comparison)
            problems += comparison.problems
            doubts += comparison.doubts
            asks_file_system = asks_file_system or comparison.asks_file_system
    problems += make_secret_notices(items)
    problems += make_link_notices(items)
    plan = SyncPlan(
        sweep=inventory.sweep,
        runs=inventory.runs,
        items=tuple(items),
        deeper=inventory.deeper,
        max_depth=inventory.max_depth,
        problems=tuple(problems),
        gaps=inventory.gaps,
        left_roots=inventory.left_roots,
        is_checked=options.is_checked,
        doubts=tuple(doubts),
        asks_file_system=asks_file_system,
        kind=inventory.kind,
        place=inventory.place,
        jobs=dict.fromkeys(inventory.jobs, RunState.UNKNOWN),
    )
    chosen = choose(plan, options.choice)
    left = {item.file.key for item in chosen.items if item.reason is Reason.NOT_CHOSEN}
    return replace(chosen, doubts=tuple(file for file in chosen.doubts if file.key not in left)) if left else chosen


def _judge(problem: Problem, proven: Mapping[str, str]) -> Problem:
    """Make a failure of a run folder that cannot be read where it was copied before, and so is the sweep's."""
    is_known = problem.kind == FOLDER_UNREADABLE and problem.path.partition("/")[0] in proven
    return replace(problem, is_failure=True) if is_known else problem


def _plan_root(
    files: Sequence[SourceFile], inventory: SweepInventory, selection: Selection, comparison: RootComparison
) -> Iterator[PlanItem]:
    """Decide for the files of one root, which are sorted by path."""
    runs = {run.name: run for run in inventory.runs}
    groups = [(name, list(members)) for name, members in groupby(files, key=lambda file: file.run)]
    left: dict[str, PlanItem] = {}
    for run_name, members in groups:
        left |= selection.find_left(members, inventory, runs.get(run_name))
    # Of what is sent: a file that is left out takes no name from another.
    left |= comparison.find_bad_names([file for file in files if file.path not in left])
    for run_name, members in groups:
        compared = [
            comparison.judge_left(left[file.path]) if file.path in left else comparison.compare(file)
            for file in members
        ]
        yield from comparison.doubt_vague_times(compared, run_name)


def select(
    inventory: SweepInventory,
    roots: Iterable[Root],
    *,
    folder_links: FolderLinks = "skip",
    switched_off: Collection[Root] = (),
    may_lack_runs: bool = False,
) -> SweepInventory:
    """Return the part of an inventory that one target, and one call (`--sweep-only`, `--wandb-only`), want.

    Args:
        inventory: Everything.
        roots: Wanted.
        folder_links: The target's setting.
        switched_off: Those of the other roots that no call is to bring to the target.
        may_lack_runs: The user says that there are to be no runs, though some are expected.
    """
    kept = frozenset(roots)
    misses_runs = Root.WANDB in kept and not may_lack_runs
    settled = settle_links(inventory, folder_links)
    return replace(
        settled,
        runs=settled.runs if Root.WANDB in kept else (),
        files=tuple(file for file in settled.files if file.root in kept),
        deeper=settled.deeper if Root.SWEEPS in kept else {},
        problems=tuple(problem for problem in settled.problems if misses_runs or problem.kind != NO_RUNS),
        gaps=tuple(gap for gap in settled.gaps if (Root.WANDB if gap.run else Root.SWEEPS) in kept),
        left_roots={
            root: root not in switched_off
            for root in Root
            if root not in kept and (root is Root.WANDB or settled.has_folder)
        },
    )
