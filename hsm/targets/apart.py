"""Refusal of a target that is this very project, reached in another way.

By ssh to this machine, over a shared file system, through a bind or union mount: no address and no path tells. So
while a target is looked at for the first time, an empty file of a random name lies in this project's own folders, and
its name is asked for along with everything else, which takes no round trip. Where the project cannot be written to,
nothing tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from hsm.discover.sweeps import Layout
from hsm.endpoint import Endpoint, FileEnds, FolderSearch, LazyListings, Listing, Survey, Tree
from hsm.errors import SamePlaceError
from hsm.model import Root
from hsm.targets.contents.marks import make_mark_name, make_marks_here, remove_marks_here


class ApartEndpoint:
    """Implements `hsm.endpoint.Endpoint` over that of a target, and refuses it where it turns out to be this project.

    Args:
        endpoint: The target's.
        roots: Its folders as configured.
        layout: The folders of this project.
        own: Its folder of sweeps, where that is none of the roots.
    """

    def __init__(self, endpoint: Endpoint, roots: Mapping[Root, str], layout: Layout, *, own: str = "") -> None:
        self._endpoint = endpoint
        self._roots = tuple(dict.fromkeys(path for path in (*roots.values(), own) if path))
        self._own = tuple(dict.fromkeys((layout.sweeps, layout.wandb, layout.project)))
        self._is_apart = False

    @property
    def name(self) -> str:
        """See `hsm.endpoint.Endpoint.name`."""
        return self._endpoint.name

    @property
    def is_remote(self) -> bool:
        """See `hsm.endpoint.Endpoint.is_remote`."""
        return self._endpoint.is_remote

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        """See `hsm.endpoint.Endpoint.survey`.

        Raises:
            SamePlaceError: It is this project; of a lazy survey, when its listings are read.
        """
        if self._is_apart:
            return self._endpoint.survey(trees, receipts=receipts, is_lazy=is_lazy, search=search)
        with self._mark() as mark:
            survey = self._endpoint.survey(self._add(trees, mark), receipts=receipts, is_lazy=is_lazy, search=search)

        def read() -> tuple[Listing, ...]:
            return self._check(survey.listings, mark)[: len(trees)]

        return replace(survey, listings=LazyListings(read, len(trees)) if is_lazy else read())

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        return self._endpoint.read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes)

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        return self._endpoint.read_file(path)

    @contextmanager
    def _mark(self) -> Iterator[str]:
        name = make_mark_name("apart")
        try:
            make_marks_here(self._own, name, is_alone=False)
            yield name
        finally:
            remove_marks_here(self._own, name)

    def _add(self, trees: Sequence[Tree], mark: str) -> list[Tree]:
        """Ask for a name in each of the target's folders too, within what is asked for there anyway."""
        found = list(trees)
        for root in self._roots:
            index = next((number for number, tree in enumerate(found) if tree.base == root), None)
            if index is None:
                found.append(Tree(root, (mark,), 0))
            else:
                found[index] = replace(found[index], names=(*found[index].names, mark))
        return found

    def _check(self, listings: Sequence[Listing], mark: str) -> tuple[Listing, ...]:
        if any(entry.path == mark for listing in listings for entry in listing.entries):
            raise make_itself_error(self.name)
        self._is_apart = True
        return tuple(listings)


def make_itself_error(name: str) -> SamePlaceError:
    """Make the error of a target that is this project. Pure."""
    return SamePlaceError(
        f"Target {name} is this project itself, by another name: what lies there is no copy.",
        hint="Correct `host` and `paths` of the target, or name another one with --target.",
    )
