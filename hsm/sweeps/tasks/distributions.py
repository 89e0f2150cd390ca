"""Distributions that parameters are drawn from, with the same numbers on every machine. Pure.

Only `random.Random(int).random()` is used, whose sequence Python guarantees for a seed. Logarithms and powers are taken
by `decimal`, which rounds correctly, while those of `math` differ in the last digit between systems. What is drawn has
eight significant digits: no result depends on more, and people can read it.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from random import Random
from typing import ClassVar

_CONTEXT = Context(prec=25)
_SHOWN = Context(prec=8)
_MOST_SPAN = 2**53  # of whole numbers: random() has as many values

DISTRIBUTION_WORDS = (
    "{uniform: [LOW, HIGH]}, {log_uniform: [LOW, HIGH]}, {normal: [MEAN, DEVIATION]}, {int: [LOW, HIGH]}, "
    "{int_log: [LOW, HIGH]} or {choice: [VALUES]}"
)
"""Words for what is allowed in the place of a distribution, for messages."""


class NoDistributionError(Exception):
    """A value in a file is no distribution; the message says what is wrong with it."""


class Distribution(ABC):
    """Distribution of one parameter."""

    @abstractmethod
    def draw(self, source: Random) -> object:
        """Draw a value."""

    def count(self) -> int | None:
        """Count the different values that there are; None for more than anybody draws."""
        return None

    def list_samples(self) -> Sequence[object]:
        """List values of every form that may be drawn."""
        return (0.5,)


@dataclass(frozen=True, slots=True)
class Choice(Distribution):
    """Values that are equally likely."""

    values: tuple[object, ...]

    def draw(self, source: Random) -> object:
        """Implement `Distribution`."""
        return self.values[_draw_below(source, len(self.values))]

    def count(self) -> int:
        """Implement `Distribution`."""
        return len(self.values)

    def list_samples(self) -> Sequence[object]:
        """Implement `Distribution`."""
        return self.values


@dataclass(frozen=True, slots=True)
class Numbers(Distribution):
    """Distribution that two numbers describe.

    Attributes:
        low: The lower bound, or the mean.
        high: The upper bound, or the deviation.
    """

    low: Decimal
    high: Decimal
    types: ClassVar[tuple[type, ...]] = (int, float)
    noun: ClassVar[str] = "numbers"

    def check(self) -> str:
        """Say what is wrong with the numbers; empty for nothing."""
        return "" if self.low < self.high else "has bounds that do not rise"


class Uniform(Numbers):
    """Numbers of which all are equally likely."""

    def draw(self, source: Random) -> object:
        """Implement `Distribution`."""
        span = _CONTEXT.subtract(self.high, self.low)
        return _clamp(_CONTEXT.add(self.low, _CONTEXT.multiply(span, _draw(source))), self)


class LogUniform(Numbers):
    """Numbers whose logarithms are equally likely."""

    def check(self) -> str:
        """Refine `Numbers`."""
        return _check_logarithm(self.low) or Numbers.check(self)

    def draw(self, source: Random) -> object:
        """Implement `Distribution`."""
        return _clamp(_draw_log(source, self.low, self.high), self)


class Normal(Numbers):
    """Gauss's distribution, with a mean and a standard deviation."""

    def check(self) -> str:
        """Refine `Numbers`."""
        return "" if self.high > 0 else "has a deviation that is not above 0"

    def draw(self, source: Random) -> object:
        """Implement `Distribution`."""
        return _round(_CONTEXT.add(self.low, _CONTEXT.multiply(self.high, _draw_normal(source))))


class WholeNumber(Numbers):
    """Whole numbers, both bounds among them."""

    types: ClassVar[tuple[type, ...]] = (int,)
    noun: ClassVar[str] = "whole numbers"

    def check(self) -> str:
        """Refine `Numbers`."""
        return Numbers.check(self) or ("has bounds too far apart" if self.count() > _MOST_SPAN else "")

    def count(self) -> int:
        """Implement `Distribution`."""
        return int(self.high) - int(self.low) + 1

    def draw(self, source: Random) -> object:
        """Implement `Distribution`."""
        return int(self.low) + _draw_below(source, self.count())

    def list_samples(self) -> Sequence[object]:
        """Implement `Distribution`."""
        return (1,)


