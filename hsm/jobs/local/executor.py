"""Executor of the local pool: a shell script that goes on without HSM, and is asked by its process and its files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    SubmittedJob,
)
from hsm.jobs.model import Element, ElementRecord, InfoStatus, JobAnswer, SourceState
from hsm.jobs.script.job_script import ScriptPart, make_job_script
from hsm.jobs.states import TaskState
from hsm.jobs.task_files import MOST_INFO_BYTES, parse_task_info
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.process.runner import CommandTimeoutError, Completed, ProgramMissingError

_PARTS = (ScriptPart.TASK, ScriptPart.POOL, ScriptPart.LOCAL)
_START_SECONDS = 90.0  # nvidia-smi takes some seconds on a machine with many GPUs
_ASK_SECONDS = 30.0
_NO_ROOM = 3
_RECORD_BYTES = 1024


class LocalExecutor:
    """Pool of one machine; an `Executor`.

    Args:
        machine: Where it runs.
    """

    def __init__(self, machine: JobMachine) -> None:
        self._machine = machine

    def submit(self, order: JobOrder) -> str:
        """Start the pool of a chunk; see `Executor.submit`. A second call for one chunk starts no second pool."""
        script = make_script_path(order.places.folder, order.chunk.name)
        self._machine.save_script(script, make_pool_script(order))
        try:
            completed = self._machine.run(["bash", script, "start"], timeout_seconds=_START_SECONDS)
        except ProgramMissingError:
            raise JobRefusedError("This machine has no bash.", hint="Install bash, then run it again.") from None
        except CommandTimeoutError as error:
            raise LostAnswerError(
                f"The pool of {order.chunk.name} did not say whether it has started.",
                hint=f"`hsm sweep status {order.sweep.sweep}` looks for it.",
            ) from error
        return _parse_start(completed, order)

    def find(self, jobs: Sequence[SubmittedJob]) -> FoundJobs:
        """Look for pools by the record that each writes, and by their processes; see `Executor.find`."""
        records = self._read_records(jobs)
        found = {job.chunk.key: " ".join(records[job.chunk.key]) for job in jobs if job.chunk.key in records}
        return FoundJobs(SourceState.ANSWERED, found)

    def observe(self, jobs: Sequence[SubmittedJob]) -> JobSightings:
        """Say which pools live, and which of their tasks have begun; see `Executor.observe`."""
        records = self._read_records(jobs)
        here = [job for job in jobs if self._is_here(records.get(job.chunk.key))]
        faults = {
            f"its pool runs on {records[job.chunk.key][1]}"
            for job in jobs
            if job not in here and job.chunk.key in records
        }
        try:
            living = self._find_living(here, records)
        except (HsmError, CommandTimeoutError, ProgramMissingError) as error:
            return JobSightings(JobAnswer(SourceState.SILENT, fault=f"ps: {error}"), JobAnswer(SourceState.ABSENT))
        seen: dict[Element, ElementRecord] = {}
        for job in living:
            seen.update(self._observe_pool(job, records[job.chunk.key]))
        source = SourceState.SILENT if faults else SourceState.ANSWERED
        return JobSightings(JobAnswer(source, seen, "; ".join(sorted(faults))), JobAnswer(SourceState.ABSENT))

    def cancel(self, jobs: Sequence[SubmittedJob], elements: Sequence[Element]) -> None:
        """Have pools end whose every task is cancelled; see `Executor.cancel`.

        A pool looks each second for the tasks that `.hsm-sweep/cancelled` names, so that nothing is to be done for some
        of many.
        """
        wanted = set(elements)
        whole = [job for job in jobs if all(element in wanted for _, element in job.chunk.iter_elements())]
        records = self._read_records(whole)
        try:
            living = self._find_living([job for job in whole if self._is_here(records.get(job.chunk.key))], records)
            for job in living:
                self._machine.run(["kill", "-TERM", records[job.chunk.key][0]], timeout_seconds=_ASK_SECONDS)
        except CommandTimeoutError as error:
            raise SilentSchedulerError(f"The pool could not be asked to end: {error}") from error

    def _is_here(self, record: tuple[str, str] | None) -> bool:
        return record is not None and record[1] in (self._machine.host, self._machine.host.partition(".")[0])

    def _read_records(self, jobs: Sequence[SubmittedJob]) -> Mapping[str, tuple[str, str]]:
        """Read the process and the machine of each pool, by the key of its chunk."""
        paths = {f"{PreparedFolder(Path(job.folder)).own}/{job.chunk.name}.pool": job for job in jobs}
        heads = self._machine.read_heads(list(paths), most_bytes=_RECORD_BYTES)
        found: dict[str, tuple[str, str]] = {}
        for path, head in heads.items():
            words = head.decode("utf-8", "replace").split()
            if len(words) == 2 and words[0].isascii() and words[0].isdigit():
                found[paths[path].chunk.key] = (words[0], words[1])
        return found

    def _find_living(self, jobs: Iterable[SubmittedJob], records: Mapping[str, tuple[str, str]]) -> list[SubmittedJob]:
        """Find the pools whose process is there, and is that script: numbers of processes are used again."""
        jobs = list(jobs)
        if not jobs:
            return []
        pids = ",".join(records[job.chunk.key][0] for job in jobs)
        # -ww: not cut at the width of a terminal.
        completed = self._machine.run(["ps", "-ww", "-o", "pid=,args=", "-p", pids], timeout_seconds=_ASK_SECONDS)
        text = completed.stdout.decode("utf-8", "replace")
        lines = dict(words for line in text.splitlines() if len(words := line.split(None, 1)) == 2)
        return [
            job
            for job in jobs
            if make_script_path(job.folder, job.chunk.name) in lines.get(records[job.chunk.key][0], "")
        ]

    def _observe_pool(self, job: SubmittedJob, record: tuple[str, str]) -> Mapping[Element, ElementRecord]:
        """Say of each task of a living pool whether it waits or runs; one that has ended says so itself."""
        folder = PreparedFolder(Path(job.folder))
        paths = {str(folder.task_info(task.number)): (task, element) for task, element in job.chunk.iter_elements()}
        heads = self._machine.read_heads(list(paths), most_bytes=MOST_INFO_BYTES)
        found: dict[Element, ElementRecord] = {}
        for path, (task, element) in paths.items():
            info = parse_task_info(heads[path]) if path in heads else None
            if info is None or info.attempt < task.attempt:
                found[element] = ElementRecord(TaskState.PENDING, "waiting", record[0], node=record[1])
            elif info.status is InfoStatus.STARTED:
                restarts = info.attempt - task.attempt
                found[element] = ElementRecord(
                    TaskState.RUNNING, "running", record[0], node=record[1], started=info.started, n_restarts=restarts
                )
            elif info.status is InfoStatus.REQUEUED:
                restarts = info.attempt - task.attempt + 1
                found[element] = ElementRecord(
                    TaskState.PENDING, "waiting", record[0], reason="it is resumed", n_restarts=restarts
                )
        return found


def make_script_path(folder: str, name: str) -> str:
    """Make the path of a chunk's script."""
    return f"{PreparedFolder(Path(folder)).scripts}/{name}.sh"


