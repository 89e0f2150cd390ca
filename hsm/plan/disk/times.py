"""Comparison of a file's time at the source with the one that a destination shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from hsm.plan.disk.file_system import SECOND_NS, FileSystem

_HOUR_NS = 3600 * SECOND_NS
# Of all file systems that are known, exFAT's and FAT's.
_COARSEST_NS = 2 * SECOND_NS

_TICKS_NS = (_COARSEST_NS, SECOND_NS)
_TIMER_NS = 20_000_000
_LONGEST_NS = _COARSEST_NS + _TIMER_NS
# A clock that is further off is noticed by other means; older files are not worth a second look.
_MOST_BEHIND_NS = 300 * SECOND_NS

# 1980 to 2038: what every file system keeps.
_SAFE_RANGE_NS = (315_532_800 * SECOND_NS, (2**31 - 1) * SECOND_NS)


class TimeMatch(Enum):
    """Verdict of two times on a file whose size is the same at both ends."""

    SAME = "the very same"
    CUT = "the same, as far as the destination keeps times"
    LOST = "the destination cannot keep this time, so it says nothing"
    SHIFTED = "the same but for one hour, as on FAT after daylight saving"
    UNKNOWN = "it depends on what the destination keeps, which nobody has measured yet"
    OTHER = "another"


def match_times(source_ns: int, target_ns: int, there: FileSystem | None) -> TimeMatch:
    """Compare two times.

    Args:
        source_ns: At the source.
        target_ns: At the destination.
        there: The destination's file system; None where it has not been measured.
    """
    if source_ns == target_ns:
        return TimeMatch.SAME
    if there is None:
        return TimeMatch.UNKNOWN if _may_be_same(source_ns, target_ns) else TimeMatch.OTHER
    if not (there.keeps_times and there.is_in_range(source_ns)):
        return TimeMatch.LOST
    if there.show_time(source_ns) == target_ns:
        return TimeMatch.CUT
    # FAT keeps local time, and some systems use today's distance to UTC for all of the year.
    if target_ns in (there.show_time(source_ns - _HOUR_NS), there.show_time(source_ns + _HOUR_NS)):
        return TimeMatch.SHIFTED
    return TimeMatch.OTHER


def is_same_time(source_ns: int, target_ns: int, there: FileSystem | None) -> bool:
    """Tell whether a destination's time is the source's, as far as it keeps times."""
    return match_times(source_ns, target_ns, there) in (TimeMatch.SAME, TimeMatch.CUT)


def is_near_time(source_ns: int, target_ns: int) -> bool:
    """Tell whether two times are as near as some file system may have made them of one."""
    return abs(source_ns - target_ns) <= _COARSEST_NS


def count_tick_ns(times_ns: Iterable[int], now_ns: int) -> int:
    """Count how long it is until no file can be written again without its time showing it.

    A file that was written within the present tick of its file system may be written once more, at the same size, and
    keep its time; git calls such entries racy. A time with few digits tells of a long tick; Linux's own are as long as
    its timer's, 1 to 10 ms, however many digits it shows.

    Args:
        times_ns: Of the files, as a listing showed them.
        now_ns: The clock's time. A time beyond it, of a clock that is ahead, may be of this very moment.
    """
    return max((_count_rest(time, now_ns) for time in times_ns if time > now_ns - _LONGEST_NS), default=0)


def may_be_written_since(time_ns: int, moment_ns: int) -> bool:
    """Tell whether a file that shows a time may have been written after a moment, as far as its disk keeps times."""
    return time_ns + _guess_tick(time_ns) > moment_ns


def find_source_time(times_ns: Iterable[int], now_ns: int) -> int:
    """Find a moment that is certainly past at a source whose clock may be behind this one's.

    Args:
        times_ns: Of all its files: it is as late there as its newest says.
        now_ns: This clock's time.
    """
    return max(min(max(times_ns, default=0), now_ns), now_ns - _MOST_BEHIND_NS)


def _count_rest(time_ns: int, now_ns: int) -> int:
    tick = _guess_tick(time_ns)
    return max(0, min(tick, time_ns + tick - now_ns))


def _guess_tick(time_ns: int) -> int:
    # The clock of files is as late as the timer: just after a second has begun it still shows the one before.
    return next((step for step in _TICKS_NS if time_ns % step == 0), 0) + _TIMER_NS


def is_kept_everywhere(time_ns: int) -> bool:
    """Tell whether every file system that is known can keep a time, but for its last digits."""
    first, last = _SAFE_RANGE_NS
    return first <= time_ns <= last


def _may_be_same(source_ns: int, target_ns: int) -> bool:
    is_shifted = is_near_time(abs(source_ns - target_ns), _HOUR_NS)
    return is_near_time(source_ns, target_ns) or is_shifted or not is_kept_everywhere(source_ns)
