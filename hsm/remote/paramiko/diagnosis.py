"""Diagnosis of exceptions of paramiko and of sockets: the same errors as in `hsm.remote.openssh.diagnosis`."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field

from hsm.errors import (
    ConnectionDroppedError,
    HostUnknownError,
    JumpFailedError,
    LoginRefusedError,
    NoAnswerError,
    NotSshError,
    SessionsRefusedError,
    UnreachableError,
)
from hsm.remote.noise import quote_words
from hsm.remote.openssh.patterns import LOGIN_CUT, NO_KEY, TOO_MANY_KEYS, ComplaintPattern

_NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.ETIMEDOUT})


@dataclass
class LoginTraces:
    """Traces of a login that explain its failure.

    Attributes:
        notes: Reasons why keys could not be used.
        missing_keys: Private keys that the settings name and that cannot be read -> the system's words.
        words: The server's own: its last banner, and its farewell.
        is_cut: The server ended the connection after the proofs had begun.
    """

    notes: list[str] = field(default_factory=list)
    missing_keys: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    is_cut: bool = False


def explain_exception(
    error: Exception, *, target: str, host: str, port: int, command: str, traces: LoginTraces | None = None
) -> UnreachableError:
    """Turn the exception that ended a login or a session into the error to raise.

    Args:
        error: As it came.
        target: The target's name in the configuration.
        host: The machine that failed.
        port: Its port.
        command: The ssh command by which a person can try the same login.
        traces: Of a login that was not yet complete; None after the login.
    """
    found = _find_meaning(error, traces)
    left = traces or LoginTraces()
    key, reason = next(iter(left.missing_keys.items()), ("", ""))
    text = str(error).rstrip(".") or type(error).__name__
    words = {
        "target": target,
        "host": host,
        "port": port,
        "command": command,
        "error": text,
        "methods": f"; {text}",
        "key": key,
        "reason": reason,
        "said": f", and said {quote_words(chr(10).join(left.words).encode())}" if left.words else "",
    }
    notes = dict.fromkeys(left.notes)
    detail = "\n".join([*left.words, *notes, f"{type(error).__name__}: {error}"])
    hints = [found.hint.format(**words)]
    if found is _REFUSED:
        hints += [f"{note}." for note in notes]
    return found.error(found.message.format(**words), hint="\n".join(hints), kind=found.kind, detail=detail)


@dataclass(frozen=True, slots=True)
class _Meaning:
    error: type[UnreachableError]
    kind: str
    message: str
    hint: str


_DROPPED = _Meaning(
    ConnectionDroppedError,
    "connection_dropped",
    "{host} (target {target}) dropped the connection.",
    "Wait a moment and run the same command again: it goes on where it stopped.",
)
_THROTTLED = _Meaning(
    ConnectionDroppedError,
    "throttled",
    "The server is dropping connections: {host} (target {target}) closed this one before a login could begin.",
    "Wait a few minutes without any login there, then run the same command again; HSM needs a single login.",
)
_REFUSED = _Meaning(
    LoginRefusedError,
    "login_refused",
    "{host} refused the login of target {target}: {error}.",
    "Try `{command}` by hand; for a password, a second factor or a key's passphrase run the command in a terminal.",
)
_UNKNOWN_HOST = _Meaning(
    HostUnknownError,
    "host_unknown",
    "The name {host} of target {target} does not resolve to an address.",
    "Check `host` in the configuration (`hsm sync list`) and the network (VPN?).",
)
_CONNECTION_REFUSED = _Meaning(
    NoAnswerError,
    "connection_refused",
    "{host} (target {target}) refuses connections to port {port}.",
    "Is an SSH server running there, on that port? Try `{command}`",
)
_TIMEOUT = _Meaning(
    NoAnswerError,
    "connection_timeout",
    "{host} (target {target}) does not answer on port {port}.",
    "Is the machine on and reachable from here (VPN, firewall)? Try `{command}`",
)
_NO_ALGORITHM = _Meaning(
    NotSshError,
    "no_common_algorithm",
    "{host} (target {target}) and this SSH client have no algorithm in common.",
    "-v shows what is missing; try the system's ssh. Try `{command}`",
)
_SESSIONS = _Meaning(
    SessionsRefusedError,
    "sessions_refused",
    "{host} (target {target}) allows no further session over the shared login.",
    "Lower `parallel_transfers`, or ask for a higher MaxSessions there.",
)
_JUMP = _Meaning(
    JumpFailedError,
    "jump_failed",
    "The way to {host} (target {target}) through its jump host ended before {host} answered: {error}.",
    "Try the whole way by hand, it shows where it ends: `{command}`",
)


def _find_meaning(error: Exception, traces: LoginTraces | None) -> _Meaning | ComplaintPattern:
    from paramiko import AuthenticationException, ChannelException, SSHException  # noqa: PLC0415
    from paramiko.ssh_exception import IncompatiblePeer  # noqa: PLC0415

    dropped = _THROTTLED if traces is not None else _DROPPED
    table: tuple[tuple[type[Exception], _Meaning | ComplaintPattern], ...] = (
        (AuthenticationException, _find_refusal(traces or LoginTraces())),
        (IncompatiblePeer, _NO_ALGORITHM),
        (ChannelException, _JUMP if traces is not None else _SESSIONS),
        (SSHException, dropped),
        (socket.gaierror, _UNKNOWN_HOST),
        (ConnectionRefusedError, _CONNECTION_REFUSED),
        (TimeoutError, _TIMEOUT),
        (ConnectionError, dropped),
        (EOFError, dropped),
    )
    if isinstance(error, OSError) and error.errno in _NO_WAY:
        return _TIMEOUT
    return next((meaning for cause, meaning in table if isinstance(error, cause)), _DROPPED)


def _find_refusal(traces: LoginTraces) -> _Meaning | ComplaintPattern:
    """Find why a server did not take our proofs, in the words of the other client."""
    if any("Too many authentication failures" in line for line in traces.words):
        return TOO_MANY_KEYS
    if traces.is_cut:
        return LOGIN_CUT
    return NO_KEY if traces.missing_keys else _REFUSED