def make_pool_script(order: JobOrder) -> str:
    """Make the script of a pool. Pure.

    Raises:
        UsageError: A place cannot be handed to tasks.
    """
    return make_job_script(
        order,
        _PARTS,
        {
            "hsm_gpu_choice": order.gpu_choice,
            "hsm_most_slots": order.parallel,
            "hsm_cpus_per_task": order.resources.cpus_per_task or 0,
        },
    )


def _parse_start(completed: Completed, order: JobOrder) -> str:
    """Read what a pool says at its start: `pool <process> <machine> <slots>`, or `started` by an earlier call."""
    words = completed.stdout.decode("utf-8", "replace").split()
    if completed.returncode == 0 and len(words) == 4 and words[0] == "pool":
        return f"{words[1]} {words[2]}"
    said = completed.stderr_text.strip().removeprefix("hsm: ")
    if completed.returncode == 0:
        raise LostAnswerError(
            f"The pool of {order.chunk.name} was started before.",
            hint=f"`hsm sweep status {order.sweep.sweep}` looks for it.",
        )
    hint = "Look at the message above; `hsm sweep submit` tries it again."
    if completed.returncode == _NO_ROOM:
        hint = "Wait until GPUs are free, name some (`--gpus 0,1`), take all (`--gpus all`) or none (`--gpus cpu`)."
    raise JobRefusedError(f"The pool did not start: {said or f'exit code {completed.returncode}'}.", hint=hint)
