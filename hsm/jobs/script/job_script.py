"""Maker of job scripts: a head with what is to be run, then parts that are the same everywhere. Pure.

Everything is in one file, so that what was submitted stays what it was, and nothing of HSM is needed where it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from pathlib import Path

from hsm.jobs.base import JobOrder
from hsm.prepared_sweep.records import check_place
from hsm.prepared_sweep.resources import parse_walltime
from hsm.prepared_sweep.shell import TASK_READER
from hsm.remote.shell import quote

# Where `module` is a function that only login shells have.
_MODULE_FILES = "/etc/profile.d/modules.sh /etc/profile.d/lmod.sh /etc/profile.d/z00_lmod.sh"


class ScriptPart(Enum):
    """Part of a script that does not depend on the sweep."""

    TASK = "task.sh"
    POOL = "pool.sh"
    SLURM = "slurm_job.sh"
    LOCAL = "local_pool.sh"


def make_job_script(
    order: JobOrder, parts: Iterable[ScriptPart], variables: Mapping[str, str | int], directives: Iterable[str] = ()
) -> str:
    """Make the script of a chunk.

    Args:
        order: The chunk and its places.
        parts: What follows the head, in this order.
        variables: Further ones of the head, by name.
        directives: Lines for the scheduler, checked.

    Raises:
        UsageError: A place cannot be handed to tasks.
    """
    for path, what in ((order.places.folder, "the sweep"), (order.places.project, "the project")):
        check_place(path, what)
    check_place(order.places.code, "the code")
    check_place(order.places.python, "the interpreter")
    lines = [
        "#!/bin/bash",
        *directives,
        f"# {order.chunk.name}: written by HSM.",
        *_make_setup(order),
        *(f"{name}={quote(str(value))}" for name, value in _make_variables(order).items()),
        *(f"{name}={quote(str(value))}" for name, value in variables.items()),
        f"hsm_tasks=({' '.join(str(task.number) for task in order.chunk.tasks)})",
        f"hsm_attempts=({' '.join(str(task.attempt) for task in order.chunk.tasks)})",
        *(f"export {name}={quote(value)}" for name, value in _make_exports(order).items()),
    ]
    return "\n".join(lines) + "\n" + TASK_READER + "".join("\n" + read_part(part) for part in parts)


@cache
def read_part(part: ScriptPart) -> str:
    """Read a part of all scripts."""
    return Path(__file__).with_name(part.value).read_text("utf-8")


def _make_setup(order: JobOrder) -> list[str]:
    """Make the lines that prepare the surroundings of the tasks."""
    resources = order.resources
    lines = [f"export {name}={quote(value)}" for name, value in (resources.env or {}).items()]
    if resources.modules:
        lines += [
            f"for hsm_file in {_MODULE_FILES}; do",
            '  if ! type module >/dev/null 2>&1 && [ -r "$hsm_file" ]; then . "$hsm_file"; fi',
            "done",
            *(f"module load {quote(name)} || exit 78" for name in resources.modules),
        ]
    if resources.pre_script:
        # Its options and traps are not those of what follows.
        lines += [resources.pre_script, "set +eux; IFS=$' \\t\\n'; trap - EXIT ERR TERM INT"]
    return lines


def _make_variables(order: JobOrder) -> dict[str, str | int]:
    sweep, places, resources = order.sweep, order.places, order.resources
    return {
        "hsm_name": order.chunk.name,
        "hsm_folder": places.folder,
        "hsm_code": places.code,
        "hsm_python": places.python,
        "hsm_walltime": parse_walltime(resources.walltime) if resources.walltime else 0,
        "hsm_resume_seconds": sweep.resume.signal_seconds if sweep.resume else 0,
        "hsm_resume_times": sweep.resume.times if sweep.resume else 0,
        "hsm_gpus_per_task": resources.gpus or 0,
    }


def _make_exports(order: JobOrder) -> dict[str, str]:
    sweep, places = order.sweep, order.places
    return {
        **sweep.environment,
        "HSM_SWEEP": sweep.sweep,
        "HSM_CODE_DIR": places.code,
        "WANDB_DIR": places.project,
        "WANDB_RUN_GROUP": sweep.sweep,
    }
