"""Entry of the program: logins, which wait for the network, begin before typer and pydantic are imported."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from hsm.cli.streams import end_streams, take_streams
from hsm.process.forced_end import INTERRUPTED
from hsm.process.signals import take_signals

if TYPE_CHECKING:
    from hsm.remote.openssh.early_login import EarlyLogins

_SYNCS = ("to", "push", "run", "from", "pull")
_ANEW = "HSM_BEGUN_ANEW"

NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
"""Set for pydantic: HSM's models need no plugin, and the search in all packages takes as long as its import."""


GARBAGE_THRESHOLD = 100_000
"""Objects between two collections: a plan of 150,000 files is a million objects, no garbage (5.4 s became 3.4 s)."""

SWITCH_SECONDS = 0.0005
"""Longest wait for a thread that computes (Python: 5 ms): the one that serves ssh waits after each word of ssh."""


def main() -> NoReturn:
    """Run the program with this process's arguments; SIGTERM and a hang-up end it as Ctrl-C does.

    Under nohup a hang-up stays ignored.
    """
    _take_utf8()
    take_streams()
    take_signals()
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:  # what came before a command, or from its message
        code = _show(error)
    _end(code)


def _take_utf8() -> None:
    """Begin anew in UTF-8 mode where the locale has another encoding.

    Names travel as the bytes that they are on disk. In a Latin-1 locale Python would take each byte for a letter.
    """
    # Once: under `python -E` the variable is not read.
    if os.environ.pop(_ANEW, "") or sys.getfilesystemencoding().lower() == "utf-8":
        return
    os.environ.update({"PYTHONUTF8": "1", _ANEW: "1"})
    if sys.stdout is not None:
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)  # what is shown stays in the terminal's
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - this program itself


def _run(arguments: list[str]) -> int:
    os.environ.setdefault(NO_PLUGINS, "__all__")
    # The older generations too: their collections are the long ones.
    gc.set_threshold(GARBAGE_THRESHOLD, 50, 100)
    sys.setswitchinterval(SWITCH_SECONDS)
    # By hand, before typer is there: only these commands have logins that can begin early.
    is_sync = arguments[:1] == ["sync"] and arguments[1:2] and arguments[1] in _SYNCS
    if not is_sync:
        from hsm.cli.main import run_program

        return run_program()
    from hsm.remote.openssh.early_login import early_logins

    try:
        # Importing typer takes about 65 ms, pydantic 120 ms, fabric 150 ms; a login takes as long and computes nothing.
        _begin(early_logins, arguments)
        from hsm.cli.main import run_program

        return run_program()
    finally:
        early_logins.end()  # a login that nobody took over would outlive the program


def _begin(early_logins: EarlyLogins, arguments: list[str]) -> None:
    """Begin with the logins; the command will tell if the working folder is gone."""
    from pathlib import Path

    with contextlib.suppress(OSError):
        early_logins.begin(arguments, Path.cwd())
    if early_logins:
        import filelock  # noqa: F401 - the login needs it as soon as ssh has read its configuration


def _end(code: int) -> NoReturn:
    """End at once, with the output flushed."""
    error = end_streams()
    if error is not None:
        code = code or 1
        if not isinstance(error, BrokenPipeError):  # `| head` has read all it wants
            _show(error)
    # Taking the interpreter down piece by piece takes 65 ms and does nothing that is needed here.
    os._exit(code)


def _show(error: Exception) -> int:
    """Say what is wrong and what to do, whatever still works of this program. Returns the exit code."""
    from hsm.cli.last_resort import explain
    from hsm.errors import HsmError

    try:
        found = error if isinstance(error, HsmError) else explain(error)
        sys.stderr.write(f"Error: {found.message}\nNext: {found.hint}\n")
        sys.stderr.flush()
    except Exception as further:  # out of memory, or of files
        os.write(2, f"Error: {type(error).__name__}, then {type(further).__name__}.\nNext: run it again.\n".encode())
        return 3
    return int(found.exit_code)
