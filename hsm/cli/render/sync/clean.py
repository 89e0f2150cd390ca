"""Table of `hsm sync clean`: what is removed, what stays and why."""

from __future__ import annotations

from collections.abc import Iterator

from hsm.cli.render.printer import Part, Printer, TextColumn
from hsm.cli.render.words import escape_text, format_count, name_sweep
from hsm.sync.clean.report import CleanReport
from hsm.sync.clean.values import Lack, UnitVerdict
from hsm.units import format_bytes

_COLUMNS = (
    TextColumn("what"),
    TextColumn("files", is_number=True),
    TextColumn("bytes", is_number=True),
    TextColumn(""),
    TextColumn("where, or why"),
)
_MOST_GOING = 20
_MOST_STAYING = 50
_MOST_PATHS = 3
_ALL = 10**9


def show_clean(report: CleanReport, *, verbosity: int, is_quiet: bool, was_shown: bool = False) -> None:
    """Print what goes, or has gone, what stays and why.

    Args:
        report: Of one sweep.
        verbosity: 1 shows every run, and every path that is not proven.
        is_quiet: Only what went wrong.
        was_shown: All but the end was shown before the question.
    """
    printer = Printer()
    kept = {each.path: each.why for each in report.kept}
    going = [verdict for verdict in report.verdicts if verdict.goes and verdict.unit.path not in kept]
    staying = [verdict for verdict in report.verdicts if verdict not in going]
    is_short = is_quiet or was_shown
    if not is_short:
        printer.print_name((name_sweep(report.sweep), "bold"))
        _print_table(printer, report, going, staying, verbosity=verbosity)
    for verdict in staying:
        if not is_short or verdict.unit.path in kept:
            _print_reasons(printer, verdict, kept, verbosity=verbosity, is_short=is_short)
    if report.n_others and not is_short:
        printer.print(f"{format_count(report.n_others, 'other run')}: not asked for", indent=2)
    for name, error in report.errors.items() if not was_shown else ():
        printer.print(f"{name} counts for nothing:", indent=2)
        printer.print_error(error, verbosity=verbosity, indent=4)
    if not is_quiet:
        printer.print(_describe_end(report) if not was_shown or report.is_done else "Nothing was removed.")


def make_question(report: CleanReport) -> str:
    """Make the question that is asked before anything is removed."""
    sweep = escape_text(name_sweep(report.sweep))
    files = format_count(report.n_files, "file")
    return f"Remove {files}, {format_bytes(report.n_bytes)}, of {sweep} from this machine?"


def _print_reasons(
    printer: Printer, verdict: UnitVerdict, kept: dict[str, str], *, verbosity: int, is_short: bool
) -> None:
    """Print why something stays, where the table has no room for all of it."""
    lines = list(_iter_lines(verdict, kept, most=_ALL if verbosity else _MOST_PATHS))
    if len(lines) > 1 or is_short:
        printer.print(f"{_get_name(verdict)}:", indent=2)
        for line in lines:
            printer.print(line, indent=4, hang=2)


def _print_table(
    printer: Printer, report: CleanReport, going: list[UnitVerdict], staying: list[UnitVerdict], *, verbosity: int
) -> None:
    word = "removed" if report.is_done else "goes"
    most_going, most_staying = (_ALL, _ALL) if verbosity else (_MOST_GOING, _MOST_STAYING)
    rows = [_make_row(verdict, (word, "green"), f"at {', '.join(verdict.copies)}") for verdict in going[:most_going]]
    kept = {each.path: each.why for each in report.kept}
    for verdict in staying[:most_staying]:
        first = kept.get(verdict.unit.path) or (verdict.reasons[0] if verdict.reasons else "")
        rows.append(_make_row(verdict, ("stays", "bold yellow"), first))
    if rows:
        printer.print_table(_COLUMNS, rows, indent=2)
    for found, most, verb in ((going, most_going, word), (staying, most_staying, "stays")):
        if len(found) > most:
            printer.print(f"and {format_count(len(found) - most, 'more row')} of what {verb} (-v shows all)", indent=2)


def _make_row(verdict: UnitVerdict, state: Part, words: str) -> list[Part]:
    unit = verdict.unit
    return [_get_name(verdict), f"{unit.n_files:,}", format_bytes(unit.n_bytes), state, words]


def _get_name(verdict: UnitVerdict) -> str:
    unit = verdict.unit
    name = unit.name or (f"job {unit.job}" if unit.job else "the sweep's folder")
    return f"{name} (left by an interrupted clean)" if unit.recorded is not None else name


def _iter_lines(verdict: UnitVerdict, kept: dict[str, str], *, most: int) -> Iterator[str]:
    if verdict.unit.path in kept:
        yield kept[verdict.unit.path]
    yield from verdict.reasons[:most]
    if len(verdict.reasons) > most:
        yield f"and {format_count(len(verdict.reasons) - most, 'more reason')}"
    for target, lacks in verdict.lacks.items():
        for lack in lacks[:most]:
            yield f"{target}: {_describe(lack)}"
        if len(lacks) > most:
            yield f"{target}: and {format_count(len(lacks) - most, 'more path')} (-v shows all)"


def _describe(lack: Lack) -> str:
    return f"{lack.path} {lack.why}" if lack.path else lack.why


def _describe_end(report: CleanReport) -> str:
    if not report.verdicts:
        return "Nothing of it lies here."
    if not report.going:
        return "Nothing is removed."
    size = f"{format_count(report.n_files, 'file')}, {format_bytes(report.n_bytes)}"
    if report.is_done:
        return f"Removed {size}. What was removed, and where it is, stands in .hsm/cleaned."
    return f"{size} would be freed here."
