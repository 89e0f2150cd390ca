"""The survey of a destination, and one that began before it was known what to ask."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hsm.endpoint import FolderSearch, LazyListings, Listing, Machine, Survey, Tree
from hsm.errors import UnreachableError
from hsm.model import Entry, EntryKind, Root
from hsm.sync.bring.survey_ahead import SurveyAhead, make_survey_question

ROOTS = {Root.SWEEPS: "/s", Root.WANDB: "/w"}
OWN = Tree("/s", ("outputs", "outputs/sweep_1", "outputs/sweep_1/.hsm-sync"), 0)
RECEIPTS = "/s/outputs/sweep_1/.hsm-sync"


class Asked:
    """An endpoint at which every name is a file; it writes down what it was asked."""

    name = "desktop"
    is_remote = True

    def __init__(self, error: UnreachableError | None = None) -> None:
        self.questions: list[tuple[list[Tree], str]] = []
        self.n_read = 0
        self._error = error

    def survey(
        self,
        trees: Sequence[Tree],
        *,
        receipts: str = "",
        is_lazy: bool = False,
        search: FolderSearch | None = None,  # noqa: ARG002
    ) -> Survey:
        self.questions.append((list(trees), receipts))
        if self._error is not None:
            raise self._error

        def read() -> tuple[Listing, ...]:
            self.n_read += 1
            return tuple(map(make_listing, trees))

        listings = LazyListings(read, len(trees))
        found = {"r": "1"} if receipts else {}
        return Survey(Machine("Linux"), listings if is_lazy else tuple(listings), found, "digest")


def make_listing(tree: Tree) -> Listing:
    return Listing(tree.base, EntryKind.FOLDER, tuple(Entry(name, EntryKind.FILE, 1, 1, 1) for name in tree.names))


def make_trees(*names: str, base: str = "/w") -> list[Tree]:
    return [OWN, Tree(base, names)]


def begin(endpoint: Asked, *runs: str, **options: object) -> SurveyAhead:
    """Begin a survey of runs alone."""
    question = make_survey_question(ROOTS, "sweep_1", runs, roots=(Root.WANDB,), max_depth=1)
    return SurveyAhead(endpoint, question, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("early", "now", "later_question"),
    [
        pytest.param(["a", "b"], ["a", "b"], None, id="as expected"),
        pytest.param(["a", "b"], ["b"], None, id="less than expected"),
        pytest.param(["a"], ["a", "b", "c"], (Tree("/w", ("b", "c")),), id="new runs"),
    ],
)
def test_only_what_was_not_asked_is_asked_again(
    early: list[str], now: list[str], later_question: tuple[Tree, ...] | None
) -> None:
    endpoint = Asked()
    answer = begin(endpoint, *early).finish(make_trees(*now), receipts=RECEIPTS)
    found = {entry.path for entry in answer.listings[1].entries}
    assert found == set(now)
    assert (answer.listings[0], answer.receipts) == (make_listing(OWN), {"r": "1"})
    asked = [tuple(trees) for trees, _ in endpoint.questions[1:]]
    assert asked == ([later_question] if later_question else [])


@pytest.mark.parametrize(
    ("trees", "receipts"),
    [
        pytest.param(make_trees("a", base="/elsewhere"), RECEIPTS, id="another folder"),
        pytest.param(make_trees("a")[1:], RECEIPTS, id="fewer folders"),
        pytest.param(make_trees("a"), "/other", id="other receipts"),
        pytest.param([OWN, Tree("/w", ("a",), 2)], RECEIPTS, id="another depth"),
    ],
)
def test_another_question_is_asked_anew(trees: list[Tree], receipts: str) -> None:
    endpoint = Asked()
    answer = begin(endpoint, "a").finish(trees, receipts=receipts)
    assert endpoint.questions[1:] == [(trees, receipts)]
    assert tuple(answer.listings) == tuple(map(make_listing, trees))


@pytest.mark.parametrize(("will_do", "n_read"), [(True, 0), (False, 1)])
def test_the_listings_are_read_unless_their_digest_will_do(n_read: int, *, will_do: bool) -> None:
    endpoint = Asked()
    heard: list[str] = []

    def hear(digest: str) -> bool:
        heard.append(digest)
        return will_do

    survey = begin(endpoint, "a", hear=hear)
    assert survey.get_digest() == "digest"
    assert (len(endpoint.questions), endpoint.n_read, heard) == (1, n_read, ["digest"])


def test_what_lies_in_runs_that_are_not_asked_for_is_dropped() -> None:
    names = ("run-1", "run-1/files", "run-10", "run-10/files")
    answer = begin(Asked(), *names).finish([OWN, Tree("/w", names[2:])], receipts=RECEIPTS)
    assert [entry.path for entry in answer.listings[1].entries] == ["run-10", "run-10/files"]


def test_what_went_wrong_early_is_told_when_it_matters() -> None:
    heard: list[str] = []

    def hear(digest: str) -> bool:
        heard.append(digest)
        return True

    survey = begin(Asked(UnreachableError("gone")), "a", hear=hear)
    assert (survey.get_digest(), heard) == ("", [""])
    with pytest.raises(UnreachableError, match="gone"):
        survey.finish(make_trees("a"), receipts=RECEIPTS)
