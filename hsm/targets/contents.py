"""What a clean asks of a target beyond a listing: to write its files to the disk, and for checksums of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from hsm.errors import TargetError
from hsm.process.runner import Runner
from hsm.remote.paramiko.client import ParamikoClient
from hsm.remote.shell import RemoteShell
from hsm.targets.auto import AutoTarget
from hsm.targets.checksums import read_checksum
from hsm.targets.connect import Connection, OpenSshTarget
from hsm.targets.flush import check_flush, flush_by_sftp, flush_by_shell, flush_here
from hsm.targets.sftp import SftpTarget
from hsm.transfer.sftp.checksums import READ_METHOD, read_sums, sum_there

_GROUP_FILES = 2000
_GROUP_BYTES = 8 * 1024**3
"""In one session, which has a time limit."""

Sizes = Mapping[str, int]
"""Absolute paths of plain files, and their sizes."""


class Contents(Protocol):
    """Reads and flushes files of one target."""

    def check_flush(self) -> None:
        """Find out in advance, without touching anything, whether `flush` has a chance.

        Raises:
            HsmError: It has none, or the target is out of reach.
        """

    def flush(self, paths: Sequence[str]) -> None:
        """Have files on the disk there when this returns.

        Raises:
            HsmError: It cannot be done, or the target is out of reach.
        """

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """Take the SHA-256 of files; what cannot be read is missing in the answer.

        Raises:
            HsmError: The target is out of reach, or has nothing to take checksums with.
        """


def make_contents(connection: Connection, runner: Runner) -> Contents:
    """Choose what works at a target that a login and a first look have been made at."""
    if isinstance(connection, AutoTarget):
        return make_contents(connection.second if connection.is_second else _get_first(connection), runner)
    if isinstance(connection, OpenSshTarget):
        return ShellContents(connection.ssh)
    if isinstance(connection, SftpTarget):
        client = connection.client
        return ShellContents(client) if client.can_run else SftpContents(client)
    return FolderContents(connection.name, runner)


def _get_first(connection: AutoTarget) -> Connection:
    if isinstance(connection.first, OpenSshTarget):
        return connection.first
    raise AssertionError("the first of two ways is OpenSSH")


class FolderContents:
    """Keeps `Contents` for a folder of this machine."""

    def __init__(self, name: str, runner: Runner) -> None:
        self._name = name
        self._runner = runner

    def check_flush(self) -> None:
        """See `Contents.check_flush`."""

    def flush(self, paths: Sequence[str]) -> None:
        """See `Contents.flush`."""
        flush_here(paths, name=self._name)

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `Contents.read_checksums`."""
        return read_checksums_here(sizes, lambda: self._runner.sleep(0))


class ShellContents:
    """Keeps `Contents` by programs there."""

    def __init__(self, shell: RemoteShell) -> None:
        self._shell = shell

    def check_flush(self) -> None:
        """See `Contents.check_flush`."""

    def flush(self, paths: Sequence[str]) -> None:
        """See `Contents.flush`."""
        flush_by_shell(self._shell, paths)

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `Contents.read_checksums`."""
        found: dict[str, str] = {}
        for group in _cut(sizes):
            sums = sum_there(self._shell, group)
            if len(sums) != len(group) or any(method != READ_METHOD for method, _ in sums):
                raise TargetError(
                    f"{self._shell.name} has no program that takes SHA-256 checksums.",
                    hint="Install coreutils there, or compare sizes and times with --quick.",
                    kind="no_checksums",
                )
            found |= {path: checksum for path, (_, checksum) in zip(group, sums, strict=True) if checksum}
        return found


class SftpContents:
    """Keeps `Contents` where no program may run: every file is read back over the network."""

    def __init__(self, client: ParamikoClient) -> None:
        self._client = client

    def check_flush(self) -> None:
        """See `Contents.check_flush`."""
        name = self._client.name
        self._client.use_sftp(lambda session, _: check_flush(session, name=name))

    def flush(self, paths: Sequence[str]) -> None:
        """See `Contents.flush`."""
        name = self._client.name
        self._client.use_sftp(lambda session, check: flush_by_sftp(session, paths, name=name, check=check))

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `Contents.read_checksums`."""
        return dict(self._client.use_sftp(lambda session, check: read_sums(session, list(sizes), check=check)))


def read_checksums_here(paths: Sizes, check: Callable[[], None]) -> dict[str, str]:
    """Take the SHA-256 of plain files of this machine, none reached by a symlink of its own name."""
    sums = ((path, read_checksum(path, follows=False, check=check)) for path in paths)
    return {path: checksum for path, checksum in sums if checksum}


def _cut(sizes: Sizes) -> Iterator[list[str]]:
    """Cut into groups of few enough files and bytes."""
    group: list[str] = []
    n_bytes = 0
    for path, size in sizes.items():
        if group and (len(group) >= _GROUP_FILES or n_bytes + size > _GROUP_BYTES):
            yield group
            group, n_bytes = [], 0
        group.append(path)
        n_bytes += size
    if group:
        yield group
