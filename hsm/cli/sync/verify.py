"""`hsm sync verify`: compares sweeps with their targets by checksum."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from hsm.call_options import VerifyOptions
from hsm.cli.sync.options.declarations import SweepsOrNone
from hsm.cli.sync.options.project import load_targets
from hsm.cli.sync.options.signature import take_options
from hsm.cli.sync.options.sweep_choice import take_newest

if TYPE_CHECKING:
    from collections.abc import Sequence


@take_options(VerifyOptions, sweeps=SweepsOrNone)
def verify_sweeps(sweeps: Sequence[str] | None, options: VerifyOptions) -> None:
    """Compare sweeps with their targets by checksum: both ends read every file that counts. Changes nothing.

    Exit codes: 0 all that counts is equal, 1 something differs or is missing there (it is listed), 2 usage or
    configuration, 10 target unreachable or login refused, 130 interrupted.
    """
    from hsm.cli.render import make_reporter, show_lines
    from hsm.cli.render.sync.verify import describe_verdicts
    from hsm.process.runner import Runner
    from hsm.process.terminal import has_terminal
    from hsm.sync.call import list_asked, parse_choice
    from hsm.sync.verify.report import make_verify_document
    from hsm.sync.verify.verify import verify

    as_json, quiet = options.get("json", False), options.get("quiet", False)
    choice = parse_choice(options)
    words = list_asked(sweeps, options)
    if not words:
        words = (take_newest(is_quiet=as_json or quiet),)
    loaded, targets = load_targets(options.get("target"), is_trusted=options.get("trust", False))
    may_ask = has_terminal() and not as_json
    with make_reporter(is_quiet=quiet, targets=list(targets)) as reporter:
        report = verify(loaded, words, targets, runner=Runner(), reporter=reporter, may_ask=may_ask, choice=choice)
    if as_json:
        typer.echo(json.dumps(make_verify_document(report), indent=2))
    elif not quiet or report.exit_code:
        show_lines(describe_verdicts(report))
    raise typer.Exit(int(report.exit_code))
