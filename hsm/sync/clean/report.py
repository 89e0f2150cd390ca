"""Report of a clean, as values and as the JSON document of `hsm sync clean` (docs/SYNC.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hsm.errors import ExitCode, HsmError
from hsm.sync.clean.values import UnitVerdict
from hsm.sync.reports import make_error_document, merge_exit_codes

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class KeptUnit:
    """A unit that was to go and stayed after all, by its path here, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class CleanReport:
    """Report of one sweep.

    Attributes:
        sweep: Its id.
        is_done: Everything that could go was removed; False for a dry run, and where the user said no.
        verdicts: The decision, runs first.
        kept: Units that stayed after all.
        n_others: The number of runs that were not asked for; they stay.
        errors: Errors of targets that could not be asked, by name.
        is_dry_run: Nothing was to be removed.
        error: After which nothing was removed any more, such as a lock that was lost; the reason stands in `kept` too.
    """

    sweep: str
    is_done: bool
    verdicts: tuple[UnitVerdict, ...] = ()
    kept: tuple[KeptUnit, ...] = ()
    errors: Mapping[str, HsmError] = field(default_factory=dict)
    is_dry_run: bool = False
    error: HsmError | None = None
    n_others: int = 0

    @property
    def going(self) -> tuple[UnitVerdict, ...]:
        """Verdicts of the units that have gone, or would go."""
        kept = {each.path for each in self.kept}
        return tuple(verdict for verdict in self.verdicts if verdict.goes and verdict.unit.path not in kept)

    @property
    def n_bytes(self) -> int:
        """Bytes that are freed by that."""
        return sum(verdict.unit.n_bytes for verdict in self.going)

    @property
    def n_files(self) -> int:
        """Number of their files and symlinks."""
        return sum(verdict.unit.n_files for verdict in self.going)

    @property
    def exit_code(self) -> ExitCode:
        """0 where nothing stays but what goes on or is too young; 1 else; that of the targets where none answered."""
        if self.error is not None:
            return self.error.exit_code
        staying = [verdict for verdict in self.verdicts if not verdict.goes and not verdict.is_open]
        was_asked = any(verdict.copies or verdict.lacks for verdict in self.verdicts)
        if staying and self.errors and not was_asked:
            return merge_exit_codes(error.exit_code for error in self.errors.values())
        is_refused = bool(self.going) and not self.is_done and not self.is_dry_run
        return ExitCode.PARTIAL if staying or self.kept or is_refused else ExitCode.DONE


def make_clean_document(reports: Sequence[CleanReport], *, is_dry_run: bool) -> dict[str, object]:
    """Make the document as JSON values."""
    return {
        "schema": SCHEMA,
        "command": "sync clean",
        "direction": None,
        "dry_run": is_dry_run,
        "exit_code": int(merge_exit_codes(report.exit_code for report in reports)),
        "error": None,
        "sweeps": [_make_sweep_document(report) for report in reports],
    }


def _make_sweep_document(report: CleanReport) -> dict[str, object]:
    kept = {each.path: each.why for each in report.kept}
    return {
        "sweep": report.sweep,
        "exit_code": int(report.exit_code),
        "done": report.is_done,
        "files": report.n_files,
        "bytes": report.n_bytes,
        "others": report.n_others,
        "units": [_make_unit_document(verdict, kept, is_done=report.is_done) for verdict in report.verdicts],
        "targets": {name: make_error_document(error) for name, error in report.errors.items()},
    }


def _make_unit_document(verdict: UnitVerdict, kept: Mapping[str, str], *, is_done: bool) -> dict[str, object]:
    unit = verdict.unit
    goes = verdict.goes and unit.path not in kept
    reasons = [*verdict.reasons, *([kept[unit.path]] if unit.path in kept else [])]
    return {
        "run": unit.name or None,
        "job": unit.job or None,
        "path": unit.path,
        "goes": goes,
        "removed": goes and is_done,
        "files": unit.n_files,
        "bytes": unit.n_bytes,
        "copies": list(verdict.copies),
        "superseded": len(verdict.waived),
        "reasons": reasons,
        "lacks": {
            target: [{"path": lack.path, "why": lack.why} for lack in found] for target, found in verdict.lacks.items()
        },
    }
