"""`--continuous`: passes of a push or a pull, until every run of the sweeps has ended and is complete at every target.

What ends it is always a pass that looked at everything anew, here and at the targets; the passes before it look only
at what may have changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from hsm.config.loaded import LoadedConfig
from hsm.discover.sweeps import LATEST
from hsm.discover.words.lookup import ALL_SWEEPS
from hsm.discover.words.meanings import GROUP_PREFIX
from hsm.discover.words.spelling import LOOSE_WORD
from hsm.errors import ExitCode, UsageError
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter
from hsm.remote.local import LocalEndpoint
from hsm.sweep_folder import LOOSE
from hsm.sync.follow.judgement import Awaited, FollowLimits
from hsm.sync.follow.passes import DuePass, PassSchedule
from hsm.sync.follow.report import FollowedTarget, FollowReport, FollowStatus, count_runs_there
from hsm.sync.follow.results import PassResults
from hsm.sync.follow.scheduler import make_ask, make_far_ask
from hsm.sync.follow.session import LastingSession
from hsm.sync.follow.sweeps import FollowedSweeps
from hsm.sync.follow.targets import Track, is_unknown
from hsm.sync.places import find_places, make_layout
from hsm.sync.reports import State, SyncReport, TargetReport
from hsm.sync.request import SyncRequest

# It polls: network file systems do not report changes that another machine made.
INTERVAL_SECONDS = 60.0

_TICK_SECONDS = 0.5

_ENDLESS = frozenset({LOOSE, LOOSE_WORD, ALL_SWEEPS})
"""The words that mean the runs that are in no sweep, too."""


@dataclass(frozen=True, slots=True)
class MakePass:
    """Maker of passes: a push or a pull.

    Attributes:
        command: As typed, without arguments.
        direction: `push` or `pull`.
        call: Makes it.
    """

    command: str
    direction: str
    call: Callable[[SyncRequest, Reporter, LastingSession], SyncReport]


class Watcher(Reporter, Protocol):
    """Display of sweeps that are followed; a Reporter of what happens in each pass as well. Must not raise."""

    def begin_pass(self, targets: Sequence[str]) -> None:
        """A pass begins, with these targets."""

    def show(self, status: FollowStatus) -> None:
        """Show the state of everything: after each pass, and again and again until the next."""


@dataclass(frozen=True, slots=True)
class FollowOptions:
    """Options of following sweeps.

    Attributes:
        interval_seconds: Between the end of a pass and the next.
        patience: Limits of waiting for what may never come.
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
    """Make passes until all is complete, or nothing is left that waiting would mend.

    Ctrl-C (KeyboardInterrupt in this thread) ends it, also in the middle of a pass; the report then says what is
    pending.

    Args:
        loaded: The configuration.
        request: The sweeps and targets; `latest` means what it means in the first pass.
        options: Interval and limits.
        make_pass: Makes one pass.
        runner: Starts the processes of all passes.
        watcher: Told what happens.

    Raises:
        UsageError: Runs that are in no sweep are meant, and nothing says how many there will be.
        HsmError: A pass could not begin, as of a single sync.
    """
    check_has_end(request, options)
    session = LastingSession()
    pulls = make_pass.direction == "pull"
    sweeps = FollowedSweeps(
        make_layout(loaded),
        options.patience,
        interval_seconds=options.interval_seconds,
        ask=make_far_ask(session.get_shell) if pulls else make_ask(runner),
        look=partial(find_places, loaded, LocalEndpoint()) if pulls else None,
    )
    schedule = PassSchedule(
        request.targets,
        interval_seconds=options.interval_seconds,
        settle_seconds=options.patience.settle_seconds,
    )
    return _Follower(request, schedule, make_pass, runner, watcher, sweeps, session).run()


def check_has_end(request: SyncRequest, options: FollowOptions) -> None:
    """Refuse to follow what would never end.

    Raises:
        UsageError: Runs that are in no sweep are meant, and nothing says how many there will be.
    """
    if options.patience.expect is None and not request.choice.names and not _ENDLESS.isdisjoint(request.sweeps):
        raise UsageError(
            "Loose runs have no end to wait for.",
            hint="Give --expect N, or --run ID; or name the sweeps.",
            kind="no_end",
        )


