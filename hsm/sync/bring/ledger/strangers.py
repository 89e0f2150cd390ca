"""Files of somebody else at a destination, which a transfer left or put back: `.hsm/sync/<target>/<sweep>.strangers`.

One with an older time than the source's would look like an old version to the next sync, and be replaced by it. So
it stays a conflict for as long as it lies there as it was found, until the user decides.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hsm.endpoint import Endpoint
from hsm.files import USELESS_ERRORS, load_json, save_json
from hsm.model import EntryKind, FileKey, Root
from hsm.plan.destination import Destination
from hsm.transfer.destination.places import look_at_places

SCHEMA = 1
_WORDS = "somebody wrote it there while a sync was at work"

_Mark = tuple[int, int]
"""Size in bytes, and time in nanoseconds."""


class KnownStrangers:
    """The record. Reading never raises; what cannot be used says nothing.

    Args:
        path: Of the record.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, destination: Destination) -> dict[FileKey, str]:
        """Find those that still lie there as they were found, each with whose it is, in words."""
        return {
            key: _WORDS
            for key, mark in self._load().items()
            if key[0] in destination
            and (entry := destination[key[0]].entries.get(key[1])) is not None
            and (entry.size, entry.mtime_ns) == mark
        }

    def note(
        self, found: Collection[FileKey], sent: Collection[FileKey], destination: Endpoint, roots: Mapping[Root, str]
    ) -> None:
        """Add those that a transfer has found, and forget those that the source's file has replaced since.

        Raises:
            HsmError: The destination is out of reach.
            OSError: The record cannot be written.
        """
        known = self._load()
        kept = {key: mark for key, mark in known.items() if key not in sent}
        there = look_at_places(destination, roots, found)
        kept.update({key: (it.size, it.mtime_ns) for key, it in there.items() if it.kind is EntryKind.FILE})
        if kept != known:
            rows = [[root.value, path, *mark] for (root, path), mark in sorted(kept.items())]
            save_json(self._path, {"files": rows}, schema=SCHEMA)

    def _load(self) -> dict[FileKey, _Mark]:
        try:
            document: dict[str, Any] | None = load_json(self._path, schema=SCHEMA)
            rows = document["files"] if document is not None else ()
            return {(Root(root), str(path)): (int(size), int(mtime)) for root, path, size, mtime in rows}
        except USELESS_ERRORS:
            return {}
