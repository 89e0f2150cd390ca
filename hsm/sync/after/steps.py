"""`after_sync`: what is done at a target once a sweep has arrived there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hsm.config.schema import TargetSettings
from hsm.config.target_sections import AfterSyncStep
from hsm.endpoint import Endpoint, Tree
from hsm.errors import ExitCode, HsmError
from hsm.model import Problem, Run, SyncPlan
from hsm.process.runner import CommandStoppedError, Runner
from hsm.progress import Reporter
from hsm.records.receipt import get_receipt_name
from hsm.remote.local import LocalShell
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.job import run_job
from hsm.sweep_folder import receipt_folder
from hsm.sync.after.staging import Staged, Staging
from hsm.sync.after.upload import (
    NO_WANDB,
    choose_runs,
    explain_upload,
    find_awaiting,
    find_missing,
    is_file,
    leave_uploaded,
    list_paths,
    list_staging,
    make_command_program,
    make_upload_program,
)
from hsm.sync.bring.exchange import Stopwatch
from hsm.sync.reports import AfterStep, State, StepState, TargetReport
from hsm.targets.contract import Connection
from hsm.transfer.outcome import Outcome
from hsm.wandb_log.artifacts import StagedArtifact, read_artifacts

_ARRIVED = (State.DONE, State.NOTHING_TO_DO, State.PARTIAL, State.PLANNED)
_MOST_FAILURES = 2
"""So many uploads that fail in a row are a login or a network that is missing; the rest is not tried."""


@dataclass(frozen=True, slots=True)
class AfterSync:
    """Does what a target's `after_sync` says, for one sweep.

    Attributes:
        settings: The target's, for this sweep.
        sweep: Its id.
        source_id: This project's, by which the receipt there is named.
        connection: A login has been made.
        source: Where the runs' logs can be read.
        runner: Starts what runs on this machine.
        stopwatch: Times it.
        reporter: Told what moves.
        owed: Commands that are run although nothing was sent, since they failed before.
        breaks_lock: Take a lock there whoever holds it.
    """

    settings: TargetSettings
    sweep: str
    source_id: str
    connection: Connection
    source: Endpoint
    runner: Runner
    stopwatch: Stopwatch
    reporter: Reporter
    owed: frozenset[str] = frozenset()
    breaks_lock: bool = False

    def __call__(self, report: TargetReport) -> TargetReport:
        """Do it, and add it to the report of what arrived; a dry run says what would be done.

        Nothing is done where the sweep did not arrive. Never raises for what goes wrong at the target.
        """
        plan = report.plan
        if plan is None or report.state not in _ARRIVED or report.error is not None:
            return report
        work = _Work(self, report, plan)
        is_interrupted = False
        try:
            with self.stopwatch.step("after_sync"):
                work.do()
        except HsmError as error:
            work.problems.append(Problem("", error.kind, f"after_sync: {error.message}", error.hint))
        except CommandStoppedError:
            is_interrupted = True
        return _join(report, work, self.stopwatch, is_interrupted=is_interrupted)


class _Work:
    def __init__(self, after: AfterSync, report: TargetReport, plan: SyncPlan) -> None:
        self._after = after
        self._report = report
        self._plan = plan
        self._is_dry_run = report.state is State.PLANNED
        self.steps: list[AfterStep] = []
        self.problems: list[Problem] = []

    def do(self) -> None:
        for step in self._after.settings.after_sync:
            if step.run is None:
                self._upload(step)
            else:
                self._run(step.run)

    @property
    def _has_sent(self) -> bool:
        if self._is_dry_run:
            return bool(self._plan.sends)
        return self._report.result is not None and Outcome.SENT in self._report.result.outcomes.values()

    def _find_shell(self) -> RemoteShell | None:
        connection = self._after.connection
        shell = LocalShell(self._after.runner, name=connection.name) if connection.is_folder else connection.shell
        if shell is None:
            message = f"No command may run at {connection.name}, so its after_sync cannot be done."
            hint = "Take after_sync out of the target's settings, or leave it with --no-after-sync."
            self.problems.append(Problem("", "no_commands", message, hint))
        return shell

    def _run(self, command: str) -> None:
        if not self._has_sent and command not in self._after.owed:
            self.steps.append(AfterStep("run", StepState.NOTHING_TO_DO, command))
            return
        shell = self._find_shell()
        if shell is None or self._is_dry_run:
            state = StepState.FAILED if shell is None else StepState.PLANNED
            self.steps.append(AfterStep("run", state, command))
            return
        settings = self._after.settings
        folder = f"{settings.paths.sweeps.rstrip('/')}/{receipt_folder(self._after.sweep)}"
        environment = {
            "HSM_SWEEP": self._after.sweep,
            "HSM_TARGET": self._after.connection.name,
            "HSM_RECEIPT": f"{folder}/{get_receipt_name(self._after.source_id)}",
        }
        cwd = settings.paths.project_root or settings.paths.sweeps
        end = run_job(shell, make_command_program(command, cwd=cwd, environment=environment))
        state = StepState.DONE if end.status == 0 else StepState.FAILED
        self.steps.append(AfterStep("run", state, command, exit_code=end.status, output=end.output))
        if end.status != 0:
            message = f"A command of after_sync failed ({explain_upload(end.status, end.output)})."
            hint = "What it printed stands above. It is run again with the next sync that sends something."
            self.problems.append(Problem("", "after_sync_failed", message, hint))

    def _upload(self, step: AfterSyncStep) -> None:
        arrived = self._report.result.files if self._report.result is not None else {}
        if self._is_dry_run:
            arrived = {file.key: file for file in self._plan.sends}
        choice = choose_runs(self._plan, arrived)
        runs, folder = self._look(choice.runs)
        self.problems += choice.problems
        if not runs:
            self.steps.append(AfterStep("wandb_sync", StepState.NOTHING_TO_DO))
            return
        shell = self._find_shell()
        if shell is None:
            self.steps.append(AfterStep("wandb_sync", StepState.FAILED))
            return
        artifacts = self._read_artifacts(runs)
        staged = self._bring_staging(artifacts)
        awaiting = set(find_awaiting(artifacts, staged.awaited))
        self.problems += [self._make_awaiting(run) for run in runs if run in awaiting]
        runs = tuple(run for run in runs if run not in awaiting)
        self._name_missing({run: artifacts[run] for run in runs if run in artifacts}, staged.paths)
        if self._is_dry_run:
            done = AfterStep("wandb_sync", StepState.PLANNED, runs=tuple(run.name for run in runs))
        else:
            done = self._upload_runs(runs, shell, folder, step.wandb_path or "wandb")
            done = replace(done, state=StepState.FAILED) if awaiting else done
        self.steps.append(replace(done, staged_files=staged.n_files, staged_bytes=staged.n_bytes))

    def _look(self, runs: Sequence[Run]) -> tuple[tuple[Run, ...], str]:
        """Which of the runs are not uploaded yet from there, and the real path of the wandb folder."""
        if not runs:
            return (), ""
        tree = Tree(self._after.settings.paths.wandb, list_paths(runs), 0)
        listing = self._after.connection.endpoint.survey([tree]).listings[0]
        return leave_uploaded(runs, {entry.path: entry for entry in listing.entries}), listing.base

    def _read_artifacts(self, runs: Sequence[Run]) -> dict[Run, tuple[StagedArtifact, ...]]:
        """Read the artifacts of the runs' logs; a log that cannot be read here names none."""
        found = {}
        for run in runs:
            try:
                found[run] = read_artifacts(self._after.source.read_file(f"{run.prefix}/{run.name}/{run.log}"))
            except FileNotFoundError:
                message = "The run's log cannot be read here, so it is not known which artifacts it logged."
                self.problems.append(Problem(run.name, "artifacts_unknown", message, is_failure=False))
        return found

    def _bring_staging(self, found: Mapping[Run, Sequence[StagedArtifact]]) -> Staged:
        """Bring along what the artifacts' files wait in, where that is wanted."""
        after = self._after
        if not after.settings.options.sync_artifact_staging:
            return Staged()
        staging = Staging(
            after.connection,
            after.source,
            after.source_id,
            after.sweep,
            after.runner,
            after.reporter,
            n_workers=after.settings.options.parallel_transfers,
            breaks_lock=after.breaks_lock,
        )
        staged = staging.bring(found, is_dry_run=self._is_dry_run)
        self.problems += staged.problems
        return staged

    def _name_missing(self, found: Mapping[Run, Sequence[StagedArtifact]], brought: Iterable[str]) -> None:
        """Name the artifacts that wandb does not find there."""
        there = set(brought)
        paths = list_staging(artifact for artifacts in found.values() for artifact in artifacts)
        unknown = tuple(path for path in paths if path not in there)
        if unknown:
            listing = self._after.connection.endpoint.survey([Tree("/", unknown, 0)]).listings[0]
            there.update(entry.path for entry in listing.entries if is_file(entry))
        for run, artifacts in found.items():
            self.problems += find_missing(run, artifacts, there)

    def _upload_runs(self, runs: Sequence[Run], shell: RemoteShell, folder: str, wandb: str) -> AfterStep:
        """Upload one run after the other."""
        cwd = self._after.settings.paths.project_root or folder
        done: list[str] = []
        outputs: list[str] = []
        n_failures, status = 0, None
        for number, run in enumerate(runs):
            end = run_job(shell, make_upload_program(folder, run, cwd=cwd, wandb=wandb))
            outputs.append(end.output)
            status = end.status
            if status == 0:
                done.append(run.name)
                n_failures = 0
                continue
            n_failures += 1
            self.problems.append(self._make_failure(run, wandb, status, end.output))
            if n_failures == _MOST_FAILURES or status == NO_WANDB:
                self._name_untried(len(runs) - number - 1)
                break
        state = StepState.DONE if len(done) == len(runs) else StepState.FAILED
        output = "".join(outputs)
        return AfterStep("wandb_sync", state, runs=tuple(done), exit_code=status, output=output)

    def _make_awaiting(self, run: Run) -> Problem:
        message = "Not uploaded yet: files of its artifacts, which wait here, could not be brought along."
        hint = "The next sync tries again. `sync_artifact_staging: false` uploads the run without them."
        return Problem(run.name, "upload_awaits_artifacts", message, hint)

    def _make_failure(self, run: Run, wandb: str, status: int | None, output: str) -> Problem:
        if status == NO_WANDB:
            message = f"There is no program {wandb} at {self._after.connection.name}, so nothing was uploaded."
            hint = "Install wandb there, or name the program with `wandb_path` beside `wandb_sync`."
            return Problem(run.name, "wandb_missing", message, hint)
        message = f"`wandb sync` did not upload the run ({explain_upload(status, output)})."
        hint = "The next sync tries again. Log in there once with `wandb login` if that is what is missing."
        return Problem(run.name, "upload_failed", message, hint)

    def _name_untried(self, n_runs: int) -> None:
        if n_runs:
            message = f"After these failures no more was tried; runs that are left: {n_runs:,}."
            self.problems.append(Problem("", "upload_not_tried", message))


def _join(report: TargetReport, work: _Work, stopwatch: Stopwatch, *, is_interrupted: bool) -> TargetReport:
    """Add what was done to a report; what failed makes of a success a part of one."""
    found = replace(
        report,
        after=tuple(work.steps),
        problems=(*report.problems, *work.problems),
        seconds=dict(stopwatch.seconds),
    )
    if is_interrupted:
        return replace(found, state=State.INTERRUPTED, exit_code=ExitCode.INTERRUPTED)
    if not any(problem.is_failure for problem in work.problems) or report.exit_code is not ExitCode.DONE:
        return found
    state = report.state if report.state is State.PLANNED else State.PARTIAL
    return replace(found, state=state, exit_code=ExitCode.PARTIAL)
