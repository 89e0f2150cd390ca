"""The steps after a sync: what is run, uploaded and copied first, and what a failure makes of the report."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hsm.config.schema import parse_target
from hsm.errors import ExitCode, NoAnswerError, TargetError
from hsm.model import PlanItem, Reason, Root, Run, RunState, SourceFile, SyncPlan
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Event
from hsm.remote.local import LocalEndpoint
from hsm.sync.after.arrival import Arrival
from hsm.sync.after.steps import AfterSync
from hsm.sync.observer import Observer, Stopwatch
from hsm.sync.reports import AfterStep, State, StepState, TargetReport
from hsm.targets.contract import Connection
from hsm.transfer.outcome import Outcome, TransferResult
from tests.fake_target import FakeTarget, fail
from tests.unit.wandb_log import log_writer as w

SWEEP = "sweep_1"
RUNS = tuple(f"offline-run-20260101_000000-r{number}" for number in range(3))
LOG = "run-r.wandb"
UPLOAD: dict[str, Any] = {"wandb_sync": True}
MARK = "[pathlib.Path(f'{log}.synced').touch() for log in run.glob('*.wandb')]"


def make_artifact(*paths: str) -> bytes:
    """Make the record of an artifact with waiting files, as `hsm.wandb_log.artifacts` reads it."""
    entries = b"".join(w.field(4, w.field(6, path)) for path in paths)
    return w.record(8, w.field(4, "model") + w.field(5, "my-model") + w.field(12, entries))


@dataclass
class Bench:
    """Runs here that have arrived at a target, and what is done there afterwards."""

    folder: Path
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.target = FakeTarget(self.folder / "there", name="desktop")
        self.runner = Runner()
        self.programs = self.folder / "programs"
        self.programs.mkdir()
        for root in self.target.roots.values():
            Path(root).mkdir(parents=True)

    def report(self, event: Event) -> None:
        self.events.append(event)

    def write_run(self, name: str, *records: bytes) -> None:
        """Write a run's log here and at the target."""
        log = w.frame([w.run("r", group=SWEEP), *records, w.exit_code(0), w.FOOTER])
        for wandb in (self.folder / "here", Path(self.target.roots[Root.WANDB])):
            (wandb / name).mkdir(parents=True, exist_ok=True)
            (wandb / name / LOG).write_bytes(log)

    def write_wandb(self, body: str) -> str:
        path = self.programs / "wandb"
        path.write_text(f"#!{sys.executable}\nimport pathlib, sys\nrun = pathlib.Path(sys.argv[-1])\n{body}\n")
        path.chmod(0o755)
        return str(path)

    def make_arrival(self, *steps: dict[str, Any], **options: Any) -> Arrival:
        paths = {"project_root": str(self.target.folder), "sweeps": "sweeps", "wandb": "wandb"}
        given = {"host": "desktop", "paths": paths, "after_sync": steps, "options": options}
        settings = parse_target(given)
        connection: Connection = self.target
        return Arrival(SWEEP, connection, settings, LocalEndpoint(), "0123456789abcdef")

    def run(
        self, report: TargetReport, *steps: dict[str, Any], owed: tuple[str, ...] = (), **options: Any
    ) -> TargetReport:
        observer = Observer(self, Stopwatch("desktop", self), self.runner.sleep)
        after = AfterSync(self.make_arrival(*steps, **options), self.runner, observer, owed=frozenset(owed))
        return after.run(report)

    def make_report(self, *names: str, state: State = State.DONE, is_sent: bool = True) -> TargetReport:
        """Make the report of a sync that verified runs."""
        prefix = str(self.folder / "here")
        runs = tuple(Run(name, prefix, LOG, RunState.FINISHED, 0) for name in names or RUNS[:1])
        files = [SourceFile(Root.WANDB, f"{run.name}/{LOG}", prefix, 1, 1, 1, run.name) for run in runs]
        plan = SyncPlan(SWEEP, runs, tuple(PlanItem(file, Reason.NEW if is_sent else Reason.SAME) for file in files))
        result = None
        if is_sent and state is not State.PLANNED:
            keys = {file.key: file for file in files}
            result = TransferResult(dict.fromkeys(keys, Outcome.SENT), keys)
        return TargetReport("desktop", state, ExitCode.DONE, plan=plan, result=result)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Path(os.path.realpath(tmp_path)))


def list_kinds(report: TargetReport) -> list[str]:
    return [problem.kind for problem in report.problems]


