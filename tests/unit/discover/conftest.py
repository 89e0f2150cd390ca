"""Projects to look at: some that the real wandb wrote, and small ones made up for a case."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Layout, look_for_sweeps, pick_sweep
from hsm.model import SweepInventory
from hsm.remote.local import LocalEndpoint
from tests.unit.wandb_log import log_writer


@dataclass(frozen=True)
class MadeProject:
    """A project folder made up for a case; all its files are an hour old unless said otherwise."""

    folder: Path

    @property
    def layout(self) -> Layout:
        """Places of its results."""
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
        self,
        sweep: str,
        *,
        index: RunIndex | None = None,
        max_depth: int | None = 1,
        follow: Sequence[str] | None = None,
        **options: bool,
    ) -> SweepInventory:
        """Read the inventory of a sweep as `hsm sync` does."""
        endpoint = LocalEndpoint()
        sweeps = look_for_sweeps(endpoint, self.layout).sweeps
        return read_inventory(
            endpoint,
            self.layout,
            pick_sweep(sweeps, sweep),
            max_depth=max_depth,
            index=index or RunIndex(),
            known_sweeps={found.id for found in sweeps},
            follow=follow,
            **options,
        )


@pytest.fixture
def made(tmp_path: Path) -> MadeProject:
    """Return an empty project."""
    return MadeProject(tmp_path / "project")
