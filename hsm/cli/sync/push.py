"""`hsm sync to`: brings sweeps to targets."""

from __future__ import annotations

import json
from typing import Annotated

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
    SweepsOrAsk,
    Targets,
    ToSweeps,
    ToWandb,
    Trust,
    Verbose,
    WandbOnly,
)
from hsm.cli.sync.options.follow import Continuous, Expect, Interval, Settle, Stale, follow_sweeps, parse_follow
from hsm.cli.sync.options.pick import choose_sweeps, list_offers_here
from hsm.cli.sync.options.project import load_targets, parse_overrides


def send_to(
    sweeps: SweepsOrAsk = None,
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
        bool, typer.Option("--overwrite", help="Also send over files that are newer at the target.")
    ] = False,
    assignments: Assignments = None,
    to_sweeps: ToSweeps = None,
    to_wandb: ToWandb = None,
    allow: Allow = None,
    break_lock: BreakLock = False,
    no_after_sync: Annotated[
        bool, typer.Option("--no-after-sync", help="Do nothing of what the targets' after_sync says.")
    ] = False,
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
    """Bring sweeps to targets: their folders and the wandb runs that belong to them.

    Run it as often as you like, also while the sweep still runs: only what is new or changed is sent, nothing is
    ever deleted at a target, and what is newer there is kept. `hsm sync run` is the same command.

    For example `hsm sync to latest --dry-run`, or `hsm sync to sweep_20251020_212836 -t desktop -t backup`. With
    --continuous it goes on until every expected run has ended and is complete there. Without SWEEP, a list to choose
    from, in a terminal.

    --runs, --include, --exclude, --since and --newest choose for this call alone: what they leave is pending still, and
    such a run is not complete.

    Exit codes: 0 all done, 1 some items failed or are unsettled, 2 usage or configuration, 10 target unreachable
    or login refused, 11 locked, 12 refused by a safety check, 130 interrupted.
    """
    from hsm.cli.render import make_reporter
    from hsm.remote.openssh.client import has_terminal
    from hsm.remote.openssh.early_login import early_logins
    from hsm.sync.bring.push import push
    from hsm.sync.reports import make_document
    from hsm.sync.request import SyncRequest

    following = parse_follow(
        continuous=continuous, interval=interval, expect=expect, settle=settle, stale=stale, is_dry_run=dry_run
    )
    roots = parse_roots(sweep_only=sweep_only, wandb_only=wandb_only)
    choice = parse_choice(runs, include, exclude, since=since, newest=newest)
    overrides = parse_overrides(assignments, to_sweeps, to_wandb)
    loaded, targets = load_targets(target or (), is_trusted=trust, overrides=overrides)
    chosen = choose_sweeps(sweeps, lambda: list_offers_here(loaded, targets), command="sync to", as_json=as_json)
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
        does_after_sync=not no_after_sync,
        lists_files=as_json and verbose > 0,
    )
    if following is not None:
        follow_sweeps(
            loaded,
            request,
            following,
            pulls=False,
            runner=early_logins.take_runner(),
            as_json=as_json,
            verbosity=verbose,
            is_quiet=quiet,
        )
    with make_reporter(is_quiet=quiet, targets=list(request.targets)) as reporter:
        runner = early_logins.take_runner()
        report = push(loaded, request, runner=runner, reporter=reporter, meanwhile=_import_rest)
    if as_json:
        document = make_document(report, with_plan=dry_run or verbose > 0)
        typer.echo(json.dumps(document, indent=2))
    else:
        from hsm.cli.render import show_report

        show_report(report, verbosity=verbose, is_quiet=quiet)
    raise typer.Exit(int(report.exit_code))


def _import_rest() -> None:
    """Import what a sync needs once the target has answered, while it has not: first what is needed first."""
    from importlib import import_module

    for name in (
        "hsm.transfer.rsync.engine",
        "hsm.transfer.rounds",
        "hsm.discover.secrets",
        "hsm.cli.render.sync.report",
    ):
        import_module(name)