@pytest.mark.parametrize(
    "changes",
    [
        {"state": State.FAILED},
        {"state": State.INTERRUPTED},
        {"plan": None},
        {"error": TargetError("no")},
    ],
)
def test_what_did_not_arrive_is_left_alone(bench: Bench, changes: dict[str, Any]) -> None:
    report = replace(bench.make_report(), **changes)
    assert bench.run(report, {"run": "echo x >ran"}) is report
    assert bench.events == []


# -- commands --------------------------------------------------------------------------------------------------------


def test_a_command_runs_in_the_project_there_and_knows_the_sweep(bench: Bench) -> None:
    command = 'echo "$HSM_SWEEP|$HSM_TARGET|$HSM_RECEIPT"; pwd'
    report = bench.run(bench.make_report(), {"run": command})
    there = bench.target.folder
    receipt = f"{there}/sweeps/outputs/{SWEEP}/.hsm-sync/receipt-0123456789abcdef.json"
    output = f"{SWEEP}|desktop|{receipt}\n{there}\n"
    assert report.after == (AfterStep("run", StepState.DONE, command, exit_code=0, output=output),)
    assert (report.state, report.exit_code, report.problems) == (State.DONE, ExitCode.DONE, ())
    assert "after_sync" in report.seconds


@pytest.mark.parametrize(
    ("is_sent", "state", "owed", "expected"),
    [
        pytest.param(True, State.DONE, (), StepState.DONE, id="something was sent"),
        pytest.param(False, State.NOTHING_TO_DO, (), StepState.NOTHING_TO_DO, id="nothing was sent"),
        pytest.param(False, State.NOTHING_TO_DO, ("touch ran",), StepState.DONE, id="it failed before"),
        pytest.param(False, State.NOTHING_TO_DO, ("other",), StepState.NOTHING_TO_DO, id="another failed before"),
        pytest.param(True, State.PLANNED, (), StepState.PLANNED, id="a dry run that would send"),
        pytest.param(False, State.PLANNED, (), StepState.NOTHING_TO_DO, id="a dry run with nothing to send"),
    ],
)
def test_a_command_runs_where_something_was_sent(
    bench: Bench, is_sent: bool, state: State, owed: tuple[str, ...], expected: StepState
) -> None:
    report = bench.run(bench.make_report(is_sent=is_sent, state=state), {"run": "touch ran"}, owed=owed)
    assert [step.state for step in report.after] == [expected]
    assert (bench.target.folder / "ran").exists() is (expected is StepState.DONE)
    assert report.state is state


def test_a_command_that_fails_makes_of_a_success_a_part_of_one(bench: Bench) -> None:
    report = bench.run(bench.make_report(), {"run": "echo no >&2; exit 3"}, {"run": "true"})
    assert [(step.state, step.exit_code) for step in report.after] == [(StepState.FAILED, 3), (StepState.DONE, 0)]
    assert list_kinds(report) == ["after_sync_failed"]
    assert (report.state, report.exit_code) == (State.PARTIAL, ExitCode.PARTIAL)


def test_where_no_command_may_run_each_step_says_so(bench: Bench) -> None:
    bench.write_run(RUNS[0])
    bench.target.shell = None
    report = bench.run(bench.make_report(), {"run": "true"}, UPLOAD)
    assert [step.state for step in report.after] == [StepState.FAILED, StepState.FAILED]
    assert list_kinds(report) == ["no_commands", "no_commands"]


# -- uploads ---------------------------------------------------------------------------------------------------------


def test_each_run_is_uploaded_once(bench: Bench) -> None:
    for name in RUNS:
        bench.write_run(name)
    step = {**UPLOAD, "wandb_path": bench.write_wandb(f"print(run.name)\n{MARK}")}
    report = bench.run(bench.make_report(*RUNS), step)
    assert [(each.state, each.runs, each.exit_code) for each in report.after] == [(StepState.DONE, RUNS, 0)]
    assert report.after[0].output == "".join(f"{name}\n" for name in RUNS)
    again = bench.run(bench.make_report(*RUNS, is_sent=False, state=State.NOTHING_TO_DO), step)
    assert [each.state for each in again.after] == [StepState.NOTHING_TO_DO]


def test_a_dry_run_names_the_runs_and_changes_nothing(bench: Bench) -> None:
    bench.write_run(RUNS[0])
    report = bench.run(bench.make_report(state=State.PLANNED), {**UPLOAD, "wandb_path": bench.write_wandb(MARK)})
    assert [(each.state, each.runs) for each in report.after] == [(StepState.PLANNED, RUNS[:1])]
    assert list(bench.target.folder.rglob("*.synced")) == []


