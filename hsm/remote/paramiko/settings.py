"""Settings of a login by the second SSH client: from `ssh -G` where ssh exists, else from paramiko's reader.

`ssh -G` knows `Include` and every `Match`; paramiko's reader of ssh_config(5) does not, and is asked only where there
is no ssh.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hsm.config.settings import TargetSettings
from hsm.errors import BadSshConfigError, UnreachableError
from hsm.process.runner import CommandTimeoutError, Completed, ProgramMissingError, Runner
from hsm.remote.openssh.command_line import (
    CANNOT_FORK,
    CONNECT_TIMEOUT_SECONDS,
    hide_secrets,
    make_resolve_argv,
    make_shown_command,
    offers_alone,
    parse_resolved,
)
from hsm.remote.openssh.diagnosis import diagnose_ssh
from hsm.remote.openssh.host_keys import make_known_name, split_file_names

_RESOLVE_TIMEOUT_SECONDS = 60
# Defaults of ssh_config(5), which paramiko's reader leaves out.
_DEFAULTS = {
    "port": "22",
    "identityfile": "~/.ssh/id_rsa\n~/.ssh/id_ecdsa\n~/.ssh/id_ed25519",
    "userknownhostsfile": "~/.ssh/known_hosts ~/.ssh/known_hosts2",
    "globalknownhostsfile": "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2",
}

# Of the keys that ssh looks for where none is named (readconf.c).
_DEFAULT_KINDS = ("rsa", "dsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss")


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """One login, straight or through further ones.

    Attributes:
        host: Name or address to connect to.
        port: The server's.
        user: The login name.
        identity_files: Private keys, those that do not exist included.
        named_files: Those of them that somebody named; the others are the defaults.
        certificate_files: Certificates of such keys.
        uses_agent: Keys of the agent may be offered.
        only_identities: Of the agent's keys only those in `identity_files` may be offered.
        known_names: As `hsm.remote.paramiko.known_hosts.load_known_hosts` wants them.
        known_files: Of known hosts, the user's first.
        connect_seconds: Time limit for an answer.
        jumps: Logins that this one goes through, the first one first.
        has_ssh: There is an ssh on this machine, so its commands can be named.
    """

    host: str
    port: int
    user: str
    identity_files: tuple[str, ...] = ()
    named_files: tuple[str, ...] = ()
    certificate_files: tuple[str, ...] = ()
    uses_agent: bool = True
    only_identities: bool = False
    known_names: tuple[str, ...] = ()
    known_files: tuple[str, ...] = ()
    connect_seconds: float = CONNECT_TIMEOUT_SECONDS
    jumps: tuple[LoginSettings, ...] = ()
    has_ssh: bool = True


def load_login_settings(name: str, settings: TargetSettings, runner: Runner) -> LoginSettings:
    """Find out how to log in to a target.

    Args:
        name: The target's, for messages.
        settings: Its configuration.
        runner: Starts ssh.

    Raises:
        UnreachableError: ssh does not accept its configuration, or it asks for what this client cannot do.
    """
    resolved, has_ssh = _load_resolved(name, settings, runner)
    login = make_login_settings(name, settings.host, resolved, has_ssh=has_ssh)
    if settings.ssh.identity_file:  # `ssh -G` passes over one that does not exist
        own = os.path.expanduser(settings.ssh.identity_file)  # noqa: PTH111 - a name without a home stays as it is
        named = tuple(dict.fromkeys((own, *login.named_files)))
        login = replace(login, identity_files=tuple(dict.fromkeys((own, *login.identity_files))), named_files=named)
    jumps: list[LoginSettings] = []
    for hop in _split_jumps(resolved.get("proxyjump", "none")):
        at_hop = _make_hop_settings(settings, hop)
        found, _ = _load_resolved(name, at_hop, runner)
        found = {key: value for key, value in found.items() if key != "proxyjump"}
        jumps.append(make_login_settings(name, at_hop.host, found, has_ssh=has_ssh))
    return replace(login, jumps=tuple(jumps))


def make_login_settings(name: str, host: str, resolved: Mapping[str, str], *, has_ssh: bool) -> LoginSettings:
    """Read the settings in force. Pure but for `~`, the user's name and which known_hosts files exist.

    Raises:
        UnreachableError: They ask for a ProxyCommand.
    """
    settings = {**_DEFAULTS, **resolved}
    if settings.get("proxycommand", "none") != "none":
        raise UnreachableError(
            f"Target {name} is reached through a ProxyCommand, which the built-in SSH client cannot use.",
            hint="Use `ProxyJump` in ssh's settings, or the system's ssh (`ssh: {client: openssh}`).",
            kind="proxy_command",
        )
    hostname, port = settings.get("hostname", host), int(settings["port"])
    user = settings.get("user") or getpass.getuser()
    tokens = {"d": str(Path.home()), "h": hostname, "n": host, "p": str(port), "r": user, "u": getpass.getuser()}
    known = make_known_name(hostname, str(port), settings.get("hostkeyalias", ""))
    seconds = settings.get("connecttimeout", "none")
    files = _split_files(settings["identityfile"], tokens)
    defaults = {str(Path.home() / ".ssh" / f"id_{kind}") for kind in _DEFAULT_KINDS}
    return LoginSettings(
        host=hostname,
        port=port,
        user=user,
        identity_files=files,
        named_files=tuple(file for file in files if file not in defaults),
        certificate_files=_split_files(settings.get("certificatefile", "none"), tokens),
        uses_agent=settings.get("identityagent", "") != "none" and settings.get("pubkeyauthentication", "yes") != "no",
        only_identities=settings.get("identitiesonly", "no") == "yes",
        known_names=(known,) if known == hostname or not known.startswith("[") else (known, hostname),
        known_files=tuple(
            _expand(file, tokens)
            for setting in ("userknownhostsfile", "globalknownhostsfile")
            for file in split_file_names(settings[setting], lambda file: Path(_expand(file, tokens)).exists())
        ),
        connect_seconds=float(seconds) if seconds.isdigit() and int(seconds) else CONNECT_TIMEOUT_SECONDS,
        has_ssh=has_ssh,
    )


def _load_resolved(name: str, settings: TargetSettings, runner: Runner) -> tuple[dict[str, str], bool]:
    try:
        completed = _print_settings(settings, runner, stays=False)
        if completed.returncode != 0 and CANNOT_FORK in completed.stderr_text:
            completed = _print_settings(settings, runner, stays=True)
    except (ProgramMissingError, CommandTimeoutError):  # a `Match exec` may hang
        return _read_by_paramiko(settings), False
    if completed.returncode != 0:
        complaint, command = hide_secrets(completed.stderr_text, settings), make_shown_command(settings)
        raise diagnose_ssh(complaint, target=name, host=settings.host, port="", command=command)
    return parse_resolved(completed.stdout.decode("utf-8", "replace")), True


def _print_settings(settings: TargetSettings, runner: Runner, *, stays: bool) -> Completed:
    return runner.run(make_resolve_argv(settings, stays=stays), timeout_seconds=_RESOLVE_TIMEOUT_SECONDS)


def _read_by_paramiko(settings: TargetSettings) -> dict[str, str]:
    from paramiko import SSHConfig  # noqa: PLC0415 - slow to import
    from paramiko.ssh_exception import ConfigParseError  # noqa: PLC0415

    path = Path(settings.ssh.config or "~/.ssh/config").expanduser()
    try:
        config = SSHConfig.from_path(str(path)) if settings.ssh.config or path.is_file() else SSHConfig()
        found = config.lookup(settings.host)
    except (OSError, ConfigParseError, ValueError) as error:
        raise BadSshConfigError(
            f"The ssh configuration {path} cannot be read: {error}.",
            hint="Correct it; the part of HSM that reads it where there is no ssh knows no `Include`.",
        ) from error
    resolved = {key: "\n".join(value) if isinstance(value, list) else str(value) for key, value in found.items()}
    resolved.update({key.lower(): value for key, value in settings.ssh.options.items()})
    if settings.ssh.identity_file:
        resolved["identityfile"] = settings.ssh.identity_file
        if offers_alone(settings):
            resolved["identitiesonly"] = "yes"
    if settings.user:
        resolved["user"] = settings.user
    if settings.port:
        resolved["port"] = str(settings.port)
    return resolved


def _split_jumps(text: str) -> list[str]:
    return [] if text.strip().lower() in ("", "none") else [hop.strip() for hop in text.split(",")]


_HOP = re.compile(r"^(?:ssh://)?(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:]+)(?::(?P<port>\d+))?/?$")


def _make_hop_settings(settings: TargetSettings, hop: str) -> TargetSettings:
    """Make the settings of a jump host: ssh hands on its configuration file alone."""
    match = _HOP.match(hop)
    if match is None:
        raise BadSshConfigError(
            f"The jump host {hop!r} cannot be read.",
            hint="It has the form `user@host:port`, several are separated by commas.",
        )
    data = {
        "host": match["host"].strip("[]"),
        "user": match["user"],
        "port": int(match["port"]) if match["port"] else None,
        "paths": {"sweeps": settings.paths.sweeps, "wandb": settings.paths.wandb},
        "ssh": {"config": settings.ssh.config},
    }
    from hsm.config.schema import parse_target  # noqa: PLC0415 - pydantic

    return parse_target(data)


def _split_files(text: str, tokens: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_expand(file.strip('"'), tokens) for file in text.splitlines() if file not in ("", "none"))


def _expand(path: str, tokens: Mapping[str, str]) -> str:
    """Expand `~` and ssh's tokens (ssh_config(5), TOKENS)."""
    text = re.sub(r"%(.)", lambda match: "%" if match[1] == "%" else tokens.get(match[1], match[0]), path)
    return os.path.expanduser(text)  # noqa: PTH111 - a name without a home stays as it is
