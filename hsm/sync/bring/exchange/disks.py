"""The disks of one destination: what is known of their file systems, and what is to be measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hsm.endpoint import Endpoint, Tree
from hsm.model import Root
from hsm.plan.destination import Destination, DestinationRoot
from hsm.plan.disk.file_system import FileSystem
from hsm.records.file_systems import load_file_systems, make_place, save_file_systems


class Disks:
    """Knowledge of the file systems below a destination's roots. Used by one thread.

    Args:
        path: Of the record.
        destination: Looked at for the spelling of names.
        folder: The sweep's, relative to its root.
        is_dry_run: Nothing may be measured or written.
    """

    def __init__(self, path: Path, destination: Endpoint, folder: str, *, is_dry_run: bool) -> None:
        self._path = path
        self._destination = destination
        self._above = tuple(folder[:end] for end in range(len(folder)) if end == 0 or folder[end] == "/")
        self._is_dry_run = is_dry_run
        self._known = load_file_systems(path)
        self._has_probed = False

    def find(self, destination: Destination) -> dict[Root, FileSystem]:
        """Return what is known; a root of which nothing is known is missing."""
        return self._known.find(destination)

    def may_measure(self, destination: Destination) -> bool:
        """Tell whether something could be measured that is not known."""
        return not (self._has_probed or self._is_dry_run) and len(self.find(destination)) < len(destination)

    def list_unknown(self, destination: Destination, workspace: str) -> tuple[str, ...]:
        """List the folders to measure: HSM's own (`workspace`) below each root of which nothing is known."""
        known = self.find(destination)
        return tuple(_get_own(there, workspace) for root, there in destination.items() if root not in known)

    def note(self, destination: Destination, workspace: str, measured: Mapping[str, FileSystem]) -> None:
        """Keep what was measured in folders of `list_unknown`; it is not measured again."""
        self._has_probed = True
        places = {_get_own(there, workspace): make_place(there) for there in destination.values()}
        self._known = self._known.add({places[folder]: found for folder, found in measured.items()})
        save_file_systems(self._path, self._known)

    def note_sent_step(self, step_ns: int) -> bool:
        """Keep to what an engine cuts times; whether that is something else than was known."""
        if step_ns == self._known.sent_step_ns:
            return False
        self._known = replace(self._known, sent_step_ns=step_ns)
        if not self._is_dry_run:
            save_file_systems(self._path, self._known)
        return True

    def look_at_spellings(self, destination: Destination) -> Destination:
        """Add how the folders of runs and sweeps are spelled, where another spelling finds them too.

        A survey asks for them by name, so there they look as if they were spelled like that. One round trip, where
        names fold.

        Raises:
            HsmError: The destination is out of reach.
        """
        folding = {root: disk for root, disk in self.find(destination).items() if disk.folds}
        if not folding:
            return destination
        trees = [Tree(destination[root].path, self._above if root is Root.SWEEPS else ("",), 1) for root in folding]
        found = dict(destination)
        for (root, disk), listing in zip(folding.items(), self._destination.survey(trees).listings, strict=True):
            known = destination[root].entries
            names = set(map(disk.fold, known))
            more = {entry.path: entry for entry in listing.entries if entry.path and disk.fold(entry.path) in names}
            found[root] = replace(destination[root], entries={**more, **known})
        return found


def _get_own(there: DestinationRoot, workspace: str) -> str:
    return f"{there.path.rstrip('/')}/{workspace}"