@pytest.mark.parametrize(
    ("body", "kinds", "done"),
    [
        pytest.param("sys.exit(1)", ["upload_failed"] * 2 + ["upload_not_tried"], (), id="two failures end it"),
        pytest.param(f"run.name.endswith('1') and sys.exit(1)\n{MARK}", ["upload_failed"], (0, 2), id="one fails"),
        pytest.param(
            f"run.name.endswith('1') or sys.exit(1)\n{MARK}", ["upload_failed"] * 2, (1,), id="not two in a row"
        ),
        pytest.param(None, ["wandb_missing", "upload_not_tried"], (), id="no program"),
    ],
)
def test_an_upload_that_fails(bench: Bench, body: str | None, kinds: list[str], done: tuple[int, ...]) -> None:
    for name in RUNS:
        bench.write_run(name)
    program = bench.write_wandb(body) if body is not None else str(bench.programs / "none")
    report = bench.run(bench.make_report(*RUNS), {**UPLOAD, "wandb_path": program})
    assert list_kinds(report) == kinds
    assert [(each.state, each.runs) for each in report.after] == [
        (StepState.FAILED, tuple(RUNS[number] for number in done))
    ]
    assert report.exit_code is ExitCode.PARTIAL


def test_a_run_of_which_something_was_left_out_is_told_and_not_uploaded(bench: Bench) -> None:
    bench.write_run(RUNS[0])
    report = bench.make_report()
    assert report.plan is not None
    left = PlanItem(report.plan.items[0].file._replace(path=f"{RUNS[0]}/files/x"), Reason.EXCLUDED)
    report = replace(report, plan=replace(report.plan, items=(*report.plan.items, left)))
    found = bench.run(report, {**UPLOAD, "wandb_path": bench.write_wandb(MARK)})
    assert [each.state for each in found.after] == [StepState.NOTHING_TO_DO]
    assert (list_kinds(found), found.exit_code) == (["upload_not_whole"], ExitCode.DONE)


# -- artifacts -------------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(bench: Bench) -> Path:
    """Return a file of an artifact that waits here, and that the first run's log names under its path at the target."""
    path = bench.folder / "artifacts/staging/model.bin"
    path.parent.mkdir(parents=True)
    path.write_text("model")
    bench.write_run(RUNS[0], make_artifact(str(path)))
    return path


def upload(bench: Bench, **options: Any) -> TargetReport:
    return bench.run(bench.make_report(), {**UPLOAD, "wandb_path": bench.write_wandb(MARK)}, **options)


def test_an_artifact_that_is_there_under_its_path_is_no_problem(bench: Bench, waiting: Path) -> None:
    """Both ends are this machine, so what waits here lies there."""
    report = upload(bench)
    assert (report.problems, report.after[0].state, report.after[0].staged_files) == ((), StepState.DONE, 0)
    assert waiting.is_file()


def test_an_artifact_that_is_not_there_is_named_and_the_run_is_uploaded(bench: Bench, waiting: Path) -> None:
    waiting.unlink()
    report = upload(bench)
    assert list_kinds(report) == ["artifact_missing"]
    assert (report.after[0].state, report.exit_code) == (StepState.DONE, ExitCode.PARTIAL)


def test_a_log_that_cannot_be_read_here_is_told(bench: Bench) -> None:
    bench.write_run(RUNS[0])
    (bench.folder / "here" / RUNS[0] / LOG).unlink()
    report = upload(bench)
    assert list_kinds(report) == ["artifacts_unknown"]
    assert (report.after[0].state, report.exit_code) == (StepState.DONE, ExitCode.DONE)


@dataclass
class Elsewhere:
    """A source whose staging folder is another one: stands for the other machine."""

    folder: str
    inside: LocalEndpoint = field(default_factory=LocalEndpoint)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inside, name)

    def survey(self, trees: list[Any], **options: Any) -> Any:
        moved = [
            tree if tree.base.startswith(self.folder) else replace(tree, base=f"{self.folder}{tree.base}")
            for tree in trees
        ]
        return self.inside.survey(moved, **options)


