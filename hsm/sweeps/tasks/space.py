"""Space of a sweep's parameters: blocks that multiply, further tasks, and what is left out. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, product
from math import prod
from random import Random

from hsm.sweeps.tasks.values import Parameters, make_value_key


@dataclass(frozen=True, slots=True)
class Block:
    """Parameters that vary together.

    Attributes:
        names: Theirs.
        rows: One value for each name, in every row.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True, slots=True)
class ParameterSpace:
    """All that a definition says of parameters.

    Attributes:
        blocks: Every row of each with every row of the others; the last one varies fastest.
        combinations: Further tasks, after those of the blocks.
        fixed: Parameters of all tasks.
        exclusions: A task is left out where the values of all names are among those of one of these.
        seed: Of the shuffled order; None for the order as written.
    """

    blocks: tuple[Block, ...] = ()
    combinations: tuple[Parameters, ...] = ()
    fixed: Parameters = field(default_factory=dict)
    exclusions: tuple[Mapping[str, tuple[object, ...]], ...] = ()
    seed: int | None = None

    def count(self) -> int:
        """Count the tasks before any is left out, without making them."""
        return (prod(len(block.rows) for block in self.blocks) if self.blocks else 0) + len(self.combinations)

    def iter_names(self) -> Iterator[str]:
        """Yield every name that a task may have, each once."""
        names = chain(
            *(block.names for block in self.blocks), self.fixed, *(further.keys() for further in self.combinations)
        )
        yield from dict.fromkeys(names)


@dataclass(frozen=True, slots=True)
class Expansion:
    """Tasks of a space.

    Attributes:
        tasks: Their parameters; the first one is task 1.
        excluded: How many tasks each exclusion matches.
    """

    tasks: tuple[Parameters, ...]
    excluded: tuple[int, ...]


def expand_space(space: ParameterSpace) -> Expansion:
    """Make the tasks."""
    tests = [
        {name: frozenset(map(make_value_key, values)) for name, values in exclusion.items()}
        for exclusion in space.exclusions
    ]
    counts = [0] * len(tests)
    tasks = []
    for task in _iter_all(space):
        matching = [index for index, test in enumerate(tests) if _matches(task, test)]
        for index in matching:
            counts[index] += 1
        if not matching:
            tasks.append(task)
    if space.seed is not None:
        shuffle(tasks, space.seed)
    return Expansion(tuple(tasks), tuple(counts))


def _iter_all(space: ParameterSpace) -> Iterator[dict[str, object]]:
    names = tuple(chain(*(block.names for block in space.blocks)))
    if space.blocks:
        for rows in product(*(block.rows for block in space.blocks)):
            yield dict(zip(names, chain(*rows), strict=True)) | dict(space.fixed)
    for further in space.combinations:
        yield {**further, **space.fixed}


def _matches(task: Parameters, test: Mapping[str, frozenset[object]]) -> bool:
    return all(name in task and make_value_key(task[name]) in keys for name, keys in test.items())


def shuffle(items: list[dict[str, object]], seed: int) -> None:
    """Shuffle a list in place, in the same way with every version of Python.

    `random.shuffle` changed between versions; this is Fisher and Yates's method over `random()`, which does not.
    """
    source = Random(seed)  # noqa: S311 - no secret
    for last in range(len(items) - 1, 0, -1):
        other = int(source.random() * (last + 1))
        items[last], items[other] = items[other], items[last]
