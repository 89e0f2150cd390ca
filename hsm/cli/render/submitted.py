"""Output of the commands that submit tasks and show how they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hsm.cli.json_document import print_document
from hsm.cli.render.printer import Printer, TextColumn
from hsm.cli.render.words import escape_text, format_count, format_seconds
from hsm.errors import ExitCode
from hsm.jobs.chunk import format_indices
from hsm.jobs.model import TaskStatus
from hsm.jobs.states import STATE_WORDS, TaskCount, TaskState
from hsm.jobs.submitter import Submitted
from hsm.sweeps.submitted.cancel import Cancelled
from hsm.sweeps.submitted.open_sweep import OpenSweep
from hsm.sweeps.submitted.status import ErrorGroup, SubmittedStatus

_MOST_ROWS = 20


def show_submitted(
    opened: OpenSweep, submitted: Submitted, command: str, *, status: SubmittedStatus | None, as_json: bool
) -> None:
    """Print what was submitted."""
    name, error = opened.name, submitted.error
    code = ExitCode.PARTIAL if error or (status is not None and not status.is_completed) else ExitCode.DONE
    if as_json:
        content = {
            "sweep": name,
            "n_tasks": submitted.n_tasks,
            "jobs": [
                {"name": job.chunk.name, "job_id": job.job_id, "tasks": [task.number for task in job.chunk.tasks]}
                for job in submitted.jobs
            ],
            "skipped": list(submitted.skipped),
            "stopped_by": None if error is None else {"kind": error.kind, "message": error.message, "hint": error.hint},
            "counts": None if status is None else _make_counts(status),
        }
        print_document(command, content, code=code)
        return
    printer = Printer()
    if not submitted.jobs and not submitted.skipped and error is None:
        printer.print(f"Nothing of {name} is left to submit.")
    for job in submitted.jobs:
        printer.print(
            f"{job.chunk.name}: {format_count(len(job.chunk.tasks), 'task')} submitted as {job.job_id}", hang=2
        )
    if submitted.skipped:
        printer.print(
            f"Left as they are, since they wait, run, completed or are unknown: {_list_numbers(submitted.skipped)}"
        )
    if error is not None:
        printer.print_error(error, verbosity=0)
    elif submitted.jobs:
        printer.print_hint(f"`hsm sweep status {name}`")


def show_choice(opened: OpenSweep, numbers: Sequence[int], n_left: int, *, as_json: bool) -> None:
    """Print which tasks would get a new attempt."""
    if as_json:
        print_document("sweep resubmit", {"sweep": opened.name, "tasks": list(numbers), "n_left": n_left})
        return
    printer = Printer()
    if not numbers:
        printer.print(f"Nothing to submit again in {opened.name}.")
    else:
        printer.print(f"A new attempt of {format_count(len(numbers), 'task')}: {_list_numbers(numbers)}", hang=2)
        printer.print_hint("Nothing was submitted. Run it without --dry-run.")
    if n_left:
        printer.print(f"Left as they are, since they wait, run, completed or are unknown: {n_left}")


def show_cancelled(opened: OpenSweep, cancelled: Cancelled, *, as_json: bool) -> None:
    """Print which tasks were asked to end."""
    code = ExitCode.PARTIAL if cancelled.faults else ExitCode.DONE
    if as_json:
        content = {"sweep": opened.name, "tasks": list(cancelled.numbers), "faults": list(cancelled.faults)}
        print_document("sweep cancel", content, code=code)
        return
    printer = Printer()
    if cancelled.numbers:
        count = format_count(len(cancelled.numbers), "task")
        printer.print(f"{opened.name}: {count} cancelled: {_list_numbers(cancelled.numbers)}", hang=2)
    else:
        printer.print(f"{opened.name}: no task waits or runs.")
    for fault in cancelled.faults:
        printer.print(f"Warning: {fault}", hang=2)


def describe_counts(status: SubmittedStatus) -> str:
    """Describe the number of tasks by count, without zeros."""
    found = [f"{number} {count.value}" for count, number in status.counts.items() if number]
    return ", ".join(found) or "no tasks"


def show_submitted_status(
    status: SubmittedStatus,
    *,
    states: frozenset[TaskState],
    shows_all: bool,
    code: ExitCode,
    as_json: bool,
) -> None:
    """Print how the tasks of a sweep are."""
    chosen = {n: task for n, task in status.tasks.items() if (task.state in states if states else shows_all)}
    if as_json:
        rows = chosen if states or shows_all else status.tasks
        content = {
            "sweep": status.sweep,
            "counts": _make_counts(status),
            "is_over": status.is_over,
            "faults": list(status.faults),
            "bad_nodes": sorted(status.bad_nodes),
            "tasks": [_make_row(number, task, status) for number, task in rows.items()],
        }
        print_document("sweep status", content, code=code)
        return
    printer = Printer()
    printer.print_name((status.sweep, "bold"), f": {describe_counts(status)}")
    if not status.is_over:
        printer.print("It is running." if status.counts[TaskCount.RUNNING] else "It waits.")
    for fault in status.faults:
        printer.print(f"Warning: could not ask: {escape_text(fault)}", hang=2)
    if not states and not shows_all:
        chosen = {n: task for n, task in status.tasks.items() if task.state in _WORTH_SHOWING}
    found = list(chosen.items())
    shown = found if states or shows_all else found[:_MOST_ROWS]
    if shown:
        printer.print_table(_COLUMNS, (_make_cells(number, task, status) for number, task in shown))
    if len(shown) < len(found):
        printer.print(f"and {len(found) - len(shown)} more: `hsm sweep status {status.sweep} --tasks`")
    if status.has_failed:
        printer.print_hint(f"`hsm sweep errors {status.sweep}`, then `hsm sweep resubmit {status.sweep}`")


def show_errors(opened: OpenSweep, groups: Sequence[ErrorGroup], *, as_json: bool) -> None:
    """Print why tasks failed."""
    if as_json:
        rows = [
            {
                "line": group.line,
                "tasks": list(group.numbers),
                "states": [state.value for state in group.states],
                "nodes": list(group.nodes),
                "log": group.log,
                "bad_nodes": list(group.bad_nodes),
            }
            for group in groups
        ]
        print_document("sweep errors", {"sweep": opened.name, "groups": rows}, code=ExitCode(bool(groups)))
        return
    printer = Printer()
    if not groups:
        printer.print(f"No task of {opened.name} ended badly.")
    for group in groups:
        states = ", ".join(state.value for state in group.states)
        printer.print((escape_text(group.line), "bold"), hang=2)
        printer.print(f"{format_count(len(group.numbers), 'task')} {states}: {_list_numbers(group.numbers)}", indent=2)
        printer.print_name(f"log: {group.log}", indent=2)
        if group.bad_nodes:
            nodes = ",".join(group.bad_nodes)
            printer.print(f"It seems to be the fault of {nodes}, since others complete their tasks.", indent=2, hang=2)
            printer.print_hint(f"`hsm sweep resubmit {opened.name} --exclude {nodes}`", indent=2)


_WORTH_SHOWING = frozenset(TaskState) - {TaskState.COMPLETED, TaskState.PENDING, TaskState.PREPARED}
_COLUMNS = [
    TextColumn("task", is_number=True),
    TextColumn("state"),
    TextColumn("attempt", is_number=True),
    TextColumn("job"),
    TextColumn("node"),
    TextColumn("took", is_number=True),
    TextColumn("why"),
]


def _make_cells(number: int, task: TaskStatus, status: SubmittedStatus) -> list[str]:
    end = task.end
    took = format_seconds(end.ended - end.started) if end.started and end.ended >= end.started else ""
    why = f"{task.reason} (the node's fault)" if status.is_nodes_fault(task) else task.reason
    return [str(number), task.state.value, str(task.attempt or ""), end.job_id, end.node, took, why]


def _make_row(number: int, task: TaskStatus, status: SubmittedStatus) -> dict[str, object]:
    end = task.end
    return {
        "task": number,
        "state": task.state.value,
        "count": STATE_WORDS[task.state].counts_as.value,
        "reason": task.reason,
        "attempt": task.attempt,
        "job_id": end.job_id,
        "node": end.node,
        "exit_code": end.exit_code,
        "signal": end.signal,
        "started": end.started or None,
        "ended": end.ended or None,
        "last_lines": list(end.last_lines),
        "is_nodes_fault": status.is_nodes_fault(task),
    }


def _make_counts(status: SubmittedStatus) -> Mapping[str, int]:
    return {count.value: number for count, number in status.counts.items()}


def _list_numbers(numbers: Iterable[int]) -> str:
    return format_indices(list(numbers))