class _Follower:
    def __init__(
        self,
        request: SyncRequest,
        schedule: PassSchedule,
        make_pass: MakePass,
        runner: Runner,
        watcher: Watcher,
        sweeps: FollowedSweeps,
        session: LastingSession,
    ) -> None:
        # One further try within a pass, so that a target out of reach does not hold up the others; passes try again.
        self._request = replace(request, pauses_seconds=request.pauses_seconds[:1])
        self._schedule = schedule
        self._pass = make_pass
        self._runner = runner
        self._watcher = watcher
        self._sweeps = sweeps
        self._session = session
        self._results = PassResults()

    def run(self) -> FollowReport:
        begun_at = time.monotonic()
        is_interrupted = False
        try:
            while not self._schedule.is_at_end:
                self._wait()
                self._make_pass()
        except (KeyboardInterrupt, CommandStoppedError):
            is_interrupted = True
            self._runner.interrupt()
        finally:
            self._session.close()
        seconds = time.monotonic() - begun_at
        results = self._results
        sweeps = results.join_reports(self._request.targets)
        report = SyncReport(self._pass.command, self._pass.direction, is_dry_run=False, sweeps=sweeps)
        return FollowReport(report, self._make_status(0), seconds, results.n_files, results.n_bytes, is_interrupted)

    def _wait(self) -> None:
        """Wait for the next pass; in short waits, since a signal that another thread takes does not wake this one."""
        while (left := self._schedule.get_pause(time.monotonic())) > 0:
            self._watcher.show(self._make_status(left))
            self._runner.sleep(min(left, _TICK_SECONDS))

    def _make_pass(self) -> None:
        due = self._schedule.begin_pass(time.monotonic())
        if due.is_full:
            self._session.forget()
        ended, going = (self._sweeps.list_folders(has_ended=has_ended) for has_ended in (True, False))
        self._session.folders.begin_pass(ended=ended, going=going)
        self._watcher.begin_pass(due.targets)
        targets = {name: self._request.targets[name] for name in due.targets}
        report = self._pass.call(replace(self._request, targets=targets), self._watcher, self._session)
        self._results.take(report)
        meant = _find_meant(self._request, report)
        # `latest` keeps its first meaning. Nobody may sit at the terminal by now, and a lock that is there is not the
        # one that the user meant to break.
        only = {sweep.sweep: sweep.only or self._request.choice.names for sweep in report.sweeps}
        only = {sweep: names for sweep, names in only.items() if names}
        words = tuple(map(_spell, meant))
        self._request = replace(self._request, sweeps=words, only=only, may_ask=False, breaks_lock=False)
        is_interrupted = report.exit_code is ExitCode.INTERRUPTED
        self._sweeps.look({sweep: self._results.get_plans(sweep) for sweep in meant}, only, asks=not is_interrupted)
        if is_interrupted:
            raise CommandStoppedError
        self._judge_targets(due)
        self._watcher.show(self._make_status(self._schedule.get_pause(time.monotonic())))

    def _judge_targets(self, due: DuePass) -> None:
        reports = {name: list(self._results.get_reports(name).values()) for name in due.targets}
        for name, found in reports.items():
            if any(report.state is State.UNREACHABLE for report in found):
                # Its login may be a dead one that only its keepalive would find out: the next pass makes a new
                # connection.
                self._session.drop(name)
        self._schedule.end_pass(due, reports, is_over=self._sweeps.is_over, now=time.monotonic())

    def _make_status(self, next_seconds: float) -> FollowStatus:
        awaited, now = self._sweeps.awaited, time.monotonic()
        targets = tuple(
            _make_target(name, track, self._results.get_reports(name), awaited, now)
            for name, track in self._schedule.tracks.items()
        )
        return FollowStatus(dict(awaited), targets, self._results.n_passes, next_seconds)


def _make_target(
    name: str, track: Track, reports: Mapping[str, TargetReport], awaited: Mapping[str, Awaited], now: float
) -> FollowedTarget:
    counts = [count_runs_there(report, awaited.get(sweep, Awaited())) for sweep, report in reports.items()]
    worst = max(reports.values(), key=lambda report: (report.error is not None, report.exit_code), default=None)
    return FollowedTarget(
        name,
        track.standing,
        worst,
        track.n_failures,
        None if track.is_at_end else max(0.0, track.due_at - now),
        sum(complete for complete, _ in counts),
        sum(pending for _, pending in counts),
    )


def _spell(sweep: str) -> str:
    """Spell out the id of a sweep that is also a word for others."""
    return f"{GROUP_PREFIX}{sweep}" if sweep in (LATEST, LOOSE_WORD) else sweep


def _find_meant(request: SyncRequest, report: SyncReport) -> tuple[str, ...]:
    """Find the sweeps that the words of the first pass mean; a word stays as it is until a target has told."""
    found = [sweep.sweep for sweep in report.sweeps if any(target.plan is not None for target in sweep.targets)]
    if len(found) >= len(request.sweeps):
        return tuple(found)
    return tuple(sweep.sweep for sweep in report.sweeps if not all(map(is_unknown, sweep.targets)))
