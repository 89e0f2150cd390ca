"""A parametrisation whose further values only full runs take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def parametrize(
    names: str | tuple[str, ...], values: Iterable[Any], *, quick: Collection[Any], **options: Any
) -> pytest.MarkDecorator:
    """Parametrise a test as `pytest.mark.parametrize` does, and mark all values but some as slow.

    For values that differ in what is decided elsewhere too, or that seldom break alone.

    Args:
        names: The names of the arguments.
        values: What they get, test by test.
        quick: Those that every run takes: as they stand in `values`, or the `id` of a `pytest.param`.
        options: Further ones of `pytest.mark.parametrize`.
    """
    given = list(values)
    found = [[_get_key(value) == key for key in quick] for value in given]
    if not all(any(column) for column in zip(*found, strict=True)):
        raise ValueError(f"quick names a value that {names} does not get")
    n_names = 1 if isinstance(names, str) else len(names)
    marked = [value if any(row) else _mark(value, n_names) for value, row in zip(given, found, strict=True)]
    return pytest.mark.parametrize(names, marked, **options)


def _get_key(value: Any) -> Any:
    return getattr(value, "id", None) or value


def _mark(value: Any, n_names: int) -> Any:
    if hasattr(value, "marks"):
        return pytest.param(*value.values, marks=[*value.marks, pytest.mark.slow], id=value.id)
    return pytest.param(*(value if n_names > 1 else (value,)), marks=pytest.mark.slow)
