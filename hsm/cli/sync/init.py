"""`hsm sync init`: writes a configuration to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsm.errors import TargetError, UsageError


def write_config(
    project_name: Annotated[
        str | None,
        typer.Option(help="The project's name in the template's paths.", show_default="the folder's name"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration that exists.")] = False,
) -> None:
    """Write a commented configuration to .hsm/sync_config.yaml, to be adapted.

    Nothing that exists is overwritten unless --force says so.
    """
    from hsm.cli.render import show_lines
    from hsm.config.template import GITIGNORE, check_project_name, make_template
    from hsm.file_errors import explain_os_error
    from hsm.project_folder import ProjectFolder
    from hsm.user_files import write_config_file

    own = ProjectFolder(Path.cwd())
    folder, path = own.path, own.config
    template = make_template(check_project_name(Path.cwd().name if project_name is None else project_name))
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        if force or not own.ignore.exists():
            write_config_file(own.ignore, GITIGNORE)
        if path.exists() and not force:
            raise UsageError(
                f"{path} exists already.",
                hint="Edit it, or replace it with `hsm sync init --force`.",
                kind="config_exists",
            )
        write_config_file(path, template)
    except OSError as error:
        reason, hint = explain_os_error(error, folder)
        raise TargetError(f"{folder} cannot be written: {reason}.", hint=hint, kind="no_permission") from error
    show_lines(
        [
            f"Written: {path}",
            "Next: set host and paths there, look with `hsm sync list`,",
            "then preview with `hsm sync to latest --dry-run`.",
        ]
    )
