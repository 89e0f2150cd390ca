"""Files that came into being here where a clean removed one: never an update of the only copy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hsm.config.load import load_project_config
from hsm.progress import SilentReporter
from hsm.sync.bring.pull import pull
from hsm.sync.bring.push import push
from hsm.sync.reports import SyncReport
from hsm.sync.request import SyncRequest
from tests.e2e.synthetic import write_run
from tests.unit.sync.clean.conftest import RUNS, SWEEP, CleanBench, list_going

if TYPE_CHECKING:
    from collections.abc import Callable

TABLE = f"sweeps/outputs/{SWEEP}/results.csv"
LOG = f"wandb/{RUNS[0]}/files/output.log"


@pytest.fixture
def bench(tmp_path: Path) -> CleanBench:
    """Return a project whose sweep was removed here and lies at one target."""
    bench = CleanBench(tmp_path)
    write(bench.project / TABLE, "lr,loss\n0.1,0.5\n", age=1000)
    bench.push()
    assert list_going(bench.clean()) == {*RUNS, ""}
    return bench


def write(path: Path, text: str, *, age: int = 60) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    now = path.stat().st_mtime_ns - age * 10**9
    os.utime(path, ns=(now, now))


def sync(bench: CleanBench, work: Callable[..., SyncReport], **options: object) -> SyncReport:
    loaded = load_project_config(bench.project, environment={})
    request = SyncRequest((SWEEP,), dict(loaded.config.sync_targets), **options)  # type: ignore[arg-type]
    return work(loaded, request, runner=bench.runner, reporter=SilentReporter())


def list_conflicts(report: SyncReport) -> list[str]:
    (target,) = report.sweeps[0].targets
    return [problem.path for problem in target.problems if problem.kind == "conflict"]


@pytest.mark.parametrize("path", [TABLE, LOG])
@pytest.mark.parametrize("text", ["lr,loss\n", "x" * 16, "longer than what was there" * 100])
def test_what_is_made_anew_does_not_replace_the_only_copy(bench: CleanBench, path: str, text: str) -> None:
    there = bench.folder / "nas" / path
    before = there.read_bytes()
    if path == LOG:  # a run of the same name begins anew, with the same log
        write_run(bench.project / "wandb", "r0", sweep=SWEEP)
    write(bench.project / path, text)
    report = sync(bench, push)
    assert int(report.exit_code) == 1
    assert list_conflicts(report) == [path.partition("/")[2]]
    assert there.read_bytes() == before


def test_without_a_check_it_does_not_either(tmp_path: Path) -> None:
    bench = CleanBench(tmp_path)
    write(bench.project / TABLE, "lr,loss\n0.1,0.5\n", age=1000)
    bench.push()
    bench.clean()
    config = bench.project / ".hsm/sync_config.yaml"
    config.write_text(config.read_text().replace('"latest_only"', '"check_remote_first": false, "latest_only"'))
    write(bench.project / TABLE, "lr,loss\n")
    assert list_conflicts(sync(bench, push)) == [TABLE.partition("/")[2]]
    assert (bench.folder / "nas" / TABLE).read_text() == "lr,loss\n0.1,0.5\n"


def test_what_is_made_anew_with_the_old_content_is_the_same(bench: CleanBench) -> None:
    write(bench.project / TABLE, "lr,loss\n0.1,0.5\n")
    assert list_conflicts(sync(bench, push)) == []


def test_what_a_clean_did_not_remove_is_new(bench: CleanBench) -> None:
    write(bench.project / TABLE.replace("results", "more"), "lr,loss\n")
    report = sync(bench, push)
    assert (int(report.exit_code), list_conflicts(report)) == (0, [])
    assert (bench.folder / "nas" / TABLE.replace("results", "more")).is_file()


def test_what_was_brought_back_goes_on(bench: CleanBench) -> None:
    assert int(sync(bench, pull).exit_code) == 0
    write(bench.project / TABLE, "lr,loss\n0.1,0.5\n0.2,0.4\n")
    report = sync(bench, push)
    assert (int(report.exit_code), list_conflicts(report)) == (0, [])
    assert (bench.folder / "nas" / TABLE).read_text().endswith("0.2,0.4\n")


def test_what_was_brought_back_and_removed_again_is_the_only_copy_again(bench: CleanBench) -> None:
    sync(bench, pull)
    bench.push()
    assert list_going(bench.clean()) == {*RUNS, ""}
    write(bench.project / TABLE, "lr,loss\n")
    assert list_conflicts(sync(bench, push)) == [TABLE.partition("/")[2]]


def test_what_was_sent_in_spite_of_it_goes_on(bench: CleanBench) -> None:
    write(bench.project / TABLE, "lr,loss\n")
    assert int(sync(bench, push, overwrite=True).exit_code) == 0
    assert (bench.folder / "nas" / TABLE).read_text() == "lr,loss\n"
    write(bench.project / TABLE, "lr,loss\n0.3,0.1\n", age=30)
    assert list_conflicts(sync(bench, push)) == []
    assert (bench.folder / "nas" / TABLE).read_text() == "lr,loss\n0.3,0.1\n"
