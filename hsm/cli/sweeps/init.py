"""`hsm sweep init`: writes the files to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hsm.cli.sweeps.options import DEFAULT_DEFINITION
from hsm.errors import TargetError, UsageError


def write_sweep_files(
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write .hsm/config.yaml and sweeps/sweep.yaml with comments, to be adapted.

    Nothing that exists is overwritten unless --force says so. Of several train*.py none is picked: all are named.
    """
    from hsm.cli.render import show_lines
    from hsm.file_errors import explain_os_error
    from hsm.project_folder import ProjectFolder
    from hsm.sweeps.draft import list_scripts
    from hsm.sweeps.project.template import make_definition_template, make_settings_template
    from hsm.user_files import write_config_file

    project = Path.cwd()
    own = ProjectFolder(project)
    scripts = list_scripts(project)
    definition = project / DEFAULT_DEFINITION
    texts = {
        own.settings: make_settings_template(project.name, scripts),
        definition: make_definition_template(scripts),
    }
    wanted = {path: text for path, text in texts.items() if force or not path.exists()}
    if not wanted:
        raise UsageError(
            f"{own.settings} and {definition} exist already.",
            hint="Edit them, or replace them with `hsm sweep init --force`.",
            kind="config_exists",
        )
    try:
        for path, text in wanted.items():
            path.parent.mkdir(mode=0o755, exist_ok=True)
            write_config_file(path, text)
    except OSError as error:
        reason, hint = explain_os_error(error, path)
        raise TargetError(f"{path} cannot be written: {reason}.", hint=hint, kind="no_permission") from error
    lines = [f"{'Written' if path in wanted else 'Kept'}: {path}" for path in texts]
    if len(scripts) > 1:
        lines += [f"There are several training scripts: {', '.join(scripts)}."]
        lines += [f"Next: name one as `script` in {DEFAULT_DEFINITION},"]
    elif not scripts:
        lines += [f"Next: name your training script as `script` in {DEFAULT_DEFINITION},"]
    else:
        lines += [f"Next: say in {DEFAULT_DEFINITION} what is varied,"]
    show_lines([*lines, "then look at the tasks with `hsm sweep run --dry-run`."])
