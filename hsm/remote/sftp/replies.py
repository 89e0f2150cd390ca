"""Replies of an SFTP server, read. Pure.

Sources: draft-ietf-secsh-filexfer-02 (section 7) and OpenSSH's PROTOCOL (section 4, the extensions).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from typing import NamedTuple

from hsm.remote.sftp.wire import (
    HAS_EXTENDED,
    HAS_MODE,
    HAS_OWNER,
    HAS_SIZE,
    HAS_TIMES,
    VERSION,
    Code,
    PacketType,
    Reply,
    SftpError,
)


class WireError(Exception):
    """The bytes that came are no packet of the protocol."""


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
    """The answer to `make_statvfs`: statvfs(3); `file_system` is its number."""

    block_bytes: int
    n_blocks: int
    n_free: int
    n_inodes: int
    n_free_inodes: int
    is_read_only: bool
    file_system: int = 0


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
    # Block and fragment size, blocks, free, available, inodes, free, available, id, flags, longest name.
    _, fragment, blocks, _, free, inodes, _, free_inodes, number, flags, _ = _unpack(">11Q", reply.body, 0)
    return Room(fragment, blocks, free, inodes, free_inodes, bool(flags & 1), number)


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
    if flags & HAS_SIZE:
        (size,) = _unpack(">Q", body, place)
        place += 8
    if flags & HAS_OWNER:
        place += 8
    if flags & HAS_MODE:
        (mode,) = _unpack(">I", body, place)
        place += 4
    if flags & HAS_TIMES:
        _, mtime = _unpack(">II", body, place)
        place += 8
    if flags & HAS_EXTENDED:
        (count,) = _unpack(">I", body, place)
        place += 4
        for _ in range(2 * count):
            _, place = _take(body, place)
    return Attributes(size, mode, mtime), place
