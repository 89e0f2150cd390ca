"""Fabric and paramiko as SSH client: for machines without ssh, targets that speak SFTP only, and whoever asks for it.

One login, kept open by this process alone and shared by everything that it does at the target.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from hsm.config.schema import TargetSettings
from hsm.errors import NoShellError, TargetError, UnreachableError
from hsm.process.runner import CommandTimeoutError, Completed, Runner
from hsm.remote.openssh.command_line import make_user_words
from hsm.remote.openssh.diagnosis import show_bytes
from hsm.remote.paramiko.diagnosis import explain_exception
from hsm.remote.paramiko.login import ParamikoLogin, Prompt, open_login
from hsm.remote.paramiko.settings import LoginSettings, load_login_settings
from hsm.remote.paramiko.terminal import ask_in_terminal
from hsm.remote.retry import PAUSES_SECONDS, retry
from hsm.remote.sftp.session import SessionEndedError, SftpSession, close_quietly
from hsm.remote.sftp.wire import WireError
from hsm.remote.shell import frame, make_mark, make_remote_command, parse_framed, quote

if TYPE_CHECKING:
    from paramiko import Channel

SESSION_TIMEOUT_SECONDS = 600
_LOOK_SECONDS = 0.2
_GONE_SECONDS = 1.0
_ROOM_TRIES = 20
_ROOM_SECONDS = 0.05
_NOISE_BYTES = 200
_CHUNK_BYTES = 256 * 1024

_Answer = TypeVar("_Answer")


class ParamikoClient:
    """A target reached without the system's ssh. Thread-safe; a context manager that ends the login.

    Keeps `hsm.remote.shell.RemoteShell`. Nothing is started by the constructor. Every method that needs the network
    raises `hsm.errors.UnreachableError` when the target cannot be reached, after it has waited for a dropped
    connection to come back; a refused login is never tried again.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts `ssh -G`; ends what is under way when it is interrupted.
        may_ask: Passphrases, passwords and second factors may be asked for in this terminal, whenever a login is made.
        pauses_seconds: How long to wait before each further try after a dropped connection, but for jitter.
        on_wait: Told the seconds of each such pause, and what went wrong.
    """

    def __init__(
        self,
        name: str,
        settings: TargetSettings,
        runner: Runner,
        *,
        may_ask: bool = False,
        pauses_seconds: Sequence[float] = PAUSES_SECONDS,
        on_wait: Callable[[float, UnreachableError], None] | None = None,
    ) -> None:
        self.name = name
        self._settings = settings
        self._runner = runner
        self._ask: Prompt | None = ask_in_terminal if may_ask else None
        self._pauses_seconds = pauses_seconds
        self._on_wait = on_wait
        self._resolved: LoginSettings | None = None
        self._login: ParamikoLogin | None = None
        self._idle: list[SftpSession] = []
        self._has_connected = False
        self._can_run: bool | None = None
        self._noise = b""
        self._lock = threading.RLock()

    def __enter__(self) -> ParamikoClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.logout()

    @property
    def noise(self) -> bytes:
        """What start-up files there printed in the last session, before its program."""
        return self._noise

    @property
    def command_line(self) -> str:
        """The command a person types to try this login."""
        return " ".join(quote(word) for word in ["ssh", *make_user_words(self._settings), self._settings.host])

    @property
    def can_run(self) -> bool:
        """Whether programs may be run there; where not (`ForceCommand internal-sftp`), SFTP alone is left.

        Asks once.
        """
        if self._can_run is None:
            try:
                self.run(":")
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
            UnreachableError: No login; its kind says why.
        """
        if may_ask:
            self._ask = ask_in_terminal
        self._retry(self._login_once)

    def forget_login(self) -> None:
        """End the connection if it does not stand any more; the next session makes a new one."""
        with self._lock:
            if self._login is not None and not self._login.is_active:
                self.logout()

    def logout(self) -> bool:
        """End the login and everything that goes over it.

        Returns:
            Whether there was one.
        """
        with self._lock:
            login, self._login = self._login, None
            self._idle.clear()
            if login is not None:
                login.close()
            return login is not None

    def run(self, program: str, *, stdin: bytes = b"") -> Completed:
        """Run a /bin/sh program there; as `hsm.remote.openssh.client.OpenSsh.run`."""
        return self._retry(lambda: self._run_once(program, stdin))

    def use_sftp(self, call: Callable[[SftpSession, Callable[[], None]], _Answer]) -> _Answer:
        """Do something over an SFTP session, again after a dropped connection: it must not matter if it is done twice.

        Args:
            call: Takes the session and what `SftpSession.run` wants as `check`.

        Raises:
            UnreachableError: The target cannot be reached.
            TargetError: There is no SFTP.
            hsm.process.runner.CommandStoppedError: The user interrupted.
        """

        def once() -> _Answer:
            check = self._runner.make_check(None)
            with self.open_sftp() as session:
                return call(session, check)

        return self._retry(once)

    @contextlib.contextmanager
    def open_sftp(self) -> Iterator[SftpSession]:
        """An SFTP session, of this thread alone while inside; sessions that did well are used again.

        Logs in if need be, once.

        Raises:
            UnreachableError: The target cannot be reached, refuses a session, or the connection broke inside.
            TargetError: There is no SFTP, or none that can be understood.
        """
        session = self._take_session()
        try:
            yield session
        except SessionEndedError as error:
            session.close()
            if self._login is not None:
                _is_gone(self._login)
            self.forget_login()
            raise self._explain(EOFError(str(error))) from error
        except WireError as error:
            session.close()
            raise TargetError(
                f"The SFTP server of {self.name} answers what cannot be understood: {error}.",
                hint="Run the command with -v and report what it prints.",
                kind="sftp_failed",
            ) from error
        finally:
            if not session.is_broken:
                with self._lock:
                    self._idle.append(session)

    def _take_session(self) -> SftpSession:
        with self._lock:
            login = self._login_once()
            if self._idle:
                return self._idle.pop()
        channel = self._open_channel(login)
        try:
            channel.invoke_subsystem("sftp")
            return SftpSession(channel)
        except Exception as error:
            close_quietly(channel)
            if _is_gone(login):
                self.forget_login()
                raise self._explain(EOFError(str(error))) from error
            raise TargetError(
                f"Target {self.name} offers no SFTP: {error}.",
                hint="Ask whoever runs the machine for sshd's `Subsystem sftp`, or use the system's ssh and rsync.",
                kind="sftp_missing",
            ) from error

    def _open_channel(self, login: ParamikoLogin) -> Channel:
        """Open a session; where the server allows no further one, one that rests makes room once it has ended."""
        from paramiko import ChannelException  # noqa: PLC0415

        n_tries = 0
        while True:
            try:
                channel = login.transport.open_session(window_size=None)
            except ChannelException as error:
                with self._lock:
                    idle = self._idle.pop() if self._idle else None
                if idle is not None:
                    idle.close()
                    n_tries = _ROOM_TRIES
                elif n_tries == 0:
                    raise self._explain(error) from error
                else:
                    n_tries -= 1
                    self._runner.sleep(_ROOM_SECONDS)
            except Exception as error:
                self.forget_login()
                raise self._explain(error) from error
            else:
                channel.settimeout(_LOOK_SECONDS)
                return channel

    def _login_once(self) -> ParamikoLogin:
        with self._lock:
            if self._login is not None and self._login.is_active:
                return self._login
            self.logout()
            if self._resolved is None:
                self._resolved = load_login_settings(self.name, self._settings, self._runner)
            login = ParamikoLogin()
            try:
                open_login(self._resolved, login, ask=self._ask, command=self._asking_command)
            except UnreachableError:
                login.close()
                raise
            except Exception as error:
                failure = self._explain(error, notes=login.notes, n_hops=len(login.connections))
                login.close()
                raise failure from error
            except BaseException:
                login.close()
                raise
            self._login = login
            self._has_connected = True
            return login

    @property
    def _asking_command(self) -> str:
        return self.command_line if self._resolved is None or self._resolved.has_ssh else ""

    def _explain(self, error: Exception, *, notes: Sequence[str] = (), n_hops: int | None = None) -> UnreachableError:
        resolved = self._resolved
        hops = (*resolved.jumps, resolved) if resolved else ()
        hop = hops[max(0, n_hops - 1)] if n_hops is not None and hops else resolved
        return explain_exception(
            error,
            target=self.name,
            host=hop.host if hop else self._settings.host,
            port=hop.port if hop else self._settings.port or 22,
            command=self.command_line,
            notes=notes,
            is_logging_in=n_hops is not None,
        )

    def _retry(self, call: Callable[[], _Answer]) -> _Answer:
        return retry(
            call,
            pauses_seconds=self._pauses_seconds,
            has_connected=lambda: self._has_connected,
            forget=self.forget_login,
            sleep=self._runner.sleep,
            on_wait=self._on_wait,
        )

    def _run_once(self, program: str, stdin: bytes) -> Completed:
        mark = make_mark()
        check = self._runner.make_check(SESSION_TIMEOUT_SECONDS)
        login = self._login_once()
        channel = self._open_channel(login)
        try:
            self._start_program(login, channel, make_remote_command(frame(program, mark)))
            completed = _converse(channel, stdin, check)
        except CommandTimeoutError as error:
            raise self._explain(TimeoutError("no answer in time")) from error
        except Exception as error:
            if isinstance(error, OSError | EOFError) or not login.is_active:
                self.forget_login()
                raise self._explain(error) from error
            raise
        finally:
            close_quietly(channel)
        content, noise = parse_framed(completed.stdout, mark)
        if content is None:
            if completed.returncode < 0 and _is_gone(login):
                self.forget_login()
                raise self._explain(EOFError("the connection was closed"))
            raise self._make_no_shell(noise, completed.stderr)
        self._noise = noise
        return Completed(completed.returncode, content, completed.stderr)

    def _start_program(self, login: ParamikoLogin, channel: Channel, command: str) -> None:
        from paramiko import SSHException  # noqa: PLC0415

        try:
            channel.exec_command(command)
        except SSHException as error:
            if _is_gone(login):
                raise EOFError(str(error)) from error
            raise self._make_no_shell(b"", b"", "the server refuses to start any") from error

    def _make_no_shell(self, noise: bytes, complaint: bytes, said: str = "it ended without a word") -> NoShellError:
        answer = noise.strip() or complaint.strip()
        if answer:
            said = f"it answered {show_bytes(answer, limit=_NOISE_BYTES)}"
        return NoShellError(
            f"The shell of target {self.name} does not run commands: {said}.",
            hint=f"Try `{self.command_line} true`. A start-up file there may end the shell, or the account may "
            "allow SFTP only or no login at all.",
            detail=(noise + complaint).decode("utf-8", "replace")[-1000:].strip(),
        )


