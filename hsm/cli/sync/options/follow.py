"""`--continuous` of `hsm sync to` and `hsm sync from`: its options, and the call that follows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import typer

from hsm.errors import UsageError

if TYPE_CHECKING:
    from hsm.call_options import FollowingOptions
    from hsm.config.load import LoadedConfig
    from hsm.process.runner import Runner
    from hsm.sync.follow.follow import FollowOptions
    from hsm.sync.request import SyncRequest

def parse_following(options: FollowingOptions, *, is_dry_run: bool) -> FollowOptions | None:
    """Read how sweeps are to be followed; None without `--continuous`.

    Raises:
        UsageError: The options do not go together, or one has no such value.
    """
    if not options.get("continuous"):
        for name in ("interval", "expect", "settle", "stale"):
            if options.get(name) is not None:
                raise UsageError(f"--{name} goes with --continuous.", hint="Add --continuous.", kind="usage")
        return None
    if is_dry_run:
        raise UsageError("--dry-run does not go with --continuous.", hint="Leave one of them out.", kind="usage")
    expect = options.get("expect")
    if expect is not None and expect < 1:
        raise UsageError("--expect takes a number of runs, at least 1.", hint="Try `--expect 20`.", kind="usage")
    from hsm.sync.follow.follow import INTERVAL_SECONDS, FollowOptions
    from hsm.sync.follow.judgement import SETTLE_SECONDS, STALE_SECONDS, FollowLimits

    settle = _parse_seconds("--settle", options.get("settle"), SETTLE_SECONDS)
    stale = _parse_seconds("--stale", options.get("stale"), STALE_SECONDS)
    interval = _parse_seconds("--interval", options.get("interval"), INTERVAL_SECONDS)
    return FollowOptions(interval, FollowLimits(expect, settle, stale))


def _parse_seconds(option: str, text: str | None, default: float) -> float:
    from hsm.units import parse_duration

    return default if text is None else parse_duration(text, option=option)


def follow_sweeps(
    loaded: LoadedConfig,
    request: SyncRequest,
    options: FollowOptions,
    *,
    pulls: bool,
    runner: Runner,
    as_json: bool,
    verbosity: int,
    is_quiet: bool,
) -> NoReturn:
    """Follow the sweeps to their end, print the report, and end the program.

    Args:
        loaded: The configuration.
        request: What is wanted.
        options: How to follow.
        pulls: From the targets, not to them.
        runner: Starts the processes.
        as_json: Print one document at the end.
        verbosity: Of the report.
        is_quiet: Only what went wrong.
    """
    from hsm.cli.render.sync.follow import make_watcher, show_follow_report
    from hsm.sync.bring.pull import pull
    from hsm.sync.bring.push import push
    from hsm.sync.follow.follow import MakePass, follow
    from hsm.sync.follow.report import make_follow_document

    bring = pull if pulls else push
    make_pass = MakePass(
        "sync from" if pulls else "sync to",
        "pull" if pulls else "push",
        lambda request, reporter, session: bring(
            loaded, request, runner=runner, reporter=reporter, session=session
        ),
    )
    with make_watcher(is_quiet=is_quiet) as watcher:
        report = follow(loaded, request, options, make_pass=make_pass, runner=runner, watcher=watcher)
    if as_json:
        typer.echo(json.dumps(make_follow_document(report, with_plan=verbosity > 0), indent=2))
    else:
        show_follow_report(report, verbosity=verbosity, is_quiet=is_quiet)
    raise typer.Exit(int(report.exit_code))
