"""ssh's command line, built from a target's settings, and the output of `ssh -G`, read.

Pure but for `~`, and whether the target's key is there.

ssh takes the first value that it meets: HSM's fixed options come first, then the target's own, then defaults of HSM.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from hsm.config.rules.ssh_options import SECRET_OPTIONS
from hsm.remote.shell import quote

CONNECT_TIMEOUT_SECONDS = 20

QUICK_CIPHER = "aes128-gcm@openssh.com"
"""On processors with AES 400 MiB take 1.22 s with it, 1.89 s with chacha20-poly1305, OpenSSH's own first choice."""

_FIXED_OPTIONS = (
    # One of the user's own would be all that a session can run: ssh refuses a second command.
    "RemoteCommand=none",
    "RequestTTY=no",
    # A port that another ssh forwards already ends the login, with ExitOnForwardFailure.
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "NoHostAuthenticationForLocalhost=no",
    "UpdateHostKeys=no",
    "CheckHostIP=no",
    "Tunnel=no",
    # QUIET hides why a login failed.
    "LogLevel=INFO",
)
"""Normal settings of users break a shared login or hide why it failed; these win over them.

Host keys are checked always, and with UpdateHostKeys or CheckHostIP ssh would add to the known hosts by itself.
"""

# Likewise: set for a tunnel, they let a session run no program, read nothing or go to the background. From 8.7 on.
_SESSION_OPTIONS = ("SessionType=default", "StdinNull=no", "ForkAfterAuthentication=no")

# Values of variables in SetEnv. A shorter one would be found in any text.
_SECRET = re.compile(r"=\"?([^\s\"]{4,})")

CANNOT_FORK = "Cannot fork into background without a command to execute"
"""The words of `ssh -G`, too, where the settings say ForkAfterAuthentication."""

LOGIN_OPTIONS = ("LogLevel=DEBUG1", "FingerprintHash=sha256")
"""For the log of a login: ssh names an offered host key, and why a server drops a connection, at DEBUG1 alone.

Not `-v`, which a jump host's ssh would get too: it then keeps HSM's standard error open.
"""

# Without these a frozen link hangs for ever; it ends within a minute. The user's own options win over them.
_KEEPALIVE_OPTIONS = (
    f"ConnectTimeout={CONNECT_TIMEOUT_SECONDS}",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)


class SshOptions(Protocol):
    """The `ssh` settings of a target that ssh's command line depends on."""

    @property
    def config(self) -> str | None:
        """For `-F`."""

    @property
    def identity_file(self) -> str | None:
        """For `-i`."""

    @property
    def options(self) -> Mapping[str, str]:
        """For `-o`."""


class SshTarget(Protocol):
    """The settings of a target that ssh's command line depends on; `hsm.config.schema.TargetSettings` is one."""

    @property
    def host(self) -> str:
        """A name that ssh knows, or an address."""

    @property
    def user(self) -> str | None:
        """For `-l`."""

    @property
    def port(self) -> int | None:
        """For `-p`."""

    @property
    def ssh(self) -> SshOptions:
        """Further settings of the call."""


def make_ssh_arguments(
    settings: SshTarget, control_path: Path, fixed: Sequence[str] = (), *, wishes: Sequence[str] = ()
) -> list[str]:
    """Make the options of every ssh over a control path, without the program and the host.

    Args:
        settings: The target's.
        control_path: Of the shared login.
        fixed: Further options that win over all others, as `Name=value`.
        wishes: Options that the target's own win over.
    """
    first = [f"ControlPath={control_path}", *fixed, *_FIXED_OPTIONS]
    return [*_make_option_words(first), *make_user_words(settings), *_make_option_words([*wishes, *_KEEPALIVE_OPTIONS])]


def make_session_words(settings: SshTarget, control_path: Path | None, fixed: Sequence[str] = ()) -> list[str]:
    """Make the options of a session that asks nothing: over a shared login and never a new one, or as its own login.

    Args:
        settings: The target's.
        control_path: Of the shared login; None for a login of its own. At the server's MaxSessions ssh would open a
            new login without a word; `ProxyCommand=false` makes it fail at once instead.
        fixed: As in `make_ssh_arguments`.
    """
    # At the server's MaxSessions, 10 by default, the 11th session would be a new login without a word; so it ends with
    # 255.
    only = ("ProxyCommand=false",) if control_path is not None else ()
    always = ("ControlMaster=no", "BatchMode=yes", *only, "StrictHostKeyChecking=yes")
    return make_ssh_arguments(settings, control_path or Path("none"), (*fixed, *always))


