"""The one connection of a client to its target: opened, kept while it stands, and explained when it breaks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hsm.config.settings import TargetSettings
from hsm.errors import UnreachableError
from hsm.process.pump import LOOK_SECONDS
from hsm.process.runner import Runner
from hsm.remote.openssh.command_line import hide_secrets, make_shown_command
from hsm.remote.paramiko.authentication import Prompt
from hsm.remote.paramiko.diagnosis import LoginTraces, explain_exception
from hsm.remote.paramiko.login import ParamikoLogin, open_login
from hsm.remote.paramiko.settings import LoginSettings, load_login_settings
from hsm.remote.sftp.session import SftpSession

if TYPE_CHECKING:
    from paramiko import Channel

_GONE_SECONDS = 1.0

_ROOM_TRIES = 20
# Tries, and pauses between them: a server counts a session for a moment after it was closed.
_ROOM_SECONDS = 0.05


class ParamikoConnection:
    """A login to one target, and the idle SFTP sessions over it. Thread-safe. Nothing is started by the constructor.

    Args:
        name: The target's name.
        settings: Its configuration.
        runner: Starts `ssh -G`; waits.
        ask: Asks the person at the terminal, whenever a login is made; None where nobody may be asked.

    Attributes:
        ask: As above; may be set later.
    """

    def __init__(self, name: str, settings: TargetSettings, runner: Runner, ask: Prompt | None) -> None:
        self.name = name
        self._settings = settings
        self._runner = runner
        self.ask = ask
        self._resolved: LoginSettings | None = None
        self._login: ParamikoLogin | None = None
        self._idle: list[SftpSession] = []
        self._lock = threading.RLock()

    @property
    def host(self) -> str:
        """The host's name or address, by ssh's own settings once they are read."""
        return self._resolved.host if self._resolved is not None else self._settings.host

    @property
    def command_line(self) -> str:
        """The command a person types to try this login."""
        return make_shown_command(self._settings)

    def open(self) -> ParamikoLogin:
        """Return the login that stands, or make one.

        Raises:
            UnreachableError: No login; its class says why.
        """
        with self._lock:
            if self._login is not None and self._login.is_active:
                return self._login
            self.close()  # sessions over a login that broke are of no use
            if self._resolved is None:
                self._resolved = load_login_settings(self.name, self._settings, self._runner)
            login = ParamikoLogin()
            # Where there is no ssh here, no message can name an ssh command.
            command = self.command_line if self._resolved.has_ssh else ""
            try:
                open_login(self._resolved, login, ask=self.ask, command=command)
            except UnreachableError:
                login.close()
                raise
            except Exception as error:
                failure = self.explain(error, traces=login.traces, n_hops=len(login.connections))
                login.close()
                raise failure from error
            except BaseException:
                login.close()
                raise
            self._login = login
            return login

    def forget(self) -> None:
        """End the connection if it does not stand any more; the next session makes a new one."""
        with self._lock:
            if self._login is not None and not self._login.is_active:
                self.close()

    def close(self) -> bool:
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

    def wait_gone(self) -> None:
        """Give a connection that broke the moment that its end takes to be seen, and forget it then."""
        if self._login is not None:
            is_gone(self._login)
        self.forget()

    def take_idle(self) -> SftpSession | None:
        """Take an SFTP session over this login that nobody uses, if there is one."""
        with self._lock:
            return self._idle.pop() if self._idle else None

    def add_idle(self, session: SftpSession) -> None:
        """Keep a session that did well for the next use."""
        with self._lock:
            self._idle.append(session)

    def open_channel(self, login: ParamikoLogin) -> Channel:
        """Open a channel; where the server allows no further one, an idle session is closed to make room.

        Raises:
            UnreachableError: The server refuses it, or the connection broke.
        """
        from paramiko import ChannelException  # noqa: PLC0415

        n_tries = 0
        while True:
            try:
                channel = login.transport.open_session(window_size=None)
            except ChannelException as error:
                idle = self.take_idle()
                if idle is not None:
                    idle.close()
                    n_tries = _ROOM_TRIES
                elif n_tries == 0:
                    raise self.explain(error) from error
                else:
                    n_tries -= 1
                    self._runner.sleep(_ROOM_SECONDS)
            except Exception as error:
                self.forget()
                raise self.explain(error) from error
            else:
                channel.settimeout(LOOK_SECONDS)
                return channel

    def explain(self, error: Exception, *, traces: LoginTraces | None = None, n_hops: int = 0) -> UnreachableError:
        """Make the error to raise of an exception of paramiko or a socket.

        Args:
            error: As it came.
            traces: Of a login; None after it.
            n_hops: Connections that the login had made.
        """
        if traces is not None:
            traces.words[:] = [hide_secrets(words, self._settings) for words in traces.words]
        resolved = self._resolved
        hops = (*resolved.jumps, resolved) if resolved else ()
        hop = hops[max(0, n_hops - 1)] if traces is not None and hops else resolved
        return explain_exception(
            error,
            target=self.name,
            host=hop.host if hop else self._settings.host,
            port=hop.port if hop else self._settings.port or 22,
            command=self.command_line,
            traces=traces,
        )


def is_gone(login: ParamikoLogin) -> bool:
    """Tell whether a connection broke: its channels end first, and a moment later the thread that serves it."""
    if login.is_active:
        login.transport.join(_GONE_SECONDS)
    return not login.is_active
