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
from hsm.errors import ExitCode, HsmError, UsageError
from hsm.model import SyncPlan
from hsm.progress import Reporter
from hsm.remote.command import CommandStoppedError, Runner
from hsm.sync.awaited import Awaited, Patience
from hsm.sync.expected import make_ask, make_far_ask
from hsm.sync.follow_report import FollowedTarget, FollowReport, FollowStatus, Standing, count_runs_there
from hsm.sync.followed_sweeps import FollowedSweeps
from hsm.sync.kept import KeptOverPasses
from hsm.sync.push import PushRequest
from hsm.sync.report import State, SweepReport, SyncReport, TargetReport, count_bytes, count_files
from hsm.sync.source import make_layout
from hsm.transfer.outcome import Outcome

INTERVAL_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30 * 60.0

FULL_LOOK_SECONDS = 3600.0
"""At least this often everything is looked at anew."""

_TICK_SECONDS = 0.5
_HOPELESS_KINDS = frozenset(
    {"login_refused", "host_key_changed", "host_key_unknown", "host_key_revoked", "key_unusable", "not_ssh"}
    | {"bad_ssh_configuration", "no_common_algorithm"}
)
"""What a person has to put right; a server may ban whoever tries again and again."""


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
    call: Callable[[PushRequest, Reporter, KeptOverPasses], SyncReport]


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
    patience: Patience = field(default_factory=Patience)


@dataclass(slots=True)
class _Track:
    """How the passes of one target went.

    Attributes:
        n_failures: In a row, without anything sent.
        due_at: When it is served next.
        progress_at: When it last did not fail.
        standing: As it stands.
    """

    n_failures: int = 0
    due_at: float = 0.0
    progress_at: float = 0.0
    standing: Standing = Standing.FOLLOWED

    @property
    def is_at_end(self) -> bool:
        return self.standing in (Standing.COMPLETE, Standing.OPEN_ENDS, Standing.GIVEN_UP)


