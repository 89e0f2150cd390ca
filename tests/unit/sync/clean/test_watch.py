"""The watch over a removal: when what speaks for it is looked at again."""

from __future__ import annotations

import pytest

from hsm.sync.clean.watch import MOST_SECONDS, RemovalWatch


class Clock:
    """A clock, and looks that take time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.looks = 0
        self.durations: list[float] = []

    def look(self) -> None:
        self.looks += 1
        self.now += self.durations.pop(0) if self.durations else 0.1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> RemovalWatch:
    return RemovalWatch(clock.look, lambda: clock.now)


def test_nothing_is_fresh_before_the_first_look(watch: RemovalWatch, clock: Clock) -> None:
    assert not watch.is_fresh()
    watch.keep_fresh()
    assert clock.looks == 1


@pytest.mark.parametrize(("pause", "looks"), [(0.0, 1), (MOST_SECONDS - 1, 1), (MOST_SECONDS + 1, 2), (86400.0, 2)])
def test_after_a_pause_it_looks_again(watch: RemovalWatch, clock: Clock, pause: float, looks: int) -> None:
    watch.look()
    clock.now += pause
    watch.keep_fresh()
    assert clock.looks == looks
    assert watch.is_fresh()


def test_a_pause_within_a_look_counts(watch: RemovalWatch, clock: Clock) -> None:
    """Between the answer of a target and the end of the look the process may have slept."""
    clock.durations = [3600.0]
    watch.look()
    assert clock.looks == 2


def test_a_target_that_is_always_so_slow_is_not_asked_for_ever(watch: RemovalWatch, clock: Clock) -> None:
    clock.durations = [MOST_SECONDS + 10] * 10
    watch.look()
    assert clock.looks == 3
    watch.keep_fresh()
    assert clock.looks == 3


def test_what_a_look_finds_is_raised(clock: Clock) -> None:
    def look() -> None:
        raise ValueError("changed")

    watch = RemovalWatch(look, lambda: clock.now)
    for call in (watch.look, watch.keep_fresh):
        with pytest.raises(ValueError, match="changed"):
            call()
