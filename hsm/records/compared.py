"""The record of files whose content was compared, since times could not tell: `.hsm/sync/<target>/<sweep>.compared`.

So that a sweep on a disk that has shifted all its times, or keeps none, is read once and not by every sync. It may be
missing, damaged or deleted at any time; then the content is compared again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hsm.files import USELESS_ERRORS, load_json, save_json
from hsm.model import FileKey, Root

SCHEMA = 1


class ComparedFile(NamedTuple):
    """A file as it lay at both ends when its content was compared.

    Attributes:
        size: Bytes, the same at both.
        source_ns: Its time at the source.
        target_ns: Its time at the destination.
        is_equal: So was the content.
    """

    size: int
    source_ns: int
    target_ns: int
    is_equal: bool


def load_compared(path: Path) -> dict[FileKey, ComparedFile]:
    """Read what was compared; nothing where nothing can be used."""
    try:
        document: dict[str, Any] | None = load_json(path, schema=SCHEMA)
        if document is None:
            return {}
        return {
            (Root(root), str(name)): ComparedFile(int(size), int(source), int(target), bool(is_equal))
            for root, files in document["files"].items()
            for name, (size, source, target, is_equal) in files.items()
        }
    except USELESS_ERRORS:
        return {}


def save_compared(path: Path, files: Mapping[FileKey, ComparedFile]) -> None:
    """Keep what was compared; where that cannot be written, it is compared again."""
    by_root: dict[str, dict[str, ComparedFile]] = {root.value: {} for root in Root}
    for (root, name), compared in files.items():
        by_root[root.value][name] = compared
    with contextlib.suppress(OSError):
        save_json(path, {"files": by_root}, schema=SCHEMA)
