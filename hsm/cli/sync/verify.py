"""`hsm sync verify`: compares by checksum."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from hsm.cli.sync.options.choice import parse_choice
from hsm.cli.sync.options.declarations import Exclude, Include, Json, Newest, Runs, Since, Sweeps, Targets, Trust
from hsm.cli.sync.options.project import load_targets


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
    from hsm.cli.render.sync.verify import describe_verdicts
    from hsm.process.runner import Runner
    from hsm.remote.openssh.client import has_terminal
    from hsm.sync.verify.report import make_verify_document
    from hsm.sync.verify.verify import verify

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
