"""Last resort: what no command has put into words, as an error with what to do next."""

from __future__ import annotations

import errno
import os

from hsm.cli.streams import OutputError
from hsm.errors import ExitCode, HsmError, TargetError, UsageError


class UnexpectedError(HsmError):
    """HSM has a bug."""

    exit_code = ExitCode.BUG
    kind = "bug"


def check_working_folder() -> None:
    """Refuse to begin in a folder that does not exist any more, as on a disk that is purged.

    Raises:
        UsageError: It is so.
    """
    try:
        os.getcwd()  # noqa: PTH109 - without importing more
    except OSError as error:
        raise UsageError(
            f"The working folder cannot be used: {error.strerror}. It was removed, or its disk is gone.",
            hint="`cd` to a folder that is there, then run it again.",
            kind="no_working_folder",
        ) from error


def explain(error: Exception) -> HsmError:
    """Make an error for the user of one that no command expects."""
    if isinstance(error, OutputError):
        return TargetError(
            f"Standard output cannot be written: {error.strerror}.",
            hint="Give it a place with room, then run it again: what has arrived is not sent again.",
            kind="output_failed",
        )
    if isinstance(error, OSError) and error.errno is not None:
        return _explain_os_error(error)
    if isinstance(error, MemoryError):
        return TargetError(
            "There is not enough memory here.",
            hint="Choose less at once (fewer sweeps, `--runs`), or end other programs.",
            kind="no_memory",
        )
    return _explain_bug(error)


def _explain_os_error(error: OSError) -> HsmError:
    from hsm.file_errors import explain_os_error

    if error.errno == errno.ENOENT and error.filename is None:
        check_working_folder()
    reason, hint = explain_os_error(error)
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    found = f"{name} cannot be used: {reason}" if name else f"The system refuses: {reason}"
    return TargetError(f"{found}.", hint=hint, kind="system_error", detail=_make_trace(error))


def _explain_bug(error: Exception) -> UnexpectedError:
    import traceback
    from pathlib import Path

    trace = _make_trace(error)
    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({Path(place[0].filename).name}, line {place[0].lineno})" if place else ""
    words = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
    kept = _keep(trace)
    hint = "Run the same command again with -v, and please report what it prints."
    if kept:
        hint = f"Please report it with {kept}, which says how it came about. It may hold names of yours: look first."
    return UnexpectedError(f"HSM has a bug: {words}{where}.", hint=hint, detail=trace)


def _make_trace(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def _keep(trace: str) -> str:
    """Write a traceback into a private file; returns its path, or empty where there is no room for it."""
    import tempfile

    try:
        descriptor, path = tempfile.mkstemp(prefix="hsm-bug-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(trace)
    except OSError:
        return ""
    return path
