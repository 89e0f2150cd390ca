"""Record of one run at a destination: the unit of the journal and of the receipt. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hsm.model import FileKey, GapReason, PlanItem, Reason, Run, SourceFile, SyncPlan
from hsm.plan.digest import make_digest

SWEEP_FOLDER = ""
"""The name under which the sweep's own folder stands among the runs."""

# No disk holds so much, and a number that is far larger cannot be shown.
_LIMIT = 10**24

# Types that JSON may hold for each field but `left`.
_KINDS: Mapping[str, tuple[type, ...]] = {
    "state": (str,),
    "exit_code": (int, type(None)),
    "is_complete": (bool,),
    "is_whole": (bool,),
    "n_files": (int,),
    "n_bytes": (int,),
    "digest": (str,),
}

NOT_PROVEN = "not proven"
"""Reason of a file that was to be sent and is not verified."""

_OPEN = frozenset({Reason.CONFLICT, Reason.NOT_CHOSEN})
"""Reasons for which a file is not sent although the run is not complete without it.

If a file that a call did not choose were left out of this, the receipt would call a run complete that only that call
excused."""

UNSETTLED_REASONS = frozenset({NOT_PROVEN, Reason.CONFLICT.value, *(gap.value for gap in GapReason if gap.is_open)})
"""Words of `left` for what was wanted of a run and did not come."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Files of one run, or of the sweep folder, that are verified at a destination.

    One digest and not one entry a file, so that receipts stay small however large the sweep is.

    Attributes:
        state: The run's state when it was sent (`hsm.model.RunState`); empty for the sweep folder.
        exit_code: Of a run that has ended.
        is_complete: It has ended, its log rests, and every file that counts is verified; one that this call did not
            choose counts.
        is_whole: Complete, and nothing of it was left out for any reason.
        n_files: Verified files.
        n_bytes: Of the verified files.
        digest: Over path, size and time of the verified files, see `hsm.plan.digest`.
        left: The number of files that were left out or are not verified, by reason. What is no result is counted, and
            nothing is missed without it.
    """

    state: str = ""
    exit_code: int | None = None
    is_complete: bool = False
    is_whole: bool = False
    n_files: int = 0
    n_bytes: int = 0
    digest: str = ""
    left: Mapping[str, int] = field(default_factory=dict)

    @property
    def missed(self) -> Mapping[str, int]:
        """The part of `left` that is missing in a copy: all of it but what is no result."""
        return {reason: count for reason, count in self.left.items() if reason != Reason.NO_RESULT.value}


def make_records(plan: SyncPlan, sent: Mapping[FileKey, SourceFile]) -> dict[str, RunRecord]:
    """Make the records of a plan and its transfer, for every run and the sweep folder.

    Args:
        plan: With the comparison made, so that a file with `Reason.SAME` is verified.
        sent: The files that the transfer verified, as they were then.
    """
    by_run: dict[str, list[PlanItem]] = {run.name: [] for run in plan.runs}
    for item in plan.items:
        by_run.setdefault(item.file.run, []).append(item)
    gaps: dict[str, Counter[GapReason]] = {}
    for gap in plan.gaps:
        by_run.setdefault(gap.run, [])
        gaps.setdefault(gap.run, Counter())[gap.reason] += 1
    runs = {run.name: run for run in plan.runs}
    deeper = sum(plan.deeper.values())
    return {
        name: _make_record(
            runs.get(name), items, sent, gaps.get(name, Counter()), deeper if name == SWEEP_FOLDER else 0
        )
        for name, items in by_run.items()
    }


def merge_records(
    before: Mapping[str, RunRecord], plan: SyncPlan, sent: Mapping[FileKey, SourceFile]
) -> dict[str, RunRecord]:
    """Make the records of all that is verified: before, and by a plan and its transfer.

    A plan that did not look at the destination neither verifies nor refutes what its choice left out: the record of a
    run of which it sent nothing stays.
    """
    found = make_records(plan, sent)
    if not plan.is_checked:  # the destination was not looked at
        found = {name: record for name, record in found.items() if not _is_known_better(record, before.get(name))}
    return {**before, **found}


def _is_known_better(record: RunRecord, before: RunRecord | None) -> bool:
    return before is not None and not record.n_files and Reason.NOT_CHOSEN.value in record.left


def make_record_document(record: RunRecord) -> dict[str, object]:
    """Make JSON values of a record."""
    return {**{name: getattr(record, name) for name in _KINDS}, "left": dict(record.left)}


def parse_record(document: Any) -> RunRecord:  # noqa: ANN401 - from JSON
    """Read a record from JSON values.

    Raises:
        ValueError: They are no record.
    """
    try:
        record = RunRecord(**document)
        counts = {str(reason): int(count) for reason, count in dict(record.left).items()}
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"no record of a run: {error}") from error
    for field_, kinds in _KINDS.items():
        value = getattr(record, field_)
        if type(value) not in kinds or (type(value) is int and abs(value) >= _LIMIT):  # not isinstance: True is an int
            raise ValueError(f"no record of a run: {field_} is {str(value)[:40]}")
    if any(abs(count) >= _LIMIT for count in counts.values()):
        raise ValueError("no record of a run: a number of files that no disk holds")
    return replace(record, left=counts)


def _make_record(
    run: Run | None,
    items: Iterable[PlanItem],
    sent: Mapping[FileKey, SourceFile],
    gaps: Mapping[GapReason, int],
    n_deeper: int,
) -> RunRecord:
    proven: list[SourceFile] = []
    left: Counter[str] = Counter({"deeper": n_deeper} if n_deeper else {})
    left.update({reason.value: count for reason, count in gaps.items()})
    is_open = any(reason.is_open for reason in gaps)
    for item in items:
        file = item.file
        if item.reason is Reason.SAME:
            proven.append(file)
        elif item.reason.is_send and file.key in sent:
            proven.append(sent[file.key])
        elif item.reason is not Reason.THERE:
            is_open = is_open or item.reason.is_send or item.reason in _OPEN
            left[NOT_PROVEN if item.reason.is_send else item.reason.value] += 1
    # `finish()` of wandb may return while the log still grows: an exit record alone is not the end.
    has_ended = run is None or (run.has_exit_record and run.at_rest)
    is_complete = has_ended and not is_open
    record = RunRecord(
        state=run.state.value if run is not None else "",
        exit_code=run.exit_code if run is not None else None,
        is_complete=is_complete,
        n_files=len(proven),
        n_bytes=sum(file.size for file in proven),
        # One digest and no list of files: a receipt stays small however large the sweep is.
        digest=make_digest(proven),
        left=dict(sorted(left.items())),  # so that the same record is the same text in a receipt
    )
    return replace(record, is_whole=is_complete and not record.missed)
