"""Targets on disks that keep less than the source's, as they are: ext3 with whole seconds, NTFS that folds case."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import REQUIRE_E2E
from tests.e2e.synthetic import T, write_file, write_project
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import RunHsm

_SECONDS = 30
SWEEP_FILE = "sweeps/outputs/sweep_20251020_212836"


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, timeout=_SECONDS, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that makes a file system in an image and mounts it; skips where that cannot be."""
    folder = tmp_path / "disk"

    def make(*make_argv: str, mount_argv: tuple[str, ...]) -> Path:
        image = tmp_path / "image"
        with image.open("wb") as stream:
            stream.truncate(40 * 1024 * 1024)
        folder.mkdir()
        reason = ""
        if os.geteuid() != 0:
            reason = "mounting an image needs the superuser"
        elif missing := [name for name in (make_argv[0], mount_argv[0]) if shutil.which(name) is None]:
            reason = f"there is no {missing[0]}"
        else:
            try:
                _run(*make_argv, str(image))
                _run(*mount_argv, str(image), str(folder))
            except subprocess.CalledProcessError as error:
                reason = f"no such image can be mounted: {error.stderr.decode(errors='replace').strip()}"
        if reason and REQUIRE_E2E and make_argv[0] == "mkfs.ext3":
            pytest.fail(reason)
        if reason:
            pytest.skip(reason)
        return folder

    yield make
    if folder.is_mount():
        _run("umount", "--lazy", str(folder))


class Trial:
    """A project whose target is a folder on a disk."""

    def __init__(self, folder: Path, disk: Path, hsm: RunHsm, engine: str) -> None:
        self.project = folder / "project"
        self.there = disk / "copy"
        self._hsm = hsm
        write_project(self.project, n_runs=1)
        paths = f"{{sweeps: {self.there}/sweeps, wandb: {self.there}/wandb}}"
        target = f"{{engine: {engine}, options: {{latest_only: false}}, paths: {paths}}}"
        write_file(self.project / ".hsm/sync_config.yaml", f"sync_targets: {{disk: {target}}}\n".encode())

    def sync(self, *words: str) -> tuple[int, str]:
        ended = self._hsm("sync", "to", "latest", "--target", "disk", *words, cwd=self.project)
        return ended.returncode, ended.stdout + ended.stderr

    def here(self, name: str) -> Path:
        return self.project / SWEEP_FILE / name

    def copy_of(self, name: str) -> Path:
        return self.there / SWEEP_FILE / name


@pytest.mark.slow
@parametrize("engine", ["copy", "rsync"], quick=["copy"])
def test_on_a_disk_of_whole_seconds_the_content_tells(
    tmp_path: Path, mount: Callable[..., Path], hsm: RunHsm, engine: str, require_program: Callable[..., None]
) -> None:
    if engine == "rsync":
        require_program("rsync")
    disk = mount("mkfs.ext3", "-q", "-F", "-I", "128", mount_argv=("mount", "-o", "loop"))
    trial = Trial(tmp_path, disk, hsm, engine)
    write_file(trial.here("loss.json"), b"0.900", mtime_ns=T)
    write_file(trial.here("far.json"), b"far", mtime_ns=2**32 * 10**9)  # ext3 ends in 2038
    assert trial.sync()[0] == 0
    assert "nothing to do" in trial.sync()[1]
    write_file(trial.here("loss.json"), b"0.123", mtime_ns=T + 5)
    try:
        _run("chattr", "+i", str(trial.copy_of("loss.json")))
        assert trial.sync()[0] == 1
    finally:
        _run("chattr", "-i", str(trial.copy_of("loss.json")))
    code, said = trial.sync("--dry-run", "-v")
    assert (code, said.count("time differs")) == (0, 1)
    assert trial.sync()[0] == 0
    assert trial.copy_of("loss.json").read_bytes() == b"0.123"
    assert "nothing to do" in trial.sync()[1]


def test_on_a_disk_that_folds_case_neither_of_two_names_is_sent(
    tmp_path: Path, mount: Callable[..., Path], hsm: RunHsm
) -> None:
    options = ("lowntfs-3g", "-o", "ignore_case,windows_names")
    disk = mount("mkntfs", "-F", "-q", "-Q", mount_argv=options)
    trial = Trial(tmp_path, disk, hsm, "copy")
    for name in ("Model.txt", "model.txt", "epoch:3.txt", "con.log", "kept.txt"):
        write_file(trial.here(name), name.encode())
    for _ in range(2):
        code, said = trial.sync()
        assert code == 1
        assert all(name in said for name in ("Model.txt", "model.txt", "epoch:3.txt", "con.log"))
        assert "Run the same command again" not in said
        assert {path.name for path in trial.copy_of("").iterdir()} == {".hsm-sync", "kept.txt", "sweep_config.yaml"}
    trial.here("model.txt").unlink()
    write_file(trial.copy_of("MODEL.txt"), b"somebody's")
    code, said = trial.sync()
    assert (code, "which is there and stays" in said) == (1, True)
    assert trial.copy_of("MODEL.txt").read_bytes() == b"somebody's"
