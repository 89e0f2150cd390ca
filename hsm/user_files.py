"""Files that people write for HSM: read as text, and judged by who else may write them."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

from hsm.file_errors import explain_os_error, find_owner


class FileFlaw(Enum):
    """Reason why a file cannot be read as text; each needs a hint of its own."""

    MISSING = auto()
    NOT_REGULAR = auto()
    UNREADABLE = auto()
    TOO_LARGE = auto()
    NOT_UTF8 = auto()


class FlawedFileError(Exception):
    """A file cannot be read as text; the message names the file and says why.

    Attributes:
        flaw: The reason, for the hint.
        hint: What to do, where the system's refusal says that; else empty.
    """

    def __init__(self, message: str, flaw: FileFlaw, hint: str = "") -> None:
        super().__init__(message)
        self.flaw = flaw
        self.hint = hint


def read_config_file(path: Path, shown: str, *, noun: str, most_bytes: int) -> str:
    """Read a file that a person wrote, without a byte order mark.

    Args:
        path: The file; a symlink is followed.
        shown: Its name in messages.
        noun: Of what it should be, as `hosts file`.
        most_bytes: A larger file is not read to its end.

    Raises:
        FlawedFileError: It cannot be read, or is no text.
    """
    try:
        # Looked at before it is opened: opening a pipe would wait for its writer.
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise FlawedFileError(f"{shown} is {what}", FileFlaw.NOT_REGULAR)
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        flaw = FileFlaw.MISSING if isinstance(error, FileNotFoundError) else FileFlaw.UNREADABLE
        reason, hint = explain_os_error(error, path)
        hint = hint if isinstance(error, PermissionError) else ""
        raise FlawedFileError(f"{shown} cannot be read: {reason}", flaw, hint) from None
    if len(content) > most_bytes:
        message = f"{shown} is larger than {most_bytes // 1024} KiB, so it is no {noun}"
        raise FlawedFileError(message, FileFlaw.TOO_LARGE)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"{shown}: line {line}: byte 0x{content[error.start]:02x} is no UTF-8"
        raise FlawedFileError(message, FileFlaw.NOT_UTF8) from None


def write_config_file(path: Path, text: str) -> None:
    """Write a file that a person will edit; a former one is replaced in one step, through a symlink too.

    Raises:
        OSError: It could not be written; the former one stays as it was.
    """
    real = Path(os.path.realpath(path))
    if real.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(real))
    mode = stat.S_IMODE(real.stat().st_mode) if real.exists() else None
    beside = real.with_name(f".hsm-{secrets.token_hex(8)}")
    try:
        beside.write_text(text, encoding="utf-8")
        if mode is not None:
            beside.chmod(mode)
        beside.replace(real)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def create_config_file(path: Path, text: str) -> None:
    """Write a file that a person will edit, where there is none.

    Raises:
        FileExistsError: Something is there, which is left as it is.
        OSError: It could not be written; nothing is left of it.
    """
    real = Path(os.path.realpath(path))
    with real.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            real.unlink(missing_ok=True)
            raise


def find_other_writer(path: Path, *, show: Callable[[Path], object] = str) -> str:
    """Say why a file may hold what somebody else wrote.

    It may where the file, its folder, or what a symlink at `path` leads to belongs to anybody but the user and root,
    or can be written by everybody. Nothing is changed.

    Args:
        path: The file.
        show: Names a place in the answer.

    Returns:
        Half a sentence, for example `everybody may write to /p/.hsm`; empty where the file is the user's own.
    """
    try:
        real = path.resolve()
        # The symlink and its folder too: whoever may replace the symlink chooses the file.
        for place in dict.fromkeys((path.parent, path, real.parent, real)):
            status = place.lstat()
            if owner := find_other_owner(status):
                return f"{show(place)} belongs to {owner}, not to you"
            # In a sticky folder nobody can replace the file, but anybody can give another file of the user's its name
            # where none is yet (a hard link). Writable by the group alone is no reason: on many clusters the umask is
            # 002 and the group the user's private one. A symlink has no mode of its own.
            if status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode):
                return f"everybody may write to {show(place)}"
    except OSError as error:
        return f"{show(path)} cannot be looked at ({error.strerror})"
    return ""


def find_other_owner(status: os.stat_result) -> str:
    """Return the name of the owner of a file, or empty where that is the user or root."""
    return "" if status.st_uid in (0, os.geteuid()) else find_owner(status)
