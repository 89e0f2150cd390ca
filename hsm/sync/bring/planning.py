"""Planning of one exchange: the plan, and what has to be asked for it.

Two questions are asked only where a plan needs the answer: how the destination's file system behaves, which needs the
lock there, and whether the content of files is the same whose times cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hsm.endpoint import Endpoint, Tree
from hsm.errors import HsmError, UnreachableError
from hsm.model import Entry, FileKey, Root, SourceFile, SweepInventory, SyncPlan
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.disk.times import TimeMatch, match_times
from hsm.plan.planner import PlanOptions, make_plan
from hsm.records.compared import ComparedFile, load_compared, save_compared
from hsm.records.file_systems import load_file_systems, make_place, save_file_systems
from hsm.sweep_folder import OUTPUTS
from hsm.sync.bring.ledger import Ledger
from hsm.sync.bring.options import ExchangeOptions
from hsm.sync.bring.survey import DestinationState
from hsm.transfer.base import Engine

if TYPE_CHECKING:
    from hsm.transfer.proof import Arrivals

Probe = Callable[[Sequence[str]], Mapping[str, FileSystem]]
"""See `hsm.targets.contract.Connection.probe`."""

MakeEngine = Callable[[DestinationState], Engine]


class Planning:
    """Maker of the plans of one exchange. Used by one thread.

    Args:
        inventory: What the source has of the sweep.
        options: How it is copied.
        ledger: Of the sweep at the target.
        make_engine: Makes what sends, and compares content.
        probe: Measures the file systems of folders at the destination.
        destination: Looked at for the spelling of names.
    """

    def __init__(
        self,
        inventory: SweepInventory,
        options: ExchangeOptions,
        ledger: Ledger,
        make_engine: MakeEngine,
        probe: Probe,
        destination: Endpoint,
    ) -> None:
        self._inventory = inventory
        self._options = options
        self._ledger = ledger
        self._make_engine = make_engine
        self._probe = probe
        self._destination = destination
        self._disks = load_file_systems(ledger.file_systems_path)
        self._has_probed = False
        self._engine: Engine | None = None

    def make(self, there: DestinationState) -> SyncPlan:
        """Make the plan, as far as it is known how the destination behaves (`asks_probe`)."""
        self._engine = None
        origins = self._ledger.find_origins(self._inventory, there.destination)
        options = replace(self._options.plan, proven=self._ledger.digests, foreign=origins.foreign, equal=origins.equal)
        plan = self._plan(there, options)
        if plan.sends:
            there = self._look_at_spellings(there)
            plan = self._join_engine(there, options, plan)
        if plan.doubts and not self.asks_probe(there, plan):
            plan = self._settle_doubts(there, options, plan)
        return plan

    def take_engine(self, there: DestinationState) -> Engine:
        """Return the engine between the two ends, made once for a plan."""
        if self._engine is None:
            self._engine = self._make_engine(there)
        return self._engine

    def find_file_systems(self, there: DestinationState) -> dict[Root, FileSystem]:
        """Return what is known of the destination's file systems."""
        return self._disks.find(there.destination)

    def make_arrivals(self, there: DestinationState, plan: SyncPlan, destination: Endpoint) -> Arrivals:
        """Make what tells of the files of a plan which have arrived."""
        from hsm.transfer.proof import Arrivals  # noqa: PLC0415 - where nothing is sent, it is not needed

        disks = self.find_file_systems(there)
        alike = frozenset(file.key for file in plan.sends if _looks_alike(file, there, disks.get(file.root)))
        return Arrivals(destination, there.roots, disks, alike)

    def asks_probe(self, there: DestinationState, plan: SyncPlan) -> bool:
        """Tell whether the file systems must be measured before a plan may be carried out."""
        known = self.find_file_systems(there)
        is_open = plan.asks_file_system or any(file.root not in known for file in plan.sends)
        return is_open and len(known) < len(there.destination) and not (self._has_probed or self._options.is_dry_run)

    def measure(self, there: DestinationState, plan: SyncPlan) -> bool:
        """Measure the file systems that are not known yet, with the lock held.

        Returns:
            Whether another plan may follow.

        Raises:
            HsmError: The destination is out of reach.
        """
        self._has_probed = True
        known = self.find_file_systems(there)
        folders = {
            f"{found.path.rstrip('/')}/{self._ledger.holding.workspace}": make_place(found)
            for root, found in there.destination.items()
            if root not in known
        }
        measured = self._probe(list(folders))
        self._disks = self._disks.add({folders[folder]: found for folder, found in measured.items()})
        save_file_systems(self._ledger.file_systems_path, self._disks)
        return plan.asks_file_system or bool(plan.doubts) or not all(disk.takes_all_names for disk in measured.values())

    def _plan(self, there: DestinationState, options: PlanOptions) -> SyncPlan:
        found = replace(options, file_systems=self.find_file_systems(there))
        return make_plan(self._inventory, there.destination, found)

    def _join_engine(self, there: DestinationState, options: PlanOptions, plan: SyncPlan) -> SyncPlan:
        """Plan again where the engine cuts times in another way than the last one did."""
        step_ns = self.take_engine(there).capabilities.time_step_ns
        if step_ns != self._disks.sent_step_ns:
            self._disks = replace(self._disks, sent_step_ns=step_ns)
            if not self._options.is_dry_run:
                save_file_systems(self._ledger.file_systems_path, self._disks)
        elif not any(disk.folds for disk in self.find_file_systems(there).values()):
            return plan
        return self._plan(there, options)

    def _look_at_spellings(self, there: DestinationState) -> DestinationState:
        """Add how the folders of runs and sweeps are spelled, where another spelling finds them too.

        A survey asks for them by name, so there they look as if they were spelled like that.
        """
        disks = {root: disk for root, disk in self.find_file_systems(there).items() if disk.folds}
        if not disks:
            return there
        trees = [
            Tree(there.destination[root].path, ("", OUTPUTS) if root is Root.SWEEPS else ("",), 1) for root in disks
        ]
        destination = dict(there.destination)
        for (root, disk), listing in zip(disks.items(), self._destination.survey(trees).listings, strict=True):
            known = destination[root].entries
            names = set(map(disk.fold, known))
            more = {found.path: found for found in listing.entries if found.path and disk.fold(found.path) in names}
            destination[root] = replace(destination[root], entries={**more, **known})
        return replace(there, destination=destination)

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
        entry = _find_entry(file, there, self.find_file_systems(there).get(file.root))
        return file.size, file.mtime_ns, entry.mtime_ns if entry is not None else 0


def _find_entry(file: SourceFile, there: DestinationState, disk: FileSystem | None) -> Entry | None:
    return there.destination[file.root].entries.get(disk.spell(file.path) if disk is not None else file.path)


def _looks_alike(file: SourceFile, there: DestinationState, disk: FileSystem | None) -> bool:
    """Tell whether what is there may show the size and the time that the file will have there."""
    entry = _find_entry(file, there, disk)
    if entry is None or entry.size != file.size:
        return False
    return match_times(file.mtime_ns, entry.mtime_ns, disk) is not TimeMatch.OTHER
