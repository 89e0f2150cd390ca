"""The setup that all rsyncs of one transfer share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from hsm.config.settings import ReceiveMode
from hsm.model import Root
from hsm.transfer.rsync.versions import (
    REFUSING_LINKS_VERSION,
    TORN_SPARSE_PARTS_VERSIONS,
    RsyncPair,
    RsyncVersion,
)


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
        workspace: Below each root, the folder for files under way (`hsm.transfer.base.make_workspace`).
        pair: The rsyncs of both ends.
        rsync_path: The program at the remote end, as configured; empty for the one that its PATH finds.
        update_only: Nothing was compared: rsync skips files that are newer at the destination, or the same.
        compress: As the target's option says.
        round_trip_seconds: Of the link the last time, until it is measured.
        receive_mode: As the target's option says.
    """

    direction: StreamDirection
    roots: Mapping[Root, str]
    workspace: str
    pair: RsyncPair
    rsync_path: str = ""
    update_only: bool = False
    compress: str = "none"
    round_trip_seconds: float | None = None
    receive_mode: ReceiveMode = "private"

    def get_temporary(self, root: Root, workspace: str) -> str:
        """Return the folder for temporary files below a destination root, as `--temp-dir` takes it."""
        if self.pair.to_openrsync:
            return f"{self.roots[root].rstrip('/')}/{workspace}"
        # Relative to the root: rsync 3.5 opens every part of an absolute path anew for each file, 55,577 `openat` in
        # place of 32,762 for 1,500 files. openrsync looks from where it was started.
        return workspace

    @property
    def keeps_replaced(self) -> bool:
        """Both rsyncs know `--backup-dir`; openrsync has no such option."""
        return not (self.pair.here.is_openrsync or self.pair.there.is_openrsync)

    @property
    def keeps_holes(self) -> bool:
        """Both rsyncs know `--sparse`; openrsync has no such option."""
        return not (self.pair.here.is_openrsync or self.pair.there.is_openrsync)

    @property
    def tears_sparse_parts(self) -> bool:
        """The receiver goes on with a part in place, and leaves old content where a sparse file ends with a hole.

        rsync 3.2.0 (which began to write into parts) to 3.2.7; fixed in 3.3.0 (its issue 450).
        """
        first, fixed = TORN_SPARSE_PARTS_VERSIONS
        return first <= self._receiver.version < fixed

    @property
    def follows_links(self) -> bool:
        """The receiver walks through a symlink that stands where the files have a folder.

        From 3.5.0 on rsync refuses to; tried with 3.2.7, and with 3.5.0 at protocol 29, which both write out of the
        root.
        """
        receiver = self._receiver
        return receiver.is_openrsync or receiver.version < REFUSING_LINKS_VERSION or self.pair.protocol < 30

    @property
    def _receiver(self) -> RsyncVersion:
        return self.pair.there if self.direction is StreamDirection.PUSH else self.pair.here
