"""Command lines of Slurm's programs. Pure.

Text formats, not `--json`: the same in 22.05 and 24.11, 90 times smaller, and squeue's JSON ignores every filter and
exits with 0 and no jobs where the controller does not answer (22.05).
"""

from __future__ import annotations

from collections.abc import Sequence

from hsm.jobs.base import JobOrder, SubmittedJob
from hsm.jobs.chunk import format_indices
from hsm.jobs.model import Element
from hsm.jobs.slurm.directives import make_extra_options

COMMENT = "hsm:"
"""Beginning of the comment of a job; the key of its chunk follows."""

QUEUE_FIELDS = {
    "ArrayJobID": 24,
    "ArrayTaskID": 24,
    "State": 24,
    "RestartCnt": 12,
    "exit_code": 12,
    "StartTime": 24,
    "EndTime": 24,
    "Reason": 64,
    "NodeList": 128,
}
"""Columns of squeue with their widths; only `--Format` knows the number of restarts."""

FIND_FIELDS = {"ArrayJobID": 24, "Name": 200, "Comment": 64, "WorkDir": 4096}
"""Columns of squeue that tell whose a job is."""

DELIMITER = "\x1f"
ACCOUNTING_FIELDS = ("JobID", "State", "ExitCode", "Start", "End", "NodeList")
FIND_ACCOUNTING_FIELDS = ("JobID", "JobName", "Comment", "WorkDir")

# Times as seconds, and lists of indices that are not cut after 64 bytes.
_FORM = ("env", "SLURM_TIME_FORMAT=%s", "SLURM_BITSTR_LEN=0")
_SUBMIT_SECONDS = 50
_DAY_HOURS = 24  # for a clock that is off


def make_sbatch(order: JobOrder, script: str) -> list[str]:
    """Make the command that submits a chunk.

    What identifies the job, and where its output goes, stands here and not in the script: variables of the
    environment (`SBATCH_...`) beat directives, and nothing beats the command line.
    """
    chunk = order.chunk
    array = []
    if chunk.n_elements > 1:
        throttle = f"%{order.parallel}" if order.parallel else ""
        array = [f"--array=1-{chunk.n_elements}{throttle}"]
    # In a pattern `%` begins a field; a folder may hold one.
    log = f"{order.places.folder}/logs/{chunk.name}".replace("%", "%%") + ("_%a.log" if array else ".log")
    return [
        # Should whoever called be killed, this ends all the same, before anyone looks for the job a second time.
        "timeout",
        "-k",
        "5",
        str(_SUBMIT_SECONDS),
        "sbatch",
        "--parsable",
        f"--job-name={chunk.name}",
        f"--comment={COMMENT}{chunk.key}",
        f"--chdir={order.places.folder}",
        f"--output={log}",
        f"--error={log}",
        *array,
        *make_extra_options(order.resources),
        script,
    ]


def make_squeue(jobs: Sequence[SubmittedJob], user: str, fields: dict[str, int]) -> list[str]:
    """Make the question to the queue, also for what has ended within the last minutes."""
    columns = ",".join(f"{name}:{width}" for name, width in fields.items())
    names = ",".join(job.chunk.name for job in jobs)
    # By name: of a single id that it knows no more, it says nothing but an error. One user's jobs alone are sent.
    question = ["squeue", "--noheader", "--array", "--states=all", f"--user={user}", f"--name={names}"]
    return [*_FORM, *question, f"--Format={columns}"]


def make_sacct(jobs: Sequence[SubmittedJob], fields: Sequence[str], *, now: float) -> list[str]:
    """Make the question to the accounting; without a start it would show only what is of today."""
    oldest = min(job.asked_at for job in jobs)
    hours = int(max(0.0, now - oldest) // 3600) + 1 + _DAY_HOURS
    if all(job.job_id for job in jobs):
        which = "--jobs=" + ",".join(job.job_id for job in jobs)
    else:
        which = "--name=" + ",".join(job.chunk.name for job in jobs)
    question = ["sacct", "--allocations", "--noheader", "--parsable2", f"--delimiter={DELIMITER}"]
    return [*_FORM, *question, f"--starttime=now-{hours}hours", which, f"--format={','.join(fields)}"]


def make_scancel(jobs: Sequence[SubmittedJob], elements: Sequence[Element]) -> list[str]:
    """Make the one command that ends elements; empty where there are none."""
    wanted = set(elements)
    words = []
    for job in jobs:
        own = sorted({element.index for _, element in job.chunk.iter_elements() if element in wanted})
        if own and len(own) == job.chunk.n_elements:
            words.append(job.job_id)
        elif own:
            words.append(f"{job.job_id}_[{format_indices(own)}]")
    return ["scancel", *words] if words else []


def make_test(order: JobOrder, script: str) -> list[str]:
    """Make the question whether and when a chunk would start; it submits nothing."""
    argv = make_sbatch(order, script)
    return [*argv[:-1], "--test-only", argv[-1]]


SHOW_CONFIG = ("scontrol", "show", "config")
