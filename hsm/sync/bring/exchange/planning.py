"""Planning of one exchange: the plan, and what has to be asked for it.

Two questions are asked only where a plan needs the answer: how the destination's file system behaves, which needs the
lock there, and whether the content of files is the same whose times cannot tell.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hsm.endpoint import Endpoint
from hsm.errors import HsmError, UnreachableError
from hsm.model import Entry, FileKey, SourceFile, SweepInventory, SyncPlan
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.disk.times import TimeMatch, match_times
from hsm.plan.planner import PlanOptions, make_plan
from hsm.records.compared import ComparedFile, load_compared, save_compared
from hsm.sync.bring.exchange.disks import Disks
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.ledger.strangers import KnownStrangers
from hsm.sync.bring.ledger.unsettled import UnsettledFiles
from hsm.sync.bring.options import ExchangeOptions
from hsm.sync.bring.survey import DestinationState
from hsm.sync.observer import Stopwatch
from hsm.transfer.base import Engine
from hsm.transfer.outcome import TransferResult

if TYPE_CHECKING:
    from hsm.transfer.proof import Arrivals

MakeEngine = Callable[[DestinationState], Engine]


_CAME_BACK = "somebody wrote it there while an earlier sync was cut off"


class Planning:
    """Maker of the plans of one exchange. Used by one thread.

    Args:
        inventory: What the source has of the sweep.
        options: How it is copied.
        ledger: Of the sweep at the target.
        make_engine: Makes what sends, and compares content.
        disks: Of the destination.
        stopwatch: Told when files are read to be compared.

    Attributes:
        unsettled: Files that are sent even if they look the same.
    """

    def __init__(
        self,
        inventory: SweepInventory,
        options: ExchangeOptions,
        ledger: Ledger,
        make_engine: MakeEngine,
        disks: Disks,
        stopwatch: Stopwatch,
    ) -> None:
        self._inventory = inventory
        self._options = options
        self._ledger = ledger
        self._make_engine = make_engine
        self._disks = disks
        self._stopwatch = stopwatch
        self.unsettled = UnsettledFiles(ledger.compared_path.with_suffix(".unsettled"))
        self._strangers = KnownStrangers(ledger.compared_path.with_suffix(".strangers"))
        self._engine: Engine | None = None

    def make(self, there: DestinationState) -> SyncPlan:
        """Make the plan, as far as it is known how the destination behaves (`asks_probe`).

        Raises:
            HsmError: No engine can be made, or one of the ends is out of reach.
        """
        self._engine = None
        with self._stopwatch.step("plan"):
            origins = self._ledger.find_origins(self._inventory, there.destination)
            proven = self._ledger.digests
            came_back = dict.fromkeys(self._ledger.holding.came_back, _CAME_BACK)
            foreign = {**origins.foreign, **self._strangers.find(there.destination), **came_back}
            options = replace(self._options.plan, proven=proven, foreign=foreign, equal=origins.equal)
            plan = self._plan(there, options)
            if plan.sends:
                plan = self._join_engine(there, options, plan)
        if plan.doubts and not self.asks_probe(there, plan):
            with self._stopwatch.step("verify"):
                plan = self._settle_doubts(there, options, plan)
        return plan

    def take_engine(self, there: DestinationState) -> Engine:
        """Return the engine between the two ends, made once for a plan."""
        if self._engine is None:
            self._engine = self._make_engine(there)
        return self._engine

    def make_arrivals(self, there: DestinationState, plan: SyncPlan, destination: Endpoint) -> Arrivals:
        """Make what tells of the files of a plan which have arrived."""
        from hsm.transfer.proof import Arrivals  # noqa: PLC0415 - where nothing is sent, it is not needed

        disks = self._disks.find(there.destination)
        alike = frozenset(file.key for file in plan.sends if _looks_alike(file, there, disks.get(file.root)))
        return Arrivals(destination, there.roots, disks, alike)

    def note_strangers(self, there: DestinationState, result: TransferResult, destination: Endpoint) -> None:
        """Keep in mind whose files were left at the destination; without a note they are looked at as any other."""
        found = result.strangers | self._ledger.holding.came_back
        with contextlib.suppress(HsmError, OSError):
            self._strangers.note(found, result.files.keys(), destination, there.roots)

    def count_step_ns(self, there: DestinationState, engine: Engine) -> int:
        """Return to what times are cut or rounded on their way to the destination, at most."""
        disks = self._disks.find(there.destination).values()
        return max([engine.time_step_ns, *(max(disk.step_ns, disk.sent_step_ns) for disk in disks)])

    def asks_probe(self, there: DestinationState, plan: SyncPlan) -> bool:
        """Tell whether the file systems must be measured before a plan may be carried out."""
        known = self._disks.find(there.destination)
        is_open = plan.asks_file_system or any(file.root not in known for file in plan.sends)
        return is_open and self._disks.may_measure(there.destination)

    def list_unknown(self, there: DestinationState) -> tuple[str, ...]:
        """List the folders whose file systems are to be measured when the lock is taken."""
        return self._disks.list_unknown(there.destination, self._ledger.holding.workspace)

    def note_measured(self, there: DestinationState, plan: SyncPlan) -> bool:
        """Keep what was measured when the lock was taken.

        Returns:
            Whether another plan may follow.
        """
        measured = self._ledger.holding.file_systems
        self._disks.note(there.destination, self._ledger.holding.workspace, measured)
        is_open = plan.asks_file_system or bool(plan.doubts)
        return is_open or not all(disk.takes_all_names for disk in measured.values())

    def _plan(self, there: DestinationState, options: PlanOptions) -> SyncPlan:
        found = replace(options, file_systems=self._disks.find(there.destination))
        return self.unsettled.mark(make_plan(self._inventory, there.destination, found), options.foreign)

    def _join_engine(self, there: DestinationState, options: PlanOptions, plan: SyncPlan) -> SyncPlan:
        """Plan again where the engine cuts times in another way than the last one did, or names are spelled another."""
        destination = self._disks.look_at_spellings(there.destination)
        is_new = self._disks.note_sent_step(self.take_engine(there).time_step_ns)
        if is_new or destination is not there.destination:
            return self._plan(replace(there, destination=destination), options)
        return plan

    def _settle_doubts(self, there: DestinationState, options: PlanOptions, plan: SyncPlan) -> SyncPlan:
        """Compare the content of files that nothing else can tell, and plan with what is known then."""
        path = self._ledger.compared_path
        marks = {file.key: self._make_mark(file, there) for file in plan.doubts}
        before = load_compared(path)
        known = {key: before[key] for key, mark in marks.items() if before.get(key, (-1,))[:3] == mark}
        asked = [file for file in plan.doubts if file.key not in known]
        different = self._find_different(there, asked)
        known |= {file.key: ComparedFile(*marks[file.key], is_equal=file.key not in different) for file in asked}
        equal = frozenset(key for key, found in known.items() if found.is_equal)
        settled = replace(options, equal=options.equal | equal, different=frozenset(known.keys() - equal))
        plan = self._plan(there, settled)
        # Of what is sent, another file will be there; of the rest, what was known may be asked again.
        here = {file.key for file in self._inventory.files} - {file.key for file in plan.sends}
        kept = {key: found for key, found in {**before, **known}.items() if key in here}
        if kept != before and not self._options.is_dry_run:
            save_compared(path, kept)
        return plan

    def _find_different(self, there: DestinationState, files: Sequence[SourceFile]) -> frozenset[FileKey]:
        """Find the files whose content differs; where it cannot be read, nobody has shown that it does not."""
        if not files:
            return frozenset()
        from hsm.transfer.proof import compare_content  # noqa: PLC0415 - few plans need it

        try:
            answer = compare_content(self.take_engine(there), files, n_workers=self._options.n_workers)
        except UnreachableError:
            raise
        except HsmError:
            return frozenset(file.key for file in files)
        return answer.different | answer.missing

    def _make_mark(self, file: SourceFile, there: DestinationState) -> tuple[int, int, int]:
        entry = _find_entry(file, there, self._disks.find(there.destination).get(file.root))
        return file.size, file.mtime_ns, entry.mtime_ns if entry is not None else 0


def _find_entry(file: SourceFile, there: DestinationState, disk: FileSystem | None) -> Entry | None:
    return there.destination[file.root].entries.get(disk.spell(file.path) if disk is not None else file.path)


def _looks_alike(file: SourceFile, there: DestinationState, disk: FileSystem | None) -> bool:
    """Tell whether what is there may show the size and the time that the file will have there."""
    entry = _find_entry(file, there, disk)
    if entry is None or entry.size != file.size:
        return False
    return match_times(file.mtime_ns, entry.mtime_ns, disk) is not TimeMatch.OTHER
