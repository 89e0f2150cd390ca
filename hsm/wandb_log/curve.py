"""Reader of a metric's curve in a whole `.wandb` log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hsm.wandb_log.format import iter_fields, parse_records
from hsm.wandb_log.records import HISTORY, ItemReader, ValueKey, parse_json, split_record

_STEP = ("_step",)
_HISTORY_STEP, _STEP_NUMBER = 2, 1


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric over the steps of one log, in the order in which they were written."""

    steps: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


def read_curve(log: bytes, key: ValueKey) -> Curve:
    """Read the rows of a log in which a metric has a number; NaN and infinities are numbers. Pure."""
    reader = ItemReader()
    steps: list[float] = []
    values: list[float] = []
    for payload in parse_records(log).payloads:
        number, message = split_record(payload)
        if number != HISTORY:
            continue
        row = reader.read(message)
        value = find_number(row, key)
        if value is not None:
            step = find_number(row, _STEP)
            steps.append(parse_row_step(message) if step is None else step)
            values.append(value)
    return Curve(tuple(steps), tuple(values))


def find_number(row: Iterable[tuple[ValueKey, bytes]], key: ValueKey) -> float | None:
    """Find a number in a row: an item of its own, or, as before 0.19, within the object of its first name."""
    for found, value in row:
        if found == key[: len(found)]:
            return _parse_number(value, key[len(found) :])
    return None


def _parse_number(value: bytes, rest: ValueKey) -> float | None:
    parsed = parse_json(value)
    for name in rest:
        if not isinstance(parsed, dict):
            return None
        parsed = parsed.get(name)
    if isinstance(parsed, bool) or not isinstance(parsed, (int, float)):
        return None
    try:
        return float(parsed)
    except OverflowError:
        return None


def parse_row_step(message: bytes) -> float:
    """Read the step that stands beside the items of a row; protobuf leaves out a 0."""
    for number, value in iter_fields(message):
        if number == _HISTORY_STEP and isinstance(value, bytes):
            return float(next((step for field, step in iter_fields(value) if field == _STEP_NUMBER), 0))
    return 0.0
