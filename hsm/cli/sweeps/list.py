"""`hsm sweep list`: shows the sweeps that were prepared here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsm.errors import ExitCode, TargetError


def list_prepared_sweeps(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """List the sweeps that were prepared in this project, the oldest first."""
    from hsm.cli.render.sweeps import show_sweep_list
    from hsm.file_errors import explain_os_error
    from hsm.sweeps.listing import list_prepared
    from hsm.sweeps.project.load import load_settings

    # Nothing is run, so nothing has to be trusted and no warning is due.
    settings = load_settings(Path.cwd(), is_trusted=True)
    try:
        found = list_prepared(settings.outputs)
    except OSError as error:
        reason, hint = explain_os_error(error, settings.outputs)
        message = f"{settings.outputs} cannot be read: {reason}"
        raise TargetError(message, hint=hint, kind="no_permission") from None
    show_sweep_list(found, outputs=settings.file.paths.output_dir, as_json=as_json)
    if any(sweep.problem for sweep in found):
        raise typer.Exit(int(ExitCode.PARTIAL))
