"""What ssh's complaints mean: from its last lines to a kind, a sentence and the next command. Pure.

The patterns are the messages of OpenSSH 7.4 to 10 (ssh.c, sshconnect.c, sshconnect2.c, mux.c, clientloop.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hsm.errors import UnreachableError


@dataclass(frozen=True, slots=True)
class _Pattern:
    kind: str
    expression: re.Pattern[str]
    message: str
    hint: str


def _pattern(kind: str, expression: str, message: str, hint: str) -> _Pattern:
    return _Pattern(kind, re.compile(expression, re.IGNORECASE), message, hint)


_PATTERNS = (
    _pattern(
        "host_key_changed",
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for \S+ has changed",
        "The host key of {target} ({host}) is not the one that is stored.",
        "Ask whoever runs the machine whether it was replaced. Only then remove the stored key with "
        "`ssh-keygen -R {known_name}` and log in once by hand: `{command}`",
    ),
    _pattern(
        "host_key_unknown",
        r"Host key verification failed|No \S+ host key is known|authenticity of host",
        "The host key of {target} ({host}) is not known here.",
        "Log in once by hand, compare the fingerprint and accept it: `{command}`",
    ),
    _pattern(
        "host_unknown",
        r"Could not resolve hostname|Name or service not known|nodename nor servname",
        "The name {host} of target {target} does not resolve to an address.",
        "Check `host` in the configuration (`hsm sync list`) and the network (VPN?).",
    ),
    _pattern(
        "connection_refused",
        r"Connection refused",
        "{host} (target {target}) refuses connections to port {port}.",
        "Is an SSH server running there, on that port? Try `{command}`",
    ),
    _pattern(
        "connection_timeout",
        r"timed out|No route to host|Network is unreachable|Host is down",
        "{host} (target {target}) does not answer on port {port}.",
        "Is the machine on and reachable from here (VPN, firewall)? Try `{command}`",
    ),
    _pattern(
        "login_refused",
        r"Permission denied \(|Too many authentication failures|No supported authentication methods",
        "{host} refused the login of target {target}.",
        "Try `{command}` by hand; for a password or a second factor use `hsm sync login {target}`.",
    ),
    _pattern(
        "sessions_refused",
        r"Session open refused by peer|mux_client_request_session",
        "{host} (target {target}) allows no further session over the shared login.",
        "Lower `parallel_transfers`, or ask for a higher MaxSessions there.",
    ),
    _pattern(
        "connection_dropped",
        r"kex_exchange_identification|Connection (closed|reset) by|Broken pipe|closed by remote host"
        r"|ssh_exchange_identification|not responding",
        "{host} (target {target}) dropped the connection.",
        "Wait a moment and run the same command again: it goes on where it stopped.",
    ),
    _pattern(
        "bad_ssh_configuration",
        r"Bad configuration option|terminating, \d+ bad configuration|Bad owner or permissions on"
        r"|Can't open user config file",
        "ssh does not accept its configuration for target {target}.",
        "Look at the lines below and at `ssh.config` and `ssh.options` of the target.",
    ),
    _pattern(
        "key_unusable",
        r"UNPROTECTED PRIVATE KEY FILE|invalid format|error in libcrypto",
        "ssh cannot use the private key for target {target}.",
        "Only you may be able to read it: `chmod 600` the key file, and try `{command}`",
    ),
)


def diagnose_ssh(text: str, *, target: str, host: str, port: str, command: str) -> UnreachableError:
    """Turn what ssh printed before it gave up into an error that names the next command.

    Args:
        text: ssh's standard error or log; the last lines go into the error's detail.
        target: The target's name in the configuration.
        host: The host as configured or resolved.
        port: The port.
        command: The ssh command by which a person can try the same login in the foreground.

    Returns:
        The error to raise. Its kind is `unreachable` when the text says nothing known.
    """
    known_name = host if port in ("", "22") else f"'[{host}]:{port}'"
    words = {
        "target": target,
        "host": host,
        "port": port or "22",
        "command": command,
        "known_name": known_name,
    }
    detail = "\n".join(text.strip().splitlines()[-10:])
    for pattern in _PATTERNS:
        if pattern.expression.search(text):
            return UnreachableError(
                pattern.message.format(**words),
                hint=pattern.hint.format(**words),
                kind=pattern.kind,
                detail=detail,
            )
    last = text.strip().splitlines()[-1:] or ["ssh said nothing"]
    return UnreachableError(
        f"Target {target} ({host}) cannot be reached: {last[0]}",
        hint=f"Try `{command}` by hand.",
        kind="unreachable",
        detail=detail,
    )
