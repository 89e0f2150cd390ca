"""One sweep from a source to a destination, the same for a push and a pull.

Its way stands in `Exchange._copy`: survey, plan, refuse what would hurt, lock, send, prove, record.
"""

from __future__ import annotations

import contextlib

from hsm.errors import HsmError, LockedError
from hsm.model import Root, SyncPlan
from hsm.plan.disk.times import count_tick_ns
from hsm.process.runner import CommandStoppedError
from hsm.sync.bring.ending import INTERRUPTED, Ending, end_failed, end_idle, end_transfer
from hsm.sync.bring.exchange.planning import Planning
from hsm.sync.bring.exchange.review import add_findings, refuse_harm, refuse_unwritable
from hsm.sync.bring.exchange.setup import ExchangeSetup
from hsm.sync.bring.survey import DestinationState, survey_destination
from hsm.sync.bring.survey_ahead import SurveyAhead
from hsm.sync.reports import TargetReport
from hsm.transfer.outcome import TransferResult

# When the receipts there change between survey and lock, somebody else was there: look again, this often.
_MAX_LOOKS = 3


class Exchange:
    """Copy of one sweep from its source to one destination, and the proof of it. Used once, by one thread.

    Both locks are held while anything is changed, and what is verified is written down whatever happens.

    Args:
        setup: What is copied, from where to where, and how.
    """

    def __init__(self, setup: ExchangeSetup) -> None:
        self._setup = setup
        self._planning = Planning(setup)
        self._plan: SyncPlan | None = None

    def run(self, ahead: SurveyAhead | None = None) -> TargetReport:
        """Copy it. Never raises for what goes wrong at the target; the answer says it.

        Args:
            ahead: A survey of the destination that was begun before.
        """
        is_dry_run = self._setup.options.is_dry_run
        try:
            with self._setup.ledger.open(is_dry_run=is_dry_run):
                return self._preview(ahead) if is_dry_run else self._run_held(ahead)
        except HsmError as error:
            return self._report(end_failed(error))
        except CommandStoppedError:
            return self._report(INTERRUPTED)

    def _preview(self, ahead: SurveyAhead | None) -> TargetReport:
        there = self._survey(ahead)
        plan = self._make_plan(there)
        refuse_unwritable(self._setup, plan, there)
        return self._report_idle(plan)

    def _run_held(self, ahead: SurveyAhead | None) -> TargetReport:
        """With this side's lock held."""
        ledger, connection = self._setup.ledger, self._setup.connection
        try:
            if not self._setup.direction.is_pull:
                self._prepare()
            for _ in range(_MAX_LOOKS):
                report = self._copy(ahead)
                if report is not None:
                    return report
                ledger.holding.give_back()
                ahead = None
            raise LockedError(
                f"{self._setup.inventory.sweep} at {connection.name} keeps changing: somebody else brings it there "
                "too.",
                hint="Run the same command again when nobody else does.",
                kind="locked",
            )
        except HsmError as error:
            ledger.note_error(error.message)
            raise
        finally:
            ledger.holding.give_back()
            connection.release()

    def _copy(self, ahead: SurveyAhead | None) -> TargetReport | None:
        """Copy it, as one survey shows the destination; None where somebody else was there before the lock was ours."""
        planning, holding = self._planning, self._setup.ledger.holding
        there = self._survey(ahead)
        plan = self._make_plan(there)
        asks_probe = planning.asks_probe(there, plan)
        if self._has_nothing_to_do(there, plan) and not asks_probe:
            return self._report_idle(plan)
        with self._setup.observer.stopwatch.step("lock"):
            # In one round trip.
            unknown = planning.list_unknown(there) if asks_probe else ()
            receipts = holding.take(there.places, self._setup.direction.make_guard, measures=unknown)
            is_stale = asks_probe and planning.note_measured(there, plan)
        # With other receipts by now, or files that came back, the plan may be wrong.
        if holding.settle_left(there, plan, self._setup.destination) or receipts != there.receipts:
            return None
        plan = self._make_plan(there) if is_stale else plan
        if self._has_nothing_to_do(there, plan):
            return self._report_idle(plan)
        self._let_tick_pass(plan)
        return self._send(there, plan)

    def _prepare(self) -> None:
        """Let the connection begin with what a push will need; whatever is wrong with it, the rest will tell."""
        setup, ledger = self._setup, self._setup.ledger
        changed = ledger.find_changed(setup.inventory)
        if not changed:
            return
        with contextlib.suppress(HsmError):
            # A first sync sends so much that a stream which was opened for a short list would only have to be ended,
            # which takes half a second.
            folders = changed if ledger.is_known else frozenset()
            setup.connection.prepare(folders, workspace=ledger.holding.workspace, update_only=setup.update_only)

    def _survey(self, ahead: SurveyAhead | None) -> DestinationState:
        setup, direction, options = self._setup, self._setup.direction, self._setup.options
        with setup.observer.stopwatch.step("check"):
            if not direction.is_pull:
                setup.connection.check_roots(direction.roots)
                if direction.own not in ("", direction.roots[Root.SWEEPS]):
                    setup.connection.check_roots({Root.SWEEPS: direction.own})
            return survey_destination(
                direction.destination,
                direction.roots,
                setup.inventory,
                roots=options.roots,
                max_depth=options.max_depth,
                own=direction.own,
                ahead=ahead,
            )

    def _make_plan(self, there: DestinationState) -> SyncPlan:
        self._plan = plan = add_findings(self._setup, self._planning.make(there))
        refuse_harm(self._setup, plan, there.destination)
        return plan

    def _has_nothing_to_do(self, there: DestinationState, plan: SyncPlan) -> bool:
        return not plan.sends and self._setup.ledger.is_current(plan, there.receipts)

    def _let_tick_pass(self, plan: SyncPlan) -> None:
        """Wait until a file that was written this moment cannot be written again without its time showing it."""
        rest_ns = count_tick_ns((file.mtime_ns for file in plan.sends), self._setup.find_source_time())
        if rest_ns:
            self._setup.observer.sleep(rest_ns / 10**9)

    def _send(self, there: DestinationState, plan: SyncPlan) -> TargetReport:
        """With both locks held: send, prove, and write down what is verified."""
        from hsm.sync.bring.exchange.sending import Sending  # noqa: PLC0415 - where nothing is sent, it is not needed

        sending = Sending(self._setup, self._planning, there, plan)
        if not plan.sends:
            return self._report_idle(plan, sending.record(TransferResult()))
        result = sending.run()
        self._plan = sending.plan
        result = sending.record(result)
        return self._report(end_transfer(sending.plan, result), result)

    def _report_idle(self, plan: SyncPlan, result: TransferResult | None = None) -> TargetReport:
        return self._report(end_idle(plan, result, is_dry_run=self._setup.options.is_dry_run), result)

    def _report(self, ending: Ending, result: TransferResult | None = None) -> TargetReport:
        setup = self._setup
        planned = (
            *setup.connection.list_notices(),
            *setup.ledger.notices,
            *setup.ledger.holding.notices,
            *(self._plan or setup.inventory).problems,
        )
        return TargetReport(
            name=setup.connection.name,
            state=ending.state,
            exit_code=ending.exit_code,
            error=ending.error,
            plan=self._plan,
            result=result,
            problems=(*planned, *(result.problems if result else ())),
            seconds=dict(setup.observer.stopwatch.seconds),
        )
