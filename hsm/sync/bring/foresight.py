"""Foresight of a pull: its first look at a target asks along for what the last pull of the same words asked later.

A pull where nothing has changed looks three times, since each look tells where to look next: for the sweep, for its
runs, for their files. Three round trips, and three programs there, become one. It is a guess that is checked before it
counts: an answer is used only for the very question that it was given to, and only until a file there is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from hsm.endpoint import Endpoint, FileEnds, FolderSearch, Listing, Machine, Survey, Tree
from hsm.files import USELESS_ERRORS, load_json, save_json

SCHEMA = 1

_MOST_NAMES = 50_000


class ForesightEndpoint:
    """Implements `hsm.endpoint.Endpoint` over that of a target, for the reading of one sweep. Used by one thread.

    Args:
        endpoint: The target's.
        path: Where the questions are kept.
        words: Of the command: other words ask other questions.
    """

    def __init__(self, endpoint: Endpoint, path: Path, words: Sequence[str]) -> None:
        self._endpoint = endpoint
        self._path = path
        self._words = list(words)
        self._asked: list[Tree] = []
        self._machine: Machine | None = None
        self._answers: dict[Tree, Listing] = {}
        self._is_over = False

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
        """See `hsm.endpoint.Endpoint.survey`."""
        if self._is_over or not self.is_remote:
            return self._endpoint.survey(trees, receipts=receipts, is_lazy=is_lazy, search=search)
        if self._machine is None:
            known = self._load()
            survey = self._endpoint.survey([*trees, *known], receipts=receipts, search=search)
            self._machine = survey.machine
            self._answers = dict(zip(known, survey.listings[len(trees) :], strict=True))
            return replace(survey, listings=survey.listings[: len(trees)])
        self._asked += trees
        # Each answer counts once: whoever asks again wants to know whether it has changed.
        found = [self._answers.pop(tree, None) for tree in trees]
        listings = tuple(listing for listing in found if listing is not None)
        if len(listings) == len(trees) and not receipts and search is None and max(Counter(trees).values()) == 1:
            return Survey(self._machine, listings)
        return self._endpoint.survey(trees, receipts=receipts, is_lazy=is_lazy, search=search)

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        """See `hsm.endpoint.Endpoint.read_ends`."""
        if paths:
            self._answers.clear()  # what is listed after a file was read is to be as new as what was read
        return self._endpoint.read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes)

    def read_file(self, path: str) -> bytes:
        """See `hsm.endpoint.Endpoint.read_file`."""
        self._answers.clear()
        return self._endpoint.read_file(path)

    def end(self, *, saves: bool) -> None:
        """Pass on every further question, and keep those that were asked for the next call.

        Args:
            saves: Write them down.
        """
        if self._is_over or not self.is_remote:
            return
        self._is_over = True
        self._answers.clear()
        asked = list(dict.fromkeys(self._asked))
        if not saves or asked == self._load() or sum(len(tree.names) for tree in asked) > _MOST_NAMES:
            return
        document = {
            "words": self._words,
            "trees": [[tree.base, list(tree.names), tree.max_depth, tree.follow] for tree in asked],
        }
        try:
            save_json(self._path, document, schema=SCHEMA)
        except OSError:
            return  # the next call asks one after another

    def _load(self) -> list[Tree]:
        """Load the questions of the last call with these words; none where they cannot be understood."""
        try:
            document = load_json(self._path, schema=SCHEMA)
            if document is None or document["words"] != self._words:
                return []
            return [_parse_tree(values) for values in document["trees"]]  # type: ignore[attr-defined]
        except USELESS_ERRORS:
            return []


def _parse_tree(values: Sequence[object]) -> Tree:
    base, names, max_depth, follow = values
    if not isinstance(base, str) or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("no tree")
    if not (max_depth is None or isinstance(max_depth, int)):
        raise TypeError("no tree")
    return Tree(base, tuple(names), max_depth, bool(follow))
