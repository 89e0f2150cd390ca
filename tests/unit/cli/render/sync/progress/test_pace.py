"""Speed and time left: numbers that settle."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.cli.render.sync.progress.pace import Estimate, Rate

MEGABYTE = 1_000_000


def make_rate(*samples: tuple[float, int]) -> Rate:
    rate = Rate()
    for now, n_bytes in samples:
        rate.add(now, n_bytes)
    return rate


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param([], 0.0, id="nothing known"),
        pytest.param([(5.0, 100)], 0.0, id="one look is no rate"),
        pytest.param([(0.0, 0), (2.0, 100)], 50.0, id="two looks"),
        pytest.param([(3.0, 0), (3.0, 100)], 0.0, id="no time has passed"),
        pytest.param([(0.0, 0), *((t, 1000 + 10 * t) for t in range(1, 9))], 10.0, id="a burst that filled buffers"),
        pytest.param([(t, 100 * min(t, 20)) for t in range(40)], 0.0, id="it stands still"),
        pytest.param([(t, 100 * t + 900 * max(0, t - 20)) for t in range(40)], 1000.0, id="it became faster"),
    ],
)
def test_rate(samples: list[tuple[float, int]], expected: float) -> None:
    assert make_rate(*samples).bytes_per_second == pytest.approx(expected)


def show(n_bytes: list[int], total: int, *, step_seconds: float = 0.5) -> list[float | None]:
    """What is shown at each look, of a transfer that has moved so much at each."""
    rate, estimate, shown = Rate(), Estimate(), []
    for number, moved in enumerate(n_bytes):
        now = number * step_seconds
        rate.add(now, moved)
        estimate.take(now, rate, total - moved)
        shown.append(estimate.seconds)
    return shown


def test_nothing_is_said_in_the_first_seconds() -> None:
    shown = show([number * MEGABYTE for number in range(20)], 100 * MEGABYTE)
    assert shown[:10] == [None] * 10
    assert shown[10] == pytest.approx(45.0)


def test_a_steady_transfer_counts_down_with_the_clock() -> None:
    shown = [seconds for seconds in show([n * MEGABYTE for n in range(101)], 100 * MEGABYTE) if seconds is not None]
    assert shown == pytest.approx([(100 - n) / 2 for n in range(10, 101)], abs=0.01)


def show_bumpy(seed: int) -> list[float]:
    """What is shown of a transfer whose speed is anything from 40 % to 160 % of its mean in each half second."""
    chance = random.Random(seed)
    moved = [0]
    while moved[-1] < 200 * MEGABYTE:
        moved.append(moved[-1] + int(MEGABYTE * chance.choice([0.4, 0.7, 1.0, 1.3, 1.6])))
    return [seconds for seconds in show(moved, moved[-1]) if seconds is not None]


@given(st.integers(0, 2**32))
def test_a_bumpy_transfer_is_told_smoothly(seed: int) -> None:
    for before, after in pairwise(show_bumpy(seed)):
        assert abs(after - before) < 1.0 + 0.1 * before, "a leap"


@pytest.mark.parametrize("seed", range(10))
def test_a_bumpy_transfer_is_told_rightly(seed: int) -> None:
    shown = show_bumpy(seed)
    truth = [(len(shown) - 1 - number) * 0.5 for number in range(len(shown))]
    assert all(abs(told - left) < 2.0 + 0.6 * left for told, left in zip(shown, truth, strict=True))


def test_a_link_that_stands_still_says_nothing_new() -> None:
    moved = [n * MEGABYTE for n in range(20)] + [19 * MEGABYTE] * 30
    shown = show(moved, 100 * MEGABYTE)
    assert shown[-1] == shown[-2]
