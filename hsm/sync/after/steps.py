"""`after_sync`: the steps that are taken at a target once a sweep has arrived there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hsm.config.settings import AfterSyncStep
from hsm.errors import ExitCode, HsmError
from hsm.model import Problem
from hsm.process.runner import CommandStoppedError, Runner
from hsm.records.receipt import get_receipt_name
from hsm.remote.local import LocalShell
from hsm.remote.shell import RemoteShell
from hsm.remote.shell_programs.job import run_job
from hsm.sweep_folder import receipt_folder
from hsm.sync.after.arrival import Arrival
from hsm.sync.after.staging import Staging
from hsm.sync.after.upload import choose_runs, explain_upload, make_command_program
from hsm.sync.after.uploader import Uploader, find_open
from hsm.sync.observer import Observer
from hsm.sync.reports import AfterStep, State, StepState, TargetReport
from hsm.transfer.outcome import Outcome

_ARRIVED = (State.DONE, State.NOTHING_TO_DO, State.PARTIAL, State.PLANNED)


@dataclass(slots=True)
class _StepLog:
    """Steps and problems so far; they stand in the report also where a later step fails."""

    steps: list[AfterStep] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class AfterSync:
    """Takes the steps of a target's `after_sync`, for one sweep.

    Args:
        arrival: The sweep and the target.
        runner: Starts what runs on this machine.
        observer: Told what moves.
        owed: Commands that are run although nothing was sent, since they failed before.
        breaks_lock: Take a lock there from any holder.
    """

    def __init__(
        self,
        arrival: Arrival,
        runner: Runner,
        observer: Observer,
        *,
        owed: frozenset[str] = frozenset(),
        breaks_lock: bool = False,
    ) -> None:
        self._arrival = arrival
        self._runner = runner
        self._observer = observer
        self._owed = owed
        self._breaks_lock = breaks_lock

    def run(self, report: TargetReport) -> TargetReport:
        """Take all steps, and add them to the report of what arrived; a dry run says what would be done.

        Nothing is done where the sweep did not arrive. Never raises for what goes wrong at the target.
        """
        if report.plan is None or report.state not in _ARRIVED or report.error is not None:
            return report
        log = _StepLog()
        stopwatch = self._observer.stopwatch
        is_interrupted = False
        try:
            # The locks are given back by now: a command may take hours, and a lock that nobody touches for so long
            # would be taken for dead.
            with stopwatch.step("after_sync"):
                for step in self._arrival.settings.after_sync:
                    self._take(step, report, log)
        except HsmError as error:
            log.problems.append(Problem("", error.kind, f"after_sync: {error.message}", error.hint))
        except CommandStoppedError:
            is_interrupted = True
        return _join(replace(report, seconds=dict(stopwatch.seconds)), log, is_interrupted=is_interrupted)

    def _take(self, step: AfterSyncStep, report: TargetReport, log: _StepLog) -> None:
        if step.run is None:
            log.steps.append(self._upload(report, step.wandb_path or "wandb", log))
        # Without anything new the command has been run for this very content, or it failed and is owed.
        elif _has_sent(report) or step.run in self._owed:
            log.steps.append(self._run_command(step.run, log, is_dry_run=report.state is State.PLANNED))
        else:
            log.steps.append(AfterStep("run", StepState.NOTHING_TO_DO, step.run))

    def _upload(self, report: TargetReport, wandb: str, log: _StepLog) -> AfterStep:
        """Upload the runs that have ended and are whole there, with all their artifacts."""
        plan, is_dry_run = report.plan, report.state is State.PLANNED
        if plan is None:
            raise AssertionError("`run` takes no step without a plan")
        arrived = report.result.files if report.result is not None else {}
        choice = choose_runs(plan, {file.key: file for file in plan.sends} if is_dry_run else arrived)
        runs, folder = find_open(self._arrival, choice.runs)
        log.problems += choice.problems
        if not runs:
            return AfterStep("wandb_sync", StepState.NOTHING_TO_DO)
        shell = self._find_shell(log)
        if shell is None:
            return AfterStep("wandb_sync", StepState.FAILED)
        uploader = Uploader(self._arrival, shell, self._make_staging(), log.problems)
        return uploader.upload(runs, folder, wandb=wandb, is_dry_run=is_dry_run)

    def _make_staging(self) -> Staging | None:
        if not self._arrival.settings.options.sync_artifact_staging:
            return None
        return Staging(self._arrival, self._observer, breaks_lock=self._breaks_lock)

    def _run_command(self, command: str, log: _StepLog, *, is_dry_run: bool) -> AfterStep:
        shell = self._find_shell(log)
        if shell is None or is_dry_run:
            return AfterStep("run", StepState.FAILED if shell is None else StepState.PLANNED, command)
        end = run_job(shell, self._make_program(command))
        state = StepState.DONE if end.status == 0 else StepState.FAILED
        if end.status != 0:
            message = f"A command of after_sync failed ({explain_upload(end.status, end.output)})."
            hint = "What it printed stands above. It is run again with the next sync that sends something."
            log.problems.append(Problem("", "after_sync_failed", message, hint))
        return AfterStep("run", state, command, exit_code=end.status, output=end.output)

    def _make_program(self, command: str) -> str:
        arrival, paths = self._arrival, self._arrival.settings.paths
        folder = f"{paths.sweeps.rstrip('/')}/{receipt_folder(arrival.sweep)}"
        environment = {
            "HSM_SWEEP": arrival.sweep,
            "HSM_TARGET": arrival.connection.name,
            "HSM_RECEIPT": f"{folder}/{get_receipt_name(arrival.source_id)}",
        }
        return make_command_program(command, cwd=paths.project_root or paths.sweeps, environment=environment)

    def _find_shell(self, log: _StepLog) -> RemoteShell | None:
        connection = self._arrival.connection
        # A folder has no shell of its own: what it would be asked is done here.
        shell = LocalShell(self._runner, name=connection.name) if connection.is_folder else connection.shell
        if shell is None:
            message = f"No command may run at {connection.name}, so its after_sync cannot be done."
            hint = "Take after_sync out of the target's settings, or leave it with --no-after-sync."
            log.problems.append(Problem("", "no_commands", message, hint))
        return shell


def _has_sent(report: TargetReport) -> bool:
    """Tell whether a report's sync sent something, or in a dry run would."""
    if report.state is State.PLANNED:
        return report.plan is not None and bool(report.plan.sends)
    return report.result is not None and Outcome.SENT in report.result.outcomes.values()


def _join(report: TargetReport, log: _StepLog, *, is_interrupted: bool) -> TargetReport:
    """Add what was done to a report; a step that failed makes of a success a part of one."""
    found = replace(report, after=tuple(log.steps), problems=(*report.problems, *log.problems))
    if is_interrupted:
        return replace(found, state=State.INTERRUPTED, exit_code=ExitCode.INTERRUPTED)
    if not any(problem.is_failure for problem in log.problems) or report.exit_code is not ExitCode.DONE:
        return found
    state = report.state if report.state is State.PLANNED else State.PARTIAL
    return replace(found, state=state, exit_code=ExitCode.PARTIAL)
