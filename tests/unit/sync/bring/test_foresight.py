from collections.abc import Sequence
from pathlib import Path

import pytest

from hsm.endpoint import FolderSearch, Listing, Survey, Tree
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.foresight import ForesightEndpoint

FIRST = Tree("/first")


class CountingEndpoint(LocalEndpoint):
    """A far endpoint that keeps in mind what it is asked."""

    is_remote = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[Tree]] = []

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        self.asked.append(list(trees))
        return super().survey(trees, receipts=receipts, is_lazy=is_lazy, search=search)


@pytest.fixture
def later(tmp_path: Path) -> list[Tree]:
    for name in ("runs/a", "runs/b", "sweep"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "runs" / "a" / "log").write_text("1")
    return [Tree(str(tmp_path / "sweep"), follow=True), Tree(str(tmp_path / "runs"), ("a", "b"), 2)]


def pull(
    path: Path, later: Sequence[Tree], *, words: Sequence[str] = ("s",), reads: bool = False, saves: bool = True
) -> tuple[list[list[Tree]], list[Listing]]:
    """Ask as a pull does: first for the sweep, then for one thing after another."""
    far = CountingEndpoint()
    looks = ForesightEndpoint(far, path, words)
    looks.survey([FIRST])
    if reads:
        list(looks.read_ends(["/log"], n_blocks=1))
    found = [looks.survey([tree]).listings[0] for tree in later]
    looks.end(saves=saves)
    return far.asked, found


def test_what_was_asked_one_after_another_is_asked_at_once_the_next_time(tmp_path: Path, later: list[Tree]) -> None:
    path = tmp_path / "looks.json"
    before, found = pull(path, later)
    assert before == [[FIRST], [later[0]], [later[1]]]
    (tmp_path / "runs" / "a" / "more").write_text("2")
    after, again = pull(path, later)
    assert after == [[FIRST, *later]]
    assert {entry.path for entry in again[1].entries} == {*(entry.path for entry in found[1].entries), "a/more"}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"words": ("other",)}, id="other words"),
        pytest.param({"later": [Tree("/elsewhere")]}, id="another question"),
        pytest.param({"reads": True}, id="a file was read in between"),
    ],
)
def test_an_answer_counts_for_its_own_question_alone(
    tmp_path: Path, later: list[Tree], changes: dict[str, list[Tree]]
) -> None:
    path = tmp_path / "looks.json"
    pull(path, later)
    asked, _ = pull(path, **{"later": later, **changes})
    assert asked[1:] == [[tree] for tree in changes.get("later", later)]


def test_an_answer_counts_once_and_none_after_the_end(tmp_path: Path, later: list[Tree]) -> None:
    path = tmp_path / "looks.json"
    pull(path, later)
    far = CountingEndpoint()
    looks = ForesightEndpoint(far, path, ["s"])
    looks.survey([FIRST])
    looks.survey([later[0]])
    (tmp_path / "sweep" / "new").write_text("")
    assert [entry.path for entry in looks.survey([later[0]]).listings[0].entries if entry.path] == ["new"]
    looks.end(saves=False)
    looks.survey([later[1]])
    assert far.asked == [[FIRST, *later], [later[0]], [later[1]]]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema":1,"words":["s"],"trees":[[1,2,3,4]]}'])
def test_a_record_that_is_none_costs_time_alone(tmp_path: Path, later: list[Tree], content: str) -> None:
    path = tmp_path / "looks.json"
    path.write_text(content)
    asked, _ = pull(path, later, saves=False)
    assert asked == [[FIRST], [later[0]], [later[1]]]
    assert path.read_text() == content
