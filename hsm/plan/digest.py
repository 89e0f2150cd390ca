"""Digest of a set of files, by which a later call tells whether they are what was verified. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hsm.model import SourceFile


def make_digest(files: Iterable[SourceFile]) -> str:
    """Return 32 hex digits of a SHA-256 over path, size in bytes and time in nanoseconds of files, in any order."""
    digest = hashlib.sha256()
    for file in sorted(files):
        # One way to read it: no path holds NUL, and no number a line break.
        line = f"{file.path}\0{file.size}\0{file.mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]
