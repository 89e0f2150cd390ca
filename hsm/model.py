"""Values that the parts of HSM hand to one another: frozen, typed, blind to the world.

Paths are text as `os.fsdecode` gives it, so bytes that are no UTF-8 survive as surrogates; they use `/`.
Times are whole nanoseconds since the epoch, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Root(str, Enum):
    """The two folders of a project that HSM copies; every destination path lies below one of them."""

    SWEEPS = "sweeps"
    WANDB = "wandb"


class SweepKind(str, Enum):
    """Kind of a sweep: what makes its runs one.

    FOLDER is a folder of outputs, or of runs alone; WANDB a name that logs give, of a W&B sweep or a group; HYDRA a
    folder of Hydra's jobs; LOOSE all runs that are in no sweep.
    """

    FOLDER = "folder"
    WANDB = "wandb"
    HYDRA = "hydra"
    LOOSE = "loose"


class EntryKind(str, Enum):
    """Type of an entry of a listing. The values are the letters of GNU find's `%y`."""

    FILE = "f"
    FOLDER = "d"
    SYMLINK = "l"
    OTHER = "o"


class Entry(NamedTuple):
    """One record of a listing, the same from every kind of endpoint.

    A named tuple, not a dataclass: a plan holds hundreds of thousands, and these are made four times as fast.

    Attributes:
        path: Relative to the folder that was listed.
        kind: Of the entry itself; symlinks are not followed.
        size: Bytes; 0 for anything but a file.
        mtime_ns: With all the digits the file system keeps; 0 for a folder.
        inode: 0 where unknown.
        link_target: The content of a symlink, else empty.
        followed: The entry that a symlink leads to, when the listing was asked to follow; None when it leads nowhere.
        disk_bytes: Of a large file that occupies less than its size; None for others, and where it is not known.
    """

    path: str
    kind: EntryKind
    size: int
    mtime_ns: int
    inode: int
    link_target: str = ""
    followed: Entry | None = None
    disk_bytes: int | None = None


class RunState(str, Enum):
    """State of a run, as its own log tells.

    FINISHED and FAILED have an exit record (exit code 0, other); RUNNING has none and something of it moved lately;
    UNKNOWN has none and rests: killed, or a wandb that writes seldom.
    """

    FINISHED = "finished"
    FAILED = "failed"
    RUNNING = "running"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Run:
    """A wandb run folder that belongs to the sweep.

    Attributes:
        name: The folder's name; unique at a target.
        prefix: Absolute path of the folder at the source that holds it.
        log: The `.wandb` log's path relative to the run folder; empty when it has none yet.
        state: From the log.
        exit_code: Of a FINISHED or FAILED run.
        at_rest: The log has not changed for a while, so what was read of it is its end.
        uploaded: wandb has it already (`.synced`, or a finished online run).
        id: That wandb gave it; a run that was resumed has two folders and one id.
        project: That wandb gives it to; empty where its log does not say.
    """

    name: str
    prefix: str
    log: str = ""
    state: RunState = RunState.UNKNOWN
    exit_code: int | None = None
    at_rest: bool = True
    uploaded: bool = False
    id: str = ""
    project: str = ""

    @property
    def has_exit_record(self) -> bool:
        """True where the log ends with an exit record: the run will not go on."""
        return self.state in (RunState.FINISHED, RunState.FAILED)


FileKey = tuple[Root, str]
"""A file by the destination root and the path below it."""


