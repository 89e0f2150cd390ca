"""Diagnosis of ssh's complaints: from its last lines to an error, a sentence and the next command. Pure.

The patterns are whole lines of OpenSSH 7.4 to 10 (ssh.c, sshconnect.c, sshconnect2.c, kex.c, mux.c, clientloop.c),
because a host, a path or the output of a program at the other end may hold any words. The log of a login also holds
ssh's `debug1` lines: they are read for facts that ssh tells nowhere else, and are never shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hsm.errors import (
    BadSshConfigError,
    ChangedHostKeyError,
    ConnectionDroppedError,
    HostKeyError,
    HostUnknownError,
    JumpFailedError,
    LoginRefusedError,
    NoAnswerError,
    NotSshError,
    SessionsRefusedError,
    UnexplainedError,
    UnknownHostKeyError,
    UnreachableError,
)

_N_DETAIL_LINES = 10
_DEBUG = re.compile(r"debug\d: ")
_BANNER = re.compile(r"^debug1: (?:kex|ssh)_exchange_identification: (?:banner line \d+: )?(.*\S)", re.MULTILINE)
_AUTHENTICATING = re.compile(r"^debug1: SSH2_MSG_SERVICE_ACCEPT received$", re.MULTILINE)
_METHODS = re.compile(r"Permission denied \(([\w,@.-]+)\)\.$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Pattern:
    error: type[UnreachableError]
    kind: str
    expression: re.Pattern[str]
    message: str
    hint: str


def _pattern(error: type[UnreachableError], kind: str, expression: str, message: str, hint: str) -> _Pattern:
    return _Pattern(error, kind, re.compile(expression, re.MULTILINE), message, hint)


_ENDED = _pattern(
    ConnectionDroppedError,
    "connection_dropped",
    r"^Control socket connect\(",
    "The shared login at {host} (target {target}) has ended.",
    "Run the same command again: it logs in anew.",
)
_DROPPED = _pattern(
    ConnectionDroppedError,
    "connection_dropped",
    r"^(?:kex|ssh)_exchange_identification: |^Connection (?:closed|reset) by "
    r"|^Connection to \S+ closed by remote host|^client_loop: send disconnect: "
    r"|^mux_client_\w+: .*(?:Broken pipe|reset by peer)$"
    r"|^banner exchange: Connection to \S+ port \d+: (?:Broken pipe|Connection reset by peer)$"
    r"|^(?:packet_write_\w+: Connection to \S+ port \d+|Write failed): Broken pipe$"
    r"|^Timeout, server \S+ not responding|^ssh_dispatch_run_fatal: |^Received disconnect from ",
    "{host} (target {target}) dropped the connection.",
    "Wait a moment and run the same command again: it goes on where it stopped.",
)
_JUMP = _pattern(
    JumpFailedError,
    "jump_failed",
    r"^Connection closed by UNKNOWN port 65535$",
    "The way to {host} (target {target}) through {jump} ended before {host} answered.",
    "Try the whole way by hand, it shows where it ends: `{command}`",
)
_THROTTLED = _pattern(
    ConnectionDroppedError,
    "throttled",
    r"^(?:kex|ssh)_exchange_identification: |^Connection (?:closed|reset) by ",
    "The server is dropping connections: {host} (target {target}) {cause}.",
    "Wait a few minutes without any login there, then run the same command again; HSM needs a single login.",
)
_LOGIN_CUT = _pattern(
    LoginRefusedError,
    "login_refused",
    r"^Connection (?:closed|reset) by |^Received disconnect from ",
    "{host} ended the connection in the middle of the login of target {target}.",
    "Try `{command}` by hand; the account there may be locked, or have no shell or home folder.",
)
_NOT_SSH = _pattern(
    NotSshError,
    "not_ssh",
    r"^(?:kex|ssh)_exchange_identification: ",
    "{host} (target {target}) answers on port {port}, but does not speak SSH: {cause}.",
    "Check `host` and `port` in the configuration (`hsm sync list`).",
)

_PATTERNS = (
    _pattern(
        HostKeyError,
        "host_key_revoked",
        r"^@ +WARNING: REVOKED HOST KEY DETECTED! +@$"
        r"|^The \S+ host key for \S+ is marked as revoked|^\S+ host key for \S+ was revoked ",
        "The host key of {target} ({host}) is marked as revoked.",
        "Do not log in. Ask whoever runs the machine for its new key.",
    ),
    _pattern(
        ChangedHostKeyError,
        "host_key_changed",
        r"^@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! +@$"
        r"|^Host key for \S+ has changed and you have requested strict checking",
        "The host key of {target} ({host}) is not the one that is stored.",
        "Ask whoever runs the machine whether its key was replaced. Only then remove the stored key and log in "
        "once by hand: `{command}`",
    ),
    _pattern(
        UnknownHostKeyError,
        "host_key_unknown",
        r"^Host key verification failed\.$"
        r"|^No \S+ host key is known for \S+ and you have requested strict checking",
        "The host key of {target} ({host}) is not known here.",
        "Log in once by hand, compare the fingerprint and accept it: `{command}`",
    ),
    _pattern(
        BadSshConfigError,
        "bad_ssh_configuration",
        r"^\S.*: line \d+: Bad configuration option|^\S.*: terminating, \d+ bad configuration options?$"
        r"|^Bad owner or permissions on |^Can't open user config file |^command-line:? line 0: ",
        "ssh does not accept its configuration for target {target}.",
        "Look at the lines that -v shows, and at `ssh.config` and `ssh.options` of the target.",
    ),
    _pattern(
        HostUnknownError,
        "host_unknown",
        r"^ssh: Could not resolve hostname ",
        "The name {host} of target {target} does not resolve to an address.",
        "Check `host` in the configuration (`hsm sync list`) and the network (VPN?).",
    ),
    _ENDED,
    _pattern(
        NoAnswerError,
        "connection_refused",
        r"^ssh: connect to host \S+ port \d+: Connection refused$",
        "{host} (target {target}) refuses connections to port {port}.",
        "Is an SSH server running there, on that port? Try `{command}`",
    ),
    _pattern(
        NoAnswerError,
        "connection_timeout",
        r"^ssh: connect to host \S+ port \d+: (?:(?:Connection|Operation) timed out|No route to host"
        r"|Network is (?:unreachable|down)|Host is (?:unreachable|down))$"
        r"|^Connection timed out during banner exchange$|^Connection to \S+(?: port \d+)? timed out",
        "{host} (target {target}) does not answer on port {port}.",
        "Is the machine on and reachable from here (VPN, firewall)? Try `{command}`",
    ),
    _pattern(  # before the refused login that it leads to
        LoginRefusedError,
        "key_unusable",
        r"^@ +WARNING: UNPROTECTED PRIVATE KEY FILE! +@$"
        r'|^Load key ".+": (?:invalid format|error in libcrypto|Permission denied|bad permissions)$',
        "ssh cannot use the private key for target {target}.",
        "Only you may be able to read it: `chmod 600` the key file, and try `{command}`",
    ),
    _pattern(
        LoginRefusedError,
        "login_refused",
        r"^\S+: Permission denied \([\w,@.-]+\)\.$"
        r"|^(?:Received disconnect from|Disconnect(?:ing|ed)) .+: Too many authentication failures$"
        r"|^No supported authentication methods",
        "{host} refused the login of target {target}{methods}.",
        "Try `{command}` by hand; for a password, a second factor or a key's passphrase use `hsm sync login {target}`.",
    ),
    _pattern(
        NotSshError,
        "no_common_algorithm",
        r"^Unable to negotiate with .+: no matching ",
        "{host} (target {target}) and this machine's ssh have no algorithm in common.",
        "-v shows what the server offers; allow it in ~/.ssh/config, as in `HostKeyAlgorithms +ssh-rsa`. "
        "Try `{command}`",
    ),
    _pattern(
        SessionsRefusedError,
        "sessions_refused",
        r"^mux_client_request_session: session request failed",
        "{host} (target {target}) allows no further session over the shared login.",
        "Lower `parallel_transfers`, or ask for a higher MaxSessions there.",
    ),
)


def diagnose_ssh(text: str, *, target: str, host: str, port: str, command: str, jump: str = "") -> UnreachableError:
    """Turn ssh's last words into an error that names the next command.

    Args:
        text: ssh's standard error, or the log of a login; the last lines go into the error's detail.
        target: The target's name in the configuration.
        host: The host as configured or resolved.
        port: The port.
        command: The ssh command by which a person can try the same login in the foreground.
        jump: The way that the connection takes, as ssh's settings have it; empty where it goes straight.

    Returns:
        The error to raise; an `UnexplainedError` when the text holds nothing known.
    """
    lines = [line.rstrip() for line in text.strip().splitlines()]
    said = [line for line in lines if not _DEBUG.match(line)]
    log = "\n".join(lines) if len(said) < len(lines) else ""
    shown = "\n".join(said)
    detail = "\n".join(said[-_N_DETAIL_LINES:])
    pattern = _find(shown, log, jump) if lines else _ENDED  # of a session whose master dies ssh says nothing
    if pattern is None:
        last = said[-1] if said else "ssh said nothing"
        message, hint = f"Target {target} ({host}) cannot be reached: {last}", f"Try `{command}` by hand."
        return UnexplainedError(message, hint=hint, detail=detail)
    methods = _METHODS.search(shown)
    words = {
        "target": target,
        "host": host,
        "port": port or "22",
        "command": command,
        "jump": jump,
        "methods": f"; it takes {methods[1].replace(',', ', ')}" if methods else "",
        "cause": _find_cause(log),
    }
    message, hint = pattern.message.format(**words), pattern.hint.format(**words)
    return pattern.error(message, hint=hint, kind=pattern.kind, detail=detail)


def _find(shown: str, log: str, jump: str) -> _Pattern | None:
    """Find the first pattern that matches what ssh said; `log` is empty unless ssh was logging in."""
    return next(
        (pattern for pattern in (*_PATTERNS, *_order_drops(log, jump)) if pattern.expression.search(shown)), None
    )


def _order_drops(log: str, jump: str) -> tuple[_Pattern, ...]:
    """Order the meanings of a connection that ended by itself by how far the login had come."""
    if _AUTHENTICATING.search(log):
        return (_LOGIN_CUT, _DROPPED)
    if jump:
        return (_JUMP, _THROTTLED, _DROPPED) if log else (_DROPPED,)
    banner = _BANNER.search(log)
    if banner is not None and banner[1] not in _CAUSES:
        return (_NOT_SSH, _DROPPED)
    return (_THROTTLED, _DROPPED) if log else (_DROPPED,)


_CAUSES = {
    "Exceeded MaxStartups": "has more logins under way than it allows (MaxStartups)",
    "Not allowed at this time": "refuses this machine's address for a while, as it does after failed logins",
}
"""The lines that sshd sends in the place of its version before it closes (sshd.c, OpenSSH 8.5 and 9.8 on)."""


def _find_cause(log: str) -> str:
    banner = _BANNER.search(log)
    if banner is None:
        return "closed this one before a login could begin (too many at once, or a ban after failed ones)"
    return _CAUSES.get(banner[1], f"it says {banner[1][:80]!r}")
