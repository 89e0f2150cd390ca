"""Packets of the SSH File Transfer Protocol, version 3, and its requests. Pure.

Sources: draft-ietf-secsh-filexfer-02 and OpenSSH's PROTOCOL (section 4, the extensions).
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum, IntFlag
from typing import NamedTuple

VERSION = 3
HAS_SIZE, HAS_OWNER, HAS_MODE, HAS_TIMES, HAS_EXTENDED = 1, 2, 4, 8, 0x80000000
"""Bits of the attributes that are present, which follow in this order. Plain numbers: a flag of `enum` is slow."""

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
    SYMLINK = 20
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
    attributes = struct.pack(">I", 0) if mode is None else struct.pack(">II", HAS_MODE, mode)
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
    # Version 3 has 32 bits without a sign for a time: files of before 1970 or after 2106 get the nearest.
    seconds = min(max(mtime, 0), _MOST_SECONDS)
    what = HAS_TIMES if mode is None else HAS_TIMES | HAS_MODE
    permissions = b"" if mode is None else struct.pack(">I", mode)
    body = pack_text(handle) + struct.pack(">I", what) + permissions + struct.pack(">II", seconds, seconds)
    return Request(PacketType.FSETSTAT, body, path)


def make_truncate(handle: bytes, size: int, path: str) -> Request:
    """Make the request to cut an open file."""
    return Request(PacketType.FSETSTAT, pack_text(handle) + struct.pack(">IQ", HAS_SIZE, size), path)


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
