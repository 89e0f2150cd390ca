"""One login by Fabric and paramiko: the way there, the host key, and what proves who we are.

Fabric accepts every host key by default; here each is held against the files of known hosts (`HostKeyPolicy`).
paramiko and Fabric are imported only when a login is made: together they take 0.2 s.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import logging
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsm.remote.paramiko.known_hosts import KnownHosts, load_known_hosts
from hsm.remote.paramiko.settings import LoginSettings

if TYPE_CHECKING:
    from fabric import Connection
    from paramiko import PKey, SSHClient, Transport

Prompt = Callable[[str, bool], str]
"""Asks the person at the terminal; takes the question, and whether the answer is shown while it is typed."""

WINDOW_BYTES = 16 * 1024 * 1024
"""How much the other end may send unread: with 2 MiB, the default, a link of 100 ms carries 20 MB/s."""

_AUTH_SECONDS = 60
_KEEPALIVE_SECONDS = 15
_DEAD_LINK_MS = 60_000
_MOST_ANSWERS = 3
_METHODS = ("publickey", "keyboard-interactive", "password")
_FAST_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr")


class HostKeyPolicy:
    """What paramiko asks about a host key, in place of Fabric's policy that accepts every one.

    Args:
        known: What is known of the host.
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
    """An open connection, with those that it goes through. Made by `open_login`.

    Attributes:
        connections: The last one leads to the target.
        notes: Why keys could not be used.
    """

    connections: list[Connection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def transport(self) -> Transport:
        """Of the connection to the target."""
        transport: Transport = self.connections[-1].transport
        return transport

    @property
    def is_active(self) -> bool:
        """Whether the connection stands, as far as this end knows."""
        return bool(self.connections) and self.connections[-1].transport.is_active()

    def close(self) -> None:
        """End it. What is still under way to the other end may be lost."""
        while self.connections:
            connection = self.connections.pop()
            with contextlib.suppress(Exception):
                connection.client.close()


def open_login(settings: LoginSettings, login: ParamikoLogin, *, ask: Prompt | None, command: str) -> None:
    """Log in to a target, through its jump hosts.

    Args:
        settings: Where and how.
        login: Filled; after an error it must be closed.
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
    options: dict[str, Any] = {
        "auth_strategy": Authentication(settings, ask, login.notes),
        "transport_factory": _TransportFactory(known.kinds),
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
        if not gateway:
            connection.client.close()
            options["sock"].close()
        raise
    connection.transport.set_keepalive(_KEEPALIVE_SECONDS)


def _open_socket(settings: LoginSettings) -> socket.socket:
    """Connect, and let a link that is dead for a minute end the connection where the system can (tcp(7))."""
    sock = socket.create_connection((settings.host, settings.port), timeout=settings.connect_seconds)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_LINK_MS)
    return sock


class _TransportFactory:
    """Makes paramiko's transports: types of host keys that are stored come first, wide windows, fast ciphers."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._kinds = kinds

    def __call__(self, sock: Any, **_options: Any) -> Transport:  # noqa: ANN401 - a socket or a channel
        from paramiko import Transport  # noqa: PLC0415

        transport = Transport(sock, default_window_size=WINDOW_BYTES)
        security = transport.get_security_options()
        stored = [name for kind in self._kinds for name in _list_algorithms(kind)]
        security.key_types = _put_first(stored, security.key_types)
        security.ciphers = _put_first(_FAST_CIPHERS, security.ciphers)
        return transport


def _list_algorithms(kind: str) -> tuple[str, ...]:
    """The algorithms that a stored type of key goes with (RFC 8332)."""
    return ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa") if kind == "ssh-rsa" else (kind,)


def _put_first(wanted: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    first = [name for name in wanted if name in known]
    return tuple(dict.fromkeys([*first, *known]))


class Authentication:
    """Proves who we are: keys of the agent, key files and their certificates, then what a person answers.

    Keeps the part of `paramiko.AuthStrategy` that a connection calls.

    Args:
        settings: Which keys, for whom.
        ask: As in `open_login`.
        notes: Takes why keys could not be used.
    """

    def __init__(self, settings: LoginSettings, ask: Prompt | None, notes: list[str]) -> None:
        self._settings = settings
        self._ask = ask
        self._notes = notes

    def authenticate(self, transport: Transport) -> None:
        """Log in.

        Raises:
            paramiko.AuthenticationException: The server accepts nothing of what we have.
        """
        from paramiko import AuthenticationException, BadAuthenticationType  # noqa: PLC0415

        allowed: list[str] = []
        try:
            transport.auth_none(self._settings.user)
        except BadAuthenticationType as error:
            allowed = error.allowed_types
        methods = [method for method in _METHODS if method == "publickey" or self._ask is not None]
        while not transport.is_authenticated():
            method = next((method for method in methods if method in allowed), None)
            if method is None:
                raise AuthenticationException(f"it takes {', '.join(allowed) or 'nothing'}")
            further = self._try_method(method, transport)
            if further is None:
                methods.remove(method)
            else:
                allowed = further

    def _try_method(self, method: str, transport: Transport) -> list[str] | None:
        """Try one method; the methods that are still wanted after a success, None after a failure."""
        from paramiko import AuthenticationException, BadAuthenticationType  # noqa: PLC0415

        user = self._settings.user
        with contextlib.ExitStack() as stack:
            for proof in self._iter_proofs(method, stack):
                try:
                    if method == "publickey":
                        return list(transport.auth_publickey(user, proof))
                    if method == "password":
                        return list(transport.auth_password(user, proof, fallback=False))
                    return list(transport.auth_interactive(user, proof))
                except BadAuthenticationType:
                    return None
                except AuthenticationException:
                    if not transport.is_active():
                        raise
        return None

    def _iter_proofs(self, method: str, stack: contextlib.ExitStack) -> Iterator[Any]:
        if method == "publickey":
            yield from self._iter_keys(stack)
        for _ in range(_MOST_ANSWERS):
            if method == "password":
                yield self._question(f"{self._settings.user}@{self._settings.host}'s password: ", is_shown=False)
            elif method == "keyboard-interactive":
                yield self._answer

    def _question(self, text: str, *, is_shown: bool) -> str:
        if self._ask is None:
            raise AssertionError("nobody may be asked")
        return self._ask(text, is_shown)

    def _answer(self, title: str, instructions: str, fields: list[tuple[str, bool]]) -> list[str]:
        """Answer a server's questions; its texts go before the first one."""
        head = "".join(f"{text.strip()}\n" for text in (title, instructions) if text.strip())
        answers = []
        for text, is_shown in fields:
            answers.append(self._question(head + text, is_shown=bool(is_shown)))
            head = ""
        return answers

    def _iter_keys(self, stack: contextlib.ExitStack) -> Iterator[PKey]:
        own = {blob for path in self._settings.identity_files if (blob := _read_public_blob(path))}
        if self._settings.uses_agent:
            from paramiko import Agent  # noqa: PLC0415

            agent = Agent()
            stack.callback(agent.close)
            keys = sorted(agent.get_keys(), key=lambda key: key.asbytes() not in own)
            yield from (key for key in keys if not self._settings.only_identities or key.asbytes() in own)
        locked: list[str] = []
        for path in self._settings.identity_files:
            yield from self._iter_file_keys(path, None, locked)
        for path in locked:
            yield from self._iter_locked_keys(path)

    def _iter_locked_keys(self, path: str) -> Iterator[PKey]:
        if self._ask is None:
            self._notes.append(f"{path} needs a passphrase, and nobody may be asked")
            return
        for _ in range(_MOST_ANSWERS):
            passphrase = self._question(f"Enter passphrase for key '{path}': ", is_shown=False)
            if not passphrase:
                return
            refused: list[str] = []
            yield from self._iter_file_keys(path, passphrase, refused)
            if not refused:
                return

    def _iter_file_keys(self, path: str, passphrase: str | None, locked: list[str]) -> Iterator[PKey]:
        """A key with its certificates, then alone; names it in `locked` where the passphrase is missing or wrong."""
        if not Path(path).is_file():
            return
        if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
            self._notes.append(f"{path} is open to others (`chmod 600` it)")
            return
        certificates = [f"{path}-cert.pub", *self._settings.certificate_files]
        for certificate in (*filter(_is_file, certificates), ""):
            key = self._load_key(path, passphrase, certificate, locked)
            if key is None:
                return
            yield key

    def _load_key(self, path: str, passphrase: str | None, certificate: str, locked: list[str]) -> PKey | None:
        from paramiko import PasswordRequiredException, PKey, SSHException  # noqa: PLC0415

        try:
            secret = None if passphrase is None else passphrase.encode()
            key: PKey = PKey.from_path(path, secret)  # type: ignore[arg-type]  # it wants bytes
            key.public_blob = None
            if certificate:
                with contextlib.suppress(ValueError, SSHException):  # of another type of key
                    key.load_certificate(certificate)
        except (TypeError, PasswordRequiredException):
            locked.append(path)
        except Exception as error:  # cryptography has its own for each flaw of a key
            if passphrase is not None:
                locked.append(path)
            self._notes.append(f"{path} cannot be used: {error}")
        else:
            return key
        return None


def _is_file(path: str) -> bool:
    return Path(path).is_file()


def _read_public_blob(path: str) -> bytes:
    """The public key that belongs to an identity file; empty where none can be read."""
    for name in (f"{path}.pub", path):
        with contextlib.suppress(OSError, ValueError, IndexError, binascii.Error):
            words = Path(name).read_text("ascii").split()
            if words[0].startswith(("ssh-", "ecdsa-", "sk-")):
                return base64.b64decode(words[1], validate=True)
    return b""
