"""Projects to look at: some that the real wandb wrote, and small ones made up for a case."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Layout, find_sweep, list_sweeps
from hsm.model import Inventory
from hsm.remote.local import LocalEndpoint
from tests.unit.discover import log_writer

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
def media_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a real run with an incremental table, a plain one, and a page below a key."""
    request.getfixturevalue("require_wandb")
    from write_sweep import QUIET

    folder = tmp_path_factory.mktemp("media-run")
    own = {name: str(folder / "scratch") for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")}
    argv = [sys.executable, "-c", MEDIA_RUN]
    subprocess.run(argv, cwd=folder, env={**os.environ, **QUIET, **own}, check=True, timeout=60)
    return next(folder.glob("wandb/offline-run-*"))


@dataclass(frozen=True)
class MadeProject:
    """A project folder made up for a case; all its files are an hour old unless said otherwise."""

    folder: Path

    @property
    def layout(self) -> Layout:
        """Where its results lie."""
        return Layout(str(self.folder), str(self.folder / "sweeps"), str(self.folder / "wandb"))

    def write(self, path: str, content: bytes | str = b"x", *, seconds_ago: float = 3600) -> Path:
        """Write a file."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        moment = time.time_ns() - int(seconds_ago * 10**9)
        os.utime(file, ns=(moment, moment))
        return file

    def write_run(self, path: str, *records: bytes, log: bytes | None = None, seconds_ago: float = 3600) -> Path:
        """Write a run folder with one small file and a log of these records."""
        run_id = path.rsplit("-", 1)[-1]
        data = log_writer.frame(records) if log is None else log
        self.write(f"{path}/files/requirements.txt", "wandb", seconds_ago=seconds_ago)
        return self.write(f"{path}/run-{run_id}.wandb", data, seconds_ago=seconds_ago).parent

    def read(
        self, sweep: str, *, index: RunIndex | None = None, max_depth: int | None = 1, **options: bool
    ) -> Inventory:
        """Read the inventory of a sweep as `hsm sync` does."""
        endpoint = LocalEndpoint()
        sweeps = list_sweeps(endpoint, self.layout)
        return read_inventory(
            endpoint,
            self.layout,
            find_sweep(sweeps, sweep),
            max_depth=max_depth,
            index=index or RunIndex(),
            known_sweeps={found.id for found in sweeps},
            **options,
        )


@pytest.fixture
def made(tmp_path: Path) -> MadeProject:
    """Return an empty project."""
    return MadeProject(tmp_path / "project")
