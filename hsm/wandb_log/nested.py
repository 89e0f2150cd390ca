"""Nested values, as a run's configuration and summary are: put in, taken out and flattened. Pure."""

from __future__ import annotations

import math

from hsm.wandb_log.records import ValueKey

_INTERNAL = "_wandb"
_TYPE = "_type"
_MOST_NESTED = 50  # far below the depth at which json.dumps gives up
_TOO_DEEP = "(nested too deeply)"


def put_value(state: dict[str, object], key: ValueKey, value: object) -> None:
    """Put a value in, in place of what was there; what is in its way makes room."""
    for name in key[:-1]:
        inner = state.get(name)
        if not isinstance(inner, dict):
            inner = state[name] = {}
        state = inner
    state[key[-1]] = value


def drop_value(state: dict[str, object], key: ValueKey) -> None:
    """Take a value out, if it is there."""
    for name in key[:-1]:
        inner = state.get(name)
        if not isinstance(inner, dict):
            return
        state = inner
    state.pop(key[-1], None)


def make_leaves(state: dict[str, object]) -> dict[ValueKey, object]:
    """Flatten a state, without wandb's own entries and without objects that carry a type, such as media."""
    leaves: dict[ValueKey, object] = {}
    # The next one last, so that a hundred thousand values are not moved for each of them.
    pending: list[tuple[ValueKey, object]]
    pending = [((name,), value) for name, value in reversed(state.items()) if name != _INTERNAL]
    while pending:
        key, value = pending.pop()
        if not isinstance(value, dict):
            leaves[key] = _TOO_DEEP if _is_too_deep(value) else value
        elif len(key) > _MOST_NESTED:
            leaves[key] = _TOO_DEEP  # each value below would have all these names
        elif _TYPE not in value:
            pending += [((*key, name), inner) for name, inner in reversed(value.items())]
    return leaves


def _is_too_deep(value: object) -> bool:
    """Tell whether a list is nested so deeply that nothing could write it out again."""
    level = [value]
    for _ in range(_MOST_NESTED):
        level = [
            part
            for one in level
            if isinstance(one, (list, dict))
            for part in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def as_amount(value: object) -> float | None:
    """Return the value as a finite number of 0 or more, such as a step or a time has; None of anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
