"""`sync_artifact_staging`: waiting files of artifacts go to the same paths at a target that has other disks.

The target's sshd lives in a mount namespace of its own (mount_namespaces(7)), in which another folder lies where the
files wait here. So both ends use the same absolute paths and see different files.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import FLAT_SWEEP as SWEEP
from tests.e2e.test_after_sync import StandIn
from tests.e2e.wandb_server import WandbServer, serve
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from private_sshd import PrivateSshd

    from tests.e2e.conftest import MakeProject, Project

BLOCK_BYTES, HEADER_BYTES, CHUNK_BYTES = 32768, 7, 7
"""Of a log: its blocks, its own header, and the one of each chunk."""

WANDB = Path(sys.executable).with_name("wandb")

WRITE_RUN = f"""
import pathlib, sys, wandb
run = wandb.init(project="p", group={SWEEP!r}, dir=sys.argv[1], settings=wandb.Settings(console="off"))
run.log({{"loss": 1.0}})
artifact = wandb.Artifact(sys.argv[2], "model")
with artifact.new_file("model.bin") as stream:
    stream.write(sys.argv[2] * 1000)
with artifact.new_file("deep/notes.txt") as stream:
    stream.write("notes of " + sys.argv[2])
run.log_artifact(artifact)
run.finish()
"""


@dataclass
class Place:
    """A project with a run that logged an artifact, and a target that has another folder under the same path.

    Attributes:
        project: The project; its target uploads, with the option on.
        here: WANDB_DATA_DIR, as both ends name it.
        there: What lies under that name at the target.
        wandb: The stand-in there.
    """

    project: Project
    here: Path
    there: Path
    wandb: StandIn

    def write_run(self, name: str = "my-model", *, data: Path | None = None) -> Path:
        """Let wandb write a run, an hour ago, that logs an artifact."""
        environment = {**os.environ, "WANDB_DATA_DIR": str(data or self.here), "WANDB_CONSOLE": "off"}
        wandb = self.project.folder / "wandb"
        before = set(wandb.glob("offline-run-*"))
        argv = [sys.executable, "-c", WRITE_RUN, str(self.project.folder), name]
        subprocess.run(argv, env=environment, check=True, cwd=self.project.folder)
        (run,) = set(wandb.glob("offline-run-*")) - before
        for path in run.rglob("*"):
            old = path.lstat().st_mtime_ns - 3600 * 10**9
            os.utime(path, ns=(old, old), follow_symlinks=False)
        return run

    def sync(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Sync with --json, and return what it says of the target."""
        done = self.project.hsm("sync", "to", SWEEP, "--json", *words, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return dict(json.loads(done.stdout)["sweeps"][0]["targets"][0])

    def forget_uploads(self) -> None:
        """Take the marks of the uploads away, so that the next sync uploads again."""
        for mark in self.project.target_wandb.rglob("*.synced"):
            mark.unlink()

    @property
    def waiting(self) -> dict[str, bytes]:
        """What waits here, by path below the data folder."""
        return read_files(self.here)

    @property
    def arrived(self) -> dict[str, bytes]:
        """What the target has there."""
        return read_files(self.there)


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def list_kinds(target: Mapping[str, Any]) -> list[str]:
    return sorted({problem["kind"] for problem in target["problems"] if problem["severity"] == "failure"})


def make_prefix(*binds: tuple[Path, Path]) -> tuple[str, ...]:
    """A command that starts another one with folders lying over others, for it and what it starts alone."""
    script = "".join(f"mount --bind {what} {over} && " for what, over in binds) + 'exec "$@"'
    return ("unshare", "--mount", "sh", "-c", script, "sh")


@pytest.fixture
def make_place(
    make_project: MakeProject,
    start_sshd: Callable[..., PrivateSshd],
    tmp_path: Path,
    require_program: Callable[..., None],
) -> Callable[..., Place]:
    """Return a function that makes a place; its arguments are further settings of the target and variables there."""
    require_program("unshare", "mount")

    def make(*, environment: Mapping[str, str] | None = None, **settings: Any) -> Place:
        here, there = tmp_path / "data", tmp_path / "data-there"
        here.mkdir()
        there.mkdir()
        prefix = make_prefix((there, here))
        if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
            pytest.skip("no mount namespace can be made here")
        stand_in = StandIn(tmp_path / "bin")
        path = f"{stand_in.folder}:{os.environ['PATH']}"
        sshd = start_sshd(environment={"PATH": path, **(environment or {})}, prefix=prefix)
        project = make_project(sshd, options={"sync_artifact_staging": True})
        (project.folder / "sweeps" / "outputs" / SWEEP).mkdir(parents=True)
        (project.folder / "sweeps" / "outputs" / SWEEP / "config.yaml").write_text("lr: 1\n")
        (project.folder / "wandb").mkdir()
        config = project.read_config()
        config["sync_targets"]["desktop"]["paths"]["project_root"] = str(project.target_root)
        config["sync_targets"]["desktop"] |= {"after_sync": [{"wandb_sync": True}], **settings}
        project.write_config(config)
        return Place(project, here, there, stand_in)

    return make


@pytest.mark.slow
@parametrize("engine", ["rsync", "sftp"], quick=["rsync"])
def test_waiting_files_come_along_before_the_upload(make_place: Callable[..., Place], engine: str) -> None:
    place = make_place(engine=engine)
    run = place.write_run()
    assert len(place.waiting) == 2
    assert place.arrived == {}
    target = place.sync()
    (step,) = target["after_sync"]
    n_bytes = sum(map(len, place.waiting.values()))
    assert (step["runs"], step["staged_files"], step["staged_bytes"]) == ([run.name], 2, n_bytes)
    assert target["problems"] == []
    assert place.arrived == place.waiting
    assert not list(place.there.rglob(".hsm-*")), "nothing of HSM's own stays"
    for path in place.waiting:
        assert (place.there / path).stat().st_mtime_ns // 10**9 == (place.here / path).stat().st_mtime_ns // 10**9

    place.forget_uploads()
    (step,) = place.sync()["after_sync"]
    assert (step["runs"], step["staged_files"], step["staged_bytes"]) == ([run.name], 0, 0), "nothing is sent twice"


@pytest.mark.slow
def test_without_the_option_they_are_named(make_place: Callable[..., Place]) -> None:
    place = make_place()
    place.project.set_options(sync_artifact_staging=False)
    place.write_run()
    target = place.sync(code=1)
    assert list_kinds(target) == ["artifact_missing"]
    assert place.arrived == {}


@pytest.mark.slow
def test_a_dry_run_says_what_would_come_along(make_place: Callable[..., Place]) -> None:
    place = make_place()
    place.write_run()
    done = place.project.hsm("sync", "to", SWEEP, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "after_sync: would bring along 2 waiting files of artifacts, " in done.stdout
    assert place.arrived == {}
    assert list(place.there.iterdir()) == []
    assert "after_sync" in place.project.hsm("sync", "to", SWEEP).stderr
    assert place.arrived == place.waiting


@pytest.mark.slow
def test_no_after_sync_brings_nothing(make_place: Callable[..., Place]) -> None:
    place = make_place()
    place.write_run()
    assert place.sync("--no-after-sync")["after_sync"] == []
    assert place.arrived == {}


@pytest.mark.slow
def test_what_is_there_already_is_never_replaced(make_place: Callable[..., Place]) -> None:
    place = make_place()
    place.write_run()
    first, second = sorted(place.waiting)
    for name in (first, second):
        (place.there / name).parent.mkdir(parents=True, exist_ok=True)
    (place.there / first).write_bytes(b"x" * len(place.waiting[first]))
    (place.there / second).write_bytes(place.waiting[second])
    target = place.sync(code=1)
    assert list_kinds(target) == ["staging_conflict"]
    assert [problem["path"] for problem in target["problems"]] == [str(place.here / first)]
    assert place.arrived[first] == b"x" * len(place.waiting[first])
    assert target["after_sync"][0]["state"] == "done", "the run itself is uploaded all the same"


@pytest.mark.slow
def test_symlinks_at_the_target_are_not_written_through(make_place: Callable[..., Place], tmp_path: Path) -> None:
    place = make_place()
    run = place.write_run()
    name = sorted(place.waiting)[0]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (place.there / name).parent.mkdir(parents=True)
    (place.there / name).symlink_to(elsewhere / "file")
    target = place.sync(code=1)
    assert "staging_conflict" in list_kinds(target)
    assert list(elsewhere.iterdir()) == []
    assert (place.there / name).is_symlink()
    assert target["after_sync"][0]["runs"] == [run.name]


@pytest.mark.slow
def test_a_file_that_is_gone_here_is_named(make_place: Callable[..., Place]) -> None:
    place = make_place()
    place.write_run()
    gone = sorted(place.waiting)[0]
    (place.here / gone).unlink()
    target = place.sync(code=1)
    assert list_kinds(target) == ["artifact_missing"]
    assert target["after_sync"][0]["staged_files"] == 1
    assert place.arrived == place.waiting


@pytest.mark.slow
def test_a_place_that_cannot_be_made_is_a_problem(make_place: Callable[..., Place]) -> None:
    place = make_place()
    run = place.write_run()
    (place.there / "artifacts").write_text("a file in the way")
    target = place.sync(code=1)
    assert list_kinds(target) == ["artifact_missing", "staging_unwritable"]
    assert target["after_sync"][0]["runs"] == [run.name]
    assert place.arrived == {"artifacts": b"a file in the way"}


def test_hostile_paths_of_a_log_are_not_followed(make_place: Callable[..., Place]) -> None:
    place = make_place()
    run = place.write_run()
    waiting = sorted((place.here / "artifacts" / "staging").iterdir())
    secret = place.here / "key".ljust(len(waiting[0].name) - len("../../"), "s")
    secret.write_text("a key")
    (log,) = run.glob("*.wandb")
    times = log.stat().st_mtime_ns
    replace_in_log(log, waiting[0], f"../../{secret.name}")
    waiting[1].unlink()
    waiting[1].symlink_to(secret)
    os.utime(log, ns=(times, times))
    target = place.sync(code=1)
    assert list_kinds(target) == ["artifact_missing"]
    assert target["after_sync"][0]["staged_files"] == 0
    assert place.arrived == {}


def replace_in_log(log: Path, path: Path, other: str) -> None:
    """Put another path of equal length, relative to its folder, in the place of one, and mend the checksums."""
    wanted = f"{path.parent}/{other}".encode()
    content = bytearray(log.read_bytes().replace(str(path).encode(), wanted))
    assert content.count(wanted) == 1
    assert len(content) == log.stat().st_size < BLOCK_BYTES
    position = HEADER_BYTES
    while position + CHUNK_BYTES <= len(content):
        (length,) = struct.unpack_from("<H", content, position + 4)
        end = position + CHUNK_BYTES + length
        struct.pack_into("<I", content, position, zlib.crc32(content[position + 6 : end]))
        position = end
    log.write_bytes(content)


@pytest.mark.slow
def test_in_a_folder_of_this_machine_they_are_there_already(make_place: Callable[..., Place], tmp_path: Path) -> None:
    place = make_place()
    run = place.write_run()
    config = place.project.read_config()
    settings = {"wandb_sync": True, "wandb_path": str(place.wandb.path)}
    paths = {name: str(tmp_path / "nas" / name) for name in ("sweeps", "wandb")}
    options = {"sync_artifact_staging": True}
    config["sync_targets"]["desktop"] = {"paths": paths, "options": options, "after_sync": [settings]}
    place.project.write_config(config)
    target = place.sync()
    (step,) = target["after_sync"]
    assert (step["runs"], step["staged_files"], target["problems"]) == ([run.name], 0, [])


@pytest.mark.slow
def test_another_lock_there_is_respected(make_place: Callable[..., Place]) -> None:
    place = make_place()
    place.write_run()
    folder = place.there / "artifacts" / "staging" / f".hsm-sync.{SWEEP}"
    folder.mkdir(parents=True)
    holder = {"nonce": "a" * 16, "source_id": "x", "host": "elsewhere", "pid": 1, "since": "2026-01-01", "machine": ""}
    (folder / "lock").write_text(json.dumps(holder))
    target = place.sync(code=1)
    assert list_kinds(target) == ["locked", "upload_awaits_artifacts"]
    assert (target["after_sync"][0]["state"], target["after_sync"][0]["runs"]) == ("failed", [])
    assert place.wandb.calls == [], "an upload would leave its mark, and the artifact would never follow"
    assert place.sync("--break-lock")["after_sync"][0]["staged_files"] == 2
    assert place.arrived == place.waiting


@pytest.fixture
def server() -> Any:
    """Return a server that is served while the test runs."""
    with serve() as state:
        yield state


@pytest.mark.slow
def test_the_real_wandb_uploads_the_artifact(make_place: Callable[..., Place], server: WandbServer) -> None:
    environment = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40, "WANDB_ERROR_REPORTING": "false"}
    steps = [{"wandb_sync": True, "wandb_path": str(WANDB)}]
    place = make_place(environment=environment, after_sync=steps)
    place.write_run()
    waiting = place.waiting
    (step,) = place.sync()["after_sync"]
    assert (step["state"], step["staged_files"]) == ("done", 2)
    assert server.artifacts == {"my-model": "COMMITTED"}
    assert set(waiting.values()) <= set(server.contents)
    assert place.waiting == waiting, "here nothing is touched"
