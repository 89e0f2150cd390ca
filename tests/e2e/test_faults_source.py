"""Sources that do not hold still, or are not there: never "sent" with something else than the source has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import (
    SWEEP,
    Said,
    assert_all_arrived,
    assert_end,
    assert_nothing_left,
    list_arrived,
    list_runs,
    sync,
)
from tests.e2e.permissions import locked_up
from tests.e2e.proxy import LinkProxy
from tests.e2e.synthetic import T, write_file, write_project
from tests.marks import parametrize

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeProject, Project

MB = 1_000_000
SECOND = 10**9
N_TORN_BYTES = 20 * MB


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """A project with three small runs."""
    made = make_project(options={"latest_only": False, "compress": "none"})
    write_project(made.folder)
    return made


@pytest.fixture
def link(project: Project) -> Iterator[LinkProxy]:
    """A slow link between the project and its target."""
    with LinkProxy(project.sshd.port, bytes_per_second=8 * MB) as proxy:
        ssh = project.read_config()["sync_targets"][project.target]["ssh"]
        options = {**ssh["options"], "HostKeyAlias": f"[{project.sshd.host}]:{project.sshd.port}"}
        project.set_target(port=proxy.port, ssh={**ssh, "options": options})
        yield proxy


def find_outcome(said: Said, path: str) -> str:
    """What became of one file of the plan."""
    (outcome,) = [item["outcome"] for item in said.target["plan"] if item["path"] == path]
    return str(outcome)


def list_kinds(said: Said) -> list[str]:
    return sorted({problem["kind"] for problem in said.target["problems"]})


# Case 16.


@dataclass
class Rewriter:
    """A process that rewrites a file in place: always whole generations of one byte, one after the other."""

    path: Path

    def __post_init__(self) -> None:
        program = (
            "import itertools, sys, time\n"
            "stop = []\n"
            "import threading; threading.Thread(target=lambda: stop.append(sys.stdin.read()), daemon=True).start()\n"
            "stream = open(sys.argv[1], 'r+b', buffering=0)\n"
            "for number in itertools.count(1):\n"
            "    stream.seek(0)\n"
            "    for _ in range(int(sys.argv[2]) // 1_000_000):\n"
            "        stream.write(bytes([number % 255 + 1]) * 1_000_000)\n"
            "        time.sleep(0.01)\n"
            "    if number == 1: print(flush=True)\n"
            "    if stop: break\n"
        )
        argv = [sys.executable, "-c", program, str(self.path), str(N_TORN_BYTES)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def rest(self) -> None:
        """Let it end with a whole generation."""
        self._process.communicate(timeout=30)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def rewriter(project: Project) -> Iterator[Rewriter]:
    path = write_file(list_runs(project)[0] / "files/checkpoint.bin", b"\0" * N_TORN_BYTES)
    started = Rewriter(path)
    yield started
    started.kill()


@pytest.mark.slow
def test_a_file_that_is_rewritten_all_the_time_is_unsettled_until_it_rests(
    project: Project, rewriter: Rewriter
) -> None:
    name = f"{list_runs(project)[0].name}/files/checkpoint.bin"
    said = sync(project, "-v")
    assert_end(said, "partial", 1)
    assert find_outcome(said, name) == "unsettled"
    assert (said.target["files"]["unsettled"], list_kinds(said)) == (1, ["unsettled"])
    assert said.target["runs"]["complete"] == 2
    assert_nothing_left(project)
    rewriter.rest()
    assert_end(sync(project), "done", 0)
    assert len(set((project.target_wandb / name).read_bytes())) == 1
    assert_all_arrived(project)


@pytest.mark.slow
def test_a_file_that_comes_to_rest_meanwhile_is_right_in_the_end(
    project: Project, rewriter: Rewriter, link: LinkProxy
) -> None:
    link.at_bytes(10 * MB, rewriter.rest)
    said = sync(project, "-v")
    assert_end(said, "done", 0)
    assert_all_arrived(project)


# Case 17.


def grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(os.urandom(MB))


def truncate(path: Path) -> None:
    os.truncate(path, MB)


def replace(path: Path) -> None:
    """Put another file of the same size and time in its place."""
    beside = write_file(path.with_name("beside"), os.urandom(path.stat().st_size))
    beside.replace(path)


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.slow
@parametrize("change", [grow, truncate, replace], quick=[replace])
def test_a_file_that_changes_while_it_is_sent_is_sent_again(
    project: Project, link: LinkProxy, change: Callable[[Path], None]
) -> None:
    path = write_file(list_runs(project)[1] / "files/model.bin", os.urandom(12 * MB))
    link.at_bytes(5 * MB, lambda: change(path))
    said = sync(project, "-v")
    assert_end(said, "done", 0)
    assert_all_arrived(project)
    assert_end(sync(project), "nothing_to_do", 0)


@pytest.mark.slow
@pytest.mark.parametrize("vanish", [Path.unlink, become_folder])
def test_a_file_that_vanishes_while_it_is_sent_is_named(
    project: Project, link: LinkProxy, vanish: Callable[[Path], None]
) -> None:
    path = write_file(list_runs(project)[1] / "files/model.bin", os.urandom(12 * MB))
    last = write_file(list_runs(project)[2] / "files/last.bin", os.urandom(2 * MB))
    link.at_bytes(5 * MB, lambda: vanish(path))
    said = sync(project, "-v")
    assert_end(said, "partial", 1)
    (problem,) = said.target["problems"]
    name = f"{list_runs(project)[1].name}/files/model.bin"
    assert (problem["path"], problem["kind"]) == (name, "vanished")
    assert said.target["runs"]["complete"] == 2
    assert (project.target_wandb / list_runs(project)[2].name / "files/last.bin").read_bytes() == last.read_bytes()
    assert sync(project).target["exit_code"] == 0
    assert_nothing_left(project)


@pytest.mark.slow
def test_a_run_folder_that_vanishes_while_it_is_sent_ends_nothing_else(project: Project, link: LinkProxy) -> None:
    run = list_runs(project)[1]
    write_file(run / "files/model.bin", os.urandom(12 * MB))
    link.at_bytes(5 * MB, lambda: shutil.rmtree(run))
    said = sync(project)
    assert_end(said, "partial", 1)
    assert list_kinds(said) == ["vanished"]
    assert said.target["runs"]["complete"] == 2
    assert_nothing_left(project)


# Case 18.


def test_a_log_that_got_shorter_at_the_source_is_kept_at_the_target(project: Project) -> None:
    sync(project)
    log = next(list_runs(project)[0].glob("*.wandb"))
    theirs = project.target_wandb / list_runs(project)[0].name / log.name
    before = theirs.read_bytes()
    write_file(log, before[:-9], mtime_ns=T + 60 * SECOND)
    said = sync(project)
    assert_end(said, "partial", 1)
    (problem,) = said.target["problems"]
    assert problem["kind"] == "conflict"
    assert f"longer ({len(before)} bytes, here {len(before) - 9})" in problem["message"]
    assert "--overwrite" in problem["hint"]
    assert theirs.read_bytes() == before
    assert said.target["runs"]["complete"] == 2
    forced = sync(project, "--overwrite")
    assert_end(forced, "done", 0)
    assert theirs.read_bytes() == log.read_bytes()


# Case 19.


@pytest.mark.slow
@pytest.mark.parametrize("other_ns", [T - T % SECOND, T + 1])
def test_same_size_and_second_but_other_nanoseconds_are_sent(project: Project, other_ns: int) -> None:
    path = write_file(list_runs(project)[0] / "files/state.bin", b"old", mtime_ns=T)
    sync(project)
    write_file(path, b"new", mtime_ns=other_ns)
    args = ["--overwrite"] if other_ns < T else []
    said = sync(project, *args)
    assert_end(said, "done", 0)
    assert said.n_sent == 1
    assert_all_arrived(project)


@pytest.mark.slow
def test_an_older_time_within_the_same_second_is_a_conflict_not_the_same(project: Project) -> None:
    path = write_file(list_runs(project)[0] / "files/state.bin", b"old", mtime_ns=T)
    sync(project)
    write_file(path, b"new", mtime_ns=T - 1)
    said = sync(project)
    assert (said.end, list_kinds(said)) == (("partial", 1), ["conflict"])


@pytest.mark.slow
def test_a_change_is_seen_where_the_target_has_a_whole_second(project: Project) -> None:
    """The old time is the new one cut to seconds, as a coarse file system there would show it."""
    path = write_file(list_runs(project)[0] / "files/state.bin", b"old", mtime_ns=T - T % SECOND)
    sync(project)
    write_file(path, b"new", mtime_ns=T)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


# Case 22.


def move_away(path: Path) -> None:
    path.rename(path.with_name(f"away-{path.name}"))


def unmount(path: Path) -> None:
    """What a mount point shows when nothing is mounted on it."""
    move_away(path)
    path.mkdir()


@parametrize(
    ("folder", "vanish"),
    [("wandb", move_away), ("wandb", unmount), (f"sweeps/outputs/{SWEEP}", unmount)],
    quick=[("wandb", unmount)],
)
def test_a_source_that_lost_a_part_is_refused_and_the_target_stays(
    project: Project, folder: str, vanish: Callable[[Path], None]
) -> None:
    sync(project)
    before = {name: path.stat().st_ino for name, path in list_arrived(project).items()}
    n_runs = len(list_runs(project))
    vanish(project.folder / folder)
    said = sync(project)
    assert_end(said, "refused", 12, "source-empty")
    assert "--allow source-empty" in said.text
    assert {name: path.stat().st_ino for name, path in list_arrived(project).items()} == before
    assert_nothing_left(project)
    allowed = sync(project, "--allow", "source-empty")
    assert_end(allowed, "nothing_to_do", 0)
    assert {name: path.stat().st_ino for name, path in list_arrived(project).items()} == before
    assert n_runs == 3


@pytest.mark.slow
@pytest.mark.parametrize("vanish", [move_away, unmount])
@pytest.mark.parametrize("folders", [("wandb", "sweeps"), ("sweeps",)], ids=" and ".join)
def test_a_source_that_lost_its_sweeps_is_refused(
    project: Project, folders: tuple[str, ...], vanish: Callable[[Path], None]
) -> None:
    sync(project)
    before = {name: path.stat().st_ino for name, path in list_arrived(project).items()}
    for folder in folders:
        vanish(project.folder / folder)
    assert_end(sync(project), "refused", 12, "source-empty")
    assert {name: path.stat().st_ino for name, path in list_arrived(project).items()} == before


@pytest.mark.slow
@pytest.mark.usefixtures("as_a_user")
def test_a_file_that_may_not_be_read_is_named_and_the_rest_arrives(project: Project) -> None:
    run = list_runs(project)[0]
    with locked_up(run / "files/config.yaml"):
        said = sync(project)
        assert_end(said, "partial", 1)
        (problem,) = said.target["problems"]
        assert (problem["path"], problem["kind"]) == (f"{run.name}/files/config.yaml", "no_permission")
        assert said.target["files"]["failed"] == 1
        assert said.target["runs"]["complete"] == 2
        assert_nothing_left(project)
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


@pytest.mark.usefixtures("as_a_user")
@parametrize("place", ["wandb", "wandb/RUN", "wandb/RUN/files", f"sweeps/outputs/{SWEEP}"], quick=["wandb/RUN"])
def test_a_folder_that_may_not_be_read_is_named_and_nothing_counts_as_gone(project: Project, place: str) -> None:
    sync(project)
    before = {name: path.stat().st_ino for name, path in list_arrived(project).items()}
    with locked_up(project.folder / place.replace("RUN", list_runs(project)[0].name)):
        said = sync(project)
        assert said.target["exit_code"] in (1, 12)
        assert said.kind == "source-empty" or "unreadable" in list_kinds(said), said.why
        assert {name: path.stat().st_ino for name, path in list_arrived(project).items()} == before
        assert_nothing_left(project)
    assert_end(sync(project), "nothing_to_do", 0)
