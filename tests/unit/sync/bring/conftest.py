"""A project with sweeps, and fake targets, for the workflows of push and pull."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.process.runner import Runner
from hsm.progress import Event, StepStarted, TargetEnded
from hsm.sync.bring.session import Session
from hsm.sync.request import SyncRequest
from hsm.targets.contract import Connection
from tests.e2e.synthetic import write_run, write_sweep_folder
from tests.fake_target import FakeTarget

ONE, TWO = "sweep_20260101_000000", "sweep_20260202_000000"


class FakeSession(Session):
    """A session whose targets are fakes."""

    def __init__(self, targets: dict[str, FakeTarget], *, asks_early: bool = True) -> None:
        self.asks_early = asks_early
        self._targets = targets

    @contextlib.contextmanager
    def use(self, name: str, make: Callable[[], Connection]) -> Iterator[Connection]:  # noqa: ARG002
        yield self._targets[name]


class Workbench:
    """A project with two sweeps of two runs each, and two targets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.targets = {name: FakeTarget(folder / name, name=name) for name in ("desktop", "backup")}
        self.events: list[Event] = []
        self.runner = Runner()
        config = {
            "sync_targets": {
                name: {"host": "host.invalid", "paths": {root.value: path for root, path in target.roots.items()}}
                for name, target in self.targets.items()
            }
        }
        (self.project / ".hsm").mkdir(parents=True)
        (self.project / ".hsm/sync_config.yaml").write_text(json.dumps(config))

    def write_sweep(self, sweep: str, *, root: Path | None = None) -> None:
        root = root or self.project
        write_sweep_folder(root, sweep)
        for number in range(2):
            write_run(root / "wandb", f"{sweep[6:14]}{number}", sweep=sweep)

    def report(self, event: Event) -> None:
        self.events.append(event)

    def load(self) -> LoadedConfig:
        return load_project_config(self.project, environment={})

    def request(self, *sweeps: str, targets: tuple[str, ...] = ("desktop", "backup"), **options: object) -> SyncRequest:
        settings = self.load().config.sync_targets
        return SyncRequest(sweeps, {name: settings[name] for name in targets}, **options)  # type: ignore[arg-type]

    def list_ended(self) -> list[tuple[str, str]]:
        return [(event.target, event.state) for event in self.events if isinstance(event, TargetEnded)]

    def list_steps(self, target: str) -> list[str]:
        return [event.name for event in self.events if isinstance(event, StepStarted) and event.target == target]


@pytest.fixture
def workbench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)
