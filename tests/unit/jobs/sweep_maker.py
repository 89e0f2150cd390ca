"""Maker of prepared sweeps, whose tasks run what a test says."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hsm.jobs.base import JobOrder, JobPlaces
from hsm.jobs.chunk import Chunk, TaskAttempt, make_chunk
from hsm.prepared_sweep.document import ArgumentStyle, PreparedSweep, SweepCode, SweepMode, save_prepared
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.prepared_sweep.records import Filling, TaskRecord, encode_index, encode_record
from hsm.prepared_sweep.resources import Resources

SWEEP = "sweep_20261130_041000"


def make_sweep(project: Path, commands: Sequence[Sequence[str]], *, name: str = SWEEP, **fields: Any) -> PreparedFolder:
    """Write a prepared sweep with a task for each command."""
    folder = PreparedFolder(project / "sweeps" / "outputs" / name)
    for path in (folder.own, folder.logs, folder.scripts, folder.tasks):
        path.mkdir(parents=True)
    records = [encode_record(make_record(number, words)) for number, words in enumerate(commands, 1)]
    folder.records(1).write_bytes(b"".join(records))
    folder.index.write_bytes(encode_index(1, [len(record) for record in records]))
    values: dict[str, Any] = {
        "sweep": name,
        "key": "0" * 16,
        "created": "2026-11-30T04:10:00Z",
        "n_tasks": len(commands),
        "mode": SweepMode.AUTO,
        "arguments": ArgumentStyle.FLAGS,
        "script": "train.py",
        "command": ("{python}", "{script}"),
        "code": SweepCode(),
        "python": sys.executable,
    }
    save_prepared(folder, PreparedSweep(**(values | fields)))
    return folder


def make_record(number: int, words: Sequence[str]) -> TaskRecord:
    """Make a record; the word `{dir}` stands for the task's folder."""
    command = tuple((Filling.TASK,) if word == "{dir}" else (word,) for word in words)
    return TaskRecord((json.dumps({"number": number}) + "\n",), command)


def make_order(
    folder: PreparedFolder,
    sweep: PreparedSweep,
    tasks: Sequence[TaskAttempt | int],
    *,
    project: Path,
    per_job: int = 1,
    chunk: Chunk | None = None,
    **fields: Any,
) -> JobOrder:
    """Make the order for tasks, each in its first attempt where nothing else is said."""
    attempts = [task if isinstance(task, TaskAttempt) else TaskAttempt(task, 1) for task in tasks]
    chunk = chunk or make_chunk(sweep.sweep, 1, attempts, per_job=per_job)
    places = JobPlaces(str(folder.folder), str(project), str(project), sweep.python)
    resources = Resources.model_validate(fields.pop("resources", {}))
    return JobOrder(sweep, chunk, places, resources, **fields)
