"""Diagnosis of ssh's complaints: from its last lines to an error, a sentence and the next command. Pure.

The log of a login also holds ssh's `debug1` lines: they are read for facts that ssh tells nowhere else, and are never
shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from hsm.errors import UnexplainedError, UnreachableError
from hsm.remote.noise import quote_words
from hsm.remote.openssh.patterns import (
    DROPPED,
    ENDED,
    JUMP,
    LOGIN_CUT,
    NO_KEY,
    NOT_SSH,
    PATTERNS,
    REFUSED,
    THROTTLED,
    ComplaintPattern,
)
from hsm.remote.shell import quote

_N_DETAIL_LINES = 10
_DEBUG = re.compile(r"debug\d: ")
_BANNER = re.compile(r"^debug1: (?:kex|ssh)_exchange_identification: (?:banner line \d+: )?(.*\S)", re.MULTILINE)
_AUTHENTICATING = re.compile(r"^debug1: SSH2_MSG_SERVICE_ACCEPT received$", re.MULTILINE)
_BYE = re.compile(r"^Received disconnect from .+?:\d+: (.*\S)$", re.MULTILINE)
_METHODS = re.compile(r"Permission denied \(([\w,@.-]+)\)\.$", re.MULTILINE)


def diagnose_ssh(
    text: str, *, target: str, host: str, port: str, command: str, jump: str = "", beside: str = ""
) -> UnreachableError:
    """Turn ssh's last words into an error that names the next command.

    Args:
        text: ssh's standard error, or the log of a login; the last lines go into the error's detail.
        target: The target's name in the configuration.
        host: The host as configured or resolved.
        port: The port.
        command: The ssh command by which a person can try the same login in the foreground.
        jump: The way that the connection takes, as ssh's settings have it; empty where it goes straight.
        beside: What ssh printed beside the log of a login: warnings about key files, and the server's own words.

    Returns:
        The error to raise; an `UnexplainedError` when the text holds nothing known.
    """
    lines = [line.rstrip() for line in text.strip().splitlines()]
    said = [line for line in lines if not _DEBUG.match(line)]
    log = "\n".join(lines) if len(said) < len(lines) else ""
    shown = "\n".join(said)
    pattern = _find(shown, log, jump) if lines else ENDED  # of a session whose master dies ssh says nothing
    no_key = NO_KEY.expression.search(f"{beside}\n{shown}") if pattern is REFUSED else None
    if no_key is not None:
        pattern = NO_KEY
    detail = "\n".join([*_list_words(beside), *said][-_N_DETAIL_LINES:])
    if pattern is None:
        last = said[-1] if said else "ssh said nothing"
        message, hint = f"Target {target} ({host}) cannot be reached: {last}", f"Try `{command}` by hand."
        return UnexplainedError(message, hint=hint, detail=detail)
    found = no_key or pattern.expression.search(shown)
    words = {
        "target": target,
        "host": host,
        "port": port or "22",
        "command": command,
        "jump": jump,
        "cause": _find_cause(log),
        **_make_words(shown, beside, found.groupdict() if found else {}),
    }
    message, hint = pattern.message.format(**words), pattern.hint.format(**words)
    return pattern.error(message, hint=hint, kind=pattern.kind, detail=detail)


def _make_words(shown: str, beside: str, found: Mapping[str, str | None]) -> dict[str, str]:
    """Make the words of a message that come from ssh and the server."""
    methods, bye = _METHODS.search(shown), _BYE.search(shown)
    key = found.get("key") or found.get("other") or ""
    words = "\n".join([*_list_words(beside), *([bye[1]] if bye else [])])
    return {
        "methods": f"; it takes {methods[1].replace(',', ', ')}" if methods else "",
        "key": key,
        "key_word": quote(key),
        "reason": found.get("reason") or "",
        "said": f", and said {quote_words(words.encode())}" if words else "",
    }


def _list_words(beside: str) -> list[str]:
    """List the lines of what ssh printed beside its log: the server's words before and after the keys are tried."""
    lines = (line.rstrip() for line in beside.splitlines())
    return [line for line in lines if line and not NO_KEY.expression.match(line) and not _DEBUG.match(line)]


def _find(shown: str, log: str, jump: str) -> ComplaintPattern | None:
    """Find the first pattern that matches what ssh said; `log` is empty unless ssh was logging in."""
    return next(
        (pattern for pattern in (*PATTERNS, *_order_drops(log, jump)) if pattern.expression.search(shown)), None
    )


def _order_drops(log: str, jump: str) -> tuple[ComplaintPattern, ...]:
    """Order the meanings of a connection that ended by itself by how far the login had come."""
    if _AUTHENTICATING.search(log):
        return (LOGIN_CUT, DROPPED)
    if jump:
        return (JUMP, THROTTLED, DROPPED) if log else (DROPPED,)
    banner = _BANNER.search(log)
    if banner is not None and banner[1] not in _CAUSES:
        return (NOT_SSH, DROPPED)
    return (THROTTLED, DROPPED) if log else (DROPPED,)


# The lines that sshd sends in the place of its version before it closes (sshd.c, OpenSSH 8.5 and 9.8 on).
_CAUSES = {
    "Exceeded MaxStartups": "has more logins under way than it allows (MaxStartups)",
    "Not allowed at this time": "refuses this machine's address for a while, as it does after failed logins",
}


def _find_cause(log: str) -> str:
    banner = _BANNER.search(log)
    if banner is None:
        return "closed this one before a login could begin (too many at once, or a ban after failed ones)"
    return _CAUSES.get(banner[1], f"it says {banner[1][:80]!r}")
