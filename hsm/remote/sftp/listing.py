"""Listings over SFTP, many folders at a time: the same records as `hsm.remote.shell_programs.listing` gets.

SFTP keeps whole seconds and tells no inodes.
"""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Sequence

from hsm.endpoint import Listing, Space, Tree
from hsm.model import FOLDER_UNREADABLE, Entry, EntryKind, Problem
from hsm.process.answer import MOST_ANSWER_BYTES, AnswerTooLongError
from hsm.remote.sessions import MOST_ENTRIES
from hsm.remote.sftp.replies import (
    Attributes,
    WireError,
    parse_attributes,
    parse_handle,
    parse_names,
    parse_room,
)
from hsm.remote.sftp.session import RequestBatch, Work
from hsm.remote.sftp.wire import (
    Code,
    PacketType,
    Reply,
    SftpError,
    make_handle,
    make_path,
    make_statvfs,
)

_NAMES_AT_ONCE = 100
NANOSECONDS = 10**9


def get_kind(attributes: Attributes) -> EntryKind:
    """Return the kind of a file; OTHER where the server does not tell."""
    mode = attributes.mode or 0
    if stat.S_ISREG(mode):
        return EntryKind.FILE
    if stat.S_ISDIR(mode):
        return EntryKind.FOLDER
    return EntryKind.SYMLINK if stat.S_ISLNK(mode) else EntryKind.OTHER


def join(base: str, name: str) -> str:
    """Join a folder and a path below it; the empty name is the folder itself."""
    return f"{base.rstrip('/')}/{name}" if name else base


