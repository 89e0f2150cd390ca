"""One sweep from a source to a destination: check, plan, refuse or send, report. The same for push and pull."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from hsm.endpoint import Endpoint, Machine, Tree
from hsm.errors import ExitCode, HsmError, RefusedError
from hsm.model import Inventory, Root, SyncPlan
from hsm.plan.destination import Destination, DestinationRoot, make_destination_root
from hsm.plan.planner import PlanOptions, make_plan, select
from hsm.plan.safety import check_plan
from hsm.progress import Reporter, Step, TargetEnded
from hsm.remote.command import CommandStoppedError
from hsm.sync.report import State, TargetReport
from hsm.transfer.base import Engine
from hsm.transfer.outcome import Outcome, TransferResult
from hsm.transfer.pool import Patience, Transfer


class MakeEngine(Protocol):
    """Chooses and makes the engine between the two ends."""

    def __call__(self, roots: Mapping[Root, str], machine: Machine, *, skips_newer: bool) -> Engine:
        """Make it.

        Args:
            roots: The destination's folders, real paths.
            machine: What the check learned of the destination's machine.
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
    """

    name: str
    source: Endpoint
    destination: Endpoint
    roots: Mapping[Root, str]
    make_engine: MakeEngine
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """How a sweep is brought over.

    Attributes:
        plan: What the plan is asked.
        max_depth: Levels of the sweep folder that count; None for all.
        n_workers: Workers wanted.
        roots: Which of the two folders are brought.
        allowed: Names of safety checks that are waived.
        is_dry_run: Stop before anything is changed.
        patience: How long to wait for what may still turn out well.
    """

    plan: PlanOptions = field(default_factory=PlanOptions)
    max_depth: int | None = 1
    n_workers: int = 4
    roots: tuple[Root, ...] = tuple(Root)
    allowed: frozenset[str] = frozenset()
    is_dry_run: bool = False
    patience: Patience = field(default_factory=Patience)


class Stopwatch:
    """Adds up how long each step takes and tells the reporter which one begins."""

    def __init__(self, target: str, reporter: Reporter) -> None:
        self._target = target
        self._reporter = reporter
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens inside under `name`."""
        self._reporter.report(Step(self._target, name))
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin


def exchange(
    ends: Ends,
    inventory: Inventory,
    options: ExchangeOptions,
    *,
    reporter: Reporter,
    stopwatch: Stopwatch,
) -> TargetReport:
    """Bring what `inventory` has of a sweep from the source to the destination, and prove it.

    Never raises for what goes wrong at the target; the answer says it.
    """
    begun = _Exchange(ends, select(inventory, options.roots), options, reporter, stopwatch)
    report = begun.run()
    reporter.report(TargetEnded(ends.name, report.state.value))
    return report