def follow(
    loaded: LoadedConfig,
    request: PushRequest,
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
    kept = KeptOverPasses()
    pulls = make_pass.direction == "pull"
    sweeps = FollowedSweeps(
        make_layout(loaded),
        options.patience,
        interval_seconds=options.interval_seconds,
        ask=make_far_ask(kept.get_shell) if pulls else make_ask(runner),
        arrives=pulls,
    )
    return _Follower(request, options, make_pass, runner, watcher, sweeps, kept).run()


class _Follower:
    def __init__(
        self,
        request: PushRequest,
        options: FollowOptions,
        make_pass: MakePass,
        runner: Runner,
        watcher: Watcher,
        sweeps: FollowedSweeps,
        kept: KeptOverPasses,
    ) -> None:
        self._request = replace(request, pauses_seconds=request.pauses_seconds[:1])
        self._options = options
        self._pass = make_pass
        self._runner = runner
        self._watcher = watcher
        self._sweeps = sweeps
        self._kept = kept
        self._tracks = {name: _Track() for name in request.targets}
        self._reports: dict[str, dict[str, TargetReport]] = {}
        self._plans: dict[str, dict[str, SyncPlan]] = {}
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
            self._kept.close()
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
            self._kept.forget()
            self._full_at = now
        ended, going = (self._sweeps.list_folders(has_ended=has_ended) for has_ended in (True, False))
        self._kept.folders.begin_pass(ended=ended, going=going)
        self._watcher.begin_pass(names)
        targets = {name: self._request.targets[name] for name in names}
        report = self._pass.call(replace(self._request, targets=targets), self._watcher, self._kept)
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
        self._reports[sweep][target.name] = target
        if target.plan is not None:
            plans = self._plans.setdefault(sweep, {})
            plans.pop(target.name, None)
            plans[target.name] = target.plan

    def _judge_targets(self, names: Sequence[str]) -> None:
        now = time.monotonic()
        is_over = self._over_since is not None
        for name, track in self._tracks.items():
            if name in names:
                self._judge_target(name, track, now)
            elif track.standing in (Standing.COMPLETE, Standing.OPEN_ENDS) and not is_over:
                track.standing, track.due_at = Standing.FOLLOWED, now
            since = max(track.progress_at, self._over_since or now)
            if is_over and not track.is_at_end and now - since >= self._options.patience.settle_seconds:
                track.standing = Standing.GIVEN_UP

    def _judge_target(self, name: str, track: _Track, now: float) -> None:
        reports = [reports[name] for reports in self._reports.values() if name in reports]
        interval = self._options.interval_seconds
        is_failing = any(map(_is_failing, reports))
        if any(report.state is State.UNREACHABLE for report in reports):
            self._kept.drop(name)
        if is_failing and not any(count_files(report)["sent"] for report in reports):
            track.n_failures += 1
        else:
            track.n_failures, track.progress_at = 0, now
        track.due_at = now + make_pause(interval, track.n_failures)
        track.standing = Standing.FAILING if is_failing else Standing.FOLLOWED
        if any(map(_is_hopeless, reports)):
            track.standing = Standing.GIVEN_UP
        elif self._over_since is not None and not is_failing and not any(map(_is_unsettled, reports)):
            if not self._is_full:
                track.due_at = now
                return
            is_done = all(report.exit_code is ExitCode.DONE for report in reports)
            track.standing = Standing.COMPLETE if is_done else Standing.OPEN_ENDS

    def _get_next_seconds(self) -> float:
        due = [track.due_at for track in self._tracks.values() if not track.is_at_end]
        return max(0.0, min(due) - time.monotonic()) if due else 0.0

    def _make_status(self, next_seconds: float) -> FollowStatus:
        targets = tuple(self._make_target(name, track) for name, track in self._tracks.items())
        return FollowStatus(dict(self._sweeps.awaited), targets, self._n_passes, next_seconds)

    def _make_target(self, name: str, track: _Track) -> FollowedTarget:
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
            SweepReport(sweep, tuple(reports[name] for name in self._tracks if name in reports))
            for sweep, reports in self._reports.items()
        )


def _find_meant(request: PushRequest, report: SyncReport) -> tuple[str, ...]:
    """The sweeps that the words of the first pass mean; a word stays as it is until a target has told."""
    found = [sweep.sweep for sweep in report.sweeps if any(target.plan is not None for target in sweep.targets)]
    if len(found) >= len(request.sweeps):
        return tuple(found)
    return tuple(sweep.sweep for sweep in report.sweeps if not all(map(_is_unknown, sweep.targets)))


def make_pause(interval_seconds: float, n_failures: int) -> float:
    """The pause after so many failures in a row: it doubles, up to half an hour or the interval. Pure."""
    doubled = interval_seconds * 2.0 ** min(max(0, n_failures - 1), 30)
    return min(doubled, max(interval_seconds, LONGEST_PAUSE_SECONDS))


def _is_failing(report: TargetReport) -> bool:
    """Whether another try may help: all but a word that means nothing there, and what only a person can mend."""
    if _is_unknown(report):
        return False
    outcomes = report.result.outcomes.values() if report.result is not None else ()
    return report.state in _FAILURES or report.error is not None or Outcome.FAILED in outcomes


_FAILURES = frozenset({State.FAILED, State.REFUSED, State.UNREACHABLE, State.LOCKED})


def _is_unsettled(report: TargetReport) -> bool:
    return report.result is not None and Outcome.UNSETTLED in report.result.outcomes.values()


def _is_unknown(report: TargetReport) -> bool:
    return isinstance(report.error, UsageError)


def _is_hopeless(report: TargetReport) -> bool:
    error: HsmError | None = report.error
    if error is None or isinstance(error, UsageError):
        return False
    return error.kind in _HOPELESS_KINDS or error.exit_code is ExitCode.USAGE
