"""The setup that all rsyncs of one transfer share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from hsm.model import Root
from hsm.transfer.base import TEMPORARY_FOLDER, get_temporary_folder
from hsm.transfer.rsync.versions import RsyncPair


class StreamDirection(str, Enum):
    """The end that is behind SSH: the destination, the source, or neither."""

    PUSH = "push"
    PULL = "pull"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class RsyncSetup:
    """Everything about a transfer that its rsyncs must know.

    Attributes:
        direction: Of the streams.
        roots: The destination's folders, real paths.
        sweep: The sweep whose files are sent.
        pair: The rsyncs of both ends.
        rsync_path: The program at the remote end, as configured; empty for the one that its PATH finds.
        update_only: Nothing was compared: rsync skips files that are newer at the destination, or the same.
        compress: As the target's option says.
        round_trip_seconds: Of the link the last time, until it is measured.
    """

    direction: StreamDirection
    roots: Mapping[Root, str]
    sweep: str
    pair: RsyncPair
    rsync_path: str = ""
    update_only: bool = False
    compress: str = "none"
    round_trip_seconds: float | None = None

    def get_temporary(self, root: Root) -> str:
        """Return the folder for temporary files below a destination root, as `--temp-dir` takes it.

        Relative to the root: rsync 3.5 opens every part of an absolute path anew for each file (55,577 in place of
        32,762 `openat` for 1,500 files). openrsync looks from where it was started, so there it is absolute.
        """
        if self.pair.to_openrsync:
            return get_temporary_folder(self.roots[root], self.sweep)
        return f"{TEMPORARY_FOLDER}/{self.sweep}"
