"""Bringing one batch over SFTP from the remote end: many files under way at a time over one channel.

A file costs two round trips, shared with all the others: it is opened; read, looked at and closed. Large ones are
written in `.hsm-partial` beside their place, as rsync does, so that they can be gone on with whatever ended the call.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hsm.model import SourceFile
from hsm.remote.sftp.listing import join
from hsm.remote.sftp.session import CHUNK_BYTES, RequestBatch, SftpSession, Work
from hsm.remote.sftp.wire import (
    Attributes,
    Code,
    Open,
    PacketType,
    Reply,
    Request,
    SftpError,
    make_handle,
    make_open,
    make_read,
    parse_attributes,
    parse_data,
    parse_handle,
)
from hsm.transfer.base import PARTIAL_FOLDER, Batch
from hsm.transfer.sftp.batch import (
    CHUNKS_UNDER_WAY,
    PART_BYTES,
    ArrivedPart,
    BatchSetup,
    BatchTally,
    choose_mode,
    choose_time,
    is_to_be_left,
)
from hsm.transfer.sftp.diagnosis import BlockedError, diagnose_here, diagnose_sftp, make_blocked

_CHUNKS_PER_STEP = 8
_SMALL_CHUNKS = 16

_Talk = Generator[RequestBatch, list[Reply], Any]


@dataclass(slots=True)
class _Read:
    """A file being read.

    Attributes:
        file: Which.
        handle: Open at the source.
        source: Its path there.
        found: What the source said when it was opened.
        descriptor: Of what is written here.
        wanted: By offset: how many bytes were asked for and have not come.
    """

    file: SourceFile
    handle: bytes
    source: str
    found: Attributes
    descriptor: int
    wanted: dict[int, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How much is read: what was planned, or what there is of it."""
        return min(self.file.size, self.found.size or 0) if self.found.size is not None else self.file.size


