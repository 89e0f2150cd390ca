"""Answers of Slurm's programs. Pure.

Whatever is no answer is silence: an error, no rows after an error, rows that cannot be read. Silence never says that a
job is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from hsm.jobs.base import SubmittedJob
from hsm.jobs.chunk import parse_indices
from hsm.jobs.model import Element, ElementRecord, JobAnswer, SourceState
from hsm.jobs.slurm.commands import (
    ACCOUNTING_FIELDS,
    COMMENT,
    DELIMITER,
    FIND_ACCOUNTING_FIELDS,
    FIND_FIELDS,
    QUEUE_FIELDS,
)
from hsm.jobs.slurm.states import parse_slurm_state
from hsm.process.runner import Completed

_NO_ACCOUNTING = re.compile("accounting storage is disabled", re.IGNORECASE)
_ERROR = re.compile("error|fatal", re.IGNORECASE)
_JOB_ID = re.compile(r"(\d+)(?:;\S+)?", re.ASCII)
_ACCOUNTED = re.compile(r"(\d+)(?:_(?:(\d+)|\[(.*)\]))?", re.ASCII)
# Of a request that may have arrived.
_UNCERTAIN = re.compile(
    "timed? ?out|zero bytes|unable to contact|connection|communication|transport|temporarily|unexpected message"
    "|protocol|header length|i/o error|no route|socket",
    re.IGNORECASE,
)
_LIMIT = re.compile("MaxSubmit|GrpSubmit|MaxJobCount", re.IGNORECASE)
_MOST_FAULT = 300


def read_fault(completed: Completed) -> str:
    """Return what a program complained of, in its own words, or its exit code."""
    lines = [line.strip() for line in completed.stderr_text.splitlines() if line.strip()]
    text = "".join(char if char.isprintable() else " " for char in "; ".join(lines[-3:]))[:_MOST_FAULT]
    return text or f"exit code {completed.returncode}"


def parse_sbatch(completed: Completed) -> str | None:
    """Return the id of a job that was submitted; None where there is none in the answer."""
    if completed.returncode != 0:
        return None
    # A wrapper of the site's may print more.
    for line in reversed(completed.stdout.decode("utf-8", "replace").split("\n")):
        if match := _JOB_ID.fullmatch(line.strip()):
            return match[1]
    return None


def is_certain_refusal(completed: Completed) -> bool:
    """Tell whether sbatch failed and certainly submitted nothing."""
    text = completed.stderr_text
    # 124 to 127: `timeout` ended it, or something between. A signal is negative.
    is_own_end = 0 < completed.returncode < 124
    return is_own_end and not completed.stdout.strip() and bool(text.strip()) and not _UNCERTAIN.search(text)


def is_limit(completed: Completed) -> bool:
    """Tell whether sbatch was refused since the user has too many jobs already."""
    return bool(_LIMIT.search(completed.stderr_text))


def parse_queue_answer(completed: Completed, jobs: Sequence[SubmittedJob], asked_at: float) -> JobAnswer:
    """Read what squeue printed for `QUEUE_FIELDS`."""
    if (fault := _find_fault(completed)) is not None:
        return JobAnswer(SourceState.SILENT, fault=fault, asked_at=asked_at)
    keys = {job.job_id: job.chunk.key for job in jobs if job.job_id}
    found: dict[Element, ElementRecord] = {}
    for row in _iter_rows(completed.stdout, QUEUE_FIELDS):
        key, index = keys.get(row["ArrayJobID"]), row["ArrayTaskID"]
        if key is None or not (index.isdigit() or index == "N/A"):
            continue
        status = _parse_int(row["exit_code"])
        name = f"{row['ArrayJobID']}_{index}" if index.isdigit() else row["ArrayJobID"]
        found[Element(key, int(index) if index.isdigit() else 1)] = ElementRecord(
            state=parse_slurm_state(row["State"]),
            word=row["State"],
            job_id=name,
            reason=row["Reason"],
            node=row["NodeList"],
            exit_code=None if status & 0x7F else status >> 8 & 0xFF,  # as wait(2) gives it
            signal=status & 0x7F,
            started=_parse_time(row["StartTime"]),
            ended=_parse_time(row["EndTime"]),
            n_restarts=_parse_int(row["RestartCnt"]),
        )
    return JobAnswer(SourceState.ANSWERED, found, asked_at=asked_at)


def parse_accounting_answer(completed: Completed, jobs: Sequence[SubmittedJob], asked_at: float) -> JobAnswer:
    """Read what sacct printed for `ACCOUNTING_FIELDS`."""
    if completed.returncode != 0 and _NO_ACCOUNTING.search(completed.stderr_text):
        return JobAnswer(SourceState.ABSENT, asked_at=asked_at)
    if (fault := _find_fault(completed)) is not None:
        return JobAnswer(SourceState.SILENT, fault=fault, asked_at=asked_at)
    keys = {job.job_id: job.chunk.key for job in jobs if job.job_id}
    found: dict[Element, ElementRecord] = {}
    for fields in _iter_fields(completed.stdout, len(ACCOUNTING_FIELDS)):
        name, word, exit_code, started, ended, node = fields
        match = _ACCOUNTED.fullmatch(name)
        if match is None or match[1] not in keys:
            continue
        record = _make_accounted(word, exit_code, started, ended, node)
        for index in _parse_accounted_indices(match):
            job_id = f"{match[1]}_{index}" if match[2] or match[3] else match[1]
            found[Element(keys[match[1]], index)] = replace(record, job_id=job_id)
    return JobAnswer(SourceState.ANSWERED, found, asked_at=asked_at)


def parse_found_queue(completed: Completed, jobs: Sequence[SubmittedJob]) -> Mapping[str, str] | str:
    """Read which of the jobs that were looked for squeue knows: key -> id; or why it is silent."""
    if (fault := _find_fault(completed)) is not None:
        return fault
    rows = _iter_rows(completed.stdout, FIND_FIELDS)
    return _match(((row["ArrayJobID"], row["Name"], row["Comment"], row["WorkDir"]) for row in rows), jobs)


def parse_found_accounting(completed: Completed, jobs: Sequence[SubmittedJob]) -> Mapping[str, str] | str:
    """Read which of the jobs that were looked for sacct knows: key -> id; or why it is silent."""
    if completed.returncode != 0 and _NO_ACCOUNTING.search(completed.stderr_text):
        return {}
    if (fault := _find_fault(completed)) is not None:
        return fault
    rows = []
    for name, job_name, comment, folder in _iter_fields(completed.stdout, len(FIND_ACCOUNTING_FIELDS)):
        if match := _ACCOUNTED.fullmatch(name):
            rows.append((match[1], job_name, comment, folder))
    return _match(rows, jobs)


def parse_max_array_size(completed: Completed) -> int | None:
    """Read MaxArraySize of `scontrol show config`; None where it does not say."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d{1,9})\s*$", completed.stdout.decode("utf-8", "replace"), re.MULTILINE)
    return int(match[1]) if match and completed.returncode == 0 else None


