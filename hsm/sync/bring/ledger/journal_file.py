"""The journal of one sweep at one target while it is being worked with: read once, written as often as needed."""

from __future__ import annotations

import os
from pathlib import Path

from hsm.errors import ConfigError, TargetError
from hsm.model import Problem
from hsm.records.journal import Journal, Route, load_journal, save_journal


class JournalFile:
    """A journal and its file. Used by one thread.

    Attributes:
        journal: As it was read or written last; empty before.
        notices: Why the one on disk was not used, if it was not.

    Args:
        path: Of the file.
        route: Between which places it must speak.
    """

    def __init__(self, path: Path, route: Route) -> None:
        self.journal = Journal(route)
        self.notices: tuple[Problem, ...] = ()
        self._path = path
        self._route = route
        self._peeked: list[int] | None = None

    def peek(self) -> tuple[str, ...]:
        """Read it before its lock is held, and return the runs that it knows: a guess at what will be asked for."""
        stamp = _read_stamp(self._path)
        try:
            self.journal, notices = load_journal(self._path, self._route, sets_aside=False)
        except ConfigError:  # `load` will say it
            return ()
        self._peeked = stamp if not notices else None  # `load` sets it aside, and tells
        return tuple(name for name in self.journal.runs if name)

    def load(self, *, sets_aside: bool) -> None:
        """Read it.

        Args:
            sets_aside: Keep one that cannot be used under another name beside it; only with the lock held.

        Raises:
            ConfigError: A newer version of HSM wrote it.
        """
        # Again only if it is another by now: of 10,000 runs that takes a tenth of a second.
        if self._peeked is None or self._peeked != _read_stamp(self._path):
            self.journal, self.notices = load_journal(self._path, self._route, sets_aside=sets_aside)

    def save(self, journal: Journal) -> None:
        """Replace it.

        Raises:
            TargetError: It could not be written; what was to be written is in `journal` all the same.
        """
        self.journal = journal
        try:
            save_journal(self._path, journal)
        except OSError as error:
            raise TargetError(
                f"The journal {self._path} cannot be written: {error.strerror}.",
                hint="Check the free space and the permissions of .hsm/ here.",
                kind="journal_unwritable",
            ) from error


def _read_stamp(path: Path) -> list[int]:
    """Read what differs once a file is another; nothing where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - one call of the system
    except OSError:
        return []
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
