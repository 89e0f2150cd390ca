"""Nested values, as a run's configuration and summary are: put in, taken out and flattened. Pure."""

from __future__ import annotations

from collections.abc import Mapping

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


def make_leaves(state: Mapping[str, object]) -> dict[ValueKey, object]:
    """Flatten a state, without wandb's own entries and without objects that carry a type, such as media."""
    leaves: dict[ValueKey, object] = {}
    pending: list[tuple[ValueKey, object]] = [((name,), value) for name, value in state.items() if name != _INTERNAL]
    while pending:
        key, value = pending.pop(0)
        if not isinstance(value, dict):
            leaves[key] = _TOO_DEEP if _is_too_deep(value) else value
        elif _TYPE not in value:
            pending = [((*key, name), inner) for name, inner in value.items()] + pending
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
