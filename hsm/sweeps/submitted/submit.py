"""Submission of a prepared sweep's tasks, for the first time or again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from hsm.errors import ConfigError, TargetError, UsageError
from hsm.jobs.base import JobOrder, JobPlaces
from hsm.jobs.slurm.executor import SlurmExecutor
from hsm.jobs.state.values import ExecutorKind, SubmissionState, SweepState
from hsm.jobs.states import ENDED_BADLY, TaskState
from hsm.jobs.submitter import SubmitPlan, Submitted, make_pattern, submit_tasks
from hsm.jobs.tracker import SECOND_LOOK_SECONDS, observe_tasks
from hsm.prepared_sweep.document import SweepMode
from hsm.prepared_sweep.resources import Resources
from hsm.project_folder import ProjectFolder
from hsm.sweeps.submitted.open_sweep import OpenSweep, choose_executor, list_tasks

MOST_INDIVIDUAL = 50
"""Jobs of one call with `individual`, without `--force`: an array is one question to the scheduler, these are many."""

_MOST_LOCAL = 10**6


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """Options of a submission.

    Attributes:
        mode: None for that of the sweep.
        parallel: Most tasks at a time; 0 for what the configuration says.
        gpus: Of the local pool; empty for what the configuration says.
        asked: Resources over those of the sweep.
        force: Submit many individual jobs.
    """

    mode: SweepMode | None = None
    parallel: int = 0
    gpus: str = ""
    asked: Mapping[str, object] = field(default_factory=dict)
    force: bool = False


def submit_sweep(
    opened: OpenSweep,
    options: SubmitOptions,
    numbers: Iterable[int] | None = None,
    *,
    tell: Callable[[str], None] = lambda _text: None,
) -> Submitted:
    """Submit tasks that were never submitted; with `numbers`, exactly those, where they do not wait, run or completed.

    Jobs that an earlier call has left without an answer are looked for first, for a minute where need be.

    Args:
        opened: The sweep.
        options: How.
        numbers: The tasks; None for all that are prepared.
        tell: Is told what is waited for.

    Raises:
        UsageError, ConfigError: What is asked for does not go together.
        TargetError: The snapshot of the code is gone.
    """
    state = settle(opened, tell=tell)
    if numbers is None:
        numbers = [n for n in list_tasks(opened.prepared, None) if state.get_status(n).state is TaskState.PREPARED]
    numbers = list(numbers)
    if not numbers:
        return Submitted()
    return submit_tasks(opened.store, plan_chunks(opened, options, len(numbers)), numbers)


def settle(opened: OpenSweep, *, tell: Callable[[str], None] = lambda _text: None) -> SweepState:
    """Look at a sweep until it is known what became of every submission, or it cannot be asked."""
    while True:
        state, faults = observe_tasks(opened.tracked)
        asked = [submission for submission in state.submissions if submission.state is SubmissionState.ASKED]
        if not asked or faults:
            return state
        names = ", ".join(submission.job.chunk.name for submission in asked)
        tell(f"Looking for a job whose answer was lost: {names} (again in {SECOND_LOOK_SECONDS:g} s)")
        opened.runner.sleep(SECOND_LOOK_SECONDS)


def plan_chunks(opened: OpenSweep, options: SubmitOptions, n_tasks: int) -> SubmitPlan:
    """Make the plan of a submission.

    Raises:
        UsageError, ConfigError, TargetError: As `submit_sweep`.
    """
    mode = options.mode or opened.prepared.mode
    kind = choose_executor(mode)
    resources = merge_for(opened, options.asked)
    if mode is SweepMode.INDIVIDUAL and n_tasks > MOST_INDIVIDUAL and not options.force:
        raise UsageError(
            f"{n_tasks} individual jobs are many questions to the scheduler.",
            hint="Use `--mode array`, or `--force`.",
            kind="many_jobs",
        )
    executor = opened.tracked.executors[kind]
    most, per_job = _MOST_LOCAL, 1
    if kind is ExecutorKind.SLURM:
        per_job = resources.tasks_per_job or 1
        most = 1 if mode is SweepMode.INDIVIDUAL else _find_most(executor, resources, -(-n_tasks // per_job))
    file = opened.settings.file
    parallel = resources.throttle or 0
    if kind is ExecutorKind.LOCAL:
        parallel = file.local.parallel or parallel
    order = JobOrder(
        opened.prepared,
        make_pattern(per_job),
        find_task_places(opened),
        resources,
        options.parallel or parallel,
        options.gpus or file.local.gpus or "",
    )
    return SubmitPlan(order, executor, kind, most)


def _find_most(executor: object, resources: Resources, n_elements: int) -> int:
    """Find how many elements one array may have; a single one is no array, and nobody is asked."""
    most = resources.max_array_size or _MOST_LOCAL
    if n_elements > 1 and isinstance(executor, SlurmExecutor):
        most = min(most, executor.read_array_size())
    return most


def merge_for(opened: OpenSweep, asked: Mapping[str, object]) -> Resources:
    """Merge the resources of a sweep's tasks, on this machine, with those of a call.

    Raises:
        ConfigError: They contradict one another.
    """
    said = dict(opened.prepared.resources)
    for one, other in (("mem", "mem_per_cpu"), ("mem_per_cpu", "mem")):
        if one in asked:
            said.pop(other, None)
    try:
        return opened.settings.merge({**said, **asked})
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
    raise ConfigError(
        f"The resources of {opened.name} and .hsm/config.yaml do not go together: {reason}",
        hint="Correct .hsm/config.yaml, or say it with --walltime or --mem.",
        kind="bad_resources",
    )


def find_task_places(opened: OpenSweep) -> JobPlaces:
    """Find the places of a sweep on this machine.

    Raises:
        TargetError: The snapshot of its code is gone.
    """
    project, code = opened.settings.project, opened.settings.project
    if opened.prepared.code.hash:
        code = ProjectFolder(project).snapshots / opened.prepared.code.hash
        if not code.is_dir():
            raise TargetError(
                f"The code of {opened.name} is gone: there is no {code}",
                hint="Prepare the sweep anew with `hsm sweep run`.",
                kind="no_snapshot",
            )
    return JobPlaces(str(opened.folder.folder), str(project), str(code), opened.prepared.python)


class ResubmitChoice:
    """Choice of the tasks that get a new attempt.

    Args:
        failed: Those that ended badly by themselves.
        missing: Those that were never submitted, or are lost.
        cancelled: Those that were cancelled.
        numbers: Exactly these; None for no such choice.
    """

    def __init__(self, *, failed: bool, missing: bool, cancelled: bool, numbers: list[int] | None) -> None:
        states: set[TaskState] = set()
        if failed:
            states |= ENDED_BADLY - {TaskState.CANCELLED}
        if missing:
            states |= {TaskState.PREPARED, TaskState.LOST}
        if cancelled:
            states |= {TaskState.CANCELLED}
        if not states and numbers is None:
            states = set(ENDED_BADLY)
        self.states = frozenset(states)
        self.numbers = numbers

    def choose(self, state: SweepState, n_tasks: int) -> list[int]:
        """Return the numbers of the tasks that are chosen."""
        named = set(self.numbers or ())
        return [n for n, status in state.iter_states(n_tasks) if n in named or status.state in self.states]
