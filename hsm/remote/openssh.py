"""The system's OpenSSH as client: one login per target, shared by every later session.

HSM keeps an OpenSSH control master per target, started on the first use and left behind for ten minutes, so
that a second factor is asked for once and a session costs no new login. See docs/DESIGN.md, "One login".
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from hsm.config.schema import TargetSettings
from hsm.errors import TargetError, UnreachableError
from hsm.remote.command import (
    CommandTimeoutError,
    Completed,
    ProgramMissingError,
    Runner,
)
from hsm.remote.control_folder import make_control_folder
from hsm.remote.diagnosis import diagnose_ssh, show_bytes
from hsm.remote.host_keys import StoredKey, explain_host_key, list_known_keys, make_known_name
from hsm.remote.shell import frame, make_mark, make_remote_command, parse_framed, quote
from hsm.remote.ssh_words import (
    LOGIN_OPTIONS,
    make_control_name,
    make_user_words,
    make_words,
    parse_resolved,
)

PERSIST_SECONDS = 600
SESSION_TIMEOUT_SECONDS = 600
LOGIN_TIMEOUT_SECONDS = 60
FOREGROUND_LOGIN_TIMEOUT_SECONDS = 300

_NOISE_BYTES = 200

PAUSES_SECONDS = (5.0, 15.0, 45.0)
"""How long to wait before each further try after a dropped connection."""

_PASSING_KINDS_AT_FIRST = frozenset({"connection_dropped", "sessions_refused", "throttled"})
"""A server that throttles drops connections; whatever else fails at the first contact will fail again."""

PASSING_KINDS = _PASSING_KINDS_AT_FIRST | {"connection_refused", "connection_timeout", "host_unknown"}
"""Once a connection has stood, these say that the link is away, or the server restarts."""

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
        on_wait: Told the seconds of each such pause, and what went wrong.
    """

    def __init__(
        self,
        name: str,
        settings: TargetSettings,
        runner: Runner,
        *,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        on_wait: Callable[[float, UnreachableError], None] | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._runner = runner
        self._pauses_seconds = pauses_seconds
        self._on_wait = on_wait
        self._resolved: dict[str, str] = {}
        self._control_path: Path | None = None
        self._has_connected = False
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

    def login(self, *, may_ask: bool = False) -> None:
        """Make sure that the shared login is open; one that is open already is used.

        Args:
            may_ask: Let ssh ask in this terminal for a password, a second factor or an unknown host key.

        Raises:
            UnreachableError: No login; its kind says why.
        """
        self._retry(lambda: self._login_once(may_ask=may_ask))

    def forget_login(self) -> None:
        """Look anew, before the next session, whether the shared login is still open."""
        with self._lock:
            self._control_path = None

    def logout(self) -> bool:
        """Close the shared login that HSM opened; the user's own master is left alone.

        Returns:
            Whether there was one.
        """
        path = self._make_control_path()
        self._control_path = None
        if not path.exists():
            return False
        argv = ["ssh", *make_words(self._settings, path), "-O", "exit", "--", self._settings.host]
        was_open = self._run(argv, timeout_seconds=LOGIN_TIMEOUT_SECONDS).returncode == 0
        path.unlink(missing_ok=True)
        return was_open

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program in a session over the shared login.

        Args:
            program: Its text; data goes over `stdin`.
            stdin: What the program reads.

        Returns:
            What it printed, without the noise of start-up files, and its complaints; the return code is ssh's.

        Raises:
            UnreachableError: The session could not be opened or broke before the program's end.
        """
        return self._retry(lambda: self._run_once(program, stdin))

    def make_session_argv(self) -> list[str]:
        """The `ssh` command of a session over the shared login, without the host; logs in if need be, once.

        At the server's MaxSessions ssh would open a new login by itself; `ProxyCommand=false` makes it fail.
        """
        control_path = self._login_once()
        fixed = ("ControlMaster=no", "BatchMode=yes", "ProxyCommand=false", "StrictHostKeyChecking=yes")
        return ["ssh", *make_words(self._settings, control_path, fixed)]

    def explain(self, text: str) -> UnreachableError:
        """Turn what ssh complained into the error to raise."""
        resolved = self._resolved
        error = diagnose_ssh(
            text,
            target=self.name,
            host=resolved.get("hostname", self._settings.host),
            port=resolved.get("port", ""),
            command=self.command_line,
            jump=self.jump,
        )
        return explain_host_key(error, text, runner=self._runner, name=self._known_name, command=self._asking_command)

    @property
    def jump(self) -> str:
        """What the connection goes through by the settings in force, once they are read; empty: straight there."""
        for key, prefix in (("proxyjump", ""), ("proxycommand", "the ProxyCommand ")):
            value = self._resolved.get(key, "none")
            if value != "none":
                return f"{prefix}{value}"
        return ""

    def resolve(self) -> Mapping[str, str]:
        """The settings in force for this host, as `ssh -G` prints them, names in small letters.

        Runs ssh once. Values of a setting that has several are in lines.

        Raises:
            UnreachableError: ssh does not accept its configuration, or is missing.
        """
        return self._resolve()

    def list_known_keys(self) -> list[StoredKey]:
        """Look the host's keys up in the files of known hosts, the user's first. Reads, and changes nothing."""
        return list_known_keys(self._runner, self._resolve(), name=self._known_name)

    @property
    def _known_name(self) -> str:
        settings = self._resolved
        host = settings.get("hostname", self._settings.host)
        return make_known_name(host, settings.get("port", ""), settings.get("hostkeyalias", ""))

    @property
    def _asking_command(self) -> str:
        """The command by which a person is asked about an unknown host key, whatever the settings say."""
        words = ["ssh"]
        if self._resolved.get("stricthostkeychecking", "ask") != "ask":
            words += ["-o", "StrictHostKeyChecking=ask"]
        return " ".join(quote(word) for word in [*words, *make_user_words(self._settings), self._settings.host])

    def _retry(self, call: Callable[[], _Answer]) -> _Answer:
        """Call until the connection holds, or no pause is left, or waiting would not help."""
        for pause in self._pauses_seconds:
            try:
                return call()
            except UnreachableError as error:
                self.forget_login()
                if error.kind not in (PASSING_KINDS if self._has_connected else _PASSING_KINDS_AT_FIRST):
                    raise
                seconds = pause * random.uniform(1.0, 1.2)  # noqa: S311 - spreads tries, keeps no secret
                if self._on_wait is not None:
                    self._on_wait(seconds, error)
                self._runner.sleep(seconds)
        return call()

    def _login_once(self, *, may_ask: bool = False) -> Path:
        with self._lock:
            if self._control_path is None:
                self._control_path = self._open_login(may_ask=may_ask)
                self._has_connected = True
            return self._control_path

    def _open_login(self, *, may_ask: bool) -> Path:
        users_own = self._resolve().get("controlpath", "none")
        if users_own not in ("", "none") and self._is_live(Path(users_own)):
            return Path(users_own)
        path = self._make_control_path()
        if not self._is_live(path):
            self._start_master(path, may_ask=may_ask)
        return path

    def _run_once(self, program: str, stdin: bytes) -> Completed:
        mark = make_mark()
        command = make_remote_command(frame(program, mark))
        argv = [*self.make_session_argv(), "--", self._settings.host, command]
        completed = self._run(argv, stdin=stdin, timeout_seconds=SESSION_TIMEOUT_SECONDS)
        content, noise = parse_framed(completed.stdout, mark)
        if content is None:
            raise self._explain_failed_session(completed, noise)
        self._noise = noise
        return Completed(completed.returncode, content, completed.stderr)

    def _explain_failed_session(self, completed: Completed, noise: bytes) -> UnreachableError | TargetError:
        if completed.returncode == 255:
            return self.explain(completed.stderr_text)
        answer = noise.strip() or completed.stderr.strip()
        said = f"it answered {show_bytes(answer, limit=_NOISE_BYTES)}" if answer else "it ended without a word"
        return TargetError(
            f"The shell of target {self.name} does not run commands: {said}.",
            hint=f"Try `{self.command_line} true`. A start-up file there may end the shell, or the account may "
            "allow SFTP only or no login at all.",
            kind="noisy_shell",
            detail=(noise + completed.stderr).decode("utf-8", "replace")[-1000:].strip(),
        )

    def _start_master(self, path: Path, *, may_ask: bool) -> None:
        from filelock import FileLock, Timeout  # noqa: PLC0415 - only a login needs it

        try:
            with FileLock(f"{path}.lock", timeout=FOREGROUND_LOGIN_TIMEOUT_SECONDS, mode=0o600):
                self._start_master_alone(path, may_ask=may_ask)
        except Timeout as error:
            raise UnreachableError(
                f"Another login to {self.name} has been under way for minutes.",
                hint="Finish or end it, then run the same command again.",
                kind="login_busy",
            ) from error

    def _start_master_alone(self, path: Path, *, may_ask: bool) -> None:
        if self._is_live(path):
            return
        path.unlink(missing_ok=True)
        log = path.with_suffix(".log")
        log.unlink(missing_ok=True)
        checking = "ask" if may_ask else "yes"
        fixed = (
            f"ControlPersist={PERSIST_SECONDS}",
            f"StrictHostKeyChecking={checking}",
            *(() if may_ask else ("BatchMode=yes",)),
            *LOGIN_OPTIONS,
        )
        argv = ["ssh", "-M", "-N", "-f", "-E", str(log), *make_words(self._settings, path, fixed)]
        limit = FOREGROUND_LOGIN_TIMEOUT_SECONDS if may_ask else LOGIN_TIMEOUT_SECONDS
        try:
            completed = self._run([*argv, "--", self._settings.host], timeout_seconds=limit, foreground=may_ask)
            if completed.returncode != 0 or not self._is_live(path):
                raise self._explain_login(_read_text(log), completed.stderr_text)
        finally:
            log.unlink(missing_ok=True)

    def _explain_login(self, log: str, complaint: str) -> UnreachableError:
        """Explain by the log; where it says nothing known, by the rest too, which may be the server's banner."""
        error = self.explain(log or complaint)
        return error if error.kind != "unreachable" else self.explain(f"{log}\n{complaint}")

    def _is_live(self, path: Path) -> bool:
        if not os.path.exists(path):  # noqa: PTH110 - false where the name is too long or the way to it barred
            return False
        argv = ["ssh", *make_words(self._settings, path), "-O", "check", "--", self._settings.host]
        return self._run(argv, timeout_seconds=LOGIN_TIMEOUT_SECONDS).returncode == 0

    def _make_control_path(self) -> Path:
        return make_control_folder() / make_control_name(self._settings, self._resolve())

    def _resolve(self) -> dict[str, str]:
        """The settings in force for this host, as `ssh -G` prints them; runs once."""
        if not self._resolved:
            argv = ["ssh", *make_user_words(self._settings), "-G", "--", self._settings.host]
            completed = self._run(argv, timeout_seconds=LOGIN_TIMEOUT_SECONDS)
            if completed.returncode != 0:
                raise self.explain(completed.stderr_text)
            self._resolved = parse_resolved(completed.stdout.decode("utf-8", "replace"))
        return self._resolved

    @property
    def command_line(self) -> str:
        """The command a person types to try this login."""
        return " ".join(quote(word) for word in ["ssh", *make_user_words(self._settings), self._settings.host])

    def _run(
        self, argv: list[str], *, timeout_seconds: float, stdin: bytes = b"", foreground: bool = False
    ) -> Completed:
        try:
            return self._runner.run(argv, stdin=stdin, timeout_seconds=timeout_seconds, foreground=foreground)
        except ProgramMissingError as error:
            raise UnreachableError(
                "There is no `ssh` on this machine.",
                hint="Install OpenSSH's client, for example `apt-get install openssh-client`.",
                kind="ssh_missing",
            ) from error
        except CommandTimeoutError as error:
            raise UnreachableError(
                f"Target {self.name} ({self._settings.host}) does not answer: {error}.",
                hint=f"Try `{self.command_line}` by hand.",
                kind="connection_timeout",
            ) from error


def has_terminal() -> bool:
    """Whether ssh could ask the user something here."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
