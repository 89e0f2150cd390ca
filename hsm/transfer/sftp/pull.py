"""Fetching one batch over SFTP from the remote end: many files under way at a time over one channel.

A file costs two round trips, shared with all the others: it is opened; read, looked at and closed. Large ones are
written in `.hsm-partial` beside their place, as rsync does, so that they can be continued after any end of the call.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from hsm.model import SourceFile
from hsm.remote.sftp.listing import NANOSECONDS, join
from hsm.remote.sftp.replies import Attributes, parse_attributes, parse_data, parse_handle
from hsm.remote.sftp.session import CHUNK_BYTES, RequestBatch, Work
from hsm.remote.sftp.wire import (
    Code,
    Open,
    PacketType,
    Reply,
    Request,
    SftpError,
    make_handle,
    make_open,
    make_read,
)
from hsm.transfer.disk.holes import HOLE_BYTES, is_zero
from hsm.transfer.disk.landing import StrangerError, give_name
from hsm.transfer.modes import choose_mode
from hsm.transfer.sftp.batch import (
    CHUNKS_PER_STEP,
    CHUNKS_UNDER_WAY,
    BatchJob,
    Talk,
    choose_time,
    is_up_to_date,
)
from hsm.transfer.sftp.diagnosis import BlockedError, diagnose_here, diagnose_sftp, make_blocked
from hsm.transfer.sftp.local_files import LocalFolders, create_file, get_file_size, open_part, read_mode, write_at
from hsm.transfer.sftp.parts import PART_BYTES, PartKey

# A file up to this size is asked for in the step that looks at it.
_SMALL_BYTES = 16 * CHUNK_BYTES


@dataclass(slots=True)
class _Reading:
    """A file being read.

    Attributes:
        file: The file.
        handle: Open at the source.
        source: Its path there.
        found: Attributes of the source when it was opened.
        descriptor: Of the copy that is written here.
        wanted: By offset, how many bytes were asked for and have not come.
        has_hole: Zeros came that were not written.
    """

    file: SourceFile
    handle: bytes
    source: str
    found: Attributes
    descriptor: int
    wanted: dict[int, int] = field(default_factory=dict)
    has_hole: bool = False

    @property
    def size(self) -> int:
        """The bytes that are read: as many as were planned, or fewer where the source has fewer."""
        return min(self.file.size, self.found.size or 0) if self.found.size is not None else self.file.size


class PullBatch:
    """Fetches one batch. Used once, by one thread."""

    def __init__(self, job: BatchJob) -> None:
        self._job = job
        self._setup = job.setup
        self._tally = job.tally
        self._root = job.root
        self._folders = LocalFolders(job.root)

    def run(self) -> None:
        """Fetch it; raises as `hsm.transfer.sftp.push.PushBatch.run`."""
        works = deque(self._fetch(file) for file in self._job.batch.files)
        self._job.session.run(works, check=self._setup.check)
        self._folders.drop_empty()

    def _fetch(self, file: SourceFile) -> Work:
        """Fetch one file; the tally takes how it ended."""
        if self._tally.is_hopeless:
            return
        name = self._setup.client.name
        source = join(file.prefix, file.path)
        handle: bytes | None = None
        try:
            final = join(self._root, file.path)
            if self._setup.update_only and _is_up_to_date_here(file, final):
                return
            replies = yield RequestBatch([make_open(source, Open.READ)])
            handle = parse_handle(replies[0])
            yield from self._fetch_open(file, handle, source, final)
        except StrangerError:
            self._tally.leave(file)
        except OSError as error:
            self._tally.fail(file, diagnose_here(error, is_making=error.filename is not None))
        except BlockedError as error:
            self._tally.fail(file, make_blocked("on this machine", str(error)))
        except SftpError as error:
            self._tally.fail(file, diagnose_sftp(error, name=name, room=None, n_bytes=0, writes=False))
        if handle is not None:
            yield RequestBatch([])  # replies that are still under way come first
            yield RequestBatch([make_handle(PacketType.CLOSE, handle, source)])

    def _fetch_open(self, file: SourceFile, handle: bytes, source: str, final: str) -> Talk:
        folder, _, name = file.path.rpartition("/")
        self._folders.make(folder)
        there = read_mode(final)
        if file.size >= PART_BYTES:
            replies = yield RequestBatch([make_handle(PacketType.FSTAT, handle, source)])
            found = parse_attributes(replies[0])
            yield from self._fetch_large(file, handle, source, found, there)
            return
        starts = range(0, file.size, CHUNK_BYTES) if file.size <= _SMALL_BYTES else range(0)
        reads = [make_read(handle, start, min(CHUNK_BYTES, file.size - start), source) for start in starts]
        replies = yield RequestBatch([make_handle(PacketType.FSTAT, handle, source), *reads])
        found = parse_attributes(replies[0])
        place = f"{self._job.temporary}/{secrets.token_hex(6)}"
        descriptor = create_file(place, choose_mode(found.mode or 0o600, there, self._setup.receive_mode))
        try:
            reading = _Reading(file, handle, source, found, descriptor)
            reading.wanted = {start: min(CHUNK_BYTES, file.size - start) for start in starts}
            again = self._take_reads(reading, replies[1:])
            yield from self._stream(reading, again, file.size if reads else 0)
            self._finish(reading, place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(place)  # noqa: PTH108 - bytes that are no UTF-8 stay as they are
            raise
        finally:
            os.close(descriptor)
        self._tally.end_file(file)
        self._folders.drop_part(folder, name)

    def _fetch_large(self, file: SourceFile, handle: bytes, source: str, found: Attributes, there: int | None) -> Talk:
        """Continue the part of a large file that is there, or begin anew."""
        folder, _, name = file.path.rpartition("/")
        place = self._folders.make_part_place(folder, name)
        key = PartKey(file.key, found.size or 0, found.mtime or 0, 0)
        n_part = min(get_file_size(place), file.size, found.size or 0)
        begin = self._setup.count_certain_bytes(key, place, source, n_part) if n_part else 0
        descriptor = open_part(place, begin, choose_mode(found.mode or 0o600, there, self._setup.receive_mode))
        try:
            self._setup.parts.begin(key, begin)
            self._tally.move(begin)
            reading = _Reading(file, handle, source, found, descriptor)
            yield from self._stream(reading, [], begin)
            # By way of our own folder, which is gone once another process has the lock: a part outlives the lock.
            whole = f"{self._job.temporary}/{secrets.token_hex(6)}"
            os.rename(place, whole)  # noqa: PTH104 - as above
            try:
                self._finish(reading, whole)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.rename(whole, place)  # noqa: PTH104 - as above
                raise
        finally:
            os.close(descriptor)
        self._setup.parts.forget(file.key)
        self._tally.end_file(file)

    def _finish(self, reading: _Reading, place: str) -> None:
        """Check the size of the copy, give it its time and its name."""
        if reading.has_hole:  # everything has come: it may end with zeros
            os.ftruncate(reading.descriptor, reading.size)
        if os.fstat(reading.descriptor).st_size != reading.size:
            raise SftpError(Code.FAILURE, "the file did not arrive whole", reading.source)
        time_ns = choose_time(reading.file, reading.found.size or 0, reading.found.mtime or 0)
        os.utime(place, ns=(time_ns, time_ns))
        give_name(place, self._root, reading.file, self._job.batch.seen)

    def _stream(self, reading: _Reading, again: Sequence[Request], offset: int) -> Talk:
        """Ask for the rest of a file, a window at a time, and write what comes; what came short is asked for again."""
        requests = list(again)
        while True:
            while offset < reading.size and len(requests) < CHUNKS_PER_STEP:
                n_bytes = min(CHUNK_BYTES, reading.size - offset)
                reading.wanted[offset] = n_bytes
                requests.append(make_read(reading.handle, offset, n_bytes, reading.source))
                offset += n_bytes
            if not requests and not reading.wanted:
                return
            is_last = offset >= reading.size
            replies = yield RequestBatch(requests, 0 if is_last else CHUNKS_UNDER_WAY - CHUNKS_PER_STEP)
            requests = self._take_reads(reading, replies)

    def _take_reads(self, reading: _Reading, replies: Sequence[Reply]) -> list[Request]:
        """Write what came; the requests for bytes that a server held back."""
        again: list[Request] = []
        for reply in replies:
            content = parse_data(reply)[: reading.wanted[reply.tag]]  # a server may send more than was asked for
            n_left = reading.wanted.pop(reply.tag) - len(content)
            if not content and reply.tag < reading.size:
                raise SftpError(Code.NO_SUCH_FILE, "the file became shorter while it was read", reading.source)
            # The file is new, or was cut where it goes on: what is not written is zeros, and takes no room.
            if len(content) >= HOLE_BYTES and is_zero(content):
                reading.has_hole = True
            else:
                write_at(reading.descriptor, content, reply.tag)
            self._tally.move(len(content))
            if n_left and content and reply.tag + len(content) < reading.size:
                begin = reply.tag + len(content)
                reading.wanted[begin] = n_left
                again.append(make_read(reading.handle, begin, n_left, reading.source))
        if replies:
            last = max(reply.tag for reply in replies) + CHUNK_BYTES
            # Replies may come in another order: certain is what lies before the first that is wanted.
            self._setup.parts.note(reading.file.key, min(reading.wanted, default=min(last, reading.size)))
        return again


def _is_up_to_date_here(file: SourceFile, path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    is_same = status.st_size == file.size and status.st_mtime_ns == file.mtime_ns
    return is_same or is_up_to_date(file, status.st_size, status.st_mtime_ns // NANOSECONDS)
