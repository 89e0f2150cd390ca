"""Standing of a sweep at a target: what is verified there, compared with what is here. Pure; asks no target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import groupby

from hsm.config.settings import SyncOptions
from hsm.model import Reason, Root, SourceFile, SweepInventory
from hsm.plan.digest import make_digest
from hsm.plan.selection import Selection
from hsm.records.cleaned import CleanedUnit
from hsm.records.record import SWEEP_FOLDER, UNSETTLED_REASONS, RunRecord
from hsm.records.scope import lacks_parts
from hsm.sync.cleaned_jobs import iter_earlier_files


class SyncState(str, Enum):
    """State of a run, or of the sweep's folder, at a target.

    COMPLETE: it has ended, and everything that counts is verified there as it is here. SENT: all of that, but it had
    not ended. PENDING: it is new, has changed since, or the last call did not choose all of it. UNSETTLED: the last
    time some of its files failed, changed while they were sent, or were kept there as conflicts.

    It is what the record says, not what could be concluded here meanwhile: so both ends tell the same, since the
    receipt holds the same record.
    """

    COMPLETE = "complete"
    SENT = "sent"
    PENDING = "pending"
    UNSETTLED = "unsettled"


@dataclass(frozen=True, slots=True)
class SyncTally:
    """Standing of a sweep at a target.

    Attributes:
        runs: By run, those here and those that are only known from before.
        sweep_folder: The sweep's own folder; None where it is not synced or there is nothing of it.
        whole: Runs of which nothing was left out, the sweep's folder under its empty name.
        n_files: Verified files.
        n_bytes: Of the verified files.
        pending_bytes: Of all files of what is pending or unsettled, so what a sync sends is at most that.
        left: The number of files that were left out the last time, by reason.
        scope: What was missing of the sweep as a whole the last time, by reason (`hsm.records.scope`).
    """

    runs: Mapping[str, SyncState] = field(default_factory=dict)
    sweep_folder: SyncState | None = None
    whole: frozenset[str] = frozenset()
    n_files: int = 0
    n_bytes: int = 0
    pending_bytes: int = 0
    left: Mapping[str, int] = field(default_factory=dict)
    scope: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """True where there is something, all of it is complete, and nothing is missing beside it.

        Nothing at all is not complete: a script that waits for it must not be told so by an empty mount point.
        """
        found = [*self.runs.values(), *([self.sweep_folder] if self.sweep_folder else [])]
        return bool(found) and not lacks_parts(self.scope) and all(s is SyncState.COMPLETE for s in found)

    @property
    def is_whole(self) -> bool:
        """True where it is complete and nothing was left out for any reason."""
        names = {*self.runs, *([SWEEP_FOLDER] if self.sweep_folder else [])}
        return self.is_complete and not self.scope and names <= self.whole


def make_tally(
    records: Mapping[str, RunRecord],
    inventory: SweepInventory | None,
    options: SyncOptions,
    *,
    roots: Collection[Root],
    scope: Mapping[str, int] | None = None,
    gone: Sequence[CleanedUnit] = (),
) -> SyncTally:
    """Compare what is verified with what is here.

    Args:
        records: Of the journal.
        inventory: Everything here, to the depth of `options`; None where nothing here tells (a pull).
        options: The target's. Files that were copied with `--all-versions` count as well.
        roots: Those of the two folders that are synced.
        scope: Of the journal.
        gone: Hydra's jobs that were removed from the sweep's folder here, oldest first.
    """
    lacking = {gap.run for gap in inventory.gaps} if inventory is not None else set()
    here = _group(inventory, roots)
    chooser = _Chooser(inventory, options, gone) if inventory is not None else None
    expected = {run.name for run in inventory.runs} if inventory is not None and Root.WANDB in roots else set()
    known = {name for name, record in records.items() if record != RunRecord()}
    standings: dict[str, SyncState] = {}
    pending_bytes = 0
    for name in sorted({*here, *expected, *known}):
        record = records.get(name)
        if chooser is None or (name not in here and name not in expected):
            if record is not None:
                standings[name] = judge_record(record)
            continue
        standings[name] = _judge(record, chooser, here.get(name, []))
        if standings[name] in (SyncState.PENDING, SyncState.UNSETTLED):
            pending_bytes += sum(file.size for file in here.get(name, []))
    return SyncTally(
        runs={name: standing for name, standing in standings.items() if name != SWEEP_FOLDER},
        sweep_folder=standings.get(SWEEP_FOLDER),
        whole=frozenset(name for name, record in records.items() if record.is_whole and name not in lacking),
        n_files=sum(record.n_files for record in records.values()),
        n_bytes=sum(record.n_bytes for record in records.values()),
        pending_bytes=pending_bytes,
        left=sum_left(records.values()),
        scope=scope or {},
    )


def sum_left(records: Collection[RunRecord]) -> dict[str, int]:
    """Sum up the files that were left out, by reason."""
    left: Counter[str] = Counter()
    for record in records:
        left.update(record.left)
    return dict(sorted(left.items()))


def is_proven(record: RunRecord, files: Sequence[SourceFile]) -> bool:
    """Tell whether files are exactly those that a record verifies, by path, size and time."""
    is_alike = record.n_files == len(files) and record.n_bytes == sum(file.size for file in files)
    return is_alike and make_digest(files) == record.digest


class _Chooser:
    """Chooser of the files of a run that may count; the cheap choices first."""

    def __init__(self, inventory: SweepInventory, options: SyncOptions, gone: Sequence[CleanedUnit]) -> None:
        self._inventory = inventory
        self._gone = gone
        self._runs = {run.name: run for run in inventory.runs}
        modes = dict.fromkeys((options.latest_only, False))
        self._selections = [
            Selection(latest_only=mode, exclude=options.exclude, secret_patterns=options.secret_patterns)
            for mode in modes
        ]

    def iter_choices(self, files: list[SourceFile]) -> Iterator[list[SourceFile]]:
        """Yield all files, then without what the options leave out, then without that but with all versions.

        A sync with `--all-versions` verified more than the options ask for, and one before a clean the jobs that it
        removed; one choice that matches is enough.
        """
        yield files
        if self._gone and files and not files[0].run:
            yield from map(list, iter_earlier_files(files, self._inventory.sweep, self._inventory.place, self._gone))
        for selection in self._selections if files else ():
            left = selection.find_left(files, self._inventory, self._runs.get(files[0].run))
            yield [file for file in files if file.path not in left]


def _group(inventory: SweepInventory | None, roots: Collection[Root]) -> dict[str, list[SourceFile]]:
    files = sorted(file for file in inventory.files if file.root in roots) if inventory is not None else []
    return {name: list(members) for name, members in groupby(files, key=lambda file: file.run)}


def _judge(record: RunRecord | None, chooser: _Chooser, files: list[SourceFile]) -> SyncState:
    if record is None:
        return SyncState.PENDING
    if any(is_proven(record, chosen) for chosen in chooser.iter_choices(files)):
        return judge_record(record) if record.is_complete or _is_open(record) else SyncState.SENT
    return SyncState.UNSETTLED if _is_open(record) else SyncState.PENDING


def judge_record(record: RunRecord) -> SyncState:
    """Judge a record by itself, of a run that is not here to be compared."""
    if record.is_complete:
        return SyncState.COMPLETE
    if _is_open(record):
        return SyncState.UNSETTLED
    return SyncState.PENDING if Reason.NOT_CHOSEN.value in record.left else SyncState.SENT


def _is_open(record: RunRecord) -> bool:
    return not UNSETTLED_REASONS.isdisjoint(record.left)
