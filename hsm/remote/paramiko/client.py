"""Fabric and paramiko as SSH client: for machines without ssh, for targets that speak SFTP only, and on request.

One login, kept open by this process alone and shared by everything that it does at the target.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from hsm.config.settings import TargetSettings
from hsm.errors import NoShellError, TargetError
from hsm.process.answer import AnswerTooLongError
from hsm.process.runner import CommandTimeoutError, Completed, Runner
from hsm.process.terminal import ask_in_terminal
from hsm.remote.noise import make_no_shell_error
from hsm.remote.openssh.command_line import hide_secret_bytes
from hsm.remote.paramiko.authentication import Prompt
from hsm.remote.paramiko.connection import ParamikoConnection, is_gone
from hsm.remote.paramiko.conversation import converse
from hsm.remote.paramiko.login import ParamikoLogin
from hsm.remote.retry import PAUSES_SECONDS, OnWait, Retry
from hsm.remote.sessions import SESSION_TIMEOUT_SECONDS
from hsm.remote.sftp.packets import SessionEndedError, close_quietly
from hsm.remote.sftp.replies import WireError
from hsm.remote.sftp.session import SftpSession
from hsm.remote.shell import frame, make_begin, make_mark, make_remote_command, parse_framed

if TYPE_CHECKING:
    from paramiko import Channel

_Answer = TypeVar("_Answer")


class ParamikoClient:
    """A target reached without the system's ssh. Thread-safe; a context manager that ends the login.

    Implements `hsm.remote.shell.RemoteShell` and `hsm.remote.sftp.session.SftpSessions`. Nothing is started by the
    constructor. Every method that needs the network raises `hsm.errors.UnreachableError` when the target cannot be
    reached, after it has waited for a dropped connection to come back; a refused login is never tried again.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts `ssh -G`; ends what is under way when it is interrupted.
        ask: Asks for passphrases, passwords and second factors whenever a login is made; None where nobody may be
            asked.
        pauses_seconds: Before each further try after a dropped connection, but for jitter.
        on_wait: Told the seconds of each such pause, and the error before it.
    """

    def __init__(
        self,
        name: str,
        settings: TargetSettings,
        runner: Runner,
        *,
        ask: Prompt | None = None,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        on_wait: OnWait | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._runner = runner
        self._connection = ParamikoConnection(name, settings, runner, ask)
        self._retry = Retry(runner.sleep, pauses_seconds, on_wait)
        self._can_run: bool | None = None
        self._no_shell: NoShellError | None = None
        self._noise = b""

    def __enter__(self) -> ParamikoClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.logout()

    @property
    def noise(self) -> bytes:
        """The text that start-up files there printed in the last session, before its program."""
        return self._noise

    @property
    def command_line(self) -> str:
        """The command a person types to try this login."""
        return self._connection.command_line

    @property
    def host(self) -> str:
        """The host's name or address, by ssh's own settings once the login has read them."""
        return self._connection.host

    @property
    def can_run(self) -> bool:
        """True where programs may be run; else there is SFTP alone (`ForceCommand internal-sftp`). Asks once."""
        if self._can_run is None:
            try:
                self.run(":")
            except NoShellError as error:
                self._can_run, self._no_shell = False, error
            except TargetError:
                self._can_run = False
            else:
                self._can_run = True
        return self._can_run

    def login(self, *, may_ask: bool = False) -> None:
        """Make sure that the login is open; one that is open already is used.

        Args:
            may_ask: Passphrases, passwords and second factors may be asked for in this terminal, now and whenever
                the connection has to be made anew.

        Raises:
            UnreachableError: No login; its class says why.
        """
        if may_ask:
            self._connection.ask = ask_in_terminal
        self._retry.call(self._login_once, forget=self.forget_login)

    def forget_login(self) -> None:
        """End the connection if it does not stand any more; the next session makes a new one."""
        self._connection.forget()

    def logout(self) -> bool:
        """End the login and everything that goes over it.

        Returns:
            Whether there was one.
        """
        return self._connection.close()

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program there; as `hsm.remote.openssh.client.OpenSsh.run`."""
        return self._retry.call(lambda: self._run_once(program, stdin), forget=self.forget_login)

    def use_sftp(self, call: Callable[[SftpSession, Callable[[], None]], _Answer]) -> _Answer:
        """See `hsm.remote.sftp.session.SftpSessions.use_sftp`."""

        def once() -> _Answer:
            check = self._runner.make_check(None)
            with self.open_sftp() as session:
                return call(session, check)

        return self._retry.call(once, forget=self.forget_login)

    @contextlib.contextmanager
    def open_sftp(self) -> Iterator[SftpSession]:
        """See `hsm.remote.sftp.session.SftpSessions.open_sftp`; sessions that did well are used again."""
        session = self._take_session()
        try:
            yield session
        except SessionEndedError as error:
            session.close()
            self._connection.wait_gone()
            raise self._connection.explain(EOFError(str(error))) from error
        except WireError as error:
            session.close()
            raise TargetError(
                f"The SFTP server of {self.name} answers what cannot be understood: {error}.",
                hint="Run the command with -v and report what it prints.",
                kind="sftp_failed",
            ) from error
        finally:
            if not session.is_broken:
                self._connection.add_idle(session)

    def _login_once(self) -> ParamikoLogin:
        login = self._connection.open()
        self._retry.has_connected = True
        return login

    def _take_session(self) -> SftpSession:
        login = self._login_once()
        idle = self._connection.take_idle()
        if idle is not None:
            return idle
        channel = self._connection.open_channel(login)
        try:
            channel.invoke_subsystem("sftp")
            return SftpSession(channel)
        except Exception as error:
            close_quietly(channel)
            if is_gone(login):
                self.forget_login()
                raise self._connection.explain(EOFError(str(error))) from error
            if self._no_shell is not None:  # what the shell said is the reason for both
                message = f"{self._no_shell.message.rstrip('.')}, and there is no SFTP: {error}."
                raise self._no_shell.reword(message, hint=self._no_shell.hint) from error
            raise TargetError(
                f"Target {self.name} offers no SFTP: {error}.",
                hint="Ask whoever runs the machine for sshd's `Subsystem sftp`, or use the system's ssh and rsync.",
                kind="sftp_missing",
            ) from error

    def _run_once(self, program: str, stdin: bytes) -> Completed:
        mark = make_mark()
        check = self._runner.make_check(SESSION_TIMEOUT_SECONDS)
        login = self._login_once()
        channel = self._connection.open_channel(login)
        try:
            self._start_program(login, channel, make_remote_command(frame(program, mark)))
            completed = converse(channel, stdin, check, begin=make_begin(mark))
        except AnswerTooLongError as error:
            raise error.name_target(self.name, self.command_line) from error
        except CommandTimeoutError as error:
            raise self._connection.explain(TimeoutError("no answer in time")) from error
        except Exception as error:
            if isinstance(error, OSError | EOFError) or not login.is_active:
                self.forget_login()
                raise self._connection.explain(error) from error
            raise
        finally:
            close_quietly(channel)
        content, noise = parse_framed(completed.stdout, mark)
        if content is None:
            if completed.returncode < 0 and is_gone(login):
                self.forget_login()
                raise self._connection.explain(EOFError("the connection was closed"))
            raise self._make_no_shell(noise, completed.stderr)
        self._noise = noise
        return Completed(completed.returncode, content, completed.stderr)

    def _start_program(self, login: ParamikoLogin, channel: Channel, command: str) -> None:
        from paramiko import SSHException  # noqa: PLC0415

        try:
            channel.exec_command(command)
        except SSHException as error:
            if is_gone(login):
                raise EOFError(str(error)) from error
            raise self._make_no_shell(said="the server refuses to start any") from error

    def _make_no_shell(self, noise: bytes = b"", complaint: bytes = b"", said: str = "") -> NoShellError:
        noise, complaint = (hide_secret_bytes(part, self._settings) for part in (noise, complaint))
        return make_no_shell_error(
            self.name, command_line=self.command_line, noise=noise, complaint=complaint, said=said
        )
