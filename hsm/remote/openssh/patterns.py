"""Patterns of ssh's complaints, each with the error that it means. Pure.

They are whole lines of OpenSSH 7.4 to 10 (ssh.c, sshconnect.c, sshconnect2.c, kex.c, mux.c, clientloop.c), because a
host, a path or the output of a program at the other end may hold any words.
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
    UnknownHostKeyError,
    UnreachableError,
)


@dataclass(frozen=True, slots=True)
class ComplaintPattern:
    """A sentence of ssh, and its meaning.

    Attributes:
        error: The error's class.
        kind: Its kind.
        expression: Matches what ssh says.
        message: With the words that `hsm.remote.openssh.diagnosis` puts in.
        hint: Likewise.
    """

    error: type[UnreachableError]
    kind: str
    expression: re.Pattern[str]
    message: str
    hint: str


def _pattern(error: type[UnreachableError], kind: str, expression: str, message: str, hint: str) -> ComplaintPattern:
    return ComplaintPattern(error, kind, re.compile(expression, re.MULTILINE), message, hint)


ENDED = _pattern(
    ConnectionDroppedError,
    "connection_dropped",
    r"^Control socket connect\(",
    "The shared login at {host} (target {target}) has ended.",
    "Run the same command again: it logs in anew.",
)
DROPPED = _pattern(
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
JUMP = _pattern(
    JumpFailedError,
    "jump_failed",
    r"^Connection closed by UNKNOWN port 65535$",
    "The way to {host} (target {target}) through {jump} ended before {host} answered.",
    "Try the whole way by hand, it shows where it ends: `{command}`",
)
THROTTLED = _pattern(
    ConnectionDroppedError,
    "throttled",
    r"^(?:kex|ssh)_exchange_identification: |^Connection (?:closed|reset) by ",
    "The server is dropping connections: {host} (target {target}) {cause}.",
    "Wait a few minutes without any login there, then run the same command again; HSM needs a single login.",
)
LOGIN_CUT = _pattern(
    LoginRefusedError,
    "login_refused",
    r"^Connection (?:closed|reset) by |^Received disconnect from ",
    "{host} ended the connection in the middle of the login of target {target}{said}.",
    "Try `{command}` by hand; the account there may be locked or expired, or nobody may log in for a while.",
)
NOT_SSH = _pattern(
    NotSshError,
    "not_ssh",
    r"^(?:kex|ssh)_exchange_identification: ",
    "{host} (target {target}) answers on port {port}, but does not speak SSH: {cause}.",
    "Check `host` and `port` in the configuration (`hsm sync list`).",
)

TOO_MANY_KEYS = _pattern(
    LoginRefusedError,
    "too_many_keys",
    r"^(?:Received disconnect from|Disconnect(?:ing|ed)) .+: Too many authentication failures(?: for \S+)?$",
    "{host} ended the login of target {target} after more keys or passwords than it takes: Too many authentication "
    "failures.",
    "Name the right key with `ssh.identity_file` of the target, which HSM then offers alone (IdentitiesOnly); or give "
    "the host `IdentityFile` and `IdentitiesOnly yes` in ~/.ssh/config. Try `{command}`",
)
BAD_KEY = _pattern(  # before the refused login that it leads to
    LoginRefusedError,
    "key_unusable",
    r'^Load key "(?P<key>.+)": (?P<reason>invalid format|error in libcrypto|Permission denied|bad permissions)$',
    "ssh cannot use the private key {key} for target {target}: {reason}.",
    "Only you may be able to read it (`chmod 600 {key_word}`), and `ssh-keygen -y -f {key_word}` must know it. "
    "Try `{command}`",
)
REFUSED = _pattern(
    LoginRefusedError,
    "login_refused",
    r"^\S+: Permission denied \([\w,@.-]+\)\.$|^No supported authentication methods",
    "{host} refused the login of target {target}{methods}.",
    "Try `{command}` by hand; for a password, a second factor or a key's passphrase use `hsm sync login {target}`.",
)
NO_KEY = _pattern(  # of a refused login alone: another key may do
    LoginRefusedError,
    "key_missing",
    r"^(?:Warning: Identity file (?P<key>.+) not accessible|no such identity: (?P<other>.+)): (?P<reason>[^:]+?)\.?$",
    "{host} refused the login of target {target}{methods}, and the private key {key} cannot be read: {reason}.",
    "Correct `ssh.identity_file` of the target, or `IdentityFile` in ~/.ssh/config, or copy the key there. "
    "Try `{command}`",
)

PATTERNS = (
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
    ENDED,
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
    TOO_MANY_KEYS,
    BAD_KEY,
    REFUSED,
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
