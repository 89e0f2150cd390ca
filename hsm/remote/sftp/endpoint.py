"""Endpoint of a machine that is reached by SFTP alone."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

from hsm.endpoint import FileEnds, FolderSearch, Machine, Survey, Tree
from hsm.model import EntryKind
from hsm.process.answer import MOST_ANSWER_BYTES, AnswerTooLongError
from hsm.remote.blocks import BLOCK_BYTES, get_tail_offset
from hsm.remote.cksum import make_checksum
from hsm.remote.sftp.folder_search import FolderSearcher
from hsm.remote.sftp.listing import TreeLister, get_kind, join
from hsm.remote.sftp.replies import parse_attributes, parse_data, parse_handle, parse_names
from hsm.remote.sftp.session import CHUNK_BYTES, RequestBatch, SftpSession, SftpSessions, Work
from hsm.remote.sftp.wire import (
    STATVFS,
    Code,
    Open,
    PacketType,
    Reply,
    SftpError,
    make_handle,
    make_open,
    make_path,
    make_read,
)

CLOCK_DOUBT_SECONDS = 60
"""SFTP tells no time, and without any clock no log would ever count as resting. So a survey reports this machine's
clock, less these seconds, by which the two may differ."""

_FILES_AT_ONCE = 1000
_CHUNKS_AT_ONCE = 64

InterruptCheck = Callable[[], None]


class SftpEndpoint:
    """Implements `hsm.endpoint.Endpoint` over SFTP. The system and the rsync of the machine stay unknown.

    Args:
        sessions: To the machine.
    """

    is_remote = True

    def __init__(self, sessions: SftpSessions) -> None:
        self._sessions = sessions
        self._machine: Machine | None = None

    @property
    def name(self) -> str:
        """The target's name."""
        return self._sessions.name

    @property
    def machine(self) -> Machine:
        """The machine, of which SFTP tells the home folder alone."""
        if self._machine is None:
            self._machine = Machine(home=self._sessions.use_sftp(_read_home))
        return self._machine

    def survey(
        self,
        trees: Sequence[Tree],
        *,
        receipts: str = "",
        is_lazy: bool = False,  # noqa: ARG002
        search: FolderSearch | None = None,
    ) -> Survey:
        """See `hsm.endpoint.Endpoint.survey`."""
        home = self.machine.home

        def look(session: SftpSession, check: InterruptCheck) -> Survey:
            queue: deque[Work] = deque()
            checksums: dict[str, str] = {}
            has_room = STATVFS in session.extensions
            wanted = [search] if search is not None else []
            listers = [TreeLister(tree, _expand(tree.base, home), queue, has_room=has_room) for tree in trees]
            searchers = [FolderSearcher(each, _expand(each.base, home), queue, has_room=has_room) for each in wanted]
            queue.extend(lister.look() for lister in listers)
            queue.extend(searcher.look() for searcher in searchers)
            if receipts:
                queue.append(read_receipts(_expand(receipts, home), checksums))
            session.run(queue, check=check)
            # Nothing is written at a source to learn its time from it.
            machine = replace(self.machine, clock_ns=time.time_ns() - CLOCK_DOUBT_SECONDS * 10**9)
            listings = tuple(lister.make_listing() for lister in listers)
            return Survey(machine, listings, checksums, found=searchers[0].make_found() if searchers else None)

        return self._sessions.use_sftp(look)

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        n_head = n_blocks * BLOCK_BYTES if head_bytes is None else head_bytes
        for start in range(0, len(paths), _FILES_AT_ONCE):
            group = paths[start : start + _FILES_AT_ONCE]

            def read(session: SftpSession, check: InterruptCheck, group: Sequence[str] = group) -> dict[str, FileEnds]:
                found: dict[str, FileEnds] = {}
                session.run([_read_ends(path, n_blocks, n_head, found) for path in group], check=check)
                return found

            answers = self._sessions.use_sftp(read)
            yield from (answers[path] for path in group if path in answers)

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        found: dict[str, bytes] = {}

        def read(session: SftpSession, check: InterruptCheck) -> None:
            session.run([read_whole(path, found)], check=check)

        self._sessions.use_sftp(read)
        if path not in found:
            raise FileNotFoundError(path)
        return found[path]


