"""What a probe concludes from what it saw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hsm.plan.disk.file_system import SECOND_NS, FileSystem, Rounding, round_time
from hsm.plan.disk.names import RULES
from hsm.remote.probe import EVEN_NS, FAR_SECONDS, LENGTHS, ODD_NS, Observation, make_file_system

SEEN = Observation(
    odd=(ODD_NS, ODD_NS),
    even=(EVEN_NS, EVEN_NS),
    far={seconds: seconds * SECOND_NS for seconds in FAR_SECONDS},
    names=frozenset(rule.sample for rule in RULES),
    lengths=frozenset(LENGTHS),
)


def see_times(step: int, rounding: Rounding) -> Observation:
    pairs = [(given, round_time(given, step, rounding)) for given in (ODD_NS, EVEN_NS)]
    return replace(SEEN, odd=pairs[0], even=pairs[1])


def test_a_disk_that_keeps_everything_is_the_default() -> None:
    assert make_file_system(SEEN) == FileSystem()


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("step", [100, 1_000, 1_000_000, 10_000_000, SECOND_NS, 2 * SECOND_NS])
def test_step_and_direction_are_told_from_two_times(step: int, rounding: Rounding) -> None:
    found = make_file_system(see_times(step, rounding))
    assert (found.step_ns, found.rounding, found.keeps_times) == (step, rounding, True)


@pytest.mark.parametrize(
    ("odd", "even"),
    [(None, None), ((ODD_NS, ODD_NS + 7), (EVEN_NS, EVEN_NS + 99)), ((ODD_NS, 1), (EVEN_NS, 1))],
    ids=["nothing could be set", "no step explains it", "the same time whatever is set"],
)
def test_a_disk_whose_times_nothing_explains_keeps_none(
    odd: tuple[int, int] | None, even: tuple[int, int] | None
) -> None:
    assert not make_file_system(replace(SEEN, odd=odd, even=even)).keeps_times


@pytest.mark.parametrize(
    ("fresh", "step"),
    [(1_795_989_662_123_456_789, 1), (1_795_989_662_123_456_700, 100), (1_795_989_663 * SECOND_NS, SECOND_NS)],
)
def test_where_only_whole_seconds_can_be_set_the_clocks_own_times_tell_the_step(fresh: int, step: int) -> None:
    whole = [given // SECOND_NS * SECOND_NS for given in (ODD_NS, EVEN_NS)]
    seen = replace(SEEN, odd=(whole[0], whole[0]), even=(whole[1], whole[1]), fresh=[fresh])
    assert make_file_system(seen).step_ns == step


Y1900, Y9999 = FAR_SECONDS
FAT = (315_532_800, 4_354_819_198)


@pytest.mark.parametrize(
    ("far", "earliest", "latest"),
    [
        ({}, None, None),
        ({Y1900: FAT[0], Y9999: FAT[1]}, *FAT),
        ({Y1900: -(2**31), Y9999: 2**31 - 1}, -(2**31), 2**31 - 1),
        ({Y1900: None, Y9999: None}, FAT[0], 2**31 - 1),
        ({Y1900: Y1900 + 2**32, Y9999: Y9999 % 2**31}, FAT[0], 2**31 - 1),
    ],
    ids=["all", "FAT", "ext3", "refused", "wraps around"],
)
def test_the_range_ends_where_a_time_is_not_kept(
    far: dict[int, int | None], earliest: int | None, latest: int | None
) -> None:
    seen = {given: None if (found := far.get(given, given)) is None else found * SECOND_NS for given in FAR_SECONDS}
    there = make_file_system(replace(SEEN, far=seen))
    assert there.earliest_ns == (None if earliest is None else earliest * SECOND_NS)
    assert there.latest_ns == (None if latest is None else latest * SECOND_NS)


def test_names_that_were_not_seen_are_refused() -> None:
    names = SEEN.names - {"a:b", "con"}
    found = make_file_system(replace(SEEN, names=names, lengths=frozenset({143, 100})))
    assert found.refused == (":", "device")
    assert found.longest_name == 143


@pytest.mark.parametrize(("shown", "form"), [("hsm-\u00e9", ""), ("hsm-e\u0301", "NFD")])
def test_the_form_in_which_names_are_shown(shown: str, form: str) -> None:
    assert make_file_system(replace(SEEN, shown=frozenset({shown}))).unicode_form == form
