"""Single steps with files over SFTP, one after another: for HSM's own files at a destination."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from hsm.endpoint import Tree
from hsm.model import Entry, EntryKind
from hsm.remote.sftp.endpoint import read_receipts, read_whole
from hsm.remote.sftp.listing import NANOSECONDS, TreeLister, get_kind
from hsm.remote.sftp.replies import check_status, parse_attributes, parse_handle
from hsm.remote.sftp.session import CHUNK_BYTES, SftpSession, Work
from hsm.remote.sftp.wire import (
    FSYNC,
    HARD_LINK,
    POSIX_RENAME,
    Code,
    Open,
    PacketType,
    Reply,
    Request,
    SftpError,
    make_fsync,
    make_handle,
    make_mkdir,
    make_open,
    make_path,
    make_two_paths,
    make_write,
)


class SftpFiles:
    """Steps over one session. They raise `SftpError`, unless they say otherwise.

    Args:
        session: Carries them.
        check: Raises what ends the work early.
    """

    def __init__(self, session: SftpSession, check: Callable[[], None]) -> None:
        self._session = session
        self._check = check

    @property
    def has_links(self) -> bool:
        """True where the server makes hard links."""
        return HARD_LINK in self._session.extensions

    def _ask(self, *requests: Request) -> list[Reply]:
        return self._session.ask(*requests, check=self._check)

    def get_kind(self, path: str, *, follow: bool = False) -> EntryKind | None:
        """Return the kind of the file at a path; None for nothing, or nothing that can be seen."""
        (reply,) = self._ask(make_path(PacketType.STAT if follow else PacketType.LSTAT, path))
        try:
            return get_kind(parse_attributes(reply))
        except SftpError as error:
            if error.code == Code.NO_SUCH_FILE:
                return None
            raise

    def get_mtime(self, path: str, *, default: int) -> int:
        """Return the time of a file's last change, by the server's clock, in seconds."""
        (reply,) = self._ask(make_path(PacketType.LSTAT, path))
        try:
            return parse_attributes(reply).mtime or default
        except SftpError:
            return default

    def make_folders(self, path: str) -> None:
        """Make a folder and those above it, where they are missing."""
        parts = path.strip("/").split("/")
        folders = ["/" + "/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        replies = self._ask(*(make_path(PacketType.STAT, folder) for folder in folders))
        for folder, reply in zip(folders, replies, strict=True):
            try:
                parse_attributes(reply)
            except SftpError as error:
                if error.code != Code.NO_SUCH_FILE:
                    raise
                self._make_folder(folder)
        if self.get_kind(path, follow=True) is not EntryKind.FOLDER:
            raise SftpError(Code.FAILURE, "is no folder", path)

    def _make_folder(self, path: str) -> None:
        (reply,) = self._ask(make_mkdir(path))
        try:
            check_status(reply)
        except SftpError:
            if self.get_kind(path, follow=True) is not EntryKind.FOLDER:  # else another process was faster
                raise

    def read(self, path: str) -> bytes | None:
        """Read a file; None where there is none that can be read."""
        found: dict[str, bytes] = {}
        self._session.run([read_whole(path, found)], check=self._check)
        return found.get(path)

    def write(self, path: str, content: bytes, *, syncs: bool = False) -> int:
        """Make a file that is not there yet, and check that it is whole.

        Returns:
            When it was written, by the server's clock, in seconds.
        """
        (reply,) = self._ask(make_open(path, Open.WRITE | Open.CREATE | Open.EXCLUSIVE))
        handle = parse_handle(reply)
        starts = range(0, len(content), CHUNK_BYTES)
        requests = [make_write(handle, start, content[start : start + CHUNK_BYTES], path) for start in starts]
        if syncs and FSYNC in self._session.extensions:
            requests.append(make_fsync(handle, path))
        *replies, status, closed = self._ask(
            *requests, make_handle(PacketType.FSTAT, handle, path), make_handle(PacketType.CLOSE, handle, path)
        )
        for each in (*replies, closed):
            check_status(each)
        found = parse_attributes(status)
        if found.size != len(content):
            raise SftpError(Code.FAILURE, "the file did not arrive whole", path)
        return found.mtime or 0

    def link(self, old: str, new: str) -> None:
        """Give a file a further name, which must be free."""
        (reply,) = self._ask(make_two_paths(HARD_LINK, old, new))
        check_status(reply)

    def rename(self, old: str, new: str) -> None:
        """Rename a file to a name that is free."""
        (reply,) = self._ask(make_two_paths("", old, new))
        check_status(reply)

    def replace(self, old: str, new: str) -> None:
        """Rename a file over another one: in one step where the server can."""
        if POSIX_RENAME in self._session.extensions:
            (reply,) = self._ask(make_two_paths(POSIX_RENAME, old, new))
            check_status(reply)
            return
        # A plain RENAME of version 3 fails where the name is taken.
        aside = f"{old}.aside"
        self.remove(aside)
        has_aside = self._try_rename(new, aside)
        try:
            self.rename(old, new)
        except SftpError:
            if has_aside:
                self._try_rename(aside, new)
            raise
        if has_aside:
            self.remove(aside)

    def _try_rename(self, old: str, new: str) -> bool:
        try:
            self.rename(old, new)
        except SftpError:
            return False
        return True

    def remove(self, *paths: str) -> None:
        """Remove files, as far as that is possible."""
        if paths:
            self._ask(*(make_path(PacketType.REMOVE, path) for path in paths))

    def remove_folder(self, path: str) -> None:
        """Remove a folder if it is empty."""
        self._ask(make_path(PacketType.RMDIR, path))

    def list_names(self, path: str) -> list[str]:
        """List the names in a folder."""
        return [name for name, _ in self._iter_entries(path, max_depth=1) if name]

    def iter_times(self, path: str) -> Iterator[tuple[str, int]]:
        """Yield all paths at and below one, which must be no symlink, each with the seconds of its last change."""
        for name, mtime in self._iter_entries(path, max_depth=None):
            yield f"{path}/{name}" if name else path, mtime

    def remove_tree(self, path: str) -> None:
        """Remove a folder with everything in it; of a symlink only itself."""
        if self.get_kind(path) is not EntryKind.FOLDER:
            self.remove(path)
            return
        listing = self._list(path, max_depth=None)
        folders = [entry.path for entry in listing if entry.kind is EntryKind.FOLDER and entry.path]
        self.remove(*(f"{path}/{entry.path}" for entry in listing if entry.kind is not EntryKind.FOLDER))
        for folder in sorted(folders, key=lambda name: -name.count("/")):
            self.remove_folder(f"{path}/{folder}")
        (reply,) = self._ask(make_path(PacketType.RMDIR, path))
        check_status(reply)

    def read_receipts(self, path: str) -> dict[str, str]:
        """Take the checksum of every receipt in a folder, by file name."""
        found: dict[str, str] = {}
        self._session.run([read_receipts(path, found)], check=self._check)
        return found

    def _iter_entries(self, path: str, *, max_depth: int | None) -> Iterator[tuple[str, int]]:
        for entry in self._list(path, max_depth=max_depth):
            yield entry.path, entry.mtime_ns // NANOSECONDS

    def _list(self, path: str, *, max_depth: int | None) -> tuple[Entry, ...]:
        queue: deque[Work] = deque()
        lister = TreeLister(Tree(path, ("",), max_depth), path, queue, has_room=False)
        queue.append(lister.look())
        self._session.run(queue, check=self._check)
        return lister.make_listing().entries
