"""Process groups: the only module of HSM that starts a process.

Every process but a login in the foreground leads a group of its own, so that Ctrl-C in the terminal reaches HSM alone,
which then ends exactly what it started. The control master of OpenSSH is not among it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO

from hsm.process.forced_end import last_steps

GRACE_SECONDS = 2.0
"""From asking a process to end until it is forced to, and until it is left behind."""

_STRAGGLER_SECONDS = 0.2
_POLL_SECONDS = 0.01

_SHORTEST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.0005, 0.05

LOST_STATUS = 1 << 16
"""In the place of an exit status that nobody can read any more; no program ends with it."""

# Variables that change rsync's options, and those that this program has set for itself alone.
_OWN_VARIABLES = ("RSYNC_", "PYDANTIC_DISABLE_PLUGINS")

# Groups whose end was not seen yet.
_alive: set[ProcessGroup] = set()


def kill_all() -> None:
    """Kill every group that runs, without waiting: for a program that ends at once. Takes no lock."""
    for group in list(_alive):
        with contextlib.suppress(OSError):
            group.signal(signal.SIGKILL)


last_steps.append(kill_all)


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
        self._looking = threading.Lock()
        self._is_given_up = False
        _alive.add(self)
        self.stdin: IO[bytes] | None = self._process.stdin
        self.stdout: IO[bytes] | None = self._process.stdout
        self.stderr: IO[bytes] | None = self._process.stderr

    def __enter__(self) -> ProcessGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closed first: a program that nobody reads from waits for ever.
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        while not self._is_given_up and not self.wait(GRACE_SECONDS):
            pass

    @property
    def returncode(self) -> int | None:
        """The exit status of the leader, once its end was waited for; negative when a signal ended it.

        `LOST_STATUS` where another part of this program has collected it, or SIGCHLD is ignored: the system then
        keeps none.
        """
        return self._process.returncode

    @property
    def is_running(self) -> bool:
        """True until the leader has ended."""
        # Not `Popen.poll`: where the status cannot be read, it says 0, as of a program that did its work.
        with self._looking:
            if self._process.returncode is None:
                try:
                    pid, status = os.waitpid(self._process.pid, os.WNOHANG)
                except ChildProcessError:
                    self._process.returncode = LOST_STATUS
                else:
                    self._process.returncode = os.waitstatus_to_exitcode(status) if pid else None
            is_running = self._process.returncode is None
        if not is_running:
            _alive.discard(self)
        return is_running

    def wait(self, seconds: float) -> bool:
        """Wait for the leader's end; False when it still runs after so long."""
        deadline = time.monotonic() + seconds
        pause = _SHORTEST_POLL_SECONDS
        while self.is_running:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Signal the group, or a process in the foreground, which leads none, alone."""
        with contextlib.suppress(PermissionError):  # where all that is left has changed its user
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                if self._process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._process.pid, number)

    def end(self) -> None:
        """End the process and its group, which may outlive it: asked first, then forced. May be called twice."""
        self.signal(signal.SIGTERM)
        self.wait(GRACE_SECONDS)
        # The leader may end before those that it started.
        deadline = time.monotonic() + _STRAGGLER_SECONDS
        while self.returncode is not None and self._has_members() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self.signal(signal.SIGKILL)
        # What hangs in the kernel, at a mount that does not answer, ends when that does.
        self._is_given_up = not self.wait(GRACE_SECONDS)

    def _has_members(self) -> bool:
        """Tell whether the group has members; where nobody collects orphans, one that has ended is still a member."""
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def _make_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Make the environment in which programs print messages and numbers in the form that HSM parses."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_OWN_VARIABLES)}
    # rsync's numbers follow the locale from 3.2.4 on: 1,234 may be 1.234.
    return {**kept, "LC_ALL": "C"}
