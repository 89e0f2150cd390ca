"""Distributions that parameters are drawn from, with the same numbers on every machine. Pure.

Only `random.Random(int).random()` is used, whose sequence Python guarantees for a seed. Logarithms and powers are taken
by `decimal`, which rounds correctly, while those of `math` differ in the last digit between systems. What is drawn has
eight significant digits: no result depends on more, and people can read it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from random import Random

_CONTEXT = Context(prec=25)
_SHOWN = Context(prec=8)
_MOST_SPAN = 2**53  # of whole numbers: random() has as many values


class NoDistributionError(Exception):
    """A value in a file is no distribution; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distribution of one parameter.

    Attributes:
        kind: A key of `KINDS`.
        values: Its bounds, mean and deviation, or choices.
    """

    kind: str
    values: tuple[object, ...]

    def count(self) -> int | None:
        """Count the different values that there are; None for more than anybody draws."""
        if self.kind == "choice":
            return len(self.values)
        if self.kind in ("int", "int_log"):
            low, high = self.values
            return int(high) - int(low) + 1  # type: ignore[call-overload, no-any-return]
        return None

    def draw(self, source: Random) -> object:
        """Draw a value."""
        if self.kind == "choice":
            return self.values[_draw_below(source, len(self.values))]
        low, high = (_make_decimal(value) for value in self.values)
        if self.kind == "int":
            return int(low) + _draw_below(source, int(high - low) + 1)
        if self.kind == "int_log":
            found = _draw_log(source, low, high + 1).to_integral_value(ROUND_FLOOR)
            return int(min(max(found, low), high))
        if self.kind == "normal":
            return _round(low + high * _draw_normal(source))
        if self.kind == "log_uniform":
            found = _draw_log(source, low, high)
        else:
            found = _CONTEXT.add(low, _CONTEXT.multiply(high - low, _draw(source)))
        return float(min(max(Decimal(repr(_round(found))), low), high))


def parse_distribution(value: object) -> Distribution:
    """Read a distribution as a file has it, `{uniform: [0, 1]}`.

    Raises:
        NoDistributionError: It is none.
    """
    if not isinstance(value, dict) or len(value) != 1:
        raise NoDistributionError("is no distribution")
    ((kind, given),) = value.items()
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, 1)
        guess = f", did you mean {near[0]}?" if near else ""
        raise NoDistributionError(f"has {kind!r}, which is no distribution{guess}")
    if not isinstance(given, list) or not given:
        raise NoDistributionError(f"has no list for {kind}" if not isinstance(given, list) else "has an empty list")
    if kind == "choice":
        return Distribution(kind, tuple(given))
    return Distribution(kind, _check_numbers(kind, given))


KINDS = ("uniform", "log_uniform", "normal", "int", "int_log", "choice")
"""Names of the distributions."""

DISTRIBUTION_WORDS = (
    "{uniform: [LOW, HIGH]}, {log_uniform: [LOW, HIGH]}, {normal: [MEAN, DEVIATION]}, {int: [LOW, HIGH]}, "
    "{int_log: [LOW, HIGH]} or {choice: [VALUES]}"
)
"""What is allowed in the place of one, for messages."""


def _check_numbers(kind: str, given: Sequence[object]) -> tuple[object, ...]:
    kinds = (int,) if kind.startswith("int") else (int, float)
    if len(given) != 2 or not all(isinstance(value, kinds) and not isinstance(value, bool) for value in given):
        noun = "whole numbers" if kind.startswith("int") else "numbers"
        raise NoDistributionError(f"has not two {noun} for {kind}")
    one, other = (_make_decimal(value) for value in given)
    if not (one.is_finite() and other.is_finite()):
        raise NoDistributionError("has a number that is not finite")
    if kind == "normal":
        if other <= 0:
            raise NoDistributionError("has a deviation that is not above 0")
    elif one >= other:
        raise NoDistributionError("has bounds that do not rise")
    elif kind in ("int_log", "log_uniform") and one <= 0:
        raise NoDistributionError("has a bound that is not above 0, for a logarithm")
    if kind.startswith("int") and other - one >= _MOST_SPAN:
        raise NoDistributionError("has bounds too far apart")
    return tuple(given)


def _make_decimal(value: object) -> Decimal:
    # The shortest text that a float has, as the file has it: 0.1 is meant as a tenth.
    return Decimal(repr(value))


def _round(value: Decimal) -> float:
    return float(_SHOWN.plus(value))


def _draw(source: Random) -> Decimal:
    return Decimal(source.random())


def _draw_below(source: Random, count: int) -> int:
    return int(source.random() * count)


def _draw_log(source: Random, low: Decimal, high: Decimal) -> Decimal:
    least, most = low.ln(_CONTEXT), high.ln(_CONTEXT)
    return _CONTEXT.add(least, _CONTEXT.multiply(most - least, _draw(source))).exp(_CONTEXT)


def _draw_normal(source: Random) -> Decimal:
    """Draw by Marsaglia's polar method, which needs a root and a logarithm, no cosine."""
    while True:
        one, other = 2 * _draw(source) - 1, 2 * _draw(source) - 1
        square = one * one + other * other
        if 0 < square < 1:
            scale = _CONTEXT.divide(-2 * square.ln(_CONTEXT), square).sqrt(_CONTEXT)
            return _CONTEXT.multiply(one, scale)
