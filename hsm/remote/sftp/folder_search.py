"""The search for wandb folders over SFTP, a level of folders at a time.

Lists of names tell the types, so files are not asked for. Of a folder's file system the protocol tells nothing;
OpenSSH's `statvfs` tells a number, asked for together with the list.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Generator, Sequence

from hsm.endpoint import CutReason, FolderSearch, FoundFolders
from hsm.model import EntryKind
from hsm.remote.folder_search.rules import PROJECT_CONFIG, FolderContent, FolderWalk
from hsm.remote.sftp.listing import get_kind, join
from hsm.remote.sftp.replies import Attributes, WireError, parse_attributes, parse_handle, parse_names, parse_room
from hsm.remote.sftp.session import RequestBatch, Work
from hsm.remote.sftp.wire import Code, PacketType, Reply, Request, SftpError, make_handle, make_path, make_statvfs

_NAMES_AT_ONCE = 100

_ROUND_TRIPS_PER_LEVEL = 5
"""Of a level without large folders: open, two lists, a configuration, close. The time of a search is without them."""

_Step = Generator[RequestBatch, list[Reply], None]


class FolderSearcher:
    """Does one search; its work goes into a queue that it shares with others.

    Args:
        search: The request.
        base: Its base, absolute.
        queue: Takes the work.
        has_room: The server can tell file systems apart.
    """

    def __init__(self, search: FolderSearch, base: str, queue: deque[Work], *, has_room: bool) -> None:
        self._search = search
        self._base = base
        self._queue = queue
        self._has_room = has_room
        self._file_system = 0
        self._walk: FolderWalk | None = None
        self._n_unread = 0

    def make_found(self) -> FoundFolders:
        """Make the answer, once the queue is done."""
        return self._walk.make_found() if self._walk is not None else FoundFolders(self._base)

    def look(self) -> Work:
        """Look at the base, and queue the rest."""
        began = time.monotonic()
        requests = [make_path(PacketType.STAT, self._base), make_path(PacketType.REALPATH, self._base)]
        replies = yield RequestBatch([*requests, *self._ask_file_system(self._base)])
        try:
            if get_kind(parse_attributes(replies[0])) is not EntryKind.FOLDER:
                return
            names = parse_names(replies[1])
        except SftpError:
            return
        self._base = names[0][0] if names else self._base
        self._file_system = _read_file_system(replies[2:])
        wait = (time.monotonic() - began) * _ROUND_TRIPS_PER_LEVEL * (self._search.bounds.depth + 1)
        self._walk = FolderWalk(self._search, self._base, extra_seconds=wait if self._search.bounds.seconds else 0.0)
        self._levels = self._walk.iter_levels()
        self._go_down(self._walk)

    def _go_down(self, walk: FolderWalk) -> None:
        level: Sequence[str] = next(self._levels, ())
        self._n_unread = len(level)
        # Before all that waits there: the time of a search runs, and a large listing would use it up.
        self._queue.extendleft(self._read(walk, path) for path in reversed(level))

    def _read(self, walk: FolderWalk, path: str) -> Work:
        if walk.is_late():
            walk.cut(path, CutReason.TIME)
        else:
            yield from self._read_folder(walk, path)
        self._n_unread -= 1
        if not self._n_unread:
            self._go_down(walk)

    def _read_folder(self, walk: FolderWalk, path: str) -> _Step:
        full = join(self._base, path)
        replies = yield RequestBatch([make_path(PacketType.OPENDIR, full), *self._ask_file_system(full)])
        try:
            handle = parse_handle(replies[0])
        except SftpError as error:
            if error.code != Code.NO_SUCH_FILE:
                walk.cut(path, CutReason.UNREADABLE)
            return
        if _read_file_system(replies[1:]) == self._file_system:
            content = walk.make_content()
            try:
                if not (yield from _read_entries(walk, full, handle, content)):
                    walk.cut(path, CutReason.TIME)
            except SftpError:
                walk.cut(path, CutReason.UNREADABLE)
            if content.may_be_project:
                replies = yield RequestBatch([make_path(PacketType.STAT, join(full, PROJECT_CONFIG))])
                content.is_project = _is_there(replies[0])
            walk.add(path, content)
        yield RequestBatch([make_handle(PacketType.CLOSE, handle, full)])

    def _ask_file_system(self, path: str) -> list[Request]:
        return [make_statvfs(path)] if self._has_room else []


def _read_file_system(replies: Sequence[Reply]) -> int:
    """Read the number of a file system; 0 where it is not told, and where it has none."""
    try:
        return parse_room(replies[0]).file_system if replies else 0
    except (SftpError, WireError):
        return 0


def _is_there(reply: Reply) -> bool:
    try:
        parse_attributes(reply)
    except SftpError:
        return False
    return True


def _read_entries(
    walk: FolderWalk, full: str, handle: bytes, content: FolderContent
) -> Generator[RequestBatch, list[Reply], bool]:
    """Read a folder's entries as far as the bounds allow; False where the time was over before."""
    is_over = False
    while not (is_over or content.is_cut):
        if walk.is_late():
            return False
        replies = yield RequestBatch([make_handle(PacketType.READDIR, handle, full)] * 2)
        for reply in replies:
            found = parse_names(reply)
            is_over = is_over or found is None
            yield from _add_entries(content, full, found or [])
    return True


def _add_entries(content: FolderContent, full: str, found: Sequence[tuple[str, Attributes]]) -> _Step:
    unknown: list[str] = []
    for name, attributes in found:
        # Such a name, of a server that makes its answers up, would lead out of the folder.
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            continue
        if not content.count():
            return
        if attributes.mode is None:  # the protocol lets a server leave out all attributes
            unknown.append(name)
        else:
            content.add(name, get_kind(attributes))
    for start in range(0, len(unknown), _NAMES_AT_ONCE):
        names = unknown[start : start + _NAMES_AT_ONCE]
        replies = yield RequestBatch([make_path(PacketType.LSTAT, join(full, name)) for name in names])
        for name, reply in zip(names, replies, strict=True):
            with contextlib.suppress(SftpError):
                content.add(name, get_kind(parse_attributes(reply)))
