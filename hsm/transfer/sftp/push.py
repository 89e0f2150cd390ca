"""Sending one batch over SFTP to the remote end: many files under way at a time over one channel.

A file costs three round trips, shared with all the others: it is opened; written, given its time and looked at; renamed
over its place. Large ones are written in `.hsm-partial` beside their place, as rsync does, so that they can be
continued after any end of the call.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from hsm.model import EntryKind, SourceFile
from hsm.plan.disk.times import is_kept_everywhere
from hsm.remote.sftp.listing import NANOSECONDS, get_kind, join
from hsm.remote.sftp.replies import (
    Attributes,
    check_status,
    parse_attributes,
    parse_handle,
    parse_status,
)
from hsm.remote.sftp.session import CHUNK_BYTES, RequestBatch, Work
from hsm.remote.sftp.wire import (
    Code,
    Open,
    PacketType,
    Reply,
    Request,
    SftpError,
    make_handle,
    make_mkdir,
    make_open,
    make_path,
    make_times,
    make_truncate,
    make_two_paths,
    make_write,
)
from hsm.transfer.disk.holes import may_have_holes
from hsm.transfer.disk.landing import StrangerError
from hsm.transfer.modes import choose_mode
from hsm.transfer.sftp.batch import (
    CHUNKS_PER_STEP,
    CHUNKS_UNDER_WAY,
    BatchJob,
    Talk,
    is_up_to_date,
)
from hsm.transfer.sftp.chunks import iter_steps
from hsm.transfer.sftp.diagnosis import BlockedError, diagnose_here, diagnose_sftp, make_blocked
from hsm.transfer.sftp.landing import give_remote_name
from hsm.transfer.sftp.parts import PART_BYTES, PartKey
from hsm.transfer.sftp.remote_files import RemoteFolders, ask_room, get_part_place, look_at_kinds, read_attributes

# FAT keeps even seconds alone.
_CLOCK_SECONDS = 2

_NEW_FILE = Open.WRITE | Open.CREATE | Open.EXCLUSIVE


@dataclass(slots=True)
class _Writing:
    """A file being written.

    Attributes:
        file: The file.
        descriptor: Of the source.
        status: Of the source when it was opened.
        place: The path that it is written to.
        handle: Open there.
        begin: Bytes of it that are there already.
        keeps_part: The part that is written stays after a failure.
        is_empty: Nothing lies there behind `begin`, so what is not written is zeros.
    """

    file: SourceFile
    descriptor: int
    status: os.stat_result
    place: str
    handle: bytes
    begin: int = 0
    keeps_part: bool = False
    is_empty: bool = True


class PushBatch:
    """Sends one batch. Used once, by one thread."""

    def __init__(self, job: BatchJob) -> None:
        self._job = job
        self._setup = job.setup
        self._tally = job.tally
        self._root = job.root
        self._folders = RemoteFolders(job.root)

    def run(self) -> None:
        """Send it.

        Raises:
            hsm.remote.sftp.packets.SessionEndedError: The connection broke.
            hsm.process.runner.CommandStoppedError: The user interrupted.
        """
        session, files, check = self._job.session, self._job.batch.files, self._setup.check
        session.run([self._folders.make(files)], check=check)
        session.run(deque(self._send(file) for file in files), check=check)
        emptied = [make_path(PacketType.RMDIR, folder) for folder in sorted(self._folders.with_parts)]
        if emptied:
            session.ask(*emptied, check=check)

    def _send(self, file: SourceFile) -> Work:
        """Send one file; the tally takes how it ended."""
        if self._tally.is_hopeless:
            return
        name = self._setup.client.name
        descriptor = -1
        try:
            # Not blocking: a pipe that took the file's place would wait for a writer.
            descriptor = os.open(join(file.prefix, file.path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._folders.check(file)
            yield from self._send_open(file, descriptor)
        except OSError as error:
            self._tally.fail(file, diagnose_here(error))
        except StrangerError:
            self._tally.leave(file)
        except BlockedError as error:
            self._tally.fail(file, make_blocked(f"at {name}", str(error)))
        except SftpError as error:
            room = yield from ask_room(self._job.session, self._root)
            self._tally.fail(file, diagnose_sftp(error, name=name, room=room, n_bytes=file.size, writes=True))
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _send_open(self, file: SourceFile, descriptor: int) -> Talk:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BlockedError(join(file.prefix, file.path))
        final = join(self._root, file.path)
        if self._setup.update_only:
            replies = yield RequestBatch([make_path(PacketType.LSTAT, final)])
            there = read_attributes(replies[0])
            if there is not None and is_up_to_date(file, there.size or 0, there.mtime or 0):
                return
        opening = self._open_part if status.st_size >= PART_BYTES else self._open_temporary
        writing, there = yield from opening(file, descriptor, status, final)
        try:
            if there is not None and get_kind(there) is not EntryKind.FILE:
                raise BlockedError(final)
            yield from self._fill(writing, there)
        except (SftpError, BlockedError, OSError):
            yield RequestBatch([])  # replies that are still under way come first
            removal = [] if writing.keeps_part else [make_path(PacketType.REMOVE, writing.place)]
            yield RequestBatch([make_handle(PacketType.CLOSE, writing.handle, writing.place), *removal])
            raise
        yield from self._finish(writing, final)

    def _open_temporary(
        self, file: SourceFile, descriptor: int, status: os.stat_result, final: str
    ) -> Generator[RequestBatch, list[Reply], tuple[_Writing, Attributes | None]]:
        place = f"{self._job.temporary}/{secrets.token_hex(6)}"
        is_new = final.rpartition("/")[0] in self._folders.made  # a folder that we made holds nothing of that name
        looks = [] if is_new else [make_path(PacketType.LSTAT, final)]
        replies = yield RequestBatch(
            [make_open(place, _NEW_FILE, choose_mode(status.st_mode, None, self._setup.receive_mode)), *looks]
        )
        there = None if is_new else read_attributes(replies[1])
        return _Writing(file, descriptor, status, place, parse_handle(replies[0])), there

    def _open_part(
        self, file: SourceFile, descriptor: int, status: os.stat_result, final: str
    ) -> Generator[RequestBatch, list[Reply], tuple[_Writing, Attributes | None]]:
        """Open the part of a large file that is there, or begin anew."""
        folder, place = get_part_place(final)
        replies = yield RequestBatch(
            [make_path(PacketType.LSTAT, final), make_path(PacketType.LSTAT, place), make_mkdir(folder)]
        )
        there, part = (read_attributes(reply) for reply in replies[:2])
        (kind,) = yield from look_at_kinds([folder])
        if kind is not EntryKind.FOLDER:
            raise BlockedError(folder)
        self._folders.with_parts.add(folder)
        key = PartKey(file.key, status.st_size, status.st_mtime_ns, status.st_ino)
        begin, is_empty = 0, True
        if part is not None and get_kind(part) is EntryKind.FILE:
            n_part = min(part.size or 0, status.st_size)
            begin = self._setup.count_certain_bytes(key, join(file.prefix, file.path), place, n_part)
        if begin:
            replies = yield RequestBatch([make_open(place, Open.WRITE)])
            handle = parse_handle(replies[0])
            replies = yield RequestBatch([make_truncate(handle, begin, place)])
            is_empty = parse_status(replies[0])[0] == Code.OK
        else:
            removal = [make_path(PacketType.REMOVE, place)] if part is not None else []
            yield RequestBatch(removal)
            replies = yield RequestBatch(
                [make_open(place, _NEW_FILE, choose_mode(status.st_mode, None, self._setup.receive_mode))]
            )
            handle = parse_handle(replies[0])
        self._setup.parts.begin(key, begin)
        return _Writing(file, descriptor, status, place, handle, begin, keeps_part=True, is_empty=is_empty), there

    def _fill(self, writing: _Writing, there: Attributes | None) -> Talk:
        """Write the content and the time, and check what is there; the handle is closed."""
        mtime = writing.status.st_mtime_ns // NANOSECONDS
        mode = None if there is None or there.mode is None else choose_mode(0, there.mode)
        self._tally.move(writing.begin)
        end: list[Request] = [
            make_times(writing.handle, mtime, writing.place, mode=mode),
            make_handle(PacketType.FSTAT, writing.handle, writing.place),
            make_handle(PacketType.CLOSE, writing.handle, writing.place),
        ]
        waiting: set[int] = set()
        for requests, is_last in self._iter_writes(writing):
            waiting.update(request.tag for request in requests)
            if is_last:
                replies = yield RequestBatch([*requests, *end])
            else:
                replies = yield RequestBatch(requests, CHUNKS_UNDER_WAY - CHUNKS_PER_STEP)
                self._take_writes(writing, replies, waiting)
        self._take_writes(writing, replies[:-3], waiting)
        check_status(replies[-3])
        found = parse_attributes(replies[-2])
        check_status(replies[-1])
        if found.size != writing.status.st_size:
            raise SftpError(Code.FAILURE, "the file did not arrive whole", writing.place)
        is_kept = found.mtime is not None and abs(found.mtime - mtime) <= _CLOCK_SECONDS
        # What no disk has to keep, and the protocol cannot say, is as it is: the plan knows it again.
        if not is_kept and is_kept_everywhere(writing.status.st_mtime_ns):
            raise SftpError(Code.FAILURE, "the file's time cannot be set", writing.place)

    def _iter_writes(self, writing: _Writing) -> Iterator[tuple[list[Request], bool]]:
        """Yield the writes of the content, in steps, and whether a step is the last one."""
        leaves_holes = writing.is_empty and may_have_holes(writing.status)
        steps = iter_steps(writing.descriptor, writing.begin, writing.status.st_size, leaves_holes=leaves_holes)
        for chunks, n_hole_bytes, is_last in steps:
            self._tally.move(n_hole_bytes)
            yield [make_write(writing.handle, offset, chunk, writing.place) for offset, chunk in chunks], is_last

    def _take_writes(self, writing: _Writing, replies: Sequence[Reply], waiting: set[int]) -> None:
        for reply in replies:
            check_status(reply)
            waiting.discard(reply.tag)
            self._tally.move(min(CHUNK_BYTES, writing.status.st_size - reply.tag))
        if writing.keeps_part and replies:
            last = max(reply.tag for reply in replies) + CHUNK_BYTES
            # Writes may be acknowledged in another order: certain is what lies before the first that waits.
            self._setup.parts.note(writing.file.key, min(waiting, default=min(last, writing.status.st_size)))

    def _finish(self, writing: _Writing, final: str) -> Talk:
        folder, part = get_part_place(final)
        has_old_part = folder in self._folders.with_parts and part != writing.place
        place = writing.place
        try:
            if writing.keeps_part:
                # By way of our own folder, which is gone once another process has the lock: a part outlives the lock.
                place = f"{self._job.temporary}/{secrets.token_hex(6)}"
                replies = yield RequestBatch([make_two_paths("", writing.place, place)])
                check_status(replies[0])
            yield from give_remote_name(self._job, place, writing.file)
        except (SftpError, BlockedError, StrangerError):
            undo = make_two_paths("", place, writing.place) if writing.keeps_part else None
            yield RequestBatch([undo or make_path(PacketType.REMOVE, writing.place)])
            raise
        self._setup.parts.forget(writing.file.key)
        self._tally.end_file(writing.file)
        yield RequestBatch([make_path(PacketType.REMOVE, part)] if has_old_part else [])
