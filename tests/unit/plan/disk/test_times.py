"""What two times say, by what was measured of the destination."""

from __future__ import annotations

import pytest

from hsm.plan.disk.file_system import SECOND_NS, FileSystem, Rounding
from hsm.plan.disk.times import TimeMatch, count_tick_ns, find_source_time, match_times

T = 1_760_000_001 * SECOND_NS  # an odd second
HOUR = 3600 * SECOND_NS
FINE = FileSystem()
NTFS = FileSystem(step_ns=100)
EXT3 = FileSystem(step_ns=SECOND_NS, earliest_ns=-(2**31) * SECOND_NS, latest_ns=(2**31 - 1) * SECOND_NS)
FAT = FileSystem(step_ns=2 * SECOND_NS, earliest_ns=315_532_800 * SECOND_NS, latest_ns=4_354_819_198 * SECOND_NS)
FAT_UP = FileSystem(step_ns=2 * SECOND_NS, rounding=Rounding.UP)
SECOND_UP = FileSystem(step_ns=SECOND_NS, rounding=Rounding.UP)
NEAREST = FileSystem(step_ns=SECOND_NS, rounding=Rounding.NEAREST)
BY_SFTP = FINE.join_sent_step(SECOND_NS)
SFTP_TO_FAT_UP = FAT_UP.join_sent_step(SECOND_NS)
NO_TIMES = FileSystem(keeps_times=False)

CASES = {
    "the very same": (T + 7, T + 7, FINE, TimeMatch.SAME),
    "the very same, not measured": (T + 7, T + 7, None, TimeMatch.SAME),
    "cut, where nothing is cut": (T + 7, T, FINE, TimeMatch.OTHER),
    "one second older, where nothing is cut": (T, T - SECOND_NS, FINE, TimeMatch.OTHER),
    "100 ns": (T + 123_456_789, T + 123_456_700, NTFS, TimeMatch.CUT),
    "100 ns, cut to whole seconds": (T + 123_456_789, T, NTFS, TimeMatch.OTHER),
    "whole seconds": (T + 5, T, EXT3, TimeMatch.CUT),
    "whole seconds, one second older": (T + 5, T - SECOND_NS, EXT3, TimeMatch.OTHER),
    "whole seconds, rounded up": (T + 5, T + SECOND_NS, EXT3, TimeMatch.OTHER),
    "whole seconds, one second older at a whole second": (T, T - SECOND_NS, EXT3, TimeMatch.OTHER),
    "two seconds": (T, T - SECOND_NS, FAT, TimeMatch.CUT),
    "two seconds, older": (T, T - 3 * SECOND_NS, FAT, TimeMatch.OTHER),
    "rounded up to two seconds": (T, T + SECOND_NS, FAT_UP, TimeMatch.CUT),
    "rounded up to a second": (T + 5, T + SECOND_NS, SECOND_UP, TimeMatch.CUT),
    "rounded up, yet cut": (T + 5, T, SECOND_UP, TimeMatch.OTHER),
    "rounded to the nearest, down": (T + 5, T, NEAREST, TimeMatch.CUT),
    "rounded to the nearest, up": (T + SECOND_NS - 5, T + SECOND_NS, NEAREST, TimeMatch.CUT),
    "cut by the engine": (T + 5, T, BY_SFTP, TimeMatch.CUT),
    "cut by the engine, then rounded up": (T - SECOND_NS + 5, T - SECOND_NS, SFTP_TO_FAT_UP, TimeMatch.CUT),
    "before 1970": (-5, -SECOND_NS, EXT3, TimeMatch.CUT),
    "too early": (-HOUR, 315_532_800 * SECOND_NS, FAT, TimeMatch.LOST),
    "too late": (2**32 * SECOND_NS, 5, EXT3, TimeMatch.LOST),
    "an hour later": (T + 5, T + HOUR - SECOND_NS, FAT, TimeMatch.SHIFTED),
    "an hour earlier": (T, T - HOUR, FINE, TimeMatch.SHIFTED),
    "an hour and a second": (T, T + HOUR + SECOND_NS, FINE, TimeMatch.OTHER),
    "two hours": (T, T + 2 * HOUR, FAT, TimeMatch.OTHER),
    "no times at all": (T, T + 77, NO_TIMES, TimeMatch.LOST),
    "not measured, near": (T, T - 2 * SECOND_NS, None, TimeMatch.UNKNOWN),
    "not measured, an hour": (T, T + HOUR, None, TimeMatch.UNKNOWN),
    "not measured, far": (T, T - 3 * SECOND_NS, None, TimeMatch.OTHER),
    "not measured, a time that few keep": (-HOUR, T, None, TimeMatch.UNKNOWN),
}


@pytest.mark.parametrize(("source", "target", "there", "expected"), CASES.values(), ids=CASES.keys())
def test_two_times(source: int, target: int, there: FileSystem | None, expected: TimeMatch) -> None:
    assert match_times(source, target, there) is expected


NOW = 1_760_000_003 * SECOND_NS + 400_000_000
TICKS = {
    "nothing": ([], 0),
    "long ago": ([NOW - 60 * SECOND_NS, T], 0),
    "this very second, of a disk that keeps seconds": ([1_760_000_003 * SECOND_NS], 620_000_000),
    "an even second, which may be one of FAT": ([1_760_000_002 * SECOND_NS], 620_000_000),
    "the second before": ([1_760_000_001 * SECOND_NS], 0),
    "a few milliseconds ago": ([NOW - 5_000_001], 14_999_999),
    "this second, with all digits": ([NOW - 300_000_001], 0),
    "of a clock that is ahead": ([NOW + 60 * SECOND_NS + 7], 20_000_000),
    "of a clock that is ahead, whole seconds": ([1_760_000_103 * SECOND_NS], SECOND_NS + 20_000_000),
    "the longest counts": ([NOW - 1, 1_760_000_003 * SECOND_NS, T], 620_000_000),
}


@pytest.mark.parametrize(("times", "rest"), TICKS.values(), ids=TICKS.keys())
def test_the_rest_of_a_tick(times: list[int], rest: int) -> None:
    assert count_tick_ns(times, NOW) == rest


def test_the_newest_file_tells_how_late_it_is_at_a_source_whose_clock_is_behind() -> None:
    assert find_source_time([NOW - 9 * SECOND_NS, NOW - 3 * SECOND_NS], NOW) == NOW - 3 * SECOND_NS
    assert find_source_time([NOW + SECOND_NS], NOW) == NOW
    assert find_source_time([], NOW) == find_source_time([NOW - 86_400 * SECOND_NS], NOW) == NOW - 300 * SECOND_NS
