"""One /bin/sh at a target that stays open, so that a question costs a round trip.

At 40 ms that is 0.05 s, where a session of its own takes 0.28 s.
"""

from __future__ import annotations

import contextlib
import threading

from hsm.errors import HsmError
from hsm.process.answer import AnswerTooLongError
from hsm.process.dialogue import Dialogue
from hsm.process.runner import CommandTimeoutError, Completed, Runner
from hsm.remote.openssh.master import Master
from hsm.remote.openssh.program import SshProgram
from hsm.remote.sessions import SESSION_TIMEOUT_SECONDS
from hsm.remote.shell import (
    OPEN_SHELL,
    count_words_bytes,
    get_max_words_bytes,
    make_begin,
    make_ends,
    make_mark,
    make_shell_words,
    parse_answer,
)


class ShellEndedError(Exception):
    """The shell has ended in the place of an answer.

    Attributes:
        completed: Its end, with what it printed.
    """

    def __init__(self, completed: Completed) -> None:
        super().__init__(f"the shell ended with {completed.returncode}")
        self.completed = completed


class OpenShell:
    """The open shell of one target, opened when the first question needs it. Thread-safe.

    Args:
        ssh: The program.
        master: The login.
        runner: Starts ssh.
        lock: Held during a question; the master of the target has the same one.

    Attributes:
        is_kept: Questions may go to it.
        noise: The text that start-up files printed before the first program.
    """

    def __init__(self, ssh: SshProgram, master: Master, runner: Runner, lock: threading.RLock) -> None:
        self._ssh = ssh
        self._master = master
        self._runner = runner
        self._lock = lock
        self._dialogue: Dialogue | None = None
        self._trip_seconds: float | None = None
        self._is_first_answer = False
        self.is_kept = False
        self.noise = b""

    @property
    def round_trip_seconds(self) -> float | None:
        """The quickest beginning of an answer; None: not measured.

        Where that was the first answer, before which the shell had to be opened, it is asked once more.
        """
        if self._is_first_answer and self._dialogue is not None:
            self._is_first_answer = False
            with contextlib.suppress(HsmError, ShellEndedError):
                self.ask(":", b"")
        return self._trip_seconds

    def is_quick_for(self, program: str, stdin: bytes) -> bool:
        """Tell whether the shell reads a program sooner than a session of its own would be opened."""
        return count_words_bytes(program, stdin) < get_max_words_bytes(self._trip_seconds)

    def open(self) -> None:
        """Open it, unless it is open."""
        self._open()

    def close(self) -> bool:
        """Close it; the next question opens it again.

        Returns:
            Whether it was open.
        """
        with self._lock:
            dialogue, self._dialogue = self._dialogue, None
            if dialogue is not None:
                dialogue.close()
            return dialogue is not None

    def ask(self, program: str, stdin: bytes) -> Completed:
        """Run a program in it.

        Raises:
            ShellEndedError: It has ended in the place of an answer.
            NoAnswerError: The program did not end in time.
        """
        mark = make_mark()
        words = make_shell_words(program, stdin, mark)
        with self._lock:
            dialogue = self._open()
            try:
                completed = dialogue.ask(
                    words, ends=make_ends(mark), timeout_seconds=SESSION_TIMEOUT_SECONDS, begin=make_begin(mark)
                )
            except BaseException as error:
                self.close()  # what it still prints would be taken for the next answer
                if isinstance(error, CommandTimeoutError):
                    raise self._ssh.make_timeout_error("a command did not end") from error
                if isinstance(error, AnswerTooLongError):
                    raise error.name_target(self._ssh.name, self._ssh.command_line) from error
                raise
            if completed.returncode != 0:
                self.close()
                raise ShellEndedError(completed)
        self._is_first_answer = self._trip_seconds is None
        # The quickest: an answer may have waited for a busy machine, none is quicker than the link.
        self._trip_seconds = min(self._trip_seconds or dialogue.wait_seconds, dialogue.wait_seconds)
        try:
            answer, noise = parse_answer(completed, mark)
        except ValueError as error:  # its end stands there without its beginning
            self.close()
            raise ShellEndedError(completed) from error
        self.noise = self.noise or noise
        return answer

    def _open(self) -> Dialogue:
        with self._lock:
            if self._dialogue is None:
                # The first session over a login waits 40 ms: its confirmation stands behind the server's list of host
                # keys, which this machine acknowledges late (TCP's Nagle). A second session beside it ends the wait on
                # loopback (53 ms become 13), but over a longer link it leaves before the list is there. So none is
                # opened.
                argv = [*self._master.make_session_argv(logs_login=True), "--", self._ssh.settings.host, OPEN_SHELL]
                self.noise = b""  # of the shell before
                self._dialogue = Dialogue(self._runner, argv)
            return self._dialogue