class PullBatch:
    """Brings one batch. Used once, by one thread.

    Args:
        session: To the source.
        setting: What all batches share.
        batch: What is to be brought.
        tally: Takes what becomes of it.
    """

    def __init__(self, session: SftpSession, setting: BatchSetup, batch: Batch, tally: BatchTally) -> None:
        self._session = session
        self._setting = setting
        self._batch = batch
        self._tally = tally
        self._root = setting.roots[batch.root].rstrip("/")
        self._temporary = setting.get_temporary(batch.root)
        self._folders: dict[str, bool] = {}

    def run(self) -> None:
        """Bring it; raises as `hsm.transfer.sftp.push.PushBatch.run`."""
        self._session.run(deque(self._bring(file) for file in self._batch.files), check=self._setting.check)
        for folder, has_parts in self._folders.items():
            if has_parts:
                with contextlib.suppress(OSError):
                    os.rmdir(f"{join(self._root, folder)}/{PARTIAL_FOLDER}")  # noqa: PTH106 - bytes that are no UTF-8 stay as they are

    def _bring(self, file: SourceFile) -> Work:
        """Bring one file; whatever becomes of it is said to the tally."""
        if self._tally.is_hopeless:
            return
        name = self._setting.client.name
        source = join(file.prefix, file.path)
        handle: bytes | None = None
        try:
            final = join(self._root, file.path)
            if self._setting.update_only and _is_as_new(file, final):
                return
            replies = yield RequestBatch([make_open(source, Open.READ)])
            handle = parse_handle(replies[0])
            yield from self._bring_open(file, handle, source, final)
        except OSError as error:
            self._tally.fail(file, diagnose_here(error, is_making=error.filename is not None))
        except BlockedError as error:
            self._tally.fail(file, make_blocked("on this machine", str(error)))
        except SftpError as error:
            self._tally.fail(file, diagnose_sftp(error, name=name, room=None, n_bytes=0, writes=False))
        if handle is not None:
            yield RequestBatch([])
            yield RequestBatch([make_handle(PacketType.CLOSE, handle, source)])

    def _bring_open(self, file: SourceFile, handle: bytes, source: str, final: str) -> _Talk:
        folder = file.path.rpartition("/")[0]
        self._make_folders(folder)
        there = _read_mode(final)
        if file.size >= PART_BYTES:
            replies = yield RequestBatch([make_handle(PacketType.FSTAT, handle, source)])
            found = parse_attributes(replies[0])
            yield from self._bring_large(file, handle, source, final, found, there)
            return
        starts = range(0, file.size, CHUNK_BYTES) if file.size <= _SMALL_CHUNKS * CHUNK_BYTES else range(0)
        reads = [make_read(handle, start, min(CHUNK_BYTES, file.size - start), source) for start in starts]
        replies = yield RequestBatch([make_handle(PacketType.FSTAT, handle, source), *reads])
        found = parse_attributes(replies[0])
        place = f"{self._temporary}/{secrets.token_hex(6)}"
        descriptor = _create(place, choose_mode(found.mode or 0o600, there))
        try:
            read = _Read(file, handle, source, found, descriptor)
            read.wanted = {start: min(CHUNK_BYTES, file.size - start) for start in starts}
            again = self._take_reads(read, replies[1:])
            yield from self._stream(read, again, file.size if reads else 0)
            _finish(read, place, final)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(place)  # noqa: PTH108 - as above
            raise
        finally:
            os.close(descriptor)
        self._tally.end_file(file)
        self._drop_part(folder, file)

    def _bring_large(
        self, file: SourceFile, handle: bytes, source: str, final: str, found: Attributes, there: int | None
    ) -> _Talk:
        """Go on with what there is of a large file, or begin anew."""
        folder = file.path.rpartition("/")[0]
        parts = f"{join(self._root, folder)}/{PARTIAL_FOLDER}"
        place = f"{parts}/{final.rpartition('/')[2]}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(parts)  # noqa: PTH102 - as above
        if not stat.S_ISDIR(os.lstat(parts).st_mode):
            raise BlockedError(parts)
        self._folders[folder] = True
        key, identity = file.key, (found.size or 0, found.mtime or 0, 0)
        n_part = min(_get_file_size(place), file.size, found.size or 0)
        begin = self._setting.count_kept(key, identity, place, source, n_part) if n_part else 0
        if begin:
            descriptor = os.open(place, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            os.ftruncate(descriptor, begin)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)  # noqa: PTH108 - as above
            descriptor = _create(place, choose_mode(found.mode or 0o600, there))
        try:
            self._setting.kept[key] = ArrivedPart(identity, begin)
            self._tally.move(begin)
            read = _Read(file, handle, source, found, descriptor)
            yield from self._stream(read, [], begin)
            _finish(read, place, final)
        finally:
            os.close(descriptor)
        self._setting.kept.pop(key, None)
        self._tally.end_file(file)

    def _stream(self, read: _Read, again: Sequence[Request], offset: int) -> _Talk:
        """Ask for the rest of a file, a window at a time, and write what comes; what came short is asked for again."""
        requests = list(again)
        while True:
            while offset < read.size and len(requests) < _CHUNKS_PER_STEP:
                n_bytes = min(CHUNK_BYTES, read.size - offset)
                read.wanted[offset] = n_bytes
                requests.append(make_read(read.handle, offset, n_bytes, read.source))
                offset += n_bytes
            if not requests and not read.wanted:
                return
            is_last = offset >= read.size
            replies = yield RequestBatch(requests, 0 if is_last else CHUNKS_UNDER_WAY - _CHUNKS_PER_STEP)
            requests = self._take_reads(read, replies)

    def _take_reads(self, read: _Read, replies: Sequence[Reply]) -> list[Request]:
        """Write what came; the requests for what a server held back."""
        again: list[Request] = []
        for reply in replies:
            content = parse_data(reply)[: read.wanted[reply.tag]]
            n_left = read.wanted.pop(reply.tag) - len(content)
            if not content and reply.tag < read.size:
                raise SftpError(Code.NO_SUCH_FILE, "the file became shorter while it was read", read.source)
            _write(read.descriptor, content, reply.tag)
            self._tally.move(len(content))
            if n_left and content and reply.tag + len(content) < read.size:
                begin = reply.tag + len(content)
                read.wanted[begin] = n_left
                again.append(make_read(read.handle, begin, n_left, read.source))
        kept = self._setting.kept.get(read.file.key)
        if kept is not None and replies:
            last = max(reply.tag for reply in replies) + CHUNK_BYTES
            kept.n_bytes = min(read.wanted, default=min(last, read.size))
        return again

    def _make_folders(self, folder: str) -> None:
        """Make a folder below the root, once, without walking through a symlink; look for parts of files in it."""
        if folder in self._folders:
            return
        path = self._root
        for name in folder.split("/") if folder else ():
            path = f"{path}/{name}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)  # noqa: PTH102 - as above
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise BlockedError(path)
        try:
            self._folders[folder] = stat.S_ISDIR(os.lstat(f"{path}/{PARTIAL_FOLDER}").st_mode)
        except FileNotFoundError:
            self._folders[folder] = False

    def _drop_part(self, folder: str, file: SourceFile) -> None:
        if self._folders[folder]:
            name = file.path.rpartition("/")[2]
            with contextlib.suppress(OSError):
                os.unlink(f"{join(self._root, folder)}/{PARTIAL_FOLDER}/{name}")  # noqa: PTH108 - as above


def _create(path: str, mode: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def _write(descriptor: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        n_written = os.pwrite(descriptor, left, offset)
        left, offset = left[n_written:], offset + n_written


def _finish(read: _Read, place: str, final: str) -> None:
    """Check what was written, give it its time and its name."""
    if os.fstat(read.descriptor).st_size != read.size:
        raise SftpError(Code.FAILURE, "the file did not arrive whole", read.source)
    time_ns = choose_time(read.file, read.found.size or 0, read.found.mtime or 0)
    os.utime(place, ns=(time_ns, time_ns))
    os.replace(place, final)  # noqa: PTH105 - as above


def _get_file_size(path: str) -> int:
    """Bytes of a file; 0 for what is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _read_mode(path: str) -> int | None:
    """The mode of a file that will be replaced.

    Raises:
        BlockedError: Something else stands there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise BlockedError(path)
    return mode


def _is_as_new(file: SourceFile, path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    is_same = status.st_size == file.size and status.st_mtime_ns == file.mtime_ns
    return is_same or is_to_be_left(file, status.st_size, status.st_mtime_ns // 10**9)
