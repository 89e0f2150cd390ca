"""One sweep from a source to a destination: check, plan, refuse or send, report. The same for push and pull."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from hsm.config.schema import TargetSettings
from hsm.endpoint import Endpoint
from hsm.errors import ExitCode, HsmError, LockedError, RefusedError, UnreachableError
from hsm.model import Problem, Root, SweepInventory, SyncPlan
from hsm.plan.collisions import folds_names
from hsm.plan.destination import Destination
from hsm.plan.planner import make_plan, select
from hsm.plan.safety import check_plan, check_secrets
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import ProblemFound, Reporter, StepStarted, TargetEnded
from hsm.sync.bring.early_survey import EarlySurvey
from hsm.sync.bring.ledger import Ledger
from hsm.sync.bring.options import ExchangeOptions
from hsm.sync.bring.survey import DestinationState, check_destination
from hsm.sync.reports import State, TargetReport
from hsm.targets.connect import Connection, get_roots
from hsm.targets.head_start import HeadStart
from hsm.transfer.base import Engine
from hsm.transfer.outcome import Outcome, TransferResult


class MakeEngine(Protocol):
    """Chooses and makes the engine between the two ends."""

    def __call__(self, roots: Mapping[Root, str], *, sweep: str, skips_newer: bool) -> Engine:
        """Make it.

        Args:
            roots: The destination's folders, real paths.
            sweep: Whose files are sent.
            skips_newer: Leave what is newer at the destination.

        Raises:
            hsm.errors.HsmError: No engine can work between these two.
        """


@dataclass(frozen=True, slots=True)
class Ends:
    """A source and a destination, ready to be asked.

    Attributes:
        name: The target's name, for reports and events.
        source: Where files come from.
        destination: Where they go.
        roots: The destination's folders as configured.
        make_engine: Makes what carries files between them.
        sleep: Waits so many seconds; raises CommandStoppedError when the user interrupts.
        check_roots: Raises an HsmError where the configured folders are not what they should be.
        head_start: Opens streams before the check; None where nothing does.
        early: A look at the destination that was begun before.
        after: Does what follows when the locks are given back, and adds it to the report.
        list_notices: What there is to be said of how the target is reached.
    """

    name: str
    source: Endpoint
    destination: Endpoint
    roots: Mapping[Root, str]
    make_engine: MakeEngine
    sleep: Callable[[float], None]
    check_roots: Callable[[Mapping[Root, str]], None] = lambda _roots: None
    head_start: HeadStart | None = None
    early: EarlySurvey | None = None
    after: Callable[[TargetReport], TargetReport] = lambda report: report
    list_notices: Callable[[], tuple[Problem, ...]] = tuple


def make_push_ends(connection: Connection, settings: TargetSettings, *, source: Endpoint, runner: Runner) -> Ends:
    """The ends of a push: this machine is the source, the target the destination. Starts nothing."""
    make_engine = partial(connection.make_engine, pulls=False)
    return Ends(
        connection.name,
        source,
        connection.endpoint,
        get_roots(settings),
        make_engine,
        runner.sleep,
        connection.check_roots,
        connection.head_start,
        list_notices=connection.list_notices,
    )


class Stopwatch:
    """Adds up how long each step takes and tells the reporter which one begins."""

    def __init__(self, target: str, reporter: Reporter) -> None:
        self._target = target
        self._reporter = reporter
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside under `name`."""
        self._reporter.report(StepStarted(self._target, name))
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin


def exchange(
    ends: Ends,
    inventory: SweepInventory,
    options: ExchangeOptions,
    *,
    ledger: Ledger,
    reporter: Reporter,
    stopwatch: Stopwatch,
) -> TargetReport:
    """Bring what `inventory` has of a sweep from the source to the destination, and prove it.

    Both locks are held while anything is changed, and what is proven is written down whatever happens. Never
    raises for what goes wrong at the target; the answer says it.
    """
    begun = _Exchange(ends, select(inventory, options.roots), options, ledger, reporter, stopwatch)
    report = ends.after(begun.run())
    reporter.report(TargetEnded(ends.name, report.state.value))
    return report


_MAX_CHECKS = 3
"""When the receipts there change between check and lock, somebody else was there: check again, this often."""