def _match(rows: Iterable[tuple[str, str, str, str]], jobs: Sequence[SubmittedJob]) -> dict[str, str]:
    """Tell whose jobs are whose: by the key in the comment, and where there is none of ours, by the folder.

    Accounting keeps comments only where it is told to, and some sites write their own.
    """
    found: dict[str, str] = {}
    for job_id, name, comment, folder in rows:
        for job in jobs:
            is_key = comment == f"{COMMENT}{job.chunk.key}"
            is_folder = not comment.startswith(COMMENT) and folder == job.folder
            if job_id.isdigit() and name == job.chunk.name and (is_key or is_folder):
                found.setdefault(job.chunk.key, job_id)
    return found


def _find_fault(completed: Completed) -> str | None:
    if completed.returncode != 0:
        return read_fault(completed)
    if not completed.stdout.strip() and _ERROR.search(completed.stderr_text):
        return read_fault(completed)
    return None


def _iter_rows(content: bytes, fields: Mapping[str, int]) -> Iterator[dict[str, str]]:
    """Yield rows of columns that have a width each, in bytes; a line that is too short is none."""
    width = sum(fields.values())
    for line in content.split(b"\n"):
        if len(line) < width - max(fields.values()):
            continue
        row, begin = {}, 0
        for name, size in fields.items():
            row[name] = line[begin : begin + size].decode("utf-8", "surrogateescape").strip()
            begin += size
        yield row


def _iter_fields(content: bytes, count: int) -> Iterator[list[str]]:
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.split(DELIMITER)
        if len(fields) == count:
            yield fields


def _make_accounted(word: str, exit_code: str, started: str, ended: str, node: str) -> ElementRecord:
    code, _, signal = exit_code.partition(":")
    number = _parse_int(signal)
    return ElementRecord(
        state=parse_slurm_state(word),
        word=word,
        node="" if node == "None assigned" else node,
        exit_code=None if number and not _parse_int(code) else _parse_int(code),
        signal=number,
        started=_parse_time(started),
        ended=_parse_time(ended),
        # Not its reason: that is why it waited.
        reason="Slurm could not open its log (0:53)" if exit_code == "0:53" else "",
    )


def _parse_accounted_indices(match: re.Match[str]) -> list[int]:
    if match[2]:
        return [int(match[2])]
    if match[3]:
        try:
            return parse_indices(match[3])
        except ValueError:
            return []
    return [1]


def _parse_int(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _parse_time(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0.0
