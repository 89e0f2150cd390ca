"""Probe of a file system: what is tried in HSM's own temporary folder, and what the answers mean. Pure.

`hsm.remote.shell_programs.probe` and `hsm.remote.sftp.probe` try it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hsm.plan.disk.file_system import LONGEST_NAME, SECOND_NS, FileSystem, Rounding, round_time
from hsm.plan.disk.names import RULES

PROBE_FOLDER = "probe"
"""Below the temporary folder of a root; removed again at once."""

CASE_MADE, CASE_TRIED = "hsm-name", "HSM-NAME"
UNICODE_MADE, UNICODE_TRIED = "hsm-\u00e9", "hsm-e\u0301"

LENGTHS = (LONGEST_NAME, 250, 240, 200, 143, 100)
"""Of names in bytes, the longest first; eCryptfs keeps 143."""

ODD_NS = 981_173_107_287_654_691
EVEN_NS = 981_173_106_723_321_321
"""2001-02-03 04:05:07 and 06: of each step in `_STEPS_NS` one leaves more than half over and the other one less, so
that step and direction show."""

FAR_SECONDS = (-2_208_902_400, 253_370_764_800)
"""1900 and 9999, beyond the limits of nearly all file systems: what they show instead is the limit."""

# 1980 and 2038: what is taken for the limit where something else is shown.
_KEPT_SECONDS = (315_532_800, 2**31 - 1)

# ext4; NTFS and CIFS; HFS+ over some NFS; milliseconds; exFAT; ext3, SFTP; FAT.
_STEPS_NS = (1, 100, 1_000, 1_000_000, 10_000_000, SECOND_NS, 2 * SECOND_NS)


@dataclass(frozen=True, slots=True)
class Observation:
    """The answers of one folder.

    Attributes:
        odd: The time that was given, and the one that was seen, of the file with the odd second; None for none.
        even: Likewise, of the one with the even second.
        fresh: Times of files that were just made; only where no fractions of a second could be given.
        far: By each time that was given, in seconds, the one that was seen; None where it could not be given.
        names: Those of the samples that were made and seen.
        lengths: Those of `LENGTHS` that were made and seen.
        folds_case: `CASE_TRIED` found what `CASE_MADE` is.
        folds_unicode: Likewise.
        shown: Names in the folder of these two.
        replaces: A file was renamed over another one.
        has_symlinks: A symlink was made.
        has_hard_links: A hard link was made.
    """

    odd: tuple[int, int] | None
    even: tuple[int, int] | None
    fresh: Sequence[int] = ()
    far: Mapping[int, int | None] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    lengths: frozenset[int] = frozenset()
    folds_case: bool = False
    folds_unicode: bool = False
    shown: frozenset[str] = frozenset()
    replaces: bool = True
    has_symlinks: bool = True
    has_hard_links: bool = True


def make_file_system(seen: Observation, *, sent_step_ns: int = 1) -> FileSystem:
    """Conclude from the answers how a file system behaves.

    Args:
        seen: The answers.
        sent_step_ns: What was cut of all times on their way.
    """
    step = _find_step(seen)
    earliest, latest = _find_range(seen.far, step[0] if step is not None else SECOND_NS)
    return FileSystem(
        step_ns=step[0] if step is not None else 1,
        rounding=step[1] if step is not None else Rounding.DOWN,
        sent_step_ns=sent_step_ns,
        keeps_times=step is not None,
        earliest_ns=earliest,
        latest_ns=latest,
        folds_case=seen.folds_case,
        folds_unicode=seen.folds_unicode,
        unicode_form=_find_form(seen.shown),
        refused=tuple(rule.name for rule in RULES if rule.sample not in seen.names),
        longest_name=max(seen.lengths, default=LONGEST_NAME),
        replaces=seen.replaces,
        has_symlinks=seen.has_symlinks,
        has_hard_links=seen.has_hard_links,
    )


def _find_step(seen: Observation) -> tuple[int, Rounding] | None:
    """Find the step and the direction that explain what was seen; None where nothing does."""
    pairs = [pair for pair in (seen.odd, seen.even) if pair is not None]
    if not pairs:
        return None
    # Where `touch` knows no fractions, whole seconds were given, which every finer step explains: the coarsest that
    # also explains the clock's own times counts.
    for step in reversed(_STEPS_NS) if seen.fresh else _STEPS_NS:
        for rounding in Rounding:
            explains = all(round_time(given, step, rounding) == found for given, found in pairs)
            if explains and all(time % step == 0 for time in seen.fresh):
                return step, rounding
    return None


def _find_range(far: Mapping[int, int | None], step_ns: int) -> tuple[int | None, int | None]:
    """Find the first and the last time that are kept; None for a side on which what was tried is."""
    early, late = _KEPT_SECONDS
    limits: dict[int, int | None] = {early: None, late: None}
    for given, found in far.items():
        kept = early if given < early else late
        if found is not None and _is_near(given, found, step_ns):
            continue
        # What is shown in its place is the limit itself, where it lies between the two.
        is_limit = found is not None and min(given, kept) * SECOND_NS < found < max(given, kept) * SECOND_NS
        limits[kept] = found if is_limit or found == kept * SECOND_NS else kept * SECOND_NS
    return limits[early], limits[late]


def _is_near(seconds: int, found_ns: int, step_ns: int) -> bool:
    return abs(seconds * SECOND_NS - found_ns) < max(step_ns, 1)


def _find_form(shown: frozenset[str]) -> str:
    """Find the form in which a name is shown that was made in NFC; empty where it is shown as it was made."""
    decomposed = unicodedata.normalize("NFD", UNICODE_MADE)
    return "NFD" if decomposed in shown and UNICODE_MADE not in shown else ""
