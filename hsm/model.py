"""The values that the parts of HSM hand to one another: frozen, typed, blind to the world.

Paths are text as `os.fsdecode` gives it, so bytes that are no UTF-8 survive as surrogates; they use `/`.
Times are whole nanoseconds since the epoch, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Root(str, Enum):
    """The two folders of a project that HSM brings home; every destination path lies below one of them."""

    SWEEPS = "sweeps"
    WANDB = "wandb"


class EntryKind(str, Enum):
    """What a listing found at a path. The values are the letters of GNU find's `%y`."""

    FILE = "f"
    FOLDER = "d"
    SYMLINK = "l"
    OTHER = "o"


class Entry(NamedTuple):
    """One record of a listing, the same from every kind of endpoint.

    A named tuple, not a dataclass: a plan holds hundreds of thousands, and these are made four times as fast.

    Attributes:
        path: Relative to the folder that was listed.
        kind: The entry itself; symlinks are not followed.
        size: Bytes; 0 for anything but a file.
        mtime_ns: With all the digits the file system keeps; 0 for a folder.
        inode: 0 where unknown.
        link_target: What a symlink holds, else empty.
        followed: Where a symlink leads, when the listing was asked to follow; None when it leads nowhere.
    """

    path: str
    kind: EntryKind
    size: int
    mtime_ns: int
    inode: int
    link_target: str = ""
    followed: Entry | None = None


class RunState(str, Enum):
    """How far a run has come, as its own log tells.

    FINISHED and FAILED have an exit record (exit code 0, other); RUNNING has none and its log moved lately;
    UNKNOWN has none and rests: killed, or a wandb that writes seldom.
    """

    FINISHED = "finished"
    FAILED = "failed"
    RUNNING = "running"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Run:
    """One wandb run folder that belongs to the sweep.

    Attributes:
        name: The folder's name; unique at a target.
        prefix: Absolute path of the folder at the source that holds it.
        log: The `.wandb` log's path relative to the run folder; empty when it has none yet.
        state: From the log.
        exit_code: Of a FINISHED or FAILED run.
        at_rest: The log has not moved for a while, so what was read of it is its end.
        uploaded: wandb has it already (`.synced`, or a finished online run).
    """

    name: str
    prefix: str
    log: str = ""
    state: RunState = RunState.UNKNOWN
    exit_code: int | None = None
    at_rest: bool = True
    uploaded: bool = False

    @property
    def has_exit_record(self) -> bool:
        """Whether the log ends with an exit record, that is, the run will not go on."""
        return self.state in (RunState.FINISHED, RunState.FAILED)


FileKey = tuple[Root, str]
"""A file by the destination root and the path below it."""


class SourceFile(NamedTuple):
    """One file that could be sent (a named tuple for the reason given at `Entry`).

    Attributes:
        root: Below which of the destination's two folders it lands.
        path: Relative to that folder; at the source the same path lies below `prefix`.
        prefix: Absolute folder at the source.
        size: Bytes, of a symlink's content where `is_link`.
        mtime_ns: Of the content.
        inode: Of the content; 0 where unknown.
        run: Name of the run it belongs to; empty for files of the sweep folder.
        is_link: A symlink at the source, travels as the file it leads to.
        leads_to: Of a symlink: what it holds, then the real path of every further one on the way, and of the
            content, as far as they are known (`hsm.discover.links`).
        real: Of a symlink: the real path of its content; empty where it is not known.
    """

    root: Root
    path: str
    prefix: str
    size: int
    mtime_ns: int
    inode: int
    run: str = ""
    is_link: bool = False
    leads_to: tuple[str, ...] = ()
    real: str = ""

    @property
    def key(self) -> FileKey:
        """The place at the destination, which no two files of a plan share."""
        return self.root, self.path


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one path that the user must hear of, while everything else goes on.

    Attributes:
        path: Where; relative to the project or to the root it concerns; may be empty.
        kind: A short stable word for scripts.
        message: One sentence.
        hint: What to do next; may be empty.
        is_failure: False for a notice that does not change the exit code.
    """

    path: str
    kind: str
    message: str
    hint: str = ""
    is_failure: bool = True


@dataclass(frozen=True, slots=True)
class RunVersions:
    """What a run's last summary names, needed to tell which media are superseded.

    Attributes:
        named: Paths relative to the run's `files/` folder, as `media/table/x_3_<20 hex>.table.json`.
        incremental: Keys of incremental tables, whose files are all needed.
    """

    named: frozenset[str] = frozenset()
    incremental: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SweepInventory:
    """What the source has of one sweep: the plan's first input.

    Attributes:
        sweep: The sweep's id.
        runs: Sorted by name.
        files: Every file that may be sent, of the sweep folder (to its depth) and of the runs.
        versions: By run name; only runs with more than one version of something are in it.
        deeper: Folder of the sweep folder -> number of files below it that lie deeper than `max_depth`.
        max_depth: Levels of the sweep folder whose files are in `files`; None for all.
        problems: Found while looking.
    """

    sweep: str
    runs: tuple[Run, ...] = ()
    files: tuple[SourceFile, ...] = ()
    versions: Mapping[str, RunVersions] = field(default_factory=dict)
    deeper: Mapping[str, int] = field(default_factory=dict)
    max_depth: int | None = 1
    problems: tuple[Problem, ...] = ()


class Reason(str, Enum):
    """Why a file is sent or left. The order here is the order of tables.

    Attributes:
        is_send: Whether a file with this reason is sent.
    """

    is_send: bool

    NEW = "new"
    SIZE = "size differs"
    TIME = "time differs"
    UNCHECKED = "not checked"
    OVERWRITE = "overwrites a conflict"
    SAME = "same"
    SUPERSEDED = "superseded"
    EXCLUDED = "excluded"
    SECRET = "secret"  # noqa: S105 - a word for people
    UNFINISHED = "upload mark of an unfinished run"
    CONFLICT = "conflict"
    NOT_CHOSEN = "not chosen"


for _reason in Reason:
    _reason.is_send = _reason in (Reason.NEW, Reason.SIZE, Reason.TIME, Reason.UNCHECKED, Reason.OVERWRITE)


class PlanItem(NamedTuple):
    """What becomes of one file, and why.

    Attributes:
        file: The file.
        reason: Sent or left, and why.
        detail: More of the reason in words, for example `superseded by step 70`; may be empty.
    """

    file: SourceFile
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What is to be sent of one sweep to one destination, and what is left, and why.

    Attributes:
        sweep: The sweep's id.
        runs: As in the inventory.
        items: One for every file, sorted by root and path.
        deeper: As in the inventory.
        max_depth: As in the inventory.
        problems: The inventory's, and those that comparing found.
        is_checked: False when the destination's files were not compared (`check_remote_first: false`).
        sends: The files to send, in the plan's order.
    """

    sweep: str
    runs: tuple[Run, ...] = ()
    items: tuple[PlanItem, ...] = ()
    deeper: Mapping[str, int] = field(default_factory=dict)
    max_depth: int | None = 1
    problems: tuple[Problem, ...] = ()
    is_checked: bool = True
    sends: tuple[SourceFile, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sends = tuple(item.file for item in self.items if item.reason.is_send)
        object.__setattr__(self, "sends", sends)  # once: there may be hundreds of thousands