class SourceFile(NamedTuple):
    """A file that could be sent (a named tuple for the reason given at `Entry`).

    Attributes:
        root: The one of the destination's two folders below which it lands.
        path: Relative to that folder; at the source the same path lies below `prefix`.
        prefix: Absolute folder at the source.
        size: Bytes, of a symlink's content where `is_link`.
        mtime_ns: Of the content.
        inode: Of the content; 0 where unknown.
        run: Name of the run it belongs to; empty for files of the sweep folder.
        is_link: A symlink at the source; the file that it leads to is sent.
        leads_to: Of a symlink: its content, then the real path of every further one on the way, and of the file, as
            far as they are known (`hsm.discover.files.links`).
        real: Of a symlink: the real path of the file; empty where it is not known.
        is_result: False for what an operating system or a crash left behind (`hsm.discover.files.junk`).
        disk_bytes: As of its entry.
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
    is_result: bool = True
    disk_bytes: int | None = None

    @property
    def n_needed_bytes(self) -> int:
        """The room that it needs: less than its size where it has holes."""
        return self.size if self.disk_bytes is None else self.disk_bytes

    @property
    def key(self) -> FileKey:
        """The place at the destination, which no two files of a plan share."""
        return self.root, self.path


@dataclass(frozen=True, slots=True)
class Problem:
    """A thing about one path that the user must be told, while everything else goes on.

    Attributes:
        path: Relative to the project or to the root it concerns; may be empty.
        kind: A short stable word for scripts.
        message: One sentence.
        hint: The next thing to do or type; may be empty.
        is_failure: False for a notice that does not change the exit code.
    """

    path: str
    kind: str
    message: str
    hint: str = ""
    is_failure: bool = True


FOLDER_UNREADABLE = "unreadable"
CONFLICT = "conflict"
TYPE_CONFLICT = "type_conflict"
NO_RUNS = "no_runs"
"""Kinds of problems that HSM itself decides by, of which no one module is the home."""


class GapReason(str, Enum):
    """Reason why something of a run, or of the sweep's folder, is not among the files of an inventory.

    Attributes:
        is_open: The run is not complete without it.
    """

    is_open: bool

    UNREADABLE = "unreadable"
    DANGLING = "dangling symlink"
    LINKED_FOLDER = "symlinked folder"
    LEADS_OUT = "symlinked folder that leads out"
    SPECIAL = "special file"
    STRAY = "in a wandb folder"


for _gap in GapReason:
    _gap.is_open = _gap in (GapReason.UNREADABLE, GapReason.DANGLING, GapReason.LEADS_OUT)


class Gap(NamedTuple):
    """Something at the source that is not among the files of an inventory, so that no plan can say why it is left.

    Attributes:
        run: The run that it is of; empty for the sweep's folder.
        path: As of a `SourceFile`.
        reason: Why it is none of them.
    """

    run: str
    path: str
    reason: GapReason


class FolderLink(NamedTuple):
    """A symlink in a run, or in the sweep's folder, that leads to a folder.

    Attributes:
        run: The run that it is of; empty for the sweep's folder.
        path: As of a `SourceFile`; the files behind it lie below.
        leads_to: Its content.
        places: The places in which the folder lies, of those that are asked for; the project under its empty name.
            None where it leads in a circle, or it was not asked for any.
    """

    run: str
    path: str
    leads_to: str
    places: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class RunVersions:
    """Media that a run's last summary names, from which old versions are told.

    Attributes:
        named: Paths relative to the run's `files/` folder, as `media/table/x_3_<20 hex>.table.json`.
        incremental: Keys of incremental tables, whose files are all needed.
    """

    named: frozenset[str] = frozenset()
    incremental: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SweepInventory:
    """Runs and files of one sweep at the source: the plan's first input.

    Attributes:
        sweep: The sweep's id.
        runs: Sorted by name.
        files: Every file that may be sent, of the sweep folder (to its depth) and of the runs.
        versions: By run name; only runs with more than one version of something are in it.
        deeper: Folder in the sweep folder -> number of files below it that lie deeper than `max_depth`.
        max_depth: Levels of the sweep folder whose files are in `files`; None for all.
        problems: Found while looking.
        gaps: Everything of the runs and of the sweep folder that is not in `files`.
        links: Symlinked folders that were followed, or may be; each target says whether it wants what lies behind.
        has_folder: The sweep has a folder of its own, whether its files are in `files` or not.
        left_roots: The folders that are not wanted: True where this call alone does without them.
        kind: Of the sweep.
        place: Of a Hydra sweep: its folder, relative to the project.
        jobs: Hydra's job folders in the sweep's folder, relative to it; all of each counts, whatever `max_depth` says.
    """

    sweep: str
    runs: tuple[Run, ...] = ()
    files: tuple[SourceFile, ...] = ()
    versions: Mapping[str, RunVersions] = field(default_factory=dict)
    deeper: Mapping[str, int] = field(default_factory=dict)
    max_depth: int | None = 1
    problems: tuple[Problem, ...] = ()
    gaps: tuple[Gap, ...] = ()
    links: tuple[FolderLink, ...] = ()
    has_folder: bool = True
    left_roots: Mapping[Root, bool] = field(default_factory=dict)
    kind: SweepKind = SweepKind.FOLDER
    place: str = ""
    jobs: tuple[str, ...] = ()

    @property
    def has_jobs(self) -> bool:
        """True where files of the sweep's folder may lie deeper than `max_depth`."""
        return bool(self.place or self.jobs)


