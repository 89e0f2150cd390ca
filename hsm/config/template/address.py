"""Address of a project on another machine, as people type it for scp, rsync and git. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from hsm.config.rules.values import check_host, check_path, check_printable, check_user
from hsm.errors import UsageError

EXAMPLE = "me@hpc:/path/to/project"

_URL = re.compile(r"ssh://(?:(?P<user>[^@/]*)@)?(?P<host>\[[^\]/]*\]|[^:/]*)(?::(?P<port>\d{1,5}))?(?P<path>/.*)?")
_PLACE = re.compile(r"(?:(?P<user>[^@/]*)@)?(?P<host>\[[^\]/]*\]|[^:/]*)(?::(?P<path>.*))?")


@dataclass(frozen=True, slots=True)
class ProjectAddress:
    """Project's folder on another machine.

    Attributes:
        host: A name, an address or an alias of the ssh configuration.
        path: Absolute, or `~/...`; empty where it was not said.
        user: None where ssh's configuration decides.
        port: None where ssh's configuration decides.
    """

    host: str
    path: str = ""
    user: str | None = None
    port: int | None = None

    @property
    def name(self) -> str:
        """The login, as `me@hpc`."""
        return f"{self.user}@{self.host}" if self.user else self.host


def parse_address(text: str, *, needs_path: bool = True) -> ProjectAddress:
    """Read `[user@]host:path` or `ssh://[user@]host[:port]/path`; a relative path counts from the home folder there.

    Args:
        text: As typed.
        needs_path: The folder must be named.

    Raises:
        UsageError: It is neither, or a part of it cannot stand in a configuration (kind `bad_address`).
    """
    try:
        check_printable(text)
        found = (_URL if text.startswith("ssh://") else _PLACE).fullmatch(text)
        if found is None:
            raise ValueError("is no address of a folder")
        return _make_address(found.groupdict(), needs_path=needs_path)
    except ValueError as error:
        raise UsageError(
            f"The address {text[:200]!a} {error}.", hint=f"Give it as `{EXAMPLE}`.", kind="bad_address"
        ) from None


def make_target_name(host: str, *, other: str) -> str:
    """Make the name of a target from its host's: the first part of it.

    Args:
        host: As in a configuration.
        other: The name where nothing is left of it.
    """
    try:
        ipaddress.ip_address(host)
        first = host
    except ValueError:
        first = host.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]", "-", first).lstrip("._-")[:64] or other


def check_far_path(text: str) -> str:
    """Return the path of a folder at a target; a relative one counts from the home folder there.

    Raises:
        ValueError: It cannot be one.
    """
    check_printable(text)
    return check_path(text if text.startswith(("/", "~", "$")) else f"~/{text}")


def _make_address(parts: dict[str, str | None], *, needs_path: bool) -> ProjectAddress:
    host, path, user, port = parts["host"] or "", parts["path"] or "", parts["user"], parts.get("port")
    if host.startswith("["):
        host = host[1:-1]
    if not host:
        raise ValueError("names no host")
    if not path and needs_path:
        raise ValueError("does not say where the project is there")
    if path.startswith("/~/"):  # as git writes the home folder in an address of this form
        path = path[1:]
    if port and not 1 <= int(port) <= 65535:
        raise ValueError(f"has the port {port}")
    for name, check, value in (("host", check_host, host), ("user", check_user, user)):
        try:
            if value is not None:
                check(value)
        except ValueError as error:
            raise ValueError(f"has a {name} that {error}") from None
    try:
        path = check_far_path(path) if path else ""
    except ValueError as error:
        raise ValueError(f"has a path that {error}") from None
    return ProjectAddress(host, path, user, int(port) if port else None)
