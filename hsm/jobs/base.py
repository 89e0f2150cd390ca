"""Contract of executors: what starts the tasks of a sweep, says how they are, and ends them.

`tests/contract/jobs` runs one suite over all of them. An executor keeps nothing: what was submitted stands in the
sweep's state file, so that any later call, from any process, can go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hsm.errors import TargetError
from hsm.jobs.chunk import Chunk
from hsm.jobs.model import Element, JobAnswer, SourceState
from hsm.prepared_sweep.document import PreparedSweep
from hsm.prepared_sweep.resources import Resources
from hsm.process.runner import Completed


class JobRefusedError(TargetError):
    """The scheduler did not take a job: certainly nothing was submitted."""

    kind = "job_refused"


class SubmitLimitError(JobRefusedError):
    """The scheduler takes no further jobs of this user for now."""

    kind = "submit_limit"


class LostAnswerError(TargetError):
    """Nobody knows whether a job was submitted: its scheduler did not answer, or its answer was lost."""

    kind = "answer_lost"


class SilentSchedulerError(TargetError):
    """A scheduler does not answer."""

    kind = "scheduler_silent"


@dataclass(frozen=True, slots=True)
class JobPlaces:
    """Places where a sweep's tasks run, all absolute.

    Attributes:
        folder: The sweep's.
        project: The project's.
        code: That the tasks start in.
        python: The interpreter.
    """

    folder: str
    project: str
    code: str
    python: str


@dataclass(frozen=True, slots=True)
class JobOrder:
    """A chunk, and how it is to be run.

    Attributes:
        sweep: Prepared, complete on disk.
        chunk: Its tasks.
        places: Where they run.
        resources: Merged of all layers.
        parallel: Most tasks at a time; 0: as many as there is room for.
        gpu_choice: Of the local pool: `all`, `cpu`, a number, or GPUs with commas; empty: those that nobody uses.
    """

    sweep: PreparedSweep
    chunk: Chunk
    places: JobPlaces
    resources: Resources = field(default_factory=Resources)
    parallel: int = 0
    gpu_choice: str = ""


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A chunk that was handed to an executor.

    Attributes:
        chunk: Its tasks.
        folder: The sweep's, where it runs.
        asked_at: When it was handed over.
        job_id: As the executor calls it; empty while that is not known.
    """

    chunk: Chunk
    folder: str
    asked_at: float
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """Answer to the question what became of submissions whose answer was lost.

    Attributes:
        source: Of the whole: an answer counts only where every source that there is could be asked.
        job_ids: By the key of the chunk; one that is missing was not found.
        fault: Why it is silent.
    """

    source: SourceState
    job_ids: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, slots=True)
class JobSightings:
    """Observation of jobs: what is known of them now.

    Attributes:
        queue: What waits and runs, and with some schedulers what has just ended.
        accounting: What has ended.
    """

    queue: JobAnswer
    accounting: JobAnswer


class JobMachine(Protocol):
    """Machine where an executor's programs run and a sweep's folder lies."""

    @property
    def host(self) -> str:
        """The name of the machine."""

    @property
    def user(self) -> str:
        """The user there, by name or by number."""

    def run(self, argv: Sequence[str], *, timeout_seconds: float) -> Completed:
        """Run a program in the user's own locale, without what an outer job has set; see `Runner.run`.

        Raises:
            ProgramMissingError: There is no such program.
            CommandTimeoutError: It took too long, and was ended.
            HsmError: The machine cannot be reached.
        """

    def save_script(self, path: str, text: str) -> None:
        """Write a script that only the user may change; missing folders are made, an old one is replaced at once."""

    def read_heads(self, paths: Sequence[str], *, most_bytes: int) -> Mapping[str, bytes]:
        """Read the beginnings of small files; those that are missing or no files are left out."""

    def read_tails(self, paths: Sequence[str], *, most_bytes: int) -> Mapping[str, bytes]:
        """Read the ends of files; those that are missing or no files are left out."""


class Executor(Protocol):
    """Starts the tasks of a sweep. One call serves all jobs that it is given."""

    def submit(self, order: JobOrder) -> str:
        """Submit a chunk, whose name and key are on disk already, and return the job's id.

        A call for a chunk that was submitted before may submit it twice: `find` comes first.

        Raises:
            JobRefusedError: Nothing was submitted, for a reason that stays.
            SubmitLimitError: Nothing was submitted, for a reason that passes.
            LostAnswerError: It may have been submitted.
        """

    def find(self, jobs: Sequence[SubmittedJob]) -> FoundJobs:
        """Look for jobs whose id is not known; raises nothing where it cannot be asked."""

    def observe(self, jobs: Sequence[SubmittedJob]) -> JobSightings:
        """Ask for jobs whose id is known; raises nothing where it cannot be asked."""

    def cancel(self, jobs: Sequence[SubmittedJob], elements: Sequence[Element]) -> None:
        """End elements, or have them never begin; those that have ended stay as they are. May be called twice.

        Raises:
            SilentSchedulerError: It could not be asked, so that they go on.
        """
