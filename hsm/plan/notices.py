"""Notices about files that are left out: the first ones by name, then how many more there are. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hsm.model import PlanItem, Problem

MOST_NAMED = 20


def make_notices(
    items: Sequence[PlanItem], *, kind: str, describe: Callable[[PlanItem], str], more: str, hint: str
) -> list[Problem]:
    """Name the files of plan items.

    Args:
        items: Of one kind, in the order of the notices.
        kind: Of the notices.
        describe: Says of one file why it is left out.
        more: Says what the further files are, behind their number.
        hint: What to do about it.
    """
    notices = [Problem(item.file.path, kind, describe(item), hint, is_failure=False) for item in items[:MOST_NAMED]]
    n_more = len(items) - len(notices)
    if n_more > 0:
        message = f"{n_more:,} more {more}; `--dry-run -v` lists them."
        notices.append(Problem("", kind, message, hint, is_failure=False))
    return notices
