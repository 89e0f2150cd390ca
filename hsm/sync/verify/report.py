"""Report of `hsm sync verify`, as values and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hsm.errors import ExitCode, HsmError
from hsm.model import Problem
from hsm.sync.reports import make_error_document, make_problem_document, merge_exit_codes

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class VerifyVerdict:
    """Comparison of one sweep at one target with its source.

    Attributes:
        target: The target's name.
        exit_code: 0 where all that counts is equal, 1 where something differs or is missing.
        error: The reason why it could not be told; None otherwise.
        n_equal: Files whose content is the same at both ends.
        different: Destination paths of files with another content or type there.
        missing: Destination paths of files that are not there.
        only_there: Destination paths of files that the source does not have.
        left: Number of files that do not count and were not compared, by reason.
        problems: Found while looking at the source.
    """

    target: str
    exit_code: ExitCode
    error: HsmError | None = None
    n_equal: int = 0
    different: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    only_there: tuple[str, ...] = ()
    left: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """A whole call: verdicts by sweep, in the order of targets."""

    sweeps: Mapping[str, tuple[VerifyVerdict, ...]]

    @property
    def exit_code(self) -> ExitCode:
        """The common code if all agree, else 1; 130 if anything was interrupted."""
        return merge_exit_codes(verdict.exit_code for verdicts in self.sweeps.values() for verdict in verdicts)


def make_verify_document(report: VerifyReport) -> dict[str, object]:
    """Make the document of `hsm sync verify` (docs/SYNC.md) as JSON values."""
    return {
        "schema": SCHEMA,
        "command": "sync verify",
        "direction": "push",
        "dry_run": False,
        "exit_code": int(report.exit_code),
        "error": None,
        "sweeps": [
            {"sweep": sweep, "targets": [_make_verdict_document(verdict) for verdict in verdicts]}
            for sweep, verdicts in report.sweeps.items()
        ],
    }


def _make_verdict_document(verdict: VerifyVerdict) -> dict[str, object]:
    return {
        "name": verdict.target,
        "exit_code": int(verdict.exit_code),
        "error": make_error_document(verdict.error),
        "equal": verdict.n_equal,
        "different": list(verdict.different),
        "missing": list(verdict.missing),
        "only_there": list(verdict.only_there),
        "left": dict(verdict.left),
        "problems": [make_problem_document(problem) for problem in verdict.problems],
    }
