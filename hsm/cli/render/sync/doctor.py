"""Tables of `hsm sync doctor`: findings of each machine, then what to do about them."""

from __future__ import annotations

from collections.abc import Sequence

from hsm.cli.render.printer import Printer, TextColumn
from hsm.cli.render.words import escape_lines, format_count
from hsm.sync.doctor.findings import CheckState, DoctorReport, DoctorRow

_COLUMNS = (TextColumn("check"), TextColumn("state"), TextColumn("found"))
_STYLES = {
    CheckState.OK: "green",
    CheckState.WARNING: "bold yellow",
    CheckState.FAILED: "bold red",
    CheckState.NOT_CHECKED: "dim",
}


def show_checkups(report: DoctorReport, *, verbosity: int) -> None:
    """Print all rows, and below each table what to do.

    Args:
        report: What was found.
        verbosity: 1 adds what failed programs said.
    """
    printer = Printer()
    groups = [("this machine", report.here), *((target.name, target.checks) for target in report.targets)]
    for name, checks in groups:
        printer.print_name((name, "bold"))
        _print_checks(printer, checks, verbosity=verbosity)
        printer.print()
    n_failed = sum(any(check.state is CheckState.FAILED for check in target.checks) for target in report.targets)
    n_targets = format_count(len(report.targets), "target")
    printer.print(f"{n_targets} checked, {n_failed} not ready" if n_failed else f"{n_targets} checked and ready")


def _print_checks(printer: Printer, checks: Sequence[DoctorRow], *, verbosity: int) -> None:
    rows = [
        (_name(check), (check.state.value.replace("_", " "), _STYLES[check.state]), check.found) for check in checks
    ]
    printer.print_table(_COLUMNS, rows, indent=2)
    for check in checks:
        if check.hint:
            _print_hint(printer, check)
        if verbosity and check.detail:
            printer.print_many(f"    {line}" for line in escape_lines(check.detail))


def _print_hint(printer: Printer, check: DoctorRow) -> None:
    """Print what to do next; commands, which are lines that begin with blanks, stay whole."""
    first, *more = escape_lines(check.hint)
    printer.print_hint(f"{_name(check)}: {first}", indent=2)
    for line in more:
        (printer.print_name if line.startswith(" ") else printer.print)(line, indent=8)


def _name(check: DoctorRow) -> str:
    return check.name.replace("_", " ")
