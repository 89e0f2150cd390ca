"""Comparison of places by marks: what lies at two ends is looked for in both directions.

A mark made here and seen at a target shows that the target has the very folder, or shows it (the lower layer of a union
mount). One made at a target and seen here shows the same the other way round. Likewise among the targets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from hsm.endpoint import Tree
from hsm.errors import HsmError
from hsm.model import EntryKind, Root
from hsm.remote.guard import make_unwritable_error
from hsm.sync.clean.target import CleanTarget
from hsm.sync.clean.values import HERE, ROOTS, Folders, Unit
from hsm.targets.apart import make_itself_error
from hsm.targets.contents.marks import make_mark_name, make_marks_here, remove_marks_here


class PlaceComparison:
    """Finds what lies at two ends and is the same. The locks of both sides are held.

    Args:
        sweep: Its id.
        targets: Those that count at this moment, by name.
        fail: Takes the error of a target, which counts for nothing from then on.
        own: Folders in which the project's results lie.
    """

    def __init__(
        self,
        sweep: str,
        targets: Mapping[str, CleanTarget],
        fail: Callable[[str, HsmError], None],
        own: Collection[str],
    ) -> None:
        self._sweep = sweep
        self._targets = targets
        self._fail = fail
        self._own = own

    def run(self, units: Sequence[Unit]) -> None:
        """Compare all places; each target notes what it shares with which.

        Args:
            units: Those whose copies count.
        """
        folders = {
            unit.path: ["", *(path for path, seen in unit.entries.items() if seen.kind is EntryKind.FOLDER)]
            for unit in units
        }
        name = make_mark_name(self._sweep)
        with mark_here(self._own, folders, name) as failures:
            for target in list(self._targets.values()):
                self._try(target, partial(_look_from_here, target, units, folders, name))
                target.note_unmarked(failures)
        for target in list(self._targets.values()):
            self._try(target, partial(self._look_from_there, target, units))

    def _look_from_there(self, target: CleanTarget, units: Sequence[Unit]) -> None:
        """Make a mark at a target, and look for it here and at all others."""
        name = make_mark_name(self._sweep)
        with _mark_there(target, units, name) as folders:
            target.note_shared(self._find_here(target.name, folders, name), HERE)
            for other in list(self._targets.values()):
                if other is not target:
                    self._try(other, partial(_look_from_other, other, target, units, folders, name))

    def _find_here(self, target: str, folders: Folders, name: str) -> set[str]:
        if any(_is_there(folder, name) for folder in self._own):
            raise make_itself_error(target)
        return {path for path, inner in folders.items() if any(_is_there(_join(path, each), name) for each in inner)}

    def _try(self, target: CleanTarget, work: Callable[[], None]) -> None:
        try:
            work()
        except HsmError as error:
            self._fail(target.name, error)


@contextmanager
def mark_here(own: Collection[str], folders: Folders, name: str) -> Iterator[dict[str, str]]:
    """Mark folders of this project while inside.

    Args:
        own: The folders in which results lie.
        folders: Those of the units. Each gets a mark: any of them may be mounted on its own.
        name: The mark's.

    Yields:
        By a unit's path, why a folder of it cannot be marked.
    """
    inner = {_join(path, folder): path for path, found in folders.items() for folder in found}
    marked = list(dict.fromkeys([*own, *inner]))
    try:
        failures = make_marks_here(marked, name)
        yield {inner[folder]: words for folder, words in failures.items() if folder in inner}
    finally:
        remove_marks_here(marked, name)


def _look_from_here(target: CleanTarget, units: Sequence[Unit], folders: Folders, name: str) -> None:
    """Look at a target for a mark that was made here."""
    seen = _find_there(target, units, folders, name)
    if ROOTS in seen:
        raise make_itself_error(target.name)
    target.note_shared(seen, HERE)


def _look_from_other(
    other: CleanTarget, target: CleanTarget, units: Sequence[Unit], folders: Folders, name: str
) -> None:
    """Look at one target for the mark of another; both learn where it is seen."""
    seen = _find_there(other, units, folders, name)
    other.note_shared(seen, target.name)
    target.note_shared(seen, other.name)


@contextmanager
def _mark_there(target: CleanTarget, units: Sequence[Unit], name: str) -> Iterator[Folders]:
    """Mark a target's own folders and every folder of units there, while inside.

    Yields:
        The folders of the units.

    Raises:
        HsmError: One of the target's own folders cannot be marked.
    """
    folders = {unit.path: _list_there(target, unit) for unit in units}
    bases = {unit.path: target.get_base(unit) for unit in units}
    inner = {_join(bases[path], each): path for path, found in folders.items() for each in found}
    own = list(target.roots.values())
    contents, marked = target.contents, list(dict.fromkeys([*own, *inner]))
    try:
        failures = contents.make_marks(marked, name)
        target.note_unmarked({inner[folder]: words for folder, words in failures.items() if folder in inner})
        for folder in own:
            if folder in failures:
                raise make_unwritable_error(target.name, failures[folder], detail=folder)
        yield folders
    finally:
        contents.remove_marks(marked, name)


def _list_there(target: CleanTarget, unit: Unit) -> list[str]:
    entries = target.get_entries(unit)
    inner = [path for path, entry in entries.items() if entry.kind is EntryKind.FOLDER]
    return ["", *inner] if entries else []


def _find_there(target: CleanTarget, units: Sequence[Unit], folders: Folders, name: str) -> set[str]:
    """Look at a target for a mark of another place: the paths of units in whose folders it is seen, and `ROOTS`.

    Raises:
        HsmError: It cannot be looked at.
    """
    wanted: dict[Root, dict[str, str]] = {root: {name: ROOTS} for root in target.roots}
    for unit in units:
        if unit.root in wanted:
            base = target.get_name(unit)
            wanted[unit.root] |= {f"{_join(base, each)}/{name}": unit.path for each in folders.get(unit.path, ())}
    trees = [Tree(target.roots[root], tuple(names), 0) for root, names in wanted.items()]
    listings = target.endpoint.survey(trees).listings
    return {
        names[entry.path]
        for names, listing in zip(wanted.values(), listings, strict=True)
        for entry in listing.entries
        if entry.path in names
    }


def _join(path: str, folder: str) -> str:
    return f"{path}/{folder}" if folder else path


def _is_there(folder: str, name: str) -> bool:
    return os.path.lexists(f"{folder}/{name}")