class _Exchange:
    def __init__(
        self,
        ends: Ends,
        inventory: SweepInventory,
        options: ExchangeOptions,
        ledger: Ledger,
        reporter: Reporter,
        stopwatch: Stopwatch,
    ) -> None:
        self._ends = ends
        self._inventory = inventory
        self._options = options
        self._ledger = ledger
        self._reporter = reporter
        self._stopwatch = stopwatch
        self._plan: SyncPlan | None = None
        self._early = ends.early

    def run(self) -> TargetReport:
        try:
            with self._ledger.open(is_dry_run=self._options.is_dry_run):
                return self._run() if self._options.is_dry_run else self._run_held()
        except HsmError as error:
            return self._report_failure(error)
        except CommandStoppedError:
            return self._report(State.INTERRUPTED, ExitCode.INTERRUPTED)

    def _run_held(self) -> TargetReport:
        try:
            return self._run()
        except HsmError as error:
            self._ledger.note_error(error.message)
            raise
        finally:
            self._ledger.give_back()
            if self._ends.head_start is not None:
                self._ends.head_start.drop()

    def _run(self) -> TargetReport:
        if not self._options.is_dry_run:
            self._begin()
        for _ in range(_MAX_CHECKS):
            check = self._check()
            plan = self._make_plan(check)
            if self._options.is_dry_run:
                if plan.sends:
                    self._make_engine(check, plan)
                return self._report_idle(plan)
            if not plan.sends and self._ledger.is_current(plan, check.receipts):
                return self._report_idle(plan)
            engine = self._make_engine(check, plan) if plan.sends else None
            with self._stopwatch.step("lock"):
                receipts = self._ledger.take(check.places)
            if receipts == check.receipts:
                return self._send(check, plan, engine)
            self._ledger.give_back()
        raise LockedError(
            f"{self._inventory.sweep} at {self._ends.name} keeps changing: somebody else brings it there too.",
            hint="Run the same command again when nobody else does.",
            kind="locked",
        )

    def _begin(self) -> None:
        """Open streams for what is known to have changed here; whatever is wrong with them, the rest will tell."""
        head_start, changed = self._ends.head_start, self._ledger.find_changed(self._inventory)
        if head_start is not None and changed:
            with contextlib.suppress(HsmError):
                memory = self._ledger.memory
                head_start.begin(memory, changed, sweep=self._inventory.sweep, skips_newer=self._skips_newer)

    @property
    def _skips_newer(self) -> bool:
        return not (self._options.plan.is_checked or self._options.plan.overwrite)

    def _check(self) -> DestinationState:
        with self._stopwatch.step("check"):
            self._ends.check_roots(self._ends.roots)
            early, self._early = self._early, None
            return check_destination(
                self._ends.destination,
                self._ends.roots,
                self._inventory,
                roots=self._options.roots,
                max_depth=self._options.max_depth,
                early=early,
            )

    def _make_plan(self, check: DestinationState) -> SyncPlan:
        with self._stopwatch.step("plan"):
            origins = self._ledger.find_origins(self._inventory, check.destination)
            options = replace(
                self._options.plan,
                proven=self._ledger.digests,
                folds_names=folds_names(check.system),
                foreign=origins.foreign,
                equal=origins.equal,
            )
            plan = make_plan(self._inventory, check.destination, options)
            if self._options.secrets == "refuse" or self._options.is_dry_run:
                plan = self._look_for_secrets(plan)
            self._plan = plan
            self._refuse_harm(plan, check.destination)
            return plan

    def _look_for_secrets(self, plan: SyncPlan) -> SyncPlan:
        """Add what looks like a secret in the files to be sent to the plan's problems."""
        if self._options.secrets == "ignore" or not plan.sends:
            return plan
        from hsm.discover.secrets import scan_files  # noqa: PLC0415 - its patterns take time

        found = scan_files(self._ends.source, plan.sends)
        return replace(plan, problems=(*plan.problems, *found))

    def _make_engine(self, check: DestinationState, plan: SyncPlan) -> Engine:
        skips_newer = self._skips_newer
        if self._ends.head_start is not None:
            begun = self._ends.head_start.take(check.roots, check.rsync, sweep=plan.sweep, skips_newer=skips_newer)
            if begun is not None:
                return begun
        return self._ends.make_engine(check.roots, sweep=plan.sweep, skips_newer=skips_newer)

    def _send(self, check: DestinationState, plan: SyncPlan, engine: Engine | None) -> TargetReport:
        """With the lock held: send, and write down what is proven."""
        from hsm.transfer.rounds import Transfer  # noqa: PLC0415 - where nothing is sent, it is not needed

        result = TransferResult()
        if engine is not None:
            self._ledger.begin(plan)
            self._tell_failures(plan)
            transfer = Transfer(
                engine,
                source=self._ends.source,
                destination=self._ends.destination,
                roots=check.roots,
                reporter=self._reporter,
                target=self._ends.name,
                sleep=self._ends.sleep,
                patience=self._options.patience,
                tidy=self._ledger.tidy,
            )
            with self._stopwatch.step("transfer"), ThreadPoolExecutor(1, thread_name_prefix="hsm-look") as executor:
                looked = executor.submit(self._look_for_secrets, plan) if self._options.secrets == "warn" else None
                result = transfer.run(plan.sends, n_workers=self._options.n_workers)
            self._plan = plan = looked.result() if looked is not None else plan
        result = self._record(check, plan, result)
        return self._report_result(plan, result) if engine is not None else self._report_idle(plan, result)

    def _tell_failures(self, plan: SyncPlan) -> None:
        """Say before a transfer, which may take long, what will be missing after it."""
        for problem in plan.problems:
            if problem.is_failure:
                self._reporter.report(ProblemFound(self._ends.name, problem))

    def _record(self, check: DestinationState, plan: SyncPlan, result: TransferResult) -> TransferResult:
        """Write down what is proven; a target that is out of reach learns of it the next time."""
        try:
            with self._stopwatch.step("record"):
                error = result.error.message if result.error is not None else ""
                if isinstance(result.error, UnreachableError):
                    self._ledger.record_here(plan, result.files, error=error)
                    return result
                if self._ends.head_start is not None:
                    self._ledger.remember(self._ends.head_start.make_memory(check.roots, check.rsync))
                problems = self._ledger.record(
                    plan, result.files, places=check.places, endpoint=self._ends.destination, error=error
                )
                return replace(result, problems=(*result.problems, *problems))
        except HsmError as failure:
            problem = Problem(check.places.folder, failure.kind, failure.message, failure.hint)
            return replace(result, error=result.error or failure, problems=(*result.problems, problem))

    def _refuse_harm(self, plan: SyncPlan, destination: Destination) -> None:
        secrets = check_secrets(plan.problems) if self._options.secrets == "refuse" else ()
        found = check_plan(plan, destination, known=self._ledger.known)
        if any(refusal.check == "source-empty" for refusal in found):
            found = check_plan(plan, destination, known=self._ledger.known, cleaned=self._ledger.find_cleaned())
        refusals = [refusal for refusal in (*found, *secrets) if refusal.check not in self._options.allowed]
        if refusals:
            raise RefusedError(
                "\n".join(refusal.message for refusal in refusals),
                hint="\n".join(dict.fromkeys(refusal.hint for refusal in refusals)),
                kind=refusals[0].check,
            )

    def _report_idle(self, plan: SyncPlan, result: TransferResult | None = None) -> TargetReport:
        found = (*plan.problems, *(result.problems if result else ()))
        failed = any(problem.is_failure for problem in found)
        code = ExitCode.PARTIAL if failed else ExitCode.DONE
        if self._options.is_dry_run:
            return self._report(State.PLANNED, code)
        return self._report(State.PARTIAL if failed else State.NOTHING_TO_DO, code, result)

    def _report_result(self, plan: SyncPlan, result: TransferResult) -> TargetReport:
        ends = Counter(result.outcomes.values())
        if result.is_interrupted:
            return self._report(State.INTERRUPTED, ExitCode.INTERRUPTED, result)
        failed = any(problem.is_failure for problem in (*plan.problems, *result.problems))
        if ends[Outcome.SENT] + ends[Outcome.UNCHANGED] == len(plan.sends) and not failed:
            state = State.DONE if ends[Outcome.SENT] else State.NOTHING_TO_DO
            return self._report(state, ExitCode.DONE, result)
        if result.error is not None and not ends[Outcome.SENT]:
            return self._report_failure(result.error, result)
        return self._report(State.PARTIAL, ExitCode.PARTIAL, result)

    def _report_failure(self, error: HsmError, result: TransferResult | None = None) -> TargetReport:
        state = get_failure_state(error)
        return replace(self._report(state, error.exit_code, result), error=error)

    def _report(self, state: State, code: ExitCode, result: TransferResult | None = None) -> TargetReport:
        planned = (*self._ends.list_notices(), *self._ledger.notices, *(self._plan or self._inventory).problems)
        return TargetReport(
            name=self._ends.name,
            state=state,
            exit_code=code,
            error=result.error if result else None,
            plan=self._plan,
            result=result,
            problems=(*planned, *(result.problems if result else ())),
            seconds=dict(self._stopwatch.seconds),
        )


_FAILURE_STATES: Mapping[ExitCode, State] = {
    ExitCode.UNREACHABLE: State.UNREACHABLE,
    ExitCode.LOCKED: State.LOCKED,
    ExitCode.REFUSED: State.REFUSED,
    ExitCode.INTERRUPTED: State.INTERRUPTED,
}


def get_failure_state(error: HsmError) -> State:
    """The word for a target at which the work could not go on."""
    return _FAILURE_STATES.get(error.exit_code, State.FAILED)


def make_failed_report(name: str, error: HsmError, seconds: Mapping[str, float]) -> TargetReport:
    """The report of a target at which the work could not begin."""
    return TargetReport(name, get_failure_state(error), error.exit_code, error, seconds=dict(seconds))
