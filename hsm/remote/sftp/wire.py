"""Packets of the SSH File Transfer Protocol, version 3, built and read. Pure.

Sources: draft-ietf-secsh-filexfer-02 and OpenSSH's PROTOCOL (section 4, the extensions).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import NamedTuple

VERSION = 3
_SIZE, _OWNER, _MODE, _TIMES, _EXTENDED = 1, 2, 4, 8, 0x80000000
_MOST_SECONDS = 0xFFFFFFFF

POSIX_RENAME = "posix-rename@openssh.com"
HARD_LINK = "hardlink@openssh.com"
FSYNC = "fsync@openssh.com"
STATVFS = "statvfs@openssh.com"
LIMITS = "limits@openssh.com"


class PacketType(IntEnum):
    """Types of packets."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    SETSTAT = 9
    FSETSTAT = 10
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    RMDIR = 15
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Code(IntEnum):
    """Meanings of a status."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    UNSUPPORTED = 8


class Open(IntFlag):
    """Ways to open a file."""

    READ = 1
    WRITE = 2
    CREATE = 8
    TRUNCATE = 16
    EXCLUSIVE = 32


class Request(NamedTuple):
    """A packet to send.

    Attributes:
        kind: Its type.
        body: All after its number.
        path: Of the file that it concerns, for messages.
        tag: Comes back with the reply; the offset of what is read or written.
    """

    kind: int
    body: bytes
    path: str = ""
    tag: int = 0


class Reply(NamedTuple):
    """The answer to a request.

    Attributes:
        kind: Its type.
        body: All after its number.
        path: Of the request.
        tag: Of the request.
    """

    kind: int
    body: bytes
    path: str
    tag: int


class Attributes(NamedTuple):
    """Attributes of a file; None for those that the server leaves out.

    Attributes:
        size: Bytes.
        mode: As `st_mode`.
        mtime: Seconds since the epoch.
    """

    size: int | None = None
    mode: int | None = None
    mtime: int | None = None


class Room(NamedTuple):
    """The answer to `make_statvfs`: statvfs(3)."""

    block_bytes: int
    n_blocks: int
    n_free: int
    n_inodes: int
    n_free_inodes: int
    is_read_only: bool


class SftpError(Exception):
    """The server refuses a request.

    Attributes:
        code: The reason, as far as version 3 can tell.
        text: The server's words.
        path: Of the file that it concerns.
    """

    def __init__(self, code: int, text: str, path: str) -> None:
        super().__init__(f"{text or code}: {path}")
        self.code = code
        self.text = text
        self.path = path


class WireError(Exception):
    """The bytes that came are no packet of the protocol."""


def pack_text(text: str | bytes) -> bytes:
    """Pack a string of the protocol; a path keeps the bytes that the file system has."""
    raw = text if isinstance(text, bytes) else os.fsencode(text)
    return struct.pack(">I", len(raw)) + raw


def make_path(kind: PacketType, path: str) -> Request:
    """Make a request that takes a path alone: STAT, LSTAT, OPENDIR, REMOVE, RMDIR, REALPATH, READLINK."""
    return Request(kind, pack_text(path), path)


def make_handle(kind: PacketType, handle: bytes, path: str) -> Request:
    """Make a request that takes a handle alone: CLOSE, FSTAT, READDIR."""
    return Request(kind, pack_text(handle), path)


def make_open(path: str, flags: Open, mode: int | None = None) -> Request:
    """Make the request to open a file, with the server's own permissions unless `mode` is given; its umask counts."""
    attributes = struct.pack(">I", 0) if mode is None else struct.pack(">II", _MODE, mode)
    return Request(PacketType.OPEN, pack_text(path) + struct.pack(">I", flags) + attributes, path)


def make_read(handle: bytes, offset: int, n_bytes: int, path: str) -> Request:
    """Make the request to read at an offset."""
    return Request(PacketType.READ, pack_text(handle) + struct.pack(">QI", offset, n_bytes), path, offset)


def make_write(handle: bytes, offset: int, content: bytes, path: str) -> Request:
    """Make the request to write at an offset."""
    body = pack_text(handle) + struct.pack(">QI", offset, len(content)) + content
    return Request(PacketType.WRITE, body, path, offset)


def make_times(handle: bytes, mtime: int, path: str, *, mode: int | None = None) -> Request:
    """Make the request to set both times of an open file, in whole seconds, and its permissions if given."""
    seconds = min(max(mtime, 0), _MOST_SECONDS)
    what = _TIMES if mode is None else _TIMES | _MODE
    permissions = b"" if mode is None else struct.pack(">I", mode)
    body = pack_text(handle) + struct.pack(">I", what) + permissions + struct.pack(">II", seconds, seconds)
    return Request(PacketType.FSETSTAT, body, path)


def make_truncate(handle: bytes, size: int, path: str) -> Request:
    """Make the request to cut an open file."""
    return Request(PacketType.FSETSTAT, pack_text(handle) + struct.pack(">IQ", _SIZE, size), path)


def make_mkdir(path: str) -> Request:
    """Make the request for a new folder with the server's own permissions."""
    return Request(PacketType.MKDIR, pack_text(path) + struct.pack(">I", 0), path)


def make_two_paths(name: str, old: str, new: str) -> Request:
    """Make a request of an extension that takes two paths, POSIX_RENAME or HARD_LINK; without a name a plain RENAME."""
    body = pack_text(old) + pack_text(new)
    return Request(PacketType.EXTENDED, pack_text(name) + body, new) if name else Request(PacketType.RENAME, body, new)


