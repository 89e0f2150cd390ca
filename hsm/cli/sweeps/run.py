"""`hsm sweep run`: shows, prepares and submits the tasks of a sweep."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from hsm.cli.sweeps.opening import ForceOption, GpusOption, ParallelOption, WaitOption, check_gpus
from hsm.cli.sweeps.options import ConfigOption, TrustOption, find_definition, parse_resources
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
    extend: Annotated[
        str | None, typer.Option(metavar="SWEEP", help="Add the tasks that this sweep does not have yet.")
    ] = None,
    parallel: ParallelOption = None,
    gpus: GpusOption = None,
    force: ForceOption = False,
    wait: WaitOption = None,
    trust: TrustOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document.")] = False,
) -> None:
    """Make the tasks of a sweep, and show, prepare or submit them.

    The definition says what is varied. First the sweep's folder is written, complete: tasks, arguments and a snapshot
    of the code, so that a task that waits for days runs what was there now. Then its tasks are submitted.

    Exit codes: 0 all submitted, and completed where it waits; 1 some not; 2 usage or configuration.
    """
    from hsm.cli.render import show_note
    from hsm.cli.render.sweeps import show_draft, show_prepared
    from hsm.cli.sweeps.extension import extend_named
    from hsm.cli.sweeps.submit import finish_submitting
    from hsm.process.runner import Runner
    from hsm.sweeps.definition.load import load_definition
    from hsm.sweeps.draft import SweepRequest, check_most, make_draft
    from hsm.sweeps.names import check_new_name, make_sweep_name
    from hsm.sweeps.prepare import prepare_sweep
    from hsm.sweeps.project.load import load_settings
    from hsm.sweeps.submitted.open_sweep import open_sweep
    from hsm.sweeps.submitted.submit import SubmitOptions, submit_sweep

    now = datetime.now(timezone.utc)
    settings = load_settings(Path.cwd(), is_trusted=trust)
    for line in settings.warnings:
        show_note(f"Warning: {line}")
    definition = load_definition(*find_definition(config, settings))
    most = check_most(max_runs)
    if count_only:
        _show_count(min(most or len(definition.tasks), len(definition.tasks)), as_json=as_json)
        return
    for notice in settings.notices:
        show_note(f"Note: {notice}")
    request = SweepRequest(
        definition=definition,
        settings=settings,
        name=check_new_name(name) if name is not None else make_sweep_name(now),
        mode=mode,
        code=code,
        most_tasks=most,
        asked=parse_resources(walltime, mem, sbatch or ()),
    )
    runner, chosen_gpus = Runner(), check_gpus(gpus)
    # Further tasks run the code of the sweep that they are added to.
    draft = make_draft(request, runner, dry_run=dry_run or extend is not None)
    if extend is not None:
        is_last = dry_run or prepare
        found = extend_named(settings, extend, draft, dry_run=dry_run, is_last=is_last, as_json=as_json)
    elif dry_run:
        show_draft(draft, as_json=as_json)
        return
    else:
        folder = prepare_sweep(draft, now)
        found = folder.folder.name
        if prepare or not as_json:
            show_prepared(draft, folder, as_json=as_json)
    if dry_run or prepare:
        return
    opened = open_sweep(settings, found, runner)
    submitted = submit_sweep(opened, SubmitOptions(mode, parallel or 0, chosen_gpus, force=force), tell=show_note)
    finish_submitting(opened, submitted, "sweep run", mode, wait=wait, as_json=as_json)


def _show_count(count: int, *, as_json: bool) -> None:
    from hsm.cli.json_document import print_document

    if as_json:
        print_document("sweep run", {"n_tasks": count})
    else:
        typer.echo(count)
