"""Executor of Slurm: one sbatch a chunk, one squeue and one sacct for all jobs of a call, one scancel for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from hsm.errors import HsmError
from hsm.jobs.base import (
    FoundJobs,
    JobMachine,
    JobOrder,
    JobRefusedError,
    JobSightings,
    LostAnswerError,
    SilentSchedulerError,
    SubmitLimitError,
    SubmittedJob,
)
from hsm.jobs.model import Element, JobAnswer, SourceState
from hsm.jobs.script.job_script import ScriptPart, make_job_script
from hsm.jobs.slurm.answers import (
    is_certain_refusal,
    is_limit,
    parse_accounting_answer,
    parse_found_accounting,
    parse_found_queue,
    parse_max_array_size,
    parse_queue_answer,
    parse_sbatch,
    read_fault,
)
from hsm.jobs.slurm.commands import (
    ACCOUNTING_FIELDS,
    FIND_ACCOUNTING_FIELDS,
    FIND_FIELDS,
    QUEUE_FIELDS,
    SHOW_CONFIG,
    make_sacct,
    make_sbatch,
    make_scancel,
    make_squeue,
    make_test,
)
from hsm.jobs.slurm.directives import make_directives
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.process.runner import CommandTimeoutError, Completed, ProgramMissingError

_PARTS = (ScriptPart.TASK, ScriptPart.POOL, ScriptPart.SLURM)
_SUBMIT_SECONDS = 60.0
_ASK_SECONDS = 60.0
_MISSING = 127  # of `env` and `timeout`: there is no such program
DEFAULT_ARRAY_SIZE = 1000
"""Tasks of one array where nothing says how many there may be: Slurm's own default allows 1000."""


class SlurmExecutor:
    """Slurm, by its programs; an `Executor`.

    Args:
        machine: Where they run.
        clock: Gives the time.
    """

    def __init__(self, machine: JobMachine, *, clock: Callable[[], float] = time.time) -> None:
        self._machine = machine
        self._clock = clock

    def submit(self, order: JobOrder) -> str:
        """Submit a chunk as one job, an array where it has several elements; see `Executor.submit`."""
        script = make_slurm_script_path(order)
        self._machine.save_script(script, make_slurm_script(order))
        try:
            completed = self._machine.run(make_sbatch(order, script), timeout_seconds=_SUBMIT_SECONDS)
        except ProgramMissingError as error:
            raise _make_missing_error(str(error), self._machine.host) from None
        except CommandTimeoutError as error:
            raise _make_lost_error(order, "sbatch did not answer in time") from error
        if (job_id := parse_sbatch(completed)) is not None:
            return job_id
        if completed.returncode == _MISSING:
            raise _make_missing_error("sbatch", self._machine.host)
        if not is_certain_refusal(completed):
            raise _make_lost_error(order, read_fault(completed))
        raise _make_refusal(order, completed)

    def test(self, order: JobOrder) -> str:
        """Ask when a chunk would start, in Slurm's words; nothing is submitted, but a script is written.

        Raises:
            JobRefusedError: It would be refused.
            SilentSchedulerError: It could not be asked.
        """
        script = make_slurm_script_path(order)
        self._machine.save_script(script, make_slurm_script(order))
        try:
            completed = self._machine.run(make_test(order, script), timeout_seconds=_SUBMIT_SECONDS)
        except (CommandTimeoutError, ProgramMissingError) as error:
            raise SilentSchedulerError(f"sbatch could not be asked: {error}") from error
        if completed.returncode == 0:
            return read_fault(completed)
        raise _make_refusal(order, completed)

    def read_array_size(self) -> int:
        """Read the most elements that an array of indices from 1 may have."""
        completed = self._ask(list(SHOW_CONFIG))
        size = parse_max_array_size(completed) if isinstance(completed, Completed) else None
        return max(1, size - 1) if size is not None else DEFAULT_ARRAY_SIZE

    def find(self, jobs: Sequence[SubmittedJob]) -> FoundJobs:
        """Look for jobs by name and key, in the queue and in the accounting; see `Executor.find`."""
        if not jobs:
            return FoundJobs(SourceState.ANSWERED)
        found: dict[str, str] = {}
        queue = self._ask(make_squeue(jobs, self._machine.user, FIND_FIELDS))
        answers: list[Mapping[str, str] | str] = [
            queue if isinstance(queue, str) else parse_found_queue(queue, jobs),
        ]
        accounting = self._ask(make_sacct(jobs, FIND_ACCOUNTING_FIELDS, now=self._clock()))
        if not is_missing(accounting):
            answers.append(accounting if isinstance(accounting, str) else parse_found_accounting(accounting, jobs))
        for answer in answers:
            found.update({} if isinstance(answer, str) else answer)
        faults = [answer for answer in answers if isinstance(answer, str)]
        return FoundJobs(SourceState.SILENT if faults else SourceState.ANSWERED, found, "; ".join(faults))

    def observe(self, jobs: Sequence[SubmittedJob]) -> JobSightings:
        """Ask the queue, then the accounting, once each; see `Executor.observe`."""
        if not jobs:
            nothing = JobAnswer(SourceState.ANSWERED)
            return JobSightings(nothing, nothing)
        asked_at = self._clock()
        queue = self._ask(make_squeue(jobs, self._machine.user, QUEUE_FIELDS))
        seen = (
            JobAnswer(SourceState.SILENT, fault=queue, asked_at=asked_at)
            if isinstance(queue, str)
            else parse_queue_answer(queue, jobs, asked_at)
        )
        accounting = self._ask(make_sacct(jobs, ACCOUNTING_FIELDS, now=self._clock()))
        if is_missing(accounting):
            return JobSightings(seen, JobAnswer(SourceState.ABSENT))
        if isinstance(accounting, str):
            return JobSightings(seen, JobAnswer(SourceState.SILENT, fault=accounting, asked_at=asked_at))
        return JobSightings(seen, parse_accounting_answer(accounting, jobs, asked_at))

    def cancel(self, jobs: Sequence[SubmittedJob], elements: Sequence[Element]) -> None:
        """End elements with one scancel; see `Executor.cancel`."""
        argv = make_scancel(jobs, elements)
        if not argv:
            return
        completed = self._ask(argv)
        if isinstance(completed, str) or completed.returncode != 0:
            fault = completed if isinstance(completed, str) else read_fault(completed)
            raise SilentSchedulerError(
                f"The jobs could not be cancelled: {fault}", hint="Run it again; `squeue --me` shows what still runs."
            )

    def _ask(self, argv: Sequence[str]) -> Completed | str:
        """Run a question; why there is no answer, where there is none."""
        program = next(word for word in argv if word.startswith("s") and "=" not in word)
        try:
            completed = self._machine.run(argv, timeout_seconds=_ASK_SECONDS)
        except CommandTimeoutError:
            return f"{program} did not answer within {_ASK_SECONDS:g} s"
        except ProgramMissingError:
            return NO_PROGRAM.format(program)
        except HsmError as error:
            return error.message
        return NO_PROGRAM.format(program) if completed.returncode == _MISSING else completed


