"""`hsm sync clean`: frees the disk here of what is verified to lie, whole, at targets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.call_options import ChoiceOptions
from hsm.cli.sync.options.completions import complete_target
from hsm.cli.sync.options.declarations import All, Json, SweepsOrNone, Trust
from hsm.cli.sync.options.project import load_targets
from hsm.cli.sync.options.signature import make_option
from hsm.errors import UsageError

if TYPE_CHECKING:
    from hsm.config.loaded import LoadedConfig
    from hsm.sync.clean.clean import CleanRequest
    from hsm.sync.clean.report import CleanReport
    from hsm.sync.source import ProjectSource


def clean_sweep(
    sweeps: SweepsOrNone = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help="A target whose copies count; may be given several times.",
            autocompletion=complete_target,
            show_default="all that the sweep was brought to",
        ),
    ] = None,
    copies: Annotated[
        int, typer.Option(metavar="N", min=1, help="At how many targets, in different places, all must be.")
    ] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show what would go and what would stay; touch nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; for scripts.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Believe sizes and times at the targets in place of checksums.")
    ] = False,
    allow_superseded: Annotated[
        bool,
        typer.Option("--allow-superseded", help="Let superseded media go although they are at no target."),
    ] = False,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Only what nothing has been written to for so long, as `30d` or `12h`."),
    ] = None,
    run: Annotated[list[str] | None, make_option(ChoiceOptions, "run")] = None,
    project: Annotated[str | None, make_option(ChoiceOptions, "project")] = None,
    everything: All = False,
    sweep_only: Annotated[bool, typer.Option("--sweep-only", help="Only the sweep folder, not its runs.")] = False,
    wandb_only: Annotated[bool, typer.Option("--wandb-only", help="Only the runs, not the sweep folder.")] = False,
    trust: Trust = False,
    as_json: Json = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Show every run and every path.")
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no table; only what went wrong.")
    ] = False,
) -> None:
    """Remove from this machine what is proven to lie, whole, at targets.

    Run by run, and the sweep's folder last: only what has ended, is known as complete at a target, is the same there
    now by checksums that both ends take, and has not changed here since. Whatever lies here and is not there keeps
    its run, and is named. What was removed, and where it is, is written to .hsm/cleaned first; `hsm sync from` brings
    it back.

    For example `hsm sync clean latest --dry-run`, or `hsm sync clean latest --copies 2 --older-than 30d`. Runs that are
    in no sweep go by their age or one by one, also with --all: `hsm sync clean loose --older-than 30d`,
    `hsm sync clean --run ID`.

    Exit codes: 0 nothing is left but what goes on or is too young, 1 something stays that is not proven, or the
    answer was no, 2 usage or configuration, 10 no target could be reached, 11 locked, 130 interrupted.
    """
    from hsm.cli.render.sync.clean import show_clean
    from hsm.plan.choice import RunChoice, choose_roots
    from hsm.process.terminal import has_terminal
    from hsm.remote.local import LocalEndpoint
    from hsm.sync.call import list_asked
    from hsm.sync.clean.choice.sweeps import find_clean_sources
    from hsm.sync.clean.clean import CleanRequest
    from hsm.sync.clean.report import make_clean_document
    from hsm.sync.clean.values import CleanOptions
    from hsm.sync.reports import merge_exit_codes
    from hsm.units import parse_age

    if not (yes or dry_run) and (as_json or not has_terminal()):
        raise UsageError(
            "There is no terminal to ask in whether the results may be removed.",
            hint="Look with --dry-run, then give --yes.",
            kind="no_answer",
        )
    words = list_asked(sweeps, {"run": run or (), "all": everything})
    if not words:
        raise UsageError("No sweep was named.", hint="Try `hsm sync clean latest --dry-run`.", kind="usage")
    min_age_ns = 0 if older_than is None else parse_age(older_than, option="--older-than", kind="bad_age") * 10**9
    options = CleanOptions(copies, quick, allow_superseded, min_age_ns)
    loaded, _ = load_targets(target or tuple(_list_names()), is_trusted=trust)
    request = CleanRequest(
        options=options,
        roots=choose_roots(sweep_only=sweep_only, wandb_only=wandb_only),
        choice=RunChoice(names=frozenset(run or ()), project=project or ""),
        targets=tuple(dict.fromkeys(target or ())),
        is_dry_run=dry_run,
        may_ask=has_terminal() and not as_json,
        words=tuple(words),
    )
    reports = []
    for source in find_clean_sources(loaded, LocalEndpoint(), words, options, request.choice, request.targets):
        report = _clean(loaded, source, request, asks=not yes, shows=not as_json, verbosity=verbose, is_quiet=quiet)
        reports.append(report)
        if not as_json:
            was_shown = bool(report.going or report.kept) and not (yes or dry_run)
            show_clean(report, verbosity=verbose, is_quiet=quiet, was_shown=was_shown)
    if as_json:
        typer.echo(json.dumps(make_clean_document(reports, is_dry_run=dry_run), indent=2))
    raise typer.Exit(int(merge_exit_codes(report.exit_code for report in reports)))


def _list_names() -> list[str]:
    from hsm.cli.sync.options.project import load_current_config

    return list(load_current_config().config.sync_targets)


def _clean(
    loaded: LoadedConfig,
    source: ProjectSource,
    request: CleanRequest,
    *,
    asks: bool,
    shows: bool,
    verbosity: int,
    is_quiet: bool,
) -> CleanReport:
    """Look, ask and remove, with the locks held all the time."""
    from contextlib import ExitStack
    from dataclasses import replace

    from hsm.cli.render import make_reporter
    from hsm.cli.render.sync.clean import make_question, show_clean
    from hsm.process.runner import Runner
    from hsm.process.signals import hear_signals
    from hsm.sync.clean.clean import open_clean

    with ExitStack() as stack:
        names = list(request.targets or loaded.config.sync_targets)
        with make_reporter(is_quiet=is_quiet or not shows, targets=names) as reporter:
            work = stack.enter_context(open_clean(loaded, source, request, runner=Runner(), reporter=reporter))
        found = replace(work.make_report(), is_dry_run=request.is_dry_run)
        if request.is_dry_run or not found.going:
            return replace(found, is_done=not request.is_dry_run)
        if asks:
            show_clean(found, verbosity=verbosity, is_quiet=False)
            try:
                with hear_signals():
                    is_yes = typer.confirm(make_question(found))
            # click makes an Abort, which ends with 1, of a Ctrl-C at its prompt.
            except typer.Abort as error:
                raise KeyboardInterrupt from error
            if not is_yes:
                return found
        return work.remove()
