"""`hsm sync list`: shows the configured targets, and the sweeps that there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.cli.json_document import print_document
from hsm.cli.sync.options.completions import complete_sweep, complete_target
from hsm.cli.sync.options.declarations import Assignments, Json, ToSweeps, ToWandb
from hsm.cli.sync.options.project import load_current_config, load_targets
from hsm.cli.sync.resolved import make_settings_document, show_resolved
from hsm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def list_targets(
    resolved: Annotated[
        str | None,
        typer.Option(
            metavar="SWEEP",
            help="Show every value that targets have for a sweep, and where it comes from.",
            autocompletion=complete_sweep,
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="With --resolved or --sweeps: this target; may be given several times.",
            autocompletion=complete_target,
            show_default="all, or this project",
        ),
    ] = None,
    sweeps: Annotated[
        bool,
        typer.Option("--sweeps", help="Show the sweeps of this project, or with --target those that lie there."),
    ] = False,
    shows_all: Annotated[
        bool, typer.Option("--all", help="With --sweeps: all of them, not only the 40 newest.", show_default=False)
    ] = False,
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="With --resolved: refuse a sweep without this run; alone: the sweep that it is in.",
            show_default=False,
        ),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --resolved: refuse a sweep without a run of this project of wandb's."),
    ] = None,
    assignments: Assignments = None,
    to_sweeps: ToSweeps = None,
    to_wandb: ToWandb = None,
    as_json: Json = False,
) -> None:
    """Show the configured targets and their settings.

    With --sweeps, the sweeps that there are: kind, runs by state, size, newest change; of this project, or at a target
    as with `hsm sync list --sweeps -t hpc`. Wandb folders are searched for anew.

    With --resolved, what `hsm sync to SWEEP` with the same --set, --to-sweeps and --to-wandb would use:
    `hsm sync list --resolved latest --set options.parallel_transfers=8`.
    """
    if (resolved is not None or run) and not sweeps:
        from hsm.plan.choice import RunChoice
        from hsm.sync.call import list_asked, parse_overrides

        choice = RunChoice(names=frozenset(run or ()), project=project or "")
        asked = list_asked(resolved and [resolved], {"run": run or (), "all": shows_all})
        overrides = parse_overrides(assignments, to_sweeps=to_sweeps, to_wandb=to_wandb)
        show_resolved(asked, target or (), overrides, choice, as_json=as_json)
        return
    if sweeps and not (run or project or assignments or to_sweeps or to_wandb):
        _show_sweeps(target or (), shows_all=shows_all, as_json=as_json)
        return
    if shows_all:
        raise UsageError("--all goes with --sweeps here.", hint="Try `hsm sync list --sweeps --all`.", kind="usage")
    if target or run or project or assignments or to_sweeps is not None or to_wandb is not None:
        raise UsageError(
            "--target, --run, --project, --set, --to-sweeps and --to-wandb go with --resolved here.",
            hint="Try `hsm sync list --resolved latest`.",
            kind="usage",
        )
    loaded = load_current_config()
    if as_json:
        places = {"config": str(loaded.path), "project": str(loaded.project)}
        print_document("sync list", {**places, **make_settings_document(loaded.config)})
        return
    from hsm.cli.render import show_targets

    show_targets(loaded)


def _show_sweeps(names: Sequence[str], *, shows_all: bool, as_json: bool) -> None:
    """Print the sweeps of this project, or those at targets.

    Args:
        names: Targets; none means this project.
        shows_all: However many there are; a document has all in any case.
        as_json: Print a document.
    """
    from hsm.process.runner import Runner
    from hsm.process.terminal import has_terminal
    from hsm.sync.status.overview import list_sweeps_at, list_sweeps_here, make_overview_document

    if names:
        loaded, targets = load_targets(names, is_trusted=False)
        places = list_sweeps_at(loaded, targets, runner=Runner(), may_ask=has_terminal() and not as_json)
    else:
        places = (list_sweeps_here(load_current_config()),)
    document = make_overview_document(places)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        from hsm.cli.render.sync.sweeps import show_places

        show_places(places, shows_all=shows_all)
    raise typer.Exit(int(str(document["exit_code"])))
