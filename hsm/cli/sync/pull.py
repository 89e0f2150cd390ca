"""`hsm sync from`: brings sweeps from targets into this project; and the sweeps of `hsm sync list --sweeps`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.cli.sync.options.choice import check_allowed, parse_choice, parse_roots
from hsm.cli.sync.options.declarations import (
    Allow,
    AllVersions,
    Assignments,
    BreakLock,
    DryRun,
    Exclude,
    Include,
    Json,
    Newest,
    Quiet,
    Runs,
    Since,
    SweepOnly,
    Targets,
    Trust,
    Verbose,
    WandbOnly,
)
from hsm.cli.sync.options.follow import Continuous, Expect, Interval, Settle, Stale, follow_sweeps, parse_follow
from hsm.cli.sync.options.pick import choose_sweeps, list_offers_there
from hsm.cli.sync.options.project import load, load_targets, parse_overrides

if TYPE_CHECKING:
    from collections.abc import Sequence

FarSweeps = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SWEEP",
        help="Ids of sweeps at the target, unambiguous prefixes of ids, or `latest`.",
        show_default="asks, in a terminal",
    ),
]


def receive_from(
    sweeps: FarSweeps = None,
    target: Targets = None,
    dry_run: DryRun = False,
    sweep_only: SweepOnly = False,
    wandb_only: WandbOnly = False,
    runs: Runs = None,
    include: Include = None,
    exclude: Exclude = None,
    since: Since = None,
    newest: Newest = None,
    all_versions: AllVersions = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also bring what is a conflict: newer here, or from another place.")
    ] = False,
    assignments: Assignments = None,
    allow: Allow = None,
    break_lock: BreakLock = False,
    continuous: Continuous = False,
    interval: Interval = None,
    expect: Expect = None,
    settle: Settle = None,
    stale: Stale = None,
    trust: Trust = False,
    as_json: Json = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Bring sweeps from targets into this project: their folders and the wandb runs that belong to them.

    The other way round than `hsm sync to`, for clusters that cannot reach this machine: the target's `paths` are
    read, the project's own folders receive. Run it as often as you like: only what is new or changed comes, nothing
    is ever deleted here. A sweep that ran on two clusters is brought from both into one folder; a file that differs
    and came from another place is a conflict, and is kept.

    For example `hsm sync from latest -t hpc --dry-run`; `hsm sync list --sweeps -t hpc` shows what is there. With
    --continuous it goes on until every expected run has ended and is complete here. Without SWEEP, a list to choose
    from, in a terminal.

    --runs, --include, --exclude, --since and --newest choose for this call alone: what they leave is pending still, and
    such a run is not complete.

    Exit codes: 0 all done, 1 some items failed, are conflicts or unsettled, 2 usage or configuration, 10 target
    unreachable or login refused, 11 locked, 12 refused by a safety check, 130 interrupted.
    """
    from hsm.cli.render import make_reporter, show_report
    from hsm.remote.openssh.client import has_terminal
    from hsm.remote.openssh.early_login import early_logins
    from hsm.sync.bring.pull import pull
    from hsm.sync.reports import make_document
    from hsm.sync.request import SyncRequest

    following = parse_follow(
        continuous=continuous, interval=interval, expect=expect, settle=settle, stale=stale, is_dry_run=dry_run
    )
    roots = parse_roots(sweep_only=sweep_only, wandb_only=wandb_only)
    choice = parse_choice(runs, include, exclude, since=since, newest=newest)
    overrides = parse_overrides(assignments, None, None)
    loaded, targets = load_targets(target or (), is_trusted=trust, overrides=overrides)
    chosen = choose_sweeps(sweeps, lambda: list_offers_there(loaded, targets), command="sync from", as_json=as_json)
    if not chosen:
        return
    request = SyncRequest(
        sweeps=chosen,
        targets=targets,
        is_dry_run=dry_run,
        roots=roots,
        choice=choice,
        all_versions=all_versions,
        overwrite=overwrite,
        allowed=check_allowed(allow or ()),
        may_ask=has_terminal() and not as_json,
        breaks_lock=break_lock,
    )
    if following is not None:
        follow_sweeps(
            loaded,
            request,
            following,
            pulls=True,
            runner=early_logins.take_runner(),
            as_json=as_json,
            verbosity=verbose,
            is_quiet=quiet,
        )
    with make_reporter(is_quiet=quiet, targets=list(request.targets)) as reporter:
        report = pull(loaded, request, runner=early_logins.take_runner(), reporter=reporter)
    if as_json:
        typer.echo(json.dumps(make_document(report, with_plan=dry_run or verbose > 0), indent=2))
    else:
        show_report(report, verbosity=verbose, is_quiet=quiet)
    raise typer.Exit(int(report.exit_code))


def show_sweeps(names: Sequence[str], *, as_json: bool) -> None:
    """Print the sweeps of this project, or those at targets.

    Args:
        names: Targets; none means this project.
        as_json: Print a document.
    """
    from hsm.process.runner import Runner
    from hsm.remote.openssh.client import has_terminal
    from hsm.sync.status.overview import list_sweeps_at, list_sweeps_here, make_overview_document

    if names:
        loaded, targets = load_targets(names, is_trusted=False)
        places = list_sweeps_at(loaded, targets, runner=Runner(), may_ask=has_terminal() and not as_json)
    else:
        places = (list_sweeps_here(load()),)
    document = make_overview_document(places)
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        from hsm.cli.render.sync.sweeps import show_places

        show_places(places)
    raise typer.Exit(int(str(document["exit_code"])))
