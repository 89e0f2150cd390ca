"""A far side that is not trusted: whatever it holds or answers, nothing lands outside the two folders here."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.aftermath import SWEEP
from tests.e2e.pull_project import Desktop, make_desktop
from tests.e2e.synthetic import write_file, write_project, write_run
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable

    from private_sshd import PrivateSshd

    from tests.conftest import RunHsm

RUN = "run-20251020_212836-r0000"
STRANGE = ["new\nline", "esc\x1b[31m", "-rf", "#c", ";d", "a b", "$(touch x)", "`x`", "back\\slash", "ü"]


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


@pytest.fixture
def desktop(tmp_path: Path, sshd: PrivateSshd, hsm: RunHsm) -> Desktop:
    """Return an empty project here, whose target `hpc` has a sweep with one run."""
    desktop = make_desktop(tmp_path, sshd, hsm)
    write_project(desktop.far, n_runs=1)
    return desktop


def list_outside(desktop: Desktop) -> set[str]:
    """What lies in the project here beside the two folders, and beside the project."""
    inside = {path.name for path in desktop.here.iterdir()} - {"sweeps", "wandb", ".hsm"}
    beside = {path.name for path in desktop.here.parent.iterdir()} - {desktop.here.name}
    return inside | beside | {path.name for path in (desktop.here / "sweeps").iterdir()} - {"outputs"}


def find_kinds(target: dict[str, Any]) -> dict[str, str]:
    return {problem["path"]: problem["kind"] for problem in target["problems"]}


@pytest.mark.slow
def test_modes_devices_and_names_do_no_harm(desktop: Desktop) -> None:
    files = desktop.far / "wandb" / RUN / "files"
    for name in STRANGE:
        write_file(files / name, name.encode())
    write_file(files / "tool", b"#!/bin/sh\n").chmod(0o6755)
    (files / "sticky").mkdir(mode=0o755)
    (files / "sticky").chmod(0o3777)
    write_file(files / "sticky/inside", b"x")
    os.mkfifo(files / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(files)
        listener.bind("socket")
    result = desktop.pull(SWEEP)
    assert (result["state"], result["exit_code"]) == ("done", 0)
    here = desktop.wandb / RUN / "files"
    assert {name: (here / name).read_bytes() for name in STRANGE} == {name: name.encode() for name in STRANGE}
    special = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
    modes = {path.name: path.lstat().st_mode for path in desktop.wandb.rglob("*")}
    parent = desktop.here.stat().st_mode
    assert {name for name, mode in modes.items() if mode & special & ~parent} == set()
    assert all(stat.S_ISREG(mode) or stat.S_ISDIR(mode) for mode in modes.values())
    assert not {"fifo", "socket"} & set(modes)
    kinds = find_kinds(result)
    assert kinds[f"{RUN}/files/fifo"] == kinds[f"{RUN}/files/socket"] == "special_file"
    assert list_outside(desktop) == set()
    assert desktop.pull(SWEEP)["state"] == "nothing_to_do"
    assert "\x1b" not in desktop.hsm("sync", "from", SWEEP, "-vv", "--dry-run").stdout


@pytest.mark.slow
def test_symlinks_that_lead_out_are_dropped_and_named(desktop: Desktop, tmp_path: Path) -> None:
    files = desktop.far / "wandb" / RUN / "files"
    outside = write_file(tmp_path / "outside" / "secret.txt", b"not yours")
    inside = write_file(desktop.far / "checkpoints" / "best.bin", b"best")
    (files / "out").symlink_to(outside)
    (files / "relative").symlink_to("../../../../../outside/secret.txt")
    (files / "chain").symlink_to("out")
    (files / "folder").symlink_to(outside.parent)
    (files / "best").symlink_to(inside)
    (files / "gone").symlink_to("nowhere")
    (desktop.far / "alias").symlink_to(outside.parent)
    (files / "through").symlink_to(desktop.far / "alias" / "secret.txt")
    (desktop.far / "wandb" / "run-20251020_212836-linked").symlink_to(outside.parent)
    result = desktop.pull(SWEEP)
    arrived = {path.name for path in (desktop.wandb / RUN / "files").iterdir()}
    assert arrived == {"config.yaml", "output.log", "best"}
    assert not (desktop.wandb / RUN / "files/best").is_symlink()
    assert (desktop.wandb / RUN / "files/best").read_bytes() == b"best"
    kinds = find_kinds(result)
    dropped = {"out", "relative", "chain", "through"}
    assert {Path(path).name for path, kind in kinds.items() if kind == "link_outside"} == dropped
    assert kinds[f"{RUN}/files/gone"] == "dangling_symlink"
    assert kinds[f"{RUN}/files/folder"] == "symlinked_folder"
    assert (result["files"]["excluded"], result["exit_code"]) == (4, 1)
    assert {path.name for path in desktop.wandb.iterdir()} == {RUN}
    assert not [path for path in desktop.here.rglob("*") if path.is_symlink()]


def test_a_symlink_here_leads_nothing_out(desktop: Desktop, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (desktop.wandb / RUN).mkdir(parents=True)
    (desktop.wandb / RUN / "files").symlink_to(elsewhere)
    result = desktop.pull(SWEEP)
    assert (result["exit_code"], find_kinds(result)[f"{RUN}/files"]) == (1, "type_conflict")
    assert list(elsewhere.iterdir()) == []


BAD_ANSWERS = {
    "above": ("files/config.yaml", "../../../escaped.yml"),
    "absolute": (f"{RUN}/files/config.yaml", "/tmp/escaped.yml"),
    "empty": ("files/config.yaml", "files//escaped.yml"),
    "dot": ("files/config.yaml", "./escaped.yml"),
}


@parametrize("case", BAD_ANSWERS, quick=["above"])
def test_names_that_no_file_system_has_are_left_out(
    start_sshd: Callable[..., PrivateSshd], hsm: RunHsm, tmp_path: Path, case: str
) -> None:
    said, answered = BAD_ANSWERS[case]
    programs = tmp_path / "programs"
    programs.mkdir()
    real = shutil.which("find")
    (programs / "find").write_text(f"#!/bin/sh\n{real} \"$@\" | sed 's#{said}#{answered}#g'\n")
    (programs / "find").chmod(0o755)
    sshd = start_sshd(environment={"PATH": f"{programs}:/usr/bin:/bin"})
    desktop = make_desktop(tmp_path, sshd, hsm)
    write_project(desktop.far, n_runs=1)
    write_file(desktop.far.parent / "escaped.yml", b"out")
    result = desktop.pull(SWEEP)
    assert "bad_name" in find_kinds(result).values()
    assert result["exit_code"] == 1
    assert list_outside(desktop) == set()
    assert (desktop.wandb / RUN / "files/output.log").exists()
    assert not [path for path in tmp_path.rglob("escaped.yml") if path.parent != desktop.far.parent]


def test_an_rsync_that_sends_symlinks_all_the_same_makes_none(desktop: Desktop, tmp_path: Path) -> None:
    # The far rsync sends what lies in another tree, symlinks as symlinks, and modes as they are.
    evil = tmp_path / "evil"
    shutil.copytree(desktop.far, Path(f"{evil}{desktop.far}"))
    files = Path(f"{evil}{desktop.far}") / "wandb" / RUN / "files"
    (files / "config.yaml").unlink()
    (files / "config.yaml").symlink_to("/etc/hostname")
    (files / "output.log").chmod(0o6777)
    fake = tmp_path / "fake-rsync"
    fake.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then exec rsync "$@"; fi\n'
        "first=$2; shift 2\nn=$#; i=0\nwhile [ $i -lt $n ]; do i=$((i+1)); a=$1; shift\n"
        f'case $a in --copy-links) a=--links ;; /) a={evil}/ ;; -*L*) a=$(printf %s "$a" | sed s/L/l/) ;; esac\n'
        'set -- "$@" "$a"; done\nexec rsync --server "$first" "$@"\n'
    )
    fake.chmod(0o755)
    desktop.targets["hpc"]["rsync_path"] = str(fake)
    desktop.write_config()
    result = desktop.pull(SWEEP)
    assert result["exit_code"] != 0 or not (desktop.wandb / RUN / "files/config.yaml").is_symlink()
    assert not [path for path in desktop.here.rglob("*") if path.is_symlink()]
    assert not [path for path in desktop.wandb.rglob("*") if path.lstat().st_mode & 0o6000]
    assert list_outside(desktop) <= {"sweeps", "wandb"}


def test_a_run_that_forges_its_sweep_brings_only_itself(desktop: Desktop) -> None:
    write_run(desktop.far / "wandb", "x", sweep=SWEEP, name="run-20251020_212836-..")
    result = desktop.pull(SWEEP)
    assert result["exit_code"] == 0
    assert list_outside(desktop) == set()
