"""Reader of a definition's `sweep` section: the space of its parameters, and every mistake in it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from hsm.config.yaml.document import Location
from hsm.sweeps.definition.schema import RandomSection, SweepSection
from hsm.sweeps.tasks.distributions import (
    DISTRIBUTION_WORDS,
    Distribution,
    NoDistributionError,
    parse_distribution,
)
from hsm.sweeps.tasks.draws import draw_block
from hsm.sweeps.tasks.space import Block, ParameterSpace
from hsm.sweeps.tasks.values import Parameters, iter_leaves

_SWEEP = ("sweep",)


class Fault(NamedTuple):
    """Mistake in a definition: where it lies, and what is wrong there."""

    location: Location
    text: str


CheckParameter = Callable[[str, object], str]
"""Says why a parameter of this name cannot have this value; empty where it can."""


class SpaceReader:
    """Reader of one `sweep` section.

    Attributes:
        faults: Found so far.
    """

    def __init__(self, section: SweepSection, written: Mapping[str, object], check: CheckParameter) -> None:
        """Begin.

        Args:
            section: The section.
            written: The same as plain values, whose order counts.
            check: Whether the script can be given a parameter.
        """
        self.faults: list[Fault] = []
        self._section = section
        self._written = written
        self._check = check
        self._homes: dict[str, Location] = {}

    def read(self) -> ParameterSpace:
        """Read it; what is returned counts only where there are no faults."""
        readers = {"grid": self._read_grid, "paired": self._read_paired, "random": self._read_random}
        blocks = [block for key in self._written if key in readers for block in readers[key]()]
        fixed = self._read_values(self._section.fixed, (*_SWEEP, "fixed"))
        for name, _, place in iter_leaves(self._section.fixed, (*_SWEEP, "fixed")):
            self._claim(name, place)
        return ParameterSpace(
            blocks=tuple(blocks),
            combinations=tuple(self._iter_combinations(fixed)),
            fixed=fixed,
            exclusions=tuple(self._iter_exclusions()),
            seed=self._section.order,
        )

    def _add(self, location: Location, text: str) -> None:
        self.faults.append(Fault(location, text))

    def _claim(self, name: str, place: Location) -> None:
        """Note where a parameter is varied; it may be in one place only."""
        former = self._homes.setdefault(name, place)
        if former != place:
            self._add(place, f"is there twice, first as {'.'.join(map(str, former[1:]))}")

    def _read_grid(self) -> Iterator[Block]:
        for name, values, place in iter_leaves(self._section.grid, (*_SWEEP, "grid")):
            if self._check_axis(name, values, place) and isinstance(values, list):
                yield Block((name,), tuple((value,) for value in values))

    def _check_axis(self, name: str, values: object, place: Location) -> bool:
        """Check the list of a parameter's values."""
        self._claim(name, place)
        if not isinstance(values, list):
            self._add(place, "is no list; put a single value into brackets, or into fixed")
            return False
        if not values:
            self._add(place, "is an empty list, so there would be no task")
            return False
        for value in values:
            if problem := self._check(name, value):
                self._add(place, problem)
                return False
        return True

    def _read_paired(self) -> Iterator[Block]:
        for index, group in enumerate(self._section.paired):
            place = (*_SWEEP, "paired", index)
            if not group:
                self._add(place, "is an empty group")
            for title, members in group.items():
                yield from self._read_group(members, (*place, title))

    def _read_group(self, members: object, place: Location) -> Iterator[Block]:
        if not isinstance(members, dict) or not members:
            self._add(place, "is no group; a group has a name, and below it parameters with lists of values")
            return
        found = list(iter_leaves(members, place))
        checked = [self._check_axis(*leaf) for leaf in found]  # each of them, so that every mistake is told
        if not all(checked):
            return
        lists = [(name, values, where) for name, values, where in found if isinstance(values, list)]
        first, length = lists[0][0], len(lists[0][1])
        unequal = [(where, len(values)) for _, values, where in lists if len(values) != length]
        for where, other in unequal:
            self._add(where, f"has {other} values, and {first} has {length}; those of a group vary together")
        if not unequal:
            names = tuple(name for name, _, _ in lists)
            yield Block(names, tuple(zip(*(values for _, values, _ in lists), strict=True)))

    def _read_random(self) -> Iterator[Block]:
        section = self._section.random
        if section is None:
            return
        place = (*_SWEEP, "random", "parameters")
        found: dict[str, Distribution] = {}
        leaves = list(_iter_distributions(section.parameters, place))
        for name, value, where in leaves:
            self._claim(name, where)
            try:
                distribution = parse_distribution(value)
            except NoDistributionError as error:
                self._add(where, f"{error}; allowed: {DISTRIBUTION_WORDS}")
                continue
            samples = distribution.list_samples()
            problems = [problem for sample in samples if (problem := self._check(name, sample))]
            for problem in problems[:1]:
                self._add(where, problem)
            found[name] = distribution
        if not leaves:
            self._add(place, "has no parameters")
        elif len(found) == len(leaves):
            yield from self._draw(found, section)

    def _draw(self, found: Mapping[str, Distribution], section: RandomSection) -> Iterator[Block]:
        try:
            yield draw_block(found, count=section.n, seed=section.seed)
        except NoDistributionError as error:
            self._add((*_SWEEP, "random", "n"), str(error))

    def _read_values(self, data: Mapping[str, object], place: Location) -> dict[str, object]:
        found: dict[str, object] = {}
        for name, value, where in iter_leaves(data, place):
            if name in found:
                self._add(where, "is there twice")
            if problem := self._check(name, value):
                self._add(where, problem)
            found[name] = value
        return found

    def _iter_combinations(self, fixed: Parameters) -> Iterator[Parameters]:
        for index, further in enumerate(self._section.combinations):
            place = (*_SWEEP, "combinations", index)
            if not further:
                self._add(place, "has no parameters")
            found = self._read_values(further, place)
            for name, _, where in iter_leaves(further, place):
                if name in fixed:
                    self._add(where, "is in fixed too, and so has a value in every task")
            yield found

    def _iter_exclusions(self) -> Iterator[Mapping[str, tuple[object, ...]]]:
        for index, exclusion in enumerate(self._section.exclude):
            place = (*_SWEEP, "exclude", index)
            found: dict[str, tuple[object, ...]] = {}
            for name, value, where in iter_leaves(exclusion, place):
                if value == []:
                    self._add(where, "is an empty list, so it would leave out nothing")
                found[name] = tuple(value) if isinstance(value, list) else (value,)
            if not found:
                self._add(place, "has no parameters, so it would leave out everything")
            yield found


def _iter_distributions(data: Mapping[str, object], place: Location) -> Iterator[tuple[str, object, Location]]:
    """Yield what stands for a distribution: everything but mappings of mappings, whose names are dotted."""
    for name, value, where in ((name, value, (*place, name)) for name, value in data.items()):
        if isinstance(value, dict) and value and all(isinstance(inner, dict) for inner in value.values()):
            yield from ((f"{name}.{inner}", leaf, at) for inner, leaf, at in _iter_distributions(value, where))
        else:
            yield name, value, where
