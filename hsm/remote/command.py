"""Running other programs: the only module of HSM that starts a process.

Every process but a login in the foreground gets a process group of its own, so that Ctrl-C in the terminal
reaches HSM alone, which then ends exactly what it started.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

_CHUNK_BYTES = 64 * 1024
_KEPT_STDERR_BYTES = 64 * 1024
_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 2.0
_STRAGGLER_SECONDS = 0.2
_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Completed:
    """How a process ended.

    Attributes:
        returncode: Its exit status; negative when a signal ended it.
        stdout: What it printed; empty for a streamed process.
        stderr: What it complained; of a streamed process the last 64 KiB.
    """

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def stderr_text(self) -> str:
        """The complaint as text; bytes that are no UTF-8 are replaced."""
        return self.stderr.decode("utf-8", "replace")


class ProgramMissingError(Exception):
    """The program to start does not exist or may not be started."""


class CommandTimeoutError(Exception):
    """The process did not end in time and was ended."""


class CommandStoppedError(Exception):
    """The runner was interrupted or stopped."""


class Runner:
    """Starts processes and can end all that still run. Thread-safe.

    One runner serves one call of the program. Workers run under a child of it, so that they can be ended while
    the rest goes on.
    """

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._children: list[Runner] = []
        self._lock = threading.Lock()
        self._interrupted = threading.Event()
        self._n_interrupts = 0
        self._is_stopped = False

    def make_child(self) -> Runner:
        """Make a runner that can be stopped alone, and that is stopped when this one is interrupted."""
        child = Runner()
        with self._lock:
            self._children.append(child)
            is_over = self._interrupted.is_set()
        if is_over:
            child.stop()
        return child

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            CommandStoppedError: The runner was interrupted before or meanwhile.
        """
        if self._interrupted.wait(seconds):
            raise CommandStoppedError

    def interrupt(self) -> None:
        """End all that runs, here and under the children. New commands may still be run here, to tidy up."""
        with self._lock:
            self._interrupted.set()
            self._n_interrupts += 1
            running = list(self._running)
            children = list(self._children)
        for child in children:
            child.stop()
        for process in running:
            _signal_group(process, signal.SIGTERM)
        for process in running:
            if process in self._running:
                _end(process)

    def stop(self) -> None:
        """End all that runs and start nothing more. May be called twice."""
        self._is_stopped = True
        self.interrupt()

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float, foreground: bool = False
    ) -> Completed:
        """Run a program to its end and return what it printed.

        Args:
            argv: The program and its arguments; never a shell line.
            stdin: Fed to it, then closed.
            timeout_seconds: After which the process group is ended.
            foreground: Leave the program in this terminal's session, so that it may ask the user; its
                standard error then goes to the terminal.

        Raises:
            ProgramMissingError: There is no such program.
            CommandTimeoutError: It took too long.
            CommandStoppedError: The runner was stopped before or meanwhile.
        """
        stdout, stderr = bytearray(), bytearray()
        n_interrupts = self._n_interrupts
        with self._start(argv, foreground=foreground) as process:
            sinks = {process.stdout: stdout.extend, process.stderr: stderr.extend}
            deadline = time.monotonic() + timeout_seconds
            try:
                self._pump(process, stdin, sinks, n_interrupts=n_interrupts, deadline=deadline)
            except CommandTimeoutError as error:
                _end(process)
                raise CommandTimeoutError(f"{argv[0]} did not end within {timeout_seconds:g} s") from error
            except BaseException:
                _end(process)
                raise
        self._check_not_ended(n_interrupts)
        return Completed(process.returncode, bytes(stdout), bytes(stderr))

    def stream(self, argv: Sequence[str], *, stdin: bytes, on_output: Callable[[bytes], None]) -> Completed:
        """Run a program and hand over what it prints while it runs.

        It has no time limit of its own: give the program one.

        Args:
            argv: The program and its arguments.
            stdin: Fed to it, then closed.
            on_output: Called in this thread with every chunk of standard output.

        Raises:
            ProgramMissingError: There is no such program.
            CommandStoppedError: The runner was stopped before, or interrupted meanwhile.
        """
        kept = bytearray()

        def keep(chunk: bytes) -> None:
            kept.extend(chunk)
            del kept[:-_KEPT_STDERR_BYTES]

        n_interrupts = self._n_interrupts
        with self._start(argv) as process:
            try:
                sinks = {process.stdout: on_output, process.stderr: keep}
                self._pump(process, stdin, sinks, n_interrupts=n_interrupts, deadline=None)
            except BaseException:
                _end(process)
                raise
        self._check_not_ended(n_interrupts)
        return Completed(process.returncode, b"", bytes(kept))

    def _pump(
        self,
        process: subprocess.Popen[bytes],
        stdin: bytes,
        sinks: Mapping[IO[bytes] | None, Callable[[bytes], object]],
        *,
        n_interrupts: int,
        deadline: float | None,
    ) -> None:
        """Feed a process and hand over what it prints, until it has closed its output and ended.

        Not `Popen.communicate`: an ssh hands its pipes on to the control master, which keeps them open until the far
        end is done, also when the ssh was killed. So whether the end still matters is looked at again and again, and
        `communicate` cannot be called again while some of the input is unsent.
        """
        with selectors.DefaultSelector() as selector:
            for stream, sink in sinks.items():
                if stream is not None:
                    selector.register(stream, selectors.EVENT_READ, sink)
            feed = _Feed(process.stdin, stdin)
            feed.register(selector)
            while len(selector.get_map()) > feed.is_open:
                for key, _ in selector.select(_LOOK_SECONDS):
                    if key.data is feed:
                        feed.write(selector)
                    elif chunk := os.read(key.fd, _CHUNK_BYTES):
                        key.data(chunk)
                    else:
                        selector.unregister(key.fileobj)
                self._check_not_ended(n_interrupts)
                if deadline is not None and time.monotonic() > deadline:
                    raise CommandTimeoutError
        self._wait(process, n_interrupts, deadline)

    def _wait(self, process: subprocess.Popen[bytes], n_interrupts: int, deadline: float | None) -> None:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
                return
            self._check_not_ended(n_interrupts)
            if deadline is not None and time.monotonic() > deadline:
                raise CommandTimeoutError

    def _check_not_ended(self, n_interrupts: int) -> None:
        """Raise when the runner was interrupted since `n_interrupts` were counted."""
        if self._is_stopped or self._n_interrupts != n_interrupts:
            raise CommandStoppedError

    @contextlib.contextmanager
    def _start(self, argv: Sequence[str], *, foreground: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        with self._lock:
            if self._is_stopped:
                raise CommandStoppedError
            try:
                process = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=None if foreground else subprocess.PIPE,
                    env=_make_environment(os.environ),
                    start_new_session=not foreground,
                )
            except (FileNotFoundError, PermissionError) as error:
                raise ProgramMissingError(argv[0]) from error
            self._running.add(process)
        try:
            with process:
                yield process
        finally:
            with self._lock:
                self._running.discard(process)


