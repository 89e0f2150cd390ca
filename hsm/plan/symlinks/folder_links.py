"""Symlinked folders of an inventory, settled as one target wants them: sent with what lies behind, or left. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from hsm.model import FolderLink, Gap, GapReason, Problem, SweepInventory

SYMLINKED_FOLDER = "symlinked_folder"
SYMLINKED_RUN = "symlinked_run"

FolderLinks = Literal["skip", "follow"] | Sequence[str]
"""The setting: `follow` for what lies in the project, paths for what lies in these or in the project."""

_OUT_HINT = "If the folder is to come, name the folder that it lies in, or one above, in `folder_links`."


def list_followed(settings: Sequence[FolderLinks]) -> tuple[str, ...] | None:
    """List the places beside the project that any of several targets wants; None where none wants any."""
    if all(setting == "skip" for setting in settings):
        return None
    return tuple(dict.fromkeys(path for setting in settings if not isinstance(setting, str) for path in setting))


def settle_links(inventory: SweepInventory, setting: FolderLinks) -> SweepInventory:
    """Take out of an inventory what lies behind symlinked folders that a target does not want.

    Each of these is a gap, and told: a notice where the setting skips it or it leads in a circle, a failure where it
    was to be followed and leads elsewhere, and for a whole run.

    Args:
        inventory: With everything that any target wants.
        setting: Of the target.
    """
    left = [link for link in inventory.links if not _is_wanted(link, setting)]
    if not left:
        return replace(inventory, links=()) if inventory.links else inventory
    # What lies behind a symlink that is left goes with it, symlinks and all.
    paths = frozenset(link.path for link in left)
    outermost = [link for link in left if not _lies_behind(link.path, paths)]
    gone = frozenset(link.path for link in outermost if link.path == link.run)
    gaps = [gap for gap in inventory.gaps if not _lies_behind(gap.path, paths)]
    gaps += [Gap(link.run, link.path, _get_reason(link, setting)) for link in outermost if link.path not in gone]
    problems = [problem for problem in inventory.problems if not _lies_behind(problem.path, paths)]
    problems += [_make_problem(link, setting) for link in outermost]
    return replace(
        inventory,
        runs=tuple(run for run in inventory.runs if run.name not in gone),
        files=tuple(file for file in inventory.files if not _lies_behind(file.path, paths)),
        gaps=tuple(gaps),
        links=(),
        problems=tuple(problems),
    )


def make_run_problem(name: str, path: str) -> Problem:
    """Make the problem of a run of the sweep whose folder is a symlink that is not followed."""
    hint = "Move the folder there in place of the symlink, or let `folder_links` follow it."
    return Problem(name, SYMLINKED_RUN, f"The run folder is a symlink and was left out: {path}", hint)


def _is_wanted(link: FolderLink, setting: FolderLinks) -> bool:
    if setting == "skip" or not link.places:
        return False
    return "" in link.places or (not isinstance(setting, str) and not link.places.isdisjoint(setting))


def _get_reason(link: FolderLink, setting: FolderLinks) -> GapReason:
    # One that leads in a circle leads to what comes anyway.
    return GapReason.LINKED_FOLDER if setting == "skip" or link.places is None else GapReason.LEADS_OUT


def _make_problem(link: FolderLink, setting: FolderLinks) -> Problem:
    if link.path == link.run:
        return make_run_problem(link.run, link.leads_to)
    if _get_reason(link, setting) is GapReason.LEADS_OUT:
        message = f"The symlink leads to a folder outside of what `folder_links` follows: {link.leads_to}"
        return Problem(link.path, SYMLINKED_FOLDER, message, _OUT_HINT)
    circle = ", or in a circle" if setting != "skip" else ""
    message = f"The symlink leads to a folder{circle}, which is not sent: {link.leads_to}"
    hint = "" if circle else "`folder_links` in the target's options brings what lies behind."
    return Problem(link.path, SYMLINKED_FOLDER, message, hint, is_failure=False)


def _lies_behind(path: str, links: frozenset[str]) -> bool:
    """Tell whether a path lies below one of these, each of which is a symlink."""
    parts = path.split("/")
    return any("/".join(parts[:count]) in links for count in range(1, len(parts)))
