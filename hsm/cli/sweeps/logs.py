"""`hsm sweep logs`: shows the log of a task."""

from __future__ import annotations

from typing import Annotated

import typer

from hsm.cli.sweeps.opening import SweepArgument, open_named


def show_task_log(
    sweep: SweepArgument,
    task: Annotated[int, typer.Argument(metavar="TASK", help="The number of the task.", show_default=False)],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the task has ended.")] = False,
    attempt: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="An earlier attempt.", show_default="the newest")
    ] = None,
    errors: Annotated[bool, typer.Option("--err", help="Its standard error.")] = False,
) -> None:
    """Show what a task has printed, byte for byte.

    Exit codes: 0 shown; 1 there is no log; 2 usage.
    """
    from hsm.sweeps.submitted.task_log import copy_log, find_log

    opened = open_named(sweep)
    path = find_log(opened, task, attempt, errors=errors)
    with typer.get_binary_stream("stdout") as stream:
        copy_log(opened, path, task, stream.write, follows=follow, flush=stream.flush)