NO_PROGRAM = "there is no {}"


def is_missing(answer: Completed | str) -> bool:
    """Tell whether there is no accounting program at all, as on clusters without accounting."""
    return answer == NO_PROGRAM.format("sacct")


def make_slurm_script(order: JobOrder) -> str:
    """Make the script of a job. Pure.

    Raises:
        UsageError: What was asked for does not go together, or a place cannot be handed to tasks.
    """
    per_job = order.chunk.per_job
    variables = {"hsm_per_job": per_job, "hsm_n_slots": min(order.resources.tasks_at_once or 1, per_job)}
    return make_job_script(order, _PARTS, variables, make_directives(order))


def make_slurm_script_path(order: JobOrder) -> str:
    """Make the path of a chunk's script."""
    return f"{PreparedFolder(Path(order.places.folder)).scripts}/{order.chunk.name}.sh"


def _make_missing_error(program: str, host: str) -> JobRefusedError:
    return JobRefusedError(
        f"There is no {program} on {host}.", hint="Log in where jobs are submitted, or use `--mode local`."
    )


def _make_lost_error(order: JobOrder, fault: str) -> LostAnswerError:
    return LostAnswerError(
        f"Nobody knows whether Slurm took {order.chunk.name}: {fault}",
        hint=f"`hsm sweep submit {order.sweep.sweep}` looks for the job, and submits it again only if it is not there.",
    )


def _make_refusal(order: JobOrder, completed: Completed) -> JobRefusedError:
    fault = read_fault(completed)
    if is_limit(completed):
        return SubmitLimitError(
            f"Slurm takes no further jobs of yours for now: {fault}",
            hint=f"The rest stays prepared: `hsm sweep submit {order.sweep.sweep}` once jobs have ended.",
        )
    return JobRefusedError(
        f"Slurm refused {order.chunk.name}: {fault}", hint="Correct `resources:` or `slurm:`, then run it again."
    )
