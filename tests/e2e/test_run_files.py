"""Runs whose log says less than the files that the real wandb saved beside it, and files that are no logs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from write_sweep import QUIET

from tests.e2e.wandb_server import serve
from tests.marks import parametrize

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RunHsm, WriteOnce

SWEEP = "sweep_20260101_000000"
HEADER_BYTES = 7
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"

# An online run: an offline one of today leaves no file with values.
RUN = f"""
import wandb
config = {{"lr": 1e-05, "seed": 2**60 + 1, "layers": {{"n": 2, "sizes": [1, 2]}}, "word": "1e-5", "use_bias": True}}
run = wandb.init(dir=".", project="p", entity="e", id="aaaa1111", group="{SWEEP}", config=config)
for step in range(5):
    run.log({{"loss": 1 / (step + 1), "nested": {{"a": step}}, "endless": float("inf"), "none": float("nan")}})
run.finish()
"""


@pytest.fixture(scope="session")
def written(write_once: WriteOnce) -> Path:
    """Return a project with an online run of the real wandb; all its files are an hour old."""
    pytest.importorskip("wandb")
    return write_once("online-run", write_online_run)


def write_online_run(project: Path) -> None:
    """Write the run of `written`."""
    (project / "sweeps" / "outputs" / SWEEP).mkdir(parents=True)
    (project / "sweeps" / "outputs" / SWEEP / "notes.txt").write_text("x")
    own = {name: str(project / "scratch") for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")}
    recording = {"WANDB_X_DISABLE_MACHINE_INFO": "false", "WANDB_MODE": "online", "WANDB_API_KEY": "x" * 40}
    with serve() as server:
        env = {**os.environ, **QUIET, **own, **recording, "WANDB_BASE_URL": server.url}
        subprocess.run([sys.executable, "-c", RUN], cwd=project, env=env, check=True, timeout=60)
    age(project)


def age(project: Path) -> None:
    for path in project.rglob("*"):
        moment = path.lstat().st_mtime_ns - 3600 * 10**9
        os.utime(path, ns=(moment, moment), follow_symlinks=False)


@pytest.fixture
def project(written: Path, tmp_path: Path) -> Path:
    """Return a copy of the project, whose run only its place gives to the sweep."""
    folder = Path(shutil.copytree(written, tmp_path / "project", symlinks=True))
    (folder / "wandb" / SWEEP).mkdir()
    run = find_run(folder)
    run.rename(folder / "wandb" / SWEEP / run.name)
    return folder


def find_run(project: Path) -> Path:
    (run,) = project.glob("wandb/**/run-*-aaaa1111")
    return run


def find_log(project: Path) -> Path:
    (log,) = find_run(project).glob("*.wandb")
    return log


def read_document(hsm: RunHsm, project: Path, exit_code: int = 0) -> dict[str, Any]:
    completed = hsm("sync", "report", SWEEP, "--json", cwd=project)
    assert completed.returncode == exit_code, completed.stderr
    document: dict[str, Any] = json.loads(completed.stdout)
    return document


def cut(log: Path) -> None:
    """Cut the log within its rows."""
    content = log.read_bytes()
    with log.open("r+b") as stream:
        stream.truncate(content.index(b"nested", content.index(b"nested") + 1))


def make_old(log: Path) -> None:
    """Put the run's files where 0.8 had them."""
    log.unlink()
    for path in (log.parent / "files").iterdir():
        path.rename(log.parent / path.name)
    (log.parent / "files").rmdir()
    metadata = log.parent / "wandb-metadata.json"
    metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "state": "finished", "exitcode": 0}))


LESS: dict[str, Callable[[Path], object]] = {
    "no log": Path.unlink,
    "a log of no bytes": lambda log: os.truncate(log, 0),
    "a header": lambda log: os.truncate(log, HEADER_BYTES),
    "a log that ends before": cut,
    "the layout of 0.8": make_old,
}


