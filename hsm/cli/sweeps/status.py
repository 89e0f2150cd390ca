"""`hsm sweep status`: shows how the tasks of a sweep are."""

from __future__ import annotations

from typing import Annotated

import typer

from hsm.cli.sweeps.opening import JsonOption, SweepArgument, open_named
from hsm.errors import ExitCode
from hsm.jobs.states import TaskState


def show_tasks_status(
    sweep: SweepArgument,
    tasks: Annotated[bool, typer.Option("--tasks", help="Show every task.")] = False,
    state: Annotated[
        list[TaskState] | None, typer.Option("--state", help="Show the tasks in this state; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the counts of a sweep's tasks, and tasks with state, reason, node and duration.

    Exit codes: 0 all completed, or nothing failed yet; 1 a task failed, is lost or could not be asked for; 2 usage.
    """
    from hsm.cli.render.submitted import show_submitted_status
    from hsm.sweeps.submitted.status import read_status

    opened = open_named(sweep)
    status = read_status(opened)
    code = ExitCode.PARTIAL if status.has_failed or status.faults else ExitCode.DONE
    show_submitted_status(status, states=frozenset(state or ()), shows_all=tasks, code=code, as_json=as_json)
    if code:
        raise typer.Exit(int(code))
