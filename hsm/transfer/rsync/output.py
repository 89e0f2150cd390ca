"""rsync's standard output, read as it comes. Pure.

A name is printed before the receiver has the file, so it proves nothing: on a full disk rsync named 24 files where 20
arrived. `hsm.transfer.proof` looks at both ends.
"""

from __future__ import annotations

import os
import re

NAME_PREFIX = "hsm:"
"""Begins every line that names a file, whose name may be like any other line of rsync's."""

_PROGRESS = re.compile(r"\s*([\d,.]+)\s+\d+%")


class OutputReader:
    """Reader of names and running totals.

    Attributes:
        sent: Destination paths that rsync has begun to send.
        n_bytes: As its progress says.
    """

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.n_bytes = 0
        self._rest = b""

    def read(self, chunk: bytes) -> None:
        """Take the next piece of output."""
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + chunk)
        for line in lines:
            self._read_line(os.fsdecode(line))

    def _read_line(self, line: str) -> None:
        if line.startswith(NAME_PREFIX):
            if not line.endswith("/"):  # protocol 29 names the folders above a file too
                # Named before it has arrived: on a full disk 24 names for 20 files, without inodes 60 for 29.
                self.sent.add(unescape(line[len(NAME_PREFIX) :]))
            return
        match = _PROGRESS.match(line)
        if match is not None:
            # Any separator of thousands: from 3.2.4 on they follow the locale.
            self.n_bytes = max(self.n_bytes, int(re.sub(r"\D", "", match[1])))


def parse_comparison(output: bytes) -> tuple[set[str], set[str]]:
    """Read what a comparing rsync printed: itemised changes, `<f` or `>f` for files that would be sent.

    Returns:
        Destination paths of files that differ in content, and of those that are missing.
    """
    different: set[str] = set()
    missing: set[str] = set()
    for line in os.fsdecode(output).split("\n"):
        changes, _, name = line.removeprefix(NAME_PREFIX).partition(" ")
        if line.startswith(NAME_PREFIX) and changes[:2] in ("<f", ">f"):
            (missing if "+" in changes else different).add(unescape(name))
    return different, missing


def unescape(name: str) -> str:
    r"""Undo rsync's `\#033` for control bytes (`log.c`, `filtered_fwrite`)."""
    if "\\#" not in name:
        return name
    return os.fsdecode(re.sub(rb"\\#([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), os.fsencode(name)))
