"""Planning of one exchange: the plan, and what has to be asked for it.

Two questions are asked only where a plan needs the answer: how the destination's file system behaves, which needs the
lock there, and whether the content of files is the same whose times cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hsm.errors import HsmError, UnreachableError
from hsm.model import FileKey, SourceFile, SyncPlan
from hsm.plan.planner import PlanOptions, make_plan
from hsm.records.compared import ComparedFile, load_compared, save_compared
from hsm.sweep_folder import sweep_folder
from hsm.sync.bring.exchange.disks import Disks
from hsm.sync.bring.exchange.setup import ExchangeSetup
from hsm.sync.bring.ledger.strangers import KnownStrangers
from hsm.sync.bring.ledger.unsettled import UnsettledFiles
from hsm.sync.bring.survey import DestinationState
from hsm.transfer.base import Engine

_CAME_BACK = "somebody wrote it there while an earlier sync was cut off"


class Planning:
    """Maker of the plans of one exchange. Used by one thread.

    Args:
        setup: Of the exchange.

    Attributes:
        disks: Of the destination.
        unsettled: Files that are sent even if they look the same.
        strangers: Files of somebody else at the destination, which stay.
    """

    def __init__(self, setup: ExchangeSetup) -> None:
        ledger, inventory = setup.ledger, setup.inventory
        folder = sweep_folder(inventory.sweep, inventory.place)
        is_dry_run = setup.options.is_dry_run
        self.disks = Disks(ledger.file_systems_path, setup.destination, folder, is_dry_run=is_dry_run)
        self.unsettled = UnsettledFiles(ledger.compared_path.with_suffix(".unsettled"))
        self.strangers = KnownStrangers(ledger.compared_path.with_suffix(".strangers"))
        self._setup = setup
        self._engine: Engine | None = None

    def make(self, there: DestinationState) -> SyncPlan:
        """Make the plan, as far as it is known how the destination behaves (`asks_probe`).

        Raises:
            HsmError: No engine can be made, or one of the ends is out of reach.
        """
        ledger, stopwatch = self._setup.ledger, self._setup.observer.stopwatch
        self._engine = None
        with stopwatch.step("plan"):
            origins = ledger.find_origins(self._setup.inventory, there.destination)
            proven = ledger.digests
            came_back = dict.fromkeys(ledger.holding.came_back, _CAME_BACK)
            foreign = {**origins.foreign, **self.strangers.find(there.destination), **came_back}
            options = replace(self._setup.options.plan, proven=proven, foreign=foreign, equal=origins.equal)
            plan = self._plan(there, options)
            if plan.sends:
                plan = self._join_engine(there, options, plan)
        if plan.doubts and not self.asks_probe(there, plan):
            with stopwatch.step("verify"):
                plan = self._settle_doubts(there, options, plan)
        return plan

    def take_engine(self, there: DestinationState) -> Engine:
        """Return the engine between the two ends, made once for a plan."""
        if self._engine is None:
            self._engine = self._setup.make_engine(there)
        return self._engine

    def asks_probe(self, there: DestinationState, plan: SyncPlan) -> bool:
        """Tell whether the file systems must be measured before a plan may be carried out."""
        known = self.disks.find(there.destination)
        is_open = plan.asks_file_system or any(file.root not in known for file in plan.sends)
        return is_open and self.disks.may_measure(there.destination)

    def list_unknown(self, there: DestinationState) -> tuple[str, ...]:
        """List the folders whose file systems are to be measured when the lock is taken."""
        return self.disks.list_unknown(there.destination, self._setup.ledger.holding.workspace)

    def note_measured(self, there: DestinationState, plan: SyncPlan) -> bool:
        """Keep what was measured when the lock was taken.

        Returns:
            Whether another plan may follow.
        """
        holding = self._setup.ledger.holding
        measured = holding.file_systems
        self.disks.note(there.destination, holding.workspace, measured)
        is_open = plan.asks_file_system or bool(plan.doubts)
        return is_open or not all(disk.takes_all_names for disk in measured.values())

    def _plan(self, there: DestinationState, options: PlanOptions) -> SyncPlan:
        found = replace(options, file_systems=self.disks.find(there.destination))
        return self.unsettled.mark(make_plan(self._setup.inventory, there.destination, found), options.foreign)

    def _join_engine(self, there: DestinationState, options: PlanOptions, plan: SyncPlan) -> SyncPlan:
        """Plan again where the engine cuts times in another way than the last one did, or names are spelled another."""
        destination = self.disks.look_at_spellings(there.destination)
        is_new = self.disks.note_sent_step(self.take_engine(there).time_step_ns)
        if is_new or destination is not there.destination:
            return self._plan(replace(there, destination=destination), options)
        return plan

    def _settle_doubts(self, there: DestinationState, options: PlanOptions, plan: SyncPlan) -> SyncPlan:
        """Compare the content of files that nothing else can tell, and plan with what is known then."""
        path = self._setup.ledger.compared_path
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
        here = {file.key for file in self._setup.inventory.files} - {file.key for file in plan.sends}
        kept = {key: found for key, found in {**before, **known}.items() if key in here}
        if kept != before and not self._setup.options.is_dry_run:
            save_compared(path, kept)
        return plan

    def _find_different(self, there: DestinationState, files: Sequence[SourceFile]) -> frozenset[FileKey]:
        """Find the files whose content differs; where it cannot be read, nobody has shown that it does not."""
        if not files:
            return frozenset()
        from hsm.transfer.proof import compare_content  # noqa: PLC0415 - few plans need it

        try:
            answer = compare_content(self.take_engine(there), files, n_workers=self._setup.options.n_workers)
        except UnreachableError:
            raise
        except HsmError:
            return frozenset(file.key for file in files)
        return answer.different | answer.missing

    def _make_mark(self, file: SourceFile, there: DestinationState) -> tuple[int, int, int]:
        entry = there.find_entry(file, self.disks.find(there.destination).get(file.root))
        return file.size, file.mtime_ns, entry.mtime_ns if entry is not None else 0
