"""Looking at a destination while the source is still being read: at what the journal knows, which is nearly all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from hsm.endpoint import Endpoint, Listing, Survey, Tree
from hsm.errors import HsmError
from hsm.process.background import Ahead
from hsm.process.runner import CommandStoppedError


class EarlySurvey:
    """A survey of a destination that was begun before it was known what to ask. Used by one thread.

    Args:
        endpoint: The destination.
        trees: What is asked already.
        receipts: As for `Endpoint.survey`.
        known: As for `Endpoint.survey`.
        tell: Told the digest of the answer by the thread that asks; empty where there is none.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        trees: Sequence[Tree],
        *,
        receipts: str,
        known: str = "",
        tell: Callable[[str], object] = str,
    ) -> None:
        self._endpoint = endpoint
        self._trees = list(trees)
        self._receipts = receipts
        self._known = known
        self._tell = tell
        self._survey = Ahead(self._ask, name="hsm-early-check")

    def _ask(self) -> Survey:
        digest = ""
        try:
            survey = self._endpoint.survey(self._trees, receipts=self._receipts, known=self._known)
            digest = survey.digest
            return survey
        finally:
            self._tell(digest)

    def get_digest(self) -> str:
        """The digest of the answer, once it is there; empty where there is none. `finish` tells what went wrong."""
        try:
            return self._survey.take().digest
        except (HsmError, CommandStoppedError):
            return ""

    def finish(self, trees: Sequence[Tree], *, receipts: str) -> Survey:
        """Answer what is asked now; what was not asked then is asked in a second session.

        Args:
            trees: Differ from those of then at most in the names; what was asked for in vain is dropped.
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
        found = iter(self._endpoint.survey(missed).listings if missed else ())
        surplus = [set(then.names).difference(tree.names) for tree, then in zip(trees, self._trees, strict=True)]
        if not missed and not any(surplus):
            return survey
        listings = [
            _join(_drop(listing, names), next(found) if tree.names else None)
            for tree, names, listing in zip(rest, surplus, survey.listings, strict=True)
        ]
        return replace(survey, listings=tuple(listings))


def _drop(listing: Listing, names: Collection[str]) -> Listing:
    """A listing without what lies at or below starting points that are not asked for."""
    if not names:
        return listing
    entries = tuple(entry for entry in listing.entries if not _lies_in(entry.path, names))
    problems = tuple(problem for problem in listing.problems if not _lies_in(problem.path, names))
    return replace(listing, entries=entries, problems=problems)


def _lies_in(path: str, names: Collection[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:count]) in names for count in range(1, len(parts) + 1))


def _join(listing: Listing, more: Listing | None) -> Listing:
    if more is None:
        return listing
    entries, problems = (*listing.entries, *more.entries), (*listing.problems, *more.problems)
    return replace(listing, entries=entries, problems=problems)


def _is_alike(trees: Sequence[Tree], others: Sequence[Tree]) -> bool:
    return [replace(tree, names=()) for tree in trees] == [replace(tree, names=()) for tree in others]


def _find_new(names: Collection[str], known: Collection[str]) -> tuple[str, ...]:
    then = set(known)
    return tuple(name for name in names if name not in then)
