"""Report of a sweep: the table of its runs, the metric that compares them, and problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from hsm.errors import ExitCode, UsageError
from hsm.model import Problem, Run
from hsm.report.importance import Importance, rank_parameters
from hsm.report.jobs import SweepJobs, join_jobs
from hsm.report.metric import Metric, choose_metric, list_best, make_metric
from hsm.report.read import read_curves, read_last_lines, read_runs
from hsm.report.runs import ReportRun
from hsm.report.table import (
    Column,
    ColumnKind,
    Table,
    filter_runs,
    find_column,
    has_numbers,
    make_table,
    put_first,
    select_columns,
    sort_runs,
)
from hsm.report.where import parse_where
from hsm.wandb_log.curve import Curve

_NO_JOBS = SweepJobs()


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """Wishes of the user for a report.

    Attributes:
        sort: A column's name; empty for the order of their start.
        is_reversed: The largest first.
        columns: Names of columns; empty for the usual ones.
        where: Conditions, all of which must hold.
        metric: A column's name; empty to choose one.
        goal: `min`, `max`, or None to find out.
        n_best: The number of curves.
    """

    sort: str = ""
    is_reversed: bool = False
    columns: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    metric: str = ""
    goal: str | None = None
    n_best: int = 10


@dataclass(frozen=True, slots=True)
class BestRun:
    """One of the best runs, with a curve for each of its folders."""

    run: ReportRun
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Runs of a sweep, compared.

    Attributes:
        sweep: The sweep's id.
        n_runs: All runs, also those that `where` left out.
        table: Rows and columns as asked for.
        parameters: Those that vary, also where other columns are shown.
        metric: None where no run has a number as its result.
        importance: Of the parameters that vary, for this metric.
        best: The best of the table's runs; only where curves were asked for.
        last_lines: The last lines of runs that ended badly, by id; a run that printed nothing is there too.
        problems: Of logs that could not be read, and those that finding the runs met.
    """

    sweep: str
    n_runs: int
    table: Table
    parameters: tuple[Column, ...] = ()
    metric: Metric | None = None
    importance: tuple[Importance, ...] = ()
    best: tuple[BestRun, ...] = ()
    last_lines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """PARTIAL where the log of a run could not be read."""
        return ExitCode.PARTIAL if any(problem.is_failure for problem in self.problems) else ExitCode.DONE


def read_report(
    sweep: str,
    runs: Sequence[Run],
    request: ReportRequest,
    *,
    problems: tuple[Problem, ...] = (),
    with_curves: bool = False,
    jobs: SweepJobs = _NO_JOBS,
) -> Report:
    """Read the runs of a sweep and compare them; changes nothing.

    Args:
        sweep: Its id.
        runs: Its runs, on this machine.
        request: The user's wishes.
        problems: Those that finding the runs met; they become part of the report.
        with_curves: Read the metric's curves of the best runs, which means reading their logs once more.
        jobs: Of a sweep of Hydra's, each of which is a row.

    Raises:
        UsageError: A name or a condition in the request means nothing.
    """
    found, unread = read_runs(runs)
    if jobs.jobs:
        found = join_jobs(found, jobs.jobs, jobs.folder)
    whole = make_table(found)
    metric = _find_metric(whole, request)
    if metric is not None:
        whole = put_first(whole, metric.column)
    table = _arrange(whole, request)
    best: tuple[BestRun, ...] = ()
    if metric is not None and with_curves:
        best = _read_best(list_best(table, metric, request.n_best), metric)
    return Report(
        sweep=sweep,
        n_runs=len(found),
        table=table,
        parameters=whole.parameters,
        metric=metric,
        importance=rank_parameters(table.runs, whole.parameters, metric.column) if metric else (),
        best=best,
        last_lines={run.id: read_last_lines(run) for run in table.runs if run.has_ended_badly},
        problems=(*problems, *unread),
    )


def _arrange(table: Table, request: ReportRequest) -> Table:
    conditions = [parse_where(text, lambda word: find_column(table, word)) for text in request.where]
    arranged = filter_runs(table, lambda run: all(condition(run) for condition in conditions))
    if request.sort:
        arranged = sort_runs(arranged, find_column(table, request.sort), is_reversed=request.is_reversed)
    elif request.is_reversed:
        arranged = replace(arranged, runs=arranged.runs[::-1])
    return select_columns(arranged, request.columns)


def _find_metric(table: Table, request: ReportRequest) -> Metric | None:
    """Find the metric that is asked for, else the one sorted by, else one that is chosen."""
    if request.metric:
        column = find_column(table, request.metric)
        if column.kind is not ColumnKind.SUMMARY or not has_numbers(column, table.runs):
            hint = "Metrics are numbers of the summary: " + ", ".join(known.name for known in table.metrics[:10])
            raise UsageError(f"{request.metric!r} is not a metric of this sweep.", hint=hint, kind="unknown_metric")
        return make_metric(table, column, goal=request.goal)
    sorted_by = find_column(table, request.sort) if request.sort else None
    chosen = sorted_by if sorted_by in table.metrics else choose_metric(table)
    return make_metric(table, chosen, goal=request.goal) if chosen is not None else None


def _read_best(runs: Sequence[ReportRun], metric: Metric) -> tuple[BestRun, ...]:
    curves = read_curves(runs, metric.curve)
    # A script may set a key of the summary that only looks like one of `define_metric`.
    if metric.column.kind is ColumnKind.SUMMARY and not any(curve.steps for parts in curves for curve in parts):
        curves = read_curves(runs, metric.column.key)
    return tuple(BestRun(run, parts) for run, parts in zip(runs, curves, strict=True))
