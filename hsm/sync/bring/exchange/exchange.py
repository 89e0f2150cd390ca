"""One sweep from a source to a destination: check, plan, refuse or send, report. The same for push and pull."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hsm.config.schema import TargetSettings
from hsm.endpoint import Endpoint
from hsm.errors import HsmError, LockedError, LockLostError, RefusedError, UnreachableError
from hsm.model import Problem, Root, SweepInventory, SweepKind, SyncPlan
from hsm.plan.destination import Destination
from hsm.plan.disk.times import count_tick_ns, find_source_time
from hsm.plan.planner import select
from hsm.plan.safety import check_plan, check_secrets
from hsm.process.runner import CommandStoppedError
from hsm.progress import ProblemFound
from hsm.remote.guard import MakeGuard, Replaced
from hsm.sweep_folder import sweep_folder
from hsm.sync.bring.ending import INTERRUPTED, Ending, end_failed, end_idle, end_transfer
from hsm.sync.bring.exchange.disks import Disks
from hsm.sync.bring.exchange.planning import Planning
from hsm.sync.bring.ledger.holding import UnseenReplacedError
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.options import ExchangeOptions
from hsm.sync.bring.survey import DestinationState, SurveyAhead, survey_destination
from hsm.sync.observer import Observer
from hsm.sync.reports import TargetReport
from hsm.targets.contract import Connection, get_roots
from hsm.transfer.base import Engine
from hsm.transfer.outcome import TransferResult

if TYPE_CHECKING:
    from hsm.transfer.rounds import Transfer


@dataclass(frozen=True, slots=True)
class Direction:
    """The two ends of an exchange, of which one is the target and one is here.

    Attributes:
        source: Where files come from.
        destination: Where they go.
        roots: The destination's folders as configured.
        make_guard: Makes what keeps lock and receipt at the destination.
        is_pull: The target is the source.
        own: The destination's folder of sweeps, in which lock and receipts lie, where that is none of the roots.
    """

    source: Endpoint
    destination: Endpoint
    roots: Mapping[Root, str]
    make_guard: MakeGuard
    is_pull: bool = False
    own: str = ""


def make_push_direction(
    connection: Connection, settings: TargetSettings, source: Endpoint, kind: SweepKind = SweepKind.FOLDER
) -> Direction:
    """Make the direction from this machine to a target, for a kind of sweep."""
    return Direction(
        source=source,
        destination=connection.endpoint,
        roots=get_roots(settings, kind),
        own=settings.paths.sweeps,
        make_guard=connection.make_guard,
    )


def exchange(
    connection: Connection,
    direction: Direction,
    inventory: SweepInventory,
    options: ExchangeOptions,
    *,
    ledger: Ledger,
    observer: Observer,
    ahead: SurveyAhead | None = None,
) -> TargetReport:
    """Copy a sweep from the source to the destination, and prove it.

    Both locks are held while anything is changed, and what is verified is written down whatever happens. Never
    raises for what goes wrong at the target; the answer says it.

    Args:
        connection: To the target; a login has been made.
        direction: From where to where.
        inventory: What the source has of the sweep.
        options: How it is copied.
        ledger: Of the sweep at the target.
        observer: Told what happens.
        ahead: A survey of the destination that was begun before.
    """
    return exchange_selected(
        connection,
        direction,
        select_wanted(inventory, options),
        options,
        ledger=ledger,
        observer=observer,
        ahead=ahead,
    )


def select_wanted(inventory: SweepInventory, options: ExchangeOptions) -> SweepInventory:
    """Select what an exchange copies of what the source has."""
    return select(
        inventory,
        options.roots,
        folder_links=options.folder_links,
        switched_off=options.switched_off,
        may_lack_runs="source-empty" in options.allowed,
    )


def exchange_selected(
    connection: Connection,
    direction: Direction,
    inventory: SweepInventory,
    options: ExchangeOptions,
    *,
    ledger: Ledger,
    observer: Observer,
    ahead: SurveyAhead | None = None,
) -> TargetReport:
    """Copy what `select_wanted` has selected, or a part of it; otherwise as `exchange`."""
    return _Exchange(connection, direction, inventory, options, ledger, observer, ahead).run()


# When the receipts there change between check and lock, somebody else was there: check again, this often.
_MAX_CHECKS = 3


class _Exchange:
    def __init__(
        self,
        connection: Connection,
        direction: Direction,
        inventory: SweepInventory,
        options: ExchangeOptions,
        ledger: Ledger,
        observer: Observer,
        ahead: SurveyAhead | None,
    ) -> None:
        self._connection = connection
        self._direction = direction
        self._inventory = inventory
        self._options = options
        self._ledger = ledger
        self._observer = observer
        self._ahead = ahead
        self._plan: SyncPlan | None = None
        folder = sweep_folder(inventory.sweep, inventory.place)
        disks = Disks(ledger.file_systems_path, direction.destination, folder, is_dry_run=options.is_dry_run)
        self._planning = Planning(inventory, options, ledger, self._make_engine, disks, observer.stopwatch)

    def run(self) -> TargetReport:
        try:
            with self._ledger.open(is_dry_run=self._options.is_dry_run):
                return self._run() if self._options.is_dry_run else self._run_held()
        except HsmError as error:
            return self._report(end_failed(error))
        except CommandStoppedError:
            return self._report(INTERRUPTED)

    def _run_held(self) -> TargetReport:
        try:
            return self._run()
        except HsmError as error:
            self._ledger.note_error(error.message)
            raise
        finally:
            self._ledger.holding.give_back()
            self._connection.release()

    def _run(self) -> TargetReport:
        if not (self._options.is_dry_run or self._direction.is_pull):
            self._prepare()
        for _ in range(_MAX_CHECKS):
            there = self._survey()
            plan = self._make_plan(there)
            if self._options.is_dry_run:
                self._check_writable(there, plan)
                return self._report_idle(plan)
            asks_probe = self._planning.asks_probe(there, plan)
            if self._has_nothing_to_do(there, plan) and not asks_probe:
                return self._report_idle(plan)
            with self._observer.stopwatch.step("lock"):
                # In one round trip.
                unknown = self._planning.list_unknown(there) if asks_probe else ()
                receipts = self._ledger.holding.take(there.places, self._direction.make_guard, measures=unknown)
                is_stale = asks_probe and self._planning.note_measured(there, plan)
            # Other receipts by now: somebody else was there between survey and lock, and the plan may be wrong.
            has_settled = not self._ledger.holding.settle_left(there, plan, self._direction.destination)
            if receipts == there.receipts and has_settled:
                plan = self._make_plan(there) if is_stale else plan
                if self._has_nothing_to_do(there, plan):
                    return self._report_idle(plan)
                self._let_tick_pass(plan)
                return self._send(there, plan, self._planning.take_engine(there) if plan.sends else None)
            self._ledger.holding.give_back()
        raise LockedError(
            f"{self._inventory.sweep} at {self._connection.name} keeps changing: somebody else brings it there too.",
            hint="Run the same command again when nobody else does.",
            kind="locked",
        )

    def _has_nothing_to_do(self, there: DestinationState, plan: SyncPlan) -> bool:
        return not plan.sends and self._ledger.is_current(plan, there.receipts)

    def _let_tick_pass(self, plan: SyncPlan) -> None:
        """Wait until a file that was written this moment cannot be written again without its time showing it."""
        rest_ns = count_tick_ns((file.mtime_ns for file in plan.sends), self._find_source_time())
        if rest_ns:
            self._observer.sleep(rest_ns / 10**9)

    def _find_source_time(self) -> int:
        now_ns = time.time_ns()
        if not self._direction.is_pull:
            return now_ns
        return find_source_time((file.mtime_ns for file in self._inventory.files), now_ns)

    def _prepare(self) -> None:
        """Let the connection begin with what will be needed; whatever is wrong with it, the rest will tell."""
        changed = self._ledger.find_changed(self._inventory)
        if not changed:
            return
        with contextlib.suppress(HsmError):
            # A first sync sends so much that a stream which was opened for a short list would only have to be ended,
            # which takes half a second.
            folders = changed if self._ledger.is_known else frozenset()
            self._connection.prepare(folders, workspace=self._ledger.holding.workspace, update_only=self._update_only)

    @property
    def _update_only(self) -> bool:
        # With `check_remote_first: false` the plan has compared nothing, so rsync's own comparison must keep what is
        # newer there; a plan that has compared names only what is to be replaced.
        return not (self._options.plan.is_checked or self._options.plan.overwrite)

    def _survey(self) -> DestinationState:
        with self._observer.stopwatch.step("check"):
            if not self._direction.is_pull:
                self._connection.check_roots(self._direction.roots)
                if self._direction.own not in ("", self._direction.roots[Root.SWEEPS]):
                    self._connection.check_roots({Root.SWEEPS: self._direction.own})
            ahead, self._ahead = self._ahead, None
            return survey_destination(
                self._direction.destination,
                self._direction.roots,
                self._inventory,
                roots=self._options.roots,
                max_depth=self._options.max_depth,
                own=self._direction.own,
                ahead=ahead,
            )

    def _make_plan(self, there: DestinationState) -> SyncPlan:
        plan = self._planning.make(there)
        # A warning alone can wait until the files are under way: the look reads every small file, 0.1 ms each.
        if self._options.secrets == "refuse" or self._options.is_dry_run:
            plan = self._look_for_secrets(plan)
        if self._options.is_dry_run and plan.jobs:
            plan = self._look_for_jobs(plan)
        self._plan = plan
        self._refuse_harm(plan, there.destination)
        return plan

    def _look_for_jobs(self, plan: SyncPlan) -> SyncPlan:
        """Add the states of Hydra's jobs, which a preview shows; they say nothing about files."""
        from hsm.discover.kinds.hydra_jobs import read_jobs  # noqa: PLC0415 - few sweeps have jobs

        prefix = next((item.file.prefix for item in plan.items if item.file.root is Root.SWEEPS), "")
        folder = f"{prefix}/{sweep_folder(plan.sweep, plan.place)}"
        jobs = read_jobs(self._direction.source, folder, list(plan.jobs)) if prefix else ()
        return replace(plan, jobs={**plan.jobs, **{job.path: job.state for job in jobs}})

    def _look_for_secrets(self, plan: SyncPlan) -> SyncPlan:
        """Add what looks like a secret in the files to be sent to the plan's problems."""
        if self._options.secrets == "ignore" or not plan.sends:
            return plan
        from hsm.discover.secrets import scan_files  # noqa: PLC0415 - its patterns take time

        found = scan_files(self._direction.source, plan.sends)
        return replace(plan, problems=(*plan.problems, *found))

    def _make_engine(self, there: DestinationState) -> Engine:
        return self._connection.make_engine(
            there.roots,
            workspace=self._ledger.holding.workspace,
            update_only=self._update_only,
            pulls=self._direction.is_pull,
        )

    def _send(self, there: DestinationState, plan: SyncPlan, engine: Engine | None) -> TargetReport:
        """With the lock held: send, and write down what is proven."""
        from hsm.transfer.rounds import Transfer  # noqa: PLC0415 - where nothing is sent, it is not needed

        result, transfer = TransferResult(), None
        if engine is not None:
            self._ledger.begin(plan)
            self._tell_failures(plan)
            ends = self._direction
            step_ns = self._planning.count_step_ns(there, engine)
            watch = self._ledger.holding.begin(there, plan, ends.destination, ends.make_guard, step_ns=step_ns)
            self._planning.unsettled.begin(self._find_source_time())
            transfer = Transfer(
                engine,
                source=self._direction.source,
                destination=self._direction.destination,
                roots=there.roots,
                reporter=self._observer.reporter,
                target=self._connection.name,
                sleep=self._observer.sleep,
                patience=self._options.patience,
                watch=watch,
                arrivals=self._planning.make_arrivals(there, plan, self._direction.destination),
                leaves_look=True,
            )
            with (
                self._observer.stopwatch.step("transfer"),
                ThreadPoolExecutor(1, thread_name_prefix="hsm-look") as executor,
            ):
                looked = executor.submit(self._look_for_secrets, plan) if self._options.secrets == "warn" else None
                result = transfer.run(plan.sends, n_workers=self._options.n_workers)
            self._plan = plan = looked.result() if looked is not None else plan
        result = self._record(there, plan, result, transfer)
        if engine is not None:
            self._planning.unsettled.end(plan, result)
        self._planning.note_strangers(there, result, self._direction.destination)
        return (
            self._report(end_transfer(plan, result), result) if engine is not None else self._report_idle(plan, result)
        )

    def _check_writable(self, there: DestinationState, plan: SyncPlan) -> None:
        """Let a dry run refuse what the sync would; a real one finds out by itself."""
        from hsm.sync.doctor.permissions import check_writable  # noqa: PLC0415 - for dry runs alone

        if plan.sends:
            shell, own = self._connection.shell, there.places.folder
            check_writable(self._direction.destination, shell, there.destination, plan, own=own)

    def _tell_failures(self, plan: SyncPlan) -> None:
        """Say before a transfer, which may take long, what will be missing after it."""
        for problem in plan.problems:
            if problem.is_failure:
                self._observer.reporter.report(ProblemFound(self._connection.name, problem))

    def _record(
        self, there: DestinationState, plan: SyncPlan, result: TransferResult, transfer: Transfer | None
    ) -> TransferResult:
        """Write down what is verified; a target that is out of reach learns of it the next time."""
        try:
            with self._observer.stopwatch.step("record"):
                error = result.error.message if result.error is not None else ""
                if isinstance(result.error, LockLostError):
                    self._ledger.holding.lose()
                    self._ledger.note_error(error)
                    return result
                # The lock there stays, dead: a target that is out of reach learns what arrived with the next sync.
                if isinstance(result.error, UnreachableError) and self._direction.destination.is_remote:
                    self._ledger.record_here(plan, result.files, error=error)
                    return result
                record = partial(
                    self._ledger.record, plan, places=there.places, endpoint=self._direction.destination, error=error
                )
                try:
                    replaced = transfer.replaced if transfer is not None else Replaced(has_looked=False)
                    problems = record(result.files, unsettled=result.unsettled, replaced=replaced)
                except UnseenReplacedError:
                    result = transfer.look_at_replaced() if transfer is not None else result
                    replaced = Replaced(keeps_some=transfer is not None and transfer.replaced.keeps_some)
                    problems = record(result.files, unsettled=result.unsettled, replaced=replaced)
                return replace(result, problems=(*result.problems, *problems))
        except HsmError as failure:
            problem = Problem(there.places.folder, failure.kind, failure.message, failure.hint)
            return replace(result, error=result.error or failure, problems=(*result.problems, problem))

    def _refuse_harm(self, plan: SyncPlan, destination: Destination) -> None:
        secrets = check_secrets(plan.problems) if self._options.secrets == "refuse" else ()
        # Where runs come from a place that has no folder of the sweep, the one here was never there.
        may_lack = self._direction.is_pull and not self._inventory.has_folder and bool(self._inventory.files)
        check = partial(check_plan, plan, destination, known=self._ledger.known, may_lack_folder=may_lack)
        found = check()
        # The records of cleans are many small files, read only where runs are missing here at all.
        if any(refusal.check == "source-empty" for refusal in found):
            found = check(cleaned=self._ledger.find_cleaned())
        refusals = [refusal for refusal in (*found, *secrets) if refusal.check not in self._options.allowed]
        if refusals:
            raise RefusedError(
                "\n".join(refusal.message for refusal in refusals),
                hint="\n".join(dict.fromkeys(refusal.hint for refusal in refusals)),
                kind=refusals[0].check,
            )

    def _report_idle(self, plan: SyncPlan, result: TransferResult | None = None) -> TargetReport:
        return self._report(end_idle(plan, result, is_dry_run=self._options.is_dry_run), result)

    def _report(self, ending: Ending, result: TransferResult | None = None) -> TargetReport:
        planned = (
            *self._connection.list_notices(),
            *self._ledger.notices,
            *self._ledger.holding.notices,
            *(self._plan or self._inventory).problems,
        )
        return TargetReport(
            name=self._connection.name,
            state=ending.state,
            exit_code=ending.exit_code,
            error=ending.error,
            plan=self._plan,
            result=result,
            problems=(*planned, *(result.problems if result else ())),
            seconds=dict(self._observer.stopwatch.seconds),
        )
