"""`hsm sync report`: the runs of a sweep as one table, a page or a file."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hsm.cli.sync.options.completions import complete_sweep
from hsm.cli.sync.options.declarations import All, Json, Runs, WandbProject
from hsm.cli.sync.options.source import find_command_source
from hsm.errors import UsageError
from hsm.plan.choice import RunChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hsm.discover.sweeps import Sweep
    from hsm.model import Problem, Run, SweepInventory
    from hsm.report.jobs import SweepJobs
    from hsm.report.report import Report
    from hsm.sync.source import ProjectSource

_GOALS = ("min", "max")
_MOST_NAMES = 5
_Sweep = Annotated[
    str | None,
    typer.Argument(
        metavar="SWEEP",
        help="One sweep: an id, an unambiguous beginning, `latest`, `loose`, a run, or a folder.",
        autocompletion=complete_sweep,
        show_default=False,
    ),
]
_Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        "-c",
        metavar="NAMES",
        help="Only these columns, in this order, with commas between; `all` for all. May be given several times.",
        show_default="what varies, and the final metrics",
    ),
]
_Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="CONDITION",
        help="Only runs for which this holds, as `lr<0.01 and optimizer=adam`. May be given several times: all hold.",
    ),
]


def report_sweep(
    sweep: _Sweep = None,
    sort: Annotated[
        str,
        typer.Option("--sort", "-s", metavar="NAME", help="Sort by this column.", show_default="start of the run"),
    ] = "",
    reverse: Annotated[bool, typer.Option("--reverse", "-r", help="Sort the other way: the largest first.")] = False,
    columns: _Columns = None,
    where: _Where = None,
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The metric to compare runs by.", show_default="the one sorted by, else a loss"
        ),
    ] = "",
    goal: Annotated[
        str | None,
        typer.Option(
            metavar="min|max", help="Whether low or high is good.", show_default="as the script or the name says"
        ),
    ] = None,
    best: Annotated[
        int, typer.Option(metavar="N", min=1, max=50, help="How many of the best runs the page draws curves of.")
    ] = 10,
    run: Runs = None,
    project: WandbProject = None,
    everything: All = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV on standard output.")] = False,
    as_json: Json = False,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write the table as Parquet to this file.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write one page with table and plots to this file."),
    ] = None,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Also the last lines of runs that failed."
        ),
    ] = 0,
) -> None:
    """Show what the runs of a sweep recorded, as one table. Reads the runs' logs; wandb is not needed.

    Where a log says nothing, or ends before the files that wandb saves beside it, these files' values are shown.

    It works where the sweep ran and where it arrived, with or without a configuration. Nothing is changed but the
    files that are asked for.

    For example `hsm sync report latest --sort val/loss --where 'lr<0.01'`, or
    `hsm sync report latest --metric val/loss --html report.html`.

    Exit codes: 0 all runs were read, 1 the log of some run could not be read whole, 2 usage or configuration.
    """
    from hsm.report.report import ReportRequest, read_report

    _check_options(goal, as_csv=as_csv, as_json=as_json)
    _check_extras(parquet=parquet is not None, html=html is not None)
    request = ReportRequest(
        sort=sort,
        is_reversed=reverse,
        columns=tuple(name.strip() for names in columns or () for name in names.split(",") if name.strip()),
        where=tuple(where or ()),
        metric=metric,
        goal=goal,
        n_best=best,
    )
    choice = RunChoice(names=frozenset(run or ()), project=project or "")
    name, runs, jobs, problems = _read_inventory(
        _choose_word(sweep, run, is_all=everything, is_quiet=as_json), choice, is_quiet=as_json
    )
    found = read_report(name, runs, request, problems=problems, with_curves=html is not None, jobs=jobs)
    written = _save_files(found, parquet=parquet, html=html)
    _show(found, written, as_csv=as_csv, as_json=as_json, verbosity=verbose)
    raise typer.Exit(int(found.exit_code))


def _check_options(goal: str | None, *, as_csv: bool, as_json: bool) -> None:
    if goal is not None and goal not in _GOALS:
        raise UsageError(f"--goal {goal!r} is neither min nor max.", hint="Give `min` or `max`.", kind="usage")
    if as_csv and as_json:
        raise UsageError(
            "--csv and --json both write to standard output.", hint="Give one of them, or call twice.", kind="usage"
        )


def _check_extras(*, parquet: bool, html: bool) -> None:
    from hsm.report.export import PARQUET_MODULE, check_extra

    if parquet:
        check_extra(PARQUET_MODULE, "--parquet")
    if html:
        from hsm.report.page import PLOTLY_MODULE

        check_extra(PLOTLY_MODULE, "--html")


def _choose_word(sweep: str | None, run: Sequence[str] | None, *, is_all: bool, is_quiet: bool) -> str:
    """Return the word of the sweep: without one, of that which a run is in, or the newest.

    Raises:
        UsageError: All are meant and one is named.
    """
    from hsm.cli.sync.options.sweep_choice import take_newest
    from hsm.discover.words.lookup import ALL_SWEEPS, RUN_PREFIX
    from hsm.sync.call import list_asked

    if is_all:
        list_asked(None if sweep is None else [sweep], {"all": True})  # not with a name
        return ALL_SWEEPS
    if sweep is None and not run:
        return take_newest(is_quiet=is_quiet)
    return sweep if sweep is not None else f"{RUN_PREFIX}{(run or ('',))[0]}"


def _read_inventory(
    word: str, choice: RunChoice, *, is_quiet: bool
) -> tuple[str, Sequence[Run], SweepJobs, tuple[Problem, ...]]:
    """Read the sweep that is meant: its id, its runs, Hydra's jobs, and notes about them.

    Args:
        word: As typed.
        choice: Of its runs.
        is_quiet: Do not say how it was understood.

    Raises:
        UsageError: It means no sweep, or several.
    """
    from hsm.cli.render import show_note
    from hsm.discover.untold_runs import DOUBLE_RUN, MEMBERSHIP_UNKNOWN, NOT_A_LOG
    from hsm.discover.words.lookup import ALL_SWEEPS
    from hsm.model import FOLDER_UNREADABLE, Root
    from hsm.plan.symlinks.folder_links import SYMLINKED_FOLDER, SYMLINKED_RUN
    from hsm.report.jobs import SweepJobs
    from hsm.sync.places import SOURCE_MISSING
    from hsm.sync.source import check_choice, read_inventories

    source, is_configured = find_command_source([word])
    if word != ALL_SWEEPS:
        _check_single(word, source)
    for said in source.said if not is_quiet else ():
        show_note(said)
    inventories = read_inventories(
        source, depths=[1], roots=[Root.WANDB], with_versions=False, saves_cache=is_configured
    )
    found = list(inventories.values())
    check_choice(choice, found)
    every = {(run.prefix, run.name): run for inventory in found for run in inventory.runs}  # a run may be in several
    only = source.only.get(found[0].sweep)
    if choice.names:
        only = frozenset(run.name for run in every.values() if not choice.names.isdisjoint((run.name, run.id)))
    runs = [run for run in every.values() if only is None or run.name in only]
    runs = [run for run in runs if not choice.project or run.project == choice.project]
    concerning = {DOUBLE_RUN, FOLDER_UNREADABLE, MEMBERSHIP_UNKNOWN, NOT_A_LOG}
    concerning |= {SOURCE_MISSING, SYMLINKED_FOLDER, SYMLINKED_RUN}
    problems = dict.fromkeys(each for inventory in found for each in inventory.problems if each.kind in concerning)
    jobs = SweepJobs()
    if only is None and word == ALL_SWEEPS:
        jobs = _join_jobs(source, found) if not choice.project else jobs
    elif only is None:
        jobs = _read_jobs(source, source.sweeps[0], found[0])
    return word if word == ALL_SWEEPS else found[0].sweep, runs, jobs, tuple(problems)


def _join_jobs(source: ProjectSource, inventories: Sequence[SweepInventory]) -> SweepJobs:
    """Join the jobs of all sweeps, each by its path in the project."""
    from dataclasses import replace

    from hsm.report.jobs import SweepJobs

    project = os.path.realpath(source.layout.project)
    found = [_read_jobs(source, sweep, each) for sweep, each in zip(source.sweeps, inventories, strict=True)]
    jobs = [
        replace(job, path=os.path.relpath(f"{part.folder}/{job.path}", project)) for part in found for job in part.jobs
    ]
    return SweepJobs(tuple(job for job in jobs if not job.path.startswith("../")), project)


def _read_jobs(source: ProjectSource, sweep: Sweep, inventory: SweepInventory) -> SweepJobs:
    from hsm.discover.kinds.hydra_jobs import read_jobs
    from hsm.report.jobs import SweepJobs

    if not inventory.jobs:
        return SweepJobs()
    # A sweep whose receipts alone are in the place of its folder is told by these; runs are named by real paths.
    folder = os.path.realpath(f"{source.layout.project}/{inventory.place}" if inventory.place else sweep.path)
    return SweepJobs(read_jobs(source.endpoint, folder, inventory.jobs), folder)


def _check_single(word: str, source: ProjectSource) -> None:
    """Refuse a pattern that several sweeps match."""
    if len(source.sweeps) > 1:
        from hsm.cli.render.words import list_some, name_sweep

        names = [name_sweep(sweep.id) for sweep in source.sweeps]
        raise UsageError(
            f"A report is of one sweep, and {word!r} means {len(names)}: {list_some(names, _MOST_NAMES, 'sweep')}.",
            hint=f"Name one of them: `hsm sync report {shlex.quote(source.sweeps[-1].id)}`, or give `--all`.",
            kind="ambiguous_sweep",
        )


def _save_files(found: Report, *, parquet: Path | None, html: Path | None) -> list[Path]:
    from hsm.report.export import save_parquet

    if parquet is not None:
        save_parquet(found, parquet)
    if html is not None:
        from hsm.report.page import save_page

        save_page(found, html, now=time.time())
    return [path for path in (parquet, html) if path is not None]


def _show(found: Report, written: Sequence[Path], *, as_csv: bool, as_json: bool, verbosity: int) -> None:
    from hsm.cli.render import show_note
    from hsm.cli.render.table import show_sweep_table
    from hsm.report.export import make_csv, make_report_document

    if as_json:
        typer.echo(json.dumps(make_report_document(found), indent=2))
    elif as_csv:
        # Bytes, since a program reads them: UTF-8 whatever the locale says.
        typer.echo(make_csv(found).encode("utf-8", "backslashreplace"), nl=False)
    elif not written:
        show_sweep_table(found, verbosity=verbosity)
    for path in written:
        show_note(f"Written: {path}")
    if not as_json:
        for problem in found.problems:
            show_note(_describe(problem))


def _describe(problem: Problem) -> str:
    """Describe a problem in one line; some messages name what they are about themselves."""
    is_named = not problem.path or not problem.is_failure or problem.path in problem.message
    about = "" if is_named else f"{problem.path}: "
    return f"{about}{problem.message} {problem.hint}".strip()
