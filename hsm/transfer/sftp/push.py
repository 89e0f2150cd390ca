"""Sending one batch over SFTP to the remote end: many files under way at a time over one channel.

A file costs three round trips, shared with all the others: it is opened; written, given its time and looked at; renamed
over its place. Large ones are written in `.hsm-partial` beside their place, as rsync does, so that they can be gone on
with whatever ended the call.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hsm.model import EntryKind, SourceFile
from hsm.remote.sftp.listing import get_kind, join
from hsm.remote.sftp.session import CHUNK_BYTES, RequestBatch, SftpSession, Work
from hsm.remote.sftp.wire import (
    POSIX_RENAME,
    STATVFS,
    Attributes,
    Code,
    Open,
    PacketType,
    Reply,
    Request,
    Room,
    SftpError,
    check_status,
    make_handle,
    make_mkdir,
    make_open,
    make_path,
    make_statvfs,
    make_times,
    make_truncate,
    make_two_paths,
    make_write,
    parse_attributes,
    parse_handle,
    parse_room,
    parse_status,
)
from hsm.transfer.base import PARTIAL_FOLDER, Batch
from hsm.transfer.sftp.batch import (
    CHUNKS_UNDER_WAY,
    NANOSECONDS,
    PART_BYTES,
    ArrivedPart,
    BatchSetup,
    BatchTally,
    choose_mode,
    is_to_be_left,
)
from hsm.transfer.sftp.diagnosis import BlockedError, diagnose_here, diagnose_sftp, make_blocked

_CHUNKS_PER_STEP = 8
_STEP_BYTES = _CHUNKS_PER_STEP * CHUNK_BYTES
_PATHS_PER_STEP = 100
_CLOCK_SECONDS = 2
"""FAT keeps even seconds alone."""

_Talk = Generator[RequestBatch, list[Reply], Any]


@dataclass(slots=True)
class _Written:
    """A file being written.

    Attributes:
        file: Which.
        descriptor: Of the source.
        status: Of the source when it was opened.
        place: Where it is written.
        handle: Open there.
        begin: How much of it is there already.
        keeps_part: What is written stays after a failure.
    """

    file: SourceFile
    descriptor: int
    status: os.stat_result
    place: str
    handle: bytes
    begin: int = 0
    keeps_part: bool = False


class PushBatch:
    """Sends one batch. Used once, by one thread.

    Args:
        session: To the destination.
        setting: What all batches share.
        batch: What is to be sent.
        tally: Takes what becomes of it.
    """

    def __init__(self, session: SftpSession, setting: BatchSetup, batch: Batch, tally: BatchTally) -> None:
        self._session = session
        self._setting = setting
        self._batch = batch
        self._tally = tally
        self._root = setting.roots[batch.root].rstrip("/")
        self._temporary = setting.get_temporary(batch.root)
        self._blocked: dict[str, Exception] = {}
        self._with_parts: set[str] = set()
        self._made: set[str] = set()

    def run(self) -> None:
        """Send it.

        Raises:
            hsm.remote.sftp.session.SessionEndedError: The connection broke.
            hsm.process.runner.CommandStoppedError: The user interrupted.
        """
        check = self._setting.check
        self._session.run([self._make_folders()], check=check)
        self._session.run(deque(self._send(file) for file in self._batch.files), check=check)
        folders = [make_path(PacketType.RMDIR, folder) for folder in sorted(self._with_parts)]
        if folders:
            self._session.ask(*folders, check=check)

    def _make_folders(self) -> Work:
        """Make the folders that files are to lie in, a level at a time, and look for parts of files in them."""
        parents = {file.path.rpartition("/")[0] for file in self._batch.files}
        ancestors = {
            "/".join(parts[:n]) for parts in (p.split("/") for p in parents if p) for n in range(1, len(parts) + 1)
        }
        for depth in range(max((name.count("/") for name in ancestors), default=-1) + 1):
            names = sorted(name for name in ancestors if name.count("/") == depth)
            for start in range(0, len(names), _PATHS_PER_STEP):
                yield from self._make_level(names[start : start + _PATHS_PER_STEP])
        folders = [join(self._root, parent) for parent in sorted(parents)]
        places = [f"{folder}/{PARTIAL_FOLDER}" for folder in folders if folder not in self._made]
        for start in range(0, len(places), _PATHS_PER_STEP):
            replies = yield RequestBatch(
                [make_path(PacketType.LSTAT, path) for path in places[start : start + _PATHS_PER_STEP]]
            )
            self._with_parts.update(reply.path for reply in replies if _read_kind(reply) is EntryKind.FOLDER)

    def _make_level(self, names: Sequence[str]) -> _Talk:
        paths = [join(self._root, name) for name in names]
        kinds = yield from _look_at(paths)
        missing = [path for path, kind in zip(paths, kinds, strict=True) if kind is None]
        replies = yield RequestBatch([make_mkdir(path) for path in missing])
        failed = {reply.path: reply for reply in replies if parse_status(reply)[0] != Code.OK}
        self._made.update(path for path in missing if path not in failed)
        kinds = yield from _look_at([*failed, *(path for path in paths if path not in missing)])
        found = dict(zip([*failed, *(path for path in paths if path not in missing)], kinds, strict=True))
        for path, kind in found.items():
            if kind is None and path in failed:
                self._blocked[path] = SftpError(*parse_status(failed[path]), path)
            elif kind is not EntryKind.FOLDER:
                self._blocked[path] = BlockedError(path)

    def _find_blocked(self, file: SourceFile) -> Exception | None:
        parts = file.path.split("/")[:-1]
        paths = (join(self._root, "/".join(parts[:n])) for n in range(1, len(parts) + 1))
        return next((self._blocked[path] for path in paths if path in self._blocked), None) if self._blocked else None

    def _send(self, file: SourceFile) -> Work:
        """Send one file; whatever becomes of it is said to the tally."""
        if self._tally.is_hopeless:
            return
        descriptor = -1
        try:
            descriptor = os.open(join(file.prefix, file.path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            blocked = self._find_blocked(file)
            if blocked is not None:
                raise blocked
            yield from self._send_open(file, descriptor)
        except OSError as error:
            self._tally.fail(file, diagnose_here(error))
        except BlockedError as error:
            self._tally.fail(file, make_blocked(f"at {self._setting.client.name}", str(error)))
        except SftpError as error:
            room = yield from self._ask_room()
            name = self._setting.client.name
            self._tally.fail(file, diagnose_sftp(error, name=name, room=room, n_bytes=file.size, writes=True))
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _send_open(self, file: SourceFile, descriptor: int) -> _Talk:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BlockedError(join(file.prefix, file.path))
        final = join(self._root, file.path)
        if self._setting.update_only:
            replies = yield RequestBatch([make_path(PacketType.LSTAT, final)])
            there = _read_attributes(replies[0])
            if there is not None and is_to_be_left(file, there.size or 0, there.mtime or 0):
                return
        opening = self._open_part if status.st_size >= PART_BYTES else self._open_temporary
        written, there = yield from opening(file, descriptor, status, final)
        try:
            if there is not None and get_kind(there) is not EntryKind.FILE:
                raise BlockedError(final)
            yield from self._fill(written, there)
        except (SftpError, BlockedError, OSError):
            yield RequestBatch([])
            removal = [] if written.keeps_part else [make_path(PacketType.REMOVE, written.place)]
            yield RequestBatch([make_handle(PacketType.CLOSE, written.handle, written.place), *removal])
            raise
        yield from self._finish(written, final)

    def _open_temporary(
        self, file: SourceFile, descriptor: int, status: os.stat_result, final: str
    ) -> Generator[RequestBatch, list[Reply], tuple[_Written, Attributes | None]]:
        place = f"{self._temporary}/{secrets.token_hex(6)}"
        flags = Open.WRITE | Open.CREATE | Open.EXCLUSIVE
        is_new = final.rpartition("/")[0] in self._made  # a folder made by us holds nothing of that name
        looks = [] if is_new else [make_path(PacketType.LSTAT, final)]
        replies = yield RequestBatch([make_open(place, flags, choose_mode(status.st_mode, None)), *looks])
        there = None if is_new else _read_attributes(replies[1])
        return _Written(file, descriptor, status, place, parse_handle(replies[0])), there

    def _open_part(
        self, file: SourceFile, descriptor: int, status: os.stat_result, final: str
    ) -> Generator[RequestBatch, list[Reply], tuple[_Written, Attributes | None]]:
        """Open what there is of a large file, or begin anew."""
        folder, place = _get_part_place(final)
        replies = yield RequestBatch(
            [make_path(PacketType.LSTAT, final), make_path(PacketType.LSTAT, place), make_mkdir(folder)]
        )
        there, part = (_read_attributes(reply) for reply in replies[:2])
        begin = 0
        identity = (status.st_size, status.st_mtime_ns, status.st_ino)
        key = file.key
        (kind,) = yield from _look_at([folder])
        if kind is not EntryKind.FOLDER:
            raise BlockedError(folder)
        self._with_parts.add(folder)
        if part is not None and get_kind(part) is EntryKind.FILE:
            n_part = min(part.size or 0, status.st_size)
            here = join(file.prefix, file.path)
            begin = self._setting.count_kept(key, identity, here, place, n_part)
        if begin:
            replies = yield RequestBatch([make_open(place, Open.WRITE)])
            handle = parse_handle(replies[0])
            yield RequestBatch([make_truncate(handle, begin, place)])
        else:
            removal = [make_path(PacketType.REMOVE, place)] if part is not None else []
            yield RequestBatch(removal)
            flags = Open.WRITE | Open.CREATE | Open.EXCLUSIVE
            replies = yield RequestBatch([make_open(place, flags, choose_mode(status.st_mode, None))])
            handle = parse_handle(replies[0])
        self._setting.kept[key] = ArrivedPart(identity, begin)
        return _Written(file, descriptor, status, place, handle, begin, keeps_part=True), there

    def _fill(self, written: _Written, there: Attributes | None) -> _Talk:
        """Write the content and the time, and check what is there; the handle is closed."""
        mtime = written.status.st_mtime_ns // NANOSECONDS
        mode = None if there is None or there.mode is None else choose_mode(0, there.mode)
        self._tally.move(written.begin)
        end: list[Request] = [
            make_times(written.handle, mtime, written.place, mode=mode),
            make_handle(PacketType.FSTAT, written.handle, written.place),
            make_handle(PacketType.CLOSE, written.handle, written.place),
        ]
        waiting: set[int] = set()
        for requests, is_last in self._iter_writes(written):
            waiting.update(request.tag for request in requests)
            if is_last:
                replies = yield RequestBatch([*requests, *end])
            else:
                replies = yield RequestBatch(requests, CHUNKS_UNDER_WAY - _CHUNKS_PER_STEP)
                self._take_writes(written, replies, waiting)
        self._take_writes(written, replies[:-3], waiting)
        check_status(replies[-3])
        found = parse_attributes(replies[-2])
        check_status(replies[-1])
        if found.size != written.status.st_size:
            raise SftpError(Code.FAILURE, "the file did not arrive whole", written.place)
        if found.mtime is None or abs(found.mtime - max(mtime, 0)) > _CLOCK_SECONDS:
            raise SftpError(Code.FAILURE, "the file's time cannot be set", written.place)

    def _iter_writes(self, written: _Written) -> Iterator[tuple[list[Request], bool]]:
        """The content as it was when the file was opened, in steps, and whether a step is the last one."""
        offset, size = written.begin, written.status.st_size
        is_last = False
        while not is_last:
            content = os.pread(written.descriptor, min(_STEP_BYTES, size - offset), offset)
            is_last = len(content) < _STEP_BYTES
            requests = [
                make_write(written.handle, offset + start, content[start : start + CHUNK_BYTES], written.place)
                for start in range(0, len(content), CHUNK_BYTES)
            ]
            yield requests, is_last
            offset += len(content)

    def _take_writes(self, written: _Written, replies: Sequence[Reply], waiting: set[int]) -> None:
        for reply in replies:
            check_status(reply)
            waiting.discard(reply.tag)
            self._tally.move(min(CHUNK_BYTES, written.status.st_size - reply.tag))
        kept = self._setting.kept.get(written.file.key)
        if written.keeps_part and kept is not None and replies:
            last = max(reply.tag for reply in replies) + CHUNK_BYTES
            kept.n_bytes = min(waiting, default=min(last, written.status.st_size))

    def _finish(self, written: _Written, final: str) -> _Talk:
        folder, part = _get_part_place(final)
        removal = [make_path(PacketType.REMOVE, part)] if folder in self._with_parts and part != written.place else []
        try:
            yield from self._rename(written.place, final)
        except SftpError:
            if not written.keeps_part:
                yield RequestBatch([make_path(PacketType.REMOVE, written.place)])
            raise
        self._setting.kept.pop(written.file.key, None)
        self._tally.end_file(written.file)
        yield RequestBatch(removal)

    def _rename(self, place: str, final: str) -> _Talk:
        """Rename over the final name: in one step where the server can, else what was there goes first."""
        name = POSIX_RENAME if POSIX_RENAME in self._session.extensions else ""
        replies = yield RequestBatch([make_two_paths(name, place, final)])
        if not name and parse_status(replies[0])[0] not in (Code.OK, Code.NO_SUCH_FILE):
            yield RequestBatch([make_path(PacketType.REMOVE, final)])
            replies = yield RequestBatch([make_two_paths("", place, final)])
        check_status(replies[0])

    def _ask_room(self) -> Generator[RequestBatch, list[Reply], Room | None]:
        if STATVFS not in self._session.extensions:
            return None
        replies = yield RequestBatch([make_statvfs(self._root)])
        try:
            return parse_room(replies[0])
        except SftpError:
            return None


def _get_part_place(final: str) -> tuple[str, str]:
    """The folder for parts of a file, and the part's path."""
    folder, _, name = final.rpartition("/")
    return f"{folder}/{PARTIAL_FOLDER}", f"{folder}/{PARTIAL_FOLDER}/{name}"


def _look_at(paths: Sequence[str]) -> Generator[RequestBatch, list[Reply], list[EntryKind | None]]:
    replies = yield RequestBatch([make_path(PacketType.LSTAT, path) for path in paths])
    return [_read_kind(reply) for reply in replies]


def _read_kind(reply: Reply) -> EntryKind | None:
    found = _read_attributes(reply)
    return None if found is None else get_kind(found)


def _read_attributes(reply: Reply) -> Attributes | None:
    try:
        return parse_attributes(reply)
    except SftpError:
        return None
