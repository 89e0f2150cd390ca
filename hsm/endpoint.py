"""Contract of an endpoint, the source or the destination of a sync, local or remote.

`hsm.remote.local.LocalEndpoint`, `hsm.remote.shell_programs.endpoint.RemoteEndpoint` and
`hsm.remote.sftp.endpoint.SftpEndpoint` implement it; `tests/contract/test_endpoints.py` holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol, overload

from hsm.model import Entry, EntryKind, Problem


@dataclass(frozen=True, slots=True)
class Tree:
    """A request to list something.

    Attributes:
        base: Absolute path of a folder, or `~/...`; may be or lie below a symlink.
        names: Starting points relative to `base`; the empty name is the base itself.
        max_depth: Levels below each starting point: 0 lists the starting points alone, None everything.
        follow: Say of each symlink where it leads (`Entry.followed`). Folders behind symlinks are never
            walked.
    """

    base: str
    names: tuple[str, ...] = ("",)
    max_depth: int | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True)
class Space:
    """Room on the file system that holds a folder.

    Attributes:
        free_bytes: For an unprivileged user; None where unknown.
        free_inodes: None where unknown (btrfs and others report a total of 0).
    """

    free_bytes: int | None = None
    free_inodes: int | None = None


_UNKNOWN_SPACE = Space()


@dataclass(frozen=True, slots=True)
class Listing:
    """The answer to one `Tree`.

    Attributes:
        base: The folder's real path, every symlink resolved; as asked for when it does not exist.
        kind: What `base` leads to; None when nothing is there.
        entries: In no particular order; starting points that do not exist are simply absent.
            Paths are relative to `base`; the base itself has the path `""`.
        problems: Folders that could not be read.
        space: On the file system of `base`, or of its nearest parent that exists.
        nearest: The nearest existing parent's kind when `base` is missing (a file there is in the way).
        device: The file system that `space` is about, in a word that differs from one to the next and is the same
            from call to call; empty where it is not known.
    """

    base: str
    kind: EntryKind | None
    entries: tuple[Entry, ...] = ()
    problems: tuple[Problem, ...] = ()
    space: Space = _UNKNOWN_SPACE
    nearest: EntryKind | None = EntryKind.FOLDER
    device: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine behind an endpoint.

    Attributes:
        system: As `uname -s` says, for example `Linux`.
        home: The user's home folder, absolute.
        rsync_version: The output of `rsync --version`; empty when there is no rsync.
        clock_ns: The machine's clock when it answered, nanoseconds since the epoch; 0 where unknown.
    """

    system: str = ""
    home: str = ""
    rsync_version: str = ""
    clock_ns: int = 0


@dataclass(frozen=True, slots=True)
class SearchBounds:
    """Bounds of a search for folders.

    Attributes:
        depth: Levels below the base: a folder `a/b` lies at depth 2.
        n_folders: Folders that are read in all.
        n_entries: Entries of one folder; from there on it is left unread.
        seconds: For the whole search; over a network without the round trips.
    """

    depth: int = 4
    n_folders: int = 2_000
    n_entries: int = 5_000
    seconds: float = 2.0


_BOUNDS = SearchBounds()


@dataclass(frozen=True, slots=True)
class FolderSearch:
    """A request to look for wandb folders and for the marks of Hydra below a folder (`hsm.remote.folder_search`).

    Attributes:
        base: Absolute path of a folder, or `~/...`; may be or lie below a symlink.
        left: Absolute real paths of folders that are not entered.
        bounds: Where it ends.
    """

    base: str
    left: tuple[str, ...] = ()
    bounds: SearchBounds = _BOUNDS


class CutReason(str, Enum):
    """Reason why a folder was not searched to its end. The values are words for people."""

    ENTRIES = "too many entries"
    FOLDERS = "too many folders"
    TIME = "out of time"
    UNREADABLE = "cannot be read"


