"""The shared login to a target: an OpenSSH control master, found, started, explained and ended.

HSM keeps one per target, started on the first use and left behind for ten minutes, so that a second factor is asked
for once and a session costs no new login. See docs/design/ssh-logins.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hsm.errors import NoAnswerError, NoSshError, UnexplainedError, UnreachableError
from hsm.process.runner import CommandTimeoutError, Completed, ProgramMissingError, Runner
from hsm.remote.openssh.command_line import (
    LOGIN_OPTIONS,
    SshTarget,
    make_cipher_wish,
    make_control_name,
    make_ssh_arguments,
    make_user_words,
    parse_resolved,
)
from hsm.remote.openssh.control_folder import can_hold_sockets, make_control_folder
from hsm.remote.shell import quote

if TYPE_CHECKING:
    from hsm.remote.openssh.host_keys import StoredKey

PERSIST_SECONDS = 600
LOGIN_TIMEOUT_SECONDS = 60
FOREGROUND_LOGIN_TIMEOUT_SECONDS = 300


class OpenSshLogin:
    """The login to one target. Nothing is started by the constructor.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts the processes.
    """

    def __init__(self, name: str, settings: SshTarget, runner: Runner) -> None:
        self._name = name
        self._settings = settings
        self._runner = runner
        self._resolved: dict[str, str] = {}

    def open(self, *, may_ask: bool = False) -> Path | None:
        """Find the shared login or open it.

        Args:
            may_ask: Let ssh ask in this terminal for a password, a second factor or an unknown host key.

        Returns:
            Its control socket; None where this machine has no place for one, so that every session is a login.

        Raises:
            UnreachableError: No login; its kind says why.
        """
        live = self.find()
        if live is not None:
            return live
        path = self._make_control_path()
        if path is None:
            return None
        if not can_hold_sockets(path.parent):
            return None
        self._start_master(path, may_ask=may_ask)
        return path

    def find(self) -> Path | None:
        """Find the control socket of a login that is open: the user's own or HSM's.

        Raises:
            UnreachableError: ssh does not accept its configuration, or is missing.
        """
        users_own = self.resolve().get("controlpath", "none")
        if users_own not in ("", "none") and self._is_live(Path(users_own)):
            return Path(users_own)
        path = self._make_control_path()
        return path if path is not None and self._is_live(path) else None

    def close(self) -> bool:
        """Close the shared login that HSM opened; the user's own master is left alone.

        Returns:
            Whether there was one.
        """
        path = self._make_control_path()
        if path is None or not path.exists():
            return False
        argv = ["ssh", *make_ssh_arguments(self._settings, path), "-O", "exit", "--", self._settings.host]
        was_open = self.run(argv, timeout_seconds=LOGIN_TIMEOUT_SECONDS).returncode == 0
        path.unlink(missing_ok=True)
        return was_open

    def explain(self, text: str) -> UnreachableError:
        """Turn what ssh complained into the error to raise."""
        from hsm.remote.openssh.diagnosis import diagnose_ssh  # noqa: PLC0415 - its patterns take time
        from hsm.remote.openssh.host_keys import explain_host_key  # noqa: PLC0415 - as above

        resolved = self._resolved
        error = diagnose_ssh(
            text,
            target=self._name,
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
        if not self._resolved:
            argv = ["ssh", *make_user_words(self._settings), "-G", "--", self._settings.host]
            completed = self.run(argv, timeout_seconds=LOGIN_TIMEOUT_SECONDS)
            if completed.returncode != 0:
                raise self.explain(completed.stderr_text)
            self._resolved = parse_resolved(completed.stdout.decode("utf-8", "replace"))
        return self._resolved

    def list_known_keys(self) -> list[StoredKey]:
        """Look the host's keys up in the files of known hosts, the user's first. Reads, and changes nothing."""
        from hsm.remote.openssh.host_keys import list_known_keys  # noqa: PLC0415 - few need it

        return list_known_keys(self._runner, self.resolve(), name=self._known_name)

    @property
    def _known_name(self) -> str:
        from hsm.remote.openssh.host_keys import make_known_name  # noqa: PLC0415 - few need it

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

    @property
    def command_line(self) -> str:
        """The command a person types to try this login."""
        return " ".join(quote(word) for word in ["ssh", *make_user_words(self._settings), self._settings.host])

    def _start_master(self, path: Path, *, may_ask: bool) -> None:
        from filelock import FileLock, Timeout  # noqa: PLC0415 - only a login needs it

        try:
            with FileLock(f"{path}.lock", timeout=FOREGROUND_LOGIN_TIMEOUT_SECONDS, mode=0o600):
                self._start_master_alone(path, may_ask=may_ask)
        except Timeout as error:
            raise UnreachableError(
                f"Another login to {self._name} has been under way for minutes.",
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
        argv = [
            "ssh",
            "-M",
            "-N",
            "-f",
            "-E",
            str(log),
            *make_ssh_arguments(self._settings, path, fixed, wishes=make_cipher_wish(self.resolve())),
        ]
        limit = FOREGROUND_LOGIN_TIMEOUT_SECONDS if may_ask else LOGIN_TIMEOUT_SECONDS
        try:
            completed = self.run([*argv, "--", self._settings.host], timeout_seconds=limit, foreground=may_ask)
            if completed.returncode != 0 or not os.path.lexists(path):  # ssh listens there before it ends well
                raise self._explain_login(_read_text(log), completed.stderr_text)
        finally:
            log.unlink(missing_ok=True)

    def _explain_login(self, log: str, complaint: str) -> UnreachableError:
        """Explain by the log; where it says nothing known, by the rest too, which may be the server's banner."""
        error = self.explain(log or complaint)
        return self.explain(f"{log}\n{complaint}") if isinstance(error, UnexplainedError) else error

    def _is_live(self, path: Path) -> bool:
        if not os.path.exists(path):  # noqa: PTH110 - false where the name is too long or the way to it barred
            return False
        argv = ["ssh", *make_ssh_arguments(self._settings, path), "-O", "check", "--", self._settings.host]
        return self.run(argv, timeout_seconds=LOGIN_TIMEOUT_SECONDS).returncode == 0

    def _make_control_path(self) -> Path | None:
        folder = make_control_folder()
        return None if folder is None else folder / make_control_name(self._settings, self.resolve())

    def run(
        self, argv: list[str], *, timeout_seconds: float, stdin: bytes = b"", foreground: bool = False
    ) -> Completed:
        """Run ssh.

        Raises:
            UnreachableError: There is no ssh, or it did not end in time.
        """
        try:
            return self._runner.run(argv, stdin=stdin, timeout_seconds=timeout_seconds, foreground=foreground)
        except ProgramMissingError as error:
            raise NoSshError(
                "There is no `ssh` on this machine.",
                hint="Install OpenSSH's client, for example `apt-get install openssh-client`.",
            ) from error
        except CommandTimeoutError as error:
            raise self.make_timeout_error(str(error)) from error

    def make_timeout_error(self, said: str) -> NoAnswerError:
        """The error for a target that does not answer."""
        return NoAnswerError(
            f"Target {self._name} ({self._settings.host}) does not answer: {said}.",
            hint=f"Try `{self.command_line}` by hand.",
            kind="connection_timeout",
        )


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
