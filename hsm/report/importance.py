"""Importance of each parameter for a metric, by ranks, so that outliers and scales do not matter. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation, fmean

from hsm.report.runs import ReportRun
from hsm.report.table import Column
from hsm.report.values import Value, as_finite, as_number, make_identity

FEWEST_RUNS = 3


@dataclass(frozen=True, slots=True)
class Importance:
    """Importance of one parameter.

    Attributes:
        column: The parameter.
        strength: 0 (nothing to do with the metric) to 1 (it alone orders the runs).
        correlation: Spearman's rank correlation, with its sign; None for a parameter that is no number, whose
            strength is that of its groups (the root of epsilon squared).
        n_runs: The runs that have both values.
    """

    column: Column
    strength: float
    correlation: float | None
    n_runs: int


def rank_parameters(runs: Sequence[ReportRun], parameters: Sequence[Column], metric: Column) -> tuple[Importance, ...]:
    """Order parameters by their importance for a metric, the strongest first.

    Only runs in which the metric is a finite number count. A parameter is left out where fewer than three runs have
    it, or where it is the same in all of them; so is one that is a text of its own in every run.
    """
    found = (_measure(runs, parameter, metric) for parameter in parameters)
    return tuple(sorted(filter(None, found), key=lambda one: (-one.strength, one.column.name)))


def _measure(runs: Sequence[ReportRun], parameter: Column, metric: Column) -> Importance | None:
    pairs = [
        (value, result)
        for run in runs
        if (value := parameter.read(run)) is not None and (result := as_finite(metric.read(run))) is not None
    ]
    if len(pairs) < FEWEST_RUNS:
        return None
    results = rank([result for _, result in pairs])
    numbers = [number for value, _ in pairs if (number := as_number(value)) is not None and not math.isnan(number)]
    if len(numbers) < len(pairs):
        strength = _compare_groups([value for value, _ in pairs], results)
        return None if strength is None else Importance(parameter, strength, None, len(pairs))
    try:
        # Spearman's. A forest of trees would see interactions too, but needs scikit-learn and many runs; this can be
        # checked by hand.
        rho = correlation(rank(numbers), results)
    except StatisticsError:  # one of them is the same in all runs
        return None
    return Importance(parameter, abs(rho), rho, len(pairs))


def rank(values: Sequence[float]) -> list[float]:
    """Replace numbers by their ranks from 1; equal numbers share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for index in order[start : end + 1]:
            ranks[index] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def _compare_groups(values: Sequence[Value], ranks: Sequence[float]) -> float | None:
    """Return the root of epsilon squared of Kruskal and Wallis: how far groups lie apart, chance taken off."""
    groups: Mapping[object, list[float]] = _group(values, ranks)
    if not 1 < len(groups) < len(values):  # one text for all, or one for each, orders nothing
        return None
    middle = fmean(ranks)
    total = sum((one - middle) ** 2 for one in ranks)
    if not total:
        return None
    within = sum((one - fmean(group)) ** 2 for group in groups.values() for one in group)
    # By degrees of freedom: without that, a parameter with many values would win by having many.
    unexplained = (within / (len(values) - len(groups))) / (total / (len(values) - 1))
    return math.sqrt(max(0.0, 1 - unexplained))


def _group(values: Sequence[Value], ranks: Sequence[float]) -> dict[object, list[float]]:
    groups: dict[object, list[float]] = {}
    for value, one in zip(values, ranks, strict=True):
        groups.setdefault(make_identity(value), []).append(one)
    return groups
