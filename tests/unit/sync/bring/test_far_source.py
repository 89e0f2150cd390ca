"""The project at a target: its own id, or one of its address where it is a copy or may be one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hsm.endpoint import FileEnds, FolderSearch, Survey, Tree
from hsm.records.journal import Route
from hsm.records.receipt import Sender
from hsm.records.source_id import load_source_id
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.far_source import FarProject, load_far_id

ROUTE = Route("pull", "cluster", None, None, "/s", "/w")


class FarEndpoint(LocalEndpoint):
    """This machine, as one behind a network connection; by SFTP it tells no inodes."""

    is_remote = True

    def __init__(self, *, is_sftp: bool = False) -> None:
        super().__init__(name="hpc")
        self._is_sftp = is_sftp
        self.n_sessions = 0

    def survey(
        self, trees: Sequence[Tree], *, receipts: str = "", is_lazy: bool = False, search: FolderSearch | None = None
    ) -> Survey:
        self.n_sessions += 1
        found = super().survey(trees, receipts=receipts, is_lazy=is_lazy, search=search)
        if not self._is_sftp:
            return found
        listings = [
            replace(listing, entries=tuple(entry._replace(inode=0) for entry in listing.entries))
            for listing in found.listings
        ]
        return replace(found, listings=listings)

    def read_ends(self, paths: Sequence[str], *, n_blocks: int, head_bytes: int | None = None) -> Iterator[FileEnds]:
        self.n_sessions += 1
        yield from super().read_ends(paths, n_blocks=n_blocks, head_bytes=head_bytes)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project that has pushed, so it has an id."""
    load_source_id(tmp_path / "far")
    return tmp_path / "far"


def make_far(folder: Path, endpoint: LocalEndpoint | None = None) -> FarProject:
    return FarProject(endpoint or FarEndpoint(), ROUTE, folder=str(folder))


@pytest.mark.parametrize("endpoint", [FarEndpoint(), LocalEndpoint(name="hpc")], ids=["remote", "folder"])
def test_a_project_stands_for_its_own_id_and_a_copy_for_none_but_its_address(
    project: Path, tmp_path: Path, endpoint: LocalEndpoint
) -> None:
    mine = Sender(load_source_id(project), "cluster", str(project))
    shutil.copytree(project, tmp_path / "copy")
    assert make_far(project, endpoint).vouches(mine)
    copy = make_far(tmp_path / "copy", endpoint)
    assert not copy.vouches(mine)
    assert copy.vouches(Sender(copy.address_id, "cluster", str(tmp_path / "copy")))
    assert not make_far(project, endpoint).vouches(Sender("0" * 16, "cluster", str(project)))


def test_a_copy_stands_for_its_own_id_once_it_has_one(project: Path, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "copy")
    mine = load_source_id(tmp_path / "copy")
    assert make_far(tmp_path / "copy").vouches(Sender(mine, "h", "/p"))
    assert mine != load_source_id(project)


def test_a_copy_whose_original_lies_at_the_same_path_of_another_host_is_one(project: Path, tmp_path: Path) -> None:
    mine = load_source_id(project)
    shutil.copytree(project, tmp_path / "copy")
    shutil.rmtree(project)
    (tmp_path / "copy").rename(project)
    assert not make_far(project).is_original
    assert load_far_id(FarEndpoint(), tmp_path, ROUTE, folder=str(project), saves=False) != mine


def test_a_project_that_was_renamed_or_has_a_second_name_is_itself(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    assert make_far(tmp_path / "link").is_original
    project.rename(tmp_path / "renamed")
    assert make_far(tmp_path / "renamed").is_original


def test_where_no_inodes_are_told_nothing_is_certain(project: Path) -> None:
    assert not make_far(project, FarEndpoint(is_sftp=True)).is_original


def test_of_an_older_versions_id_the_receipt_tells_whose_it_is(tmp_path: Path) -> None:
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm/project.json").write_text(json.dumps({"schema": 1, "source_id": "0" * 16}))
    assert make_far(tmp_path).vouches(Sender("0" * 16, "h", str(tmp_path)))
    assert not make_far(tmp_path).vouches(Sender("0" * 16, "h", "/elsewhere"))
    assert load_far_id(FarEndpoint(), tmp_path, ROUTE, folder=str(tmp_path), saves=False) == "0" * 16


@pytest.mark.parametrize("content", ["", "[]", "[" * 5000, '{"source_id": "../../x"}', '{"source_id": 7}'])
def test_a_damaged_file_there_names_no_id(tmp_path: Path, content: str) -> None:
    (tmp_path / ".hsm").mkdir()
    (tmp_path / ".hsm/project.json").write_text(content)
    far = make_far(tmp_path)
    assert far.claim is None
    assert not far.is_original
    assert load_far_id(FarEndpoint(), tmp_path, ROUTE, folder=str(tmp_path), saves=False) == far.address_id


def test_the_answer_is_kept_and_asked_for_once(project: Path, tmp_path: Path) -> None:
    endpoint, here = FarEndpoint(), tmp_path / "here"
    first = load_far_id(endpoint, here, ROUTE, folder=str(project), saves=True)
    assert (first, endpoint.n_sessions) == (load_source_id(project), 2)
    assert load_far_id(endpoint, here, ROUTE, folder=str(project), saves=True) == first
    assert endpoint.n_sessions == 2
