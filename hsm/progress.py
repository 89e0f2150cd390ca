"""Events of a sync at work, and the protocol of those who show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hsm.model import Problem


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A target entered a step of the work: `login`, `check`, `plan`, `transfer`, `record`."""

    target: str
    name: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The connection to a target was dropped; the next try comes after so many seconds."""

    target: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """The transfer to a target begins, with the totals of its plan."""

    target: str
    n_files: int
    n_bytes: int
    n_runs: int


@dataclass(frozen=True, slots=True)
class TransferMoved:
    """Running totals of the transfer to a target; they never go back.

    `n_bytes` is the workers' own count and may run ahead of what is verified.
    """

    target: str
    n_files: int
    n_bytes: int
    n_runs: int


@dataclass(frozen=True, slots=True)
class ProblemFound:
    """A problem of one path, reported as soon as it is known; it stands in the final report again."""

    target: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class TargetEnded:
    """A target's work is over; `state` is the word that stands in the report."""

    target: str
    state: str


@dataclass(frozen=True, slots=True)
class WordUnderstood:
    """Meaning that a word of the command line was given, in a line, before anything is done; of no single target."""

    said: str
    target: str = ""


Event = WordUnderstood | StepStarted | Waiting | TransferStarted | TransferMoved | ProblemFound | TargetEnded


class Reporter(Protocol):
    """Receiver of events, from several threads at once; must be thread-safe, quick, and never raise."""

    def report(self, event: Event) -> None:
        """Take one event."""


class SilentReporter:
    """Reporter that shows nothing (`-q`, and the default of the Python interface)."""

    def report(self, event: Event) -> None:
        """Ignore the event."""
