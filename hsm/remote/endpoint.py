"""A machine behind SSH as an endpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hsm.endpoint import FileEnds, Listing, Machine, Survey, Tree
from hsm.errors import TargetError
from hsm.remote.guard import make_receipts_program, parse_receipt_checksums
from hsm.remote.listing import make_listing_requests, parse_listing
from hsm.remote.shell import RemoteShell, make_mark, quote_path

BLOCK_BYTES = 32768
"""The block of a `.wandb` log; the ends of files are read in whole blocks."""

_READ_ENDS = r"""
for f do
  [ -f "$f" ] && [ -r "$f" ] || continue
  s=$(wc -c <"$f") && s=$(($s)) || continue
  t=$(( (s - 1) / %(block)d - %(n_blocks)d + 1 )); [ "$t" -lt 0 ] && t=0
  h=$(( %(n_blocks)d * %(block)d )); [ "$h" -gt "$s" ] && h=$s
  o=$(( t * %(block)d ))
  printf '%%s\0%%s\0%%s\0' "%(mark)s$f" "$s" "$o"
  head -c "$h" <"$f"
  tail -c +$(( o + 1 )) <"$f" | head -c $(( s - o ))
done
"""


class RemoteEndpoint:
    """Keeps `hsm.endpoint.Endpoint` over a shell."""

    is_remote = True

    def __init__(self, shell: RemoteShell, *, rsync_path: str = "rsync") -> None:
        self._shell = shell
        self._rsync_path = rsync_path
        self._machine: Machine | None = None

    @property
    def name(self) -> str:
        """The target's name."""
        return self._shell.name

    @property
    def machine(self) -> Machine:
        """What the last survey learned of the machine; without one it makes a small one."""
        return self._machine or self.survey([Tree("/", (), 0)]).machine

    def survey(self, trees: Sequence[Tree], *, receipts: str = "") -> Survey:
        """See `hsm.endpoint.Endpoint.survey`."""
        mark = make_mark()
        listings: dict[int, Listing] = {}
        checksums: dict[str, str] = {}
        asked = [replace(tree) for tree in trees] or [Tree("/", names=())]
        indices = {id(tree): index for index, tree in enumerate(asked)}
        extra = make_receipts_program(quote_path(receipts)) if receipts else ""
        requests = make_listing_requests(asked, mark=mark, rsync_path=self._rsync_path, extra=extra)
        for request in requests:
            completed = self._shell.run(request.program, stdin=request.stdin)
            try:
                machine, found, rest = parse_listing(completed.stdout, completed.stderr, request=request, mark=mark)
            except ValueError as error:
                raise TargetError(
                    f"The listing of {self.name} cannot be understood.",
                    hint="Run the command with -v and report what it prints.",
                    kind="bad_listing",
                    detail=f"{error}\n{completed.stderr_text[-400:]}",
                ) from error
            checksums.update(parse_receipt_checksums(rest))
            for tree, listing in zip(request.trees, found, strict=True):
                listings[indices[id(tree)]] = listing
        self._machine = machine
        return Survey(machine, tuple(listings[index] for index in range(len(trees))), checksums)

    def read_ends(self, paths: Sequence[str], *, n_blocks: int) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        if not paths:
            return
        mark = make_mark()
        script = _READ_ENDS % {"block": BLOCK_BYTES, "n_blocks": n_blocks, "mark": mark}
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        completed = self._shell.run(f"xargs -0 sh -c '{_escape(script)}' read", stdin=names)
        yield from _iter_ends(completed.stdout, n_blocks, mark)

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        completed = self._shell.run(f"if cat -- {quote_path(path)}; then printf y; else printf n; fi")
        if not completed.stdout.endswith(b"y"):
            raise FileNotFoundError(path)
        return completed.stdout[:-1]


def _escape(script: str) -> str:
    return script.replace("'", "'\\''")


def _iter_ends(content: bytes, n_blocks: int, mark: str) -> Iterator[FileEnds]:
    for record in content.split(mark.encode())[1:]:
        path, size_text, offset_text, ends = record.split(b"\0", 3)
        size, offset = int(size_text), int(offset_text)
        n_head = min(size, n_blocks * BLOCK_BYTES)
        if len(ends) == n_head + size - offset:  # else it was cut while it was read
            yield FileEnds(os.fsdecode(path), size, ends[:n_head], ends[n_head:], offset)
