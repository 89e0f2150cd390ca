"""The rsync of each end, and pairs that can work together."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import TargetError
from hsm.process.runner import Runner
from hsm.transfer.rsync.versions import (
    COMPRESSING_SECONDS,
    RsyncPair,
    RsyncVersion,
    check_remote_version,
    choose_compression,
    make_pair,
    parse_rsync_version,
    read_local_version,
)

OPENRSYNC = "openrsync: protocol version 29\nrsync version 2.6.9 compatible\n"
SAMBA_3_5 = """\
rsync  version 3.5.0  protocol version 32
Copyright (C) 1996-2026 by Andrew Tridgell, Wayne Davison, and others.
Web site: https://rsync.samba.org/
Capabilities:
    64-bit files, 64-bit inums, 64-bit timestamps, 64-bit long ints,
    no crtimes
Optimizations:
    SIMD-roll, no asm-roll, openssl-crypto, no asm-MD5
Checksum list:
    xxh128 xxh3 xxh64 (xxhash) md5 md4 sha1 none
Compress list:
    zstd lz4 zlibx zlib none
Daemon auth list:
    sha512 sha256 sha1 md5 md4

rsync comes with ABSOLUTELY NO WARRANTY.
"""
NEW = RsyncVersion((3, 5, 0), 32, False, ("xxh128", "md5", "md4"), ("zstd", "lz4", "zlib"))
CLUSTER = RsyncVersion((3, 2, 7), 31, False, ("md4", "md5"), ("zlib", "zstd"))
ANCIENT = RsyncVersion((3, 1, 2), 31)
MAC = RsyncVersion((2, 6, 9), 29, is_openrsync=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("rsync  version 3.5.0  protocol version 32", RsyncVersion((3, 5, 0), 32), id="3.5.0"),
        pytest.param("rsync  version 3.2.7  protocol version 31", RsyncVersion((3, 2, 7), 31), id="Debian 12"),
        pytest.param("rsync  version 3.1.2  protocol version 31", RsyncVersion((3, 1, 2), 31), id="CentOS 7"),
        pytest.param("rsync  version 3.0.6  protocol version 30", RsyncVersion((3, 0, 6), 30), id="CentOS 6"),
        pytest.param("rsync  version 2.6.9  protocol version 29", RsyncVersion((2, 6, 9), 29), id="old macOS"),
        pytest.param("rsync  version v3.2.0pre1  protocol version 31", RsyncVersion((3, 2, 0), 31), id="candidate"),
        pytest.param("rsync  version 3.4.2dev  protocol version 32", RsyncVersion((3, 4, 2), 32), id="development"),
        pytest.param(OPENRSYNC, MAC, id="openrsync"),
        pytest.param("openrsync: protocol version 27\n", RsyncVersion((), 27, is_openrsync=True), id="OpenBSD's"),
        pytest.param(
            SAMBA_3_5,
            RsyncVersion(
                (3, 5, 0),
                32,
                False,
                ("xxh128", "xxh3", "xxh64", "md5", "md4", "sha1", "none"),
                ("zstd", "lz4", "zlibx", "zlib", "none"),
            ),
            id="with lists",
        ),
        pytest.param("rsync: command not found", None, id="a shell's complaint"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_versions(text: str, expected: RsyncVersion | None) -> None:
    assert parse_rsync_version(text) == expected


@given(st.text())
def test_whatever_is_printed_is_a_version_or_none(text: str) -> None:
    found = parse_rsync_version(f"rsync  version 3.2.7  protocol version 31\n{text}")
    assert found is not None
    assert found.version == (3, 2, 7)
    parse_rsync_version(text)


def test_a_version_is_shown_as_rsync_writes_it() -> None:
    assert (CLUSTER.text, MAC.text) == ("3.2.7", "openrsync")


def test_this_machines_rsync_tells_its_version(require_program: Callable[..., None]) -> None:
    require_program("rsync")
    text = Runner().run(["rsync", "--version"], timeout_seconds=20).stdout.decode()
    if sys.platform == "darwin" and "openrsync" in text:
        pytest.skip("openrsync")
    version = read_local_version(Runner())
    assert version.text in text
    assert version.version < (3, 2, 0) or {"md5", "zlib"} <= {*version.checksums, *version.compressions}


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        pytest.param(NEW, NEW, (32, True, False, NEW.compressions, NEW.checksums), id="the same"),
        pytest.param(NEW, CLUSTER, (31, True, False, ("zstd", "zlib"), ("md5", "md4")), id="an older one there"),
        pytest.param(CLUSTER, NEW, (31, True, False, ("zlib", "zstd"), ("md4", "md5")), id="an older one here"),
        pytest.param(NEW, ANCIENT, (31, False, False, (), ()), id="one that names no lists"),
        pytest.param(NEW, MAC, (29, False, True, (), ()), id="openrsync there"),
    ],
)
def test_what_two_can_do_together(
    here: RsyncVersion, there: RsyncVersion, expected: tuple[int, bool, bool, tuple[str, ...], tuple[str, ...]]
) -> None:
    pair = make_pair(here, there, name="desktop", pulls=False)
    assert pair == RsyncPair(here, there)
    assert (pair.protocol, pair.has_fine_times, pair.to_openrsync, pair.compressions, pair.checksums) == expected


@pytest.mark.parametrize(
    ("here", "there", "pulls", "words"),
    [
        pytest.param(NEW, MAC, True, "at desktop is openrsync, which cannot send", id="openrsync sends"),
        pytest.param(ANCIENT, MAC, False, "on this machine is 3.1.2, which cannot tell", id="an old one to openrsync"),
        pytest.param(NEW, RsyncVersion((), 27, is_openrsync=True), False, "protocol 27", id="OpenBSD's"),
    ],
)
def test_what_two_cannot_do_together(here: RsyncVersion, there: RsyncVersion, pulls: bool, words: str) -> None:
    with pytest.raises(TargetError, match=words) as caught:
        make_pair(here, there, name="desktop", pulls=pulls)
    assert caught.value.kind == "rsync_too_old"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "rsync_missing"),
        ("rsync  version 3.0.9  protocol version 30", "rsync_too_old"),
        ("what?\nrsync  version 3.2.7  protocol version 31", "rsync_too_old"),
    ],
)
def test_what_a_target_has_is_checked(text: str, kind: str) -> None:
    with pytest.raises(TargetError) as caught:
        check_remote_version(text, name="desktop")
    assert caught.value.kind == kind
    assert "\n" not in caught.value.message


def test_openrsync_here_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "rsync"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{OPENRSYNC}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(TargetError, match="on this machine is openrsync") as caught:
        read_local_version(Runner())
    assert "brew install rsync" in caught.value.hint


ALL = ("lz4", "zstd", "zlibx", "zlib", "none")


@pytest.mark.parametrize(
    ("wish", "common", "round_trip_seconds", "expected"),
    [
        pytest.param("auto", ALL, 0.04, "zstd", id="another country"),
        pytest.param("auto", ALL, COMPRESSING_SECONDS, "zstd", id="just far enough"),
        pytest.param("auto", ALL, 0.0049, "", id="not far enough"),
        pytest.param("auto", ALL, 0.0, "", id="the same machine"),
        pytest.param("auto", ALL, None, "zstd", id="who knows"),
        pytest.param("auto", ("lz4", "zlib", "none"), 0.04, "", id="far away, and only slow ones"),
        pytest.param("auto", (), 0.04, "", id="far away, and an old rsync"),
        pytest.param("zstd", ALL, 0.0, "zstd", id="zstd is wished for on a fast link"),
        pytest.param("lz4", ALL, 0.04, "lz4", id="lz4 is wished for"),
        pytest.param("lz4", ("zstd",), 0.04, "", id="one end does not know the wished one"),
        pytest.param("none", ALL, 0.04, "", id="none is wished for"),
    ],
)
def test_content_is_compressed_where_that_pays(
    wish: str, common: tuple[str, ...], round_trip_seconds: float | None, expected: str
) -> None:
    assert choose_compression(wish, common, round_trip_seconds=round_trip_seconds) == expected
