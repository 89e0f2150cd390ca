"""Runner: programs are run to their end, streamed, or held open, and all that run can be ended."""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hsm.errors import TargetError
from hsm.process.answer import MOST_ANSWER_BYTES, MOST_COMPLAINT_BYTES, KeptOutput
from hsm.process.group import LOST_STATUS, ProcessGroup
from hsm.process.pump import LOOK_SECONDS, Pump

REST_SECONDS = 0.01
"""Pause between two reads of a stream: rsync prints some 10 KB of names in it, of the 64 KB that a pipe takes."""

_KEPT_STDERR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Completed:
    """The end of a process.

    Attributes:
        returncode: Its exit status; negative when a signal ended it.
        stdout: Its standard output; empty for a streamed process.
        stderr: Its standard error; of a streamed process the last 64 KiB.
    """

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def stderr_text(self) -> str:
        """The standard error as text; bytes that are no UTF-8 are replaced."""
        return self.stderr.decode("utf-8", "replace")


class ProgramMissingError(Exception):
    """The program to start does not exist or may not be started."""


class CommandTooLongError(Exception):
    """This machine gives a command line and its environment less room than this one needs."""


class CommandTimeoutError(Exception):
    """The process did not end in time and was ended."""


class CommandStoppedError(Exception):
    """The runner was interrupted or stopped."""


class StatusLostError(TargetError):
    """Nobody can say whether a program did its work."""

    kind = "status_lost"


class Runner:
    """Starts programs and can end all that still run. Thread-safe.

    One runner serves one call of HSM. Workers run under a child of it, so that they can be ended while the rest goes
    on.
    """

    def __init__(self) -> None:
        self._running: set[ProcessGroup] = set()
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
        if is_over:  # an interrupt before this one has not reached the child
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
        """End all that runs, here and under the children. Commands that tidy up may still be run here."""
        with self._lock:
            self._interrupted.set()
            self._n_interrupts += 1
            running = list(self._running)
            children = list(self._children)
        for child in children:
            child.stop()
        for group in running:  # all are asked first, so that they end side by side
            group.signal(signal.SIGTERM)
        for group in running:
            if group in self._running:
                group.end()

    def stop(self) -> None:
        """End all that runs and start nothing more. May be called twice."""
        self._is_stopped = True  # before the interrupt: nothing may start after it
        self.interrupt()

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_seconds: float,
        foreground: bool = False,
        begin: bytes = b"",
    ) -> Completed:
        """Run a program to its end and return what it printed.

        Args:
            argv: The program and its arguments; never a shell line.
            stdin: Fed to it, then closed.
            timeout_seconds: After which the process group is ended.
            foreground: Leave the program in this terminal's session, so that it may ask the user; its
                standard error then goes to the terminal.
            begin: The beginning of the answer; only little text may come before it.

        Raises:
            ProgramMissingError: There is no such program.
            AnswerTooLongError: It printed far too much.
            StatusLostError: Its exit status cannot be read.
            CommandTimeoutError: It took too long.
            CommandStoppedError: The runner was stopped before or meanwhile.
        """
        stdout, stderr = KeptOutput(argv[0], MOST_ANSWER_BYTES), KeptOutput(argv[0], MOST_COMPLAINT_BYTES)
        stdout.expect(begin)
        check = self.make_check(timeout_seconds)
        with self.hold(argv, foreground=foreground) as group, _ending(group):
            pump = Pump(group.stdin, {group.stdout: stdout.take, group.stderr: stderr.take})
            try:
                code = _finish(group, pump, stdin, check)
            except CommandTimeoutError as error:
                raise CommandTimeoutError(f"{argv[0]} did not end within {timeout_seconds:g} s") from error
        check()  # a program that was ended by an interrupt has no result
        _check_status(code, argv[0])
        return Completed(code, bytes(stdout.content), bytes(stderr.content))

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

    def start(self, argv: Sequence[str]) -> WaitingProgram:
        """Start a program that gets its input later; `stream` in two steps.

        Raises:
            ProgramMissingError: There is no such program.
            CommandStoppedError: The runner was stopped before.
        """
        check = self.make_check(None)
        stack = contextlib.ExitStack()
        group = stack.enter_context(self.hold(argv))
        return WaitingProgram(argv[0], group, stack, check)

    @contextlib.contextmanager
    def hold(self, argv: Sequence[str], *, foreground: bool = False) -> Iterator[ProcessGroup]:
        """Start a program that this runner can end while inside; waits for its end at the end.

        Raises:
            ProgramMissingError: There is no such program.
            CommandTooLongError: The command line is too long for this machine.
            CommandStoppedError: The runner was stopped before.
        """
        with self._lock:
            if self._is_stopped:
                raise CommandStoppedError
            group = _start(argv, foreground=foreground)
            self._running.add(group)
        try:
            with group:  # it can be ended until its end was waited for
                yield group
        finally:
            with self._lock:
                self._running.discard(group)

    def make_check(self, timeout_seconds: float | None) -> Callable[[], None]:
        """Make a function that raises CommandStoppedError after an interrupt, CommandTimeoutError once it is late."""
        n_interrupts = self._n_interrupts
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds

        def check() -> None:
            if self._is_stopped or self._n_interrupts != n_interrupts:
                raise CommandStoppedError
            if deadline is not None and time.monotonic() > deadline:
                raise CommandTimeoutError

        return check


