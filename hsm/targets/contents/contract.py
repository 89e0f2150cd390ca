"""The contract of access to whole files at a target, for what must be sure of their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

Sizes = Mapping[str, int]
"""Absolute paths of plain files, and their sizes in bytes."""


class Contents(Protocol):
    """Reads and flushes files of one target."""

    def check_flush(self) -> None:
        """Find out in advance, without touching anything, whether `flush` has a chance.

        Raises:
            HsmError: It has none, or the target is out of reach.
        """

    def flush(self, paths: Sequence[str]) -> None:
        """Have files on the disk there when this returns.

        Raises:
            HsmError: It cannot be done, or the target is out of reach.
        """

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """Take the SHA-256 of files; what cannot be read is missing in the answer.

        Raises:
            HsmError: The target is out of reach, or has nothing to take checksums with.
        """
