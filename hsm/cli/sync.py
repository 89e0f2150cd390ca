"""`hsm sync`: the commands that bring sweeps home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hsm.cli.arguments import (
    Assignments,
    Exclude,
    Include,
    Json,
    Newest,
    Runs,
    Since,
    Sweeps,
    SweepsOrAsk,
    TargetName,
    Targets,
    ToSweeps,
    ToWandb,
    Trust,
    complete_sweep,
    complete_target,
    load,
    load_targets,
    make_connection,
    parse_overrides,
)
from hsm.cli.choices import check_allowed, choose_roots, parse_choice
from hsm.cli.clean import clean
from hsm.cli.doctor import doctor
from hsm.cli.follow import Continuous, Expect, Interval, Settle, Stale, follow_sweeps, parse_follow
from hsm.cli.pick import choose_sweeps, list_offers_here
from hsm.cli.pull import receive_from, show_sweeps
from hsm.cli.report import report
from hsm.cli.resolved import make_settings_document, show_resolved
from hsm.cli.status import status
from hsm.errors import TargetError, UsageError

app = typer.Typer(
    help="Bring the results of sweeps home: configure, preview, send, log in.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def init(
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

    folder = Path.cwd() / ".hsm"
    template = make_template(check_project_name(Path.cwd().name if project_name is None else project_name))
    path = folder / "sync_config.yaml"
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        ignore = folder / ".gitignore"
        if force or not ignore.exists():
            ignore.write_text(GITIGNORE, encoding="utf-8")
        if path.exists() and not force:
            raise UsageError(
                f"{path} exists already.",
                hint="Edit it, or replace it with `hsm sync init --force`.",
                kind="config_exists",
            )
        path.write_text(template, encoding="utf-8")
    except OSError as error:
        raise TargetError(
            f"{folder} cannot be written: {error.strerror}.", hint="Check its permissions.", kind="no_permission"
        ) from error
    show_lines(
        [
            f"Written: {path}",
            "Next: set host and paths there, look with `hsm sync list`,",
            "then preview with `hsm sync to latest --dry-run`.",
        ]
    )


@app.command(name="list")
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
    assignments: Assignments = None,
    to_sweeps: ToSweeps = None,
    to_wandb: ToWandb = None,
    as_json: Json = False,
) -> None:
    """Show the configured targets and their settings.

    With --sweeps, the sweeps that there are: runs by state, size, newest change; of this project, or at a target as
    with `hsm sync list --sweeps -t hpc`.

    With --resolved, what `hsm sync to SWEEP` with the same --set, --to-sweeps and --to-wandb would use:
    `hsm sync list --resolved latest --set options.parallel_transfers=8`.
    """
    if resolved is not None:
        overrides = parse_overrides(assignments, to_sweeps, to_wandb)
        show_resolved(resolved, target or (), overrides, as_json=as_json)
        return
    if sweeps and not (assignments or to_sweeps or to_wandb):
        show_sweeps(target or (), as_json=as_json)
        return
    if target or assignments or to_sweeps is not None or to_wandb is not None:
        raise UsageError(
            "--target, --set, --to-sweeps and --to-wandb go with --resolved here.",
            hint="Try `hsm sync list --resolved latest`.",
            kind="usage",
        )
    loaded = load()
    if as_json:
        document = {
            "schema": 1,
            "command": "sync list",
            "exit_code": 0,
            "error": None,
            "config": str(loaded.path),
            "project": str(loaded.project),
            **make_settings_document(loaded.config),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    from hsm.cli.render import show_targets

    show_targets(loaded)


@app.command(name="run", hidden=True)
@app.command(name="to")
def send_to(
    sweeps: SweepsOrAsk = None,
    target: Targets = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show the plan that would be carried out; touch nothing.")
    ] = False,
    sweep_only: Annotated[
        bool, typer.Option("--sweep-only", help="Only the sweep folder, not its wandb runs.")
    ] = False,
    wandb_only: Annotated[
        bool, typer.Option("--wandb-only", help="Only the wandb runs, not the sweep folder.")
    ] = False,
    runs: Runs = None,
    include: Include = None,
    exclude: Exclude = None,
    since: Since = None,
    newest: Newest = None,
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="Also superseded media and artifact versions.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also send over files that are newer at the target.")
    ] = False,
    assignments: Assignments = None,
    to_sweeps: ToSweeps = None,
    to_wandb: ToWandb = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Waive a safety check by its name; may be given several times."),
    ] = None,
    break_lock: Annotated[
        bool, typer.Option("--break-lock", help="Take the sweep's lock although somebody seems to hold it.")
    ] = False,
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
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Show every file, and raw messages of failures."
        ),
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no summary; only what went wrong.")
    ] = False,
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
    from hsm.remote.early import early_logins
    from hsm.remote.openssh import has_terminal
    from hsm.sync.push import PushRequest, push
    from hsm.sync.report import make_document

    following = parse_follow(
        continuous=continuous, interval=interval, expect=expect, settle=settle, stale=stale, is_dry_run=dry_run
    )
    roots = choose_roots(sweep_only=sweep_only, wandb_only=wandb_only)
    choice = parse_choice(runs, include, exclude, since=since, newest=newest)
    overrides = parse_overrides(assignments, to_sweeps, to_wandb)
    loaded, targets = load_targets(target or (), is_trusted=trust, overrides=overrides, remembers=True)
    chosen = choose_sweeps(sweeps, lambda: list_offers_here(loaded, targets), command="sync to", as_json=as_json)
    if not chosen:
        return
    request = PushRequest(
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


@app.command(name="verify")
def verify_sweeps(
    sweeps: Sweeps,
    target: Targets = None,
    runs: Runs = None,
    include: Include = None,
    exclude: Exclude = None,
    since: Since = None,
    newest: Newest = None,
    trust: Trust = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing where all is equal.")] = False,
) -> None:
    """Compare sweeps with their targets by checksum: both ends read every file that counts. Changes nothing.

    Exit codes: 0 all that counts is equal, 1 something differs or is missing there (it is listed), 2 usage or
    configuration, 10 target unreachable or login refused, 130 interrupted.
    """
    from hsm.cli.render import make_reporter, show_lines
    from hsm.remote.command import Runner
    from hsm.remote.openssh import has_terminal
    from hsm.sync.verify import describe_verdicts, make_verify_document, verify

    choice = parse_choice(runs, include, exclude, since=since, newest=newest)
    loaded, targets = load_targets(target or (), is_trusted=trust)
    may_ask = has_terminal() and not as_json
    with make_reporter(is_quiet=quiet, targets=list(targets)) as reporter:
        report = verify(loaded, sweeps, targets, runner=Runner(), reporter=reporter, may_ask=may_ask, choice=choice)
    if as_json:
        typer.echo(json.dumps(make_verify_document(report), indent=2))
    elif not quiet or report.exit_code:
        show_lines(describe_verdicts(report))
    raise typer.Exit(int(report.exit_code))


app.command(name="from")(receive_from)
app.command(name="status")(status)
app.command(name="clean")(clean)
app.command(name="doctor")(doctor)
app.command(name="report")(report)


@app.command()
def login(target: TargetName, trust: Trust = False) -> None:
    """Open the shared login to a target, in the foreground: passwords and second factors are asked for here.

    Later commands use it without asking, until `hsm sync logout` or ten minutes without use.
    """
    from hsm.cli.render import show_lines
    from hsm.remote.openssh import has_terminal

    connection = make_connection(target, is_trusted=trust)
    connection.login(may_ask=has_terminal())
    if connection.is_folder:
        show_lines([f"{target} is a folder of this machine: there is no login."])
        return
    minutes = connection.login_lasts_seconds // 60
    stays = f"The login stays open for {minutes} minutes after its last use." if minutes else "It ends with this call."
    show_lines([f"Logged in to {target}. {stays}"])


@app.command()
def logout(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[TARGET]", help="A configured target.", autocompletion=complete_target),
    ] = None,
    trust: Trust = False,
) -> None:
    """Close the shared login to a target, or to all."""
    from hsm.cli.render import show_lines

    names = [target] if target else list(load().config.sync_targets)
    for name in names:
        was_open = make_connection(name, is_trusted=trust).logout()
        show_lines([f"Logged out of {name}." if was_open else f"There was no open login to {name}."])


def _import_rest() -> None:
    """Import what a sync needs once the target has answered, while it has not."""
    import hsm.cli.render.report
    import hsm.discover.secrets
    import hsm.transfer.pool
    import hsm.transfer.rsync  # noqa: F401 - used by name elsewhere
