"""What `hsm sync clean` looks at and decides upon: a run or the sweep's folder here, its copies, the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hsm.model import Entry, EntryKind, Root, Run, SourceFile
from hsm.records.cleaned import CleanedUnit
from hsm.records.record import RunRecord


class Seen(NamedTuple):
    """One entry of a walk here; symlinks are not followed.

    Attributes:
        kind: The entry itself.
        size: Bytes; 0 for anything but a file.
        mtime_ns: When its content changed; 0 for a folder, whose own changes show in what it holds.
        ctime_ns: When anything of it changed, which no program can set back; 0 for a folder.
        inode: With `device`, which file it is.
        device: Of its file system.
        link_target: What a symlink holds.
    """

    kind: EntryKind
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    link_target: str = ""


class Lack(NamedTuple):
    """Something here that is not proven at a target, by its path in the run, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class CleanOptions:
    """What the user asks.

    Attributes:
        n_copies: At how many targets, in different places, everything must be.
        is_quick: Sizes and times there count in place of checksums.
        allows_superseded: Superseded media need not be there.
        older_than_ns: Only what nothing has been written to for so long.
    """

    n_copies: int = 1
    is_quick: bool = False
    allows_superseded: bool = False
    older_than_ns: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """A run, or the sweep's folder without the runs in it, as it lies here.

    Attributes:
        name: The run's folder; empty for the sweep's.
        path: Absolute.
        run: None for the sweep's folder, and for what an interrupted clean left.
        entries: Everything below, by path relative to it: hidden files, empty folders, symlinks, sockets.
        files: What a sync sends of it, by the same paths.
        checksums: SHA-256 of files, and of what symlinks in `files` lead to.
        superseded: Media that a later step has replaced.
        blocks: What was met while looking that keeps it, whatever the targets have.
        recorded: Of what an interrupted clean left, what was recorded before; None for all else.
    """

    name: str
    path: str
    run: Run | None = None
    entries: Mapping[str, Seen] = field(default_factory=dict)
    files: Mapping[str, SourceFile] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    superseded: frozenset[str] = frozenset()
    blocks: tuple[str, ...] = ()
    recorded: CleanedUnit | None = None

    @property
    def root(self) -> Root:
        """Below which of a target's two folders it lands."""
        return Root.WANDB if self.name else Root.SWEEPS

    @property
    def n_bytes(self) -> int:
        """What its files take; a file with several names here counts once."""
        files = {(seen.device, seen.inode): seen.size for seen in self.entries.values() if seen.kind is EntryKind.FILE}
        return sum(files.values())

    @property
    def n_files(self) -> int:
        """Files and symlinks."""
        return sum(seen.kind is not EntryKind.FOLDER for seen in self.entries.values())


@dataclass(frozen=True, slots=True)
class Copy:
    """What one target has of a unit, looked at a moment ago.

    Attributes:
        target: Its name.
        place: Targets of one place have the same word here, and count once.
        record: What the journal proves there.
        entries: By path relative to the unit.
        checksums: SHA-256 of files there.
        left: Why files of the unit are not sent there, in words.
        devices: Of files at a target that is a folder of this machine, their file system, by path.
    """

    target: str
    place: str
    record: RunRecord | None = None
    entries: Mapping[str, Entry] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UnitVerdict:
    """What becomes of a unit.

    Attributes:
        unit: The unit.
        goes: It may be removed here.
        copies: The targets at which all of it is proven.
        reasons: Why it stays, whatever the targets have.
        lacks: By target, what is not proven there; the empty path is the unit itself.
        waived: Superseded media that are not needed at a target.
        is_open: It stays because it has not ended, was written to lately, or is too young; so nothing is amiss.
    """

    unit: Unit
    goes: bool
    copies: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    lacks: Mapping[str, tuple[Lack, ...]] = field(default_factory=dict)
    waived: frozenset[str] = frozenset()
    is_open: bool = False
