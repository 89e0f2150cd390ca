"""Sources of the number of runs that a sweep will have: its own list of combinations, and Slurm's queue."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hsm.errors import HsmError
from hsm.process.runner import CommandTimeoutError, Completed, ProgramMissingError, Runner
from hsm.remote.shell import RemoteShell, quote
from hsm.sync.follow.judgement import Queue
from hsm.wandb_log.slurm_job import HEAD_BYTES, SlurmJob, parse_slurm_job

COMBINATIONS = "parameter_combinations.json"

SQUEUE_SECONDS = 30.0
"""Slurm's controller is asked no more often than this."""

_MOST_BYTES = 64 * 1024 * 1024
_LISTS = ("parameter_combinations", "combinations", "tasks")
_ANSWER_SECONDS = 60.0
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
            if path.stat().st_size <= _MOST_BYTES:
                return parse_combinations(path.read_bytes())
        except OSError:
            continue
    return None


def parse_combinations(content: bytes) -> int | None:
    """Count the combinations: the members of a list, or of the list below a key that says so. Pure."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        found = next((found[key] for key in _LISTS if isinstance(found.get(key), list)), None)
    return len(found) if isinstance(found, list) and found else None


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
    ids = ",".join(sorted({job.array_id or job.id for job in jobs}))
    try:
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
        return Queue(asked) if _GONE in completed.stderr_text else Queue()
    left: set[str] = set()
    for line in completed.stdout.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) == 3:
            left.update(words[:2])
            left.add(f"{words[1]}_{words[2]}")
    return Queue(asked, frozenset(left))
