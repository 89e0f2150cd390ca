"""Paths below `.hsm/`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.project_folder import ProjectFolder

FOLDER = ProjectFolder(Path("/p"))

PATHS = {
    "config": (FOLDER.config, "sync_config.yaml"),
    "hosts": (FOLDER.hosts, "hosts.yaml"),
    "ignore": (FOLDER.ignore, ".gitignore"),
    "id": (FOLDER.id, "project.json"),
    "runs here": (FOLDER.runs_cache(), "cache/runs.json"),
    "runs at a target": (FOLDER.runs_cache("hpc"), "cache/runs-hpc.json"),
    "journal": (FOLDER.journal("hpc", "s.v1"), "sync/hpc/s.v1.json"),
    "lock": (FOLDER.lock("hpc", "s.v1"), "sync/hpc/s.v1.lock"),
    "origins": (FOLDER.origins("hpc", "s.v1"), "sync/hpc/pulled/s.v1.json"),
    "far id": (FOLDER.far_id("hpc"), "sync/hpc/pulled/.source.json"),
    "cleaned": (FOLDER.cleaned("s.v1"), "cleaned/s.v1"),
}


@pytest.mark.parametrize(("path", "expected"), PATHS.values(), ids=PATHS)
def test_everything_lies_below_one_folder(path: Path, expected: str) -> None:
    assert path == Path("/p/.hsm") / expected


@given(st.binary(min_size=1, max_size=255).map(lambda name: os.fsdecode(name.translate(None, b"/\0"))))
def test_every_sweep_has_a_file_of_its_own_with_room_for_what_lies_beside_it(sweep: str) -> None:
    path = FOLDER.journal("desktop", sweep)
    assert path.parent == Path("/p/.hsm/sync/desktop")
    assert len(os.fsencode(path.name)) <= 205
    if len(os.fsencode(sweep)) <= 200:
        assert path.name == f"{sweep}.json"


def test_long_names_that_begin_alike_are_told_apart() -> None:
    paths = {FOLDER.journal("t", "s" * 200 + end) for end in ("", "x", "y", "ü\udcff")}
    assert len(paths) == 4


def test_targets_are_told_by_their_folders(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    assert folder.list_targets() == []
    for name in ("b", "a"):
        folder.target(name).mkdir(parents=True)
    folder.target("file").touch()
    assert folder.list_targets() == ["a", "b"]
