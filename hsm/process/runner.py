"""Running other programs: the only module of HSM that starts a process.

Every process but a login in the foreground gets a process group of its own, so that Ctrl-C in the terminal
reaches HSM alone, which then ends exactly what it started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hsm.process.pump import Pump

REST_SECONDS = 0.01
"""In which rsync prints some 10 KB of names, of the 64 that a pipe takes."""

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


class CommandTooLongError(Exception):
    """This machine gives a command line and its environment less room than this one needs."""


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
        check = self.make_check(timeout_seconds)
        with self._start(argv, foreground=foreground) as process, _ending(process):
            pump = Pump(process.stdin, {process.stdout: stdout.extend, process.stderr: stderr.extend})
            try:
                _finish(process, pump, stdin, check)
            except CommandTimeoutError as error:
                raise CommandTimeoutError(f"{argv[0]} did not end within {timeout_seconds:g} s") from error
        check()
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
        return self.start(argv).finish(stdin, on_output)

    def start(self, argv: Sequence[str]) -> Started:
        """Start a program that gets its input later; `stream` in two steps.

        Raises:
            ProgramMissingError: There is no such program.
            CommandStoppedError: The runner was stopped before.
        """
        check = self.make_check(None)
        stack = contextlib.ExitStack()
        process = stack.enter_context(self._start(argv))
        return Started(process, stack, check)

    def open(self, argv: Sequence[str]) -> Dialogue:
        """Start a program that is asked again and again.

        Raises:
            ProgramMissingError: There is no such program.
            CommandStoppedError: The runner was stopped before.
        """
        stack = contextlib.ExitStack()
        process = stack.enter_context(self._start(argv))
        stack.callback(_end, process)
        return Dialogue(self, process, stack)

    def make_check(self, timeout_seconds: float | None) -> Callable[[], None]:
        """Make what raises CommandStoppedError once this runner is interrupted, CommandTimeoutError once it is late."""
        n_interrupts = self._n_interrupts
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds

        def check() -> None:
            if self._is_stopped or self._n_interrupts != n_interrupts:
                raise CommandStoppedError
            if deadline is not None and time.monotonic() > deadline:
                raise CommandTimeoutError

        return check

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
            except OSError as error:
                if error.errno != errno.E2BIG:
                    raise
                raise CommandTooLongError(argv[0]) from error
            self._running.add(process)
        try:
            with process:
                yield process
        finally:
            with self._lock:
                self._running.discard(process)


def _finish(process: subprocess.Popen[bytes], pump: Pump, stdin: bytes, check: Callable[[], None]) -> None:
    """Feed a process and hand over what it prints, until it has closed its output and ended."""
    with contextlib.closing(pump):
        pump.feed(stdin, closes=True)
        pump.run(is_done=lambda: False, check=check)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return
        check()


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process when anything is raised inside."""
    try:
        yield
    except BaseException:
        _end(process)
        raise


class Started:
    """A program that runs and waits for its input. Made by `Runner.start`, which ends it when it is interrupted."""

    def __init__(
        self, process: subprocess.Popen[bytes], stack: contextlib.ExitStack, check: Callable[[], None]
    ) -> None:
        self._process = process
        self._stack = stack
        self._check = check

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def finish(self, stdin: bytes, on_output: Callable[[bytes], None]) -> Completed:
        """Feed it to its end; as `Runner.stream`."""
        kept = bytearray()

        def keep(chunk: bytes) -> None:
            kept.extend(chunk)
            del kept[:-_KEPT_STDERR_BYTES]

        process = self._process
        with self._stack, _ending(process):
            sinks = {process.stdout: on_output, process.stderr: keep}
            _finish(process, Pump(process.stdin, sinks, rest_seconds=REST_SECONDS), stdin, self._check)
        self._check()
        return Completed(process.returncode, b"", bytes(kept))

    def end(self) -> None:
        """End it without any input. May be called twice."""
        with self._stack:
            _end(self._process)


class Dialogue:
    """A program that is told something and answers, again and again, until it is closed. Used by one thread at a time.

    Made by `Runner.open`, which ends it too when it is interrupted.

    Attributes:
        wait_seconds: How long the last answer took to begin.
    """

    def __init__(self, runner: Runner, process: subprocess.Popen[bytes], stack: contextlib.ExitStack) -> None:
        self._runner = runner
        self._process = process
        self._stack = stack
        self.wait_seconds = float("inf")
        self._stdout, self._stderr = bytearray(), bytearray()
        self._pump = Pump(process.stdin, {process.stdout: self._stdout.extend, process.stderr: self._stderr.extend})

    def ask(self, words: bytes, *, ends: tuple[bytes, bytes], timeout_seconds: float, begin: bytes = b"") -> Completed:
        """Tell it something and take its answer.

        Args:
            words: For its standard input.
            ends: What standard output and standard error hold at the end of the answer.
            timeout_seconds: For the whole answer.
            begin: What standard output holds first of the answer; what stood there before says nothing of the link.

        Returns:
            What it printed; with a return code other than 0 the program has ended instead, and must be closed.

        Raises:
            CommandTimeoutError: There was no answer in time; close it.
            CommandStoppedError: The runner was interrupted; close it.
        """
        found = (_Search(self._stdout, ends[0]), _Search(self._stderr, ends[1]))
        beginning = _Search(self._stdout, begin)
        check = self._runner.make_check(timeout_seconds)
        asked = time.monotonic()
        self.wait_seconds = float("inf")

        def is_done() -> bool:
            if self.wait_seconds == float("inf") and self._stdout and beginning.is_found():
                self.wait_seconds = time.monotonic() - asked
            return all(search.is_found() for search in found)

        self._pump.feed(words, closes=False)
        self._pump.run(is_done=is_done, check=check)
        code = 0 if is_done() else self._wait()
        answer = Completed(code, bytes(self._stdout), bytes(self._stderr))
        self._stdout.clear()
        self._stderr.clear()
        return answer

    def close(self) -> None:
        """End the program. May be called twice."""
        self._stack.close()
        self._pump.close()

    def _wait(self) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        return self._process.returncode or -signal.SIGTERM


class _Search:
    """Looks for the end of an answer in what comes in, each byte once."""

    def __init__(self, content: bytearray, end: bytes) -> None:
        self._content = content
        self._end = end
        self._begin = 0

    def is_found(self) -> bool:
        is_found = self._content.find(self._end, self._begin) >= 0
        if not is_found:
            self._begin = max(0, len(self._content) - len(self._end))
        return is_found


_OWN_VARIABLES = ("RSYNC_", "PYDANTIC_DISABLE_PLUGINS")
"""What changes rsync's options, and what this program has set for itself alone."""


def _make_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the messages and numbers of programs in the form that HSM parses."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_OWN_VARIABLES)}
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
