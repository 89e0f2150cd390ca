"""Contract of transfer engines: the promise of each call, and what a failure leaves behind.

The plan is the same everywhere; only the engine that carries it out differs. `tests/contract/test_engines.py`
holds every engine to this page.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from hsm.errors import HsmError, WorkspaceGoneError
from hsm.model import Root, SourceFile
from hsm.transfer.seen import SeenFiles

TEMPORARY_FOLDER = ".hsm-tmp"
"""Folder below each destination root in which files are written before they take their names."""

PARTIAL_FOLDER = ".hsm-partial"
"""Folder beside each file that was cut off, with the part of it that arrived, to be continued.

Not one folder for all: files of one name would meet there, and rsync writes into a partial file in place, so that
two workers tore a file under its final name, with the right size."""


MAX_LOCAL_WORKERS = 8
"""Workers between folders of this machine."""


def get_temporary_folder(root: str, sweep: str) -> str:
    """Return the folder for temporary files below a destination root: each sweep has its own, as its lock."""
    return f"{root.rstrip('/')}/{TEMPORARY_FOLDER}/{sweep}"


def make_workspace(sweep: str, nonce: str) -> str:
    """Return the path below each destination root of the folder in which the holder of a lock writes files.

    It carries the lock's nonce and is never made again: who lost the lock while he slept can rename nothing out of it.
    """
    return f"{TEMPORARY_FOLDER}/{sweep}/{nonce}"


class Replacing(Enum):
    """The care that an engine takes of files that it replaces."""

    LOOKS = "looks"
    """It looks right before each rename, and leaves what the check has not seen."""
    KEEPS = "keeps"
    """It keeps every file that it replaces (`hsm.remote.guard.get_replaced_folder`), so that it can be put back."""
    BLIND = "blind"
    """None: somebody has to look before each batch."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Abilities of an engine, as data for messages and choices.

    Attributes:
        name: As in the documentation's table.
        resumes: A file that was cut off is continued where it stopped.
        sends_deltas: Of a changed file only the changes travel.
        max_workers: The most calls of `send` that may run at the same time.
        round_trip_seconds: Of the link, as it was measured; None where unknown.
        compression: The method that content is compressed with on its way; empty for none.
        max_name_bytes: A batch starts quickest if its names take no more (`count_name_bytes`); None for no limit.
        replacing: The care it takes of a file that it replaces.
        follows_links: A symlink that came into the place of a folder after the check may be followed.
    """

    name: str
    resumes: bool
    sends_deltas: bool
    max_workers: int
    round_trip_seconds: float | None = None
    compression: str = ""
    max_name_bytes: int | None = None
    replacing: Replacing = Replacing.LOOKS
    follows_links: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Files of one destination root that one worker sends in one stream.

    Attributes:
        root: The one that they land in.
        files: In the plan's order; never empty.
        seen: What of the destination they may replace.
        base: The mount point below the root that they land in, relative to it; empty for the root's own file system.
            Files under way are written on it, since none can be renamed into it.
    """

    root: Root
    files: tuple[SourceFile, ...]
    seen: SeenFiles = field(default_factory=SeenFiles, compare=False)
    base: str = ""

    def get_workspace(self, workspace: str) -> str:
        """Return the folder for files under way (`make_workspace`), relative to the root."""
        return f"{self.base}/{workspace}" if self.base else workspace

    @property
    def is_sparse(self) -> bool:
        """A file has holes."""
        return any(file.disk_bytes is not None for file in self.files)

    @property
    def n_bytes(self) -> int:
        """The sum of the files' sizes."""
        return sum(file.size for file in self.files)


def count_name_bytes(file: SourceFile) -> int:
    """Count the bytes of a file's absolute name as a word of a command line, with their end and a pointer."""
    return len(os.fsencode(file.prefix)) + len(os.fsencode(file.path)) + 12


def make_workspace_gone_error(at: str, *, detail: str) -> WorkspaceGoneError:
    """Make the error of a folder for files under way that has gone (`make_workspace`). Pure."""
    return WorkspaceGoneError(
        f"HSM's folder for files under way has gone {at}.",
        hint="Run the same command again when nobody else works there.",
        detail=detail,
    )


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """The end of a call of `Engine.send`.

    Attributes:
        is_clean: The engine claims that every file in `sent` is at the destination, whole, under its final name,
            with its time, as it was read at the source. When False it claims nothing, and only a fresh look at the
            destination tells what arrived.
        sent: Destination paths that this call sent; others of the batch were skipped.
        complaints: By destination path, the engine's words about single files.
        error: The reason why it is not clean; None when it is.
        strangers: Destination paths of files that were not sent, since what is there is not what the check saw.
    """

    is_clean: bool
    sent: frozenset[str] = frozenset()
    complaints: Mapping[str, str] | None = None
    error: HsmError | None = None
    strangers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Result of a comparison by content; a file in neither set is equal.

    Attributes:
        different: Destination paths of files whose content differs there.
        missing: Destination paths of files that are not there.
    """

    different: frozenset[str]
    missing: frozenset[str]


OnMoved = Callable[[int, int], None]
"""Takes the bytes and the files that a call of `send` has moved so far: its own running totals."""


class Engine(Protocol):
    """Sends files from one endpoint to another.

    The destination's lock is held, and the folder for files under way is there (`make_workspace`). An
    engine writes each file to a temporary name inside it and renames it over its place, so
    that a final name never holds half a file, whenever and however it is killed. A file that came there or changed
    since the check stays, or is kept to be put back (`Capabilities.replacing`). It deletes nothing else, sends
    a symlink as the file it leads to, keeps modification times and leaves owner, group and permissions to the
    destination.
    """

    @property
    def capabilities(self) -> Capabilities:
        """The abilities of this engine between these two endpoints. The link may be asked for its round trip."""

    @property
    def time_step_ns(self) -> int:
        """Times are cut to a multiple of it on their way. Asks nobody: a plan needs it, and may send nothing."""

    def send(self, batch: Batch, on_moved: OnMoved) -> BatchEnd:
        """Send the files of a batch. Called from several threads at once.

        A failure is an answer, not an exception. Files that are there already are replaced.

        Raises:
            hsm.process.runner.CommandStoppedError: The user interrupted; as after any failure, every final name
                holds the old file or the new one.
        """

    def compare(self, batch: Batch) -> Comparison:
        """Compare the files of a batch by checksum; both ends read all of them. Changes nothing.

        Needs neither the lock nor HSM's temporary folder.

        Raises:
            hsm.errors.HsmError: A file could not be read, or the connection broke: nothing is known.
        """

    def stop(self) -> None:
        """End every call of `send` that still runs; it raises CommandStoppedError, and so does any later one."""
