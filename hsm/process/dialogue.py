"""Dialogue with a program that runs on: it is told something and answers, again and again."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence

from hsm.process.answer import MOST_ANSWER_BYTES, MOST_COMPLAINT_BYTES, KeptOutput, Search
from hsm.process.group import GRACE_SECONDS
from hsm.process.pump import Pump
from hsm.process.runner import Completed, Runner


class Dialogue:
    """A program that is asked again and again, until it is closed. Used by one thread at a time.

    Args:
        runner: Ends it when it is interrupted.
        argv: The program and its arguments.

    Attributes:
        wait_seconds: The time until the last answer began.

    Raises:
        ProgramMissingError: There is no such program.
        CommandStoppedError: The runner was stopped before.
    """

    def __init__(self, runner: Runner, argv: Sequence[str]) -> None:
        self._runner = runner
        self._stack = contextlib.ExitStack()
        self._group = self._stack.enter_context(runner.hold(argv))
        self._stack.callback(self._group.end)  # runs before `hold` waits for the end
        self._stdout, self._stderr = KeptOutput(argv[0], MOST_ANSWER_BYTES), KeptOutput(argv[0], MOST_COMPLAINT_BYTES)
        sinks = {self._group.stdout: self._stdout.take, self._group.stderr: self._stderr.take}
        self._pump = Pump(self._group.stdin, sinks)
        self.wait_seconds = float("inf")

    def ask(self, words: bytes, *, ends: tuple[bytes, bytes], timeout_seconds: float, begin: bytes = b"") -> Completed:
        """Tell it something and take its answer.

        Args:
            words: For its standard input.
            ends: The ends of the answer on standard output and on standard error.
            timeout_seconds: For the whole answer.
            begin: The beginning of the answer; text before that says nothing of the link.

        Returns:
            What it printed; with a return code other than 0 the program has ended instead, and must be closed.

        Raises:
            AnswerTooLongError: It printed far too much; close it.
            CommandTimeoutError: There was no answer in time; close it.
            CommandStoppedError: The runner was interrupted; close it.
        """
        stdout, stderr = self._stdout.content, self._stderr.content
        found = (Search(stdout, ends[0]), Search(stderr, ends[1]))
        beginning = Search(stdout, begin)
        self._stdout.expect(begin)
        check = self._runner.make_check(timeout_seconds)
        asked = time.monotonic()
        self.wait_seconds = float("inf")

        def is_done() -> bool:
            # Text of start-up files lies there before anything is asked, and says nothing of the link.
            if self.wait_seconds == float("inf") and stdout and beginning.is_found():
                self.wait_seconds = time.monotonic() - asked
            return all(search.is_found() for search in found)

        self._pump.feed(words, closes=False)
        self._pump.run(is_done=is_done, check=check)
        code = 0 if is_done() else self._wait()
        answer = Completed(code, bytes(stdout), bytes(stderr))
        stdout.clear()
        stderr.clear()
        return answer

    def close(self) -> None:
        """End the program. May be called twice."""
        self._stack.close()
        self._pump.close()

    def _wait(self) -> int:
        """Wait a little for the end of a program that has closed its outputs; never 0, since it gave no answer."""
        self._group.wait(GRACE_SECONDS)
        return self._group.returncode or -signal.SIGTERM