def make_fsync(handle: bytes, path: str) -> Request:
    """Make the request to flush an open file to the disk."""
    return Request(PacketType.EXTENDED, pack_text(FSYNC) + pack_text(handle), path)


def make_statvfs(path: str) -> Request:
    """Make the request for the room on a file system."""
    return Request(PacketType.EXTENDED, pack_text(STATVFS) + pack_text(path), path)


def parse_sftp_version(body: bytes) -> Mapping[str, str]:
    """Read the extensions out of a server's VERSION packet.

    Raises:
        WireError: It speaks another version.
    """
    try:
        (version,) = struct.unpack_from(">I", body)
        extensions: dict[str, str] = {}
        place = 4
        while place < len(body):
            name, place = _take(body, place)
            data, place = _take(body, place)
            extensions[name.decode("ascii", "replace")] = data.decode("ascii", "replace")
    except struct.error as error:
        raise WireError("no version") from error
    if version != VERSION:
        raise WireError(f"the server speaks version {version}")
    return extensions


def check_status(reply: Reply) -> None:
    """Read a status.

    Raises:
        SftpError: It is not OK.
        WireError: It is none.
    """
    code, text = parse_status(reply)
    if code != Code.OK:
        raise SftpError(code, text, reply.path)


def parse_status(reply: Reply) -> tuple[int, str]:
    """Read a status: its code and its text, which older servers leave out."""
    if reply.kind != PacketType.STATUS or len(reply.body) < 4:
        raise WireError(f"packet {reply.kind} in place of a status")
    (code,) = struct.unpack_from(">I", reply.body)
    text = b""
    if len(reply.body) > 4:
        text, _ = _take(reply.body, 4)
    return code, text.decode("utf-8", "replace")


def parse_handle(reply: Reply) -> bytes:
    """Read a handle; raises as `check_status`."""
    _expect(reply, PacketType.HANDLE)
    return _take(reply.body, 0)[0]


def parse_data(reply: Reply) -> bytes:
    """Read the answer to a READ: empty at the end of the file; raises as `check_status`."""
    if reply.kind == PacketType.STATUS and parse_status(reply)[0] == Code.EOF:
        return b""
    _expect(reply, PacketType.DATA)
    return _take(reply.body, 0)[0]


def parse_attributes(reply: Reply) -> Attributes:
    """Read the answer to a STAT, LSTAT or FSTAT; raises as `check_status`."""
    _expect(reply, PacketType.ATTRS)
    return _take_attributes(reply.body, 0)[0]


def parse_names(reply: Reply) -> list[tuple[str, Attributes]] | None:
    """Read the answer to a READDIR, REALPATH or READLINK; None at the end of a folder; raises as `check_status`."""
    if reply.kind == PacketType.STATUS and parse_status(reply)[0] == Code.EOF:
        return None
    _expect(reply, PacketType.NAME)
    (count,) = _unpack(">I", reply.body, 0)
    names: list[tuple[str, Attributes]] = []
    place = 4
    for _ in range(count):
        name, place = _take(reply.body, place)
        _, place = _take(reply.body, place)
        attributes, place = _take_attributes(reply.body, place)
        names.append((os.fsdecode(name), attributes))
    return names


def parse_room(reply: Reply) -> Room:
    """Read the answer to `make_statvfs`; raises as `check_status`."""
    _expect(reply, PacketType.EXTENDED_REPLY)
    _, fragment, blocks, _, free, inodes, _, free_inodes, _, flags, _ = _unpack(">11Q", reply.body, 0)
    return Room(fragment, blocks, free, inodes, free_inodes, bool(flags & 1))


def parse_most_handles(reply: Reply) -> int:
    """Read out of the answer to LIMITS how many files may be open; 0 where there is no limit; raises as before."""
    _expect(reply, PacketType.EXTENDED_REPLY)
    return _unpack(">4Q", reply.body, 0)[3]


def _expect(reply: Reply, kind: PacketType) -> None:
    if reply.kind == PacketType.STATUS:
        code, text = parse_status(reply)
        raise SftpError(code, text, reply.path)
    if reply.kind != kind:
        raise WireError(f"packet {reply.kind} in place of {kind}")


def _unpack(form: str, body: bytes, place: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, body, place)
    except struct.error as error:
        raise WireError("a packet is cut") from error


def _take(body: bytes, place: int) -> tuple[bytes, int]:
    (length,) = _unpack(">I", body, place)
    end = place + 4 + length
    if end > len(body):
        raise WireError("a packet is cut")
    return body[place + 4 : end], end


def _take_attributes(body: bytes, place: int) -> tuple[Attributes, int]:
    (flags,) = _unpack(">I", body, place)
    place += 4
    size = mode = mtime = None
    if flags & _SIZE:
        (size,) = _unpack(">Q", body, place)
        place += 8
    if flags & _OWNER:
        place += 8
    if flags & _MODE:
        (mode,) = _unpack(">I", body, place)
        place += 4
    if flags & _TIMES:
        _, mtime = _unpack(">II", body, place)
        place += 8
    if flags & _EXTENDED:
        (count,) = _unpack(">I", body, place)
        place += 4
        for _ in range(2 * count):
            _, place = _take(body, place)
    return Attributes(size, mode, mtime), place
