"""Results of the passes so far: for each sweep and target its last report and plan, and sums over all passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from hsm.model import SyncPlan
from hsm.sync.counts import count_bytes, count_files
from hsm.sync.reports import AfterStep, StepState, SweepReport, SyncReport, TargetReport

# Of `after_sync`, over all passes, that the report at the end shows.
_MOST_STEPS = 20


class PassResults:
    """Results of passes. Used by one thread.

    Attributes:
        n_passes: Passes that are over.
        n_files: Files verified to have arrived, over all passes.
        n_bytes: Of these files.
    """

    def __init__(self) -> None:
        self.n_passes = self.n_files = self.n_bytes = 0
        self._reports: dict[str, dict[str, TargetReport]] = {}
        self._plans: dict[str, dict[str, SyncPlan]] = {}
        self._steps: dict[tuple[str, str], list[AfterStep]] = {}

    def take(self, report: SyncReport) -> None:
        """Take what a pass did.

        A target that the pass did not serve keeps its report, also of a sweep of which the pass knows nothing.
        """
        self.n_passes += 1
        served = {target.name for sweep in report.sweeps for target in sweep.targets}
        before = self._reports
        self._reports = {sweep.sweep: dict(before.get(sweep.sweep, {})) for sweep in report.sweeps}
        for sweep, reports in before.items():
            kept = {name: found for name, found in reports.items() if name not in served}
            if kept and sweep not in self._reports:
                self._reports[sweep] = kept
        for found in report.sweeps:
            for target in found.targets:
                self._take_target(found.sweep, target)

    def get_reports(self, target: str) -> dict[str, TargetReport]:
        """Return the last reports of a target, by sweep."""
        return {sweep: reports[target] for sweep, reports in self._reports.items() if target in reports}

    def get_plans(self, sweep: str) -> Mapping[str, SyncPlan]:
        """Return the last plans of a sweep, by target; the one that was made last at the end."""
        return self._plans.get(sweep, {})

    def join_reports(self, targets: Iterable[str]) -> tuple[SweepReport, ...]:
        """Make the last report of each sweep and target, with the steps of all passes, in the order of targets."""
        names = list(targets)
        return tuple(
            SweepReport(
                sweep,
                tuple(
                    replace(reports[name], after=tuple(self._steps.get((sweep, name), ())))
                    for name in names
                    if name in reports
                ),
            )
            for sweep, reports in self._reports.items()
        )

    def _take_target(self, sweep: str, target: TargetReport) -> None:
        # A target that has everything is not asked: its report is the one of an earlier pass, and counted already.
        if target is not self._reports[sweep].get(target.name):
            self.n_files += count_files(target)["sent"]
            self.n_bytes += count_bytes(target)["sent"]
            done = [step for step in target.after if step.state is not StepState.NOTHING_TO_DO]
            self._steps[sweep, target.name] = (self._steps.get((sweep, target.name), []) + done)[-_MOST_STEPS:]
        self._reports[sweep][target.name] = target
        if target.plan is not None:
            plans = self._plans.setdefault(sweep, {})
            plans.pop(target.name, None)
            plans[target.name] = target.plan
