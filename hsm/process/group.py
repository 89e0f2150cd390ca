"""Process groups: the only module of HSM that starts a process.

Every process but a login in the foreground leads a group of its own, so that Ctrl-C in the terminal reaches HSM alone,
which then ends exactly what it started. The control master of OpenSSH is not among it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO

GRACE_SECONDS = 2.0
"""From asking a process to end until it is forced to."""

_STRAGGLER_SECONDS = 0.2
_POLL_SECONDS = 0.01

_OWN_VARIABLES = ("RSYNC_", "PYDANTIC_DISABLE_PLUGINS")
"""Variables that change rsync's options, and those that this program has set for itself alone."""


class ProcessGroup:
    """A program that runs, and all that it has started. Used in a `with`, which waits for its end.

    Args:
        argv: The program and its arguments; never a shell line.
        foreground: Leave the program in this terminal's session, so that it may ask the user; its standard error then
            goes to the terminal, and it leads no group.

    Attributes:
        stdin: Its standard input.
        stdout: Its standard output.
        stderr: Its standard error; None in the foreground.

    Raises:
        OSError: It cannot be started.
    """

    def __init__(self, argv: Sequence[str], *, foreground: bool = False) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if foreground else subprocess.PIPE,
            env=_make_environment(os.environ),
            start_new_session=not foreground,  # makes the group
        )
        self.stdin: IO[bytes] | None = self._process.stdin
        self.stdout: IO[bytes] | None = self._process.stdout
        self.stderr: IO[bytes] | None = self._process.stderr

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)

    @property
    def returncode(self) -> int | None:
        """The exit status of the leader, once its end was waited for; negative when a signal ended it."""
        return self._process.returncode

    @property
    def is_running(self) -> bool:
        """True until the leader has ended."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> bool:
        """Wait for the leader's end; False when it still runs after so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
            return True
        return False

    def signal(self, number: signal.Signals) -> None:
        """Signal the group, or a process in the foreground, which leads none, alone."""
        with contextlib.suppress(PermissionError):  # where all that is left has changed its user
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                self._process.send_signal(number)

    def end(self) -> None:
        """End the process and its group, which may outlive it: asked first, then forced. May be called twice."""
        self.signal(signal.SIGTERM)
        self.wait(GRACE_SECONDS)
        # The leader may end before those that it started.
        deadline = time.monotonic() + _STRAGGLER_SECONDS
        while self.returncode is not None and self._has_members() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self.signal(signal.SIGKILL)
        self._process.wait()

    def _has_members(self) -> bool:
        """Tell whether the group has members; where nobody collects orphans, one that has ended is still a member."""
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _make_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Make the environment in which programs print messages and numbers in the form that HSM parses.

    rsync's numbers follow the locale, so that 1,234 may be 1.234.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith(_OWN_VARIABLES)}
    return {**kept, "LC_ALL": "C"}
