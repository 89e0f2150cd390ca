"""`hsm sweep cancel`: ends tasks."""

from __future__ import annotations

import typer

from hsm.cli.sweeps.opening import JsonOption, SweepArgument, TasksOption, open_named
from hsm.errors import ExitCode


def cancel_sweep(sweep: SweepArgument, tasks: TasksOption = None, as_json: JsonOption = False) -> None:
    """End tasks that run, and have those that wait never begin.

    Exit codes: 0 done; 1 a scheduler could not be asked; 2 usage.
    """
    from hsm.cli.render.submitted import show_cancelled
    from hsm.sweeps.submitted.cancel import cancel_tasks
    from hsm.sweeps.submitted.open_sweep import list_tasks, parse_tasks

    opened = open_named(sweep)
    chosen = None if tasks is None else parse_tasks(tasks, opened.prepared.n_tasks)
    cancelled = cancel_tasks(opened, list_tasks(opened.prepared, chosen))
    show_cancelled(opened, cancelled, as_json=as_json)
    if cancelled.faults:
        raise typer.Exit(int(ExitCode.PARTIAL))