class _Exchange:
    def __init__(
        self,
        ends: Ends,
        inventory: Inventory,
        options: ExchangeOptions,
        reporter: Reporter,
        stopwatch: Stopwatch,
    ) -> None:
        self._ends = ends
        self._inventory = inventory
        self._options = options
        self._reporter = reporter
        self._stopwatch = stopwatch
        self._plan: SyncPlan | None = None

    def run(self) -> TargetReport:
        try:
            return self._run()
        except HsmError as error:
            return make_failure(self._ends.name, error, self._stopwatch.seconds, plan=self._plan)
        except CommandStoppedError:
            return self._report(State.INTERRUPTED, ExitCode.INTERRUPTED)

    def _run(self) -> TargetReport:
        with self._stopwatch.step("check"):
            destination, machine = self._check_destination()
        with self._stopwatch.step("plan"):
            plan = self._plan = make_plan(self._inventory, destination, self._options.plan)
            self._refuse_harm(plan, destination)
        if not plan.sends:
            return self._report_idle(plan)
        roots = {root: there.path for root, there in destination.items()}
        skips_newer = not plan.is_checked and not self._options.plan.overwrite
        engine = self._ends.make_engine(roots, machine, skips_newer=skips_newer)
        if self._options.is_dry_run:
            return self._report_idle(plan)
        transfer = Transfer(
            engine,
            source=self._ends.source,
            destination=self._ends.destination,
            roots=roots,
            reporter=self._reporter,
            target=self._ends.name,
            sleep=self._ends.sleep,
            patience=self._options.patience,
        )
        with self._stopwatch.step("transfer"):
            result = transfer.run(plan.sends, n_workers=self._options.n_workers)
        if not result.is_interrupted:
            with self._stopwatch.step("record"):
                engine.finish(tuple(roots))
        return self._report_result(plan, result)

    def _check_destination(self) -> tuple[Destination, Machine]:
        trees = [
            (root, Tree(self._ends.roots[root], names, max_depth))
            for root in self._options.roots
            for names, max_depth in self._list_starts(root)
        ]
        survey = self._ends.destination.survey([tree for _, tree in trees])
        listings: dict[Root, list[int]] = {}
        for index, (root, _) in enumerate(trees):
            listings.setdefault(root, []).append(index)
        destination = {
            root: make_destination_root(survey.listings[index] for index in indices)
            for root, indices in listings.items()
        }
        return {root: _without_own(there) for root, there in destination.items()}, survey.machine

    def _list_starts(self, root: Root) -> list[tuple[tuple[str, ...], int | None]]:
        """What the plan can touch below a root: starting points and their depth."""
        if root is Root.WANDB:
            return [(tuple(run.name for run in self._inventory.runs), None)]
        return [(("outputs",), 0), ((f"outputs/{self._inventory.sweep}",), self._options.max_depth)]

    def _refuse_harm(self, plan: SyncPlan, destination: Destination) -> None:
        refusals = [
            refusal for refusal in check_plan(plan, destination) if refusal.check not in self._options.allowed
        ]
        if refusals:
            raise RefusedError(
                "\n".join(refusal.message for refusal in refusals),
                hint="\n".join(dict.fromkeys(refusal.hint for refusal in refusals)),
                kind=refusals[0].check,
            )

    def _report_idle(self, plan: SyncPlan) -> TargetReport:
        failed = any(problem.is_failure for problem in plan.problems)
        code = ExitCode.PARTIAL if failed else ExitCode.DONE
        if self._options.is_dry_run:
            return self._report(State.PLANNED, code)
        return self._report(State.PARTIAL if failed else State.NOTHING_TO_DO, code)

    def _report_result(self, plan: SyncPlan, result: TransferResult) -> TargetReport:
        problems = (*plan.problems, *result.problems)
        n_sent = sum(outcome is Outcome.SENT for outcome in result.outcomes.values())
        if result.is_interrupted:
            return self._report(State.INTERRUPTED, ExitCode.INTERRUPTED, result)
        if n_sent == len(plan.sends) and not any(problem.is_failure for problem in problems):
            return self._report(State.DONE, ExitCode.DONE, result)
        if result.error is not None and not n_sent:
            return make_failure(self._ends.name, result.error, self._stopwatch.seconds, plan=plan, result=result)
        return self._report(State.PARTIAL, ExitCode.PARTIAL, result)

    def _report(self, state: State, code: ExitCode, result: TransferResult | None = None) -> TargetReport:
        planned = self._plan.problems if self._plan else self._inventory.problems
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


def make_failure(
    name: str,
    error: HsmError,
    seconds: Mapping[str, float],
    *,
    plan: SyncPlan | None = None,
    result: TransferResult | None = None,
) -> TargetReport:
    """The report of a target at which the work could not go on."""
    return TargetReport(
        name=name,
        state=_FAILURE_STATES.get(error.exit_code, State.FAILED),
        exit_code=error.exit_code,
        error=error,
        plan=plan,
        result=result,
        problems=(*(plan.problems if plan else ()), *(result.problems if result else ())),
        seconds=dict(seconds),
    )


def _without_own(there: DestinationRoot) -> DestinationRoot:
    """Leave out HSM's own files and folders, which are no results."""
    entries = {
        path: entry
        for path, entry in there.entries.items()
        if ".hsm-" not in path or not any(part.startswith(".hsm-") for part in path.split("/"))
    }
    return DestinationRoot(there.path, there.kind, there.nearest, entries, there.problems, there.space)
