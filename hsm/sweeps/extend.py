"""Extending of a prepared sweep: tasks that it does not have yet, numbered on."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import replace
from pathlib import Path

from hsm.errors import TargetError, UsageError
from hsm.file_errors import explain_os_error
from hsm.prepared_sweep.document import ArgumentStyle, PreparedSweep, load_prepared, save_prepared
from hsm.prepared_sweep.folder import PreparedFolder
from hsm.prepared_sweep.records import INDEX_LINE_BYTES, decode_index_line, encode_index, encode_record
from hsm.records.lock import hold_local_lock
from hsm.sweeps.draft import SweepDraft
from hsm.sweeps.prepare import encode_combinations
from hsm.sweeps.tasks.arguments import CommandForm
from hsm.sweeps.tasks.values import Parameters, make_task_key


def list_new_tasks(folder: PreparedFolder, draft: SweepDraft) -> tuple[int, list[Parameters]]:
    """List the tasks of a draft that a sweep does not have, and the number that the first of them would get.

    Raises:
        UsageError: As `extend_sweep`.
        TargetError: The sweep cannot be read.
    """
    prepared = load_prepared(folder)
    _check_same(prepared, draft)
    try:
        return prepared.n_tasks + 1, _choose_new(_read_tasks(folder, prepared), draft)
    except (OSError, ValueError) as error:
        raise _make_error(folder, error) from None


def extend_sweep(folder: PreparedFolder, draft: SweepDraft) -> int:
    """Add the tasks of a draft that a sweep does not have. They run the sweep's own code.

    Tasks that run meanwhile find their records where they were. What was begun and not ended is done anew.

    Args:
        folder: The sweep's.
        draft: Of a definition that starts tasks in the same way.

    Returns:
        How many were added.

    Raises:
        UsageError: The definition starts tasks in another way, or the folder is no prepared sweep.
        LockedError: Another call is changing the sweep.
        TargetError: The sweep cannot be read or written.
    """
    prepared = load_prepared(folder)
    _check_same(prepared, draft)
    try:
        with hold_local_lock(folder.lock, sweep=prepared.sweep, target="", breaks=False):
            return _extend(folder, load_prepared(folder), draft)
    except (OSError, ValueError) as error:
        raise _make_error(folder, error) from None


def _make_error(folder: PreparedFolder, error: OSError | ValueError) -> TargetError:
    reason, hint = explain_os_error(error, folder.folder) if isinstance(error, OSError) else (str(error), "")
    message = f"{folder.folder} cannot be extended: {reason}"
    return TargetError(message, hint=hint or "Run it as a sweep of its own.", kind="bad_prepared_sweep")


def _read_tasks(folder: PreparedFolder, prepared: PreparedSweep) -> list[Parameters]:
    # No further than the document says: a call that was killed may have left more.
    tasks: list[Parameters] = json.loads(folder.combinations.read_bytes())[: prepared.n_tasks]
    return tasks


def _choose_new(former: list[Parameters], draft: SweepDraft) -> list[Parameters]:
    known = set(map(make_task_key, former))
    return [task for task in draft.tasks if make_task_key(task) not in known]


def _extend(folder: PreparedFolder, prepared: PreparedSweep, draft: SweepDraft) -> int:
    former = _read_tasks(folder, prepared)
    index = folder.index.read_bytes()[: prepared.n_tasks * INDEX_LINE_BYTES]
    added = _choose_new(former, draft)
    if not added:
        return 0
    part = decode_index_line(index, prepared.n_tasks)[0] + 1
    form = CommandForm(
        style=prepared.arguments,
        command=prepared.command,
        script=prepared.script,
        group=prepared.sweep,
        passed=draft.request.definition.definition.passed,
    )
    records = [encode_record(form.make_record(task)) for task in added]
    _replace(folder.records(part), b"".join(records))
    _replace(folder.index, index + encode_index(part, map(len, records)))
    _replace(folder.combinations, encode_combinations([*former, *added]))
    _replace(folder.further_definition(part), draft.request.definition.content)
    save_prepared(folder, replace(prepared, n_tasks=prepared.n_tasks + len(added)))
    return len(added)


def _check_same(prepared: PreparedSweep, draft: SweepDraft) -> None:
    definition = draft.request.definition.definition
    pairs = [
        ("arguments", prepared.arguments, ArgumentStyle(definition.arguments)),
        ("command", prepared.command, tuple(definition.command)),
        ("script", prepared.script, draft.script),
    ]
    for key, former, now in pairs:
        if former != now:
            raise UsageError(
                f"{draft.request.definition.shown} has another {key} than {prepared.sweep}",
                hint="Make them the same, or run it as a sweep of its own, without --extend.",
                kind="other_sweep",
            )


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".hsm-{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
