"""Choice of runs, and of files in them, for one call; the rest is not sent, and said. Pure.

A choice is for one call; what counts at a target is in the configuration (`options.exclude`). If a choice made the
inventory smaller, a sweep of which nothing is chosen would look vanished, the receipt would lack the other runs and so
call all complete, and a run that was verified before would lose its proof. So the whole plan is made first, and the
choice only takes out what would be sent. A file that is not chosen counts, unlike one that `exclude` leaves out: its
run is not complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hsm.config.rules.values import check_pattern
from hsm.errors import UsageError
from hsm.model import CONFLICT, TYPE_CONFLICT, PlanItem, Reason, Root, Run, RunState, SourceFile, SyncPlan
from hsm.plan.disk.collisions import NAME_COLLISION
from hsm.plan.patterns import Patterns
from hsm.units import parse_age

ALL = "all"
# Problems that comparing finds; others, such as a folder that cannot be read, are told whatever is chosen.
_OF_COMPARISON = frozenset({CONFLICT, TYPE_CONFLICT, NAME_COLLISION})


@dataclass(frozen=True, slots=True)
class RunChoice:
    """Choice among a sweep's runs, as a command line makes it; the sweep's own folder is always in it.

    Attributes:
        states: Runs in one of these states; empty for all.
        include: gitignore patterns on paths in a run: only what matches one; empty for all.
        exclude: Likewise: not what matches one.
        since: The age as typed, for people; empty for any.
        since_ns: Only runs of which something changed at or after this time.
        newest: Only so many of the runs that remain, those that began last; None for all.
        names: Only the runs of these folder names or ids; empty for all.
        project: Only the runs that wandb gives to this project; empty for any.
        older: The runs that `newest` leaves, where a plan does not hold all runs of the sweep (`settle_newest`).
    """

    states: tuple[RunState, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    since: str = ""
    since_ns: int = 0
    newest: int | None = None
    names: frozenset[str] = frozenset()
    project: str = ""
    older: frozenset[str] | None = None

    @property
    def is_everything(self) -> bool:
        """Tell whether it leaves nothing out."""
        return self == RunChoice()


def make_choice(
    *,
    runs: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    since: str | None = None,
    newest: int | None = None,
    names: Sequence[str] = (),
    project: str = "",
    now_ns: int,
) -> RunChoice:
    """Read a choice as it was typed.

    Args:
        runs: `finished`, `failed`, `running`, `unknown`, or `all`.
        include: gitignore patterns.
        exclude: gitignore patterns.
        since: An age, as for `hsm.units.parse_age`.
        newest: At least 1.
        names: Ids or folder names of runs.
        project: A project of wandb's.
        now_ns: The clock's time.

    Raises:
        UsageError: An option has no such value.
    """
    for option, patterns in (("--include", include), ("--exclude", exclude)):
        for pattern in patterns:
            _check_pattern(option, pattern)
    if newest is not None and newest < 1:
        raise UsageError("--newest takes a number of runs, at least 1.", hint="Try `--newest 5`.", kind="usage")
    return RunChoice(
        states=_parse_states(runs),
        include=tuple(include),
        exclude=tuple(exclude),
        since=since or "",
        since_ns=0 if since is None else now_ns - parse_age(since, option="--since") * 10**9,
        newest=newest,
        names=frozenset(names),
        project=project,
    )


def choose_roots(*, sweep_only: bool, wandb_only: bool) -> tuple[Root, ...]:
    """Return those of the two folders that `--sweep-only` and `--wandb-only` leave.

    Raises:
        UsageError: None is left.
    """
    if sweep_only and wandb_only:
        raise UsageError(
            "--sweep-only and --wandb-only leave nothing to bring.",
            hint="Give one of them, or neither to bring both.",
            kind="usage",
        )
    return (Root.SWEEPS,) if sweep_only else (Root.WANDB,) if wandb_only else tuple(Root)


def choose(plan: SyncPlan, choice: RunChoice, *, leaves_same: bool = False) -> SyncPlan:
    """Take out of a plan what is not chosen: files that would have been sent, and conflicts.

    What is the same there, or is left out for another reason, stays as it is. Problems that comparing found with files
    that are not chosen go too.

    Args:
        plan: Of everything.
        choice: What is wanted of it.
        leaves_same: Take out also what is the same there, because it shall not be read again.
    """
    if choice.is_everything:
        return plan
    # Of all files, those that are not sent too: they were listed for that, in one session, 2 s for 150,000 files.
    left = find_left_by(choice, plan.runs, [item.file for item in plan.items])
    items = tuple(
        _leave(item, left) if _is_open(item) or (leaves_same and item.reason is Reason.SAME) else item
        for item in plan.items
    )
    gone = {item.file.path for item in items if item.reason is Reason.NOT_CHOSEN}
    runs_left = {path.partition("/")[0] for path in gone} - {item.file.run for item in items if _is_open(item)}
    problems = tuple(
        problem
        for problem in plan.problems
        if problem.kind not in _OF_COMPARISON
        or (problem.path not in gone and problem.path.partition("/")[0] not in runs_left)
    )
    return replace(plan, items=items, problems=problems)


def settle_newest(choice: RunChoice, runs: Sequence[Run], files: Iterable[SourceFile]) -> RunChoice:
    """Return a choice that leaves the same runs of a part of the sweep as of the whole.

    Args:
        choice: What is wanted.
        runs: All runs of the sweep.
        files: Of runs and of the sweep's folder, in any order.
    """
    if choice.newest is None:
        return choice
    by_run = _group(runs, files)
    others = _find_runs_left(replace(choice, newest=None), runs, by_run)
    return replace(choice, older=frozenset(_find_runs_left(choice, runs, by_run).keys() - others.keys()))


def find_left_runs(choice: RunChoice, runs: Sequence[Run], files: Iterable[SourceFile]) -> frozenset[str]:
    """Find the runs of which nothing is chosen. The arguments are those of `settle_newest`."""
    if choice.is_everything:
        return frozenset()
    return frozenset(_find_runs_left(choice, runs, _group(runs, files)))


def find_left_by(choice: RunChoice, runs: Iterable[Run], files: Sequence[SourceFile]) -> dict[SourceFile, str]:
    """Find the files of runs that are not chosen, and why.

    Args:
        choice: What is wanted.
        runs: All runs of the sweep.
        files: Of runs and of the sweep's folder, in any order.

    Returns:
        File -> the reason, in words that are the same for all files with that reason. Files of the sweep's folder are
        not in it.
    """
    by_run = _group(runs, files)
    whys = _find_runs_left(choice, runs, by_run)
    left: dict[SourceFile, str] = {}
    for name, members in by_run.items():
        if name in whys:
            left.update(dict.fromkeys(members, whys[name]))
        else:
            left.update(_find_files_left(choice, members, len(name) + 1))
    return left


def _group(runs: Iterable[Run], files: Iterable[SourceFile]) -> dict[str, list[SourceFile]]:
    """Group files by their run; those of the sweep's folder are in no group."""
    by_run: dict[str, list[SourceFile]] = {run.name: [] for run in runs}
    for file in files:
        if file.run:
            by_run.setdefault(file.run, []).append(file)
    return by_run


