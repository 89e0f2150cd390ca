"""Standard streams as whoever started the program left them: closed, full, without a reader, or not blocking."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

ANYTHING = "backslashreplace"
"""Characters that an encoding lacks are written as an escape: no name may end the program."""


class OutputError(OSError):
    """Standard output takes no more, for another reason than that its reader has gone."""


class _Output(io.FileIO):
    """Standard output, whose errors are told from those of other files."""

    def write(self, content: Buffer, /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from error


class _Complaints(io.FileIO):
    """Standard error, which ends no work: where it takes nothing, nobody is told."""

    def write(self, content: Buffer, /) -> int:
        try:
            return super().write(content)
        except OSError:
            return memoryview(content).nbytes


def take_streams() -> None:
    """Make the standard streams ones that can be used. Called before any file is opened.

    A closed one becomes /dev/null: the next file that is opened would get its number, and what is printed with it.
    """
    for number in range(3):
        try:
            os.set_blocking(number, True)  # a program that shares the terminal or pipe may have left it otherwise
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the whole program
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # whatever is typed, it is an answer
    sys.stdout = _wrap(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _wrap(_Complaints(2, "w", closefd=False), sys.stderr)


def end_streams() -> OSError | None:
    """Write what is left. Returns why standard output does not take it, if so; a reader that has gone is a reason."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    except ValueError:  # closed by the command
        return None
    return None


def _wrap(raw: io.FileIO, former: TextIO | None) -> io.TextIOWrapper:
    is_terminal = raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=former.encoding if former is not None else "utf-8",
        errors=ANYTHING,
        line_buffering=is_terminal or raw.fileno() == 2,
        write_through=isinstance(former, io.TextIOWrapper) and former.write_through,
    )