class LogWholeNumber(WholeNumber):
    """Whole numbers, the smaller ones more likely: those up to 10 as those from 10 to 100."""

    def check(self) -> str:
        """Refine `Numbers`."""
        return _check_logarithm(self.low) or WholeNumber.check(self)

    def draw(self, source: Random) -> object:
        """Implement `Distribution`."""
        found = _draw_log(source, self.low, Decimal(int(self.high) + 1)).to_integral_value(ROUND_FLOOR, _CONTEXT)
        return int(min(max(found, self.low), self.high))


_KINDS: dict[str, type[Numbers]] = {
    "uniform": Uniform,
    "log_uniform": LogUniform,
    "normal": Normal,
    "int": WholeNumber,
    "int_log": LogWholeNumber,
}
_CHOICE = "choice"


def parse_distribution(value: object) -> Distribution:
    """Read a distribution as a file has it, `{uniform: [0, 1]}`.

    Raises:
        NoDistributionError: It is none.
    """
    if not isinstance(value, dict) or len(value) != 1:
        raise NoDistributionError("is no distribution")
    ((name, given),) = value.items()
    if name not in _KINDS and name != _CHOICE:
        near = difflib.get_close_matches(str(name), [*_KINDS, _CHOICE], 1)
        guess = f", did you mean {near[0]}?" if near else ""
        raise NoDistributionError(f"has {name!r}, which is no distribution{guess}")
    if not isinstance(given, list):
        raise NoDistributionError(f"has no list for {name}")
    if not given:
        raise NoDistributionError(f"has an empty list for {name}")
    return Choice(tuple(given)) if name == _CHOICE else _make_numbers(_KINDS[name], name, given)


def _make_numbers(kind: type[Numbers], name: str, given: Sequence[object]) -> Numbers:
    if len(given) != 2 or not all(isinstance(value, kind.types) and not isinstance(value, bool) for value in given):
        raise NoDistributionError(f"has not two {kind.noun} for {name}")
    # The shortest text that a float has, as the file has it: 0.1 is meant as a tenth.
    found = kind(*(Decimal(repr(value)) for value in given))
    if not (found.low.is_finite() and found.high.is_finite()):
        raise NoDistributionError("has a number that is not finite")
    if problem := found.check():
        raise NoDistributionError(problem)
    return found


def _check_logarithm(low: Decimal) -> str:
    return "" if low > 0 else "has a bound that is not above 0, for a logarithm"


def _round(value: Decimal) -> float:
    return float(_SHOWN.plus(value))


def _clamp(value: Decimal, bounds: Numbers) -> float:
    """Round, and stay within the bounds."""
    return float(min(max(_SHOWN.plus(value), bounds.low), bounds.high))


def _draw(source: Random) -> Decimal:
    return Decimal(source.random())


def _draw_below(source: Random, count: int) -> int:
    return int(source.random() * count)


def _draw_log(source: Random, low: Decimal, high: Decimal) -> Decimal:
    least, most = low.ln(_CONTEXT), high.ln(_CONTEXT)
    return _CONTEXT.add(least, _CONTEXT.multiply(_CONTEXT.subtract(most, least), _draw(source))).exp(_CONTEXT)


def _draw_normal(source: Random) -> Decimal:
    """Draw by Marsaglia's polar method, which needs a root and a logarithm, no cosine."""
    while True:
        one = _CONTEXT.subtract(_CONTEXT.multiply(Decimal(2), _draw(source)), Decimal(1))
        other = _CONTEXT.subtract(_CONTEXT.multiply(Decimal(2), _draw(source)), Decimal(1))
        square = _CONTEXT.add(_CONTEXT.multiply(one, one), _CONTEXT.multiply(other, other))
        if 0 < square < 1:
            logarithm = _CONTEXT.multiply(Decimal(-2), square.ln(_CONTEXT))
            return _CONTEXT.multiply(one, _CONTEXT.divide(logarithm, square).sqrt(_CONTEXT))
