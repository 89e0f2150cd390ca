"""Way of `hsm sync to` and `hsm sync from`, from their options to the exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import typer

from hsm.cli.sync.options.following import parse_following
from hsm.cli.sync.options.project import load_targets
from hsm.cli.sync.options.sweep_choice import choose_sweeps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hsm.call_options import ReceiveOptions, SendOptions
    from hsm.cli.render.sync.offers import Offer
    from hsm.config.layers import Layer
    from hsm.config.loaded import LoadedConfig
    from hsm.config.settings import TargetSettings
    from hsm.sync.follow.follow import FollowOptions
    from hsm.sync.reports import SyncReport
    from hsm.sync.request import SyncRequest


@dataclass(frozen=True, slots=True)
class CopyCommand:
    """Command that copies sweeps, in one of the two directions.

    Attributes:
        words: As typed, without arguments.
        direction: `push` or `pull`, for the documents.
        list_offers: Lists the sweeps to choose from where none is named.
        copy: Copies them once; takes what `hsm.sync.bring.push.push` takes.
    """

    words: str
    direction: str
    list_offers: Callable[[LoadedConfig, Mapping[str, TargetSettings]], list[Offer]]
    copy: Callable[..., SyncReport]


def copy_sweeps(
    sweeps: Sequence[str] | None,
    options: SendOptions | ReceiveOptions,
    command: CopyCommand,
    *,
    overrides: Layer,
    does_after_sync: bool = True,
) -> None:
    """Copy the sweeps of a call, print the report, and end the program; nothing where nobody chose a sweep.

    Args:
        sweeps: As typed.
        options: Those that were typed.
        command: The command that was called.
        overrides: What the call sets in place of its targets' own settings.
        does_after_sync: Do what the targets' `after_sync` says.
    """
    from hsm.process.terminal import has_terminal
    from hsm.sync.call import list_asked, make_request, parse_scope

    as_json = options.get("json", False)
    following = parse_following(options, is_dry_run=options.get("dry_run", False))
    scope = parse_scope(options)
    words = list_asked(sweeps, options)
    loaded, targets = load_targets(options.get("target"), is_trusted=options.get("trust", False), overrides=overrides)
    chosen = choose_sweeps(words, lambda: command.list_offers(loaded, targets), command=command.words, as_json=as_json)
    if not chosen:
        return
    request = make_request(
        chosen,
        targets,
        scope,
        options,
        may_ask=has_terminal() and not as_json,
        does_after_sync=does_after_sync,
        lists_files=as_json and options.get("verbose", 0) > 0,
    )
    if following is None:
        _copy_once(loaded, request, options, command)
    _follow(loaded, request, options, command, following)


def _copy_once(
    loaded: LoadedConfig, request: SyncRequest, options: SendOptions | ReceiveOptions, command: CopyCommand
) -> NoReturn:
    from hsm.cli.render import make_reporter
    from hsm.remote.openssh.early_login import early_logins
    from hsm.sync.reports import make_document

    verbosity, is_quiet = options.get("verbose", 0), options.get("quiet", False)
    with make_reporter(is_quiet=is_quiet, targets=list(request.targets)) as reporter:
        report = command.copy(loaded, request, runner=early_logins.take_runner(), reporter=reporter)
    if options.get("json"):
        document = make_document(report, with_plan=request.is_dry_run or verbosity > 0)
        typer.echo(json.dumps(document, indent=2))
    else:
        from hsm.cli.render import show_report

        show_report(report, verbosity=verbosity, is_quiet=is_quiet)
    raise typer.Exit(int(report.exit_code))


def _follow(
    loaded: LoadedConfig,
    request: SyncRequest,
    options: SendOptions | ReceiveOptions,
    command: CopyCommand,
    following: FollowOptions,
) -> NoReturn:
    """Copy again and again until the sweeps have ended."""
    from hsm.cli.render.sync.follow import make_watcher, show_follow_report
    from hsm.remote.openssh.early_login import early_logins
    from hsm.sync.follow.follow import MakePass, follow
    from hsm.sync.follow.report import make_follow_document

    verbosity, is_quiet = options.get("verbose", 0), options.get("quiet", False)
    runner = early_logins.take_runner()
    make_pass = MakePass(
        command.words,
        command.direction,
        lambda request, reporter, session: command.copy(
            loaded, request, runner=runner, reporter=reporter, session=session
        ),
    )
    with make_watcher(is_quiet=is_quiet) as watcher:
        report = follow(loaded, request, following, make_pass=make_pass, runner=runner, watcher=watcher)
    if options.get("json"):
        typer.echo(json.dumps(make_follow_document(report, with_plan=verbosity > 0), indent=2))
    else:
        show_follow_report(report, verbosity=verbosity, is_quiet=is_quiet)
    raise typer.Exit(int(report.exit_code))
