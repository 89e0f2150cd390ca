"""Milestones of a sync: what its events tell of a target, and the lines that are made of them."""

from __future__ import annotations

from hsm.cli.render.sync.progress.pace import Rate
from hsm.cli.render.words import format_clock, format_count, format_part
from hsm.progress import (
    Event,
    ProblemFound,
    StepStarted,
    TargetEnded,
    TransferMoved,
    TransferStarted,
    Waiting,
)
from hsm.units import format_bytes

MOST_PROBLEMS = 20
"""Problems of a target that are told at once; the report has them all."""

_STEPS = {
    "login": "logging in",
    "scan": "reading the sweep",
    "check": "checking what is there",
    "plan": "planning",
    "transfer": "starting",
    "lock": "taking the lock",
    "verify": "comparing",
    "record": "recording",
    "after_sync": "doing what after_sync says",
}
_MILESTONES = {
    "login": "logging in",
    "check": "checking what is there",
    "plan": "checked",
    "verify": "comparing",
    "after_sync": "doing what after_sync says",
}
# A log of a night says each half minute that something lives; a quick transfer fills no page.
_PERCENT_STEP = 10
_LONGEST_SILENCE_SECONDS = 30.0
_SHORTEST_PAUSE_SECONDS = 2.0
_LONGEST_SECONDS = 100 * 3600  # a longer time left says only that nothing moves


class TargetProgress:
    """Progress of one target as the events tell it, over all of its sweeps. Totals never fall, nor what has moved.

    Attributes:
        words: The step it is in, or how it ended.
        is_moving: A transfer is under way.
        is_past_login: ssh has no reason to ask any more.
        n_files: Have moved.
        n_bytes: Have moved.
        total_files: Will have moved at the end.
        total_bytes: Will have moved at the end.
        total_runs: That they belong to.
    """

    def __init__(self) -> None:
        self.words = "waiting"
        self.is_moving = False
        self.is_past_login = False
        self.n_files = self.n_bytes = 0
        self.total_files = self.total_bytes = self.total_runs = 0
        self._base_files = self._base_bytes = 0

    @property
    def fraction(self) -> float:
        """Part of the current transfer that has moved, from 0 to 1."""
        wanted, moved = self.total_bytes - self._base_bytes, self.n_bytes - self._base_bytes
        if not wanted:
            wanted, moved = self.total_files - self._base_files, self.n_files - self._base_files
        return moved / wanted if wanted else 1.0

    def take(self, event: Event) -> None:
        """Take one event of this target."""
        if isinstance(event, TransferMoved):
            # A worker's count may run ahead of the truth and begins anew after a break; what people see does neither.
            self.n_bytes = max(self.n_bytes, min(self._base_bytes + event.n_bytes, self.total_bytes))
            self.n_files = max(self.n_files, min(self._base_files + event.n_files, self.total_files))
        elif isinstance(event, TransferStarted):
            # A further sweep of the same target adds to the totals, so that the bar goes on.
            self._base_files, self._base_bytes = self.n_files, self.n_bytes
            self.total_files = self._base_files + event.n_files
            self.total_bytes = self._base_bytes + event.n_bytes
            self.total_runs += event.n_runs
            self.is_moving = self.is_past_login = True
        elif isinstance(event, StepStarted):
            self.words = _STEPS.get(event.name, event.name)
            self.is_moving = False
            self.is_past_login = event.name != "login"
        elif isinstance(event, Waiting):
            self.words = "waiting for the connection"
            self.is_moving = False
        elif isinstance(event, TargetEnded):
            self.words = event.state.replace("_", " ")
            self.is_moving = False
            self.is_past_login = True


class Milestones:
    """Maker of lines: one for each step that matters, for each tenth, and for each problem."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._percent = 0
        self._told_at = 0.0
        self._n_problems = 0

    def make_line(self, event: Event, progress: TargetProgress, now: float) -> str | None:
        """Return the line for an event that `progress` has taken, or None."""
        if isinstance(event, TransferMoved):
            words = self._describe_move(progress, now)
        elif isinstance(event, StepStarted):
            words = _MILESTONES.get(event.name)
        elif isinstance(event, TransferStarted):
            self._rate, self._percent, self._told_at = Rate(), 0, now
            self._rate.add(now, progress.n_bytes)
            words = f"transfer started: {describe_totals(event.n_runs, event.n_files, event.n_bytes)}"
        elif isinstance(event, ProblemFound):
            words = self._describe_problem(event)
        elif isinstance(event, Waiting):
            words = f"{event.reason} Trying again in {event.seconds:.0f} s."
        else:
            words = progress.words
        return f"{event.target}: {words}" if words else None

    def _describe_problem(self, event: ProblemFound) -> str | None:
        self._n_problems += 1
        if self._n_problems > MOST_PROBLEMS + 1:
            return None
        if self._n_problems > MOST_PROBLEMS:
            return "there are more problems; the report has them all"
        problem = event.problem
        return f"{problem.path}: {problem.message}" if problem.path else problem.message

    def _describe_move(self, progress: TargetProgress, now: float) -> str | None:
        percent = int(progress.fraction * 100)
        silence = now - self._told_at
        is_tenth = percent // _PERCENT_STEP > self._percent // _PERCENT_STEP and percent < 100
        if not (is_tenth and silence >= _SHORTEST_PAUSE_SECONDS) and silence < _LONGEST_SILENCE_SECONDS:
            return None
        self._percent, self._told_at = percent, now
        self._rate.add(now, progress.n_bytes)
        parts = [
            f"{progress.n_files:,} of {format_count(progress.total_files, 'file')}",
            format_part(progress.n_bytes, progress.total_bytes),
            *describe_speed(self._rate, progress.total_bytes - progress.n_bytes),
        ]
        return f"{percent} %: {', '.join(parts)}"


def describe_totals(n_runs: int, n_files: int, n_bytes: int) -> str:
    """Return `7 runs, 103 files, 2.1 MB`; without runs where there are none."""
    runs = [format_count(n_runs, "run")] if n_runs else []
    return ", ".join([*runs, format_count(n_files, "file"), format_bytes(n_bytes)])


def describe_speed(rate: Rate, n_bytes_left: int) -> list[str]:
    """Return the rate and the time left, as far as they are known."""
    speed = rate.bytes_per_second
    return [f"{format_bytes(speed)}/s", *describe_time_left(n_bytes_left / speed)] if speed > 0 else []


def describe_time_left(seconds: float | None) -> list[str]:
    """Return the time left, if it is known and makes sense to say."""
    return [f"{format_clock(seconds)} left"] if seconds is not None and seconds < _LONGEST_SECONDS else []
