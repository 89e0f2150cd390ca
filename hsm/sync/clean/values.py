"""Values that a clean looks at and decides about. Pure.

The words of this folder:

- *unit*: what is removed, or stays, as a whole: one run folder, the folder of one of Hydra's jobs without the runs in
  it, or the sweep's folder without all these.
- *walk*: a look at everything in a folder here, without following symlinks; *seen* is one entry of it.
- *place* of a unit: the folder here that holds it. *Place* of a target: where it keeps its files; two targets with one
  place are two names of the same files.
- *copy*: all that one target has of one unit.
- *lack*: one thing of a unit that is not verified at a target, and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hsm.model import Entry, EntryKind, Root, Run, SourceFile
from hsm.plan.disk.file_system import FileSystem
from hsm.records.cleaned import CleanedUnit
from hsm.records.record import RunRecord


class Seen(NamedTuple):
    """One entry of a walk here; symlinks are not followed.

    Attributes:
        kind: The entry itself.
        size: Bytes; 0 for anything but a file.
        mtime_ns: The time of its content; 0 for a folder, whose own changes show in what it holds.
        ctime_ns: The time of any change of it, which no program can set back; 0 for a folder.
        inode: With `device`, the identity of the file.
        device: Of its file system.
        link_target: The content of a symlink.
    """

    kind: EntryKind
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    link_target: str = ""


class ProjectLink(NamedTuple):
    """A symlink of the project that leads into units, at any hop of its way.

    Attributes:
        path: Where it lies; its folder's path is the real one.
        units: The paths of the units that it leads into.
        unread: The reason why `path` is a folder that could not be read, in which such a symlink may lie.
    """

    path: str
    units: frozenset[str]
    unread: str = ""


HERE = ""
"""This project, where a word for each place is wanted; no target has this name."""

ROOTS = ""
"""A target's two folders, where a path for each unit is wanted; no unit has this path."""

Folders = Mapping[str, Sequence[str]]
"""By the path of a unit here, folders in it, relative; the unit's own is the empty name."""


class Lack(NamedTuple):
    """Something here that is not verified at a target, by its path in the unit, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class CleanOptions:
    """Conditions that the user sets.

    Attributes:
        n_copies: The number of targets, in different places, at which everything must be.
        is_quick: Sizes and times there count in place of checksums.
        allows_superseded: Old versions of media need not be there.
        older_than_ns: Only units to which nothing has been written for so long.
    """

    n_copies: int = 1
    is_quick: bool = False
    allows_superseded: bool = False
    older_than_ns: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """A run, or a job's or the sweep's folder without the units in it, as it lies here.

    Attributes:
        name: The run's folder; empty for the others.
        path: Absolute.
        run: None for what is no run, and for the rest that an interrupted clean left.
        entries: Everything below, by path relative to it: hidden files, empty folders, symlinks, sockets.
        files: The files of it that a sync sends, by the same paths.
        checksums: SHA-256 of files, and of the files that symlinks in `files` lead to.
        superseded: Old versions of media.
        blocks: Obstacles met while looking, which keep it at any number of copies.
        waits: Reasons for which it is too early, met while looking.
        needs_receipt: Its log does not name the sweep, so a pull finds it at a target by the sweep's receipt alone.
        recorded: Of the rest that an interrupted clean left, the earlier record; None for all else.
        job: Of one of Hydra's jobs: its folder, relative to the sweep's.
        choices: Of a folder that holds jobs: the files, theirs too, of which the journal's record may speak.
    """

    name: str
    path: str
    run: Run | None = None
    entries: Mapping[str, Seen] = field(default_factory=dict)
    files: Mapping[str, SourceFile] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    superseded: frozenset[str] = frozenset()
    blocks: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    needs_receipt: bool = False
    recorded: CleanedUnit | None = None
    job: str = ""
    choices: tuple[tuple[SourceFile, ...], ...] = ()

    @property
    def is_sweep(self) -> bool:
        """True for the sweep's own folder."""
        return not self.name and not self.job

    @property
    def root(self) -> Root:
        """The one of a target's two folders below which it lands."""
        return Root.WANDB if self.name else Root.SWEEPS

    @property
    def n_bytes(self) -> int:
        """Bytes that its files take; a file with several names here counts once."""
        files = {(seen.device, seen.inode): seen.size for seen in self.entries.values() if seen.kind is EntryKind.FILE}
        return sum(files.values())

    @property
    def n_files(self) -> int:
        """Number of files and symlinks."""
        return sum(seen.kind is not EntryKind.FOLDER for seen in self.entries.values())

    @property
    def sizes_there(self) -> dict[str, int]:
        """Sizes of the files that must be at a target, by path."""
        files = self.files if self.recorded is None else self.recorded.files
        return {path: file.size for path, file in files.items()}


@dataclass(frozen=True, slots=True)
class Copy:
    """All that one target has of a unit, looked at a moment ago.

    Attributes:
        target: Its name.
        place: Equal for targets with one place, which count once.
        record: The journal's.
        entries: By path relative to the unit.
        checksums: SHA-256 of files there.
        left: The reason, in words, for each file of the unit that is not sent there.
        devices: Of files at a target that is a folder of this machine, their file system, by path.
        linked: Of files that seem to be the same ones somewhere else, those that have a second name there.
        shared: Names of the targets, and `HERE`, that a mark showed to have the very folders of this copy.
        unmarked: The reason why no mark can be made in its folders, in the system's words.
        unflushed: By path, why a file or folder could not be written to the disk there, in the system's words.
        is_listed: The sound receipt of this project there lists it, so that a pull finds it.
        file_system: That it lies on; None where it was not measured.
        machine: All that its machine is known by (`hsm.remote.machine`); empty where nothing is known.
    """

    target: str
    place: str
    record: RunRecord | None = None
    entries: Mapping[str, Entry] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)
    linked: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    unmarked: str = ""
    is_listed: bool = False
    file_system: FileSystem | None = None
    unflushed: Mapping[str, str] = field(default_factory=dict)
    machine: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class UnitVerdict:
    """Decision about a unit.

    Attributes:
        unit: The unit.
        goes: It may be removed here.
        copies: The targets at which all of it is verified.
        reasons: The reasons, in words, for which it stays.
        lacks: By target, what is not verified there; the empty path is the unit itself.
        waived: Old versions of media that are not needed at a target.
        is_open: It stays because it has not ended, was written to lately, or is too young; so nothing is wrong.
    """

    unit: Unit
    goes: bool
    copies: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    lacks: Mapping[str, tuple[Lack, ...]] = field(default_factory=dict)
    waived: frozenset[str] = frozenset()
    is_open: bool = False
