"""Where the program begins: what takes long to wait for is begun before what takes long to import."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from hsm.process.signals import take_signals

if TYPE_CHECKING:
    from hsm.remote.openssh.early_login import EarlyLogins

_SYNCS = ("to", "run", "from")
_INTERRUPTED = 130

NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
"""HSM's models need no plugin; looking for some among all installed packages takes as long as importing pydantic."""


GARBAGE_THRESHOLD = 100_000
"""Objects between two looks for garbage: a plan of 150,000 files is a million objects, none of which is."""

SWITCH_SECONDS = 0.0005
"""For which a thread that computes keeps another waiting: one that serves ssh waits each time ssh has said a word."""


def main() -> NoReturn:
    """Run the program with this process's arguments; SIGTERM and a hang-up end it as Ctrl-C does.

    Under nohup a hang-up stays ignored.
    """
    take_signals()
    try:
        code = _run(sys.argv[1:])
    except KeyboardInterrupt:
        code = _INTERRUPTED
    _end(code)


def _run(arguments: list[str]) -> int:
    os.environ.setdefault(NO_PLUGINS, "__all__")
    gc.set_threshold(GARBAGE_THRESHOLD, 50, 100)
    sys.setswitchinterval(SWITCH_SECONDS)
    is_sync = arguments[:1] == ["sync"] and arguments[1:2] and arguments[1] in _SYNCS
    if not is_sync:
        from hsm.cli.main import run_program

        return run_program()
    from hsm.remote.openssh.early_login import early_logins

    try:
        _begin(early_logins, arguments)
        from hsm.cli.main import run_program

        return run_program()
    finally:
        early_logins.end()


def _begin(early_logins: EarlyLogins, arguments: list[str]) -> None:
    """Begin with the logins; that the working folder is gone will be told by the command."""
    from pathlib import Path

    with contextlib.suppress(OSError):
        early_logins.begin(arguments, Path.cwd())
    if early_logins:
        import filelock  # noqa: F401 - the login needs it as soon as ssh has read its configuration


def _end(code: int) -> NoReturn:
    """End at once: taking the interpreter down piece by piece takes 65 ms and does nothing that is needed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or 1
    os._exit(code)
