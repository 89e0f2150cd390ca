"""A clean and the file systems below it: union and bind mounts, and a disk that does not take what it was given.

What is seen at the target is then the project itself, one target seen twice, or memory alone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.clean_project import FINISHED, clean, make_clean_project, read_tree, send
from tests.e2e.disks import check_can_mount
from tests.e2e.synthetic import write_file

if TYPE_CHECKING:
    from tests.e2e.conftest import Project

RUN = FINISHED[0]


class Mounts:
    """Mounts things, and takes them away again."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def mount(self, place: Path, *words: object) -> None:
        """Mount something at a place, which is made; skip the test where that cannot be done here."""
        place.mkdir(parents=True, exist_ok=True)
        done = run("mount", *words, place)
        if done.returncode:
            pytest.skip(f"mount {words[0]} {words[1]}: {done.stderr.decode(errors='replace').strip()}")
        self._stack.callback(run, "umount", "--lazy", place)

    def mount_over(self, place: Path, lower: Path, scratch: Path) -> None:
        """Mount a union of a folder and of an empty one, into which everything is written."""
        self.mount(scratch, "-t", "tmpfs", "hsm-test")
        for name in ("upper", "work"):
            (scratch / name).mkdir()
        options = f"lowerdir={lower},upperdir={scratch}/upper,workdir={scratch}/work"
        self.mount(place, "-t", "overlay", "hsm-test", "-o", options)


def run(*argv: object) -> subprocess.CompletedProcess[bytes]:
    words: Sequence[str] = [str(word) for word in argv]
    return subprocess.run(words, check=False, timeout=20, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    check_can_mount(tmp_path / "try")
    with ExitStack() as stack:
        yield Mounts(stack)


def read_results(project: Project) -> dict[str, Any]:
    return {name: each for name, each in read_tree(project.folder).items() if not name.startswith(".hsm")}


@pytest.mark.parametrize("how", ["union", "bind"])
def test_a_target_that_shows_the_project_is_no_copy(tmp_path: Path, mounts: Mounts, how: str) -> None:
    """Its folders become the project after the last sync, so that the journal knows everything as complete."""
    project = make_clean_project(tmp_path)
    send(project)
    before = read_results(project)
    if how == "union":
        mounts.mount_over(tmp_path / "nas", project.folder, tmp_path / "scratch")
    else:
        mounts.mount(tmp_path / "nas", "--bind", project.folder)
    found = clean(project)
    assert (found.code, found.removed, found.failed_targets) == (1, set(), {"nas": "same_place"})
    assert read_results(project) == before
    refused = project.hsm("sync", "to", SWEEP)
    assert (refused.returncode, "is this project itself" in refused.stdout) == (1, True)
    assert [path for path in read_tree(project.folder) if ".hsm-mark-" in path] == []


@pytest.mark.parametrize("how", ["union", "a part of one run"])
def test_a_target_that_shows_another_one_is_no_second_copy(tmp_path: Path, mounts: Mounts, how: str) -> None:
    project = make_clean_project(tmp_path, targets=("nas", "usb"))
    send(project, "nas")
    if how == "union":
        mounts.mount_over(tmp_path / "usb", tmp_path / "nas", tmp_path / "scratch")
        send(project, "usb")
    else:
        send(project, "usb")
        mounts.mount(tmp_path / "usb/wandb" / RUN / "files", "--bind", tmp_path / "nas/wandb" / RUN / "files")
    found = clean(project, "--copies", "2", "--wandb-only")
    assert RUN not in found.removed
    assert found.removed == (set() if how == "union" else {*FINISHED} - {RUN})
    assert "1 of 2 copies" in found.say(RUN)


def test_what_is_mounted_below_a_run_keeps_it(tmp_path: Path, mounts: Mounts) -> None:
    """A bind mount has the device of the disk around it, so that nothing in the run itself tells."""
    project = make_clean_project(tmp_path)
    write_file(tmp_path / "data/precious.bin", b"mine")
    mounts.mount(project.folder / "wandb" / RUN / "files/data", "--bind", tmp_path / "data")
    send(project)
    found = clean(project, "--wandb-only")
    assert "is mounted on its own" in found.say(RUN)
    assert (tmp_path / "data/precious.bin").read_bytes() == b"mine"


@pytest.mark.slow
def test_what_the_disk_there_does_not_take_is_no_copy(tmp_path: Path, mounts: Mounts, require_program: Any) -> None:
    """A thin volume that ran full: the file system has room, the disk below has none, and only a flush can tell."""
    require_program("mkfs.ext4")
    project = make_clean_project(tmp_path)
    write_file(project.folder / "wandb" / RUN / "files/model.bin", bytes(range(256)) * 4096 * 16)
    back, image = tmp_path / "back", tmp_path / "back/image"
    mounts.mount(back, "-t", "tmpfs", "-o", "size=8m", "hsm-test")
    run("truncate", "-s", "100M", image)
    made = run("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", image)
    assert made.returncode == 0, made.stderr
    mounts.mount(tmp_path / "nas", "-o", "loop,errors=continue", image)
    send(project)
    found = clean(project, "--wandb-only")
    assert RUN not in found.removed
    lacks = {lack["path"]: lack["why"] for lack in found.units[RUN]["lacks"]["nas"]}
    assert lacks["files/model.bin"].startswith("cannot be written to the disk there: ")
    assert (project.folder / "wandb" / RUN / "files/model.bin").stat().st_size == 256 * 4096 * 16
