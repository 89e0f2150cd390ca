"""A machine behind SSH as an endpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

from hsm.endpoint import FileEnds, Listing, Survey, Tree
from hsm.errors import TargetError
from hsm.remote.command import Completed
from hsm.remote.listing import make_listing_requests, parse_listing
from hsm.remote.shell import make_mark, quote_path

BLOCK_BYTES = 32768
"""The block of a `.wandb` log; the ends of files are read in whole blocks."""

_READ_ENDS = r"""
for f do
  [ -f "$f" ] && [ -r "$f" ] || continue
  s=$(($(wc -c <"$f")))
  t=$(( (s - 1) / %(block)d - %(n_blocks)d + 1 )); [ "$t" -lt 0 ] && t=0
  h=$(( %(n_blocks)d * %(block)d )); [ "$h" -gt "$s" ] && h=$s
  o=$(( t * %(block)d ))
  printf '%%s\0%%s\0%%s\0' "$f" "$s" "$o"
  head -c "$h" <"$f"
  tail -c +$(( o + 1 )) <"$f" | head -c $(( s - o ))
done
"""


class RemoteShell(Protocol):
    """What a remote endpoint needs of an SSH client; `OpenSsh` keeps it."""

    @property
    def name(self) -> str:
        """The target's name."""

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program there; see `hsm.remote.openssh.OpenSsh.run`."""


class RemoteEndpoint:
    """Keeps `hsm.endpoint.Endpoint` over a shell."""

    is_remote = True

    def __init__(self, shell: RemoteShell, *, rsync_path: str = "rsync") -> None:
        self._shell = shell
        self._rsync_path = rsync_path

    @property
    def name(self) -> str:
        """The target's name."""
        return self._shell.name

    def survey(self, trees: Sequence[Tree]) -> Survey:
        """See `hsm.endpoint.Endpoint.survey`."""
        mark = make_mark()
        listings: dict[int, Listing] = {}
        indices = {id(tree): index for index, tree in enumerate(trees)}
        requests = make_listing_requests(trees, mark=mark, rsync_path=self._rsync_path)
        for request in requests:
            completed = self._shell.run(request.program, stdin=request.stdin)
            try:
                machine, found = parse_listing(completed.stdout, completed.stderr, request=request, mark=mark)
            except ValueError as error:
                raise TargetError(
                    f"The listing of {self.name} cannot be understood.",
                    hint="Run the command with -v and report what it prints.",
                    kind="bad_listing",
                    detail=f"{error}\n{completed.stderr_text[-400:]}",
                ) from error
            for tree, listing in zip(request.trees, found, strict=True):
                listings[indices[id(tree)]] = listing
        return Survey(machine, tuple(listings[index] for index in range(len(trees))))

    def read_ends(self, paths: Sequence[str], *, n_blocks: int) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        if not paths:
            return
        script = _READ_ENDS % {"block": BLOCK_BYTES, "n_blocks": n_blocks}
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        completed = self._shell.run(f"xargs -0 sh -c '{_escape(script)}' read", stdin=names)
        yield from _iter_ends(completed.stdout, n_blocks)

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        completed = self._shell.run(f"if cat -- {quote_path(path)}; then printf y; else printf n; fi")
        if not completed.stdout.endswith(b"y"):
            raise FileNotFoundError(path)
        return completed.stdout[:-1]

    def make_folders(self, folders: Sequence[str]) -> None:
        """See `hsm.endpoint.Endpoint.make_folders`."""
        names = b"".join(os.fsencode(folder) + b"\0" for folder in folders)
        completed = self._shell.run("xargs -0 mkdir -p -- && printf y", stdin=names)
        if completed.stdout != b"y":
            complaint = completed.stderr_text.strip()
            raise TargetError(
                f"A folder cannot be made at {self.name}: {complaint.splitlines()[-1] if complaint else ''}",
                hint="Check `paths` of the target and the permissions there.",
                kind="cannot_make_folder",
                detail=complaint,
            )

    def remove_empty_folders(self, folders: Sequence[str]) -> None:
        """See `hsm.endpoint.Endpoint.remove_empty_folders`."""
        names = b"".join(os.fsencode(folder) + b"\0" for folder in folders)
        self._shell.run("xargs -0 rmdir -- 2>/dev/null", stdin=names)


def _escape(script: str) -> str:
    return script.replace("'", "'\\''")


def _iter_ends(content: bytes, n_blocks: int) -> Iterator[FileEnds]:
    position = 0
    while position < len(content):
        path, size_text, offset_text, _ = content[position:].split(b"\0", 3)
        position += len(path) + len(size_text) + len(offset_text) + 3
        size, offset = int(size_text), int(offset_text)
        n_head = min(size, n_blocks * BLOCK_BYTES)
        head = content[position : position + n_head]
        position += n_head
        tail = content[position : position + size - offset]
        position += size - offset
        yield FileEnds(os.fsdecode(path), size, head, tail, offset)
