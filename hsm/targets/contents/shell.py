"""Whole files at a target where programs may run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from hsm.errors import TargetError
from hsm.remote.shell import RemoteShell
from hsm.targets.contents.contract import Sizes
from hsm.targets.contents.flush import list_with_folders, make_flush_error
from hsm.transfer.sftp.checksums import READ_METHOD, sum_there

_FILES_AT_ONCE = 2000

# Of one session, which has a time limit.
_GROUP_FILES = 2000
_GROUP_BYTES = 8 * 1024**3

# GNU's sync takes files and folders; others flush everything, whatever they are given (sync(1), sync(8) of BSD).
_PROGRAM = r"""
xargs -0 sh -c 'sync -- "$@" 2>/dev/null || sync' each && printf 'flushed\0'
"""


class ShellContents:
    """Implements `hsm.targets.contents.contract.Contents` by programs there."""

    def __init__(self, shell: RemoteShell) -> None:
        self._shell = shell

    def check_flush(self) -> None:
        """See `hsm.targets.contents.contract.Contents.check_flush`."""

    def flush(self, paths: Sequence[str]) -> None:
        """See `hsm.targets.contents.contract.Contents.flush`."""
        flush_by_shell(self._shell, paths)

    def read_checksums(self, sizes: Sizes) -> dict[str, str]:
        """See `hsm.targets.contents.contract.Contents.read_checksums`."""
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


def flush_by_shell(shell: RemoteShell, paths: Iterable[str]) -> None:
    """Have files and the folders they lie in written to the disk, by programs there.

    Args:
        shell: Runs them.
        paths: Absolute paths of files.

    Raises:
        TargetError: It cannot be done there.
    """
    wanted = list_with_folders(paths)
    for start in range(0, len(wanted), _FILES_AT_ONCE):
        names = b"".join(os.fsencode(path) + b"\0" for path in wanted[start : start + _FILES_AT_ONCE])
        completed = shell.run(_PROGRAM, stdin=names)
        if not completed.stdout.endswith(b"flushed\0"):
            raise make_flush_error(shell.name, os.fsdecode(completed.stderr[-400:]))


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
