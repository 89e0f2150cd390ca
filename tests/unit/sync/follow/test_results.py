"""What passes did, put together: sums, last reports and plans, and the steps of `after_sync`."""

from __future__ import annotations

from dataclasses import replace

from hsm.errors import ExitCode
from hsm.model import PlanItem, Reason, Root, SourceFile, SyncPlan
from hsm.sync.follow.results import PassResults
from hsm.sync.reports import AfterStep, State, StepState, SweepReport, SyncReport, TargetReport
from hsm.transfer.outcome import Outcome, TransferResult

FILE = SourceFile(Root.WANDB, "r/a", "/p", 5, 1, 1, "r")
PLAN = SyncPlan("s", items=(PlanItem(FILE, Reason.NEW),))
SENT = TransferResult({FILE.key: Outcome.SENT}, {FILE.key: FILE})


def make_target(name: str = "one", *, is_sent: bool = False) -> TargetReport:
    return TargetReport(
        name, State.DONE, ExitCode.DONE, plan=replace(PLAN, items=PLAN.items), result=SENT if is_sent else None
    )


def make_report(**sweeps: TargetReport | tuple[TargetReport, ...]) -> SyncReport:
    found = {name: each if isinstance(each, tuple) else (each,) for name, each in sweeps.items()}
    return SyncReport("sync to", "push", False, tuple(SweepReport(*item) for item in found.items()))


def take(*reports: SyncReport) -> PassResults:
    results = PassResults()
    for report in reports:
        results.take(report)
    return results


def test_what_each_pass_sent_is_added_up() -> None:
    results = take(*(make_report(s=make_target(is_sent=True)) for _ in range(3)))
    assert (results.n_passes, results.n_files, results.n_bytes) == (3, 3, 15)


def test_a_report_of_an_earlier_pass_counts_once() -> None:
    """A target that has everything is not asked; the pass then returns the report that it had."""
    report = make_report(s=make_target(is_sent=True))
    results = take(report, report)
    assert (results.n_passes, results.n_files, results.n_bytes) == (2, 1, 5)


def test_a_target_that_a_pass_did_not_serve_keeps_its_report() -> None:
    one, two, later = make_target("one"), make_target("two"), make_target("two", is_sent=True)
    results = take(make_report(s=(one, two)), make_report(s=later))
    assert results.get_reports("one") == {"s": one}
    assert results.get_reports("two") == {"s": later}
    assert results.join_reports(["two", "one"]) == (SweepReport("s", (later, one)),)


def test_a_sweep_that_a_served_target_no_longer_names_is_dropped() -> None:
    """A word such as `latest` was a sweep's name until a target told what it means there."""
    results = take(make_report(latest=(make_target("one"), make_target("two"))), make_report(s=make_target("one")))
    assert sorted(results.get_reports("one")) == ["s"]
    assert sorted(results.get_reports("two")) == ["latest"]


def test_the_last_plan_stands_at_the_end() -> None:
    results = take(make_report(s=(make_target("one"), make_target("two"))), make_report(s=make_target("one")))
    assert list(results.get_plans("s")) == ["two", "one"]
    without = replace(make_target("one"), plan=None)
    results.take(make_report(s=without))
    assert list(results.get_plans("s")) == ["two", "one"]
    assert results.get_plans("another") == {}


def test_steps_of_all_passes_are_joined_without_those_that_did_nothing() -> None:
    steps = [AfterStep("run", StepState.FAILED, "x"), AfterStep("run", StepState.NOTHING_TO_DO, "x")]
    results = take(*(make_report(s=replace(make_target(), after=(step,))) for step in steps for _ in range(2)))
    ((target,),) = (sweep.targets for sweep in results.join_reports(["one"]))
    assert target.after == (steps[0], steps[0])
    for number in range(30):
        results.take(make_report(s=replace(make_target(), after=(AfterStep("run", StepState.DONE, str(number)),))))
    ((target,),) = (sweep.targets for sweep in results.join_reports(["one"]))
    assert [step.command for step in target.after] == [str(number) for number in range(10, 30)]
