"""Sending of a plan: the transfer, its proof, and the record of what is verified."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from hsm.errors import HsmError, LockLostError, UnreachableError
from hsm.model import Problem, SourceFile, SyncPlan
from hsm.plan.disk.file_system import FileSystem
from hsm.plan.disk.times import TimeMatch, match_times
from hsm.progress import ProblemFound
from hsm.remote.guard import Replaced
from hsm.sync.bring.exchange.planning import Planning
from hsm.sync.bring.exchange.review import look_for_secrets
from hsm.sync.bring.exchange.setup import ExchangeSetup
from hsm.sync.bring.ledger.holding import UnseenReplacedError
from hsm.sync.bring.survey import DestinationState
from hsm.transfer.base import Engine
from hsm.transfer.outcome import TransferResult
from hsm.transfer.proof import Arrivals
from hsm.transfer.rounds import Transfer


class Sending:
    """Sender of one plan. Used once, by one thread, while both locks are held.

    Args:
        setup: Of the exchange.
        planning: That has made the plan.
        there: The destination, as the survey found it.
        plan: What is sent.

    Attributes:
        plan: The same, after `run` with what was found in the files meanwhile.
    """

    def __init__(self, setup: ExchangeSetup, planning: Planning, there: DestinationState, plan: SyncPlan) -> None:
        self.plan = plan
        self._setup = setup
        self._planning = planning
        self._there = there
        self._transfer: Transfer | None = None

    def run(self) -> TransferResult:
        """Send the files and prove them.

        Raises:
            HsmError: It could not begin.
        """
        setup, plan = self._setup, self.plan
        engine = self._planning.take_engine(self._there)
        setup.ledger.begin(plan)
        self._tell_failures()
        self._transfer = transfer = self._make_transfer(engine)
        with (
            setup.observer.stopwatch.step("transfer"),
            ThreadPoolExecutor(1, thread_name_prefix="hsm-look") as executor,
        ):
            looked = executor.submit(look_for_secrets, setup, plan) if setup.options.secrets == "warn" else None
            result = transfer.run(plan.sends, n_workers=setup.options.n_workers)
        self.plan = looked.result() if looked is not None else plan
        return result

    def record(self, result: TransferResult) -> TransferResult:
        """Write down what is verified.

        Args:
            result: Of `run`; an empty one where nothing was sent.

        Returns:
            The result, with what went wrong here.
        """
        result = self._record(result)
        if self._transfer is not None:
            self._planning.unsettled.end(self.plan, result)
        # Without a note, files of somebody else that were left at the destination are looked at as any other.
        strangers = result.strangers | self._setup.ledger.holding.came_back
        with contextlib.suppress(HsmError, OSError):
            self._planning.strangers.note(strangers, result.files.keys(), self._setup.destination, self._there.roots)
        return result

    def _tell_failures(self) -> None:
        """Say before a transfer, which may take long, what will be missing after it."""
        for problem in self.plan.problems:
            if problem.is_failure:
                self._setup.observer.reporter.report(ProblemFound(self._setup.connection.name, problem))

    def _make_transfer(self, engine: Engine) -> Transfer:
        setup, there, ends = self._setup, self._there, self._setup.direction
        disks = self._planning.disks.find(there.destination)
        # To what times are cut or rounded on their way, at most.
        step_ns = max([engine.time_step_ns, *(max(disk.step_ns, disk.sent_step_ns) for disk in disks.values())])
        watch = setup.ledger.holding.begin(there, self.plan, ends.destination, ends.make_guard, step_ns=step_ns)
        self._planning.unsettled.begin(setup.find_source_time())
        alike = frozenset(file.key for file in self.plan.sends if _looks_alike(file, there, disks.get(file.root)))
        return Transfer(
            engine,
            source=ends.source,
            destination=ends.destination,
            roots=there.roots,
            reporter=setup.observer.reporter,
            target=setup.connection.name,
            sleep=setup.observer.sleep,
            patience=setup.options.patience,
            watch=watch,
            arrivals=Arrivals(ends.destination, there.roots, disks, alike),
            leaves_look=True,
        )

    def _record(self, result: TransferResult) -> TransferResult:
        ledger, destination, transfer = self._setup.ledger, self._setup.destination, self._transfer
        error = result.error.message if result.error is not None else ""
        try:
            with self._setup.observer.stopwatch.step("record"):
                if isinstance(result.error, LockLostError):
                    ledger.holding.lose()
                    ledger.note_error(error)
                    return result
                # The lock there stays, dead: a target that is out of reach learns what arrived with the next sync.
                if isinstance(result.error, UnreachableError) and destination.is_remote:
                    ledger.record_here(self.plan, result.files, error=error)
                    return result
                record = partial(ledger.record, self.plan, places=self._there.places, endpoint=destination, error=error)
                try:
                    replaced = transfer.replaced if transfer is not None else Replaced(has_looked=False)
                    problems = record(result.files, unsettled=result.unsettled, replaced=replaced)
                except UnseenReplacedError:
                    result = transfer.look_at_replaced() if transfer is not None else result
                    replaced = Replaced(keeps_some=transfer is not None and transfer.replaced.keeps_some)
                    problems = record(result.files, unsettled=result.unsettled, replaced=replaced)
                return replace(result, problems=(*result.problems, *problems))
        except HsmError as failure:
            problem = Problem(self._there.places.folder, failure.kind, failure.message, failure.hint)
            return replace(result, error=result.error or failure, problems=(*result.problems, problem))


def _looks_alike(file: SourceFile, there: DestinationState, disk: FileSystem | None) -> bool:
    """Tell whether what is there may show the size and the time that the file will have there."""
    entry = there.find_entry(file, disk)
    if entry is None or entry.size != file.size:
        return False
    return match_times(file.mtime_ns, entry.mtime_ns, disk) is not TimeMatch.OTHER