def _is_gone(login: ParamikoLogin) -> bool:
    """Whether a connection broke: what it carried ends first, and a moment later the thread that serves it."""
    if login.is_active:
        login.transport.join(_GONE_SECONDS)
    return not login.is_active


def _converse(channel: Channel, stdin: bytes, check: Callable[[], None]) -> Completed:
    """Feed a program and take what it prints, until it has ended. Two threads read and write beside this one."""
    complaint = bytearray()
    helpers = [
        threading.Thread(target=_feed, args=(channel, stdin), daemon=True),
        threading.Thread(target=_drain, args=(channel.recv_stderr, complaint, lambda: None), daemon=True),
    ]
    for helper in helpers:
        helper.start()
    stdout = bytearray()
    _drain(channel.recv, stdout, check)
    while not channel.exit_status_ready() and not channel.closed:
        check()
        channel.status_event.wait(_LOOK_SECONDS)
    helpers[1].join(_LOOK_SECONDS * 10)
    return Completed(channel.exit_status, bytes(stdout), bytes(complaint))


def _feed(channel: Channel, content: bytes) -> None:
    """Write all that a program reads; one that does not want the rest is no error."""
    view = memoryview(content)
    with contextlib.suppress(OSError):
        while view:
            with contextlib.suppress(socket.timeout):
                view = view[channel.send(view[:_CHUNK_BYTES].tobytes()) :]
        channel.shutdown_write()


def _drain(receive: Callable[[int], bytes], into: bytearray, check: Callable[[], None]) -> None:
    """Take bytes until the end; it comes also when the channel is closed."""
    while True:
        try:
            chunk = receive(_CHUNK_BYTES)
        except TimeoutError:
            check()
            continue
        if not chunk:
            return
        into += chunk
