"""Values of parameters: names, equality, and JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping

from hsm.config.yaml.document import Location

Parameters = Mapping[str, object]
"""Parameters of a task by dotted name, in the order of its arguments."""


def iter_leaves(data: Mapping[str, object], location: Location) -> Iterator[tuple[str, object, Location]]:
    """Yield dotted name, value and place of everything in nested mappings; an empty mapping is a value."""
    for name, value in data.items():
        place = (*location, name)
        if isinstance(value, dict) and value:
            yield from ((f"{name}.{inner}", leaf, where) for inner, leaf, where in iter_leaves(value, place))
        else:
            yield name, value, place


def make_value_key(value: object) -> Hashable:
    """Return something that is equal for values that are: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return encode_value(value)
    return (value,) if value == value else "nan"  # noqa: PLR0124 - not a number is not equal to itself


def make_task_key(parameters: Parameters) -> str:
    """Return a text that is equal for tasks with the same parameters, and for no others."""
    return json.dumps(parameters, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def encode_value(value: object) -> str:
    """Write a value as JSON on one line; `NaN` and `Infinity` as Python does."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
