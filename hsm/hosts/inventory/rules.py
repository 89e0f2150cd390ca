"""Rules for single values of a hosts file; as `hsm.config.rules.values`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import ValidationInfo

from hsm.config.rules.values import check_host, check_path, check_printable, check_user

_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
# HSM sends no secret to an address that a file names; what a variable is for, only its name tells.
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
_JUMP = re.compile(r"[A-Za-z0-9._@:,\[\]-]+")


def expand(value: object, info: ValidationInfo) -> object:
    """Put environment variables into a text; anything else stays as it is.

    The file may come with a project and name the address that is asked, so what a variable named like a secret holds
    is not put in.

    Raises:
        ValueError: A variable is not set, or is named like a secret.
    """
    environment: Mapping[str, str] = (info.context or {}).get("environment", {})

    def look_up(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if _SECRET.search(name):
            raise ValueError(f"names ${name}, which looks like a secret and is not put in")
        if name not in environment:
            raise ValueError(f"names the environment variable {name}, which is not set")
        return environment[name]

    return _VARIABLE.sub(look_up, value) if isinstance(value, str) else value


def check_address(text: str) -> str:
    """Return `text` if it is a host name, an alias or an address; an IPv6 address may stand in brackets.

    Raises:
        ValueError: It is none of them.
    """
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    check_host(bare)
    return text


def check_login(text: str) -> str:
    """Return `text` if it is `host` or `user@host`.

    Raises:
        ValueError: It is neither.
    """
    user, at, host = text.rpartition("@")
    if at:
        check_user(user)
    check_address(host)
    return text


def check_url(text: str) -> str:
    """Return `text` if it is an http or https URL without user, query and fragment.

    Raises:
        ValueError: It is none.
    """
    check_printable(text)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no URL that begins with http:// or https://")
    if "@" in parts.netloc or parts.query or parts.fragment or any(character.isspace() for character in text):
        raise ValueError("has a user, a query, a fragment or a blank")
    if parts.port == 0:
        raise ValueError("has port 0")
    return text


def check_remote_path(text: str) -> str:
    """Return `text` if it is `~` or a path as `hsm.config.rules.values.check_path` takes it."""
    return text if text == "~" else check_path(text)


def check_jump(text: str) -> str:
    """Return `text` if it is a list of `[user@]host[:port]`, separated by commas.

    Raises:
        ValueError: It is none.
    """
    hops = text.split(",")
    if not _JUMP.fullmatch(text) or any(not word or word.startswith("-") for hop in hops for word in hop.split("@")):
        raise ValueError("is no list of [user@]host[:port], separated by commas")
    return text


def join_spellings(data: object, other: str, name: str) -> object:
    """Rename a key that has two spellings.

    Raises:
        ValueError: Both are there.
    """
    if not isinstance(data, Mapping) or other not in data:
        return data
    if name in data:
        raise ValueError(f"{name} and {other} are one setting; keep one of them")
    return {(name if key == other else key): value for key, value in data.items()}
