"""`hsm sweep run`: shows and prepares the tasks of a sweep."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from hsm.cli.sweeps.options import ConfigOption, TrustOption, find_definition, parse_resources
from hsm.errors import UsageError
from hsm.prepared_sweep.document import SweepMode
from hsm.sweeps.code.capture import CodeChoice


def run_sweep(
    config: ConfigOption = None,
    mode: Annotated[SweepMode, typer.Option(help="How tasks are started.")] = SweepMode.AUTO,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show everything, write nothing.")] = False,
    count_only: Annotated[bool, typer.Option("--count-only", help="Print the number of tasks alone.")] = False,
    prepare: Annotated[bool, typer.Option("--prepare", help="Write the sweep's folder, and submit nothing.")] = False,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sweep's id.", show_default="sweep_ and the time")
    ] = None,
    max_runs: Annotated[int | None, typer.Option(metavar="N", help="Only the first tasks.", show_default="all")] = None,
    code: Annotated[
        CodeChoice, typer.Option(help="What tasks run: a snapshot in a git repository, or the project as it is.")
    ] = CodeChoice.AUTO,
    walltime: Annotated[str | None, typer.Option(metavar="HH:MM:SS", help="The time limit of a task.")] = None,
    mem: Annotated[str | None, typer.Option(metavar="SIZE", help="Memory of a node, for example 16G.")] = None,
    sbatch: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A further long option of sbatch; repeatable.")
    ] = None,
    trust: TrustOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """Make the tasks of a sweep, and show or prepare them.

    The definition says what is varied. With --prepare the sweep's folder is written, complete: tasks, arguments and a
    snapshot of the code, so that what is submitted later runs what was there now.
    """
    from hsm.cli.render import show_note
    from hsm.cli.render.sweeps import show_draft, show_prepared
    from hsm.process.runner import Runner
    from hsm.sweeps.definition.load import load_definition
    from hsm.sweeps.draft import SweepRequest, check_most, make_draft
    from hsm.sweeps.names import check_name, make_sweep_name
    from hsm.sweeps.prepare import prepare_sweep
    from hsm.sweeps.project.load import load_settings

    now = datetime.now(timezone.utc)
    settings = load_settings(Path.cwd(), is_trusted=trust)
    for line in settings.warnings:
        show_note(f"Warning: {line}")
    definition = load_definition(*find_definition(config, settings))
    most = check_most(max_runs)
    if count_only:
        _show_count(min(most or len(definition.tasks), len(definition.tasks)), as_json=as_json)
        return
    if not dry_run and not prepare:
        raise UsageError(
            "Submitting tasks is not part of this version.",
            hint="See the tasks with `--dry-run`, or write the sweep's folder with `--prepare`.",
            kind="usage",
        )
    for notice in settings.notices:
        show_note(f"Note: {notice}")
    request = SweepRequest(
        definition=definition,
        settings=settings,
        name=check_name(name) if name is not None else make_sweep_name(now),
        mode=mode,
        code=code,
        most_tasks=most,
        asked=parse_resources(walltime, mem, sbatch or ()),
    )
    draft = make_draft(request, Runner(), dry_run=dry_run)
    if dry_run:
        show_draft(draft, as_json=as_json)
    else:
        show_prepared(draft, prepare_sweep(draft, now), as_json=as_json)


def _show_count(count: int, *, as_json: bool) -> None:
    from hsm.cli.json_document import print_document

    if as_json:
        print_document("sweep run", {"n_tasks": count})
    else:
        typer.echo(count)
