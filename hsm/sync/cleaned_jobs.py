"""Folders of Hydra's jobs that cleans removed here, while the sweep's folder stayed.

A journal speaks of a sweep's folder as a whole, its jobs included. So what it says is compared with what is here, and
with what was here before jobs were removed, since either may be what the last sync saw.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from hsm.model import SourceFile
from hsm.records.cleaned import CleanedUnit, iter_cleaned_files, load_cleanings


def find_cleaned_jobs(project: Path, sweep: str, *, skips_denied: bool = False) -> tuple[CleanedUnit, ...]:
    """Find the folders of a sweep's jobs that were removed and are not here: the last record of each, oldest first.

    Args:
        project: Holds the records.
        sweep: Its id.
        skips_denied: Leave out what this user may not read: for who changes nothing.

    Raises:
        ConfigError: A record is damaged, cannot be read, or a newer version of HSM wrote it.
    """
    jobs: dict[str, CleanedUnit] = {}
    for cleaning in load_cleanings(project, sweep, skips_denied=skips_denied):
        for unit in (unit for unit in cleaning.units if unit.job):
            jobs.pop(unit.job, None)  # its last record counts, for the order too
            jobs[unit.job] = unit
    return tuple(unit for unit in jobs.values() if not unit.is_here)


def iter_earlier_files(
    files: Collection[SourceFile], sweep: str, place: str, jobs: Sequence[CleanedUnit]
) -> Iterator[tuple[SourceFile, ...]]:
    """Yield what lay in a sweep's folder at the moments before jobs were removed, the latest moment first. Pure.

    Args:
        files: Those that lie in it now.
        sweep: The sweep's id.
        place: Of a Hydra sweep: its folder, relative to the project.
        jobs: Those that were removed, oldest first.
    """
    found = {file.key: file for file in files}
    for job in reversed(jobs):
        for key, gone in iter_cleaned_files(sweep, job, place):
            found.setdefault(key, SourceFile(*key, "", gone.size, gone.mtime_ns, 0))
        yield tuple(found.values())
