"""Which targets a pass serves, when everything is looked at anew, and when there are no more passes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hsm.errors import ExitCode, NoAnswerError
from hsm.sync.follow.passes import FULL_LOOK_SECONDS, DuePass, PassSchedule
from hsm.sync.follow.report import FollowState
from hsm.sync.reports import State, TargetReport

IDLE = TargetReport("t", State.NOTHING_TO_DO, ExitCode.DONE)
AWAY = TargetReport("t", State.UNREACHABLE, ExitCode.UNREACHABLE, NoAnswerError("away"))
INTERVAL = 100.0
SETTLE = 1000.0


def make_schedule(*targets: str) -> PassSchedule:
    return PassSchedule(targets or ("one", "two"), interval_seconds=INTERVAL, settle_seconds=SETTLE)


def make_pass(
    schedule: PassSchedule, now: float, reports: dict[str, TargetReport] | None = None, *, is_over: bool = False
) -> DuePass:
    """Make a pass that takes no time; targets that are not named have nothing to do."""
    due = schedule.begin_pass(now)
    found: dict[str, Sequence[TargetReport]] = {name: [(reports or {}).get(name, IDLE)] for name in due.targets}
    schedule.end_pass(due, found, is_over=is_over, now=now)
    return due


def test_the_first_pass_is_of_all_targets_and_full() -> None:
    schedule = make_schedule()
    assert (schedule.get_pause(7), schedule.is_at_end) == (0, False)
    assert make_pass(schedule, 7) == DuePass(("one", "two"), is_full=True)
    assert schedule.get_pause(7) == INTERVAL
    assert schedule.get_pause(7 + INTERVAL + 1) == 0


@pytest.mark.parametrize(
    ("seconds", "is_full"),
    [(INTERVAL, False), (FULL_LOOK_SECONDS - 1, False), (FULL_LOOK_SECONDS, True)],
)
def test_once_an_hour_a_pass_is_full(seconds: float, is_full: bool) -> None:
    schedule = make_schedule()
    make_pass(schedule, 0)
    assert make_pass(schedule, seconds).is_full is is_full


def test_a_target_that_fails_waits_longer_and_the_others_do_not() -> None:
    schedule = make_schedule()
    for now in (0, INTERVAL):
        assert make_pass(schedule, now, {"two": AWAY}).targets == ("one", "two")
    assert make_pass(schedule, 2 * INTERVAL).targets == ("one",)
    assert make_pass(schedule, 3 * INTERVAL).targets == ("one", "two")


@pytest.mark.parametrize(("early", "targets"), [(9, ("one", "two")), (11, ("one",))])
def test_targets_that_are_due_nearly_together_stay_together(early: float, targets: tuple[str, ...]) -> None:
    schedule = make_schedule()
    schedule.tracks["two"].due_at = early
    assert make_pass(schedule, 0).targets == targets


def test_only_a_full_pass_after_the_end_ends_it() -> None:
    schedule = make_schedule("one")
    make_pass(schedule, 0)
    assert make_pass(schedule, INTERVAL, is_over=True).is_full is False
    assert not schedule.is_at_end
    assert schedule.get_pause(INTERVAL) == 0
    assert make_pass(schedule, INTERVAL, is_over=True).is_full is True
    assert schedule.is_at_end
    assert schedule.tracks["one"].standing is FollowState.COMPLETE


def test_a_target_that_is_at_its_end_is_served_again_when_the_sweep_goes_on() -> None:
    schedule = make_schedule()
    make_pass(schedule, 0, {"two": AWAY}, is_over=True)
    assert schedule.tracks["one"].standing is FollowState.COMPLETE
    assert make_pass(schedule, INTERVAL).targets == ("two",)
    assert not schedule.tracks["one"].is_at_end
    assert make_pass(schedule, INTERVAL).targets == ("one",)


def test_a_target_that_goes_on_failing_after_the_end_is_given_up() -> None:
    schedule = make_schedule("one")
    make_pass(schedule, 0, {"one": AWAY}, is_over=True)
    make_pass(schedule, SETTLE - 1, {"one": AWAY}, is_over=True)
    assert not schedule.is_at_end
    make_pass(schedule, SETTLE, {"one": AWAY}, is_over=True)
    assert schedule.tracks["one"].standing is FollowState.GIVEN_UP
    assert schedule.is_at_end
    assert schedule.get_pause(SETTLE) == 0