@parametrize("kind", LESS, quick=["a header", "a log that ends before", "the layout of 0.8"])
def test_the_files_say_what_the_log_would_have_said(hsm: RunHsm, project: Path, kind: str) -> None:
    whole = read_document(hsm, project)
    assert (whole["problems"], whole["runs"][0]["from_files"]) == ([], False)
    assert whole["runs"][0]["host"]
    LESS[kind](find_log(project))
    age(project)
    document = read_document(hsm, project)
    (notice,) = document["problems"]
    assert (notice["kind"], notice["is_failure"]) == ("values_from_files", False)
    (run,), (wanted,) = document["runs"], whole["runs"]
    assert run["from_files"]
    assert run["config"] == wanted["config"]
    assert run["summary"] == wanted["summary"]
    assert (run["id"], run["host"], int(run["duration_seconds"])) == ("aaaa1111", wanted["host"], 0)
    assert (run["started"] or "")[:13] == wanted["started"][:13]
    assert run["state"] == ("finished" if kind == "the layout of 0.8" else "unknown")


def test_every_output_has_the_values_and_one_note(hsm: RunHsm, project: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("plotly")
    find_log(project).unlink()
    files = ("--parquet", tmp_path / "runs.parquet", "--html", tmp_path / "runs.html")
    for options in ((), ("--csv", "--columns", "all"), files):
        completed = hsm("sync", "report", SWEEP, *options, cwd=project)
        assert completed.returncode == 0, completed.stderr
        assert completed.stderr.count("wandb-summary.json") == 1
        assert options == files or all(word in completed.stdout for word in ("1e-05", "0.2"))
    (row,) = parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    assert (row["lr"], row["loss"], row["seed"]) == (1e-05, 0.2, 2**60 + 1)
    assert "1152921504606846977" in (tmp_path / "runs.html").read_text()


def test_a_git_lfs_pointer_in_place_of_a_log_is_a_failure(hsm: RunHsm, written: Path, tmp_path: Path) -> None:
    """Whose the run is, the pointer does not say; the other run of the sweep is sent."""
    project = Path(shutil.copytree(written, tmp_path / "project", symlinks=True))
    run = find_run(project)
    pointer = Path(shutil.copytree(run, run.with_name("run-20260101_000000-bbbb2222")))
    (pointer / "run-aaaa1111.wandb").unlink()
    (pointer / "run-bbbb2222.wandb").write_text(POINTER)
    age(project)
    target = make_target(project)
    assert_names_the_pointer(hsm, project, "bbbb2222", ["to", "verify", "report"])
    assert [path.name for path in (target / "wandb").iterdir() if path.name.startswith("run-")] == [run.name]
    assert read_document(hsm, project, exit_code=1)["problems"][0]["kind"] == "not_a_log"


def test_a_pointer_may_be_all_that_there_is(hsm: RunHsm, written: Path, tmp_path: Path) -> None:
    """Then no log names the sweep at all."""
    project = Path(shutil.copytree(written, tmp_path / "project", symlinks=True))
    shutil.rmtree(project / "sweeps")
    find_log(project).write_text(POINTER)
    age(project)
    make_target(project)
    assert_names_the_pointer(hsm, project, "aaaa1111", ["to", "report"])


def make_target(project: Path) -> Path:
    """Make a folder a target of the project."""
    target = project.with_name("target")
    target.mkdir()
    (project / ".hsm").mkdir()
    paths = {"sweeps": str(target / "sweeps"), "wandb": str(target / "wandb")}
    settings = {"default_target": "desk", "sync_targets": {"desk": {"paths": paths}}}
    (project / ".hsm" / "sync_config.yaml").write_text(json.dumps(settings))
    return target


def assert_names_the_pointer(hsm: RunHsm, project: Path, run_id: str, commands: list[str]) -> None:
    for command in commands:
        completed = hsm("sync", command, SWEEP, cwd=project)
        output = " ".join((completed.stdout + completed.stderr).split())
        assert completed.returncode == 1, output
        assert run_id in output
        assert "is a Git LFS pointer; run `git lfs pull`" in output
        assert "nothing yet" not in output


def test_a_pointer_where_the_place_decides_goes_along_and_stays_a_failure(hsm: RunHsm, project: Path) -> None:
    find_log(project).write_text(POINTER)
    age(project)
    document = read_document(hsm, project, exit_code=1)
    assert {problem["kind"] for problem in document["problems"]} == {"not_a_log", "values_from_files"}
    assert document["runs"][0]["config"]["lr"] == 1e-05
