"""Expansion of a space of parameters into tasks."""

from __future__ import annotations

import pytest

from hsm.sweeps.tasks.space import Block, ParameterSpace, expand_space
from hsm.sweeps.tasks.values import make_task_key, make_value_key

A = Block(("a",), ((1,), (2,)))
B = Block(("b", "c"), (("x", 10), ("y", 20)))


def list_values(space: ParameterSpace) -> list[tuple[object, ...]]:
    return [tuple(task.values()) for task in expand_space(space).tasks]


def test_the_last_block_varies_fastest() -> None:
    space = ParameterSpace((A, B), fixed={"z": 0})
    assert list_values(space) == [(1, "x", 10, 0), (1, "y", 20, 0), (2, "x", 10, 0), (2, "y", 20, 0)]
    assert list(expand_space(space).tasks[0]) == ["a", "b", "c", "z"]
    assert space.count() == 4


def test_combinations_come_last_and_multiply_with_nothing() -> None:
    space = ParameterSpace((A,), combinations=({"q": 5},), fixed={"z": 0})
    assert [dict(task) for task in expand_space(space).tasks] == [{"a": 1, "z": 0}, {"a": 2, "z": 0}, {"q": 5, "z": 0}]
    assert space.count() == 3


def test_nothing_that_varies_is_no_task() -> None:
    assert expand_space(ParameterSpace(fixed={"z": 0})).tasks == ()


def test_an_exclusion_needs_every_name_and_any_of_its_values() -> None:
    space = ParameterSpace((A, B), exclusions=({"a": (1,), "b": ("x", "q")}, {"nowhere": (1,)}, {"c": (20,)}))
    found = expand_space(space)
    assert [tuple(task.values()) for task in found.tasks] == [(2, "x", 10)]
    assert found.excluded == (1, 0, 2)


def test_an_order_is_shuffled_in_the_same_way_everywhere() -> None:
    numbers = Block(("n",), tuple((n,) for n in range(10)))
    # Written down once; see test_distributions.
    assert list_values(ParameterSpace((numbers,), seed=7)) == [(n,) for n in SHUFFLED]
    assert list_values(ParameterSpace((numbers,), seed=8)) != [(n,) for n in SHUFFLED]


SHUFFLED = [2, 7, 4, 6, 8, 9, 0, 5, 1, 3]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, "null", False),
        ("nan", float("nan"), False),
        (float("nan"), float("nan"), True),
        ([1, [2]], [1, [2]], True),
        ([1], [True], False),
        ({"a": 1}, {"a": 1}, True),
        ("[1]", [1], False),
    ],
)
def test_values_match_as_people_mean_it(one: object, other: object, equal: bool) -> None:
    assert (make_value_key(one) == make_value_key(other)) is equal


def test_a_task_is_told_by_its_parameters_in_any_order() -> None:
    assert make_task_key({"a": 1, "b": 2}) == make_task_key({"b": 2, "a": 1})
    assert len({make_task_key({"a": value}) for value in (1, 1.0, True, "1", None)}) == 5
