"""Reader of one run's folder: its log, and where that says less, the files that wandb saves beside it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from hsm.wandb_log.format import FILE_HEADER, is_foreign
from hsm.wandb_log.history import RunLog, read_run_log
from hsm.wandb_log.saved_values import (
    CONFIG_FILE,
    METADATA_FILE,
    SUMMARY_FILE,
    SavedValues,
    complete_log,
    parse_saved_values,
)

_FOLDER = "files"

# A configuration of ten thousand keys has half a megabyte, and a megabyte takes up to a second.
_MOST_BYTES: Mapping[str, int] = {CONFIG_FILE: 2**20, SUMMARY_FILE: 4 * 2**20, METADATA_FILE: 2**20}
_RUN_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """Record of one run, as its folder has it.

    Attributes:
        log: What the log says, completed by the files.
        saved: The files' values; None where the log needed none, or there are none.
        error: Why the log could not be read, in words.
        unread: The files that were needed and could not be used, by their path in the run: why.
    """

    log: RunLog
    saved: SavedValues | None
    error: str
    unread: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _File:
    """A file of values that is there: its path in the run, and its content or why it cannot be used."""

    path: str
    content: bytes = b""
    reason: str = ""


def read_run_folder(path: str) -> RecordedRun:
    """Read a run.

    Args:
        path: Of its log; of its folder, with a `/` at the end, where it has none.
    """
    error, content = "", b""
    try:
        content = read_log_file(path) if _has_log(path) else b""
    except OSError as failure:
        error = failure.strerror or str(failure)
    log = RunLog(is_empty=True) if is_foreign(content) else read_run_log(content)
    saved, unread = _read_saved(path, log)
    if saved is not None:
        log = replace(complete_log(log, saved), run_id=log.run_id or _find_id(path))
    return RecordedRun(log, saved, error, unread)


def read_log_file(path: str) -> bytes:
    """Read a whole log; of a file that is none, no more than tells so.

    Raises:
        OSError: It cannot be read.
    """
    with open_plain_file(path) as stream:
        head = stream.read(len(FILE_HEADER))
        return head if is_foreign(head) else head + stream.read()


def open_plain_file(path: str) -> BinaryIO:
    """Open a file of a run; a pipe would wait for its writer, and a symlink may lead to what is nobody's business here.

    Raises:
        OSError: It is none, or cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:  # whose words, of too many levels, mislead
            raise OSError(errno.ELOOP, "it is a symlink", path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return os.fdopen(descriptor, "rb")


def list_file_places(path: str) -> tuple[str, ...]:
    """List where in a run wandb saves its files, each with a `/` at its end, for a path as of `read_run_folder`."""
    # Up to 0.9 there was no log, and all lay in the run's folder itself.
    return (f"{_FOLDER}/",) if _has_log(path) else (f"{_FOLDER}/", "")


def _has_log(path: str) -> bool:
    return not path.endswith("/")


def _read_saved(path: str, log: RunLog) -> tuple[SavedValues | None, Mapping[str, str]]:
    """Read the files' values where they say more than the log, and why some of the files cannot be used."""
    if not log.is_empty:
        # Nearly every log says all, so only one more file of its run is looked for.
        summary, _ = _parse(_read_files(path, [SUMMARY_FILE]))
        if summary.step is None or (log.last_step is not None and summary.step <= log.last_step):
            return None, {}
    files = _read_files(path, list(_MOST_BYTES))
    saved, damaged = _parse(files)
    unread = {file.path: file.reason for file in files.values() if file.reason}
    unread.update((files[name].path, "its content cannot be understood") for name in damaged)
    has_any = any(file.content and name not in damaged for name, file in files.items())
    return saved if has_any else None, unread


def _parse(files: Mapping[str, _File]) -> tuple[SavedValues, tuple[str, ...]]:
    return parse_saved_values({name: file.content for name, file in files.items()})


def _read_files(path: str, names: Sequence[str]) -> dict[str, _File]:
    """Read those of the files that are there, by name."""
    found = ((name, _read_file(path, name)) for name in names)
    return {name: file for name, file in found if file is not None}


def _read_file(path: str, name: str) -> _File | None:
    folder, most = path.rpartition("/")[0], _MOST_BYTES[name]
    for place in list_file_places(path):
        try:
            with open_plain_file(f"{folder}/{place}{name}") as stream:
                content = stream.read(most + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return _File(f"{place}{name}", reason=error.strerror or str(error))
        if len(content) > most:
            return _File(f"{place}{name}", reason=f"it has more than {most // 2**20} MiB")
        return _File(f"{place}{name}", content)
    return None


def _find_id(path: str) -> str:
    """Find a run's id: its log is `run-<id>.wandb`; without one, its folder ends with it."""
    folder, _, log = path.rpartition("/")
    match = _RUN_FOLDER.fullmatch(folder.rpartition("/")[2])
    return log.removeprefix("run-").removesuffix(".wandb") if log else match[1] if match else ""
