"""`--continuous` of `hsm sync to` and `hsm sync from`: its options, and the call that follows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from hsm.errors import UsageError

if TYPE_CHECKING:
    from hsm.config.load import LoadedConfig
    from hsm.process.runner import Runner
    from hsm.sync.follow.follow import FollowOptions
    from hsm.sync.request import SyncRequest

Continuous = Annotated[
    bool,
    typer.Option("--continuous", help="Again and again, until every expected run has ended and is complete there."),
]
Interval = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="With --continuous: the pause between passes, in seconds or as `5m`.",
        show_default="60",
    ),
]
Expect = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="With --continuous: how many runs each sweep will have.",
        show_default="as parameter_combinations.json or Slurm says",
    ),
]
Settle = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="With --continuous: how long without a new run, where nothing says how many there will be.",
        show_default="30m",
    ),
]
Stale = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="With --continuous: how long without a change until a run that has not ended counts as dead.",
        show_default="6h",
    ),
]


def parse_follow(
    *,
    continuous: bool,
    interval: str | None,
    expect: int | None,
    settle: str | None,
    stale: str | None,
    is_dry_run: bool,
) -> FollowOptions | None:
    """How sweeps are to be followed; None without `--continuous`.

    Raises:
        UsageError: The options do not go together, or one of them cannot be meant.
    """
    given = {"--interval": interval, "--expect": expect, "--settle": settle, "--stale": stale}
    if not continuous:
        for option, value in given.items():
            if value is not None:
                raise UsageError(f"{option} goes with --continuous.", hint="Add --continuous.", kind="usage")
        return None
    if is_dry_run:
        raise UsageError("--dry-run does not go with --continuous.", hint="Leave one of them out.", kind="usage")
    if expect is not None and expect < 1:
        raise UsageError("--expect takes a number of runs, at least 1.", hint="Try `--expect 20`.", kind="usage")
    from hsm.sync.follow.follow import INTERVAL_SECONDS, FollowOptions
    from hsm.sync.follow.judgement import SETTLE_SECONDS, STALE_SECONDS, FollowLimits
    from hsm.units import parse_duration

    def read(option: str, default: float) -> float:
        text = given[option]
        return default if text is None else parse_duration(str(text), option=option)

    patience = FollowLimits(expect, read("--settle", SETTLE_SECONDS), read("--stale", STALE_SECONDS))
    return FollowOptions(read("--interval", INTERVAL_SECONDS), patience)


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
        lambda request, reporter, kept: bring(loaded, request, runner=runner, reporter=reporter, kept=kept),
    )
    with make_watcher(is_quiet=is_quiet) as watcher:
        report = follow(loaded, request, options, make_pass=make_pass, runner=runner, watcher=watcher)
    if as_json:
        typer.echo(json.dumps(make_follow_document(report, with_plan=verbosity > 0), indent=2))
    else:
        show_follow_report(report, verbosity=verbosity, is_quiet=is_quiet)
    raise typer.Exit(int(report.exit_code))