def _read_home(session: SftpSession, check: InterruptCheck) -> str:
    (reply,) = session.ask(make_path(PacketType.REALPATH, "."), check=check)
    names = parse_names(reply)
    return names[0][0] if names else "/"


def _expand(path: str, home: str) -> str:
    return join(home, path[2:]) if path.startswith("~/") else path


def open_file(path: str) -> Generator[RequestBatch, list[Reply], tuple[bytes, int]]:
    """Open a file to read it, and nothing but a file: a pipe would hold the server up.

    Returns:
        The handle and the size.

    Raises:
        SftpError: It is no file, or cannot be read.
    """
    replies = yield RequestBatch([make_path(PacketType.STAT, path)])
    if get_kind(parse_attributes(replies[0])) is not EntryKind.FILE:
        raise SftpError(Code.NO_SUCH_FILE, "no file", path)
    replies = yield RequestBatch([make_open(path, Open.READ)])
    handle = parse_handle(replies[0])
    replies = yield RequestBatch([make_handle(PacketType.FSTAT, handle, path)])
    return handle, parse_attributes(replies[0]).size or 0


def read_range(handle: bytes, offset: int, end: int, path: str) -> Generator[RequestBatch, list[Reply], bytes]:
    """Read a part of an open file, less where the file ends before; raises SftpError where it cannot be read."""
    content = bytearray()
    while offset + len(content) < end:
        begin = offset + len(content)
        stop = min(end, begin + _CHUNKS_AT_ONCE * CHUNK_BYTES)
        starts = range(begin, stop, CHUNK_BYTES)
        replies = yield RequestBatch(
            [make_read(handle, start, min(CHUNK_BYTES, stop - start), path) for start in starts]
        )
        for reply in replies:  # in the order of their offsets
            chunk = parse_data(reply)
            content += chunk
            if len(chunk) < min(CHUNK_BYTES, stop - reply.tag):
                break  # a server may give less than was asked for
        if offset + len(content) == begin:
            break
    return bytes(content)


def read_whole(path: str, found: dict[str, bytes]) -> Work:
    """Read a file into `found`; it is missing there where it cannot be read."""
    try:
        handle, size = yield from open_file(path)
    except SftpError:
        return
    if size > MOST_ANSWER_BYTES:
        raise AnswerTooLongError(
            f"{path} has more than {MOST_ANSWER_BYTES // 1024**2} MiB, which no file of HSM's own has.",
            hint="Move it away there.",
        )
    with contextlib.suppress(SftpError):
        found[path] = yield from read_range(handle, 0, size, path)
    yield RequestBatch([make_handle(PacketType.CLOSE, handle, path)])


def _read_ends(path: str, n_blocks: int, n_head: int, found: dict[str, FileEnds]) -> Work:
    try:
        handle, size = yield from open_file(path)
    except SftpError:
        return
    offset = get_tail_offset(size, n_blocks)
    try:
        head = yield from read_range(handle, 0, min(size, n_head), path)
        begin = max(offset, len(head))
        tail = yield from read_range(handle, begin, size, path)
    except SftpError:
        pass
    else:
        if len(head) == min(size, n_head) and len(tail) == size - begin:  # else it was cut while it was read
            found[path] = FileEnds(path, size, head, head[offset:] + tail, offset)
    yield RequestBatch([make_handle(PacketType.CLOSE, handle, path)])


def read_receipts(folder: str, checksums: dict[str, str]) -> Work:
    """Take the checksum of every receipt in a folder, as `cksum` has it."""
    names: list[str] = []
    replies = yield RequestBatch([make_path(PacketType.OPENDIR, folder)])
    try:
        handle = parse_handle(replies[0])
    except SftpError:
        return
    while True:
        replies = yield RequestBatch([make_handle(PacketType.READDIR, handle, folder)])
        try:
            found = parse_names(replies[0])
        except SftpError:
            found = None
        if found is None:
            break
        names += [name for name, _ in found if name.startswith("receipt-") and name.endswith(".json")]
    yield RequestBatch([make_handle(PacketType.CLOSE, handle, folder)])
    for name in names:
        contents: dict[str, bytes] = {}
        yield from read_whole(join(folder, name), contents)
        for content in contents.values():
            checksums[name] = make_checksum(content).replace(" ", "-")
