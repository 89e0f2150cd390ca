"""This machine as an endpoint."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from hsm.endpoint import FileEnds, Machine, Survey, Tree
from hsm.errors import TargetError
from hsm.remote.endpoint import BLOCK_BYTES
from hsm.tree import list_tree


class LocalEndpoint:
    """Keeps `hsm.endpoint.Endpoint` for the file systems of this machine."""

    is_remote = False

    def __init__(self, name: str = "here") -> None:
        self.name = name

    def survey(self, trees: Sequence[Tree]) -> Survey:
        """See `hsm.endpoint.Endpoint.survey`; says nothing of rsync, which costs a process."""
        machine = Machine(system=os.uname().sysname, home=str(Path.home()), clock_ns=time.time_ns())
        return Survey(machine, tuple(list_tree(tree) for tree in trees))

    def read_ends(self, paths: Sequence[str], *, n_blocks: int) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        for path in paths:
            try:
                with open(path, "rb") as stream:  # noqa: PTH123 - bytes that are no UTF-8 stay as they are
                    size = os.fstat(stream.fileno()).st_size
                    offset = max(0, (size - 1) // BLOCK_BYTES - n_blocks + 1) * BLOCK_BYTES
                    head = stream.read(min(size, n_blocks * BLOCK_BYTES))
                    stream.seek(offset)
                    tail = stream.read(size - offset)
            except OSError:
                continue
            yield FileEnds(path, size, head, tail, offset)

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise FileNotFoundError(path) from error

    def make_folders(self, folders: Sequence[str]) -> None:
        """See `hsm.endpoint.Endpoint.make_folders`."""
        for folder in folders:
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TargetError(
                    f"The folder {folder} cannot be made: {error.strerror}.",
                    hint="Check `paths` and the permissions.",
                    kind="cannot_make_folder",
                ) from error

    def remove_empty_folders(self, folders: Sequence[str]) -> None:
        """See `hsm.endpoint.Endpoint.remove_empty_folders`."""
        for folder in folders:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
