"""Runs that the real wandb wrote, and files of somebody else, for the tests of single modules."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import WriteOnce

MEDIA_RUN = """
import wandb
run = wandb.init(dir=".", group="sweep_1")
rows = wandb.Table(columns=["step"], log_mode="INCREMENTAL")
for step in range(5):
    rows.add_data(step)
    page = wandb.Html(f"<p>{step}</p>", inject=False)
    plain = wandb.Table(columns=["step"], data=[[step]])
    run.log({"eval/rows": rows, "plain": plain, "nested": {"page": page}})
run.summary["last"] = wandb.Html("<p>the end</p>", inject=False)
run.finish()
"""


MakeForeign = Callable[[Path], None]


@pytest.fixture
def make_foreign(monkeypatch: pytest.MonkeyPatch) -> MakeForeign:
    """Return a function that gives a file to somebody else, as the code sees it."""

    def change(path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, 12345, -1, follow_symlinks=False)
        else:
            monkeypatch.setattr(os, "geteuid", lambda: 12345)

    return change


@pytest.fixture(scope="session")
def require_wandb() -> None:
    """Skip the test where wandb is not installed; fail it under HSM_REQUIRE_E2E=1."""
    if importlib.util.find_spec("wandb") is not None:
        return
    if os.environ.get("HSM_REQUIRE_E2E") == "1":
        pytest.fail("wandb is not installed, and HSM_REQUIRE_E2E=1 asks for it")
    pytest.skip("wandb is not installed")


@pytest.fixture
def real_project(request: pytest.FixtureRequest) -> Path:
    """Return the project of `real_runs`, for reading alone."""
    request.getfixturevalue("require_wandb")
    project: Path = request.getfixturevalue("real_runs")
    return project


@pytest.fixture(scope="session")
def media_run(request: pytest.FixtureRequest, write_once: WriteOnce) -> Path:
    """Return the folder of a real run with an incremental table, a plain one, and a page below a key."""
    request.getfixturevalue("require_wandb")
    return next(write_once("media-run", write_media_run).glob("wandb/offline-run-*"))


def write_media_run(folder: Path) -> None:
    """Write the run of `media_run`."""
    from write_sweep import QUIET

    folder.mkdir()
    own = {name: str(folder / "scratch") for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")}
    argv = [sys.executable, "-c", MEDIA_RUN]
    subprocess.run(argv, cwd=folder, env={**os.environ, **QUIET, **own}, check=True, timeout=60)
