"""Scope of a record: what is missing of a whole sweep, beside what its runs and its folder lack. Pure.

A sync may be about the sweep's folder or the runs alone, and what could not be read may hide runs that no record knows.
Receipt and journal hold it by reason, so that at neither end what did not come is called complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hsm.model import Root, SyncPlan
from hsm.records.record import SWEEP_FOLDER, RunRecord

FAILURES = "problem"
"""Word for what went wrong while the source was looked at and compared, each of which made the exit code 1."""

_LIMIT = 2**63
_NOT_ASKED: Mapping[Root, str] = {Root.SWEEPS: "sweep's folder not asked for", Root.WANDB: "runs not asked for"}
_SWITCHED_OFF: Mapping[Root, str] = {Root.SWEEPS: "sweep's folder switched off", Root.WANDB: "runs switched off"}


def make_scope(
    plan: SyncPlan, before: Mapping[str, int], records: Mapping[str, RunRecord], *, is_new: bool
) -> dict[str, int]:
    """Make what is missing of a sweep after a plan, by reason.

    Args:
        plan: The plan.
        before: The same, as the last sync recorded it.
        records: Those of the last sync.
        is_new: It is for a record that is written now. One that stays speaks of the time when it was written; a new
            one would say of a part that nobody has looked at that nothing has been added to it since.
    """
    left: dict[str, int] = {}
    for root, is_of_call in plan.left_roots.items():
        if not is_of_call:
            left[_SWITCHED_OFF[root]] = 1
        elif is_new or _NOT_ASKED[root] in before or not _is_known(root, records):
            left[_NOT_ASKED[root]] = 1
        elif _SWITCHED_OFF[root] in before:
            left[_SWITCHED_OFF[root]] = 1
    n_failures = sum(problem.is_failure for problem in plan.problems)
    if any(plan.left_roots.values()):
        n_failures = max(n_failures, before.get(FAILURES, 0))
    return {**left, **({FAILURES: n_failures} if n_failures else {})}


def lacks_parts(scope: Mapping[str, int]) -> bool:
    """Tell whether a sweep is not complete without what is missing; a word of a later version counts."""
    return bool(scope.keys() - set(_SWITCHED_OFF.values()))


def parse_scope_document(document: Any) -> dict[str, int]:  # noqa: ANN401 - from JSON
    """Read it from JSON values.

    Raises:
        ValueError: They are none.
    """
    if not isinstance(document, dict) or not all(type(n) is int and 0 <= n < _LIMIT for n in document.values()):
        raise ValueError("what is missing of the sweep is no list of counts")
    return {str(reason): count for reason, count in document.items()}


def _is_known(root: Root, records: Mapping[str, RunRecord]) -> bool:
    if root is Root.SWEEPS:
        return records.get(SWEEP_FOLDER, RunRecord()) != RunRecord()
    return any(name != SWEEP_FOLDER for name in records)
