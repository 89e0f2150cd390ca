"""Checksums of files at both ends: at the remote one by a program where one may run, else by reading files back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from hsm.remote.sftp.endpoint import open_file, read_range
from hsm.remote.sftp.session import RequestBatch, SftpSession, Work
from hsm.remote.sftp.wire import PacketType, SftpError, make_handle
from hsm.remote.shell import RemoteShell

READ_METHOD = "sha256"
_BLOCK_BYTES = 1024 * 1024
_FILES_AT_ONCE = 2000
_READS_AT_ONCE = 8

# Prints the name of the method, then for each path of standard input its checksum, or nothing, and NUL.
_PROGRAM = r"""
if command -v sha256sum >/dev/null 2>&1; then how=sha256; tool='sha256sum'
elif command -v shasum >/dev/null 2>&1; then how=sha256; tool='shasum -a 256'
elif command -v openssl >/dev/null 2>&1; then how=sha256; tool='openssl dgst -sha256 -r'
elif command -v md5sum >/dev/null 2>&1; then how=md5; tool='md5sum'
else how=none; tool=false; fi
printf '%%s\0' "$how"
export tool
xargs -0 sh -c 'for f do
  if [ -f "$f" ] && [ -r "$f" ]; then s=$(%s $tool 2>/dev/null); printf "%%s" "${s%%%%[ *]*}"; fi
  printf "\0"
done' each
"""


def sum_there(client: RemoteShell, paths: Sequence[str], *, n_bytes: int | None = None) -> list[tuple[str, str]]:
    """Have a program there take checksums.

    Args:
        client: Of the machine; programs may be run there.
        paths: Absolute.
        n_bytes: Bytes from the beginning of each file; None for all of it.

    Returns:
        For each path, in their order: the method as `hashlib` knows it, and the checksum in hexadecimal digits, which
        is empty where the file cannot be read. Empty where no program there takes checksums.
    """
    found: list[tuple[str, str]] = []
    feed = '<"$f"' if n_bytes is None else f'head -c {int(n_bytes)} <"$f" |'
    for start in range(0, len(paths), _FILES_AT_ONCE):
        group = paths[start : start + _FILES_AT_ONCE]
        completed = client.run(_PROGRAM % feed, stdin=b"".join(os.fsencode(path) + b"\0" for path in group))
        how, *sums = completed.stdout.decode("ascii", "replace").split("\0")[:-1]
        if how == "none" or len(sums) != len(group):  # no tool, or an answer that was cut
            return []
        found += [(how, each) for each in sums]
    return found


def sum_here(path: str, method: str, *, n_bytes: int | None = None, check: Callable[[], None]) -> str:
    """Take the checksum of a file of this machine, or of its beginning.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.new(method, usedforsecurity=False)
    left = n_bytes
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_BLOCK_BYTES if left is None else min(left, _BLOCK_BYTES)):
            check()
            digest.update(chunk)
            left = None if left is None else left - len(chunk)
    return digest.hexdigest()


def read_sums(session: SftpSession, paths: Iterable[str], *, check: Callable[[], None]) -> Mapping[str, str]:
    """Read files back, and take their checksums by `READ_METHOD`; the answer lacks files that cannot be read."""
    found: dict[str, str] = {}
    session.run([_read_sum(path, found) for path in paths], check=check, n_at_once=_READS_AT_ONCE)
    return found


def _read_sum(path: str, found: dict[str, str]) -> Work:
    digest = hashlib.new(READ_METHOD)
    try:
        handle, size = yield from open_file(path)
    except SftpError:
        return
    offset = 0
    try:
        while offset < size:
            content = yield from read_range(handle, offset, min(size, offset + 2 * _BLOCK_BYTES), path)
            if not content:
                break
            digest.update(content)
            offset += len(content)
    except SftpError:
        offset = -1
    if offset == size:
        found[path] = digest.hexdigest()
    yield RequestBatch([make_handle(PacketType.CLOSE, handle, path)])