class TreeLister:
    """Lists one tree; its work goes into a queue that it shares with others.

    Args:
        tree: To be listed.
        base: Its base, absolute.
        queue: Takes the work.
        has_room: The server can tell the room on a file system.
    """

    def __init__(self, tree: Tree, base: str, queue: deque[Work], *, has_room: bool) -> None:
        self._tree = tree
        self._base = base
        self._queue = queue
        self._has_room = has_room
        self._kind: EntryKind | None = None
        self._nearest: EntryKind | None = EntryKind.FOLDER
        self._space = Space()
        self._device = ""
        self._entries: list[Entry] = []
        self._problems: list[Problem] = []
        self._n_bytes = 0

    def make_listing(self) -> Listing:
        """Make the listing, once the queue is done."""
        found = tuple(self._entries), tuple(self._problems)
        return Listing(self._base, self._kind, *found, self._space, self._nearest, self._device)

    def look(self) -> Work:
        """Look at the base, and queue the rest."""
        parts = self._base.rstrip("/").split("/")
        ancestors = ["/".join(parts[:n]) or "/" for n in range(len(parts), 0, -1)]
        replies = yield RequestBatch([make_path(PacketType.STAT, path) for path in ancestors])
        kinds = [_read_kind(reply) for reply in replies]
        self._kind = kinds[0]
        nearest = next((index for index, kind in enumerate(kinds) if kind is not None), len(kinds) - 1)
        self._nearest = kinds[nearest]
        room = [make_statvfs(ancestors[nearest])] if self._has_room else []
        replies = yield RequestBatch([make_path(PacketType.REALPATH, self._base), *room])
        if room:
            self._space, self._device = _read_room(replies[1])
        if self._kind is EntryKind.FOLDER:
            self._base = _read_real_path(replies[0]) or self._base
            names = self._tree.names
            for start in range(0, len(names), _NAMES_AT_ONCE):
                self._queue.append(self._look_at(names[start : start + _NAMES_AT_ONCE]))

    def _look_at(self, names: Sequence[str]) -> Work:
        """Look at starting points."""
        replies = yield RequestBatch([make_path(PacketType.LSTAT, join(self._base, name)) for name in names])
        for name, reply in zip(names, replies, strict=True):
            try:
                attributes = parse_attributes(reply)
            except SftpError as error:
                if error.code != Code.NO_SUCH_FILE:
                    self._queue.append(self._look_above(name, error))
            else:
                self._add(name, attributes, depth=0)

    def _look_above(self, name: str, error: SftpError) -> Work:
        """Tell a name below a file, which does not exist, from one that cannot be looked at: the server does not."""
        parts = name.split("/")
        ancestors = [join(self._base, "/".join(parts[:n])) for n in range(1, len(parts))]
        replies = yield RequestBatch([make_path(PacketType.STAT, path) for path in ancestors])
        if all(_read_kind(reply) is EntryKind.FOLDER for reply in replies):
            self._add_problem(name, error)

    def _add(self, name: str, attributes: Attributes, *, depth: int) -> None:
        kind = get_kind(attributes)
        if kind is EntryKind.FOLDER:
            self._entries.append(Entry(name, kind, 0, 0, 0))
            if self._tree.max_depth is None or depth < self._tree.max_depth:
                self._queue.append(self._list_folder(name, depth + 1))
        elif kind is EntryKind.SYMLINK:
            self._queue.append(self._look_behind(name, attributes))
        else:
            self._entries.append(_make_entry(name, kind, attributes))

    def _list_folder(self, name: str, depth: int) -> Work:
        path = join(self._base, name)
        replies = yield RequestBatch([make_path(PacketType.OPENDIR, path)])
        try:
            handle = parse_handle(replies[0])
        except SftpError as error:
            if error.code != Code.NO_SUCH_FILE:
                self._add_problem(name, error)
            return
        is_over = False
        try:
            while not is_over:  # two at once: the second mostly says that the first was all
                replies = yield RequestBatch([make_handle(PacketType.READDIR, handle, path)] * 2)
                for reply in replies:
                    self._count(reply)
                    found = parse_names(reply)
                    is_over = is_over or found is None
                    self._add_children(name, found or [], depth)
        except SftpError as error:
            self._add_problem(name, error)
        yield RequestBatch([make_handle(PacketType.CLOSE, handle, path)])

    def _count(self, reply: Reply) -> None:
        """Count what the names take, so that a server that never ends a folder does not fill the memory."""
        self._n_bytes += len(reply.body)
        if self._n_bytes > MOST_ANSWER_BYTES or len(self._entries) > MOST_ENTRIES:
            raise AnswerTooLongError(
                f"{self._base} is larger there than any listing that can be read: more than "
                f"{MOST_ANSWER_BYTES // 1024**2} MiB of names, or {MOST_ENTRIES:,} entries.",
                hint="Choose other `paths`, or ask whoever runs the server.",
            )

    def _add_children(self, name: str, found: Sequence[tuple[str, Attributes]], depth: int) -> None:
        unknown: list[str] = []
        for child, attributes in found:
            # Such a name, of a server that makes its answers up, would lead out of the folder.
            if child in ("", ".", "..") or "/" in child or "\0" in child:
                continue
            child_name = f"{name}/{child}" if name else child
            if attributes.mode is None:  # the protocol lets a server leave out all attributes
                unknown.append(child_name)
            else:
                self._add(child_name, attributes, depth=depth)
        if unknown:
            self._queue.append(self._look_at_children(unknown, depth))

    def _look_at_children(self, names: Sequence[str], depth: int) -> Work:
        """Look at names that a server has told without their kind."""
        replies = yield RequestBatch([make_path(PacketType.LSTAT, join(self._base, name)) for name in names])
        for name, reply in zip(names, replies, strict=True):
            try:
                attributes = parse_attributes(reply)
            except SftpError as error:
                if error.code != Code.NO_SUCH_FILE:  # of a folder that may be read and not searched
                    self._add_problem(name, error)
                continue
            if attributes.mode is not None:
                self._add(name, attributes, depth=depth)

    def _look_behind(self, name: str, attributes: Attributes) -> Work:
        path = join(self._base, name)
        # Each symlink is asked about by itself: a list of names tells of a symlink alone that it is one.
        requests = [make_path(PacketType.READLINK, path)]
        if self._tree.follow:
            requests.append(make_path(PacketType.STAT, path))
        replies = yield RequestBatch(requests)
        leads_to = _read_real_path(replies[0])
        entry = _make_entry(name, EntryKind.SYMLINK, attributes)._replace(link_target=leads_to)
        if self._tree.follow:
            try:
                behind = parse_attributes(replies[1])
            except SftpError:
                pass
            else:
                entry = entry._replace(followed=_make_entry(name, get_kind(behind), behind))
        self._entries.append(entry)

    def _add_problem(self, name: str, error: SftpError) -> None:
        message = f"It cannot be read: {error.text or 'the server gives no reason'}"
        self._problems.append(Problem(name, FOLDER_UNREADABLE, message, "Check its permissions."))


def _make_entry(name: str, kind: EntryKind, attributes: Attributes) -> Entry:
    if kind is EntryKind.FOLDER:
        return Entry(name, kind, 0, 0, 0)
    size = (attributes.size or 0) if kind is EntryKind.FILE else 0
    return Entry(name, kind, size, (attributes.mtime or 0) * NANOSECONDS, 0)


def _read_kind(reply: Reply) -> EntryKind | None:
    try:
        return get_kind(parse_attributes(reply))
    except SftpError:
        return None


def _read_real_path(reply: Reply) -> str:
    try:
        names = parse_names(reply)
    except SftpError:
        return ""
    return names[0][0] if names else ""


def _read_room(reply: Reply) -> tuple[Space, str]:
    """Read the room on a file system, and its number: the protocol does not tell where it is mounted."""
    try:
        room = parse_room(reply)
    except (SftpError, WireError):
        return Space(), ""
    space = Space(
        free_bytes=room.n_free * room.block_bytes if room.n_blocks else None,
        free_inodes=room.n_free_inodes if room.n_inodes else None,
    )
    return space, f"file system {room.file_system:x}" if room.file_system else ""
