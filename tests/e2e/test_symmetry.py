"""Source and destination are of one kind: what pushes also pulls, with the same parts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hsm.config.load import load_project_config
from hsm.discover.index import RunIndex
from hsm.discover.inventory import read_inventory
from hsm.discover.sweeps import Layout, look_for_sweeps, pick_sweep
from hsm.model import Root
from hsm.process.runner import Runner
from hsm.progress import SilentReporter
from hsm.records.journal import make_route
from hsm.records.receipt import Sender
from hsm.remote.local import LocalEndpoint, LocalShell
from hsm.remote.shell_programs.guard import ShellGuard
from hsm.sync.bring.exchange.exchange import Exchange
from hsm.sync.bring.exchange.setup import Direction, ExchangeSetup
from hsm.sync.bring.ledger.books import Books
from hsm.sync.bring.ledger.ledger import Ledger
from hsm.sync.bring.options import ExchangeOptions, select_wanted
from hsm.sync.counts import count_files, count_runs
from hsm.sync.observer import Observer, Stopwatch
from hsm.sync.reports import State, TargetReport
from hsm.targets.connect import connect

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeProject


@pytest.fixture(autouse=True)
def _programs(require_program: Any) -> None:
    require_program("rsync", "ssh", "sshd")


def pull(remote_project: Path, here: Path, config: Path, name: str) -> TargetReport:
    """Bring a sweep from the far project here, with the parts that push."""
    settings = load_project_config(config).config.sync_targets["desktop"]
    runner, reporter = Runner(), SilentReporter()
    own = Layout(str(here), str(here / "sweeps"), str(here / "wandb"))
    connection = connect("desktop", settings, runner, reporter, layout=own)
    source, destination = connection.endpoint, LocalEndpoint(runner)
    layout = Layout(str(remote_project), str(remote_project / "sweeps"), str(remote_project / "wandb"))
    known = look_for_sweeps(source, layout).sweeps
    sweep = pick_sweep(known, name)
    ids = [found.id for found in known]
    inventory = read_inventory(source, layout, sweep, max_depth=1, index=RunIndex(), known_sweeps=ids)
    roots = {root: str(here / root.value) for root in Root}
    route = make_route(settings, direction="pull")
    books = Books(here, "desktop", route, Sender("a" * 16, "far", "/far"))
    direction = Direction(source, destination, roots, partial(ShellGuard, LocalShell(runner)), is_pull=True)
    options = ExchangeOptions()
    wanted = select_wanted(inventory, options)
    observer = Observer(reporter, Stopwatch("desktop", reporter), runner.sleep)
    return Exchange(ExchangeSetup(connection, direction, wanted, options, Ledger(books, sweep.id), observer)).run()


def test_a_remote_source_and_a_local_destination_work_with_the_same_parts(
    make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(real=True)
    flat, nested = sorted(path.name for path in (project.folder / "sweeps/outputs").iterdir())
    here = tmp_path / "here"
    here.mkdir()
    for word, n_runs in ((flat, 18), (nested, 15)):
        report = pull(project.folder, here, project.folder, word)
        assert report.state is State.DONE, report.error
        assert count_runs(report)["total"] == n_runs
        assert count_files(report)["sent"] == count_files(report)["planned"] > 0
    arrived = {path.relative_to(here / "wandb") for path in (here / "wandb").rglob("*") if path.is_file()}
    assert len({path.parts[0] for path in arrived}) == 33
    for path in arrived:
        source = next(
            root / path
            for root in (project.folder / "wandb", project.folder / f"wandb/{nested}/wandb")
            if (root / path).exists()
        )
        assert (here / "wandb" / path).read_bytes() == source.read_bytes()
        assert (here / "wandb" / path).stat().st_mtime_ns == source.stat().st_mtime_ns
    assert (here / f"sweeps/outputs/{flat}/.hsm-sync/receipt-{'a' * 16}.json").exists()
    assert pull(project.folder, here, project.folder, flat).state is State.NOTHING_TO_DO
