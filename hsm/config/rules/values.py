"""Rules for single values of `.hsm/sync_config.yaml`, and the defaults that are lists. Pure.

A rule returns the value, tidied where there are several ways to write it, or raises a `ValueError` that says what
is wrong with it ("has a slash").

Shell characters are refused in host and user, because ssh puts them into a command line for the user's shell when a
jump host is configured (OpenSSH refuses most of them itself since 9.6).
"""

from __future__ import annotations

import ipaddress
import re

SECRET_PATTERNS = (
    ".netrc",
    ".env",
    ".env.*",
    "*.pem",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".ssh/",
    "**/.aws/credentials",
    "credentials.json",
    "**/wandb/settings",
)
"""gitignore patterns of files that hold keys and passwords; `**/` because a slash inside anchors a pattern."""

_TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# The backslash is none of them: it stands in `DOMAIN\name`, and OpenSSH refuses it only at a user name's end.
_SHELL_CHARACTERS = frozenset("'`\";&<>|(){}$*?!#")


def check_printable(text: str) -> str:
    """Return `text` if it has at least one character and all of them can be printed.

    Raises:
        ValueError: It is empty or has others.
    """
    if not text:
        raise ValueError("is empty")
    if not text.isprintable():
        raise ValueError("has a line break, a control character or another that cannot be printed")
    return text


def check_target_name(text: str) -> str:
    """Return `text` if it can name a target.

    Raises:
        ValueError: It cannot, and why.
    """
    if not _TARGET_NAME.fullmatch(text):
        raise ValueError("cannot name a target")
    return text


def _check_login_word(text: str) -> str:
    check_printable(text)
    if text.startswith("-"):
        raise ValueError("begins with a dash, so ssh would take it for an option")
    if any(character.isspace() for character in text):
        raise ValueError("has white space")
    if "/" in text:
        raise ValueError("has a slash")
    if bad := sorted(_SHELL_CHARACTERS.intersection(text)):
        raise ValueError(f"has {bad[0]}, which a shell would act on")
    return text


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def check_host(text: str) -> str:
    """Return `text` if ssh takes it for nothing but a host name, an address or an alias.

    Raises:
        ValueError: It is something else, and why.
    """
    _check_login_word(text)
    if "@" in text:
        raise ValueError("has an @; the name before it belongs into user")
    if _is_ipv6(text):
        return text
    if _is_ipv6(text.strip("[]")):
        raise ValueError("is an IPv6 address in brackets; write it without them")
    if ":" in text:
        raise ValueError("has a colon and is no IPv6 address; a port belongs into port, a folder into paths")
    if any(character in "%\\" for character in text):  # ssh expands % (ssh_config(5), TOKENS)
        raise ValueError("has a character that no host name has")
    return text


def check_user(text: str) -> str:
    r"""Return `text` if it can be a login name; `DOMAIN\name` can.

    Raises:
        ValueError: It cannot, and why.
    """
    _check_login_word(text)
    for character in ":@%":
        if character in text:
            raise ValueError(f"has a {character}")
    if text.endswith("\\"):
        raise ValueError("ends with a backslash")
    return text


def check_path(text: str) -> str:
    """Return `text`, absolute or below the home folder, without empty and `.` components.

    Raises:
        ValueError: It is no such path, or leads out of itself, or is `/` or the home folder.
    """
    check_printable(text)
    # HSM quotes what passes a shell, so a folder whose name is `$SCRATCH` would come of it.
    if text.startswith("$"):
        raise ValueError("begins with a variable, which is not expanded")
    head, *parts = (part for part in text.split("/") if part != ".")
    parts = [part for part in parts if part]
    if head and head != "~":
        raise ValueError("is ~ with a user's name" if head.startswith("~") else "is relative")
    if ".." in parts:
        raise ValueError("has the component ..")
    # Folders of HSM's own are made in it, and a listing of it would be one of the whole machine.
    if not parts:
        raise ValueError("is the home folder itself" if head else "is the root of the file system")
    return "/".join([head, *parts])


def check_root_path(text: str) -> str:
    """Return `text` if it is a path as in `check_path`, or one relative to a project's folder.

    Raises:
        ValueError: It is neither.
    """
    if check_printable(text).startswith(("/", "~", "$")):
        return check_path(text)
    check_path(f"/project/{text}")
    return text


def check_sweep_pattern(text: str) -> str:
    """Return `text` if it is a pattern that the id of a sweep can match.

    Raises:
        ValueError: It is none.
    """
    check_printable(text)
    if "/" in text:
        raise ValueError("has a slash, which no sweep's id has")
    if text[0] in "-.":
        raise ValueError(f"begins with {text[0]}, which no sweep's id does")
    return text


def check_program(text: str) -> str:
    """Return `text` if it is a path as in `check_path`, or the bare name of a program."""
    return text if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", text) else check_path(text)


def check_command(text: str) -> str:
    """Return `text` if it can be a shell line, or several.

    Raises:
        ValueError: It is empty or has control characters other than line breaks and tabs.
    """
    if not text.strip():
        raise ValueError("is empty")
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("has a control character or another that cannot be printed")
    return text


def check_source_path(text: str) -> str:
    """Return `text`, absolute or relative to the project, without empty and `.` components.

    Raises:
        ValueError: It leads out of the project, or is the project, `/` or below `~`.
    """
    check_printable(text)
    if text.startswith(("~", "$")):
        raise ValueError("begins with ~ or a variable, which is not expanded here")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("has the component ..")
    root = "/" if text.startswith("/") else ""
    if not parts:
        raise ValueError("is the root of the file system" if root else "is the project itself")
    return root + "/".join(parts)


def check_pattern(text: str) -> str:
    """Return `text` if it is a gitignore pattern that can match something.

    Raises:
        ValueError: It is none.
    """
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - 35 ms that most configurations never need

    check_printable(text)
    try:
        patterns = GitIgnoreSpec.from_lines([text]).patterns
    except (ValueError, re.error):
        raise ValueError("is no gitignore pattern") from None
    if all(pattern.include is None for pattern in patterns):
        raise ValueError("matches nothing")
    return text
