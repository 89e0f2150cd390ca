"""Directives of a job of Slurm, from the resources that its tasks ask for. Pure.

Every value was checked when it was read (`hsm.prepared_sweep.resources`), and is looked at once more here: a line break
in one would be a line of the script.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hsm.errors import UsageError
from hsm.jobs.base import JobOrder
from hsm.prepared_sweep.document import ResumeRule
from hsm.prepared_sweep.resources import Resources, parse_walltime

_PLAIN = re.compile(r"[A-Za-z0-9_.,:;@+=%/*&|()\[\]-]+", re.ASCII)
_MEMORY = re.compile(r"(\d+)([KMGT])", re.ASCII)
_PACKED_SPARE_SECONDS = 120  # to end and record the last tasks


def make_directives(order: JobOrder) -> list[str]:
    """Make the lines of a job script that say what it needs.

    Raises:
        UsageError: What was asked for does not go together.
    """
    if order.chunk.per_job > 1 and order.sweep.resume:
        raise UsageError(
            "resume and tasks_per_job do not go together: the one is for long tasks, the other for short ones.",
            hint="Take out one of the two.",
            kind="resume_packed",
        )
    found = [*_iter_options(order.resources, order.chunk.per_job), *_iter_requeue(order.sweep.resume)]
    return [f"#SBATCH --{name}={value}" if value else f"#SBATCH --{name}" for name, value in map(_check, found)]


def make_extra_options(resources: Resources) -> list[str]:
    """Make the words of sbatch for further options, whose values may hold blanks."""
    return [f"--{name}={value}" if value != "true" else f"--{name}" for name, value in (resources.extra or {}).items()]


def _iter_options(resources: Resources, per_job: int) -> Iterator[tuple[str, str]]:
    n_at_once = min(resources.tasks_at_once or 1, per_job)
    if resources.walltime:
        yield "time", _make_time(resources.walltime, per_job, n_at_once)
    if resources.cpus_per_task:
        yield "cpus-per-task", str(resources.cpus_per_task * n_at_once)
    elif n_at_once > 1:
        yield "cpus-per-task", str(n_at_once)
    if resources.mem:
        yield "mem", _multiply(resources.mem, n_at_once)
    if resources.mem_per_cpu:
        yield "mem-per-cpu", resources.mem_per_cpu
    if resources.gpus:
        kind = f"{resources.gpu_type}:" if resources.gpu_type else ""
        if (resources.nodes or 1) > 1:
            yield "gpus", f"{kind}{resources.gpus}"  # of the whole task
        else:
            yield "gres", f"gpu:{kind}{resources.gpus * n_at_once}"
    for name in ("nodes", "ntasks", "partition", "qos", "account", "constraint", "exclude", "nice"):
        value = getattr(resources, name)
        if value is not None:
            yield name, str(value)


def _iter_requeue(resume: ResumeRule | None) -> Iterator[tuple[str, str]]:
    yield "open-mode", "append"
    if resume is None:
        # A task whose node goes ends as lost, and is sent again when a person says so.
        yield "no-requeue", ""
    else:
        yield "requeue", ""
        yield "signal", f"B:TERM@{resume.signal_seconds}"


def _make_time(walltime: str, per_job: int, n_at_once: int) -> str:
    if per_job == 1:
        return walltime
    seconds = parse_walltime(walltime) * -(-per_job // n_at_once) + _PACKED_SPARE_SECONDS
    hours, rest = divmod(seconds, 3600)
    days, hours = divmod(hours, 24)
    return f"{days}-{hours:02}:{rest // 60:02}:{rest % 60:02}"


def _multiply(memory: str, factor: int) -> str:
    match = _MEMORY.fullmatch(memory)
    return f"{int(match[1]) * factor}{match[2]}" if match else memory


def _check(option: tuple[str, str]) -> tuple[str, str]:
    name, value = option
    if value and not _PLAIN.fullmatch(value):
        raise UsageError(f"{name} is no value for a job script: {value!a}", hint="Correct it in the configuration.")
    return option
