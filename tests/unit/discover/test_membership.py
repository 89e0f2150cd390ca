"""Sweep and state of a run."""

from __future__ import annotations

import pytest

from hsm.discover.kinds.claims import RunClaims
from hsm.discover.membership import Candidate, Membership, make_run
from hsm.model import RunState
from hsm.wandb_log.facts import LogFacts

YES, NO, UNKNOWN = Membership.YES, Membership.NO, Membership.UNKNOWN
KNOWN = {"sweep_1", "sweep_10"}

# what the log says, does the place decide -> whose it is
RULES = {
    "the group": (LogFacts("r", group="sweep_1"), False, YES),
    "wandb's own sweep": (LogFacts("r", sweep_id="sweep_1"), False, YES),
    "the configuration": (LogFacts("r", config_sweep_id="sweep_1"), False, YES),
    "an argument": (LogFacts("r", args=("train.py", "wandb.group=sweep_1")), False, YES),
    "an added argument": (LogFacts("r", args=("+wandb.group=sweep_1",)), False, YES),
    "an argument added or changed": (LogFacts("r", args=("++wandb.group=sweep_1",)), False, YES),
    "a quoted argument": (LogFacts("r", args=("wandb.group='sweep_1'",)), False, YES),
    "one of several names": (LogFacts("r", group="baseline", config_sweep_id="sweep_1"), False, YES),
    "the place": (LogFacts("r"), True, YES),
    "the place, and a group that is no sweep": (LogFacts("r", group="baseline"), True, YES),
    "the place, and an empty log": (LogFacts(is_empty=True), True, YES),
    "a longer name": (LogFacts("r", group="sweep_10"), False, NO),
    "a shorter name": (LogFacts("r", group="sweep"), False, NO),
    "a longer name in an argument": (LogFacts("r", args=("wandb.group=sweep_10",)), False, NO),
    "another argument": (LogFacts("r", args=("wandb.name=sweep_1", "xwandb.group=sweep_1")), False, NO),
    "another case": (LogFacts("r", group="Sweep_1"), False, NO),
    "no group at all": (LogFacts("r"), False, NO),
    "the place, but another known sweep": (LogFacts("r", group="sweep_10"), True, NO),
    "an empty log": (LogFacts(is_empty=True), False, UNKNOWN),
    "a log without a run": (LogFacts(), False, UNKNOWN),
}


@pytest.mark.parametrize(("facts", "is_inside", "expected"), RULES.values(), ids=RULES)
def test_decides_by(facts: LogFacts, is_inside: bool, expected: Membership) -> None:
    candidate = Candidate("run-x", "/wandb", is_inside=is_inside)
    assert RunClaims("sweep_1", known=KNOWN).decide(candidate, facts) is expected


NOW = 10**18
SECOND = 10**9

STATES = {
    "exit 0": (0, 3600, 3600, RunState.FINISHED, True),
    "exit 0, log still moving": (0, 3, 3, RunState.FINISHED, False),
    "exit 1": (1, 3600, 3600, RunState.FAILED, True),
    "log moves": (None, 5, 3600, RunState.RUNNING, False),
    "log moved lately": (None, 300, 3600, RunState.RUNNING, True),
    "log rests, another file moved lately": (None, 3600, 300, RunState.RUNNING, True),
    "all rests": (None, 601, 601, RunState.UNKNOWN, True),
    "a time in the future": (None, -100, 3600, RunState.RUNNING, False),
}


@pytest.mark.parametrize(("exit_code", "log_age", "file_age", "state", "at_rest"), STATES.values(), ids=STATES)
def test_says_how_far_a_run_has_come(
    exit_code: int | None, log_age: int, file_age: int, state: RunState, at_rest: bool
) -> None:
    candidate = Candidate("offline-run-x", "/wandb", log="run-x.wandb", log_mtime_ns=NOW - log_age * SECOND)
    newest_ns = NOW - file_age * SECOND
    run = make_run(candidate, LogFacts("x", exit_code=exit_code), newest_ns=newest_ns, now_ns=NOW)
    assert (run.state, run.at_rest, run.exit_code) == (state, at_rest, exit_code)


def test_without_a_clock_nothing_rests() -> None:
    candidate = Candidate("run-x", "/wandb", log="run-x.wandb", log_mtime_ns=5)
    run = make_run(candidate, LogFacts("x"), newest_ns=5, now_ns=0)
    assert (run.state, run.at_rest) == (RunState.RUNNING, False)


def test_a_run_without_a_log_rests_with_its_files() -> None:
    run = make_run(Candidate("run-x", "/wandb"), LogFacts(is_empty=True), newest_ns=NOW - 3 * SECOND, now_ns=NOW)
    assert (run.log, run.state, run.at_rest) == ("", RunState.RUNNING, False)


UPLOADS = {
    "offline, finished": ("offline-run-x", False, 0, False),
    "offline, marked": ("offline-run-x", True, 0, True),
    "online, finished": ("run-x", False, 0, True),
    "online, failed": ("run-x", False, 1, True),
    "online, not finished": ("run-x", False, None, False),
}


@pytest.mark.parametrize(("name", "has_mark", "exit_code", "expected"), UPLOADS.values(), ids=UPLOADS)
def test_tells_whether_wandb_has_it(name: str, has_mark: bool, exit_code: int | None, expected: bool) -> None:
    candidate = Candidate(name, "/wandb", log="run-x.wandb", log_mtime_ns=1, has_upload_mark=has_mark)
    run = make_run(candidate, LogFacts("x", exit_code=exit_code), newest_ns=1, now_ns=NOW)
    assert run.uploaded is expected
