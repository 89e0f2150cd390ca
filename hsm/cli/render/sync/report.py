"""Report of a sync, done or planned, as text on stdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from hsm.cli.render.printer import Printer
from hsm.cli.render.problems import describe_problems, print_problems
from hsm.cli.render.sync.after_sync import print_steps
from hsm.cli.render.sync.preview import describe_not_chosen, describe_states, print_deeper, print_preview
from hsm.cli.render.words import format_count, format_part, format_seconds, list_some, name_sweep
from hsm.errors import ExitCode
from hsm.model import RunState
from hsm.sync.counts import count_bytes, count_files, count_run_states
from hsm.sync.reports import State, SyncReport, TargetReport
from hsm.transfer.outcome import Outcome, Streams
from hsm.units import format_bytes

_STYLES = {
    State.DONE: "bold green",
    State.NOTHING_TO_DO: "bold green",
    State.PLANNED: "bold",
    State.PARTIAL: "bold yellow",
    State.INTERRUPTED: "bold yellow",
}
_BAD_STYLE = "bold red"
_MOST_NAMES = 5
_CALM = (State.DONE, State.NOTHING_TO_DO, State.PLANNED)


def show_report(report: SyncReport, *, verbosity: int, is_quiet: bool) -> None:
    """Print a report on stdout: by sweep and target, then in all where there are several.

    Args:
        report: What happened, or what a dry run planned.
        verbosity: 0; 1 lists every file, run and path, the time of each step, and what failed programs said.
        is_quiet: Only what did not end with exit code 0, without notices.
    """
    printer = Printer()
    served = [(sweep.sweep, target) for sweep in report.sweeps for target in sweep.targets]
    shown = [(sweep, target) for sweep, target in served if not is_quiet or target.exit_code is not ExitCode.DONE]
    for number, (sweep, target) in enumerate(shown):
        if number:
            printer.print()
        way = "from" if report.direction == "pull" else "to"
        printer.print_name(
            (f"{name_sweep(sweep)} {way} {target.name}", "bold"), ", dry run" if report.is_dry_run else ""
        )
        _TargetPrinter(printer, target, verbosity=verbosity, is_quiet=is_quiet).print(report)
    if report.error is not None:
        printer.print_error(report.error, verbosity=verbosity)
    if is_quiet or not served:
        return
    if len(served) > 1:
        printer.print()
        printer.print(*_describe_whole(report, served), hang=2)
    if report.is_dry_run:
        printer.print()
        printer.print(_make_last_line(served, verb="bring" if report.direction == "pull" else "send"))


class _TargetPrinter:
    """Printer of one sweep at one target, below its title."""

    def __init__(self, printer: Printer, target: TargetReport, *, verbosity: int, is_quiet: bool) -> None:
        self._printer = printer
        self._target = target
        self._verbosity = verbosity
        self._is_quiet = is_quiet

    def print(self, report: SyncReport) -> None:
        target = self._target
        if target.state is not State.PLANNED:
            word, rest = describe_outcome(target, place=_get_place(report))
            self._printer.print((word, _STYLES.get(target.state, _BAD_STYLE)), rest, indent=2, hang=2)
        if not self._is_quiet:
            self._print_plan(report)
        print_problems(
            self._printer,
            target.problems,
            verbosity=self._verbosity,
            is_quiet=self._is_quiet,
            indent=2,
        )
        if not self._is_quiet:
            print_steps(self._printer, target.after, verbosity=self._verbosity, indent=2)
        if target.error is not None:
            self._printer.print_error(target.error, verbosity=self._verbosity, indent=2)
        if target.state is State.INTERRUPTED:
            self._printer.print_hint("run the same command again: it goes on from there.", indent=2)
        if self._verbosity and target.seconds:
            steps = ", ".join(f"{step} {format_seconds(seconds)}" for step, seconds in target.seconds.items())
            self._printer.print(f"time: {steps}", indent=2, hang=6)
        if self._verbosity and target.result is not None and target.result.streams is not None:
            self._printer.print(describe_streams(target.result.streams), indent=2, hang=9)

    def _print_plan(self, report: SyncReport) -> None:
        plan = self._target.plan
        counted = plan or self._target.counts
        if counted is None:
            return
        if plan is not None and report.is_dry_run:
            print_preview(self._printer, plan, verbosity=self._verbosity, indent=2, place=_get_place(report))
            return
        for line in _iter_count_lines(self._target):
            self._printer.print(line, indent=2, hang=2)
        print_deeper(self._printer, counted.deeper, counted.max_depth, verbosity=self._verbosity, indent=2)
        if plan is not None and not plan.is_checked:
            self._printer.print("conflicts not checked (check_remote_first: false)", indent=2, hang=2)


def _get_place(report: SyncReport) -> str:
    return "here" if report.direction == "pull" else "there"


def describe_outcome(target: TargetReport, *, place: str = "there") -> tuple[str, str]:
    """Return how a sweep ended at a target: the state, and what that means in numbers.

    Args:
        target: What happened.
        place: Where files arrive, in a word.
    """
    state = target.state
    if state is State.NOTHING_TO_DO:
        return "nothing to do", f": {_describe_present(target, place)}"
    if state is State.DONE:
        sent = count_files(target)["sent"]
        size = format_bytes(count_bytes(target)["sent"])
        return "done", f": {_count_sent_runs(target)}{format_count(sent, 'file')}, {size}{_describe_time(target)}"
    return state.value.replace("_", " "), f": {_describe_part(target)}"


def _describe_part(target: TargetReport) -> str:
    files, sizes = count_files(target), count_bytes(target)
    if target.state is State.INTERRUPTED and target.result is not None:
        part = _describe_sent(files, sizes)
        return f"{part} have arrived for certain{_describe_time(target)}"
    if not files["sent"]:
        nothing = "nothing was sent" if files["planned"] or target.plan is None else "there was nothing to send"
        problems = describe_problems(target.problems)
        return f"{nothing}, {problems}" if problems else nothing
    return f"{_describe_sent(files, sizes)} sent{_describe_time(target)}"


def _describe_sent(files: dict[str, int], sizes: dict[str, int]) -> str:
    part = format_part(sizes["sent"], sizes["planned"])
    return f"{files['sent']:,} of {format_count(files['planned'], 'file')} ({part})"


def _describe_present(target: TargetReport, place: str) -> str:
    files = count_files(target)
    n_runs = target.counts.runs["total"] if target.counts else len(target.plan.runs) if target.plan else 0
    if files["not_chosen"]:
        return f"nothing of what was chosen is missing {place}"
    if n_runs:
        return f"{format_count(n_runs, 'run is', 'runs are')} {place} already"
    if files["unchanged"]:
        return f"{format_count(files['unchanged'], 'file is', 'files are')} {place} already"
    return "the sweep has no files to send"


def _describe_time(target: TargetReport) -> str:
    return f" in {format_seconds(sum(target.seconds.values()))}" if target.seconds else ""


def _count_sent_runs(target: TargetReport) -> str:
    if target.plan is None or target.result is None:
        return ""
    sent = {key for key, outcome in target.result.outcomes.items() if outcome is Outcome.SENT}
    runs = {file.run for file in target.plan.sends if file.run and file.key in sent}
    return f"{format_count(len(runs), 'run')}, " if runs else ""


def _iter_count_lines(target: TargetReport) -> Iterator[str]:
    files, runs = count_files(target), count_run_states(target)
    if files["unchanged"] and target.state is not State.NOTHING_TO_DO:
        yield f"{format_count(files['unchanged'], 'file is', 'files are')} unchanged"
    reasons = ("superseded", "excluded", "not_chosen")
    left = [f"{files[reason]:,} {reason.replace('_', ' ')}" for reason in reasons if files[reason]]
    if left:
        yield f"left out: {', '.join(left)}"
    if target.plan is not None:
        yield from describe_not_chosen(target.plan)
    open_ends = [
        format_count(files["conflict"], "conflict") if files["conflict"] else "",
        f"{files['unsettled']:,} changed meanwhile" if files["unsettled"] else "",
        f"{files['failed']:,} failed" if files["failed"] else "",
    ]
    if any(open_ends):
        yield f"still open: {', '.join(filter(None, open_ends))}"
    is_news = runs["complete"] < runs["total"] or target.state is not State.NOTHING_TO_DO
    if runs["total"] and is_news:
        waiting = {state: runs[state.value] for state in (RunState.RUNNING, RunState.UNKNOWN)}
        states = describe_states(waiting)
        fresh = sum(run.has_exit_record and not run.at_rest for run in target.plan.runs) if target.plan else 0
        moments = [f"{fresh:,} ended moments ago, complete with a sync a little later"] if fresh else []
        complete = f"{runs['complete']:,} of {format_count(runs['total'], 'run')} complete"
        yield "; ".join([complete, *filter(None, [states]), *moments])


def _describe_whole(report: SyncReport, served: Sequence[tuple[str, TargetReport]]) -> list[str | tuple[str, str]]:
    states = Counter(target.state for _, target in served)
    names: dict[State, list[str]] = {}
    for sweep, target in served:
        names.setdefault(target.state, []).append(
            f"{name_sweep(sweep)} at {target.name}" if len(report.sweeps) > 1 else target.name
        )
    parts: list[str | tuple[str, str]] = ["In all: "]
    for state in State:
        if not states[state]:
            continue
        if len(parts) > 1:
            parts.append(", ")
        parts.append((f"{states[state]} {state.value.replace('_', ' ')}", _STYLES.get(state, _BAD_STYLE)))
        if state not in _CALM:
            parts.append(f" ({list_some(names[state], _MOST_NAMES, 'other')})")
    verb = "sent"
    kind = "sent"
    if report.is_dry_run:
        verb, kind = "to send", "planned"
    n_files = sum(count_files(target)[kind] for _, target in served)
    n_bytes = sum(count_bytes(target)[kind] for _, target in served)
    return [*parts, f"; {format_count(n_files, 'file')}, {format_bytes(n_bytes)} {verb}"]


def _make_last_line(served: Sequence[tuple[str, TargetReport]], *, verb: str) -> str:
    if any(target.error is not None for _, target in served):
        return "Nothing was touched."
    if any(target.plan is not None and target.plan.sends for _, target in served):
        return f"Nothing was touched. The same command without --dry-run {verb}s it."
    return f"Nothing was touched, and there is nothing to {verb}."


def describe_streams(streams: Streams) -> str:
    """Say how files were carried and why so: a long link wants more streams than a fast one."""
    trip = streams.round_trip_seconds
    why = "" if trip is None else f", since a round trip takes {trip * 1000:.{0 if trip >= 0.01 else 1}f} ms"
    how = f"compressed with {streams.compression}" if streams.compression else "not compressed"
    return f"streams: {streams.n_streams} of {streams.engine}{why}; {how}"