class WaitingProgram:
    """A program that runs and waits for its input. Made by `Runner.start`, which ends it when it is interrupted."""

    def __init__(self, name: str, group: ProcessGroup, stack: contextlib.ExitStack, check: Callable[[], None]) -> None:
        self._name = name
        self._group = group
        self._stack = stack
        self._check = check

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self._group.is_running

    def finish(self, stdin: bytes, on_output: Callable[[bytes], None]) -> Completed:
        """Feed it to its end; as `Runner.stream`."""
        kept = bytearray()

        def keep(chunk: bytes) -> None:
            kept.extend(chunk)
            del kept[:-_KEPT_STDERR_BYTES]

        group = self._group
        with self._stack, _ending(group):
            pump = Pump(group.stdin, {group.stdout: on_output, group.stderr: keep}, rest_seconds=REST_SECONDS)
            code = _finish(group, pump, stdin, self._check)
        self._check()
        _check_status(code, self._name)
        return Completed(code, b"", bytes(kept))

    def end(self) -> None:
        """End it without any input. May be called twice."""
        with self._stack:
            self._group.end()


def _start(argv: Sequence[str], *, foreground: bool) -> ProcessGroup:
    try:
        return ProcessGroup(argv, foreground=foreground)
    except (FileNotFoundError, PermissionError) as error:
        raise ProgramMissingError(argv[0]) from error
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        raise CommandTooLongError(argv[0]) from error


def _check_status(code: int, program: str) -> None:
    """Refuse to take the end of a program for a success where its exit status is gone."""
    if code == LOST_STATUS:
        raise StatusLostError(
            f"The exit status of `{program}` cannot be read: this process ignores SIGCHLD, or another part of it "
            "collects the children of all.",
            hint="In a program of your own: `signal.signal(signal.SIGCHLD, signal.SIG_DFL)` before HSM is called. "
            "Then run it again.",
        )


def _finish(group: ProcessGroup, pump: Pump, stdin: bytes, check: Callable[[], None]) -> int:
    """Feed a program and hand over what it prints, until it has closed its output and ended; its exit status."""
    with contextlib.closing(pump):
        pump.feed(stdin, closes=True)
        pump.run(is_done=lambda: False, check=check)
    # It may run on after it has closed its outputs.
    while not group.wait(LOOK_SECONDS):
        check()
    return group.returncode or 0


@contextlib.contextmanager
def _ending(group: ProcessGroup) -> Iterator[None]:
    """End the group when anything is raised inside."""
    try:
        yield
    except BaseException:
        group.end()
        raise
