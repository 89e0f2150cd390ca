"""Track of a target of followed sweeps: its failures, the time of its next pass, its end. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hsm.errors import ExitCode, LoginRefusedError, UsageError
from hsm.sync.counts import count_files
from hsm.sync.follow.report import FollowState
from hsm.sync.reports import State, TargetReport
from hsm.transfer.outcome import Outcome

LONGEST_PAUSE_SECONDS = 30 * 60.0
"""A target that came back is found within this time."""

_FAILURES = frozenset({State.FAILED, State.REFUSED, State.UNREACHABLE, State.LOCKED})


@dataclass(slots=True)
class Track:
    """Track of the passes of one target. Times are seconds of a clock that never goes back.

    Attributes:
        n_failures: In a row, without anything sent.
        due_at: Time of its next pass.
        progress_at: Time of its last pass that went well.
        standing: Its state.
    """

    n_failures: int = 0
    due_at: float = 0.0
    progress_at: float = 0.0
    standing: FollowState = FollowState.FOLLOWED

    @property
    def is_at_end(self) -> bool:
        """True where it is served no more."""
        return self.standing in (FollowState.COMPLETE, FollowState.OPEN_ENDS, FollowState.GIVEN_UP)

    def take(
        self, reports: Sequence[TargetReport], *, now: float, interval_seconds: float, is_over: bool, is_full: bool
    ) -> None:
        """Take what a pass did there.

        Args:
            reports: Of all sweeps.
            now: The clock's time.
            interval_seconds: Between passes that go well.
            is_over: The sweeps wait for nothing more.
            is_full: The pass looked at everything anew.
        """
        is_failing = any(map(is_failure, reports))
        is_unsettled = any(map(_is_unsettled, reports))
        is_moving = any(count_files(report)["sent"] for report in reports)
        # A link that breaks in each pass and sends something in each gets there: its pauses need not grow.
        self.n_failures = self.n_failures + 1 if is_failing and not is_moving else 0
        if not (is_failing or is_unsettled):
            self.progress_at = now
        self.due_at = now + make_pause(interval_seconds, self.n_failures)
        self.standing = FollowState.FAILING if is_failing else FollowState.FOLLOWED
        if any(map(_is_hopeless, reports)):
            self.standing = FollowState.GIVEN_UP
        elif is_over and not is_failing and not is_unsettled:
            is_done = all(report.exit_code is ExitCode.DONE for report in reports)
            if is_full:
                self.standing = FollowState.COMPLETE if is_done else FollowState.OPEN_ENDS
            else:
                self.due_at = now  # at once, but as a full look: only that may end with 0

    def wait(self, *, now: float, over_since: float | None, settle_seconds: float) -> None:
        """Take into account the state of the sweeps, after a pass with this target or without.

        Args:
            now: The clock's time.
            over_since: Time since which the sweeps wait for nothing more; None while they do.
            settle_seconds: Time after that for which it may go on failing.
        """
        if over_since is None:
            if self.standing in (FollowState.COMPLETE, FollowState.OPEN_ENDS):
                self.standing, self.due_at = FollowState.FOLLOWED, now
        elif not self.is_at_end and now - max(self.progress_at, over_since) >= settle_seconds:
            self.standing = FollowState.GIVEN_UP


def make_pause(interval_seconds: float, n_failures: int) -> float:
    """Make the pause after so many failures in a row: it doubles, up to half an hour or the interval. Pure."""
    # 2.0 ** 1024 is an error, and no limit for a target that stays away.
    doubled = interval_seconds * 2.0 ** min(max(0, n_failures - 1), 30)
    return min(doubled, max(interval_seconds, LONGEST_PAUSE_SECONDS))


def is_unknown(report: TargetReport) -> bool:
    """Tell whether a word means no sweep there."""
    return isinstance(report.error, UsageError)


def is_failure(report: TargetReport) -> bool:
    """Tell whether something went wrong there that another try may mend."""
    if is_unknown(report):
        return False
    outcomes = report.result.outcomes.values() if report.result is not None else ()
    return report.state in _FAILURES or report.error is not None or Outcome.FAILED in outcomes


def _is_unsettled(report: TargetReport) -> bool:
    return report.result is not None and Outcome.UNSETTLED in report.result.outcomes.values()


def _is_hopeless(report: TargetReport) -> bool:
    error = report.error
    if error is None or is_unknown(report):
        return False
    # A refused login is given up at once: servers ban those who try again and again.
    return isinstance(error, LoginRefusedError) or error.exit_code is ExitCode.USAGE
