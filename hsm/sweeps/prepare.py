"""Preparing of a sweep: its folder, complete, under a name that was free (docs/design/sweeps.md)."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from hsm.errors import TargetError
from hsm.file_errors import explain_os_error
from hsm.files import make_private_folder
from hsm.prepared_sweep.document import ArgumentStyle, PreparedSweep, save_prepared
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.prepared_sweep.records import encode_index, encode_record
from hsm.sweep_folder import OUTPUTS
from hsm.sweeps.command_line import format_command
from hsm.sweeps.draft import SweepDraft
from hsm.sweeps.names import iter_names
from hsm.sweeps.tasks.values import Parameters, encode_value


def prepare_sweep(draft: SweepDraft, now: datetime) -> PreparedFolder:
    """Write the folder of a sweep. What fails leaves nothing; the folder appears whole.

    Args:
        draft: All that it holds.
        now: The time, in UTC.

    Raises:
        TargetError: It cannot be written.
    """
    outputs = draft.request.settings.outputs
    try:
        outputs.mkdir(parents=True, exist_ok=True)
        folder = _claim(outputs, draft)
        beside = outputs / f".hsm-{secrets.token_hex(8)}"
        try:
            beside.mkdir()
            _write(PreparedFolder(beside), draft, name=folder.name, now=now)
            # Onto the empty folder that holds the name: it is replaced at once.
            beside.rename(folder)
        except BaseException:
            with contextlib.suppress(OSError):
                folder.rmdir()
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        reason, hint = explain_os_error(error, outputs)
        raise TargetError(f"{outputs} cannot be written: {reason}", hint=hint, kind="no_permission") from error
    return PreparedFolder(folder)


def _claim(outputs: Path, draft: SweepDraft) -> Path:
    """Make an empty folder with the first name that is free."""
    project = draft.request.settings.project
    for name in iter_names(draft.request.name):
        # Where `hsm sync` looks for sweeps as well: two of one name would be refused.
        if any(os.path.lexists(project / place / name) for place in (OUTPUTS, "wandb")):
            continue
        with contextlib.suppress(FileExistsError):
            (outputs / name).mkdir()
            return outputs / name
    raise AssertionError("names do not end")


def _write(folder: PreparedFolder, draft: SweepDraft, *, name: str, now: datetime) -> None:
    form = draft.make_form(name)
    records = [encode_record(form.make_record(task)) for task in draft.tasks]
    for place in (folder.logs, folder.scripts, folder.tasks):
        place.mkdir()
    make_private_folder(folder.own)
    folder.definition.write_bytes(draft.request.definition.content)
    folder.combinations.write_bytes(encode_combinations(draft.tasks))
    if draft.code.text:
        folder.code.write_text(draft.code.text, encoding="utf-8", errors="surrogateescape")
    if draft.code.diff:
        folder.code_changes.write_bytes(draft.code.diff)
    command = draft.fill(form.make_record(draft.tasks[0]), folder=draft.request.settings.outputs / name, number=1)
    folder.summary.write_text(_summarize(draft, name, now, command), encoding="utf-8", errors="surrogateescape")
    _write_through(folder.records(1), b"".join(records))
    _write_through(folder.index, encode_index(1, map(len, records)))
    save_prepared(folder, _make_prepared(draft, name, now))


def encode_combinations(tasks: Iterable[Parameters]) -> bytes:
    """Write the parameters of all tasks as JSON, a line for each."""
    lines = ",\n".join(encode_value(task) for task in tasks)
    return f"[\n{lines}\n]\n".encode()


def _write_through(path: Path, content: bytes) -> None:
    """Write a file that is on disk before anything refers to it."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _make_prepared(draft: SweepDraft, name: str, now: datetime) -> PreparedSweep:
    definition = draft.request.definition.definition
    return PreparedSweep(
        sweep=name,
        key=secrets.token_hex(8),
        created=f"{now:%Y-%m-%dT%H:%M:%SZ}",
        n_tasks=len(draft.tasks),
        mode=draft.request.mode,
        arguments=ArgumentStyle(definition.arguments),
        script=draft.script,
        command=tuple(definition.command),
        code=draft.code.code,
        python=draft.python,
        environment=draft.environment,
        resources=draft.asked,
        resume=draft.resume,
        metadata=definition.metadata.model_dump(mode="json", exclude_none=True, exclude_defaults=True),
    )


def _summarize(draft: SweepDraft, name: str, now: datetime, command: list[str]) -> str:
    definition, code = draft.request.definition.definition, draft.code.code
    resources = ", ".join(f"{key} {value}" for key, value in draft.resources.dump().items() if key != "pre_script")
    lines = [
        f"Sweep: {name}",
        f"Prepared: {now:%Y-%m-%d %H:%M:%S} UTC",
        f"Definition: {draft.request.definition.shown}",
        f"Tasks: {len(draft.tasks)}",
        f"Mode: {draft.request.mode.value}",
        f"Code: {f'snapshot {code.hash}' if code.hash else 'the project as it is'}",
        f"Commit: {code.commit}{' with changes' if code.is_changed else ''}" if code.commit else "",
        f"Resources: {resources}" if resources else "",
        f"Description: {definition.metadata.description}" if definition.metadata.description else "",
        f"Command of task 1: {format_command(command)}",
    ]
    return "\n".join(line for line in lines if line) + "\n"
