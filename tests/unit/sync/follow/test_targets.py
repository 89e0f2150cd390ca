"""When a target of a followed sweep is served again, and when it is at its end."""

from __future__ import annotations

import pytest

from hsm.errors import (
    ConfigError,
    ExitCode,
    HsmError,
    LockedError,
    LoginRefusedError,
    NoAnswerError,
    RefusedError,
    UnknownSweepError,
)
from hsm.model import PlanItem, Reason, Root, SourceFile, SyncPlan
from hsm.sync.follow.report import FollowState
from hsm.sync.follow.targets import Track
from hsm.sync.reports import State, TargetReport
from hsm.transfer.outcome import Outcome, TransferResult

FILE = SourceFile(Root.WANDB, "r/a", "/p", 1, 1, 1, "r")
KEY = (Root.WANDB, "r/a")
PLAN = SyncPlan("s", items=(PlanItem(FILE, Reason.NEW),))


def make_report(state: State, code: ExitCode, outcome: Outcome | None = None) -> TargetReport:
    result = TransferResult({KEY: outcome}, {KEY: FILE}) if outcome is not None else None
    return TargetReport("t", state, code, plan=PLAN, result=result)


def make_error(error: HsmError, state: State = State.FAILED) -> TargetReport:
    return TargetReport("t", state, error.exit_code, error)


IDLE = make_report(State.NOTHING_TO_DO, ExitCode.DONE)
SENT = make_report(State.DONE, ExitCode.DONE, Outcome.SENT)
CONFLICT = make_report(State.PARTIAL, ExitCode.PARTIAL)
UNSETTLED = make_report(State.PARTIAL, ExitCode.PARTIAL, Outcome.UNSETTLED)
FAILED_FILE = make_report(State.PARTIAL, ExitCode.PARTIAL, Outcome.FAILED)
AWAY = make_error(NoAnswerError("away"), State.UNREACHABLE)
LOCKED = make_error(LockedError("locked", kind="locked"), State.LOCKED)
REFUSED = make_error(RefusedError("no room", kind="space"), State.REFUSED)
LOGIN = make_error(LoginRefusedError("no"), State.UNREACHABLE)
CONFIG = make_error(ConfigError("wrong", kind="bad_config"))
NO_SWEEP = make_error(UnknownSweepError("none there"))

FOLLOWED, COMPLETE, OPEN_ENDS = FollowState.FOLLOWED, FollowState.COMPLETE, FollowState.OPEN_ENDS
FAILING, GIVEN_UP = FollowState.FAILING, FollowState.GIVEN_UP


@pytest.mark.parametrize(
    ("report", "goes_on", "is_over", "failures"),
    [
        pytest.param(IDLE, FOLLOWED, COMPLETE, 0, id="idle"),
        pytest.param(SENT, FOLLOWED, COMPLETE, 0, id="sent"),
        pytest.param(CONFLICT, FOLLOWED, OPEN_ENDS, 0, id="conflict"),
        pytest.param(UNSETTLED, FOLLOWED, FOLLOWED, 0, id="unsettled"),
        pytest.param(FAILED_FILE, FAILING, FAILING, 1, id="failed-file"),
        pytest.param(AWAY, FAILING, FAILING, 1, id="away"),
        pytest.param(LOCKED, FAILING, FAILING, 1, id="locked"),
        pytest.param(REFUSED, FAILING, FAILING, 1, id="refused"),
        pytest.param(LOGIN, GIVEN_UP, GIVEN_UP, 1, id="login"),
        pytest.param(CONFIG, GIVEN_UP, GIVEN_UP, 1, id="configuration"),
        pytest.param(NO_SWEEP, FOLLOWED, OPEN_ENDS, 0, id="no-such-sweep-there"),
    ],
)
def test_what_becomes_of_a_target(
    report: TargetReport, goes_on: FollowState, is_over: FollowState, failures: int
) -> None:
    for over, standing in ((False, goes_on), (True, is_over)):
        track = Track()
        track.take([IDLE, report], now=100, interval_seconds=60, is_over=over, is_full=True)
        assert (track.standing, track.n_failures, track.due_at) == (standing, failures, 160)


def test_pauses_double_with_failures_and_end_with_success() -> None:
    track = Track()
    pauses = []
    for report in (AWAY, AWAY, AWAY, SENT, AWAY):
        track.take([report], now=0, interval_seconds=60, is_over=False, is_full=False)
        pauses.append(track.due_at)
    assert pauses == [60, 120, 240, 60, 60]


def test_only_a_full_look_ends_it_and_comes_at_once() -> None:
    track = Track()
    track.take([IDLE], now=100, interval_seconds=60, is_over=True, is_full=False)
    assert (track.standing, track.due_at) == (FOLLOWED, 100)


def test_a_new_run_begins_it_again() -> None:
    track = Track()
    track.take([IDLE], now=100, interval_seconds=60, is_over=True, is_full=True)
    track.wait(now=100, over_since=100, settle_seconds=10)
    assert track.standing is COMPLETE
    track.wait(now=130, over_since=None, settle_seconds=10)
    assert (track.standing, track.due_at) == (FOLLOWED, 130)


@pytest.mark.parametrize("report", [AWAY, FAILED_FILE, UNSETTLED])
def test_what_does_not_come_back_after_the_end_is_given_up(report: TargetReport) -> None:
    track = Track()
    track.take([report], now=100, interval_seconds=60, is_over=False, is_full=True)
    track.wait(now=10_000, over_since=None, settle_seconds=1800)
    assert not track.is_at_end
    track.wait(now=10_000, over_since=9_000, settle_seconds=1800)
    assert not track.is_at_end
    track.wait(now=10_800, over_since=9_000, settle_seconds=1800)
    assert track.standing is GIVEN_UP
