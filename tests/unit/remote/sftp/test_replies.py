"""Replies of SFTP servers, with hostile ones, and requests beside them."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.remote.sftp.replies import (
    Attributes,
    WireError,
    check_status,
    parse_attributes,
    parse_data,
    parse_handle,
    parse_most_handles,
    parse_names,
    parse_room,
    parse_sftp_version,
    parse_status,
)
from hsm.remote.sftp.wire import (
    Code,
    PacketType,
    Reply,
    SftpError,
    make_path,
    make_times,
    pack_text,
)

PARSERS: list[Callable[[Reply], object]] = [
    check_status,
    parse_status,
    parse_handle,
    parse_data,
    parse_attributes,
    parse_names,
    parse_room,
    parse_most_handles,
]
VERSION = struct.pack(">I", 3)
OK = struct.pack(">I", 0) + pack_text("Success") + pack_text("")


def make_reply(kind: int, body: bytes) -> Reply:
    return Reply(kind, body, "/path", 0)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(kind=st.sampled_from([101, 102, 103, 104, 105, 201, 77]), body=st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(parse: Callable[[Reply], object], kind: int, body: bytes) -> None:
    with contextlib.suppress(SftpError, WireError):
        parse(make_reply(kind, body))


@given(st.binary(max_size=40))
def test_a_version_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(WireError):
        parse_sftp_version(body)


def test_names_keep_their_bytes() -> None:
    body = struct.pack(">I", 1) + pack_text(b"\xff\xfe") + pack_text("long") + struct.pack(">I", 0)
    assert parse_names(make_reply(PacketType.NAME, body)) == [(os.fsdecode(b"\xff\xfe"), Attributes())]
    assert make_path(PacketType.STAT, os.fsdecode(b"\xff\xfe")).body == pack_text(b"\xff\xfe")


def test_all_attributes_are_read_in_their_order() -> None:
    extended = struct.pack(">I", 1) + pack_text("name") + pack_text("data")
    body = struct.pack(">IQIIIII", 0x8000000F, 7, 1, 2, 0o100644, 11, 22) + extended
    assert parse_attributes(make_reply(PacketType.ATTRS, body)) == Attributes(7, 0o100644, 22)


def test_a_time_beyond_the_protocol_is_cut() -> None:
    for mtime, expected in ((-5, 0), (2**40, 0xFFFFFFFF)):
        assert make_times(b"h", mtime, "x").body.endswith(struct.pack(">II", expected, expected))


def test_an_end_is_no_error_where_it_is_expected() -> None:
    end = make_reply(PacketType.STATUS, struct.pack(">I", Code.EOF))
    assert (parse_names(end), parse_data(end)) == (None, b"")
    with pytest.raises(SftpError):
        parse_handle(end)
