"""`hsm sync doctor`: looks in advance at everything that a sync needs."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from hsm.cli.sync.options.completions import complete_target
from hsm.cli.sync.options.declarations import Json, Trust
from hsm.cli.sync.options.project import load_current_config, load_targets


def run_doctor(
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET", help="Configured targets.", autocompletion=complete_target, show_default="all"
        ),
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Also show the raw messages of what failed."
        ),
    ] = 0,
) -> None:
    """Check in advance what a sync needs, here and at the targets: nothing is sent, and nothing is written.

    Of each target: its name, connection, host key, login, shell, rsync, clock, folders, room, and how many
    sessions it allows. Each finding comes with what to do about it. It makes one login per target, which later
    commands go on to use.

    Exit codes: 0 all is well or only warnings, 1 something would fail, 2 configuration, 10 a target cannot be
    reached; several targets: the common code if all agree, else 1.
    """
    from hsm.cli.render.sync.doctor import show_checkups
    from hsm.process.runner import Runner
    from hsm.process.terminal import has_terminal
    from hsm.sync.doctor.doctor import examine
    from hsm.sync.doctor.findings import make_doctor_document
    from hsm.sync.doctor.silence import check_answers_here
    from hsm.sync.places import make_layout

    check_answers_here([os.getcwd()])  # noqa: PTH109 - what lies there may hang already
    loaded, targets = load_targets(target or list(load_current_config().config.sync_targets), is_trusted=trust)
    report = examine(targets, layout=make_layout(loaded), runner=Runner(), may_ask=has_terminal() and not as_json)
    if as_json:
        typer.echo(json.dumps(make_doctor_document(report), indent=2))
    else:
        show_checkups(report, verbosity=verbose)
    raise typer.Exit(int(report.exit_code))
