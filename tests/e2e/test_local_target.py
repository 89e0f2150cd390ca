"""Targets that are folders of this machine, end to end: rsync without ssh, a plain copy, and disks that go."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.e2e.aftermath import (
    SWEEP,
    add_file,
    assert_all_arrived,
    assert_end,
    assert_no_half_file,
    count_complete,
    list_runs,
    sync,
)
from tests.e2e.conftest import Project
from tests.e2e.disks import SmallDisk, check_can_mount
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunHsm

ENGINES = ["rsync", "copy"]


@pytest.fixture
def make_local(tmp_path: Path, hsm: RunHsm, copy_project: Callable[[Path], Path]) -> Callable[..., Project]:
    """Return a function that makes a project whose target is a folder; nothing of ssh is there."""

    def make(root: Path = tmp_path / "nas/project", **settings: Any) -> Project:
        folder = copy_project(tmp_path / "source/project")
        project = Project(folder, cast("Any", None), "nas", root, hsm)
        paths = {"sweeps": str(root / "sweeps"), "wandb": str(root / "wandb")}
        target = {"paths": paths, "options": {"latest_only": False}, **settings}
        project.write_config({"default_target": "nas", "sync_targets": {"nas": target}})
        return project

    return make


@pytest.fixture
def hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that takes programs out of PATH and leaves all others."""

    def hide_programs(*hidden: str) -> None:
        folder = tmp_path / "programs"
        folder.mkdir()
        for place in reversed(os.environ["PATH"].split(os.pathsep)):
            for name in os.listdir(place) if Path(place).is_dir() else ():
                if name not in hidden:
                    (folder / name).unlink(missing_ok=True)
                    (folder / name).symlink_to(f"{place}/{name}")
        monkeypatch.setenv("PATH", str(folder))

    return hide_programs


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a disk of 20 MB that is the target's."""
    check_can_mount(tmp_path / "try")
    mounted = SmallDisk(tmp_path / "nas", options="size=20m")
    yield mounted
    with contextlib.suppress(subprocess.CalledProcessError):  # a test may have taken it away
        mounted.unmount()


@parametrize("engine", ENGINES, quick=["copy"])
def test_a_sweep_arrives_whole_and_again_nothing_is_sent(
    make_local: Callable[..., Project], require_program: Callable[..., None], engine: str
) -> None:
    if engine == "rsync":
        require_program("rsync")
    project = make_local(engine=engine)
    assert_end(sync(project, "--dry-run"), "planned", 0)
    assert not project.target_root.exists()
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)
    assert_end(sync(project), "nothing_to_do", 0)
    assert count_complete(project) == 15
    verified = project.hsm("sync", "verify", SWEEP)
    assert verified.returncode == 0, verified.stdout

    log = next(list_runs(project)[0].glob("*.wandb"))
    with log.open("ab") as stream:
        stream.write(b"\0" * 100)
    assert project.hsm("sync", "verify", SWEEP).returncode == 1
    again = sync(project)
    assert (again.end, again.n_sent) == (("done", 0), 1)
    assert_all_arrived(project)


@pytest.mark.slow
def test_without_rsync_and_ssh_the_files_are_copied(
    make_local: Callable[..., Project], hide: Callable[..., None]
) -> None:
    project = make_local()
    hide("rsync", "ssh", "scp", "sftp")
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)
    assert_end(sync(project), "nothing_to_do", 0)
    doctor = project.hsm("sync", "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "copy, 8 workers" in doctor.stdout


@pytest.mark.slow
def test_rsync_that_is_asked_for_is_missed(make_local: Callable[..., Project], hide: Callable[..., None]) -> None:
    project = make_local(engine="rsync")
    hide("rsync")
    assert_end(sync(project), "failed", 1, "rsync_missing_here")
    assert not project.target_root.exists()


@parametrize("engine", ENGINES, quick=["copy"])
def test_a_disk_that_is_gone_is_not_written_beside(
    make_local: Callable[..., Project], disk: SmallDisk, engine: str
) -> None:
    project = make_local(disk.folder, engine=engine)
    assert_end(sync(project), "done", 0)
    disk.unmount()
    gone = sync(project)
    assert_end(gone, "refused", 12, "destination-gone")
    assert "Is its disk mounted?" in gone.text
    other = project.hsm("sync", "to", "latest")  # never brought there, but others were
    assert other.returncode == 12, other.stdout
    assert project.hsm("sync", "verify", SWEEP).returncode == 12
    doctor = project.hsm("sync", "doctor")
    assert (doctor.returncode, "Is its disk mounted?" in doctor.stdout) == (1, True), doctor.stdout
    assert list(disk.folder.iterdir()) == []
    assert_end(sync(project, "--allow", "destination-gone"), "done", 0)
    assert_no_half_file(project)
    assert_end(sync(project), "nothing_to_do", 0)


@parametrize("engine", ENGINES, quick=["copy"])
def test_a_disk_that_runs_full_leaves_no_half_file(
    make_local: Callable[..., Project], disk: SmallDisk, engine: str
) -> None:
    project = make_local(disk.folder, engine=engine)
    for run in list_runs(project)[:8]:
        add_file(run, "model.bin", 4_000_000)
    full = sync(project, "--allow", "space")
    assert_end(full, "partial", 1, "no_space")
    assert "on this machine" in full.text
    assert_no_half_file(project)
    disk.remount("size=60m")
    assert_end(sync(project), "done", 0)
    assert_all_arrived(project)


def test_the_projects_own_folder_is_no_target(make_local: Callable[..., Project]) -> None:
    project = make_local()
    before = sorted(path for path in project.folder.rglob("*") if ".hsm" not in path.parts)
    project.set_target(paths={"sweeps": str(project.folder / "sweeps"), "wandb": "~/w"})
    assert_end(sync(project), "failed", 2, "destination_in_source")
    assert sorted(path for path in project.folder.rglob("*") if ".hsm" not in path.parts) == before


@pytest.mark.slow
def test_there_is_no_login(make_local: Callable[..., Project]) -> None:
    project = make_local()
    login = project.hsm("sync", "login", "nas")
    assert (login.returncode, login.stdout) == (0, "nas is a folder of this machine: there is no login.\n")
    assert project.hsm("sync", "logout").returncode == 0
    shown = project.hsm("sync", "list")
    assert "a folder of this machine" in shown.stdout


@pytest.mark.slow
def test_a_home_folder_is_meant_by_its_tilde(make_local: Callable[..., Project]) -> None:
    project = make_local()
    project.set_target(paths={"sweeps": "~/home/sweeps", "wandb": "~/home/wandb"})
    assert_end(sync(project), "done", 0)
    there = Project(project.folder, project.sshd, "nas", project.folder.parents[1] / "home/home", project.run_hsm)
    assert_all_arrived(there)
