"""Values that runs record: the names of their keys, and the values as text and as JSON. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from hsm.wandb_log.records import ValueKey

Value = object
"""A number, a text, True, False, None or a list of these, as JSON has them; numbers may be NaN or infinite."""


def join_key(key: ValueKey) -> str:
    """Name a nested key as wandb does: `optimizer.name`."""
    return ".".join(key)


def as_number(value: Value) -> float | None:
    """Return the value as a number, True as 1; None where it is no number."""
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON's whole numbers have no limit
        return math.inf if value > 0 else -math.inf


def as_finite(value: Value) -> float | None:
    """Return the value as a finite number, else None."""
    number = as_number(value)
    return number if number is not None and math.isfinite(number) else None


def make_plain(value: Value) -> Value:
    """Make a value that every reader of JSON accepts: NaN and infinities become `"NaN"` and `"Infinity"`."""
    if isinstance(value, float) and not math.isfinite(value):
        return format_exact(value)
    if isinstance(value, (list, tuple)):
        return [make_plain(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): make_plain(part) for name, part in value.items()}
    return value


def format_exact(value: Value) -> str:
    """Write a value so that nothing of it is lost; None is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        return repr(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    return json.dumps(make_plain(value), ensure_ascii=False)


def format_short(value: Value) -> str:
    """Write a value for people: six digits of a fraction are enough."""
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return format_exact(value)


def make_identity(value: Value) -> tuple[str, Value]:
    """Make a key that is the same for equal values: for 1 and 1.0, not for 1 and True, and for NaN and NaN."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return ("number", "NaN" if value != value else value)  # noqa: PLR0124 - the definition of NaN
    return (type(value).__name__, format_exact(value))
