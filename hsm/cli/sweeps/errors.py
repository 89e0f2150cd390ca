"""`hsm sweep errors`: shows why tasks failed."""

from __future__ import annotations

import typer

from hsm.cli.sweeps.opening import JsonOption, SweepArgument, open_named
from hsm.errors import ExitCode


def show_sweep_errors(sweep: SweepArgument, as_json: JsonOption = False) -> None:
    """Show the tasks that ended badly, grouped by the last line of their log, with one log each.

    Exit codes: 0 there are none; 1 there are some; 2 usage.
    """
    from hsm.cli.render.submitted import show_errors
    from hsm.sweeps.submitted.status import group_errors, read_status

    opened = open_named(sweep)
    groups = group_errors(opened, read_status(opened))
    show_errors(opened, groups, as_json=as_json)
    if groups:
        raise typer.Exit(int(ExitCode.PARTIAL))
