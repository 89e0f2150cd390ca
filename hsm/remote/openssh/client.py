"""The system's OpenSSH as client: one login per target, shared by every later session.

A question to the target's shell goes to one that stays open; workers have sessions of their own beside it.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.errors import NoShellError, SessionsRefusedError, UnexplainedError, UnreachableError
from hsm.process.background import BackgroundCall
from hsm.process.runner import Completed, Runner
from hsm.remote.openssh.master import SPACING_SECONDS, Master
from hsm.remote.openssh.open_shell import OpenShell, ShellEndedError
from hsm.remote.openssh.program import SshProgram
from hsm.remote.retry import PAUSES_SECONDS, OnWait, Retry
from hsm.remote.sessions import MAX_SESSIONS, SESSION_TIMEOUT_SECONDS
from hsm.remote.shell import frame, make_begin, make_mark, make_remote_command, parse_framed

if TYPE_CHECKING:
    from hsm.remote.openssh.command_line import SshTarget

MAX_LOGINS = 4
"""Logins at the same time where they cannot be shared: one for the shell, the rest for workers."""

_PROGRAM_REFUSED = re.compile(rb"^(?:exec|shell) request failed on channel \d+\r?$", re.MULTILINE)


class OpenSsh:
    """A target reached by the system's `ssh`; implements `hsm.remote.shell.RemoteShell`. Thread-safe.

    Nothing is started by the constructor. Every method that needs the network raises
    `hsm.errors.UnreachableError` when the target cannot be reached, after it has waited for a dropped connection
    to come back; a refused login is never tried again.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts the processes.
        pauses_seconds: Before each further try after a dropped connection, but for jitter.
        spacing_seconds: The least time between two logins where they cannot be shared.
        on_wait: Told the seconds of each such pause, and the error before it.

    Attributes:
        program: ssh itself: the settings in force, and what its complaints mean.
    """

    def __init__(
        self,
        name: str,
        settings: SshTarget,
        runner: Runner,
        *,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        spacing_seconds: float = SPACING_SECONDS,
        on_wait: OnWait | None = None,
    ) -> None:
        self.runner = runner
        self.program = SshProgram(name, settings, runner)
        # One lock for both: a thread that forgets the login waits for the question that is under way.
        lock = threading.RLock()
        self._master = Master(self.program, sleep=runner.sleep, spacing_seconds=spacing_seconds, lock=lock)
        self._shell = OpenShell(self.program, self._master, runner, lock)
        self._retry = Retry(runner.sleep, pauses_seconds, on_wait)
        self._begun: BackgroundCall[None] | None = None
        self._has_answered = False
        self._noise = b""
        self._lock = lock

    @property
    def name(self) -> str:
        """The target's name."""
        return self.program.name

    @property
    def noise(self) -> bytes:
        """The text that start-up files there printed in the last session, before its program; rsync fails on any."""
        return self._noise

    @property
    def max_workers(self) -> int:
        """The most sessions that workers may have at the same time, known once the login is open."""
        return MAX_SESSIONS if self._master.is_shared else MAX_LOGINS - 1

    @property
    def round_trip_seconds(self) -> float | None:
        """The round trip of the link, as the shell that is kept open has measured it; None: not measured."""
        return self._shell.round_trip_seconds

    def set_pauses(self, pauses_seconds: Sequence[float], on_wait: OnWait | None) -> None:
        """Set other pauses after a dropped connection than those of the constructor."""
        self._retry.pauses_seconds, self._retry.on_wait = pauses_seconds, on_wait

    def login(self, *, may_ask: bool = False) -> None:
        """Make sure that the shared login is open; one that is open already is used.

        Args:
            may_ask: Let ssh ask in this terminal for a password, a second factor or an unknown host key.

        Raises:
            UnreachableError: No login; its class says why.
        """
        self._retry.call(lambda: self._login_once(may_ask=may_ask), forget=self.forget_login)

    def begin(self, *, may_log_in: bool = True) -> None:
        """Begin to open the shell, in a thread; the first call that needs it then waits for it.

        Args:
            may_log_in: Log in for it; else it is only opened over a login that is open already.
        """

        def work() -> None:
            with self._lock:
                if may_log_in or self._master.find() is not None:
                    self._open_master(may_ask=False)
                    self._shell.open()

        self._begun = BackgroundCall(work, name=f"hsm-login-{self.name}")

    def drop_begun(self) -> None:
        """Wait for what `begin` began, ignore how it ended, and close the shell that it opened."""
        with contextlib.suppress(Exception):
            self._take_begun()
        self.close_shell()

    def forget_login(self) -> None:
        """Look anew, before the next session, whether the shared login is still open."""
        with self._lock:
            self._master.forget()
            self._shell.close()

    def logout(self) -> bool:
        """Close the shared login that HSM opened; the user's own master stays open.

        Returns:
            Whether there was one.
        """
        self.forget_login()
        return self._master.close()

    @contextlib.contextmanager
    def keep_shell(self) -> Iterator[None]:
        """Keep one shell open while inside, so that `run` costs a session once and a round trip later."""
        self._shell.is_kept = True
        try:
            yield
        finally:
            self._shell.is_kept = False
            self.drop_begun()

    def close_shell(self) -> bool:
        """Close the shell that is kept open, to make room for another session; the next `run` opens it again.

        Returns:
            Whether there was one.
        """
        return self._shell.close()

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program in a session over the shared login, or in the shell that is kept open.

        Args:
            program: Its text; data goes over `stdin`.
            stdin: Its standard input.

        Returns:
            What it printed, without the noise of start-up files, and its complaints; the return code is the program's.

        Raises:
            UnreachableError: The session could not be opened or broke before the program's end.
            NoShellError: The target runs no commands.
        """
        return self._retry.call(lambda: self._run_once(program, stdin), forget=self.forget_login)

    def make_session_argv(self) -> list[str]:
        """Make the `ssh` command of a session; see `hsm.remote.openssh.master.Master.make_session_argv`."""
        self._login_once()
        return self._master.make_session_argv()

    def _login_once(self, *, may_ask: bool = False) -> Path | None:
        self._take_begun()
        return self._open_master(may_ask=may_ask)

    def _take_begun(self) -> None:
        begun, self._begun = self._begun, None  # an error of it counts once
        if begun is not None:
            begun.take()

    def _open_master(self, *, may_ask: bool) -> Path | None:
        path = self._master.open(may_ask=may_ask)
        self._retry.has_connected = self._retry.has_connected or path is not None
        return path

    def _run_once(self, program: str, stdin: bytes) -> Completed:
        is_shared = self._login_once() is not None
        # Long input has a session of its own: bash reads what it is told byte by byte, 68 ms for 250 KB.
        if self._shell.is_kept and (self._shell.is_quick_for(program, stdin) or not is_shared):
            return self._run_in_shell(program, stdin)
        try:
            return self._run_apart(program, stdin)
        except SessionsRefusedError:
            # The open shell may hold the only session that the server allows.
            if not self.close_shell():
                raise
        return self._run_apart(program, stdin)

    def _run_in_shell(self, program: str, stdin: bytes) -> Completed:
        try:
            answer = self._shell.ask(program, stdin)
        except ShellEndedError as ended:
            raise self._explain_failure(ended.completed, ended.completed.stdout) from ended
        self._note_answer(self._shell.noise)
        return answer

    def _run_apart(self, program: str, stdin: bytes) -> Completed:
        """Run a program in a session of its own."""
        mark = make_mark()
        command = make_remote_command(frame(program, mark))
        argv = [*self.make_session_argv(), "--", self.program.settings.host, command]
        completed = self.program.run(argv, stdin=stdin, timeout_seconds=SESSION_TIMEOUT_SECONDS, begin=make_begin(mark))
        content, noise = parse_framed(completed.stdout, mark)
        if content is None:
            raise self._explain_failure(completed, noise)
        self._note_answer(noise)
        return Completed(completed.returncode, content, completed.stderr)

    def _note_answer(self, noise: bytes) -> None:
        self._retry.has_connected = self._has_answered = True
        self._noise = noise

    def _explain_failure(self, completed: Completed, noise: bytes) -> UnreachableError | NoShellError:
        """Explain a session that ended without an answer: ssh's own end, a server that runs nothing, or a program's."""
        is_refused = completed.returncode == 255 and self._is_program_refused(completed)
        if completed.returncode == 255 and not is_refused:
            error = self.program.explain(completed.stderr_text)
            # A program that the server forces may end with 255 too, and say anything.
            is_known = bool(completed.stderr.strip()) and not isinstance(error, UnexplainedError)
            if is_known or not (noise or completed.stderr) or not self._is_first_over_login():
                return error
        return self.program.explain_no_shell(noise, completed.stderr, is_refused=is_refused)

    def _is_program_refused(self, completed: Completed) -> bool:
        """Tell whether a server that serves SFTP alone refused to run a program, after ssh ended with 255.

        Over a shared login ssh says nothing then, as it does when the login has ended meanwhile. So the login is
        asked: where it stands, and no program has run there yet, the target runs none.
        """
        if completed.stderr.strip():
            return _PROGRAM_REFUSED.search(completed.stderr) is not None
        return not completed.stdout and self._is_first_over_login()

    def _is_first_over_login(self) -> bool:
        """Tell whether no program has run at the target yet, while the shared login stands."""
        return not self._has_answered and self._master.is_shared and self._master.find() is not None
