"""A short word for a set of files as they were proven. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hsm.model import SourceFile


def make_digest(files: Iterable[SourceFile]) -> str:
    """A SHA-256 over path, size in bytes and time in nanoseconds of files, in any order; 32 hex digits of it."""
    digest = hashlib.sha256()
    for file in sorted(files):
        line = f"{file.path}\0{file.size}\0{file.mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]
