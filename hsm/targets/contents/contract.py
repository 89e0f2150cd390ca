"""The contract of access to whole files at a target, for what must be sure of their content."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

Sizes = Mapping[str, int]
"""Absolute paths of plain files, and their sizes in bytes."""

Failures = dict[str, str]
"""By absolute path, why something could not be done with it, in the system's own words."""


class Contents(Protocol):
    """Reads, flushes and marks files of one target. Every path is absolute."""

    def check_flush(self) -> None:
        """Find out in advance, without touching anything, whether `flush` has a chance.

        Raises:
            HsmError: It has none, or the target is out of reach.
        """

    def flush(self, files: Sequence[str], folders: Sequence[str]) -> Failures:
        """Have files and folders on the disk there when this returns, each with an answer of its own.

        What `read_checksums` reads afterwards comes from the disk, as far as the system there lets a program ask for
        that: pages in memory that have been written are dropped.

        Args:
            files: Plain files.
            folders: Those that hold them, so that their names are on the disk too; left out where only files can be
                flushed (SFTP).

        Returns:
            What could not be flushed: of that, nothing is known.

        Raises:
            HsmError: Nothing there can flush a file and say whether that worked, or the target is out of reach.
        """

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """Take the SHA-256 of files; what cannot be read is missing in the answer.

        Raises:
            HsmError: The target is out of reach, or has nothing to take checksums with.
        """

    def find_linked(self, paths: Sequence[str]) -> frozenset[str]:
        """Find the files that have a second name somewhere (hard links); none where that cannot be told.

        Raises:
            HsmError: The target is out of reach.
        """

    def make_marks(self, folders: Collection[str], name: str) -> Failures:
        """Make an empty file in each folder (`hsm.targets.contents.marks`); what a killed call left there goes.

        Returns:
            The folders in which it could not be made.

        Raises:
            HsmError: The target is out of reach.
        """

    def remove_marks(self, folders: Collection[str], name: str) -> None:
        """Remove what `make_marks` made; what cannot be removed stays, as no result to anybody.

        Raises:
            HsmError: The target is out of reach.
        """
