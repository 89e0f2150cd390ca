"""Distributions: the same numbers on every machine, within their bounds, and every mistake in them."""

from __future__ import annotations

from decimal import localcontext
from random import Random
from statistics import mean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.sweeps.tasks.distributions import NoDistributionError, parse_distribution
from hsm.sweeps.tasks.draws import draw_block

# Written down once, by CPython 3.11 on x86_64: whoever changes one of these changes the sweeps of others.
KNOWN = [
    ({"uniform": [0, 1]}, [0.32383276, 0.15084917, 0.65093447, 0.072436287]),
    ({"uniform": [-2.5, 7]}, [0.57641127, -1.0669328, 3.6838775, -1.8118553]),
    ({"log_uniform": [1e-5, 1e-1]}, [0.00019739269, 4.0123305e-05, 0.0040154839, 1.9487007e-05]),
    ({"normal": [10, 2]}, [9.1068411, 10.416369, 11.168036, 8.5964647]),
    ({"int": [1, 6]}, [2, 1, 4, 1]),
    ({"int_log": [1, 1000]}, [9, 2, 89, 1]),
    ({"choice": ["adam", None, [1, 2]]}, ["adam", "adam", None, "adam"]),
]


def draw(data: object, count: int, seed: int = 7) -> list[object]:
    distribution, source = parse_distribution(data), Random(seed)
    return [distribution.draw(source) for _ in range(count)]


@pytest.mark.parametrize(("data", "values"), KNOWN)
def test_a_seed_gives_these_values(data: object, values: list[object]) -> None:
    assert draw(data, 4) == values


def test_the_caller_s_decimal_context_does_not_count() -> None:
    expected = [draw(data, 20) for data, _ in KNOWN]
    with localcontext() as context:
        context.prec = 3
        assert [draw(data, 20) for data, _ in KNOWN] == expected


@pytest.mark.parametrize(
    ("data", "least", "most"),
    [
        ({"uniform": [0.1, 0.3]}, 0.1, 0.3),
        ({"uniform": [1, 1.0000000001]}, 1, 1.0000000001),
        ({"log_uniform": [1e-30, 1e30]}, 1e-30, 1e30),
        ({"int": [-3, 3]}, -3, 3),
        ({"int_log": [2, 3]}, 2, 3),
    ],
)
def test_values_stay_within_the_bounds(data: object, least: float, most: float) -> None:
    found = draw(data, 500)
    assert all(least <= value <= most for value in found)  # type: ignore[operator]
    if "int" in str(data):
        assert set(found) == set(range(int(least), int(most) + 1))


def test_values_are_distributed() -> None:
    normal = draw({"normal": [10, 2]}, 2000)
    assert mean(normal) == pytest.approx(10, abs=0.2)  # type: ignore[type-var]
    assert stdev(normal) == pytest.approx(2, abs=0.2)  # type: ignore[type-var]
    decades = [value < 1e-3 for value in draw({"log_uniform": [1e-5, 1e-1]}, 2000)]  # type: ignore[operator]
    assert mean(decades) == pytest.approx(0.5, abs=0.05)
    small = [value < 10 for value in draw({"int_log": [1, 99]}, 2000)]  # type: ignore[operator]
    assert mean(small) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (5, "is no distribution"),
        ({}, "is no distribution"),
        ({"uniform": [0, 1], "int": [0, 1]}, "is no distribution"),
        ({"unifrom": [0, 1]}, "'unifrom', which is no distribution, did you mean uniform?"),
        ({"uniform": 3}, "has no list for uniform"),
        ({"choice": []}, "has an empty list"),
        ({"uniform": [1]}, "has not two numbers"),
        ({"uniform": [1, 2, 3]}, "has not two numbers"),
        ({"uniform": ["a", "b"]}, "has not two numbers"),
        ({"uniform": [True, 2]}, "has not two numbers"),
        ({"uniform": [2, 1]}, "bounds that do not rise"),
        ({"uniform": [1, 1]}, "bounds that do not rise"),
        ({"uniform": [0, float("inf")]}, "not finite"),
        ({"uniform": [float("nan"), 1]}, "not finite"),
        ({"log_uniform": [0, 1]}, "not above 0"),
        ({"int_log": [0, 5]}, "not above 0"),
        ({"normal": [0, 0]}, "deviation"),
        ({"int": [1, 2.5]}, "has not two whole numbers"),
        ({"int": [0, 2**53]}, "too far apart"),
    ],
)
def test_what_is_no_distribution_is_said(data: object, problem: str) -> None:
    with pytest.raises(NoDistributionError, match=problem.replace("?", r"\?")):
        parse_distribution(data)


def test_no_row_is_drawn_twice() -> None:
    parameters = {name: parse_distribution({"int": [0, 9]}) for name in "ab"}
    block = draw_block(parameters, count=100, seed=3)
    assert len(set(block.rows)) == 100
    assert block.rows[:3] == draw_block(parameters, count=3, seed=3).rows
    assert block.rows[:3] != draw_block(parameters, count=3, seed=4).rows


def test_more_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(NoDistributionError, match="asks for 7 different ones, and there are 6"):
        draw_block({"a": parse_distribution({"int": [1, 6]})}, count=7, seed=0)
    with pytest.raises(NoDistributionError, match="asks for 3 different ones, and only 2"):
        draw_block({"a": parse_distribution({"choice": [1, 2, 1]})}, count=3, seed=0)


def test_a_parameter_s_values_do_not_depend_on_the_others() -> None:
    uniform, whole = parse_distribution({"uniform": [0, 1]}), parse_distribution({"int": [1, 6]})
    alone = draw_block({"lr": uniform}, count=5, seed=1)
    both = draw_block({"layers": whole, "lr": uniform}, count=5, seed=1)
    assert [row[0] for row in alone.rows] == [row[1] for row in both.rows]


@given(st.integers(0, 2**64), st.integers(1, 30))
def test_a_seed_is_enough(seed: int, count: int) -> None:
    parameters = {"x": parse_distribution({"normal": [0, 1]}), "n": parse_distribution({"int_log": [1, 9]})}
    assert draw_block(parameters, count=count, seed=seed) == draw_block(parameters, count=count, seed=seed)
