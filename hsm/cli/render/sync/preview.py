"""Preview of a plan: what would be sent of a sweep to a target, run by run, and what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from hsm.cli.render.printer import Part, Printer, TextColumn
from hsm.cli.render.words import escape_text, format_count, list_some
from hsm.model import PlanItem, Reason, RunState, SyncPlan
from hsm.plan.summary import Change, SummaryRow, count_states, make_job_rows, make_rows
from hsm.units import format_bytes

_MOST_RUNS = 20
_MOST_UNCHANGED = 5
_MOST_FOLDERS = 5

_COLUMNS = (
    TextColumn("run"),
    TextColumn("state"),
    TextColumn("change"),
    TextColumn("files", is_number=True),
    TextColumn("bytes", is_number=True),
    TextColumn("left out"),
)
_NOUNS = {
    Reason.UNFINISHED: ("upload mark of an unfinished run", "upload marks of unfinished runs"),
    Reason.CONFLICT: ("conflict", "conflicts"),
}
_STYLES = {Change.NEW: "green", Change.UPDATED: "yellow", Change.UNCHANGED: "", Change.NOT_CHOSEN: ""}


def print_preview(printer: Printer, plan: SyncPlan, *, verbosity: int, indent: int, place: str = "there") -> None:
    """Print the plan by run and, under `-v`, by file (`-vv`: also the files that are the same).

    Args:
        printer: Where to.
        plan: What would be done.
        verbosity: How often `-v` was given.
        indent: Columns before each line.
        place: Where files would arrive, in a word.
    """
    rows = make_rows(plan)
    if rows:
        table = [*_iter_table_rows(make_job_rows(plan), is_whole=verbosity > 0), _make_total(rows)]
        printer.print_table(_COLUMNS, table, label="left out: ", indent=indent)
    for line in _iter_remarks(plan, rows, place):
        printer.print(line, indent=indent, hang=2)
    print_deeper(printer, plan.deeper, plan.max_depth, verbosity=verbosity, indent=indent)
    if verbosity:
        printer.print_many(_iter_file_lines(plan.items, indent, is_whole=verbosity > 1))


def print_deeper(
    printer: Printer, deeper: Mapping[str, int], max_depth: int | None, *, verbosity: int, indent: int
) -> None:
    """Print how many files lie too deep in the sweep's folder, and where."""
    n_files = sum(deeper.values())
    if n_files:
        folders = [f"{folder.rstrip('/')}/" for folder in sorted(deeper)]
        where = list_some(folders, len(folders) if verbosity else _MOST_FOLDERS, "folder")
        text = f"{format_count(n_files, 'file')} in {where} left out: max_depth {max_depth}"
        printer.print(text, indent=indent, hang=2)


def describe_skipped(left: Mapping[Reason, int]) -> str:
    """Return what is left out and why, as `12 superseded, 3 excluded`."""
    return ", ".join(_count_reason(reason, left[reason]) for reason in Reason if left.get(reason))


def _count_reason(reason: Reason, n: int) -> str:
    one, many = _NOUNS.get(reason, (reason.value, reason.value))
    return format_count(n, one, many)


def describe_states(counts: Mapping[RunState, int]) -> str:
    """Return how many runs are in each state, as `5 finished, 1 running`."""
    return ", ".join(f"{counts[state]:,} {state.value}" for state in RunState if counts.get(state))


def describe_not_chosen(plan: SyncPlan) -> list[str]:
    """Return what the call's choice leaves, a line for each reason: `not chosen: 9 files of 3 runs: ...`."""
    runs: dict[str, set[str]] = {}
    files: Counter[str] = Counter()
    for item in plan.items:
        if item.reason is Reason.NOT_CHOSEN:
            runs.setdefault(item.detail, set()).add(item.file.run)
            files[item.detail] += 1
    return [
        f"not chosen: {format_count(files[detail], 'file')} of {format_count(len(names), 'run')}: {detail}"
        for detail, names in runs.items()
    ]