@pytest.fixture
def moving(bench: Bench, waiting: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place at the target of a file that waits at the source alone."""
    source = bench.folder / "source"
    kept = Path(f"{source}{waiting}")
    kept.parent.mkdir(parents=True)
    waiting.rename(kept)
    waiting.parent.rmdir()
    make_arrival = bench.make_arrival
    monkeypatch.setattr(
        bench,
        "make_arrival",
        lambda *steps, **options: replace(make_arrival(*steps, **options), source=Elsewhere(str(source))),
    )
    return waiting


def test_waiting_files_are_copied_first_where_that_is_wanted(bench: Bench, moving: Path) -> None:
    report = upload(bench, sync_artifact_staging=True)
    assert moving.read_text() == "model"
    step = report.after[0]
    assert (step.state, step.staged_files, step.staged_bytes, report.problems) == (StepState.DONE, 1, 5, ())
    assert list(moving.parent.glob(".hsm-*")) == [], "lock and temporary folder are gone"


def test_without_the_option_nothing_is_copied(bench: Bench, moving: Path) -> None:
    report = upload(bench)
    assert list_kinds(report) == ["artifact_missing"]
    assert not moving.exists()


def test_a_dry_run_counts_the_files_that_it_would_copy(bench: Bench, moving: Path) -> None:
    step = {**UPLOAD, "wandb_path": bench.write_wandb(MARK)}
    report = bench.run(bench.make_report(state=State.PLANNED), step, sync_artifact_staging=True)
    assert (report.after[0].staged_files, report.problems, moving.exists()) == (1, (), False)


@pytest.mark.parametrize(
    ("moment", "error", "kinds", "is_uploaded"),
    [
        pytest.param(
            "take",
            NoAnswerError("away", kind="no_answer"),
            ["no_answer", "upload_awaits_artifacts"],
            False,
            id="may pass",
        ),
        pytest.param("sent", NoAnswerError("away", kind="no_answer"), ["no_answer"], True, id="arrived all the same"),
        pytest.param(
            "make_engine", TargetError("odd", kind="odd"), ["odd", "upload_awaits_artifacts"], False, id="no engine"
        ),
    ],
)
def test_a_run_whose_artifacts_may_still_come_waits_for_them(
    bench: Bench, moving: Path, moment: str, error: Exception, kinds: list[str], is_uploaded: bool
) -> None:
    bench.target.script.at(moment, fail(error), None)
    report = upload(bench, sync_artifact_staging=True)
    assert [kind for kind in list_kinds(report) if kind != "artifact_missing"] == kinds
    assert bool(report.after[0].runs) is is_uploaded
    assert report.after[0].state is (StepState.DONE if is_uploaded else StepState.FAILED)
    again = upload(bench, sync_artifact_staging=True)
    assert (again.problems, moving.read_text()) == ((), "model")


def test_a_staging_folder_that_cannot_be_there_is_not_waited_for(bench: Bench, moving: Path) -> None:
    moving.parent.parent.mkdir(exist_ok=True)
    moving.parent.write_text("a file in the way")
    report = upload(bench, sync_artifact_staging=True)
    assert list_kinds(report) == ["staging_unwritable", "artifact_missing"]
    assert report.after[0].runs == RUNS[:1]


@pytest.mark.parametrize(("content", "is_conflict"), [("model", False), ("other", True)])
def test_a_file_there_is_never_replaced(bench: Bench, moving: Path, content: str, is_conflict: bool) -> None:
    moving.parent.mkdir(exist_ok=True)
    moving.write_text(content)
    report = upload(bench, sync_artifact_staging=True)
    assert moving.read_text() == content
    assert list_kinds(report) == (["staging_conflict"] if is_conflict else [])


# -- what goes wrong in the middle -----------------------------------------------------------------------------------


def test_an_error_ends_the_steps_and_keeps_those_before(bench: Bench) -> None:
    bench.write_run(RUNS[0])
    bench.target.script.at("survey", fail(NoAnswerError("gone", kind="no_answer")))
    report = bench.run(bench.make_report(), {"run": "true"}, UPLOAD, {"run": "touch never"})
    assert [step.state for step in report.after] == [StepState.DONE]
    assert [(problem.kind, problem.message) for problem in report.problems] == [("no_answer", "after_sync: gone")]
    assert (report.state, report.exit_code) == (State.PARTIAL, ExitCode.PARTIAL)


def test_an_interrupt_is_one_of_the_report(bench: Bench) -> None:
    bench.write_run(RUNS[0])
    bench.target.script.at("survey", fail(CommandStoppedError()))
    report = bench.run(bench.make_report(), {"run": "true"}, UPLOAD)
    assert [step.state for step in report.after] == [StepState.DONE]
    assert (report.state, report.exit_code) == (State.INTERRUPTED, ExitCode.INTERRUPTED)


def test_a_failure_keeps_the_code_of_a_sync_that_failed_in_part(bench: Bench) -> None:
    report = replace(bench.make_report(), state=State.PARTIAL, exit_code=ExitCode.PARTIAL)
    found = bench.run(report, {"run": "false"})
    assert (found.state, found.exit_code, list_kinds(found)) == (State.PARTIAL, ExitCode.PARTIAL, ["after_sync_failed"])
