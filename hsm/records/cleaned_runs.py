"""Runs that cleans removed here, through whichever sweep: a run may be in several, and is removed once.

Each clean writes its record for the sweep that it was asked for, so those of all sweeps are read. They are many small
files: only who misses runs here asks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from hsm.project_folder import ProjectFolder
from hsm.records.cleaned import CleanedUnit, Cleaning, find_cleaned, load_cleanings, make_records_denied_error


class CleanedRuns:
    """Runs of all sweeps that were removed; the records are read once, when a run is missing.

    Args:
        project: Holds the records.
        skips_denied: Leave out what this user may not read: for who changes nothing.
    """

    def __init__(self, project: Path, *, skips_denied: bool = False) -> None:
        self._project = project
        self._skips_denied = skips_denied

    @cached_property
    def _latest(self) -> Mapping[str, CleanedUnit]:
        """The last record of each run."""
        cleanings = iter_all_cleanings(self._project, skips_denied=self._skips_denied)
        return {unit.name: unit for cleaning in cleanings for unit in cleaning.units if unit.name}

    def find(self, sweep: str, names: Collection[str]) -> dict[str, CleanedUnit]:
        """Find the units of a sweep that were removed and are not here: the last record of each, by its name.

        Args:
            sweep: Its id.
            names: Of runs of the sweep that are not here, and may have been removed through another one.

        Raises:
            ConfigError: As `load_cleanings`.
        """
        own = find_cleaned(self._project, sweep, skips_denied=self._skips_denied)
        wanted = {name for name in (*names, *own) if name}
        if not wanted:
            return own
        folder = {name: unit for name, unit in own.items() if not name}
        return folder | {
            name: unit for name in wanted if (unit := self._latest.get(name)) is not None and not unit.is_here
        }


def find_cleaned_runs(
    project: Path, sweep: str, names: Collection[str], *, skips_denied: bool = False
) -> dict[str, CleanedUnit]:
    """Find what `CleanedRuns` finds, for one sweep.

    Raises:
        ConfigError: As `load_cleanings`.
    """
    return CleanedRuns(project, skips_denied=skips_denied).find(sweep, names)


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
