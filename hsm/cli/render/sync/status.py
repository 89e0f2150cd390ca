"""Tables of `hsm sync status`: where sweeps stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from hsm.cli.render.printer import Part, Printer, TextColumn
from hsm.cli.render.problems import print_problems
from hsm.cli.render.words import format_count, list_some, name_sweep
from hsm.records.scope import FAILURES, lacks_parts
from hsm.sync.status.report import (
    CleanedStatus,
    ReceivedStatus,
    StatusReport,
    SweepStatus,
    TargetStatus,
    count_standings,
)
from hsm.sync.status.standing import SyncState
from hsm.units import format_bytes

_COLUMNS = (
    TextColumn("at"),
    TextColumn("runs", is_number=True),
    *(TextColumn(standing.value, is_number=True) for standing in SyncState),
    TextColumn("bytes", is_number=True),
    TextColumn("last sync"),
    TextColumn("state"),
)
_MOST_RUNS = 3


def show_status(report: StatusReport, *, verbosity: int) -> None:
    """Print where sweeps stand.

    Args:
        report: What is known.
        verbosity: 1 names every run that is not complete, and every path of a problem.
    """
    printer = Printer()
    if not report.sweeps:
        printer.print("There is no sweep here, and none was synced from here.")
        return
    for number, sweep in enumerate(report.sweeps):
        if number:
            printer.print()
        _print_sweep(printer, sweep, verbosity=verbosity)
    n_complete = sum(sweep.is_complete for sweep in report.sweeps)
    if len(report.sweeps) > 1:
        printer.print()
        printer.print(f"{n_complete:,} of {format_count(len(report.sweeps), 'sweep')} complete")


def _print_sweep(printer: Printer, sweep: SweepStatus, *, verbosity: int) -> None:
    printer.print_name((name_sweep(sweep.sweep), "bold"))
    rows = [_make_target_row(target) for target in sweep.targets]
    rows += [_make_received_row(received) for received in sweep.received if received.source is not None]
    if rows:
        printer.print_table(_COLUMNS, rows, indent=2)
    for target in sweep.targets:
        for line in _iter_target_lines(target, most=len(target.tally.runs) if verbosity else _MOST_RUNS):
            printer.print(f"{target.name}: {line}", indent=2, hang=2)
        problems = [*target.problems, *(target.asked.problems if target.asked is not None else ())]
        print_problems(printer, problems, verbosity=verbosity, is_quiet=False, indent=2)
        if target.asked is not None and target.asked.error is not None:
            printer.print_error(target.asked.error, verbosity=verbosity, indent=2)
    for received in sweep.received:
        for line in _iter_received_lines(received, most=len(received.runs) if verbosity else _MOST_RUNS):
            printer.print(line, indent=2, hang=2)
        print_problems(printer, received.problems, verbosity=verbosity, is_quiet=False, indent=2)
    if sweep.cleaned is not None:
        printer.print(_describe_cleaned(sweep.cleaned), indent=2, hang=2)
        for path in sweep.cleaned.left:
            printer.print(f"an interrupted clean left {path}: run `hsm sync clean` again", indent=2, hang=2)
    print_problems(printer, sweep.problems, verbosity=verbosity, is_quiet=False, indent=2)


def _describe_cleaned(cleaned: CleanedStatus) -> str:
    what = [format_count(len(cleaned.runs), "run")] if cleaned.runs else []
    what += [format_count(len(cleaned.jobs), "job")] if cleaned.jobs else []
    what += ["the sweep's folder"] if cleaned.sweep_folder else []
    words = " and ".join([", ".join(what[:-1]), what[-1]] if what[1:] else what)
    size = f"{format_count(cleaned.n_files, 'file')}, {format_bytes(cleaned.n_bytes)}"
    return f"removed here by clean: {words} ({size}), proven at {', '.join(cleaned.copies)}"


def _make_target_row(target: TargetStatus) -> list[Part]:
    tally = target.tally
    way = " (pull)" if target.direction == "pull" else ""
    synced = _format_time(target.updated_ns / 10**9) if target.updated_ns else "never"
    return [
        f"{target.name}{way}",
        *_format_counts(tally.runs),
        format_bytes(tally.n_bytes),
        synced,
        _make_state(is_complete=target.is_complete, is_whole=target.is_whole),
    ]


def _make_received_row(received: ReceivedStatus) -> list[Part]:
    host = received.source.host if received.source is not None else ""
    return [
        f"here, from {host}",
        *_format_counts(received.runs),
        format_bytes(received.n_bytes),
        _format_written(received.written_at),
        _make_state(is_complete=received.is_complete, is_whole=received.is_whole),
    ]


def _format_counts(runs: Mapping[str, SyncState]) -> list[str]:
    return [f"{count:,}" for count in count_standings(runs).values()]


def _make_state(*, is_complete: bool, is_whole: bool) -> Part:
    if is_whole:
        return "whole", "bold green"
    return ("complete", "bold green") if is_complete else ("open", "bold yellow")


def _iter_target_lines(target: TargetStatus, *, most: int) -> Iterator[str]:
    tally = target.tally
    for standing in (SyncState.UNSETTLED, SyncState.PENDING, SyncState.SENT):
        names = [name for name, found in tally.runs.items() if found is standing]
        if names:
            yield f"{_WORDS[standing]}: {list_some(names, most, 'run')}"
    if tally.sweep_folder not in (None, SyncState.COMPLETE):
        yield f"the sweep's folder is {tally.sweep_folder.value}" if tally.sweep_folder else ""
    if tally.pending_bytes:
        yield f"at most {format_bytes(tally.pending_bytes)} to send"
    if lacks_parts(tally.scope):
        yield f"missing of the sweep: {_format_scope(tally.scope)}"
    if tally.left and target.is_complete:
        yield f"left out: {_format_left(tally.left)}"
    asked = target.asked
    if asked is not None and asked.error is None:
        yield (
            f"asked: {format_count(asked.n_files, 'file')} to send, {format_bytes(asked.n_bytes)};"
            f" {format_count(asked.n_complete, 'run')} complete there"
        )
    if target.last_error:
        yield f"last error: {target.last_error}"


def _iter_received_lines(received: ReceivedStatus, *, most: int) -> Iterator[str]:
    source = received.source
    if source is None:
        return
    start = f"from {source.host}:{source.path}"
    names = [name for name, standing in received.runs.items() if standing is not SyncState.COMPLETE]
    if names:
        yield f"{start}: not complete when it was sent: {list_some(names, most, 'run')}"
    if received.sweep_folder not in (None, SyncState.COMPLETE):
        yield f"{start}: the sweep's folder was not complete when it was sent"
    if received.missing:
        missing = [name or "the sweep's folder" for name in received.missing]
        yield f"{start}: less lies here than was proven: {list_some(missing, most, 'run')}"
    n_units = len(received.runs) + (received.sweep_folder is not None)
    n_other = n_units - len(received.exact) - len(received.missing)
    if n_other:
        yield f"{start}: {format_count(n_other, 'folder')} with other times or more files than the receipt proves"
    if lacks_parts(received.scope):
        yield f"{start}: missing of the sweep when it was sent: {_format_scope(received.scope)}"
    if received.left and received.is_complete:
        yield f"{start}: left out there: {_format_left(received.left)}"


_WORDS = {
    SyncState.UNSETTLED: "unsettled",
    SyncState.PENDING: "pending",
    SyncState.SENT: "sent, but not ended when it was",
}


def _format_left(left: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in left.items())


def _format_scope(scope: Mapping[str, int]) -> str:
    words = (format_count(n, "problem") if reason == FAILURES else reason for reason, n in scope.items())
    return ", ".join(words)


def _format_written(text: str) -> str:
    try:
        return _format_time(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        return "unknown"


def _format_time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "unknown"
