"""Looking at a destination while the source is still being read: at what the journal knows, which is nearly all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from hsm.endpoint import Endpoint, Survey, Tree
from hsm.errors import HsmError
from hsm.remote.ahead import Ahead
from hsm.remote.command import CommandStoppedError


class EarlySurvey:
    """A survey of a destination that was begun before it was known what to ask. Used by one thread.

    Args:
        endpoint: The destination.
        trees: What is asked already.
        receipts: As for `Endpoint.survey`.
        known: As for `Endpoint.survey`.
    """

    def __init__(self, endpoint: Endpoint, trees: Sequence[Tree], *, receipts: str, known: str = "") -> None:
        self._endpoint = endpoint
        self._trees = list(trees)
        self._receipts = receipts
        self._known = known
        self._survey = Ahead(
            lambda: endpoint.survey(self._trees, receipts=receipts, known=known), name="hsm-early-check"
        )

    def _ask(self) -> Survey:
        return self._endpoint.survey(self._trees, receipts=self._receipts, known=self._known)

    def get_digest(self) -> str:
        """The digest of the answer, once it is there; empty where there is none. `finish` tells what went wrong."""
        try:
            return self._survey.take().digest
        except (HsmError, CommandStoppedError):
            return ""

    def finish(self, trees: Sequence[Tree], *, receipts: str) -> Survey:
        """Answer what is asked now; what was not asked then is asked in a second session.

        Args:
            trees: Differ from those of then at most in the names.
            receipts: The same as then.
        """
        survey = self._survey.take()
        if receipts != self._receipts or not _is_alike(trees, self._trees):
            return self._endpoint.survey(trees, receipts=receipts)
        rest = [
            replace(tree, names=_find_new(tree.names, then.names))
            for tree, then in zip(trees, self._trees, strict=True)
        ]
        missed = [tree for tree in rest if tree.names]
        if not missed:
            return survey
        found = iter(self._endpoint.survey(missed).listings)
        listings = tuple(
            replace(listing, entries=(*listing.entries, *more.entries), problems=(*listing.problems, *more.problems))
            if tree.names and (more := next(found))
            else listing
            for tree, listing in zip(rest, survey.listings, strict=True)
        )
        return replace(survey, listings=listings)


def _is_alike(trees: Sequence[Tree], others: Sequence[Tree]) -> bool:
    return [replace(tree, names=()) for tree in trees] == [replace(tree, names=()) for tree in others]


def _find_new(names: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    then = set(known)
    return tuple(name for name in names if name not in then)