class Reason(str, Enum):
    """Reason why a file is sent or not. The order here is the order of tables.

    Attributes:
        is_send: A file with this reason is sent.
    """

    is_send: bool

    NEW = "new"
    SIZE = "size differs"
    TIME = "time differs"
    UNCHECKED = "not checked"
    OVERWRITE = "overwrites a conflict"
    SAME = "same"
    THERE = "not sent, there already"
    NO_RESULT = "no result"
    SUPERSEDED = "superseded"
    EXCLUDED = "excluded"
    SECRET = "secret"  # noqa: S105 - a word for people
    UNFINISHED = "upload mark of an unfinished run"
    CONFLICT = "conflict"
    NOT_CHOSEN = "not chosen"


for _reason in Reason:
    _reason.is_send = _reason in (Reason.NEW, Reason.SIZE, Reason.TIME, Reason.UNCHECKED, Reason.OVERWRITE)


class PlanItem(NamedTuple):
    """Decision about one file.

    Attributes:
        file: The file.
        reason: Why it is sent or not.
        detail: More of the reason in words, for example `superseded by step 70`; may be empty.
    """

    file: SourceFile
    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """Decisions about all files of one sweep for one destination.

    Attributes:
        sweep: The sweep's id.
        runs: As in the inventory.
        items: One for every file, sorted by root and path.
        deeper: As in the inventory.
        max_depth: As in the inventory.
        problems: The inventory's, and those that comparing found.
        gaps: As in the inventory.
        left_roots: As in the inventory.
        is_checked: False when the destination's files were not compared (`check_remote_first: false`).
        doubts: Files that only their content can tell; until it is compared they count as different.
        asks_file_system: It may be another plan once the destination's file system has been measured.
        kind: As in the inventory.
        place: As in the inventory.
        jobs: Hydra's job folders, relative to the sweep's; the state of each where it was asked for.
        sends: The files to send, in the plan's order.
    """

    sweep: str
    runs: tuple[Run, ...] = ()
    items: tuple[PlanItem, ...] = ()
    deeper: Mapping[str, int] = field(default_factory=dict)
    max_depth: int | None = 1
    problems: tuple[Problem, ...] = ()
    gaps: tuple[Gap, ...] = ()
    left_roots: Mapping[Root, bool] = field(default_factory=dict)
    is_checked: bool = True
    doubts: tuple[SourceFile, ...] = ()
    asks_file_system: bool = False
    kind: SweepKind = SweepKind.FOLDER
    place: str = ""
    jobs: Mapping[str, RunState] = field(default_factory=dict)
    sends: tuple[SourceFile, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sends = tuple(item.file for item in self.items if item.reason.is_send)
        object.__setattr__(self, "sends", sends)  # once: there may be hundreds of thousands
