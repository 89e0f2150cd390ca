"""Runs of which it is not told whose they are, or which of two of a name is meant, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hsm.discover.membership import Candidate
from hsm.discover.sweeps import parse_timestamp
from hsm.model import FOLDER_UNREADABLE, Problem
from hsm.plan.symlinks.folder_links import SYMLINKED_RUN
from hsm.wandb_log.facts import LogFacts

DOUBLE_RUN = "double_run"
MEMBERSHIP_UNKNOWN = "membership_unknown"
DANGLING_RUN = "dangling_symlink"
NOT_A_LOG = "not_a_log"
_MOST_NAMES = 3


def make_double_problem(name: str, paths: Sequence[str], *, is_at_source: bool = False) -> Problem:
    """Make the problem of several run folders of one name, which would land in one folder.

    Args:
        name: The run's.
        paths: Its folders.
        is_at_source: They lie at the source, where a path can say which of them is meant.
    """
    places = " and ".join(paths)
    message = f"There are {len(paths)} run folders of this name, so none is sent: {places}"
    choice = ", or give the path of the other one in place of the sweep" if is_at_source else ""
    return Problem(name, DOUBLE_RUN, message, f"Delete or rename the copy that is not needed{choice}.")


def make_foreign_problem(name: str, facts: LogFacts) -> Problem:
    """Make the problem of a run in whose log's place something else lies."""
    if facts.is_pointer:
        hint = "Run it in the repository that the run lies in, then the same command again."
        return Problem(name, NOT_A_LOG, "The run's log is a Git LFS pointer; run `git lfs pull`.", hint)
    hint = "Bring the log again from where it was written, or delete what is in its place."
    return Problem(name, NOT_A_LOG, "The file in place of the run's log is no wandb log.", hint)


def iter_unknown_problems(unknown: Sequence[Candidate], sweep: str, facts: Mapping[str, LogFacts]) -> Iterator[Problem]:
    """Name the runs of which nothing says whose they are, newest first: those that could not be read one by one.

    A run that began on a day before the sweep cannot belong to it, unless it lies where only runs of the sweep do.

    Args:
        unknown: The runs.
        sweep: The sweep's id.
        facts: Of their logs, by run folder.
    """
    began = parse_timestamp(sweep)[:8]
    found = sorted(unknown, key=lambda candidate: parse_timestamp(candidate.name), reverse=True)
    found = [run for run in found if run.is_inside or not _is_before(parse_timestamp(run.name), began)]
    yield from (_make_dangling_problem(run.name) for run in found if run.is_dangling)
    found = [run for run in found if not run.is_dangling]
    yield from (make_foreign_problem(run.name, facts[run.path]) for run in found if facts[run.path].is_foreign)
    found = [run for run in found if not facts[run.path].is_foreign]
    message = "The run's folder or log cannot be read, so it is not known which sweep it belongs to."
    hint = "Check the permissions of folder and log. A log that is a symlink is not read."
    yield from (Problem(run.name, FOLDER_UNREADABLE, message, hint) for run in found if run.is_unreadable)
    if links := [run.name for run in found if run.real and not run.is_unreadable]:
        hint = "Move the folder there in place of the symlink."
        message = f"Run folders that are symlinks and do not say whose they are: {_join_names(links)}"
        yield Problem(links[0], SYMLINKED_RUN, message, hint, is_failure=False)
    if names := [run.name for run in found if not run.is_unreadable and not run.real]:
        one = len(names) == 1
        message = (
            f"{'This run has' if one else f'{len(names)} runs have'} written nothing yet that says whose "
            f"{'it is' if one else 'they are'}, not sent: {_join_names(names)}"
        )
        hint = "Sync again later. A run that died that early stays so."
        yield Problem(names[0], MEMBERSHIP_UNKNOWN, message, hint, is_failure=False)


def _is_before(run: str, began: str) -> bool:
    return bool(run and began) and run < began


def _make_dangling_problem(name: str) -> Problem:
    message = (
        "The run's folder is a symlink that leads nowhere, or to what may not be looked at, so it is not known which "
        "sweep it belongs to."
    )
    return Problem(name, DANGLING_RUN, message, "Mount the disk, restore what it led to, or delete the symlink.")


def _join_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
