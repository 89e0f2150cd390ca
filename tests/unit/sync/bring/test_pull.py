"""The workflow of a pull: sweeps of several targets come into one project, and what is whose stays known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hsm.errors import ExitCode, LoginRefusedError, UsageError
from hsm.model import Root
from hsm.process.runner import CommandStoppedError, Runner
from hsm.sync.bring.pull import pull
from hsm.sync.reports import State, SyncReport
from tests.e2e.synthetic import write_file
from tests.fake_target import FakeTarget, fail
from tests.unit.sync.bring.conftest import ONE, TWO, FakeSession, Workbench


def run_pull(bench: Workbench, *sweeps: str, **options: Any) -> SyncReport:
    return pull(
        bench.load(),
        bench.request(*(sweeps or (ONE,)), **options),
        runner=bench.runner,
        reporter=bench,
        session=FakeSession(bench.targets),
    )


def list_states(report: SyncReport) -> dict[str, list[State]]:
    return {sweep.sweep: [target.state for target in sweep.targets] for sweep in report.sweeps}


@pytest.fixture
def bench(workbench: Workbench) -> Workbench:
    """The sweep lies at the first target."""
    workbench.write_sweep(ONE, root=workbench.targets["desktop"].folder)
    for target in workbench.targets.values():
        for root in Root:
            Path(target.roots[root]).mkdir(parents=True, exist_ok=True)
    return workbench


def test_a_sweep_comes_and_then_there_is_nothing_to_do(bench: Workbench) -> None:
    assert list_states(run_pull(bench, targets=("desktop",))) == {ONE: [State.DONE]}
    assert len([path for path in (bench.project / "wandb").rglob("*") if path.is_file()]) == 6
    assert list_states(run_pull(bench, targets=("desktop",))) == {ONE: [State.NOTHING_TO_DO]}


def test_a_target_without_the_sweep_is_told_beside_one_that_has_it(bench: Workbench) -> None:
    report = run_pull(bench)
    assert list_states(report) == {ONE: [State.DONE, State.FAILED]}
    assert isinstance(report.sweeps[0].targets[1].error, UsageError)


def test_a_sweep_that_no_target_has_is_an_error(bench: Workbench) -> None:
    with pytest.raises(UsageError, match=TWO):
        run_pull(bench, TWO)


def test_what_another_target_brought_and_differs_is_kept(bench: Workbench) -> None:
    bench.write_sweep(ONE, root=bench.targets["backup"].folder)
    log = next((bench.targets["backup"].folder / "wandb").rglob("output.log"))
    write_file(log, b"of the other cluster\n", mtime_ns=1_770_000_000_000_000_000)
    report = run_pull(bench)
    states = list_states(report)[ONE]
    assert sorted(state.value for state in states) == ["done", "partial"]
    problems = [problem for target in report.sweeps[0].targets for problem in target.problems]
    assert {problem.kind for problem in problems if problem.is_failure} == {"conflict"}
    assert report.exit_code is ExitCode.PARTIAL


def test_what_grew_at_its_own_target_is_an_update(bench: Workbench) -> None:
    run_pull(bench, targets=("desktop",))
    log = next((bench.targets["desktop"].folder / "wandb").rglob("output.log"))
    write_file(log, b"more of the same\n", mtime_ns=1_770_000_000_000_000_000)
    assert list_states(run_pull(bench, targets=("desktop",))) == {ONE: [State.DONE]}
    here = bench.project / "wandb" / log.relative_to(bench.targets["desktop"].folder / "wandb")
    assert here.read_bytes() == b"more of the same\n"


def test_a_pull_that_is_interrupted_knows_its_own_files_again(bench: Workbench) -> None:
    bench.targets["desktop"].script.at("sent", fail(CommandStoppedError()), None)
    assert list_states(run_pull(bench, targets=("desktop",))) == {ONE: [State.INTERRUPTED]}
    log = next((bench.targets["desktop"].folder / "wandb").rglob("output.log"))
    write_file(log, b"more of the same\n", mtime_ns=1_770_000_000_000_000_000)
    report = run_pull(bench, targets=("desktop",))
    assert list_states(report) == {ONE: [State.DONE]}, report.sweeps[0].targets[0].problems


def test_a_pull_that_is_killed_knows_its_own_files_again(bench: Workbench) -> None:
    """Nothing is written down after the transfer, so what came is known only from before it."""
    bench.targets["desktop"].script.at("sent", fail(ZeroDivisionError()), None)
    with pytest.raises(ZeroDivisionError):
        run_pull(bench, targets=("desktop",))
    bench.runner, bench.targets["desktop"] = Runner(), FakeTarget(bench.folder / "desktop", name="desktop")
    log = next((bench.targets["desktop"].folder / "wandb").rglob("output.log"))
    assert (bench.project / "wandb" / log.relative_to(bench.targets["desktop"].folder / "wandb")).exists()
    write_file(log, b"more of the same\n", mtime_ns=1_770_000_000_000_000_000)
    report = run_pull(bench, targets=("desktop",))
    assert list_states(report) == {ONE: [State.DONE]}, report.sweeps[0].targets[0].problems


def test_what_comes_here_by_other_means_after_a_kill_is_kept(bench: Workbench) -> None:
    bench.targets["desktop"].script.at("sent", fail(ZeroDivisionError()), None)
    with pytest.raises(ZeroDivisionError):
        run_pull(bench, targets=("desktop",))
    bench.runner, bench.targets["desktop"] = Runner(), FakeTarget(bench.folder / "desktop", name="desktop")
    log = next((bench.targets["desktop"].folder / "wandb").rglob("output.log"))
    here = bench.project / "wandb" / log.relative_to(bench.targets["desktop"].folder / "wandb")
    write_file(here, b"the only copy of another cluster's\n", mtime_ns=1_750_000_000_000_000_000)
    report = run_pull(bench, targets=("desktop",))
    assert list_states(report) == {ONE: [State.PARTIAL]}
    assert here.read_bytes() == b"the only copy of another cluster's\n"


def test_a_target_out_of_reach_concerns_no_other(bench: Workbench) -> None:
    bench.targets["backup"].script.at("login", fail(LoginRefusedError("go away", kind="login_refused")))
    assert list_states(run_pull(bench)) == {ONE: [State.DONE, State.UNREACHABLE]}


def test_a_folder_that_is_missing_there_is_told(bench: Workbench) -> None:
    (bench.targets["desktop"].folder / "wandb").rename(bench.folder / "away")
    report = run_pull(bench, targets=("desktop",))
    error = report.sweeps[0].targets[0].error
    assert error is not None
    assert error.kind == "source_missing"
