"""Sources of the number of runs that a sweep will have: its own list of combinations, and Slurm's queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hsm.discover.combinations import COMBINATIONS, MOST_LIST_BYTES, parse_combinations
from hsm.errors import HsmError
from hsm.process.runner import CommandTimeoutError, Completed, ProgramMissingError, Runner
from hsm.remote.shell import RemoteShell, quote
from hsm.sync.follow.judgement import Queue, RunView
from hsm.wandb_log.slurm_job import HEAD_BYTES, SlurmJob, parse_slurm_job

SQUEUE_SECONDS = 30.0
"""Slurm's controller is asked no more often than this: it serves the whole cluster."""

_ANSWER_SECONDS = 60.0
# Part of the line that squeue prints when it knows none of the jobs; every other failure says nothing of them.
_GONE = "Invalid job id"

RunCommand = Callable[[str, Sequence[str]], Completed | None]
"""Runs a command where a target's runs come from; None where no command can be run there."""


def read_combinations(folders: Iterable[Path]) -> int | None:
    """Read the number of parameter combinations of a sweep.

    Args:
        folders: The places of the sweep's folder; the first that has the list counts.

    Returns:
        None where there is no list, or none that can be understood.
    """
    for folder in folders:
        try:
            path = folder / COMBINATIONS
            if path.stat().st_size <= MOST_LIST_BYTES:
                return parse_combinations(path.read_bytes())
        except OSError:
            continue
    return None


def read_job(log: Path) -> SlurmJob | None:
    """Read the Slurm job that a run's log on this machine names."""
    try:
        with log.open("rb") as stream:
            return parse_slurm_job(stream.read(HEAD_BYTES))
    except OSError:
        return None


def make_ask(runner: Runner) -> RunCommand:
    """Make the function that asks the scheduler of this machine, for any target."""

    def ask(_target: str, argv: Sequence[str]) -> Completed:
        return runner.run(argv, timeout_seconds=_ANSWER_SECONDS)

    return ask


def make_far_ask(get_shell: Callable[[str], RemoteShell | None]) -> RunCommand:
    """Make the function that asks the scheduler of a target, over its connection.

    Args:
        get_shell: Returns the shell of a target; None where no command may run.
    """

    def ask(target: str, argv: Sequence[str]) -> Completed | None:
        shell = get_shell(target)
        return None if shell is None else shell.run(" ".join(map(quote, argv)))

    return ask


class JobQueues:
    """Answers of Slurm about the jobs that runs' logs name.

    Args:
        ask: Runs a command where a target's runs come from.
        interval_seconds: Slurm is asked no more often than this, and than `SQUEUE_SECONDS`.

    Attributes:
        answers: The last ones, by the target whose runs were asked for.
    """

    def __init__(self, ask: RunCommand, *, interval_seconds: float) -> None:
        self.answers: dict[str, Queue] = {}
        self._ask = ask
        self._pause_seconds = max(SQUEUE_SECONDS, interval_seconds)
        self._asked_at = float("-inf")

    def ask(self, views: Iterable[RunView]) -> None:
        """Ask again about the jobs of runs, once it is time."""
        if time.monotonic() - self._asked_at < self._pause_seconds:
            return
        jobs: dict[str, list[SlurmJob]] = {}
        for view in views:
            if view.job is not None:
                jobs.setdefault(view.target, []).append(view.job)
        self.answers = {target: read_queue(self._ask, target, found) for target, found in jobs.items()}
        if jobs:
            self._asked_at = time.monotonic()


def read_queue(ask: RunCommand, target: str, jobs: Iterable[SlurmJob]) -> Queue:
    """Ask Slurm once which of these jobs wait or run. Where there is no Slurm, or no answer, nothing is known.

    Only `squeue` is asked: accounting (`sacct`) is missing on many clusters, and whether any task is left is the whole
    question.

    Args:
        ask: Runs the command.
        target: The target whose jobs they are.
        jobs: All that are of interest.
    """
    asked = frozenset(word for job in jobs for word in (job.id, job.array_id) if word)
    if not asked:
        return Queue()
    # By the array where there is one: its tasks that wait have no id of their own yet.
    ids = ",".join(sorted({job.array_id or job.id for job in jobs}))
    try:
        # Not `--json`: it ignores the filter, and with the controller down it exits with 0 and no jobs after 9 s
        # (22.05). Nor sacct, which many clusters do not have, and which lags: one of 20 finished tasks came 24 s late.
        completed = ask(target, ["squeue", "--noheader", "--array", f"--jobs={ids}", "--format=%A %F %K"])
    except (ProgramMissingError, CommandTimeoutError, HsmError):
        return Queue()
    return Queue() if completed is None else parse_queue(completed, asked)


def parse_queue(completed: Completed, asked: frozenset[str]) -> Queue:
    """Read what `squeue --format="%A %F %K"` printed: id, array job id and task id of each job. Pure.

    It lists jobs that wait, run or are just completing. Of one job that it knows no more it says so and exits with 1;
    of one among several that it knows it says nothing (seen with 22.05). Any other failure says nothing of the jobs.
    """
    if completed.returncode != 0:
        # With the controller down squeue exits with 1 as well.
        return Queue(asked) if _GONE in completed.stderr_text else Queue()
    # A task that waits is one line for the whole array; `--array` prints a line for each task.
    left: set[str] = set()
    for line in completed.stdout.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) == 3:
            left.update(words[:2])
            left.add(f"{words[1]}_{words[2]}")
    return Queue(asked, frozenset(left))
