"""Wandb folders that are remembered, named by the configuration, and what is said of those that were left."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hsm.discover.kinds.wandb_folders import list_search_notes, name_folders, recall_folders, remember_folders
from hsm.endpoint import CutReason, CutSearch, FolderSearch, FoundFolders, SearchBounds, Survey, Tree
from hsm.remote.local import LocalEndpoint

MINUTE_NS = 60 * 10**9


class CountingEndpoint(LocalEndpoint):
    """This machine, which counts the searches."""

    def __init__(self) -> None:
        super().__init__()
        self.n_searches = 0

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        self.n_searches += search is not None
        return super().survey(trees, receipts=receipts, is_lazy=is_lazy, search=search)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("part/wandb", "odd\udcff\n/wandb", "multirun/1", "outputs/1/.hydra", "data"):
        (tmp_path / "project" / name).mkdir(parents=True)
    (tmp_path / "project/multirun/1/multirun.yaml").touch()
    for number in range(9):
        (tmp_path / f"project/data/{number}").touch()
    return tmp_path / "project"


@pytest.fixture
def cache(project: Path) -> Path:
    return project / ".hsm/cache/folders.json"


def make_search(project: Path, *left: str, n_entries: int = 5000) -> FolderSearch:
    return FolderSearch(str(project), left, SearchBounds(n_entries=n_entries, seconds=60))


def find_wandb_folders(
    endpoint: CountingEndpoint, search: FolderSearch, *, cache: Path, fresh: bool = False, named: Sequence[str] = ()
) -> FoundFolders:
    """As `hsm.sync.places` does it."""
    found = None if fresh else recall_folders(cache, search)
    if found is None:
        found = endpoint.survey([], search=search).found
        assert found is not None
        remember_folders(cache, search, found)
    return name_folders(found, named)


def change(cache: Path, **values: Any) -> None:
    document = {**json.loads(cache.read_text()), **values}
    cache.write_text(json.dumps(document))


def test_what_was_found_is_remembered_as_it_was(project: Path, cache: Path) -> None:
    endpoint, search = CountingEndpoint(), make_search(project, "/x/b", "/x/a", n_entries=8)
    first = find_wandb_folders(endpoint, search, cache=cache)
    assert first.wandb
    assert first.cut
    (project / "new/wandb").mkdir(parents=True)
    assert find_wandb_folders(endpoint, search, cache=cache) == first
    assert endpoint.n_searches == 1
    assert find_wandb_folders(endpoint, search, cache=cache, fresh=True).wandb != first.wandb
    assert "new/wandb" in find_wandb_folders(endpoint, search, cache=cache).wandb
    assert endpoint.n_searches == 2


@pytest.mark.parametrize(
    ("age_ns", "n_searches"),
    [
        pytest.param(9 * MINUTE_NS, 1, id="younger than ten minutes"),
        pytest.param(10 * MINUTE_NS, 2, id="older"),
        pytest.param(-MINUTE_NS, 2, id="the clock was set back"),
    ],
)
def test_it_is_remembered_for_ten_minutes(project: Path, cache: Path, age_ns: int, n_searches: int) -> None:
    endpoint = CountingEndpoint()
    find_wandb_folders(endpoint, make_search(project), cache=cache)
    change(cache, time_ns=time.time_ns() - age_ns)
    find_wandb_folders(endpoint, make_search(project), cache=cache)
    assert endpoint.n_searches == n_searches


def test_another_search_is_not_answered_by_it(project: Path, cache: Path) -> None:
    endpoint = CountingEndpoint()
    find_wandb_folders(endpoint, make_search(project), cache=cache)
    assert "part/wandb" not in find_wandb_folders(endpoint, make_search(project, f"{project}/part"), cache=cache).wandb
    assert find_wandb_folders(endpoint, make_search(project / "part"), cache=cache).wandb == ("wandb",)
    assert endpoint.n_searches == 3


@pytest.mark.parametrize(
    "values",
    [
        {"wandb": ["../other/wandb"]},
        {"wandb": ["/etc"]},
        {"jobs": [3]},
        {"multiruns": None},
        {"cut": [["data", "no such reason"]]},
        {"cut": [["data"]]},
        {"time_ns": "yesterday"},
        {"time_ns": float("inf")},
        {"schema": 99},
        {"search": []},
    ],
)
def test_what_is_damaged_is_searched_anew(project: Path, cache: Path, values: dict[str, Any]) -> None:
    endpoint = CountingEndpoint()
    first = find_wandb_folders(endpoint, make_search(project), cache=cache)
    change(cache, **values)
    assert find_wandb_folders(endpoint, make_search(project), cache=cache) == first
    cache.write_text("{")
    assert find_wandb_folders(endpoint, make_search(project), cache=cache) == first
    assert endpoint.n_searches == 3


def test_where_nothing_can_be_remembered_it_is_searched_each_time(project: Path) -> None:
    endpoint = CountingEndpoint()
    cache = project / "data/0/folders.json"  # below a file
    assert find_wandb_folders(endpoint, make_search(project), cache=cache).wandb
    assert find_wandb_folders(endpoint, make_search(project), cache=cache).wandb
    assert endpoint.n_searches == 2


def test_named_folders_take_the_place_of_those_that_were_found(project: Path, cache: Path) -> None:
    named = ("runs", f"{project}/part/wandb", "/scratch/wandb")
    endpoint, search = CountingEndpoint(), make_search(project, n_entries=8)
    found = find_wandb_folders(endpoint, search, cache=cache, named=named)
    assert found.wandb == ("/scratch/wandb", "part/wandb", "runs")
    assert [found.get_path(name) for name in (*found.wandb, "")] == [
        "/scratch/wandb",
        f"{project}/part/wandb",
        f"{project}/runs",
        str(project),
    ]
    assert (found.multiruns, found.jobs, found.cut) == (("multirun/1",), ("outputs/1",), ())
    assert find_wandb_folders(endpoint, search, cache=cache).cut  # what is remembered is what was found
    assert endpoint.n_searches == 1
    assert name_folders(found, ()) == found


def test_one_note_names_what_was_left() -> None:
    cut = (
        CutSearch("", CutReason.UNREADABLE),
        CutSearch("data/set", CutReason.ENTRIES),
        CutSearch("x", CutReason.TIME),
    )
    cut += (CutSearch("y", CutReason.FOLDERS), *(CutSearch(f"z/{n}", CutReason.UNREADABLE) for n in range(3)))
    (note,) = list_search_notes(FoundFolders("/p", cut=cut), bounds=SearchBounds())
    assert (note.path, note.kind, note.is_failure) == ("", "search_cut", False)
    assert note.message == (
        "Not searched for wandb folders to the end: the project itself (cannot be read), data/set (more than 5,000 "
        "entries), x (the search ended there, after 2 seconds), y (the search ended before it, after 2,000 folders), "
        "z/0 (cannot be read) and 2 more."
    )
    assert "source.wandb_folders" in note.hint
    assert list_search_notes(FoundFolders("/p"), bounds=SearchBounds()) == ()