class CutSearch(NamedTuple):
    """A folder in which a search ended early.

    Attributes:
        path: Relative to the base; of FOLDERS and TIME the first one that was not read, and others follow it.
        reason: Why it was left.
    """

    path: str
    reason: CutReason


@dataclass(frozen=True, slots=True)
class FoundFolders:
    """The answer to a `FolderSearch`. Paths are sorted and relative to `base`, which itself is `""`.

    Attributes:
        base: The folder's real path; as asked for when it does not exist.
        wandb: Folders named `wandb` or `.wandb`; absolute paths where the configuration names some elsewhere.
        multiruns: Folders that hold a file `multirun.yaml`. What lies below them was not looked at.
        jobs: Folders that hold a folder `.hydra`.
        cut: What was not searched to its end.
    """

    base: str
    wandb: tuple[str, ...] = ()
    multiruns: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    cut: tuple[CutSearch, ...] = ()

    def get_path(self, name: str) -> str:
        """Return the absolute path of one of these folders."""
        if name.startswith("/"):
            return name
        return f"{self.base.rstrip('/')}/{name}" if name else self.base


@dataclass(frozen=True, slots=True)
class Survey:
    """One look at an endpoint.

    Attributes:
        machine: The machine behind it.
        listings: One per requested `Tree`, in their order.
        receipts: The checksum of every receipt in the folder that was asked for, by file name.
        digest: Of all that was listed, the same as long as nothing of it changes; empty where the endpoint has none.
        found: The answer to the search; None where none was asked for.
    """

    machine: Machine
    listings: Sequence[Listing]
    receipts: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    found: FoundFolders | None = None


class LazyListings(Sequence[Listing]):
    """Listings that are read when the first of them is asked for.

    Args:
        read: Reads all.
        count: How many there will be.
    """

    def __init__(self, read: Callable[[], tuple[Listing, ...]], count: int) -> None:
        self._read = read
        self._count = count
        self._found: tuple[Listing, ...] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Listing: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Listing, ...]: ...

    def __getitem__(self, index: int | slice) -> Listing | tuple[Listing, ...]:
        if self._found is None:
            self._found = self._read()[: self._count]
        return self._found[index]


@dataclass(frozen=True, slots=True)
class FileEnds:
    """The two ends of a file: of a log, enough to name its run's sweep.

    Attributes:
        path: As asked for.
        size: Bytes of the whole file when it was read.
        head: Its first bytes.
        tail: Its last bytes, starting at `tail_offset`; may overlap the head.
        tail_offset: Where the tail begins; a multiple of the block size that was asked for.
    """

    path: str
    size: int
    head: bytes
    tail: bytes
    tail_offset: int


class Endpoint(Protocol):
    """One end of a sync.

    Every method raises `hsm.errors.UnreachableError` when the machine cannot be reached and never prompts.
    """

    @property
    def name(self) -> str:
        """The target's name, or `here`."""

    @property
    def is_remote(self) -> bool:
        """True where it lies behind a network connection."""

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        """List `trees`, in one session where the endpoint is remote. Changes nothing.

        Args:
            trees: At least one, unless there is a `search`.
            receipts: A folder, absolute or `~/...`, whose receipts' checksums are wanted.
            is_lazy: The listings may be read out of the answer when they are asked for, if ever.
            search: Folders to look for as well, in the same session.
        """

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """Read the first bytes and the last `n_blocks` blocks of 32 KiB of each file, all in one session.

        Args:
            paths: Absolute paths.
            n_blocks: Whole blocks at the end, beginning at a multiple of 32,768 bytes; 0 for none.
            head_bytes: Bytes at the beginning, more than a file has for all of it; by default as many blocks.

        Yields:
            One answer per file that could be read, in the order of `paths`; others are skipped.
        """

    def read_file(self, path: str) -> bytes:
        """Read a whole file.

        Raises:
            FileNotFoundError: There is no such file, or it cannot be read.
        """
