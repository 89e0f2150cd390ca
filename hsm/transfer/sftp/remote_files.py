"""Files at a remote destination: folders made for a batch, level by level, and parts of files found there."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from hsm.model import EntryKind, SourceFile
from hsm.remote.sftp.listing import get_kind, join
from hsm.remote.sftp.replies import (
    Attributes,
    Room,
    parse_attributes,
    parse_room,
    parse_status,
)
from hsm.remote.sftp.session import RequestBatch, SftpSession, Work
from hsm.remote.sftp.wire import (
    STATVFS,
    Code,
    PacketType,
    Reply,
    SftpError,
    make_mkdir,
    make_path,
    make_statvfs,
)
from hsm.transfer.base import PARTIAL_FOLDER
from hsm.transfer.sftp.batch import Talk
from hsm.transfer.sftp.diagnosis import BlockedError

PATHS_PER_STEP = 100


class RemoteFolders:
    """The folders of one batch. Used by one thread.

    Args:
        root: The destination's folder.

    Attributes:
        made: Folders that did not exist, so that nothing lies in them.
        with_parts: Folders of parts (`PARTIAL_FOLDER`) that exist.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._blocked: dict[str, Exception] = {}
        self.made: set[str] = set()
        self.with_parts: set[str] = set()

    def make(self, files: Sequence[SourceFile]) -> Work:
        """Make the folders of files, a level at a time, and look for parts of files in them."""
        parents = {file.path.rpartition("/")[0] for file in files}
        ancestors = {
            "/".join(parts[:n]) for parts in (p.split("/") for p in parents if p) for n in range(1, len(parts) + 1)
        }
        for depth in range(max((name.count("/") for name in ancestors), default=-1) + 1):
            names = sorted(name for name in ancestors if name.count("/") == depth)
            for start in range(0, len(names), PATHS_PER_STEP):
                yield from self._make_level(names[start : start + PATHS_PER_STEP])
        folders = [join(self._root, parent) for parent in sorted(parents)]
        places = [f"{folder}/{PARTIAL_FOLDER}" for folder in folders if folder not in self.made]
        for start in range(0, len(places), PATHS_PER_STEP):
            replies = yield RequestBatch(
                [make_path(PacketType.LSTAT, path) for path in places[start : start + PATHS_PER_STEP]]
            )
            self.with_parts.update(reply.path for reply in replies if _read_kind(reply) is EntryKind.FOLDER)

    def check(self, file: SourceFile) -> None:
        """Check that the folders of a file are there.

        Raises:
            BlockedError: Something of another type is in the way.
            SftpError: A folder could not be made.
        """
        if not self._blocked:
            return
        parts = file.path.split("/")[:-1]
        for n in range(1, len(parts) + 1):
            error = self._blocked.get(join(self._root, "/".join(parts[:n])))
            if error is not None:
                raise error

    def _make_level(self, names: Sequence[str]) -> Talk:
        paths = [join(self._root, name) for name in names]
        kinds = yield from look_at_kinds(paths)
        missing = [path for path, kind in zip(paths, kinds, strict=True) if kind is None]
        replies = yield RequestBatch([make_mkdir(path) for path in missing])
        failed = {reply.path: reply for reply in replies if parse_status(reply)[0] != Code.OK}
        self.made.update(path for path in missing if path not in failed)
        # Another worker may have been faster: what could not be made may be there by now.
        doubtful = [*failed, *(path for path in paths if path not in missing)]
        kinds = yield from look_at_kinds(doubtful)
        for path, kind in zip(doubtful, kinds, strict=True):
            if kind is None and path in failed:
                self._blocked[path] = SftpError(*parse_status(failed[path]), path)
            elif kind is not EntryKind.FOLDER:
                self._blocked[path] = BlockedError(path)


def look_at_kinds(paths: Sequence[str]) -> Generator[RequestBatch, list[Reply], list[EntryKind | None]]:
    """Look what lies at paths themselves; None where nothing is, or nothing that can be seen."""
    replies = yield RequestBatch([make_path(PacketType.LSTAT, path) for path in paths])
    return [_read_kind(reply) for reply in replies]


def read_attributes(reply: Reply) -> Attributes | None:
    """Read the answer to a STAT, LSTAT or FSTAT; None where the server refuses it."""
    try:
        return parse_attributes(reply)
    except SftpError:
        return None


def ask_room(session: SftpSession, root: str) -> Generator[RequestBatch, list[Reply], Room | None]:
    """Ask for the room on a file system; None where the server does not tell."""
    if STATVFS not in session.extensions:
        return None
    replies = yield RequestBatch([make_statvfs(root)])
    try:
        return parse_room(replies[0])
    except SftpError:
        return None


def get_part_place(final: str) -> tuple[str, str]:
    """Return the folder for parts of a file, and the part's path."""
    folder, _, name = final.rpartition("/")
    return f"{folder}/{PARTIAL_FOLDER}", f"{folder}/{PARTIAL_FOLDER}/{name}"


def _read_kind(reply: Reply) -> EntryKind | None:
    found = read_attributes(reply)
    return None if found is None else get_kind(found)
