"""Record of a clean: on the disk before anything is removed, and corrected when something stayed after all."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from hsm.errors import TargetError
from hsm.model import EntryKind
from hsm.records.cleaned import (
    CleanedFile,
    CleanedPlace,
    CleanedUnit,
    Cleaning,
    iter_cleaned_files,
    make_aside_name,
    make_cleaning_path,
    save_cleaning,
)
from hsm.records.origins import forget_origins
from hsm.sync.clean.names import is_receipt
from hsm.sync.clean.values import Unit, UnitVerdict
from hsm.sync.clean.walk import UnitPlace


class CleanRecord:
    """Record of one clean, in a file of its own, so that no later clean can harm what it says.

    Args:
        project: Holds the record.
        cleaning: The clean that is about to be made.
    """

    def __init__(self, project: Path, cleaning: Cleaning) -> None:
        self._cleaning = cleaning
        self._path = make_cleaning_path(project, cleaning)

    def save(self) -> None:
        """Write it, so that it is on the disk when this returns.

        Raises:
            TargetError: It cannot be written; so nothing may be removed.
        """
        try:
            save_cleaning(self._path, self._cleaning)
        except OSError as error:
            raise TargetError(
                f"The record {self._path} cannot be written: {error.strerror}.",
                hint="Check the free space and the permissions of .hsm/ here. Without a record nothing is removed.",
                kind="clean_unwritable",
            ) from error

    def drop(self, kept: Collection[str]) -> None:
        """Take out of it what stayed after all and has its name.

        Args:
            kept: Paths of units. One that lies here under the name `aside` stays in the record, by which the next
                clean finds it.
        """
        if not kept:
            return
        left = tuple(unit for unit in self._cleaning.units if unit.path not in kept or not unit.is_here)
        self._cleaning = replace(self._cleaning, units=left)
        with contextlib.suppress(TargetError):  # a unit too many in it is here, and so does not count as removed
            self.save()


def forget_pulled(project: Path, cleaning: Cleaning, lock: Callable[[str, str], None]) -> None:
    """Forget what came by pulls of what goes, so that only what is brought back after this counts as that.

    A run may have come as another sweep's.

    Args:
        project: Holds the records.
        cleaning: What goes.
        lock: Takes the lock here of a target and a sweep whose record is changed.

    Raises:
        LockedError: Another sweep, of which a run is too, is synced at this moment.
        TargetError: The records cannot be written.
    """
    try:
        files = (iter_cleaned_files(cleaning.sweep, unit, cleaning.place) for unit in cleaning.units)
        forget_origins(project, [key for found in files for key, _ in found], lock)
    except OSError as error:
        raise TargetError(
            f"The records of what came by pulls cannot be written: {error.strerror}.",
            hint="Check the free space and the permissions of .hsm/ here. Nothing was removed.",
            kind="clean_unwritable",
        ) from error


def make_cleaning(
    sweep: str, units: Sequence[CleanedUnit], places: Mapping[str, CleanedPlace], *, is_quick: bool, place: str = ""
) -> Cleaning:
    """Make the content of a record, of this moment and this machine.

    Args:
        sweep: The sweep's id.
        units: Those that go.
        places: Of the targets that have it, by name.
        is_quick: Sizes and times at the targets were compared, not checksums.
        place: Of a Hydra sweep: its folder, relative to the project.
    """
    at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Cleaning(sweep, at, socket.gethostname(), is_quick, places, tuple(units), place)


def make_cleaned_unit(verdict: UnitVerdict, place: UnitPlace) -> CleanedUnit:
    """Make the record of a unit that goes; what an interrupted clean left keeps its own."""
    unit = verdict.unit
    if unit.recorded is not None:
        return unit.recorded
    parents = {path.rpartition("/")[0] for path in unit.entries}
    empty = [path for path, seen in unit.entries.items() if seen.kind is EntryKind.FOLDER and path not in parents]
    own = [path for path in unit.entries if is_receipt(path, is_folder=unit.is_sweep)]
    at_targets = [path for path in unit.files if path not in verdict.waived]
    return CleanedUnit(
        name=unit.name,
        folder=place.folder,
        base=place.base,
        aside=make_aside_name(),
        state=unit.run.state.value if unit.run is not None else "",
        exit_code=unit.run.exit_code if unit.run is not None else None,
        copies=verdict.copies,
        files=dict(_iter_files(unit, at_targets)),
        links={path: seen.link_target for path, seen in unit.entries.items() if seen.kind is EntryKind.SYMLINK},
        folders=tuple(empty),
        superseded=dict(_iter_files(unit, sorted(verdict.waived))),
        own=dict(_iter_files(unit, own)),
        job=unit.job,
    )


def _iter_files(unit: Unit, paths: Iterable[str]) -> Iterator[tuple[str, CleanedFile]]:
    for path in paths:
        known = unit.files.get(path) or unit.entries[path]
        yield path, CleanedFile(known.size, known.mtime_ns, unit.checksums[path])
