"""`hsm sync`: the commands that bring sweeps home."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.cli.arguments import (
    Json,
    Sweeps,
    TargetName,
    Targets,
    Trust,
    complete_target,
    load,
    load_targets,
    make_ssh,
)
from hsm.cli.doctor import doctor
from hsm.errors import TargetError, UsageError

if TYPE_CHECKING:
    from hsm.model import Root

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
def list_targets(as_json: Json = False) -> None:
    """Show the configured targets and their settings."""
    loaded = load()
    if as_json:
        document = {
            "schema": 1,
            "command": "sync list",
            "exit_code": 0,
            "error": None,
            "config": str(loaded.path),
            "project": str(loaded.project),
            **loaded.config.model_dump(mode="json"),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    from hsm.cli.render import show_targets

    show_targets(loaded)


@app.command(name="run", hidden=True)
@app.command(name="to")
def send_to(
    sweeps: Sweeps,
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
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="Also superseded media and artifact versions.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also send over files that are newer at the target.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", help="Waive a safety check by its name; may be given several times."),
    ] = None,
    break_lock: Annotated[
        bool, typer.Option("--break-lock", help="Take the sweep's lock although somebody seems to hold it.")
    ] = False,
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

    For example `hsm sync to latest --dry-run`, or `hsm sync to sweep_20251020_212836 -t desktop -t backup`.

    Exit codes: 0 all done, 1 some items failed or are unsettled, 2 usage or configuration, 10 target unreachable
    or login refused, 11 locked, 12 refused by a safety check, 130 interrupted.
    """
    from hsm.cli.render import make_reporter, show_report
    from hsm.remote.command import Runner
    from hsm.remote.openssh import has_terminal
    from hsm.sync.push import PushRequest, push
    from hsm.sync.report import make_document

    roots = _choose_roots(sweep_only=sweep_only, wandb_only=wandb_only)
    loaded, targets = load_targets(target or (), is_trusted=trust)
    request = PushRequest(
        sweeps=tuple(sweeps),
        targets=targets,
        is_dry_run=dry_run,
        roots=roots,
        all_versions=all_versions,
        overwrite=overwrite,
        allowed=_check_allowed(allow or ()),
        may_ask=has_terminal() and not as_json,
        breaks_lock=break_lock,
    )
    with make_reporter(is_quiet=quiet, targets=list(request.targets)) as reporter:
        report = push(loaded, request, runner=Runner(), reporter=reporter)
    if as_json:
        document = make_document(report, with_plan=dry_run or verbose > 0)
        typer.echo(json.dumps(document, indent=2))
    else:
        show_report(report, verbosity=verbose, is_quiet=quiet)
    raise typer.Exit(int(report.exit_code))


@app.command(name="verify")
def verify_sweeps(
    sweeps: Sweeps,
    target: Targets = None,
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

    loaded, targets = load_targets(target or (), is_trusted=trust)
    may_ask = has_terminal() and not as_json
    with make_reporter(is_quiet=quiet, targets=list(targets)) as reporter:
        report = verify(loaded, sweeps, targets, runner=Runner(), reporter=reporter, may_ask=may_ask)
    if as_json:
        typer.echo(json.dumps(make_verify_document(report), indent=2))
    elif not quiet or report.exit_code:
        show_lines(describe_verdicts(report))
    raise typer.Exit(int(report.exit_code))


app.command(name="doctor")(doctor)


@app.command()
def login(target: TargetName, trust: Trust = False) -> None:
    """Open the shared login to a target, in the foreground: passwords and second factors are asked for here.

    Later commands use it without asking, until `hsm sync logout` or ten minutes without use.
    """
    from hsm.cli.render import show_lines
    from hsm.remote.openssh import PERSIST_SECONDS, has_terminal

    ssh = make_ssh(target, is_trusted=trust)
    ssh.login(may_ask=has_terminal())
    show_lines([f"Logged in to {target}. The login stays open for {PERSIST_SECONDS // 60} minutes after its last use."])


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
        was_open = make_ssh(name, is_trusted=trust).logout()
        show_lines([f"Logged out of {name}." if was_open else f"There was no open login to {name}."])


def _choose_roots(*, sweep_only: bool, wandb_only: bool) -> tuple[Root, ...]:
    from hsm.model import Root

    if sweep_only and wandb_only:
        raise UsageError(
            "--sweep-only and --wandb-only leave nothing to bring.",
            hint="Give one of them, or neither to bring both.",
            kind="usage",
        )
    return (Root.SWEEPS,) if sweep_only else (Root.WANDB,) if wandb_only else tuple(Root)


def _check_allowed(names: list[str] | tuple[()]) -> frozenset[str]:
    from hsm.plan.safety import CHECKS

    for name in names:
        if name not in CHECKS:
            known = "; ".join(f"{check}: {meaning}" for check, meaning in CHECKS.items())
            raise UsageError(f"There is no safety check {name!r}.", hint=f"There are: {known}.", kind="usage")
    return frozenset(names)
