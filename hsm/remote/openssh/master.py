"""The shared login of a target: an OpenSSH control master, found, started and ended.

HSM keeps one per target, started at the first use and left behind for ten minutes, so that a second factor is asked
for once, servers that throttle see one login, and a session costs 0.12 s in place of 0.3 to 0.45 s. See
docs/design/ssh-logins.md.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from hsm.errors import UnexplainedError, UnreachableError
from hsm.remote.openssh.command_line import (
    LOGIN_OPTIONS,
    make_cipher_wish,
    make_control_name,
    make_session_words,
    make_ssh_arguments,
)
from hsm.remote.openssh.control_folder import can_hold_sockets, make_control_folder
from hsm.remote.openssh.program import LOGIN_TIMEOUT_SECONDS, SshProgram

PERSIST_SECONDS = 600
FOREGROUND_LOGIN_TIMEOUT_SECONDS = 300

SPACING_SECONDS = 1.0
"""Between two logins where they cannot be shared, since servers drop those that come in bursts."""


class Master:
    """The login that the sessions of one target share. Thread-safe. Nothing is started by the constructor.

    Args:
        ssh: The program.
        sleep: Waits; raises when the user interrupts.
        spacing_seconds: The least time between two logins where they cannot be shared.
        lock: Held while a login is opened; the open shell of the target has the same one.
    """

    def __init__(
        self,
        ssh: SshProgram,
        *,
        sleep: Callable[[float], None],
        spacing_seconds: float = SPACING_SECONDS,
        lock: threading.RLock,
    ) -> None:
        self._ssh = ssh
        self._sleep = sleep
        self._spacing_seconds = spacing_seconds
        self._lock = lock
        self._is_open = False
        self._path: Path | None = None
        self._last_login = float("-inf")

    @property
    def is_shared(self) -> bool:
        """True once a shared login is open; else each session is a login of its own."""
        return self._path is not None

    def open(self, *, may_ask: bool = False) -> Path | None:
        """Find the shared login or open it, once.

        Args:
            may_ask: Let ssh ask in this terminal for a password, a second factor or an unknown host key.

        Returns:
            Its control socket; None where this machine has no place for one, so that every session is a login.

        Raises:
            UnreachableError: No login; its class says why.
        """
        if self._is_open:
            return self._path  # without the lock, which a question that is under way holds
        with self._lock:
            if not self._is_open:
                self._path = self._find_or_start(may_ask=may_ask)
                self._is_open = True
            return self._path

    def forget(self) -> None:
        """Look anew, before the next session, whether the login is still open."""
        with self._lock:
            self._is_open = False

    def close(self) -> bool:
        """Close the login that HSM opened; the user's own master stays open.

        Returns:
            Whether there was one.
        """
        self.forget()
        path = self._make_path()
        if path is None or not path.exists():
            return False
        was_open = self._control(path, "exit")
        path.unlink(missing_ok=True)
        return was_open

    def find(self) -> Path | None:
        """Find the control socket of a login that is open: the user's own or HSM's.

        Raises:
            UnreachableError: ssh does not accept its configuration, or is missing.
        """
        users_own = self._ssh.resolve().get("controlpath", "none")
        if users_own not in ("", "none") and self._is_live(Path(users_own)):
            return Path(users_own)
        path = self._make_path()
        return path if path is not None and self._is_live(path) else None

    def make_session_argv(self, *, logs_login: bool = False) -> list[str]:
        """Make the `ssh` command of a session, without the host; logs in if need be.

        At the server's MaxSessions ssh would open a new login without a word; HSM's options make it fail. Where logins
        cannot be shared, the session is a login, and this waits until the next one is polite.

        Args:
            logs_login: If the session is a login, its log goes to the session's standard error.
        """
        path = self.open()
        if path is None:
            self._space()
        options = (*self._ssh.session_options, *(LOGIN_OPTIONS if logs_login and path is None else ()))
        return ["ssh", *make_session_words(self._ssh.settings, path, options)]

    def _space(self) -> None:
        with self._lock:
            wait = self._last_login + self._spacing_seconds - time.monotonic()
            if wait > 0:
                self._sleep(wait)
            self._last_login = time.monotonic()

    def _find_or_start(self, *, may_ask: bool) -> Path | None:
        live = self.find()
        if live is not None:
            return live
        path = self._make_path()
        # Tried first: ssh logs in, second factor and all, before it finds that it cannot listen.
        if path is None or not can_hold_sockets(path.parent):
            return None
        self._start(path, may_ask=may_ask)
        return path

    def _start(self, path: Path, *, may_ask: bool) -> None:
        """Start the master, unless another process does at this moment: several calls must make one login."""
        from filelock import FileLock, Timeout  # noqa: PLC0415 - only a login needs it

        try:
            with FileLock(f"{path}.lock", timeout=FOREGROUND_LOGIN_TIMEOUT_SECONDS, mode=0o600):
                if not self._is_live(path):
                    self._start_alone(path, may_ask=may_ask)
        except Timeout as error:
            raise UnreachableError(
                f"Another login to {self._ssh.name} has been under way for minutes.",
                hint="Finish or end it, then run the same command again.",
                kind="login_busy",
            ) from error

    def _start_alone(self, path: Path, *, may_ask: bool) -> None:
        path.unlink(missing_ok=True)  # of a master that was killed; ssh would not listen there
        log = path.with_suffix(".log")
        log.unlink(missing_ok=True)
        fixed = (
            f"ControlPersist={PERSIST_SECONDS}",
            f"StrictHostKeyChecking={'ask' if may_ask else 'yes'}",
            *(() if may_ask else ("BatchMode=yes",)),  # fails where it would have to ask
            *self._ssh.session_options,
            *LOGIN_OPTIONS,
        )
        settings = self._ssh.settings
        wishes = make_cipher_wish(self._ssh.resolve())
        # -f and -E: a master that is a child dies with Ctrl-C, and one whose output is captured makes its caller hang.
        argv = ["ssh", "-M", "-N", "-f", "-E", str(log), *make_ssh_arguments(settings, path, fixed, wishes=wishes)]
        limit = FOREGROUND_LOGIN_TIMEOUT_SECONDS if may_ask else LOGIN_TIMEOUT_SECONDS
        try:
            completed = self._ssh.run([*argv, "--", settings.host], timeout_seconds=limit, foreground=may_ask)
            if completed.returncode != 0 or not os.path.lexists(path):  # ssh listens there before it ends well
                raise self._explain(_read_text(log), completed.stderr_text)
        finally:
            log.unlink(missing_ok=True)

    def _explain(self, log: str, complaint: str) -> UnreachableError:
        """Explain by the log; where it says nothing known, by the rest too, which may be the server's banner."""
        error = self._ssh.explain(log, beside=complaint) if log else self._ssh.explain(complaint)
        return self._ssh.explain(f"{log}\n{complaint}") if isinstance(error, UnexplainedError) else error

    def _is_live(self, path: Path) -> bool:
        if not os.path.exists(path):  # noqa: PTH110 - false where the name is too long or the way to it barred
            return False
        return self._control(path, "check")

    def _control(self, path: Path, command: str) -> bool:
        settings = self._ssh.settings
        argv = ["ssh", *make_ssh_arguments(settings, path, self._ssh.session_options), "-O", command]
        argv += ["--", settings.host]
        return self._ssh.run(argv, timeout_seconds=LOGIN_TIMEOUT_SECONDS).returncode == 0

    def _make_path(self) -> Path | None:
        folder = make_control_folder()
        return None if folder is None else folder / make_control_name(self._ssh.settings, self._ssh.resolve())


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
