"""The search for wandb folders on this machine, beside its contract: what it touches, and what it may not read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hsm.endpoint import CutReason, CutSearch, FolderSearch, FoundFolders, SearchBounds
from hsm.remote.folder_search.rules import FolderWalk

SEARCH = """
import sys
from hsm.endpoint import FolderSearch
from hsm.remote.folder_search.here import search_folders
found = search_folders(FolderSearch(sys.argv[1]))
print(*found.wandb, *(f"{cut.path}:{cut.reason.value}" for cut in found.cut), sep="\\n")
"""


def run_search(folder: Path, *prefix: str) -> list[str]:
    command = [*prefix, sys.executable, "-c", SEARCH, str(folder)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\n")[:-1]


def test_no_file_is_touched_and_a_large_folder_is_left_half_read(tmp_path: Path) -> None:
    if shutil.which("strace") is None or subprocess.run(["strace", "-o/dev/null", "true"], check=False).returncode:
        pytest.skip("strace does not work here")
    project, traced = tmp_path / "project", tmp_path / "traced"
    for folder in ("data/images", "venv/lib/python3/site-packages/torch", "part/wandb/run-1"):
        (project / folder).mkdir(parents=True)
    names = ["venv/pyvenv.cfg", "part/train.py", "part/wandb/run-1/log", "venv/lib/python3/site-packages/torch/x.py"]
    for name in [*names, *(f"data/images/{number}.png" for number in range(6000))]:
        (project / name).touch()
    found = run_search(project, "strace", "-f", "-y", "-s300", "-e", "trace=file,desc", "-o", str(traced))
    assert found == ["part/wandb", "data/images:too many entries"]
    lines = [line for line in traced.read_text("utf-8", "replace").splitlines() if str(project) in line]
    about = {line.partition("(")[0].split()[-1] for line in lines}
    assert "getdents64" in about
    words = ("stat", "access", "readlink")
    asked = [line for line in lines if any(word in line.partition("(")[0] for word in words)]
    # Folders alone, each by its open descriptor; the base by its path.
    assert not [line for line in asked if ".png" in line or ".py" in line or "/log" in line or "pyvenv" in line]
    assert not [line for line in lines if "site-packages" in line or "run-1" in line]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # whom no permission binds
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        without = "-dac_override,-dac_read_search"
        prefix = ("setpriv", f"--bounding-set={without}", f"--inh-caps={without}")
    for folder in ("part/wandb", "secret/x/wandb"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "secret").chmod(0)
    try:
        assert run_search(tmp_path, *prefix) == ["part/wandb", "secret:cannot be read"]
    finally:
        (tmp_path / "secret").chmod(0o700)


def test_of_very_many_folders_only_those_that_may_be_read_are_kept() -> None:
    walk = FolderWalk(FolderSearch("/p", bounds=SearchBounds(n_folders=3, n_entries=10**6, seconds=60)), "/p")
    levels = walk.iter_levels()
    assert next(levels) == [""]
    content = walk.make_content()
    content.folders = [f"{number:06}" for number in range(100_000)]
    walk.add("", content)
    assert next(levels) == ["000000", "000001"]
    assert next(levels, None) is None
    assert walk.make_found() == FoundFolders("/p", cut=(CutSearch("000002", CutReason.FOLDERS),))


def test_what_lies_below_a_crowd_belongs_to_it() -> None:
    walk = FolderWalk(FolderSearch("/p", bounds=SearchBounds(seconds=60)), "/p")
    crowd = [f"{number:03}" for number in range(101)]
    holds = {"": ["a", "b"], "a": crowd, "b": ["c"], "b/c": crowd, "a/007": ["x"]}
    levels = []
    for level in walk.iter_levels():
        levels.append(level)
        for path in level:
            content = walk.make_content()
            content.folders = holds.get(path, [])
            walk.add(path, content)
    below = [f"b/c/{name}" for name in crowd]
    assert levels == [[""], ["a", "b"], ["b/c"], [f"a/{name}" for name in crowd], ["a/007/x", *below]]


def test_the_time_is_over_once() -> None:
    walk = FolderWalk(FolderSearch("/p", bounds=SearchBounds(seconds=0)), "/p")
    assert list(walk.iter_levels()) == [[""]]
    assert walk.is_late()
    for path in ("a", "b"):
        walk.cut(path, CutReason.TIME)
    assert walk.make_found().cut == (CutSearch("a", CutReason.TIME),)
