"""This machine as an endpoint."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from hsm.endpoint import FileEnds, FolderSearch, Machine, Survey, Tree
from hsm.process.runner import Completed, Runner
from hsm.remote.blocks import BLOCK_BYTES, get_tail_offset
from hsm.remote.sessions import SESSION_TIMEOUT_SECONDS
from hsm.remote.shell import quote_path
from hsm.remote.shell_programs.receipts import make_receipts_program, parse_receipt_checksums
from hsm.tree import Scan, list_tree, scan_folder


class LocalShell:
    """Runs /bin/sh programs on this machine; implements `hsm.remote.shell.RemoteShell`."""

    def __init__(self, runner: Runner, *, name: str = "this machine") -> None:
        self.name = name
        self._runner = runner

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program."""
        return self._runner.run(["/bin/sh", "-c", program], stdin=stdin, timeout_seconds=SESSION_TIMEOUT_SECONDS)


class LocalEndpoint:
    """Implements `hsm.endpoint.Endpoint` for the file systems of this machine."""

    is_remote = False

    def __init__(self, runner: Runner | None = None, *, name: str = "here", scan: Scan = scan_folder) -> None:
        self.name = name
        self._runner = runner or Runner()
        self._scan = scan

    def survey(
        self,
        trees: Sequence[Tree],
        *,
        receipts: str = "",
        is_lazy: bool = False,  # noqa: ARG002
        search: FolderSearch | None = None,
    ) -> Survey:
        """See `hsm.endpoint.Endpoint.survey`; says nothing of rsync, which costs a process."""
        machine = Machine(system=os.uname().sysname, home=str(Path.home()), clock_ns=time.time_ns())
        checksums: dict[str, str] = {}
        if receipts:
            program = make_receipts_program(quote_path(receipts))
            completed = LocalShell(self._runner).run(program)
            checksums = parse_receipt_checksums(completed.stdout.split(b"\0"))
        found = None
        if search is not None:
            from hsm.remote.folder_search.here import search_folders  # noqa: PLC0415 - few look for folders

            found = search_folders(search)
        listings = tuple(list_tree(tree, scan=self._scan) for tree in trees)
        return Survey(machine, listings, checksums, found=found)

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        n_head = n_blocks * BLOCK_BYTES if head_bytes is None else head_bytes
        for path in paths:
            try:
                with _open_regular(path) as stream:
                    size = os.fstat(stream.fileno()).st_size
                    offset = get_tail_offset(size, n_blocks)
                    head = stream.read(min(size, n_head))
                    stream.seek(offset)
                    tail = stream.read(size - offset)
            except OSError:
                continue
            yield FileEnds(path, size, head, tail, offset)

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        try:
            with _open_regular(path) as stream:
                return stream.read()
        except OSError as error:
            raise FileNotFoundError(path) from error


def _open_regular(path: str) -> BinaryIO:
    """Open a regular file; anybody may have put a pipe under a name that is read, which would wait for its writer.

    Raises:
        OSError: It is none, or cannot be opened.
    """
    # O_NONBLOCK does nothing to regular files (open(2)).
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is no regular file", path)
    return os.fdopen(descriptor, "rb")
