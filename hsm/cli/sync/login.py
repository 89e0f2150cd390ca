"""`hsm sync login` and `hsm sync logout`: the shared login to a target."""

from __future__ import annotations

from typing import Annotated

import typer

from hsm.cli.sync.options.completions import complete_target
from hsm.cli.sync.options.declarations import TargetArgument, Trust
from hsm.cli.sync.options.project import load_current_config, make_connection


def log_in(target: TargetArgument, trust: Trust = False) -> None:
    """Open the shared login to a target, in the foreground: passwords and second factors are asked for here.

    Later commands use it without asking, until `hsm sync logout` or ten minutes without use.
    """
    from hsm.cli.render import show_lines
    from hsm.process.terminal import has_terminal

    connection = make_connection(target, is_trusted=trust)
    connection.login(may_ask=has_terminal())
    if connection.is_folder:
        show_lines([f"{target} is a folder of this machine: there is no login."])
        return
    minutes = connection.login_lasts_seconds // 60
    stays = f"The login stays open for {minutes} minutes after its last use." if minutes else "It ends with this call."
    show_lines([f"Logged in to {target}. {stays}"])


def log_out(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[TARGET]", help="A configured target.", autocompletion=complete_target),
    ] = None,
    trust: Trust = False,
) -> None:
    """Close the shared login to a target, or to all."""
    from hsm.cli.render import show_lines

    names = [target] if target else list(load_current_config().config.sync_targets)
    for name in names:
        was_open = make_connection(name, is_trusted=trust).logout()
        show_lines([f"Logged out of {name}." if was_open else f"There was no open login to {name}."])
