"""`hsm sync status`: shows where sweeps stand, from what is known on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.cli.sync.options.completions import complete_sweep
from hsm.cli.sync.options.declarations import SWEEPS_HELP, All, Json, Runs, Targets, Trust, WandbProject
from hsm.cli.sync.options.project import find_received_project, load_current_config, load_targets
from hsm.errors import NoConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hsm.sync.status.report import Asked, Question, StatusReport


def show_sweep_status(
    sweeps: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SWEEP",
            help=SWEEPS_HELP,
            autocompletion=complete_sweep,
            show_default="all",
        ),
    ] = None,
    target: Targets = None,
    run: Runs = None,
    project: WandbProject = None,
    everything: All = False,
    check: Annotated[bool, typer.Option("--check", help="Ask the targets too, as a dry run does.")] = False,
    trust: Trust = False,
    as_json: Json = False,
    verbose: Annotated[
        int,
        typer.Option("--verbose", "-v", count=True, show_default=False, help="Name the runs that are not complete."),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing; the exit code tells.")] = False,
) -> None:
    """Show where sweeps stand: what is proven at the targets, what is pending, and what was received here.

    It reads the journals and receipts on this machine and asks nobody, unless --check is given. Where sweeps were
    received it tells whether they are complete: `hsm sync status latest -q && echo complete`.

    Exit codes: 0 every sweep shown is complete, 1 something is pending, unsettled, missing, or has not ended, 2
    usage or configuration; with --check also 130 interrupted.
    """
    from hsm.discover.words.lookup import ALL_SWEEPS
    from hsm.sync.call import list_asked

    words = list_asked(sweeps, {"run": run or (), "all": everything})
    words = () if words == (ALL_SWEEPS,) else words  # as without a word: those that are gone here, too
    if project:
        from hsm.cli.sync.options.source import list_project_words

        words = list_project_words(words, project)
    report = _read(words, target or (), check=check, is_trusted=trust, is_quiet=quiet, as_json=as_json)
    if as_json:
        from hsm.sync.status.document import make_status_document

        typer.echo(json.dumps(make_status_document(report), indent=2))
    elif not quiet:
        from hsm.cli.render import show_note
        from hsm.cli.render.sync.status import show_status

        for said in report.said:
            show_note(said)
        show_status(report, verbosity=verbose)
    raise typer.Exit(int(report.exit_code))


def _read(
    sweeps: Sequence[str], names: Sequence[str], *, check: bool, is_trusted: bool, is_quiet: bool, as_json: bool
) -> StatusReport:
    try:
        loaded = load_current_config()
    except NoConfigError:
        project = None if check or names else find_received_project(Path.cwd())
        if project is None:
            raise
        from hsm.sync.status.status import read_received_status

        return read_received_status(project, sweeps)
    from hsm.config.loaded import select_targets
    from hsm.sync.status.status import read_sweep_status

    if names:
        select_targets(loaded.config, names)
    if not check:
        return read_sweep_status(loaded, sweeps, names)

    def ask(questions: Sequence[Question]) -> Mapping[Question, Asked]:
        return _ask(questions, is_trusted=is_trusted, is_quiet=is_quiet, may_ask=not as_json)

    return read_sweep_status(loaded, sweeps, names, ask=ask)


def _ask(questions: Sequence[Question], *, is_trusted: bool, is_quiet: bool, may_ask: bool) -> Mapping[Question, Asked]:
    from hsm.cli.render import make_reporter
    from hsm.process.runner import Runner
    from hsm.process.terminal import has_terminal
    from hsm.sync.status.comparison import ask_targets

    names = list(dict.fromkeys(question.target for question in questions))
    loaded, targets = load_targets(names, is_trusted=is_trusted)
    may_ask = may_ask and has_terminal()
    with make_reporter(is_quiet=is_quiet, targets=names) as reporter:
        return ask_targets(loaded, questions, targets, runner=Runner(), reporter=reporter, may_ask=may_ask)
