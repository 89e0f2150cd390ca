"""The record of what a transfer is about to replace: `.hsm/sync/<target>/<sweep>.replacing`.

It is read by the next call alone, after this one was killed, which tells by it whose the files are that were replaced.
Any of it may be missing or damaged: then they are kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsm.files import USELESS_ERRORS, load_json, save_json
from hsm.model import Entry, EntryKind, FileKey, Root, SourceFile

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class ReplacingRecord:
    """Files that are sent, and what the check saw in their places.

    Attributes:
        nonce: Of the lock that is held meanwhile.
        files: To be sent, of which nothing but root, path, size and time is known.
        seen: What is at the destination.
    """

    nonce: str = ""
    files: tuple[SourceFile, ...] = ()
    seen: Mapping[FileKey, Entry] = field(default_factory=dict)


def save_replacing(path: Path, nonce: str, files: Sequence[SourceFile], seen: Mapping[FileKey, Entry]) -> None:
    """Write the record of the files that have something in their places.

    Raises:
        OSError: It could not be written.
    """
    rows = [
        [file.root.value, file.path, file.size, file.mtime_ns, entry.size, entry.mtime_ns]
        for file in files
        if (entry := seen.get(file.key)) is not None
    ]
    save_json(path, {"nonce": nonce, "files": rows}, schema=SCHEMA)


def load_replacing(path: Path) -> ReplacingRecord:
    """Read the record; an empty one where there is none that can be used."""
    try:
        document: dict[str, Any] | None = load_json(path, schema=SCHEMA)
        if document is None:
            return ReplacingRecord()
        files, seen = [], {}
        for root, name, size, mtime_ns, size_there, mtime_there in document["files"]:
            file = SourceFile(Root(root), str(name), "", int(size), int(mtime_ns), 0)
            files.append(file)
            seen[file.key] = Entry(file.path, EntryKind.FILE, int(size_there), int(mtime_there), 0)
        return ReplacingRecord(str(document["nonce"]), tuple(files), seen)
    except USELESS_ERRORS:
        return ReplacingRecord()


def drop_replacing(path: Path) -> None:
    """Remove the record."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
