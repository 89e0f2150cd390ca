"""Chunks: the tasks that one submission holds. Pure.

The elements of a job have the indices 1 to k, whatever the numbers of its tasks are, so any choice of tasks can be sent
again.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hsm.jobs.model import Element

_MOST_NAME = 128  # of a sweep's part of a name; squeue's lines and log files' names hold it
_UNFIT = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)
_KEY_BYTES = 8


class TaskAttempt(NamedTuple):
    """Attempt of a task.

    Attributes:
        number: The task's, from 1.
        attempt: From 1.
    """

    number: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tasks of one submission.

    Attributes:
        name: `<sweep>.<chunk>.<attempt>`, the name of the job and of its script.
        key: Random, so that a job is told from another one of that name.
        tasks: In the order of the elements.
        per_job: How many tasks an element runs.
    """

    name: str
    key: str
    tasks: tuple[TaskAttempt, ...]
    per_job: int = 1

    @property
    def n_elements(self) -> int:
        """The number of its elements."""
        return -(-len(self.tasks) // self.per_job)

    def iter_elements(self) -> Iterator[tuple[TaskAttempt, Element]]:
        """Yield every task with its element."""
        for position, task in enumerate(self.tasks):
            yield task, Element(self.key, position // self.per_job + 1)


def make_job_name(sweep: str, number: int, attempt: int) -> str:
    """Make the name of a job.

    Args:
        sweep: The sweep's id; what is not plain in it becomes `_`, and tells itself apart by a hash.
        number: Of the chunk, from 1, counted over the sweep's whole life.
        attempt: The highest of its tasks, from 1.
    """
    plain = _UNFIT.sub("_", sweep)[:_MOST_NAME].lstrip(".-") or "_"
    if plain != sweep:
        plain += f"-{hashlib.sha256(sweep.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return f"{plain}.{number}.{attempt}"


def make_chunk(sweep: str, number: int, tasks: Sequence[TaskAttempt], *, per_job: int = 1) -> Chunk:
    """Make a chunk with a new key."""
    name = make_job_name(sweep, number, max((task.attempt for task in tasks), default=1))
    return Chunk(name, secrets.token_hex(_KEY_BYTES), tuple(tasks), per_job)


def cut_tasks(tasks: Sequence[TaskAttempt], most_elements: int, per_job: int) -> list[tuple[TaskAttempt, ...]]:
    """Cut tasks into parts that fit into one job each."""
    size = most_elements * per_job
    return [tuple(tasks[begin : begin + size]) for begin in range(0, len(tasks), size)]


def format_indices(indices: Sequence[int]) -> str:
    """Write indices as Slurm does: `1-3,7`."""
    parts: list[list[int]] = []
    for index in sorted(set(indices)):
        if parts and parts[-1][1] == index - 1:
            parts[-1][1] = index
        else:
            parts.append([index, index])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in parts)


def parse_indices(text: str) -> list[int]:
    """Read indices as Slurm writes them: `1-3,7`, `0-8:4`, `3-5%2`.

    Raises:
        ValueError: It is no such text, or names over a million.
    """
    found: list[int] = []
    for part in text.partition("%")[0].split(","):
        span, _, step = part.partition(":")
        first, dash, last = span.partition("-")
        begin, end = int(first), int(last if dash else first)
        if not 0 <= begin <= end <= 10**7 or (end - begin) > 10**6:
            raise ValueError(f"no indices: {text[:80]!a}")
        found.extend(range(begin, end + 1, int(step or 1)))
    return found
