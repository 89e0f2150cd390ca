"""`hsm sync init`: writes a configuration to begin with."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.cli.sync.options.declarations import Json
from hsm.errors import TargetError, UsageError
from hsm.project_folder import ProjectFolder

if TYPE_CHECKING:
    from hsm.config.template.address import ProjectAddress


@dataclass(frozen=True, slots=True)
class Beginning:
    """Content of a new configuration.

    Attributes:
        text: The file.
        target: The name of its target; empty for the template, which is to be edited.
        direction: `pull` or `push`; empty likewise.
    """

    text: str
    target: str = ""
    direction: str = ""


def write_config(
    pull: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PATH", help="This project gets its sweeps from there, as `me@hpc:/path/to/project`."
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="HOST:PATH", help="This project sends its sweeps there, as `me@desktop:code/project`."),
    ] = None,
    project_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The project's name in the template's paths.", show_default="the folder's name"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration that exists.")] = False,
    as_json: Json = False,
) -> None:
    """Write .hsm/sync_config.yaml, so that this project can sync.

    In a terminal it asks a few questions, then checks the target as `hsm sync doctor` does. With --pull or --push it
    asks nothing. Without a terminal it writes a template with comments, to be edited.

    Nothing that exists is overwritten unless --force says so.
    """
    from hsm.process.terminal import has_terminal

    own = ProjectFolder(Path.cwd())
    _check_free(own, force=force)
    is_seen = has_terminal() and not as_json
    if pull is not None or push is not None:
        beginning = _read_options(pull, push, project_name)
    elif is_seen and project_name is None:
        from hsm.cli.sync.dialogue import ask_address

        direction, address = ask_address(own.project)
        beginning = _make_beginning(direction, address)
    else:
        from hsm.config.template.commented import check_project_name, make_template

        name = check_project_name(own.project.name if project_name is None else project_name)
        beginning = Beginning(make_template(name))
    _save(own, beginning.text, force=force)
    _show(own, beginning, as_json=as_json)
    if is_seen and beginning.target:
        _examine(beginning.target)


def _read_options(pull: str | None, push: str | None, project_name: str | None) -> Beginning:
    from hsm.config.template.address import parse_address

    if pull is not None and push is not None:
        raise UsageError(
            "--pull and --push are two ways, of which a project begins with one.",
            hint="Give one of them, and add the other target to the file.",
            kind="usage",
        )
    if project_name is not None:
        raise UsageError("--project-name is for the template.", hint="Leave it out.", kind="usage")
    direction, text = ("pull", pull) if pull is not None else ("push", push)
    return _make_beginning(direction, parse_address(text or ""))


def _make_beginning(direction: str, address: ProjectAddress) -> Beginning:
    from hsm.config.load import parse_document
    from hsm.config.template.address import make_target_name
    from hsm.config.template.short import make_short_config

    target = make_target_name(address.host, other="hpc" if direction == "pull" else "desktop")
    text = make_short_config(target, address, direction=direction)
    parse_document(text, "the new configuration")  # what is refused later must not be written now
    return Beginning(text, target, direction)


def _check_free(own: ProjectFolder, *, force: bool) -> None:
    """Refuse to begin where a configuration is; said before anything is asked."""
    if os.path.lexists(own.config) and not force:
        raise UsageError(
            f"{own.config} exists already.",
            hint="Edit it, or replace it with `hsm sync init --force`.",
            kind="config_exists",
        )


def _save(own: ProjectFolder, text: str, *, force: bool) -> None:
    """Write the files, all of them or none."""
    from hsm.config.template.commented import GITIGNORE
    from hsm.file_errors import explain_os_error
    from hsm.user_files import create_config_file, write_config_file

    has_folder, has_ignore = own.path.exists(), own.ignore.exists()
    try:
        own.path.mkdir(mode=0o755, exist_ok=True)
        if force or not has_ignore:
            write_config_file(own.ignore, GITIGNORE)
        (write_config_file if force else create_config_file)(own.config, text)
    except BaseException as error:
        if not has_ignore:
            own.ignore.unlink(missing_ok=True)
        if not has_folder and own.path.is_dir():
            own.path.rmdir()
        if isinstance(error, FileExistsError):
            _check_free(own, force=False)
        if not isinstance(error, OSError):
            raise
        reason, hint = explain_os_error(error, own.path)
        raise TargetError(f"{own.path} cannot be written: {reason}.", hint=hint, kind="no_permission") from error


def _show(own: ProjectFolder, beginning: Beginning, *, as_json: bool) -> None:
    if as_json:
        from hsm.cli.json_document import print_document

        content = {
            "config": str(own.config),
            "project": str(own.project),
            "target": beginning.target or None,
            "direction": beginning.direction or None,
        }
        print_document("sync init", content)
        return
    from hsm.cli.render.printer import Printer

    name = shlex.quote(beginning.target)
    hints = {
        "pull": f"`hsm sync list --sweeps -t {name}` shows the sweeps there, `hsm sync from latest` gets the newest of "
        "them (add --dry-run to look first).",
        "push": "`hsm sync to latest` sends the newest sweep (add --dry-run to look first), "
        f"`hsm sync doctor {name}` checks in advance what that needs.",
        "": "put your own machine into it, or have it written by "
        "`hsm sync init --force --pull me@hpc:/path/to/project`; then `hsm sync doctor` checks it.",
    }
    printer = Printer()
    printer.print_name(f"Written: {own.config}")
    printer.print_hint(hints[beginning.direction])


def _examine(target: str) -> None:
    """Check the new target; what is wrong there does not undo what was written."""
    from hsm.cli.render.printer import Printer
    from hsm.cli.sync.doctor import run_doctor

    printer = Printer()
    printer.print()
    printer.print(f"Checking {target}, as `hsm sync doctor` does. Ctrl-C ends that; the configuration stays.")
    printer.print()
    try:
        run_doctor(target=[target], trust=False, as_json=False, verbose=0)
    except typer.Exit:
        return
