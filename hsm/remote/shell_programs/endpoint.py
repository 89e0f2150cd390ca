"""Endpoint of a machine whose shell runs commands."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hsm.endpoint import FileEnds, FolderSearch, FoundFolders, LazyListings, Listing, Machine, Survey, Tree
from hsm.errors import TargetError
from hsm.remote.blocks import BLOCK_BYTES
from hsm.remote.shell import RemoteShell, make_mark, quote_path
from hsm.remote.shell_programs.file_ends import EndsRequest, make_ends_program, parse_ends
from hsm.remote.shell_programs.folder_search import make_search_program
from hsm.remote.shell_programs.lister import make_listing_requests
from hsm.remote.shell_programs.listing import ListingAnswer, make_answer_digest, parse_listing
from hsm.remote.shell_programs.receipts import make_receipts_program, parse_receipt_checksums
from hsm.remote.shell_programs.search_answer import parse_search


class RemoteEndpoint:
    """Implements `hsm.endpoint.Endpoint` with programs for a shell."""

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
        """The machine, as the last survey found it; without one it makes a small one."""
        return self._machine or self.survey([Tree("/", (), 0)]).machine

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        """See `hsm.endpoint.Endpoint.survey`."""
        mark = make_mark()
        asked = [replace(tree) for tree in trees] or [Tree("/", names=())]
        indices = {id(tree): index for index, tree in enumerate(asked)}
        extra = make_receipts_program(quote_path(receipts)) if receipts else ""
        answers: list[tuple[ListingAnswer, list[int], str]] = []
        program = make_search_program(search) if search is not None else ""
        requests = make_listing_requests(asked, mark=mark, rsync_path=self._rsync_path, extra=extra, search=program)
        found: FoundFolders | None = None
        for request in requests:
            completed = self._shell.run(request.program, stdin=request.stdin)
            with self._explain(completed.stderr_text):
                answer = parse_listing(completed.stdout, completed.stderr, request=request, mark=mark)
                if search is not None and request.has_search:
                    found = parse_search(answer.search, search, home=answer.machine.home)
            answers.append((answer, [indices[id(tree)] for tree in request.trees], completed.stderr_text))
        self._machine = answers[-1][0].machine
        digest = make_answer_digest(answer.digest.encode() for answer, *_ in answers)
        checksums: dict[str, str] = {}
        for answer, *_ in answers:
            checksums.update(parse_receipt_checksums(answer.fields))
        listings = LazyListings(lambda: self._read_listings(answers), len(trees))
        return Survey(self._machine, listings if is_lazy else tuple(listings), checksums, digest, found)

    def _read_listings(self, answers: Sequence[tuple[ListingAnswer, Sequence[int], str]]) -> tuple[Listing, ...]:
        listings: dict[int, Listing] = {}
        for answer, indices, complaint in answers:
            with self._explain(complaint):
                listings.update(zip(indices, answer.read_listings(), strict=True))
        return tuple(listing for _, listing in sorted(listings.items()))

    @contextmanager
    def _explain(self, complaint: str) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise self._make_bad_answer(error, complaint) from error

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`; one session, and another for files that changed meanwhile."""
        request = EndsRequest(n_blocks, n_blocks * BLOCK_BYTES if head_bytes is None else head_bytes, make_mark())
        found, changed = self._read_ends(paths, request, careful=False)
        if changed:
            again = {ends.path: ends for ends in self._read_ends(changed, request, careful=True)[0]}
            known = {**{ends.path: ends for ends in found}, **again}
            found = [known[path] for path in paths if path in known]
        yield from found

    def _read_ends(
        self, paths: Sequence[str], request: EndsRequest, *, careful: bool
    ) -> tuple[list[FileEnds], list[str]]:
        if not paths:
            return [], []
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        completed = self._shell.run(make_ends_program(request, careful=careful), stdin=names)
        with self._explain(completed.stderr_text):
            return parse_ends(completed.stdout, request)

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        completed = self._shell.run(f"if cat -- {quote_path(path)}; then printf y; else printf n; fi")
        # A file that cannot be read may have printed a part before, and an empty one prints nothing: the last letter
        # tells.
        if not completed.stdout.endswith(b"y"):
            raise FileNotFoundError(path)
        return completed.stdout[:-1]

    def _make_bad_answer(self, error: ValueError, complaint: str) -> TargetError:
        return TargetError(
            f"The listing of {self.name} cannot be understood.",
            hint="Run the command with -v and report what it prints.",
            kind="bad_listing",
            detail=f"{error}\n{complaint[-400:]}",
        )
