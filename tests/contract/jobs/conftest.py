"""Executors to be tried: the local pool, and a real Slurm where it can be had."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hsm.jobs.base import Executor, JobOrder
from hsm.jobs.local.executor import LocalExecutor
from hsm.jobs.model import TaskStatus
from hsm.jobs.slurm.executor import SlurmExecutor
from hsm.jobs.state.store import StateStore
from hsm.jobs.state.values import ExecutorKind
from hsm.jobs.states import SETTLED
from hsm.jobs.submitter import SubmitPlan, Submitted, submit_tasks
from hsm.jobs.this_machine import ThisMachine
from hsm.jobs.tracker import TrackedSweep, observe_tasks
from hsm.prepared_sweep.document import load_prepared
from hsm.process.runner import Runner
from tests.conftest import REQUIRE_E2E
from tests.e2e.jobs.slurm_cluster import ClusterOptions, SlurmCluster, find_missing, make_path
from tests.unit.jobs.sweep_maker import make_order, make_sweep

SECONDS = 60.0


@pytest.fixture(scope="session")
def start_cluster() -> Iterator[Callable[[ClusterOptions], SlurmCluster]]:
    """Return a function that starts a Slurm, once for each kind of it."""
    clusters: dict[ClusterOptions, SlurmCluster] = {}
    folder = Path(tempfile.mkdtemp(prefix="hsm-slurm-", dir="/tmp"))  # a socket's path is short

    def start(options: ClusterOptions) -> SlurmCluster:
        if missing := find_missing(accounting=options.accounting):
            if REQUIRE_E2E:
                pytest.fail(f"{missing} is not installed, and HSM_REQUIRE_E2E=1 asks for it")
            pytest.skip(f"{missing} is not installed")
        if options not in clusters:
            clusters[options] = SlurmCluster(folder / str(len(clusters)), options)
            clusters[options].start()
        return clusters[options]

    yield start
    for cluster in clusters.values():
        cluster.stop()
    shutil.rmtree(folder, ignore_errors=True)


class Bench:
    """A sweep and an executor."""

    def __init__(self, project: Path, kind: ExecutorKind, executor: Executor, machine: ThisMachine) -> None:
        self.project = project
        self.kind = kind
        self.executor = executor
        self.machine = machine

    def prepare(self, commands: Sequence[Sequence[str]], **fields: Any) -> None:
        self.folder = make_sweep(self.project, commands, **fields)
        self.sweep = load_prepared(self.folder)
        self.store = StateStore(self.folder, self.sweep.sweep, self.sweep.key)
        self.tracked = TrackedSweep(self.folder, self.store, self.machine, {self.kind: self.executor})

    def make_order(self, tasks: Sequence[Any], **fields: Any) -> JobOrder:
        return make_order(self.folder, self.sweep, tasks, project=self.project, **fields)

    def submit(self, numbers: Sequence[int], *, most_elements: int = 100, **fields: Any) -> Submitted:
        plan = SubmitPlan(self.make_order([], **fields), self.executor, self.kind, most_elements)
        return submit_tasks(self.store, plan, numbers)

    def observe_tasks(self) -> dict[int, TaskStatus]:
        state, faults = observe_tasks(self.tracked)
        assert faults == []
        return dict(state.iter_states(self.sweep.n_tasks))

    def wait(self, is_done: Callable[[dict[int, TaskStatus]], bool]) -> dict[int, TaskStatus]:
        deadline = time.monotonic() + SECONDS
        while not is_done(found := self.observe_tasks()):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        return found

    def wait_for_end(self) -> dict[int, TaskStatus]:
        return self.wait(lambda found: all(status.state in SETTLED for status in found.values()))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "my project, 50% (1)"
    folder.mkdir()
    return folder


@pytest.fixture
def use_cluster(
    start_cluster: Callable[[ClusterOptions], SlurmCluster], monkeypatch: pytest.MonkeyPatch
) -> Callable[[ClusterOptions], SlurmCluster]:
    """Return a function that makes a cluster the one of this test."""

    def use(options: ClusterOptions) -> SlurmCluster:
        cluster = start_cluster(options)
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PATH", make_path())
        return cluster

    return use


EXECUTORS = [
    pytest.param("local", id="local"),
    pytest.param("slurm", id="slurm", marks=pytest.mark.slurm),
    pytest.param("slurm-without-accounting", id="slurm without accounting", marks=pytest.mark.slurm),
]


@pytest.fixture(params=EXECUTORS)
def bench(
    request: pytest.FixtureRequest,
    project: Path,
    use_cluster: Callable[[ClusterOptions], SlurmCluster],
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    """Return a bench for each executor."""
    machine = ThisMachine(Runner())
    if request.param == "local":
        monkeypatch.setenv("HSM_GRACE_SECONDS", "1")
        return Bench(project, ExecutorKind.LOCAL, LocalExecutor(machine), machine)
    use_cluster(ClusterOptions(accounting=request.param == "slurm"))
    assert os.environ["SLURM_CONF"]
    return Bench(project, ExecutorKind.SLURM, SlurmExecutor(machine), machine)
