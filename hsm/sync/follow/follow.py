"""`--continuous`: passes of a push or a pull, until every run of the sweeps has ended and is complete at every target.

It polls, since network file systems do not report changes. What ends it is always a pass that looked at everything
anew, here and at the targets; the passes before it look only at what may have changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from hsm.config.load import LoadedConfig
from hsm.errors import ExitCode
from hsm.model import SyncPlan
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter
from hsm.sync.follow.judgement import Awaited, FollowLimits
from hsm.sync.follow.report import FollowedTarget, FollowReport, FollowStatus, count_runs_there
from hsm.sync.follow.scheduler import make_ask, make_far_ask
from hsm.sync.follow.session import LastingSession
from hsm.sync.follow.sweeps import FollowedSweeps
from hsm.sync.follow.targets import Track, is_unknown
from hsm.sync.reports import (
    AfterStep,
    State,
    StepState,
    SweepReport,
    SyncReport,
    TargetReport,
    count_bytes,
    count_files,
)
from hsm.sync.request import SyncRequest
from hsm.sync.source import make_layout

INTERVAL_SECONDS = 60.0
FULL_LOOK_SECONDS = 3600.0
"""At least this often everything is looked at anew."""

_MOST_STEPS = 20
"""Of `after_sync`, over all passes, that the report at the end shows."""

_TICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class MakePass:
    """What makes a pass: a push or a pull.

    Attributes:
        command: As typed, without arguments.
        direction: `push` or `pull`.
        call: Makes it.
    """

    command: str
    direction: str
    call: Callable[[SyncRequest, Reporter, LastingSession], SyncReport]


class Watcher(Reporter, Protocol):
    """Shows how sweeps are followed; a Reporter of what happens in each pass as well. Must not raise."""

    def begin_pass(self, targets: Sequence[str]) -> None:
        """A pass begins, with these targets."""

    def show(self, status: FollowStatus) -> None:
        """Show how everything stands: after each pass, and again and again until the next."""


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """How sweeps are followed.

    Attributes:
        interval_seconds: Between the end of a pass and the next.
        patience: How long to wait for what may never come.
    """

    interval_seconds: float = INTERVAL_SECONDS
    patience: FollowLimits = field(default_factory=FollowLimits)


def follow(
    loaded: LoadedConfig,
    request: SyncRequest,
    options: FollowOptions,
    *,
    make_pass: MakePass,
    runner: Runner,
    watcher: Watcher,
) -> FollowReport:
    """Make passes until all is complete, or only what waiting does not mend is left.

    Ctrl-C (KeyboardInterrupt in this thread) ends it, also in the middle of a pass; the report then says what is
    pending.

    Args:
        loaded: The configuration.
        request: What is wanted; `latest` means what it means in the first pass.
        options: How.
        make_pass: Makes one pass.
        runner: Starts the processes of all passes.
        watcher: Told what happens.

    Raises:
        HsmError: A pass could not begin, as of a single sync.
    """
    session = LastingSession()
    pulls = make_pass.direction == "pull"
    sweeps = FollowedSweeps(
        make_layout(loaded),
        options.patience,
        interval_seconds=options.interval_seconds,
        ask=make_far_ask(session.get_shell) if pulls else make_ask(runner),
        arrives=pulls,
    )
    return _Follower(request, options, make_pass, runner, watcher, sweeps, session).run()


class _Follower:
    def __init__(
        self,
        request: SyncRequest,
        options: FollowOptions,
        make_pass: MakePass,
        runner: Runner,
        watcher: Watcher,
        sweeps: FollowedSweeps,
        session: LastingSession,
    ) -> None:
        self._request = replace(request, pauses_seconds=request.pauses_seconds[:1])
        self._options = options
        self._pass = make_pass
        self._runner = runner
        self._watcher = watcher
        self._sweeps = sweeps
        self._session = session
        self._tracks = {name: Track() for name in request.targets}
        self._reports: dict[str, dict[str, TargetReport]] = {}
        self._plans: dict[str, dict[str, SyncPlan]] = {}
        self._steps: dict[tuple[str, str], list[AfterStep]] = {}
        self._full_at = float("-inf")
        self._begun_at = time.monotonic()
        self._over_since: float | None = None
        self._is_full = True
        self._n_passes = self._n_files = self._n_bytes = 0

    def run(self) -> FollowReport:
        is_interrupted = False
        try:
            while not self._is_at_end:
                self._wait()
                self._make_pass()
        except (KeyboardInterrupt, CommandStoppedError):
            is_interrupted = True
            self._runner.interrupt()
        finally:
            self._session.close()
        seconds = time.monotonic() - self._begun_at
        report = SyncReport(self._pass.command, self._pass.direction, is_dry_run=False, sweeps=self._join_reports())
        return FollowReport(report, self._make_status(0), seconds, self._n_files, self._n_bytes, is_interrupted)

    @property
    def _is_at_end(self) -> bool:
        return all(track.is_at_end for track in self._tracks.values())

    def _wait(self) -> None:
        """Wait for the next pass; in short waits, since a signal that another thread takes does not wake this one."""
        due_at = min(track.due_at for track in self._tracks.values() if not track.is_at_end)
        while (left := due_at - time.monotonic()) > 0:
            self._watcher.show(self._make_status(left))
            self._runner.sleep(min(left, _TICK_SECONDS))

    def _make_pass(self) -> None:
        now = time.monotonic()
        slack = now + self._options.interval_seconds / 10
        names = [name for name, track in self._tracks.items() if not track.is_at_end and track.due_at <= slack]
        self._is_full = self._over_since is not None or now - self._full_at >= FULL_LOOK_SECONDS
        if self._is_full:
            self._session.forget()
            self._full_at = now
        ended, going = (self._sweeps.list_folders(has_ended=has_ended) for has_ended in (True, False))
        self._session.folders.begin_pass(ended=ended, going=going)
        self._watcher.begin_pass(names)
        targets = {name: self._request.targets[name] for name in names}
        report = self._pass.call(replace(self._request, targets=targets), self._watcher, self._session)
        self._take(report)
        is_interrupted = report.exit_code is ExitCode.INTERRUPTED
        self._sweeps.look(
            {sweep: self._plans.get(sweep, {}) for sweep in self._request.sweeps}, asks=not is_interrupted
        )
        if is_interrupted:
            raise CommandStoppedError
        self._over_since = (self._over_since or time.monotonic()) if self._sweeps.is_over else None
        self._judge_targets(names)
        self._watcher.show(self._make_status(self._get_next_seconds()))

    def _take(self, report: SyncReport) -> None:
        """Take what a pass did."""
        self._n_passes += 1
        self._request = replace(
            self._request, sweeps=_find_meant(self._request, report), may_ask=False, breaks_lock=False
        )
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

    def _take_target(self, sweep: str, target: TargetReport) -> None:
        if target is not self._reports[sweep].get(target.name):
            self._n_files += count_files(target)["sent"]
            self._n_bytes += count_bytes(target)["sent"]
            done = [step for step in target.after if step.state is not StepState.NOTHING_TO_DO]
            self._steps[sweep, target.name] = (self._steps.get((sweep, target.name), []) + done)[-_MOST_STEPS:]
        self._reports[sweep][target.name] = target
        if target.plan is not None:
            plans = self._plans.setdefault(sweep, {})
            plans.pop(target.name, None)
            plans[target.name] = target.plan

    def _judge_targets(self, names: Sequence[str]) -> None:
        now = time.monotonic()
        for name, track in self._tracks.items():
            if name in names:
                reports = [reports[name] for reports in self._reports.values() if name in reports]
                if any(report.state is State.UNREACHABLE for report in reports):
                    self._session.drop(name)
                track.take(
                    reports,
                    now=now,
                    interval_seconds=self._options.interval_seconds,
                    is_over=self._over_since is not None,
                    is_full=self._is_full,
                )
            track.wait(now=now, over_since=self._over_since, settle_seconds=self._options.patience.settle_seconds)

    def _get_next_seconds(self) -> float:
        due = [track.due_at for track in self._tracks.values() if not track.is_at_end]
        return max(0.0, min(due) - time.monotonic()) if due else 0.0

    def _make_status(self, next_seconds: float) -> FollowStatus:
        targets = tuple(self._make_target(name, track) for name, track in self._tracks.items())
        return FollowStatus(dict(self._sweeps.awaited), targets, self._n_passes, next_seconds)

    def _make_target(self, name: str, track: Track) -> FollowedTarget:
        reports = {sweep: reports[name] for sweep, reports in self._reports.items() if name in reports}
        counts = [
            count_runs_there(report, self._sweeps.awaited.get(sweep, Awaited())) for sweep, report in reports.items()
        ]
        worst = max(reports.values(), key=lambda report: (report.error is not None, report.exit_code), default=None)
        return FollowedTarget(
            name,
            track.standing,
            worst,
            track.n_failures,
            None if track.is_at_end else max(0.0, track.due_at - time.monotonic()),
            sum(complete for complete, _ in counts),
            sum(pending for _, pending in counts),
        )

    def _join_reports(self) -> tuple[SweepReport, ...]:
        return tuple(
            SweepReport(
                sweep,
                tuple(
                    replace(reports[name], after=tuple(self._steps.get((sweep, name), ())))
                    for name in self._tracks
                    if name in reports
                ),
            )
            for sweep, reports in self._reports.items()
        )


def _find_meant(request: SyncRequest, report: SyncReport) -> tuple[str, ...]:
    """The sweeps that the words of the first pass mean; a word stays as it is until a target has told."""
    found = [sweep.sweep for sweep in report.sweeps if any(target.plan is not None for target in sweep.targets)]
    if len(found) >= len(request.sweeps):
        return tuple(found)
    return tuple(sweep.sweep for sweep in report.sweeps if not all(map(is_unknown, sweep.targets)))
