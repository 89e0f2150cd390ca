"""The metric that a report is about, and the direction that is better. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hsm.report.runs import ReportRun
from hsm.report.table import Column, ColumnKind, Table, sort_runs
from hsm.report.values import as_finite, join_key
from hsm.wandb_log.records import ValueKey

MIN, MAX = "min", "max"

_LOWER_IS_BETTER = re.compile(
    # As a whole word: `val_loss` is a loss, `lossless` is none.
    r"(?<![a-z])(loss|err|error|mae|mse|rmse|nll|ppl|perplexity|fid|wer|cer|distance|regret|time|latency)(?![a-z])"
)
_IS_LOSS = re.compile(r"loss|error")
_IS_VALIDATION = re.compile(r"(?<![a-z])(val|valid|validation|eval|dev|test)(?![a-z])")
_SUMMARIES = frozenset({"min", "max", "mean", "best", "last"})


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric that runs are compared by.

    Attributes:
        column: Its final value.
        curve: Its key in the rows of the history.
        is_higher_better: The best run is that with the highest value.
    """

    column: Column
    curve: ValueKey
    is_higher_better: bool

    @property
    def goal(self) -> str:
        """`max` or `min`."""
        return MAX if self.is_higher_better else MIN


def make_metric(table: Table, column: Column, *, goal: str | None = None) -> Metric:
    """Make the metric of a column.

    The better direction is that asked for, else the one that the script gave wandb, else that of the name: lower for a
    loss, an error and the like.

    Args:
        table: The runs.
        column: A number of the summary.
        goal: `MIN`, `MAX` or None.
    """
    curve = _find_curve(table, column)
    name = join_key(curve)
    told = next((run.goals[name] for run in table.runs if name in run.goals), None)
    if goal is not None:
        told = goal == MAX
    elif told is None:
        told = _LOWER_IS_BETTER.search(name.lower()) is None
    return Metric(column, curve, told)


def choose_metric(table: Table) -> Column | None:
    """Choose a metric where the user names none: one the script gave a goal, else a validation loss, a loss, any."""
    goals = {name for run in table.runs for name in run.goals}
    candidates = sorted(table.metrics, key=lambda column: _make_preference(column, goals), reverse=True)
    return candidates[0] if candidates else None


def list_best(table: Table, metric: Metric, most: int) -> tuple[ReportRun, ...]:
    """List the best runs with a finite value, the best first."""
    ordered = sort_runs(table, metric.column, is_reversed=metric.is_higher_better)
    return tuple(run for run in ordered.runs if as_finite(metric.column.read(run)) is not None)[:most]


def _find_curve(table: Table, column: Column) -> ValueKey:
    """Find the key of a metric's curve: `val/loss.min` is what `define_metric` made of the rows' `val/loss`."""
    if column.kind is ColumnKind.SUMMARY and len(column.key) > 1 and column.key[-1] in _SUMMARIES:
        parent = column.key[:-1]
        siblings = {key[len(parent) :] for run in table.runs for key in run.summary if key[: len(parent)] == parent}
        if all(len(rest) == 1 and rest[0] in _SUMMARIES for rest in siblings):
            return parent
    return column.key


def _make_preference(column: Column, goals: set[str]) -> tuple[bool, bool, bool, int]:
    name = column.name.lower()
    has_goal = join_key(column.key) in goals or join_key(column.key[:-1]) in goals
    return has_goal, bool(_IS_LOSS.search(name)), bool(_IS_VALIDATION.search(name)), -len(name)
