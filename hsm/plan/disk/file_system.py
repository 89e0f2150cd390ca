"""The file system below a folder, as a probe has measured it: its times, its names, what works in it. Pure.

What follows from each fact stands in docs/design/probe.md.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field, replace
from enum import Enum

SECOND_NS = 10**9
LONGEST_NAME = 255
"""Bytes: no file system of a source has longer ones."""


class Rounding(str, Enum):
    """The direction in which a file system rounds a time that it cannot keep."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """The file system of one destination root.

    The defaults are those of ext4, XFS and the like.

    Attributes:
        step_ns: Times are kept as multiples of it.
        rounding: Of a time that is none.
        sent_step_ns: Times are cut to a multiple of it before they reach the disk, as SFTP and old rsyncs do.
        keeps_times: A time can be given to a file at all.
        earliest_ns: The first time that can be kept; None where none was found.
        latest_ns: Likewise, the last one.
        folds_case: Names that differ only in case are one name.
        folds_unicode: Names that differ only in their Unicode form are one name.
        unicode_form: In which all names are shown, `NFD` (HFS+); empty where they are shown as they were made.
        refused: The rules (`hsm.plan.disk.names`) whose names cannot be made.
        longest_name: In bytes.
        replaces: A file can be renamed over another one.
        has_symlinks: Symlinks can be made.
        has_hard_links: Hard links can be made.
    """

    step_ns: int = 1
    rounding: Rounding = Rounding.DOWN
    sent_step_ns: int = 1
    keeps_times: bool = True
    earliest_ns: int | None = None
    latest_ns: int | None = None
    folds_case: bool = False
    folds_unicode: bool = False
    unicode_form: str = ""
    refused: tuple[str, ...] = field(default_factory=tuple)
    longest_name: int = LONGEST_NAME
    replaces: bool = True
    has_symlinks: bool = True
    has_hard_links: bool = True

    @property
    def folds(self) -> bool:
        """True where two spellings may be one name."""
        return self.folds_case or self.folds_unicode

    @property
    def takes_all_names(self) -> bool:
        """True where every name of a source can be made, is another than all others, and is shown as it was made."""
        return not (self.folds or self.unicode_form or self.refused) and self.longest_name >= LONGEST_NAME

    def is_in_range(self, time_ns: int) -> bool:
        """Tell whether a time can be kept, but for its last digits."""
        is_late_enough = self.earliest_ns is None or time_ns >= self.earliest_ns
        return is_late_enough and (self.latest_ns is None or time_ns <= self.latest_ns)

    def show_time(self, time_ns: int) -> int:
        """Return the time that a file has there whose time at the source is in range."""
        return round_time(cut_time(time_ns, self.sent_step_ns), self.step_ns, self.rounding)

    def fold(self, path: str) -> str:
        """Return what all spellings of a path that are one there have in common.

        It takes a little more for one than most file systems do (`ß` and `ss`): a file too many that is named costs
        less than one that is lost.
        """
        if path.isascii():
            return path.lower() if self.folds_case else path
        if self.folds_case:  # Unicode's canonical caseless matching, D145
            return _decompose(_decompose(path).casefold()) if self.folds_unicode else path.casefold()
        return _decompose(path) if self.folds_unicode else path

    def spell(self, path: str) -> str:
        """Return a path as a listing there shows it."""
        if path.isascii() or not self.unicode_form:
            return path
        return _decompose(path)

    def join_sent_step(self, step_ns: int) -> FileSystem:
        """Return the same with what the engine cuts of times."""
        return replace(self, sent_step_ns=max(step_ns, self.sent_step_ns))


def cut_time(time_ns: int, step_ns: int) -> int:
    """Round a time down to a multiple of a step, also before 1970."""
    return time_ns - time_ns % step_ns


def round_time(time_ns: int, step_ns: int, rounding: Rounding) -> int:
    """Round a time to a multiple of a step."""
    below = cut_time(time_ns, step_ns)
    above = below + step_ns if below != time_ns else below
    if rounding is Rounding.NEAREST:
        return above if time_ns - below >= above - time_ns else below
    return above if rounding is Rounding.UP else below


def _decompose(text: str) -> str:
    return unicodedata.normalize("NFD", text)
