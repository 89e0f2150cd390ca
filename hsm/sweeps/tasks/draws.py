"""Drawing of random tasks without repeats. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import prod
from random import Random

from hsm.sweeps.tasks.distributions import Distribution, NoDistributionError
from hsm.sweeps.tasks.space import Block
from hsm.sweeps.tasks.values import make_task_key

_MOST_TRIES = 1000
"""Draws for each that is wanted: 10,000 of 10,000 equally likely ones take about ten."""


def draw_block(parameters: Mapping[str, Distribution], *, count: int, seed: int) -> Block:
    """Draw values for parameters, no combination of them twice.

    Each parameter has a sequence of its own, begun with seed and name, so that adding one leaves the others as they are
    and the order in which they are written does not count.

    Raises:
        NoDistributionError: There are not so many different ones.
    """
    names = tuple(parameters)
    sizes = [distribution.count() for distribution in parameters.values()]
    if all(size is not None for size in sizes):
        most = prod(size for size in sizes if size is not None)
        if count > most:
            raise NoDistributionError(f"asks for {count} different ones, and there are {most}")
    sources = [_make_source(seed, name) for name in names]
    rows: dict[str, tuple[object, ...]] = {}
    for _ in range(count * _MOST_TRIES):
        row = tuple(
            distribution.draw(source) for distribution, source in zip(parameters.values(), sources, strict=True)
        )
        rows.setdefault(make_task_key(dict(zip(names, row, strict=True))), row)
        if len(rows) == count:
            return Block(names, tuple(rows.values()))
    raise NoDistributionError(f"asks for {count} different ones, and only {len(rows)} were found")


def _make_source(seed: int, name: str) -> Random:
    digest = hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).digest()
    return Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - no secret