def make_resolve_argv(settings: SshTarget, *, stays: bool = False) -> list[str]:
    """Make the command that prints the settings in force.

    Args:
        settings: The target's.
        stays: Set ForkAfterAuthentication back, which an ssh before 8.7 does not know: after `CANNOT_FORK`.
    """
    words = ["-o", "ForkAfterAuthentication=no"] if stays else []
    return ["ssh", *words, *make_user_words(settings), "-G", "--", settings.host]


def make_session_options(resolved: Mapping[str, str]) -> tuple[str, ...]:
    """Make the options, for `fixed` of the others, that let a session run its program; only those that this ssh knows.

    Args:
        resolved: What `ssh -G` printed.
    """
    return tuple(option for option in _SESSION_OPTIONS if option.partition("=")[0].lower() in resolved)


def make_shown_command(settings: SshTarget, words: Sequence[str] = ()) -> str:
    """Make the command by which a person tries a login, for messages, without what may be a secret.

    Args:
        settings: The target's.
        words: Further options.
    """
    shown = {name: value for name, value in settings.ssh.options.items() if name.lower() not in SECRET_OPTIONS}
    return " ".join(map(quote, ["ssh", *words, *_make_user_words(settings, shown), settings.host]))


def has_secrets(settings: SshTarget) -> bool:
    """Tell whether the target's settings hold values that may be secrets."""
    return any(name.lower() in SECRET_OPTIONS for name in settings.ssh.options)


def hide_secrets(text: str, settings: SshTarget) -> str:
    """Take out of a text the values of the target's settings that may be secrets: the target may print what it got."""
    for name, value in settings.ssh.options.items():
        if name.lower() in SECRET_OPTIONS:
            for secret in sorted(_SECRET.findall(value), key=len, reverse=True):
                text = text.replace(secret, "(not shown)")
    return text


def hide_secret_bytes(content: bytes, settings: SshTarget) -> bytes:
    """Take them out of bytes."""
    return hide_secrets(content.decode("utf-8", "surrogateescape"), settings).encode("utf-8", "surrogateescape")


def make_user_words(settings: SshTarget) -> list[str]:
    """Make the options that the target's settings ask for, as a person would type them."""
    return _make_user_words(settings, settings.ssh.options)


def offers_alone(settings: SshTarget) -> bool:
    """Tell whether the target's key is offered without those of the agent that nobody named.

    Servers end a login after some six keys, and ssh offers those of the agent before one that is a file alone. Not
    where the file is missing: the private key may be in the agent, or another one may do.
    """
    key = settings.ssh.identity_file
    is_said = any(name.lower() == "identitiesonly" for name in settings.ssh.options)
    return key is not None and not is_said and os.path.exists(_expand(key))  # noqa: PTH110 - a name, as it is


def _make_user_words(settings: SshTarget, options: Mapping[str, str]) -> list[str]:
    words = _make_option_words([f"{name}={value}" for name, value in options.items()])
    if offers_alone(settings):
        words += _make_option_words(["IdentitiesOnly=yes"])
    if settings.ssh.config:
        words += ["-F", _expand(settings.ssh.config)]
    if settings.ssh.identity_file:
        words += ["-i", _expand(settings.ssh.identity_file)]
    if settings.user:
        words += ["-l", settings.user]
    if settings.port:
        words += ["-p", str(settings.port)]
    return words


def make_control_name(settings: SshTarget, resolved: Mapping[str, str]) -> str:
    """Make the name of a target's control socket: 16 hex digits over everything that decides the login."""
    ssh = settings.ssh
    own = (settings.host, settings.user, settings.port, ssh.config, ssh.identity_file, sorted(ssh.options.items()))
    # Not ssh's `%C`: it ignores keys and options, so that another key would ride on the first one's master. Since
    # OpenSSH 9.6 it covers the jump host, which `ProxyCommand=false` takes from later sessions: behind one each would
    # end with 255.
    asked = repr(own)
    digest = hashlib.sha256((asked + repr(sorted(resolved.items()))).encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def make_cipher_wish(resolved: Mapping[str, str]) -> tuple[str, ...]:
    """Make the option that asks for `QUICK_CIPHER` first, where the settings in force allow that cipher at all."""
    ciphers = resolved.get("ciphers", "").split(",")
    if QUICK_CIPHER not in ciphers:
        return ()
    others = (cipher for cipher in ciphers if cipher != QUICK_CIPHER)
    return (f"Ciphers={','.join((QUICK_CIPHER, *others))}",)


def parse_resolved(text: str) -> dict[str, str]:
    """Read the output of `ssh -G`: by name in lower case; several values of one name in lines."""
    resolved: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        resolved[name] = f"{resolved[name]}\n{value}" if name in resolved else value
    return resolved


def _make_option_words(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("-o", setting)]


def _expand(path: str) -> str:
    return os.path.expanduser(path)  # noqa: PTH111 - a name without a home stays as it is