def _find_runs_left(
    choice: RunChoice, runs: Iterable[Run], by_run: Mapping[str, Sequence[SourceFile]]
) -> dict[str, str]:
    whys: dict[str, str] = {}
    kept: list[str] = []
    for run in runs:
        newest_ns = max((file.mtime_ns for file in by_run[run.name]), default=0)
        if choice.names and choice.names.isdisjoint((run.name, run.id)):
            whys[run.name] = "not the run that is meant"
        elif choice.project and run.project != choice.project:
            whys[run.name] = f"--project {choice.project}: the run is of another one"
        elif choice.states and run.state not in choice.states:
            whys[run.name] = f"--runs: the run is {run.state.value}"
        elif choice.since and newest_ns < choice.since_ns:
            whys[run.name] = f"--since {choice.since}: nothing of the run changed"
        else:
            kept.append(run.name)
    # Last, so that `--runs failed --newest 3` means three failed runs.
    if choice.newest is not None:
        kept.sort(key=_get_start, reverse=True)
        older = kept[choice.newest :] if choice.older is None else [name for name in kept if name in choice.older]
        whys.update(dict.fromkeys(older, f"--newest {choice.newest}: others began later"))
    return whys


def _find_files_left(choice: RunChoice, files: Sequence[SourceFile], strip: int) -> dict[SourceFile, str]:
    if not (choice.include or choice.exclude):
        return {}
    names = [file.path[strip:] for file in files]
    included = Patterns(choice.include).find_matches(names)
    excluded = Patterns(choice.exclude).find_matches(names)
    left: dict[SourceFile, str] = {}
    for file, name in zip(files, names, strict=True):
        if choice.include and name not in included:
            left[file] = "--include: no pattern names it"
        elif name in excluded:
            left[file] = f"--exclude {excluded[name]}"
    return left


def _get_start(name: str) -> str:
    """Return the time at which a run began, from its folder's name, as text that sorts like times."""
    return name.removeprefix("offline-").removeprefix("dry")


def _is_open(item: PlanItem) -> bool:
    return item.reason.is_send or item.reason is Reason.CONFLICT


def _leave(item: PlanItem, left: Mapping[SourceFile, str]) -> PlanItem:
    why = left.get(item.file)
    return item if why is None else PlanItem(item.file, Reason.NOT_CHOSEN, why)


def _check_pattern(option: str, pattern: str) -> None:
    try:
        check_pattern(pattern)
    except ValueError as error:
        raise UsageError(
            f"{option} {pattern!r} {error}.", hint="The syntax is that of .gitignore, as in `'*.ckpt'`.", kind="usage"
        ) from error


def _parse_states(words: Sequence[str]) -> tuple[RunState, ...]:
    known = [state.value for state in RunState]
    for word in words:
        if word not in (ALL, *known):
            raise UsageError(
                f"--runs {word!r} is no state of a run.", hint=f"There are: {', '.join(known)}; or {ALL}.", kind="usage"
            )
    return () if ALL in words else tuple(state for state in RunState if state.value in words)
