"""The workflow of a push: several sweeps, several targets, and what goes wrong at one of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hsm.config.schema import parse_target
from hsm.errors import ExitCode, LoginRefusedError, UsageError
from hsm.model import Root
from hsm.process.runner import CommandStoppedError
from hsm.project_folder import ProjectFolder
from hsm.sync.bring.push import push
from hsm.sync.bring.session import Session
from hsm.sync.reports import State, SyncReport
from tests.e2e.synthetic import write_run
from tests.fake_target import fail
from tests.unit.sync.bring.conftest import ONE, TWO, FakeSession, Workbench


def run_push(bench: Workbench, *sweeps: str, session: Session | None = None, **options: Any) -> SyncReport:
    return push(
        bench.load(),
        bench.request(*(sweeps or (ONE, TWO)), **options),
        runner=bench.runner,
        reporter=bench,
        session=session or FakeSession(bench.targets),
    )


def list_states(report: SyncReport) -> dict[str, list[State]]:
    return {sweep.sweep: [target.state for target in sweep.targets] for sweep in report.sweeps}


def list_files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".hsm-" not in str(path)}


@pytest.fixture
def bench(workbench: Workbench) -> Workbench:
    workbench.write_sweep(ONE)
    workbench.write_sweep(TWO)
    return workbench


def test_every_sweep_comes_to_every_target(bench: Workbench) -> None:
    report = run_push(bench)
    assert list_states(report) == {sweep: [State.DONE, State.DONE] for sweep in (ONE, TWO)}
    assert report.exit_code is ExitCode.DONE
    for target in bench.targets.values():
        there = {path for root in Root for path in list_files(Path(target.roots[root]))}
        assert len(there) == 2 * (1 + 2 * 3)
    assert sorted(bench.list_ended()) == [("backup", "done")] * 2 + [("desktop", "done")] * 2


def test_the_steps_follow_one_another(bench: Workbench) -> None:
    run_push(bench, ONE, targets=("desktop",))
    assert bench.list_steps("desktop") == ["login", "scan", "check", "plan", "lock", "transfer", "record"]


def test_a_target_that_refuses_the_login_concerns_no_other(bench: Workbench) -> None:
    bench.targets["desktop"].script.at("login", fail(LoginRefusedError("go away", kind="login_refused")))
    report = run_push(bench)
    assert list_states(report) == {sweep: [State.UNREACHABLE, State.DONE] for sweep in (ONE, TWO)}
    assert report.exit_code is ExitCode.PARTIAL
    assert ("desktop", "unreachable") in bench.list_ended()


def test_what_fails_for_one_sweep_is_tried_for_the_next(bench: Workbench) -> None:
    bench.targets["desktop"].script.at("make_engine", fail(LoginRefusedError("no", kind="login_refused")), None)
    states = list_states(run_push(bench, targets=("desktop",)))
    assert states == {ONE: [State.UNREACHABLE], TWO: [State.DONE]}


def test_after_an_interrupt_no_further_sweep_is_begun(bench: Workbench) -> None:
    bench.targets["desktop"].script.at("send", fail(CommandStoppedError()))
    report = run_push(bench, targets=("desktop",))
    assert list_states(report) == {sweep: [State.INTERRUPTED] for sweep in (ONE, TWO)}
    assert report.exit_code is ExitCode.INTERRUPTED
    assert bench.list_steps("desktop").count("check") == 1


def test_a_sweep_that_does_not_exist_starts_nothing(bench: Workbench) -> None:
    with pytest.raises(UsageError, match="sweep_9"):
        run_push(bench, ONE, "sweep_9")
    assert not any(target.script.seen for target in bench.targets.values())


def test_the_destination_is_asked_once_where_the_journal_knows_the_runs(bench: Workbench) -> None:
    run_push(bench, ONE, targets=("desktop",))
    bench.targets["desktop"].script.seen.clear()
    assert list_states(run_push(bench, ONE, targets=("desktop",))) == {ONE: [State.NOTHING_TO_DO]}
    assert bench.targets["desktop"].script.seen == ["login", "survey"]


def test_a_new_run_costs_a_second_question(bench: Workbench) -> None:
    run_push(bench, ONE, targets=("desktop",))
    bench.write_sweep(ONE)
    write_run(bench.project / "wandb", "new", sweep=ONE)
    bench.targets["desktop"].script.seen.clear()
    assert list_states(run_push(bench, ONE, targets=("desktop",))) == {ONE: [State.DONE]}
    assert bench.targets["desktop"].script.seen.count("survey") >= 2
    assert bench.targets["desktop"].script.seen[:2] == ["login", "survey"]


def test_a_session_that_has_seen_a_target_full_does_not_ask_it_again(bench: Workbench) -> None:
    class Settled(FakeSession):
        def find_unchanged(self, name: str, inventory: Any) -> Any:  # noqa: ARG002
            return first.sweeps[0].targets[0]

    first = run_push(bench, ONE, targets=("desktop",))
    bench.targets["desktop"].script.seen.clear()
    report = run_push(bench, ONE, targets=("desktop",), session=Settled(bench.targets, asks_early=False))
    assert report.sweeps[0].targets[0] == first.sweeps[0].targets[0]
    assert bench.targets["desktop"].script.seen == ["login"]


def test_a_dry_run_leaves_nothing_anywhere(bench: Workbench) -> None:
    before = list_files(bench.folder)
    report = run_push(bench, is_dry_run=True)
    assert list_states(report) == {sweep: [State.PLANNED, State.PLANNED] for sweep in (ONE, TWO)}
    assert list_files(bench.folder) == before


def test_steps_after_a_sync_follow_what_arrived_and_nothing_else(bench: Workbench) -> None:
    request = bench.request(ONE, targets=("desktop",))
    plain = asdict(request.targets["desktop"])
    root = bench.targets["desktop"].folder
    plain["paths"]["project_root"] = str(root)
    settings = parse_target({**plain, "after_sync": [{"run": "echo $HSM_SWEEP >arrived"}]})
    config = json.loads((bench.project / ".hsm/sync_config.yaml").read_text())
    config["sync_targets"]["desktop"] = asdict(settings)
    (bench.project / ".hsm/sync_config.yaml").write_text(json.dumps(config))
    desktop = bench.targets["desktop"].script
    desktop.at("survey", fail(LoginRefusedError("no", kind="login_refused")), None)
    assert list_states(run_push(bench, ONE, targets=("desktop",))) == {ONE: [State.UNREACHABLE]}
    assert not (root / "arrived").exists()
    report = run_push(bench, ONE, targets=("desktop",))
    assert (root / "arrived").read_text() == f"{ONE}\n"
    assert [step.state.value for step in report.sweeps[0].targets[0].after] == ["done"]
    (root / "arrived").unlink()
    assert list_states(run_push(bench, ONE, targets=("desktop",), does_after_sync=False)) == {
        ONE: [State.NOTHING_TO_DO]
    }
    run_push(bench, ONE, targets=("desktop",))
    assert not (root / "arrived").exists()


def test_a_call_that_is_refused_writes_nothing(bench: Workbench) -> None:
    path = bench.project / ".hsm/sync_config.yaml"
    config = json.loads(path.read_text())
    config["sync_targets"]["desktop"]["options"] = {"sync_wandb_runs": False}
    path.write_text(json.dumps(config))
    before = list_files(bench.project)
    with pytest.raises(UsageError, match="Nothing is left"):
        run_push(bench, ONE, targets=("desktop",), roots=(Root.WANDB,))
    assert list_files(bench.project) == before


def test_a_notice_of_the_journal_is_told_by_whoever_holds_its_lock(bench: Workbench) -> None:
    run_push(bench, ONE, targets=("desktop",))
    ProjectFolder(bench.project).journal("desktop", ONE).write_text("{")
    report = run_push(bench, ONE, targets=("desktop",)).sweeps[0].targets[0]
    assert [problem.kind for problem in report.problems] == ["damaged_journal"]
    assert run_push(bench, ONE, targets=("desktop",)).sweeps[0].targets[0].problems == ()
