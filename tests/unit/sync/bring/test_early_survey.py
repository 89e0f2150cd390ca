"""A survey that was begun before it was known what to ask."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hsm.endpoint import Listing, Machine, Survey, Tree
from hsm.errors import UnreachableError
from hsm.model import Entry, EntryKind
from hsm.sync.bring.early_survey import EarlySurvey

OWN = Tree("/s", ("outputs",), 0)


class Asked:
    """An endpoint at which every name is a file; it writes down what it was asked."""

    def __init__(self, error: UnreachableError | None = None) -> None:
        self.questions: list[tuple[list[Tree], str]] = []
        self._error = error

    def survey(self, trees: Sequence[Tree], *, receipts: str = "", known: str = "") -> Survey:  # noqa: ARG002
        self.questions.append((list(trees), receipts))
        if self._error is not None:
            raise self._error
        return Survey(Machine("Linux"), tuple(map(make_listing, trees)), {"r": "1"} if receipts else {}, "digest")


def make_listing(tree: Tree) -> Listing:
    return Listing(tree.base, EntryKind.FOLDER, tuple(Entry(name, EntryKind.FILE, 1, 1, 1) for name in tree.names))


def make_trees(*names: str, base: str = "/w") -> list[Tree]:
    return [OWN, Tree(base, names)]


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
    survey = EarlySurvey(endpoint, make_trees(*early), receipts="/r")  # type: ignore[arg-type]
    answer = survey.finish(make_trees(*now), receipts="/r")
    found = {entry.path for entry in answer.listings[1].entries}
    assert found == set(now)
    assert (answer.listings[0], answer.receipts) == (make_listing(OWN), {"r": "1"})
    asked = [tuple(trees) for trees, _ in endpoint.questions[1:]]
    assert asked == ([later_question] if later_question else [])


@pytest.mark.parametrize(
    ("trees", "receipts"),
    [
        pytest.param(make_trees("a", base="/elsewhere"), "/r", id="another folder"),
        pytest.param(make_trees("a")[1:], "/r", id="fewer folders"),
        pytest.param(make_trees("a"), "/other", id="other receipts"),
        pytest.param([OWN, Tree("/w", ("a",), 2)], "/r", id="another depth"),
    ],
)
def test_another_question_is_asked_anew(trees: list[Tree], receipts: str) -> None:
    endpoint = Asked()
    survey = EarlySurvey(endpoint, make_trees("a"), receipts="/r")  # type: ignore[arg-type]
    answer = survey.finish(trees, receipts=receipts)
    assert endpoint.questions[1:] == [(trees, receipts)]
    assert answer.listings == tuple(map(make_listing, trees))


def test_the_digest_is_there_before_anything_else_is_asked() -> None:
    endpoint = Asked()
    told: list[str] = []
    survey = EarlySurvey(endpoint, make_trees("a"), receipts="", tell=told.append)  # type: ignore[arg-type]
    assert survey.get_digest() == "digest"
    assert (len(endpoint.questions), told) == (1, ["digest"])


def test_what_lies_in_runs_that_are_not_asked_for_is_dropped() -> None:
    names = ("run-1", "run-1/files", "run-10", "run-10/files")
    survey = EarlySurvey(Asked(), [OWN, Tree("/w", names)], receipts="")  # type: ignore[arg-type]
    answer = survey.finish([OWN, Tree("/w", names[2:])], receipts="")
    assert [entry.path for entry in answer.listings[1].entries] == ["run-10", "run-10/files"]


def test_what_went_wrong_early_is_told_when_it_matters() -> None:
    told: list[str] = []
    endpoint = Asked(UnreachableError("gone"))
    survey = EarlySurvey(endpoint, make_trees("a"), receipts="", tell=told.append)  # type: ignore[arg-type]
    assert (survey.get_digest(), told) == ("", [""])
    with pytest.raises(UnreachableError, match="gone"):
        survey.finish(make_trees("a"), receipts="")