def _make_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the messages and numbers of programs in the form that HSM parses."""
    kept = {name: value for name, value in environment.items() if not name.startswith("RSYNC_")}
    return {**kept, "LC_ALL": "C"}


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the group that the process leads, or one in the foreground, which leads none, alone."""
    with contextlib.suppress(PermissionError):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            process.send_signal(number)


def _has_group(process: subprocess.Popen[bytes]) -> bool:
    """Whether anything of the group is left; where nobody collects orphans, also one that has ended."""
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its group, which may outlive it: asked first, then forced."""
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    deadline = time.monotonic() + _STRAGGLER_SECONDS
    while process.returncode is not None and _has_group(process) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _signal_group(process, signal.SIGKILL)
    process.wait()


class _Feed:
    """What is still to be written to a process's standard input."""

    def __init__(self, stream: IO[bytes] | None, content: bytes) -> None:
        self._stream = stream
        self._left = memoryview(content)
        self.is_open = False

    def register(self, selector: selectors.BaseSelector) -> None:
        if self._stream is None:
            return
        if not self._left:
            self._stream.close()
            return
        os.set_blocking(self._stream.fileno(), False)
        selector.register(self._stream, selectors.EVENT_WRITE, self)
        self.is_open = True

    def write(self, selector: selectors.BaseSelector) -> None:
        """Write what fits; a process that does not want the rest is no error."""
        if self._stream is None:
            return
        with contextlib.suppress(BlockingIOError):
            try:
                self._left = self._left[os.write(self._stream.fileno(), self._left[:_CHUNK_BYTES]) :]
            except BrokenPipeError:
                self._left = self._left[:0]
            if not self._left:
                selector.unregister(self._stream)
                self._stream.close()
                self.is_open = False
