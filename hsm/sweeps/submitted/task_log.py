"""Log of one task, shown while it grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hsm.errors import TargetError, UsageError
from hsm.file_errors import explain_os_error
from hsm.jobs.logs import get_log
from hsm.jobs.states import SETTLED, TaskState
from hsm.jobs.tracker import observe_tasks
from hsm.sweeps.submitted.open_sweep import OpenSweep

_BLOCK_BYTES = 64 * 1024
_PAUSE_SECONDS = 0.5


class NoLogError(TargetError):
    """A task has written nothing yet."""

    kind = "no_log"


def find_log(opened: OpenSweep, number: int, attempt: int | None, *, errors: bool) -> Path:
    """Find the log of a task's attempt; the newest that was submitted where none is named.

    Raises:
        UsageError: The sweep has no such task.
        NoLogError: The task was never submitted.
    """
    if not 1 <= number <= opened.prepared.n_tasks:
        raise UsageError(
            f"{opened.name} has no task {number}; it has the numbers 1 to {opened.prepared.n_tasks}.",
            hint=f"`hsm sweep status {opened.name} --tasks` shows them.",
            kind="bad_tasks",
        )
    newest = opened.store.load().get_status(number).attempt
    if attempt is None and not newest:
        raise NoLogError(
            f"Task {number} of {opened.name} was never submitted.", hint=f"Submit it: `hsm sweep submit {opened.name}`."
        )
    path = Path(get_log(str(opened.folder.folder), number, attempt or newest, errors=errors))
    if attempt is None and not path.exists():  # the node has counted a requeue that nobody has asked for yet
        found = observe_tasks(opened.tracked)[0].get_status(number).attempt
        path = Path(get_log(str(opened.folder.folder), number, found, errors=errors))
    return path


def copy_log(
    opened: OpenSweep,
    path: Path,
    number: int,
    write: Callable[[bytes], object],
    *,
    follows: bool,
    flush: Callable[[], object],
) -> None:
    """Hand on what a log holds, and with `follows` what comes, until the task has ended.

    Raises:
        NoLogError: There is none, and it is not followed.
        TargetError: It cannot be read.
    """
    position, waited, is_over = 0, float("inf"), False
    while True:
        try:
            with path.open("rb") as stream:
                stream.seek(position)
                while block := stream.read(_BLOCK_BYTES):
                    position += len(block)
                    write(block)
        except FileNotFoundError:
            if not follows or is_over:
                raise NoLogError(
                    f"Task {number} of {opened.name} has written nothing: there is no {path}",
                    hint=f"`hsm sweep status {opened.name} --tasks` shows how it is.",
                ) from None
        except OSError as error:
            reason, hint = explain_os_error(error, path)
            raise TargetError(f"{path} cannot be read: {reason}", hint=hint, kind="no_permission") from None
        flush()
        if not follows or is_over:
            return
        opened.runner.sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
        if waited >= opened.settings.ask_seconds or _has_said(opened, number):
            waited = 0.0
            status = observe_tasks(opened.tracked)[0].get_status(number)
            is_over = status.state in SETTLED or status.state is TaskState.PREPARED


def _has_said(opened: OpenSweep, number: int) -> bool:
    """Tell whether a task has written its own end, which needs no question to the scheduler."""
    try:
        return b"\nStatus: " in opened.folder.task_info(number).read_bytes()
    except OSError:
        return False
