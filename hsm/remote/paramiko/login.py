"""One login by Fabric and paramiko: the connections that lead to the target, and the check of its host key.

Fabric accepts every host key by default; here each is looked up in the files of known hosts (`HostKeyPolicy`).
paramiko and Fabric are imported only when a login is made: together they take 0.2 s.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hsm.remote.paramiko.authentication import Authentication, Prompt
from hsm.remote.paramiko.diagnosis import LoginTraces
from hsm.remote.paramiko.known_hosts import KnownHosts, load_known_hosts
from hsm.remote.paramiko.settings import LoginSettings

if TYPE_CHECKING:
    from fabric import Connection
    from paramiko import PKey, SSHClient, Transport

RECEIVE_WINDOW_BYTES = 16 * 1024 * 1024
"""The most that the other end may send unread: with 2 MiB, the default, a link of 100 ms carries 20 MB/s."""

_AUTH_SECONDS = 60
_KEEPALIVE_SECONDS = 15
_DEAD_LINK_MS = 60_000
_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")


class HostKeyPolicy:
    """The policy that paramiko asks about a host key, in place of Fabric's, which accepts every one.

    Args:
        known: The keys that are stored for the host.
        command: The ssh command that asks a person about a key; empty where there is no ssh.
    """

    def __init__(self, known: KnownHosts, *, command: str) -> None:
        self._known = known
        self._command = command

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:  # noqa: ARG002 - paramiko's form
        """Accept the key, or raise what `hsm.remote.paramiko.known_hosts.KnownHosts.check` raises."""
        self._known.check(key.get_name(), key.asbytes(), command=self._command)


@dataclass
class ParamikoLogin:
    """An open connection, with the jump hosts' that it goes through. Filled by `open_login`.

    Attributes:
        connections: The last one leads to the target.
        traces: What explains its failure.
    """

    connections: list[Connection] = field(default_factory=list)
    traces: LoginTraces = field(default_factory=LoginTraces)

    @property
    def transport(self) -> Transport:
        """The transport of the connection to the target."""
        transport: Transport = self.connections[-1].transport
        return transport

    @property
    def is_active(self) -> bool:
        """True while the connection stands, as far as this end knows."""
        return bool(self.connections) and self.connections[-1].transport.is_active()

    def close(self) -> None:
        """End it. Bytes that are still under way to the other end may be lost."""
        while self.connections:
            connection = self.connections.pop()
            with contextlib.suppress(Exception):
                connection.client.close()


def open_login(settings: LoginSettings, login: ParamikoLogin, *, ask: Prompt | None, command: str) -> None:
    """Log in to a target, through its jump hosts.

    Args:
        settings: Of the login.
        login: Is filled; after an error it must be closed.
        ask: Asks for passphrases, passwords and second factors; None where nobody may be asked.
        command: The ssh command that asks a person about the target's host key; empty where there is no ssh.

    Raises:
        hsm.errors.UnreachableError: A host key is not accepted.
        OSError: No connection.
        paramiko.SSHException: No login.
    """
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    for hop in settings.jumps:
        there = f"{hop.user}@{hop.host}"
        hop_command = f"ssh -p {hop.port} {there}" if command else ""
        _connect(hop, login, ask=ask, command=hop_command)
    _connect(settings, login, ask=ask, command=command)


def _connect(settings: LoginSettings, login: ParamikoLogin, *, ask: Prompt | None, command: str) -> None:
    from fabric import Config, Connection  # noqa: PLC0415
    from paramiko import SSHConfig  # noqa: PLC0415

    known = load_known_hosts(settings.known_names, settings.known_files)
    gateway = login.connections[-1] if login.connections else False
    factory = _TransportFactory(known.kinds)
    options: dict[str, Any] = {
        "auth_strategy": Authentication(settings, ask, login.traces),
        "transport_factory": factory,
        "banner_timeout": settings.connect_seconds,
        "auth_timeout": _AUTH_SECONDS,
        "channel_timeout": _AUTH_SECONDS,
    }
    connection = Connection(
        settings.host,
        user=settings.user,
        port=settings.port,
        gateway=gateway,
        forward_agent=False,
        config=Config(ssh_config=SSHConfig(), lazy=True),
        connect_kwargs=options,
    )
    connection.client.set_missing_host_key_policy(HostKeyPolicy(known, command=command))
    if not gateway:
        options["sock"] = _open_socket(settings)
    login.connections.append(connection)
    try:
        connection.open()
    except BaseException:
        factory.leave_traces(login.traces)
        if not gateway:  # the socket is ours to close
            connection.client.close()
            options["sock"].close()
        raise
    connection.transport.set_keepalive(_KEEPALIVE_SECONDS)


def _open_socket(settings: LoginSettings) -> socket.socket:
    """Connect, and let a link that is dead for a minute end the connection where the system can (tcp(7))."""
    sock = socket.create_connection((settings.host, settings.port), timeout=settings.connect_seconds)
    # Else each small message may wait 40 ms for the other side to acknowledge the one before (Nagle).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_LINK_MS)
    return sock


class _TransportFactory:
    """Maker of paramiko's transports, with wide windows and fast ciphers, that hears what the server says."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = kinds
        self._transport: Transport | None = None
        self._farewell = ""

    def __call__(self, sock: Any, **_options: Any) -> Transport:  # noqa: ANN401 - a socket or a channel
        from paramiko import Transport  # noqa: PLC0415

        factory = self

        class HearingTransport(Transport):
            """A transport that keeps the server's farewell, which paramiko only logs."""

            def _parse_disconnect(self, message: Any) -> None:  # noqa: ANN401 - paramiko's own
                message.get_int()
                factory._farewell = message.get_text()

        self._transport = transport = HearingTransport(sock, default_window_size=RECEIVE_WINDOW_BYTES)
        security = transport.get_security_options()
        stored = [name for kind in self._kinds for name in _list_algorithms(kind)]
        # Stored types first: paramiko would otherwise agree on one that nothing is known of.
        security.key_types = _put_first(stored, security.key_types)
        security.ciphers = _put_first(_FAST_CIPHERS, security.ciphers)
        return transport

    def leave_traces(self, traces: LoginTraces) -> None:
        """Note what the server said of a login that has failed, and whether it was the one that ended it."""
        transport = self._transport
        if transport is None:
            return
        # Not `get_banner`, which has none of a connection that was ended, as by a server that lets nobody in.
        banner: bytes = getattr(transport.auth_handler, "banner", None) or b""
        traces.words += [text for text in (banner.decode("utf-8", "replace").strip(), self._farewell.strip()) if text]
        traces.is_cut = not transport.is_active()


def _list_algorithms(kind: str) -> tuple[str, ...]:
    """List the algorithms that a stored type of key goes with (RFC 8332)."""
    return ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa") if kind == "ssh-rsa" else (kind,)


def _put_first(wanted: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    first = [name for name in wanted if name in known]
    return tuple(dict.fromkeys([*first, *known]))
