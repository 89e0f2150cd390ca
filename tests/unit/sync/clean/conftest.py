"""A project with one sweep that lies at folders of this machine, for the workflow of a clean."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsm.config.load import load_project_config
from hsm.config.loaded import LoadedConfig
from hsm.model import Root
from hsm.plan.choice import RunChoice
from hsm.process.runner import Runner
from hsm.progress import SilentReporter
from hsm.remote.local import LocalEndpoint
from hsm.sync.bring.push import push
from hsm.sync.clean.choice.sweeps import find_clean_sources
from hsm.sync.clean.clean import CleanRequest, SweepClean, open_clean
from hsm.sync.clean.report import CleanReport
from hsm.sync.clean.values import CleanOptions
from hsm.sync.request import SyncRequest
from tests.e2e.synthetic import write_run, write_sweep_folder

SWEEP = "sweep_20251020_212836"
RUNS = tuple(f"run-20251020_212836-r{number}" for number in range(2))


class CleanBench:
    """A project with a sweep of two finished runs, and targets that are folders."""

    def __init__(self, folder: Path, *targets: str) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.runner = Runner()
        write_sweep_folder(self.project, SWEEP)
        for number in range(2):
            write_run(self.project / "wandb", f"r{number}", sweep=SWEEP)
        self.write_config({name: folder / name for name in targets or ("nas",)})

    def write_config(self, targets: dict[str, Path]) -> None:
        config = {
            name: {
                "paths": {root.value: str(path / root.value) for root in Root},
                "engine": "copy",
                "options": {"latest_only": False, "max_depth": None},
            }
            for name, path in targets.items()
        }
        (self.project / ".hsm").mkdir(parents=True, exist_ok=True)
        (self.project / ".hsm/sync_config.yaml").write_text(json.dumps({"sync_targets": config}))

    def load(self) -> LoadedConfig:
        return load_project_config(self.project, environment={})

    def push(self, *targets: str, sweep: str = SWEEP) -> None:
        loaded = self.load()
        found = {name: loaded.config.sync_targets[name] for name in targets or loaded.config.sync_targets}
        report = push(loaded, SyncRequest((sweep,), found), runner=self.runner, reporter=SilentReporter())
        assert int(report.exit_code) == 0, report

    @contextlib.contextmanager
    def open(
        self,
        *targets: str,
        n_copies: int = 1,
        roots: tuple[Root, ...] = tuple(Root),
        is_quick: bool = False,
        is_dry_run: bool = False,
        sweep: str = SWEEP,
        choice: RunChoice | None = None,
        older_than_ns: int = 0,
    ) -> Iterator[SweepClean]:
        options = CleanOptions(n_copies=n_copies, is_quick=is_quick, older_than_ns=older_than_ns)
        request = CleanRequest(options, roots, targets, is_dry_run=is_dry_run, choice=choice or RunChoice())
        loaded = self.load()
        (source,) = find_clean_sources(loaded, LocalEndpoint(), [sweep], options, request.choice)
        with open_clean(loaded, source, request, runner=self.runner, reporter=SilentReporter()) as clean:
            yield clean

    def clean(self) -> CleanReport:
        with self.open() as clean:
            return clean.remove()

    def run(self, number: int = 0) -> Path:
        return self.project / "wandb" / RUNS[number]

    def run_there(self, number: int = 0, target: str = "nas") -> Path:
        return self.folder / target / "wandb" / RUNS[number]

    def read_results(self) -> dict[str, str]:
        """Every file of the project's results, with a word for its content."""
        return {
            str(path.relative_to(self.project)): hashlib.sha256(path.read_bytes()).hexdigest()
            for root in ("sweeps", "wandb")
            for path in sorted((self.project / root).rglob("*"))
            if path.is_file()
        }

    def read_records(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted((self.project / ".hsm/cleaned").rglob("*.json"))]


def list_going(report: CleanReport) -> set[str]:
    """The names of what goes, the sweep's folder under its empty name."""
    return {verdict.unit.name for verdict in report.going}


def say(report: CleanReport, name: str) -> str:
    """Everything that is said of why a unit stays."""
    (verdict,) = (verdict for verdict in report.verdicts if verdict.unit.name == name)
    kept = [each.why for each in report.kept if each.path == verdict.unit.path]
    lacks = [f"{target}: {lack.path} {lack.why}" for target, found in verdict.lacks.items() for lack in found]
    return "\n".join([*verdict.reasons, *lacks, *kept])


@pytest.fixture
def bench(tmp_path: Path) -> CleanBench:
    """Return a project whose sweep lies at one target."""
    bench = CleanBench(tmp_path)
    bench.push()
    return bench