def _iter_table_rows(rows: Sequence[SummaryRow], *, is_whole: bool) -> Iterator[Sequence[Part]]:
    """Yield the sweep's folder, the runs of interest, and the rest in a line for each change."""
    runs = [row for row in rows if row.name]
    n_moving = sum(map(_is_moving, runs))
    n_still = len(runs) - n_moving
    most_moving = n_moving if is_whole else _MOST_RUNS
    most_still = n_still if is_whole or n_still <= _MOST_UNCHANGED else 0
    folded: dict[Change, list[SummaryRow]] = {}
    yield from (_make_row("(sweep folder)", "", row) for row in rows if not row.name)
    for row in runs:
        is_moving = _is_moving(row)
        if is_moving and most_moving:
            most_moving -= 1
        elif not is_moving and most_still:
            most_still -= 1
        else:
            folded.setdefault(row.change, []).append(row)
            continue
        yield _make_run_row(row)
    for change in Change:
        if change in folded:
            n_all = sum(row.change is change for row in runs)
            yield _make_folded(change, folded[change], is_rest=len(folded[change]) < n_all)


def _is_moving(row: SummaryRow) -> bool:
    """Tell whether a run is of interest: something of it is sent, or in conflict."""
    return row.change in (Change.NEW, Change.UPDATED) or Reason.CONFLICT in row.left


def _make_run_row(row: SummaryRow) -> Sequence[Part]:
    code = row.run.exit_code if row.run is not None else None
    failed = row.state is RunState.FAILED and code is not None
    state = row.state.value if row.state is not None else ""
    return _make_row(row.name, f"failed (code {code})" if failed else state, row)


def _make_row(name: str, state: str, row: SummaryRow) -> Sequence[Part]:
    change = (row.change.value, _STYLES[row.change])
    size = format_bytes(row.n_bytes) if row.n_files else ""
    left = describe_skipped(row.left)
    style = "yellow" if Reason.CONFLICT in row.left else ""
    return (name, state, change, f"{row.n_files:,}" if row.n_files else "", size, (left, style))


def _make_folded(change: Change, rows: Sequence[SummaryRow], *, is_rest: bool) -> Sequence[Part]:
    more = "more " if is_rest else ""
    noun = "run" if not any(row.job for row in rows) else "job" if all(row.job for row in rows) else "row"
    words = format_count(len(rows), f"{more}{change.value} {noun}")
    return (f"... and {words}" if is_rest else words, "", "", *_sum_up(rows))


def _make_total(rows: Sequence[SummaryRow]) -> Sequence[Part]:
    files, size, left = _sum_up(rows)
    return (("total", "bold"), "", "", (files or "0", "bold"), (size or "0 B", "bold"), left)


def _sum_up(rows: Iterable[SummaryRow]) -> tuple[str, str, str]:
    n_files = n_bytes = 0
    left: Counter[Reason] = Counter()
    for row in rows:
        n_files += row.n_files
        n_bytes += row.n_bytes
        left.update(row.left)
    return (f"{n_files:,}" if n_files else "", format_bytes(n_bytes) if n_files else "", describe_skipped(left))


def _iter_remarks(plan: SyncPlan, rows: Sequence[SummaryRow], place: str) -> Iterator[str]:
    runs = [row for row in rows if row.run is not None]
    if runs:
        changes = Counter(row.change for row in runs)
        words = ", ".join(f"{changes[change]:,} {change.value}" for change in Change if changes[change])
        yield f"{format_count(len(runs), 'run')}: {words}; {describe_states(count_states(plan.runs))}"
    yield from describe_not_chosen(plan)
    n_same = sum(row.n_same for row in rows)
    if n_same:
        yield f"{format_count(n_same, 'file is', 'files are')} {place} already"
    n_overwrites = sum(row.n_overwrites for row in rows)
    if n_overwrites:
        yield f"{format_count(n_overwrites, 'file')} {place} will be overwritten although newer (-v names them)"
    if not plan.is_checked:
        yield "conflicts not checked: what is there was not compared (check_remote_first: false)"


def _iter_file_lines(items: Sequence[PlanItem], indent: int, *, is_whole: bool) -> Iterator[str]:
    shown = items if is_whole else [item for item in items if item.reason not in (Reason.SAME, Reason.THERE)]
    width = max((len(reason.value) for reason in {item.reason for item in shown}), default=0)
    for file, reason, detail in shown:
        action = "send " if reason.is_send else "leave"
        size = format_bytes(file.size)
        more = f"  ({detail})" if detail else ""
        path = escape_text(file.path)
        yield f"{'':{indent}}{action}  {reason.value:<{width}}  {size:>8}  {file.root.value}/{path}{more}"
