"""Runs that cleans removed here, through whichever sweep: a run may be in several, and is removed once.

Each clean writes its record for the sweep that it was asked for, so those of all sweeps are read. They are many small
files: only who misses runs here asks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import CleanedUnit, Cleaning, find_cleaned, load_cleanings, make_records_denied_error


def find_cleaned_runs(
    project: Path, sweep: str, names: Collection[str], *, skips_denied: bool = False
) -> dict[str, CleanedUnit]:
    """Find the units of a sweep that were removed and are not here: the last record of each, by its name.

    Args:
        project: Holds the records.
        sweep: Its id.
        names: Of runs of the sweep that are not here, and may have been removed through another one.
        skips_denied: Leave out what this user may not read: for who changes nothing.

    Raises:
        ConfigError: As `load_cleanings`.
    """
    own = find_cleaned(project, sweep, skips_denied=skips_denied)
    wanted = {name for name in (*names, *own) if name}
    if not wanted:
        return own
    cleanings = iter_all_cleanings(project, skips_denied=skips_denied)
    units = {unit.name: unit for cleaning in cleanings for unit in cleaning.units if unit.name in wanted}
    folder = {name: unit for name, unit in own.items() if not name}
    return folder | {name: unit for name, unit in units.items() if not unit.is_here}


def iter_all_cleanings(project: Path, *, skips_denied: bool = False) -> Iterator[Cleaning]:
    """Read the records of the cleans of all sweeps, oldest first.

    Raises:
        ConfigError: As `load_cleanings`.
    """
    folder = ProjectFolder(project).all_cleaned
    found = [
        cleaning
        for sweep in _list_sweeps(folder, skips_denied=skips_denied)
        for cleaning in load_cleanings(project, sweep, skips_denied=skips_denied)
    ]
    return iter(sorted(found, key=lambda cleaning: cleaning.at))


def _list_sweeps(folder: Path, *, skips_denied: bool) -> list[str]:
    """List the names of the folders that hold records, one for each sweep."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names that are no UTF-8
    except (FileNotFoundError, NotADirectoryError):
        return []
    except PermissionError as error:
        if skips_denied:
            return []
        raise make_records_denied_error(folder, error) from error
