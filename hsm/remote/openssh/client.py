"""The system's OpenSSH as client: one login per target, shared by every later session.

What is asked of a target's shell goes to one that is kept open, so that a question costs a round trip; workers have
sessions of their own beside it. See docs/design/ssh-logins.md.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hsm.errors import HsmError, NoShellError, SessionsRefusedError, UnreachableError
from hsm.process.background import Ahead
from hsm.process.runner import CommandTimeoutError, Completed, Dialogue, Runner
from hsm.remote.openssh.command_line import LOGIN_OPTIONS, make_session_words
from hsm.remote.openssh.login import OpenSshLogin
from hsm.remote.retry import PAUSES_SECONDS, retry
from hsm.remote.shell import (
    OPEN_SHELL,
    count_words_bytes,
    frame,
    get_max_words_bytes,
    make_ends,
    make_mark,
    make_remote_command,
    make_shell_words,
    parse_answer,
    parse_framed,
)

if TYPE_CHECKING:
    from hsm.remote.openssh.command_line import SshTarget
    from hsm.remote.openssh.host_keys import StoredKey

SESSION_TIMEOUT_SECONDS = 600

MAX_SESSIONS = 8
"""sshd allows ten sessions over one login by default; two stay free for the shell and for what the user does."""

MAX_LOGINS = 4
"""Where logins cannot be shared: one for the shell, the rest for workers."""

SPACING_SECONDS = 1.0
"""Between such logins, since servers drop those that come in bursts."""

_NOISE_BYTES = 200

_PROGRAM_REFUSED = re.compile(rb"^(?:exec|shell) request failed on channel \d+\r?$", re.MULTILINE)

_Answer = TypeVar("_Answer")


class OpenSsh:
    """A target reached by the system's `ssh`. Thread-safe.

    Nothing is started by the constructor. Every method that needs the network raises
    `hsm.errors.UnreachableError` when the target cannot be reached, after it has waited for a dropped connection
    to come back; a refused login is never tried again.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts the processes.
        pauses_seconds: How long to wait before each further try after a dropped connection, but for jitter.
        spacing_seconds: The least time between two logins where they cannot be shared.
        on_wait: Told the seconds of each such pause, and what went wrong.
    """

    def __init__(
        self,
        name: str,
        settings: SshTarget,
        runner: Runner,
        *,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        spacing_seconds: float = SPACING_SECONDS,
        on_wait: Callable[[float, UnreachableError], None] | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self.runner = runner
        self.pauses_seconds = pauses_seconds
        self._spacing_seconds = spacing_seconds
        self.on_wait = on_wait
        self._login = OpenSshLogin(name, settings, runner)
        self._is_open = False
        self._control_path: Path | None = None
        self._has_connected = False
        self._has_answered = False
        self._begun: Ahead[None] | None = None
        self._keeps_shell = False
        self._shell: Dialogue | None = None
        self._round_trip_seconds: float | None = None
        self._is_first_answer = False
        self._last_login = float("-inf")
        self._noise = b""
        self._lock = threading.RLock()

    @property
    def address(self) -> str:
        """The host in the form rsync takes before the colon: an IPv6 address in brackets."""
        host = self._settings.host
        return f"[{host}]" if ":" in host else host

    @property
    def noise(self) -> bytes:
        """What start-up files there printed in the last session, before its program; rsync cannot do with any."""
        return self._noise

    @property
    def max_workers(self) -> int:
        """How many sessions workers may have at the same time, known once the login is open."""
        return MAX_SESSIONS if self._control_path is not None else MAX_LOGINS - 1

    @property
    def round_trip_seconds(self) -> float | None:
        """The quickest beginning of an answer of the shell that is kept open; None: not measured.

        Where that was the shell's first answer, before which it had to be opened, it is asked once more.
        """
        if self._is_first_answer and self._shell is not None:
            self._is_first_answer = False
            with contextlib.suppress(HsmError):
                self._ask(":", b"")
        return self._round_trip_seconds

    @property
    def jump(self) -> str:
        """What the connection goes through by the settings in force, once they are read; empty: straight there."""
        return self._login.jump

    @property
    def command_line(self) -> str:
        """The command a person types to try this login."""
        return self._login.command_line

    def login(self, *, may_ask: bool = False) -> None:
        """Make sure that the shared login is open; one that is open already is used.

        Args:
            may_ask: Let ssh ask in this terminal for a password, a second factor or an unknown host key.

        Raises:
            UnreachableError: No login; its kind says why.
        """
        self._retry(lambda: self._login_once(may_ask=may_ask))

    def begin(self, *, only_live: bool = False) -> None:
        """Begin to log in and to open the shell, in a thread; what needs them then waits for it.

        Args:
            only_live: Only where the shared login is open already.
        """

        def work() -> None:
            with self._lock:
                if not only_live or self._login.find() is not None:
                    self._login_alone(may_ask=False)
                    if self._shell is None:
                        self._open_shell()

        self._begun = Ahead(work, name=f"hsm-login-{self.name}")

    def drop_begun(self) -> None:
        """Wait for what `begin` began, whatever came of it, and close the shell that it opened."""
        with contextlib.suppress(Exception):
            self._take_begun()
        self.close_shell()

    def forget_login(self) -> None:
        """Look anew, before the next session, whether the shared login is still open."""
        with self._lock:
            self._is_open = False
            self.close_shell()

    def logout(self) -> bool:
        """Close the shared login that HSM opened; the user's own master is left alone.

        Returns:
            Whether there was one.
        """
        self.forget_login()
        return self._login.close()

    @contextlib.contextmanager
    def keep_shell(self) -> Iterator[None]:
        """Keep one shell open while inside, so that `run` costs a session once and a round trip later."""
        self._keeps_shell = True
        try:
            yield
        finally:
            self._keeps_shell = False
            self.drop_begun()

    def close_shell(self) -> bool:
        """Close the shell that is kept open, to make room for another session; the next `run` opens it again.

        Returns:
            Whether there was one.
        """
        with self._lock:
            shell, self._shell = self._shell, None
            if shell is not None:
                shell.close()
            return shell is not None

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program in a session over the shared login, or in the shell that is kept open.

        Args:
            program: Its text; data goes over `stdin`.
            stdin: What the program reads.

        Returns:
            What it printed, without the noise of start-up files, and its complaints; the return code is the program's.

        Raises:
            UnreachableError: The session could not be opened or broke before the program's end.
        """
        return self._retry(lambda: self._run_once(program, stdin))

    def make_session_argv(self) -> list[str]:
        """The `ssh` command of a session over the shared login, without the host; logs in if need be, once.

        At the server's MaxSessions ssh would open a new login by itself; HSM's options make it fail. Where logins
        cannot be shared, the session is a login, and this waits until the next one is polite.
        """
        control_path = self._login_once()
        if control_path is None:
            self._space()
        return ["ssh", *make_session_words(self._settings, control_path)]

    def explain(self, text: str) -> UnreachableError:
        """Turn what ssh complained into the error to raise."""
        return self._login.explain(text)

    def resolve(self) -> Mapping[str, str]:
        """The settings in force for this host; see `hsm.remote.openssh.login.OpenSshLogin.resolve`."""
        return self._login.resolve()

    def list_known_keys(self) -> list[StoredKey]:
        """The host's keys in the files of known hosts; see `hsm.remote.openssh.login.OpenSshLogin.list_known_keys`."""
        return self._login.list_known_keys()

    def _retry(self, call: Callable[[], _Answer]) -> _Answer:
        return retry(
            call,
            pauses_seconds=self.pauses_seconds,
            has_connected=lambda: self._has_connected,
            forget=self.forget_login,
            sleep=self.runner.sleep,
            on_wait=self.on_wait,
        )

    def _login_once(self, *, may_ask: bool = False) -> Path | None:
        self._take_begun()
        return self._login_alone(may_ask=may_ask)

    def _take_begun(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.take()

    def _login_alone(self, *, may_ask: bool) -> Path | None:
        if self._is_open:
            return self._control_path  # a question that is under way keeps the lock, and is not waited for
        with self._lock:
            if not self._is_open:
                self._control_path = self._login.open(may_ask=may_ask)
                self._is_open = True
                self._has_connected = self._has_connected or self._control_path is not None
            return self._control_path

    def _run_once(self, program: str, stdin: bytes) -> Completed:
        control_path = self._login_once()
        is_short = count_words_bytes(program, stdin) < get_max_words_bytes(self._round_trip_seconds)
        if self._keeps_shell and (is_short or control_path is None):
            return self._ask(program, stdin)
        try:
            return self._run_apart(program, stdin)
        except SessionsRefusedError:
            if not self.close_shell():
                raise
        return self._run_apart(program, stdin)

    def _ask(self, program: str, stdin: bytes) -> Completed:
        """Run a program in the shell that is kept open, which is opened if need be."""
        mark = make_mark()
        with self._lock:
            shell = self._shell or self._open_shell()
            try:
                words = make_shell_words(program, stdin, mark)
                completed = shell.ask(
                    words, ends=make_ends(mark), timeout_seconds=SESSION_TIMEOUT_SECONDS, begin=mark.encode()
                )
            except BaseException as error:
                self.close_shell()
                if isinstance(error, CommandTimeoutError):
                    raise self._login.make_timeout_error("a command did not end") from error
                raise
            if completed.returncode != 0:
                self.close_shell()
                raise self._explain_failed_session(completed, completed.stdout)
        self._has_connected = self._has_answered = True
        self._is_first_answer = self._round_trip_seconds is None
        self._round_trip_seconds = min(self._round_trip_seconds or shell.wait_seconds, shell.wait_seconds)
        answer, noise = parse_answer(completed, mark)
        self._noise = self._noise or noise
        return answer

    def _open_shell(self) -> Dialogue:
        with self._lock:
            control_path = self._login_alone(may_ask=False)
            options = LOGIN_OPTIONS if control_path is None else ()
            if control_path is None:
                self._space()
            words = make_session_words(self._settings, control_path, options)
            self._noise = b""
            self._shell = self.runner.open(["ssh", *words, "--", self._settings.host, OPEN_SHELL])
            return self._shell

    def _run_apart(self, program: str, stdin: bytes) -> Completed:
        """Run a program in a session of its own."""
        mark = make_mark()
        command = make_remote_command(frame(program, mark))
        argv = [*self.make_session_argv(), "--", self._settings.host, command]
        completed = self._login.run(argv, stdin=stdin, timeout_seconds=SESSION_TIMEOUT_SECONDS)
        content, noise = parse_framed(completed.stdout, mark)
        if content is None:
            raise self._explain_failed_session(completed, noise)
        self._has_connected = self._has_answered = True
        self._noise = noise
        return Completed(completed.returncode, content, completed.stderr)

    def _space(self) -> None:
        """Wait until another login is polite, where each session is one."""
        with self._lock:
            wait = self._last_login + self._spacing_seconds - time.monotonic()
            if wait > 0:
                self.runner.sleep(wait)
            self._last_login = time.monotonic()

    def _explain_failed_session(self, completed: Completed, noise: bytes) -> UnreachableError | NoShellError:
        from hsm.remote.openssh.diagnosis import show_bytes  # noqa: PLC0415 - its patterns take time

        is_refused = completed.returncode == 255 and self._is_program_refused(completed)
        if completed.returncode == 255 and not is_refused:
            return self.explain(completed.stderr_text)
        answer = noise.strip() or completed.stderr.strip()
        said = f"it answered {show_bytes(answer, limit=_NOISE_BYTES)}" if answer else "it ended without a word"
        if is_refused:
            said = "the server refuses to start any"
        return NoShellError(
            f"The shell of target {self.name} does not run commands: {said}.",
            hint=f"Try `{self.command_line} true`. A start-up file there may end the shell, or the account may "
            "allow SFTP only or no login at all.",
            detail=(noise + completed.stderr).decode("utf-8", "replace")[-1000:].strip(),
        )

    def _is_program_refused(self, completed: Completed) -> bool:
        """Whether a server that serves SFTP alone refused to run a program, after ssh ended with 255.

        Over a shared login ssh says nothing then. That the login has ended meanwhile looks the same, but for the login.
        """
        if completed.stderr.strip():
            return _PROGRAM_REFUSED.search(completed.stderr) is not None
        is_first = not self._has_answered and not completed.stdout
        return is_first and self._control_path is not None and self._login.find() is not None


def has_terminal() -> bool:
    """Whether ssh could ask the user something here."""
    return sys.stdin.isatty() and sys.stderr.isatty()
